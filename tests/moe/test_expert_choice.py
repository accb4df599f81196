"""Experts that choose their tokens, against loops over experts."""
from __future__ import annotations

import math

import numpy as np
import pytest
from every_router import batch, layer_of

from minimoe import Tensor
from minimoe.moe import ExpertChoiceRouter


def router_of(mean_experts=1.0, n_experts=4, **options):
    router = ExpertChoiceRouter(3, n_experts, mean_experts, rng=0, **options).to(dtype="float64")
    router.weight.data[...] = np.random.default_rng(1).standard_normal((n_experts, 3))
    return router


def by_loops(router, x, mask):
    """For every token of every sample: {expert: gate}."""
    found = [[{} for _ in sample] for sample in x]
    for b in range(len(x)):
        real = [i for i in range(x.shape[1]) if mask[b, i]]
        p = {i: np.exp(router.weight.data @ x[b, i]) for i in real}
        p = {i: v / v.sum() for i, v in p.items()}
        for e in range(router.n_experts):
            places = int(len(real) * router.mean_experts / router.n_experts)
            for i in sorted(real, key=lambda i, e=e: (-p[i][e], i))[:places]:
                found[b][i][e] = p[i][e]
    return found


def read(routing, shape):
    plan, gates = routing.plan, routing.gates.data
    flat = [{int(plan.expert[a]): gates[a] for a in range(plan.row_ptr[i], plan.row_ptr[i + 1])}
            for i in range(plan.n_tokens)]
    return np.array(flat, dtype=object).reshape(shape).tolist()


@pytest.mark.parametrize("mean_experts", [0.5, 1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_tokens_and_gates_equal_loops_over_experts(mean_experts, seed):
    router = router_of(mean_experts)
    x, _, mask = batch(lengths=(9, 4, 0, 1, 8), seed=seed)
    routing = router(Tensor(x), mask=mask)
    for ours, theirs in zip(read(routing, mask.shape), by_loops(router, x, mask), strict=True):
        for mine, expected in zip(ours, theirs, strict=True):
            assert mine.keys() == expected.keys()
            np.testing.assert_allclose(list(mine.values()), [expected[e] for e in mine], rtol=1e-12)


def test_each_sample_is_a_group_of_its_own_without_a_mask_too():
    router, (x, _, mask) = router_of(2.0), batch(lengths=(6, 6, 6))
    with_mask, without = router(Tensor(x), mask=mask), router(Tensor(x))
    assert with_mask.plan.expert.tolist() == without.plan.expert.tolist()
    for b in range(3):
        load = np.bincount(without.plan.expert[without.plan.token // 6 == b], minlength=4)
        assert load.tolist() == [3, 3, 3, 3]


def test_rows_of_two_axes_are_one_sample():
    router, (x, _, _) = router_of(2.0), batch(lengths=(6, 6), seed=1)
    flat, whole = router(Tensor(x.reshape(12, 3))), router(Tensor(x.reshape(1, 12, 3)))
    assert flat.plan.expert.tolist() == whole.plan.expert.tolist()
    assert flat.stats["expert_load"] == [6, 6, 6, 6]
    assert flat.plan.expert.tolist() != router(Tensor(x)).plan.expert.tolist()


def test_a_token_may_get_no_expert_or_many_and_its_best_stands_first():
    routing = router_of(1.0, n_experts=8)(Tensor(batch(lengths=(40,), seed=7)[0]))
    assert routing.k.min() == 0 and routing.k.max() >= 3 and routing.k_range == (0, 8)
    plan = routing.plan
    for i in range(40):
        z = routing.logits.data[i, plan.expert[plan.row_ptr[i]:plan.row_ptr[i + 1]]]
        assert (np.diff(z) < 0).all()


@pytest.mark.parametrize("length, mean_experts, places", [
    (3, 1.0, 0), (4, 1.0, 1), (7, 1.0, 1), (10, 1.2, 3), (5, 4.0, 5)])
def test_an_expert_has_the_floor_of_n_times_c_over_e_places(length, mean_experts, places):
    routing = router_of(mean_experts)(Tensor(batch(lengths=(length,))[0]))
    assert routing.stats["expert_load"] == [places] * 4


def test_equal_probabilities_go_to_the_lower_token():
    router = router_of(2.0)
    router.weight.data[...] = 0
    assert router(Tensor(np.ones((1, 41, 3)))).k.tolist() == [4] * 20 + [0] * 21


def test_padding_takes_no_place_even_where_its_probability_is_the_largest():
    router, (x, _, mask) = router_of(2.0), batch(lengths=(4, 2))
    x[~mask] = 50.0
    routing = router(Tensor(x), mask=mask)
    assert not routing.k[~mask.reshape(-1)].any() and routing.stats["expert_load"] == [3, 3, 3, 3]


def test_a_banned_expert_chooses_nobody_and_the_others_choose_as_they_would():
    router, (x, _, _) = router_of(2.0, ban=[False, True, False, False]), batch(lengths=(8,))
    routing = router(Tensor(x))
    assert routing.stats["expert_load"] == [4, 0, 4, 4] and routing.stats["clipped"] == 0
    assert (routing.gates.data > 0).all()


def test_a_token_with_bad_logits_leaves_its_place_to_others():
    router, (x, _, _) = router_of(2.0, on_nonfinite="skip"), batch(lengths=(9,))
    x[0, 0] = np.nan
    routing = router(Tensor(x))
    assert routing.k[0] == 0 and routing.stats["expert_load"] == [4, 4, 4, 4] and routing.stats["nonfinite"] == 1


def test_there_is_no_balance_loss_by_default_and_there_is_one_on_request():
    x = Tensor(batch(lengths=(8,))[0])
    assert router_of()(x).balance_loss.item() == 0 and router_of()(x).z_loss.item() > 0
    np.testing.assert_allclose(router_of(balance_weight=0.3)(x).balance_loss.item(), 0.3, rtol=1e-6)    # f is even


@pytest.mark.parametrize("gates", ["raw", "renorm", "equal"])
def test_gates_are_the_probabilities_or_shares_of_them(gates):
    routing = router_of(2.0, gates=gates)(Tensor(batch(lengths=(8,))[0]))
    p = routing.probabilities.data[routing.plan.token, routing.plan.expert]
    total = np.bincount(routing.plan.token, p)[routing.plan.token]
    expected = {"raw": p, "renorm": p / total, "equal": 1 / routing.k[routing.plan.token]}[gates]
    np.testing.assert_allclose(routing.gates.data, expected, rtol=1e-12)


def test_a_capacity_below_the_places_drops_the_less_probable_within_a_choice_level():
    free = router_of(4.0)(Tensor(batch(lengths=(8,))[0]))
    capped = router_of(4.0, capacity=0.5, priority="prob")(Tensor(batch(lengths=(8,))[0]))
    assert free.stats["kept"] == 32 and capped.plan.counts.tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize("mean_experts", [0, -1, 5, "two", float("nan")])
def test_an_impossible_mean_is_refused(mean_experts):
    with pytest.raises(ValueError, match="ExpertChoiceRouter: mean_experts is"):
        ExpertChoiceRouter(3, 4, mean_experts, rng=0)


def test_the_layer_sums_what_every_choosing_expert_says():
    layer = layer_of("expert_choice")
    x, _, mask = batch(lengths=(6, 3))
    y, routing = layer(Tensor(x), mask=mask)
    e = layer.experts
    for b, i in np.argwhere(mask):
        total = np.zeros(3)
        for expert, gate in by_loops(layer.router, x, mask)[b][i].items():
            h = x[b, i] @ e.w1.data[expert] + e.b1.data[expert]
            r = np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in h])
            total += gate * (r @ e.w2.data[expert] + e.b2.data[expert])
        np.testing.assert_allclose(y.data[b, i], total, rtol=1e-10, atol=1e-12)
    assert 0 in routing.k[mask.reshape(-1)]
