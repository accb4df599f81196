"""The expert layer against loops over tokens and experts."""
import numpy as np
import pytest
from moe_oracle import expert_layer

from minimoe import Tensor
from minimoe.moe import MoELayer, Router, SwitchRouter

GRADIENTS = ("router.weight", "experts.w1", "experts.b1", "experts.w2", "experts.b2")


class FixedCounts(Router):
    """As many experts per token as the test says."""

    def __init__(self, *args, counts, **options):
        super().__init__(*args, **options)
        self.counts = counts

    def experts_per_token(self, probabilities, importance, mask):
        return self.counts


def layer_with(counts, n_experts=5, d=6, f=7, dtype="float64", **options):
    options = dict(balance_weight=0.0, z_weight=0.0) | options
    router = FixedCounts(d, n_experts, rng=1, counts=np.array(counts, np.int32), **options)
    layer = MoELayer(d, f, n_experts, router, rng=2).to(dtype=dtype)
    for parameter in layer.parameters():                         # away from zero, so that no gradient is tiny
        parameter.data[...] = np.random.default_rng(parameter.size).standard_normal(parameter.shape) * 0.5
    return layer


COUNTS = {"one each": [1] * 9, "ragged": [0, 1, 5, 2, 3, 1, 0, 4, 2], "all": [5] * 9, "none": [0] * 9}


@pytest.mark.parametrize("form", ["raw", "renorm", "equal"])
@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS.keys())
def test_output_and_every_gradient_equal_the_loops(counts, form):
    random = np.random.default_rng(0)
    layer = layer_with(counts, gates=form)
    x, gy = random.standard_normal((2, 9, 6))
    tensor = Tensor(x, requires_grad=True)
    y, _ = layer(tensor)
    y.backward(gy)
    parameters = dict(layer.named_parameters())
    expected = expert_layer(x, *(parameters[name].data for name in GRADIENTS), counts, form, gy)
    np.testing.assert_allclose(y.data, expected[0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(tensor.grad, expected[1], rtol=1e-9, atol=1e-11)
    for name, gradient in zip(GRADIENTS, expected[2:], strict=True):
        np.testing.assert_allclose(parameters[name].grad, gradient, rtol=1e-9, atol=1e-11, err_msg=name)


def test_an_expert_without_tokens_gets_a_gradient_of_zeros():
    layer = layer_with([1, 1, 1])
    layer.router.weight.data[...] = 0                            # ties: everything goes to expert 0
    y, routing = layer(Tensor(np.ones((3, 6)), requires_grad=True))
    y.sum().backward()
    assert routing.plan.counts.tolist() == [3, 0, 0, 0, 0]
    for name in ("w1", "b1", "w2", "b2"):
        gradient = getattr(layer.experts, name).grad
        assert np.any(gradient[0]) and not np.any(gradient[1:])


def test_only_chosen_rows_are_computed():
    layer = layer_with([0, 2, 1, 0])
    seen = []
    experts = layer.experts.forward
    layer.experts.forward = lambda rows, offsets: seen.append(rows.shape) or experts(rows, offsets)
    layer(Tensor(np.ones((4, 6))))
    assert seen == [(3, 6)]


def test_a_token_without_experts_gets_zero_and_gives_no_gradient():
    layer = layer_with([0, 1])
    x = Tensor(np.random.default_rng(0).standard_normal((2, 6)), requires_grad=True)
    y, _ = layer(x)
    y.sum().backward()
    assert not y.data[0].any() and not x.grad[0].any() and y.data[1].any()


def test_no_tokens_give_an_empty_output_and_gradients_of_zeros():
    layer = layer_with(np.zeros(0, np.int32))
    y, routing = layer(Tensor(np.zeros((0, 6)), requires_grad=True))
    (y.sum() + routing.aux_loss).backward()
    assert y.shape == (0, 6) and y.dtype == np.float64 and routing.aux_loss.item() == 0
    assert not layer.experts.w1.grad.any()


def test_the_layer_takes_a_router_by_name_with_its_options():
    layer = MoELayer(8, 8, 4, "topk", rng=0, router_options={"k": 3})
    _, routing = layer(Tensor(np.ones((2, 8), np.float32)))
    assert routing.k.tolist() == [3, 3]


def test_a_router_of_another_size_is_refused():
    with pytest.raises(ValueError, match="the router has 3 experts, the layer 4"):
        MoELayer(8, 8, 4, SwitchRouter(8, 3, rng=0), rng=0)


def test_experts_are_drawn_independently():
    w1 = MoELayer(8, 8, 4, "switch", rng=0).experts.w1.data
    assert not any(np.array_equal(w1[a], w1[b]) for a in range(4) for b in range(a))


@pytest.mark.parametrize("sizes, match", [((4, 0, 2), "d_ff is 0"), ((4, 2.5, 2), "d_ff is 2.5"),
                                          ((0, 3, 2), "d_model is 0")])
def test_sizes_that_make_no_experts_are_refused(sizes, match):
    with pytest.raises(ValueError, match=match):
        MoELayer(*sizes, "switch", rng=0)
