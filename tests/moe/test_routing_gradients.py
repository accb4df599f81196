"""Every gradient of routing against central differences in float64, with a random upstream gradient."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from every_router import ROUTERS, batch, layer_of

from minimoe import Tensor, gradcheck, ops
from minimoe.moe import TopKRouter, route

K = np.array([[2, 4, 1], [0, 3, 4]], np.int32)
MASK = np.array([[True, True, True], [True, True, False]])
IMPORTANCE = np.array([[.3, .2, .9], [.1, .8, 0.]])
NO_LOSS = dict(balance_weight=0.0, z_weight=0.0)


def logits(seed=0, n=6, n_experts=4):
    return np.random.default_rng(seed).standard_normal((n, n_experts))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# ---- gates

DROPS = {"dropless": {}, "position": dict(capacity=0.7), "prob": dict(capacity=0.7, priority="prob"),
         "importance": dict(capacity=0.5, priority="importance"), "no room": dict(capacity=0.0, capacity_min=0)}


@pytest.mark.parametrize("options", DROPS.values(), ids=DROPS.keys())
@pytest.mark.parametrize("form, after", [("raw", False), ("renorm", False), ("renorm", True), ("equal", False)])
@pytest.mark.parametrize("ban", [None, [False, True, False, False]], ids=["", "ban"])
def test_gates_with_and_without_drops(form, after, options, ban):
    def gates(z):
        return route(z, K, form, mask=MASK, ban=ban, importance=IMPORTANCE, renorm_after_drop=after, **options).gates

    routing = route(logits(), K, form, mask=MASK, ban=ban, importance=IMPORTANCE, **options)
    assert ("capacity" in options) == (routing.stats["dropped"] > 0)
    gradcheck(gates, [logits()])


def upstream_to_probabilities(form, after=False):
    """(capped routing, probabilities with their gradient, gates), for upstream gradients 1, 2, 3, ... of the gates."""
    routing = route(np.log(softmax(logits())), K, mask=MASK, capacity=0.7)
    p = Tensor(routing.probabilities.data, requires_grad=True)
    gates = ops.select_gates(p, routing.plan, form, after)
    gates.backward(np.arange(1.0, gates.size + 1))
    return routing, p, gates


@pytest.mark.parametrize("form, after", [("raw", False), ("renorm", False), ("renorm", True), ("equal", False)])
def test_the_gradient_of_probabilities_is_the_documented_one(form, after):
    routing, p, gates = upstream_to_probabilities(form, after)
    plan, expected = routing.plan, np.zeros(p.shape)
    for i in range(plan.n_tokens):
        mine = list(range(plan.row_ptr[i], plan.row_ptr[i + 1]))
        kept = [a for a in mine if plan.inv[a] >= 0]
        total = sum(p.data[i, plan.expert[a]] for a in (kept if after else mine))
        mixed = sum(gates.data[a] * (a + 1) for a in kept)
        for a in mine:
            arrived = a + 1 if a in kept else 0
            if form == "raw":
                expected[i, plan.expert[a]] = arrived
            elif form == "renorm" and (a in kept or not after):
                expected[i, plan.expert[a]] = (arrived - mixed) / total
    assert 0 < routing.stats["dropped"] < gates.size
    np.testing.assert_allclose(p.grad, expected, rtol=1e-12, atol=1e-14)


def test_a_dropped_assignment_has_gate_zero_and_under_raw_and_after_the_drop_no_gradient():
    for form, after in (("raw", False), ("renorm", True), ("equal", False)):
        routing, p, gates = upstream_to_probabilities(form, after)
        dropped = np.flatnonzero(routing.plan.inv < 0)
        assert not gates.data[dropped].any()
        assert not p.grad[routing.plan.token[dropped], routing.plan.expert[dropped]].any()


def test_under_raw_gates_the_logits_that_were_not_selected_move_too():
    z = Tensor(logits(), requires_grad=True)
    route(z, np.ones(6, int), **NO_LOSS).gates.sum().backward()
    assert (np.abs(z.grad) > 1e-3).all()


@pytest.mark.parametrize("form", ["renorm", "equal"])
def test_one_expert_under_renorm_or_equal_gives_the_router_no_gradient(form):
    z = Tensor(logits(), requires_grad=True)
    routing = route(z, np.ones(6, int), form, **NO_LOSS)
    routing.gates.backward(np.arange(6.0))
    np.testing.assert_allclose(routing.gates.data, 1, rtol=1e-15)
    np.testing.assert_allclose(z.grad, 0, atol=1e-15)


# ---- losses

LOSSES = {"balance_loss": dict(balance_weight=0.7), "z_loss": dict(z_weight=0.3),
          "entropy_loss": dict(entropy_weight=0.5)}


@pytest.mark.parametrize("name, weight", LOSSES.items(), ids=LOSSES.keys())
@pytest.mark.parametrize("ban", [None, [False, False, True, False]], ids=["", "ban"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["", "mask"])
@pytest.mark.parametrize("capacity", [None, 0.5])
def test_each_loss(name, weight, ban, mask, capacity):
    options = NO_LOSS | weight
    loss = gradcheck(lambda z: getattr(route(z, K, mask=mask, ban=ban, capacity=capacity, **options), name), [logits()])
    assert loss < 1e-6
    others = [getattr(route(logits(), K, mask=mask, **options), other).item() for other in LOSSES if other != name]
    assert others == [0, 0]


def test_each_loss_has_the_documented_gradient():
    z, m = logits(), MASK.reshape(-1)
    p, n_real = softmax(z), m.sum()
    lse = np.log(np.exp(z).sum(axis=1))
    entropy = -(p * np.log(p)).sum(axis=1, keepdims=True)
    plan = route(z, K, mask=MASK).plan
    f = np.bincount(plan.expert, minlength=4) / plan.expert.size
    g_p = 0.7 * 4 * f * m[:, None] / n_real
    expected = {"balance_loss": p * (g_p - (p * g_p).sum(axis=1, keepdims=True)),
                "z_loss": 2 * 0.3 / n_real * (m * lse)[:, None] * p,
                "entropy_loss": -0.5 / n_real * m[:, None] * p * (np.log(p) + entropy)}
    for name, weight in LOSSES.items():
        tensor = Tensor(z, requires_grad=True)
        getattr(route(tensor, K, mask=MASK, **NO_LOSS | weight), name).backward()
        np.testing.assert_allclose(tensor.grad, expected[name], rtol=1e-6, atol=1e-15, err_msg=name)


def test_the_share_of_assignments_in_the_balance_loss_is_counted_before_the_drop():
    full, capped = (route(logits(), K, mask=MASK, capacity=c, balance_weight=1.0) for c in (None, 0.3))
    assert capped.stats["dropped"] > 0 and capped.balance_loss.item() == full.balance_loss.item()


# ---- noise on the router's copy of x

def noisy_router(**noise):
    router = TopKRouter(3, 4, 2, rng=0, **noise).to(dtype="float64")
    router.weight.data[...] = np.random.default_rng(1).standard_normal((4, 3))
    return router


@pytest.mark.parametrize("noise", [dict(jitter=0.3), dict(gauss=1.0), dict(jitter=0.2, gauss=0.5)],
                         ids=["jitter", "gauss", "both"])
def test_the_noisy_path_with_the_noise_held_fixed(noise):
    router = noisy_router(**noise)
    x = np.random.default_rng(2).standard_normal((5, 3))

    def gates_and_losses(x, weight):
        router.noise, router.weight = np.random.default_rng(3), weight
        routing = router(x)
        return routing.gates, routing.aux_loss

    gradcheck(gates_and_losses, [x, router.weight.data.copy()])


def test_jitter_multiplies_x_by_numbers_around_one_and_its_gradients_too():
    router, random = noisy_router(jitter=0.3), np.random.default_rng(2)
    x, gz = Tensor(random.standard_normal((5, 3)), requires_grad=True), random.standard_normal((5, 4))
    router.noise = np.random.default_rng(3)
    z = router.logits(x)
    z.backward(gz)
    factor, w = np.random.default_rng(3).uniform(0.7, 1.3, (5, 3)), router.weight
    np.testing.assert_allclose(z.data, (x.data * factor) @ w.data.T, rtol=1e-12)
    np.testing.assert_allclose(x.grad, factor * (gz @ w.data), rtol=1e-12)
    np.testing.assert_allclose(w.grad, gz.T @ (x.data * factor), rtol=1e-12)


def test_gauss_adds_normal_numbers_over_the_number_of_experts():
    router, x = noisy_router(gauss=2.0), np.random.default_rng(2).standard_normal((5, 3))
    router.noise = np.random.default_rng(3)
    noise = np.random.default_rng(3).standard_normal((5, 4)) * 2.0 / 4
    np.testing.assert_allclose(router.logits(Tensor(x)).data, x @ router.weight.data.T + noise, rtol=1e-12)


# ---- attention

DEAD_ROWS = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]], bool)
MASKS = {"rows": DEAD_ROWS.reshape(1, 1, 3, 3), "rows of each head": np.stack([DEAD_ROWS, ~DEAD_ROWS])[None],
         "samples": np.array([[True, True, False], [False, False, False]])}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_attention_with_rows_that_see_nothing(mask, dropout):
    n = len(mask)
    q, k, v = np.random.default_rng(0).standard_normal((3, n, 2, 3, 2))

    def both(q, k, v):
        return ops.attention(q, k, v, mask, dropout, 7)

    gradcheck(both, [q, k, v])
    tensors = [Tensor(a, requires_grad=True) for a in (q, k, v)]
    o, p = both(*tensors)
    ((o * o).sum() + (p * p).sum()).backward()
    dead = ~np.broadcast_to(mask, p.shape).any(axis=3) if mask.ndim == 4 else np.broadcast_to(~mask[:, None], (n, 2, 3))
    assert dead.any() and not p.data[dead].any() and not o.data[dead].any() and not tensors[0].grad[dead].any()
    if mask.ndim == 2:
        assert not tensors[1].grad[dead].any() and not tensors[2].grad[dead].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mask", [None, np.array([[True, True, False]])], ids=["", "mask"])
def test_attention_survives_scores_that_exp_would_not(dtype, mask):
    q = np.full((1, 1, 3, 2), 3000.0, dtype)
    k = np.array([[2., 0.], [1., 0.], [3., 0.]], dtype).reshape(1, 1, 3, 2)
    _, p = ops.attention(q, k, k, mask, scale=1.0)
    assert p.data[0, 0, 0].tolist() == ([0, 0, 1] if mask is None else [1, 0, 0])


def test_attention_has_the_documented_gradient():
    random = np.random.default_rng(0)
    q, k, v = (Tensor(a, requires_grad=True) for a in random.standard_normal((3, 1, 1, 3, 4)))
    go, gp = random.standard_normal((1, 1, 3, 4)), random.standard_normal((1, 1, 3, 3))
    o, p = ops.attention(q, k, v, DEAD_ROWS.reshape(1, 1, 3, 3), scale=0.3)
    ((o * Tensor(go)).sum() + (p * Tensor(gp)).sum()).backward()
    g = go @ v.data.swapaxes(2, 3) + gp
    gs = p.data * (g - (p.data * g).sum(axis=3, keepdims=True))
    np.testing.assert_allclose(v.grad, p.data.swapaxes(2, 3) @ go, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(q.grad, 0.3 * gs @ k.data, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(k.grad, 0.3 * gs.swapaxes(2, 3) @ q.data, rtol=1e-12, atol=1e-15)


# ---- the whole layer

FORMS = {"plain": dict(), "renorm after a drop": dict(gates="renorm", capacity=0.6, renorm_after_drop=True),
         "renorm before a drop": dict(gates="renorm", capacity=0.6, priority="position"),
         "equal": dict(gates="equal", capacity=0.6, priority="prob"),
         "ban": dict(ban=[True, False, False, False], entropy_weight=0.1)}
QUICK = [(name, form) for name in ROUTERS for form in ("plain", "renorm after a drop")] + [("topk", "ban")]
LAYERS = [pytest.param(name, form, marks=() if (name, form) in QUICK else pytest.mark.slow, id=f"{name}, {form}")
          for name, form in itertools.product(ROUTERS, FORMS)]


@pytest.mark.parametrize("name, form", LAYERS)
def test_the_whole_layer_by_x_router_and_every_expert_weight(name, form):
    layer = layer_of(name, f=2, **FORMS[form]).eval()
    x, importance, mask = batch(lengths=(3, 2, 0))
    e = layer.experts

    def forward(x, router, w1, b1, w2, b2):
        layer.router.weight, e.w1, e.b1, e.w2, e.b2 = router, w1, b1, w2, b2
        y, routing = layer(x, importance, mask)
        return y, routing.aux_loss

    weights = [p.data.copy() for p in (layer.router.weight, e.w1, e.b1, e.w2, e.b2)]
    routing = layer(Tensor(x), importance, mask)[1]
    ks = set(routing.k[mask.reshape(-1)].tolist())
    assert name in ("switch", "topk") or len(ks) > 1            # not a trivial example
    assert name == "expert_choice" or ("capacity" in FORMS[form]) == (routing.stats["dropped"] > 0)
    gradcheck(forward, [x, *weights])


def test_importance_gets_no_gradient_and_gives_none():
    layer = layer_of("da ceil")
    x, importance, mask = batch()
    weighed = Tensor(importance, requires_grad=True)
    y, routing = layer(Tensor(x), weighed, mask)
    (y.sum() + routing.aux_loss).backward()
    assert weighed.grad is None
