"""Attention faults met in public, on the operation itself."""
import numpy as np
import pytest

from minimoe import Tensor, ops

Q, K, V = ([[1., 0.], [0., 1.], [1., 1.]], [[1., 0.], [0., 1.], [1., -1.]], [[1., 2.], [3., 4.], [5., 6.]])
KEEP = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]], bool)


def run(q=Q, k=K, v=V, keep=KEEP, dtype="float64", upstream=V):
    """(output, weights, gradients of q, k, v) of one head, with leading axes of 1 when `keep` has them."""
    lead = (1,) * (keep.ndim - 2)
    tensors = [Tensor(np.array(a, dtype).reshape(lead + np.shape(a)), requires_grad=True) for a in (q, k, v)]
    output, weights = ops.attention(*tensors, keep)
    output.backward(np.array(upstream, dtype).reshape(output.shape))
    return [a.reshape(np.shape(a)[-2:]) for a in (output.data, weights.data, *(t.grad for t in tensors))]


class TestG12AQueryThatMayLookAtNothing:
    """pytorch/pytorch#103963, pytorch/pytorch#131060, ml-explore/mlx#2395, tracel-ai/burn#4697"""

    @pytest.mark.parametrize("axes", [2, 3, 4])
    @pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", 1e-5)])
    def test_output_and_gradients(self, dtype, tolerance, axes):
        p = 0.6697615493                            # 1 / (1 + e^(-1/sqrt 2))
        found = run(dtype=dtype, keep=KEEP.reshape((1,) * (axes - 2) + KEEP.shape))
        expected = (
            [[p + 3 * (1 - p), 2 * p + 4 * (1 - p)], [0, 0], [3 * p + 5 * (1 - p), 4 * p + 6 * (1 - p)]],
            [[p, 1 - p, 0], [0, 0, 0], [0, p, 1 - p]],
            [[-0.9383915793, 0.9383915793], [0, 0], [3.440769124, -6.881538248]],
            [[-0.9383915793, 0], [-2.5023775447, -3.440769124], [3.440769124, 3.440769124]],
            [[0.6697615493, 1.3395230987], [3.6790461973, 4.6790461973], [1.6511922534, 1.981430704]])
        for ours, wanted in zip(found, expected, strict=True):
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours, wanted, atol=tolerance * 10)
        assert not found[0][1].any() and not found[1][1].any() and not found[2][1].any()

    @pytest.mark.parametrize("amount", [1e-3, -1e6, 1e30])
    def test_changing_masked_keys_and_values_changes_nothing(self, amount):
        k, v = np.array(K), np.array(V)
        keep = KEEP & np.array([True, True, False])                     # nobody may see key 2
        k[2], v[2] = amount, -amount
        for before, after in zip(run(keep=keep)[:3], run(k=k, v=v, keep=keep)[:3], strict=True):
            assert np.array_equal(before, after)

    def test_every_row_dead(self):
        assert not any(a.any() for a in run(keep=np.zeros((3, 3), bool)))


class TestG13TheSameMaskInFiveTypes:
    """ZikangZhou/HiVT#44, huggingface/transformers#41443, lucidrains/halonet-pytorch#6, transformers#32113"""

    def test_true_keeps(self):
        q, k, v = np.ones((1, 1)), np.array([[2.], [1.], [3.]]), np.zeros((3, 1))
        _, weights = ops.attention(Tensor(q), Tensor(k), Tensor(v), np.array([[True, True, False]]), scale=1.0)
        np.testing.assert_allclose(weights.data, [[0.7310585786, 0.2689414214, 0]], atol=1e-9)

    @pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float64"])
    def test_every_other_type_is_refused_additive_ones_included(self, dtype):
        for mask in (np.array([[1, 1, 0]], dtype), np.zeros((1, 3), dtype)):
            with pytest.raises(TypeError, match=rf"mask is {dtype}; it must be bool with True for real tokens"):
                ops.attention(Tensor(np.ones((1, 1))), Tensor(np.ones((3, 1))), Tensor(np.ones((3, 1))), mask)


def test_importance_would_read_the_weights_before_dropout():
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 4))
    clean = ops.attention(Tensor(x), Tensor(x), Tensor(x))[1]
    dropped = ops.attention(Tensor(x), Tensor(x), Tensor(x), dropout_p=0.9, rng=0)[1]
    assert np.array_equal(clean.data, dropped.data)


def test_a_gradient_into_the_weights_flows_back_too():
    random = np.random.default_rng(0)
    q, k, v = (Tensor(random.standard_normal((3, 4)), requires_grad=True) for _ in range(3))
    (ops.attention(q, k, v)[1] * random.standard_normal((3, 3))).sum().backward()
    assert q.grad.any() and k.grad.any() and v.grad is None
