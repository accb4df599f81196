"""The research switch soft_importance: importance that the gradient reaches."""
import numpy as np
import pytest

from minimoe import Tensor, gradcheck, moe
from minimoe.models import EncoderConfig, SequenceClassifier
from minimoe.moe.soft import DIFFERENTIABLE, differentiable_importance, weigh_by_importance

MASK = np.array([[True, True, True, True], [True, True, False, False], [True, False, False, False]])


def attention(seed=0):
    """(B, H, S, S), rows that sum to 1 over the real keys; no two weights alike."""
    r = np.random.default_rng(seed)
    live = MASK[:, None, :, None] & MASK[:, None, None, :]
    scores = np.where(live, r.standard_normal((3, 2, 4, 4)), -np.inf)
    top = np.where(np.isfinite(scores.max(-1, keepdims=True)), scores.max(-1, keepdims=True), 0)
    e = np.exp(scores - top)
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-300)


@pytest.mark.parametrize("heads", ["mean", "max"])
@pytest.mark.parametrize("measure", DIFFERENTIABLE)
def test_values_equal_token_importance_and_gradients_equal_central_differences(measure, heads):
    x = np.random.default_rng(1).standard_normal((3, 4, 5))
    p = np.where(attention() == 0, 0.3, attention())            # padding may hold anything
    got = differentiable_importance(Tensor(p), MASK, measure, heads, x).numpy()
    np.testing.assert_allclose(got * MASK, moe.token_importance(p, MASK, measure, heads, x=x), rtol=1e-12)
    weight = np.random.default_rng(2).standard_normal((3, 4)) * MASK
    two = slice(0, 2)                                           # the one-token sample's focus is clipped: a kink
    assert gradcheck(lambda a: differentiable_importance(a, MASK[two], measure, heads, x[two]) * weight[two],
                     [p[two]]) < 1e-6


def test_a_one_token_sample_has_focus_one_and_no_gradient():
    p = Tensor(attention(), requires_grad=True)
    differentiable_importance(p, MASK, "focus").sum().backward()
    assert np.isfinite(p.grad).all() and not p.grad[2].any()


@pytest.mark.parametrize("measure, sign", [("focus", 1), ("diffuse", -1)])
def test_a_weight_of_zero_has_no_gradient_of_focus(measure, sign):
    p = np.array([[[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]]])
    attention = Tensor(p, requires_grad=True)
    differentiable_importance(attention, measure=measure).sum().backward()
    half = (np.log(0.5) + 1) / np.log(3)
    wanted = [[1 / np.log(3), 0, 0], [half, half, 0], [1 / np.log(3), 0, 0]]
    np.testing.assert_allclose(attention.grad[0, 0], sign * np.array(wanted), rtol=1e-12)


def test_weighing_has_the_formulas_gradients():
    r = np.random.default_rng(3)
    y, importance, kappa, gy = (r.standard_normal(s) for s in ((12, 5), (3, 4), (1,), (12, 5)))
    t_y, t_i, t_k = (Tensor(a, requires_grad=True) for a in (y, importance, kappa))
    weigh_by_importance(t_y, t_k, t_i, MASK).backward(gy)
    mean = np.array([[importance[b][MASK[b]].mean()] for b in range(3)])
    q = (gy * y).sum(axis=1).reshape(3, 4)
    np.testing.assert_allclose(t_i.grad, kappa[0] * q, rtol=1e-12)
    np.testing.assert_allclose(t_k.grad, [((importance - mean) * q).sum()], rtol=1e-12)
    np.testing.assert_allclose(t_y.grad, gy * (1 + kappa[0] * (importance - mean).reshape(-1, 1)), rtol=1e-12)


def model(**options):
    return SequenceClassifier(EncoderConfig(20, d_model=8, n_layers=2, n_heads=2, d_ff=8, n_experts=4, max_length=8,
                                            dropout=0.0, router_options=options), rng=0)


def test_a_sample_of_one_token_is_not_scaled_and_one_of_none_neither():
    y = Tensor(np.random.default_rng(0).standard_normal((4, 3)))
    mask = np.array([[True, False], [False, False]])
    scaled = weigh_by_importance(y, Tensor(np.array([2.0])), Tensor(np.array([[0.7, 0.0], [0.0, 0.0]])), mask).data
    np.testing.assert_array_equal(scaled[[0, 2, 3]], y.data[[0, 2, 3]])


def test_it_starts_as_the_plain_layer_and_learns_kappa_and_through_it_the_attention():
    ids, labels = np.array([[2, 5, 7, 3], [2, 9, 3, 0]]), np.array([0, 1])
    plain, soft = model(), model(soft_importance=True)
    np.testing.assert_array_equal(plain(ids).logits.numpy(), soft(ids).logits.numpy())
    soft.loss(ids, labels).backward()
    router, attention_weight = soft.layers[0].moe.router, soft.layers[0].attention.in_proj_weight
    assert router.kappa.grad.shape == (1,) and router.kappa.grad[0] != 0
    with_kappa_0 = attention_weight.grad.copy()
    soft.zero_grad()
    router.kappa.data[...] = 2.0
    soft.loss(ids, labels).backward()
    assert np.abs(attention_weight.grad - with_kappa_0).max() > 0


@pytest.mark.parametrize("options", [{"measure": "rollout"}, {"measure": "shuffled(rowmax)"}, {"normalise": "mean1"},
                                     {"source": "prev"}, {"measure": "uniform"}], ids=str)
def test_importance_without_a_gradient_is_refused(options):
    with pytest.raises(ValueError, match="soft_importance needs a measure that has a gradient"):
        moe.make_router("da", 8, 4, rng=0, soft_importance=True, **options)


def test_kappa_is_saved_with_the_model_and_not_there_without_the_switch():
    assert "layers.0.moe.router.kappa" in model(soft_importance=True).state_dict()
    assert not any("kappa" in name for name in model().state_dict())
