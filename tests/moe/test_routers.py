"""Routers: every option is reachable and does what it says, wrong ones are refused, noise stays where it belongs."""
from __future__ import annotations

import numpy as np
import pytest
from every_router import ROUTERS, D, E, batch, layer_of

from minimoe import Tensor
from minimoe.moe import SwitchRouter, make_router
from minimoe.moe.make import ROUTERS as NAMES
from minimoe.moe.make import router_options

EVERY = pytest.mark.parametrize("name", ROUTERS)
X, IMPORTANCE, MASK = batch(lengths=(6, 4))


def routed(name, train=True, **options):
    """The Routing of a lively float64 router."""
    return layer_of(name, **options).train(train).router(Tensor(X), IMPORTANCE, MASK)


# ---- options

def test_the_routers_have_exactly_these_options():
    common = {"rng", "gates", "capacity", "eval_capacity", "priority", "capacity_min", "renorm_after_drop", "ban",
              "balance_weight", "z_weight", "entropy_weight", "jitter", "gauss", "on_nonfinite"}
    own = {"switch": set(), "topk": {"k"}, "topp": {"p"}, "expert_choice": {"mean_experts"},
           "da": {"measure", "heads", "normalise", "source", "allocation", "k_min", "k_max", "mean_experts",
                  "thresholds", "threshold_shares", "rho", "levels", "gamma", "p", "group", "exclude_special",
                      "soft_importance"}}
    assert {name: router_options(router) for name, router in NAMES.items()} == {n: common | o for n, o in own.items()}


def test_the_defaults_are_those_of_the_paper_where_it_is_known_and_the_documented_ones_elsewhere():
    for name, router in ((name, make_router(name, D, E)) for name in NAMES):
        assert router.options == dict(
            gates="raw", priority="importance" if name == "da" else "position", capacity_min=1, renorm_after_drop=False,
            balance_weight=0.0 if name == "expert_choice" else 0.01, z_weight=0.001,
            entropy_weight=1e-4 if name == "topp" else 0.0)
        assert router.capacity is router.eval_capacity is router.ban is None and router.on_nonfinite == "raise"
        assert router.jitter == router.gauss == 0
    da = make_router("da", D, E)
    assert (da.measure, da.heads, da.normalise, da.source) == ("rowmax", "mean", "none", "same")
    assert da.allocation == dict(n_experts=E, allocation="ceil", k_min=1, k_max=E, mean_experts=None)
    assert make_router("topk", D, E).k_range == (2, 2) and make_router("topp", D, E).p == 0.4
    assert make_router("expert_choice", D, E).mean_experts == 1.0


CHANGES = {"gates": dict(gates="renorm"), "capacity": dict(capacity=0.5),
           "priority": dict(capacity=0.5, priority="prob"),
           "capacity_min": dict(capacity=0.1, capacity_min=2), "ban": dict(ban=[True, False, False, False]),
           "renorm_after_drop": dict(gates="renorm", capacity=0.5, renorm_after_drop=True),
           "balance_weight": dict(balance_weight=0.5), "z_weight": dict(z_weight=0.5),
           "entropy_weight": dict(entropy_weight=0.5), "jitter": dict(jitter=0.5), "gauss": dict(gauss=4.0)}
WITHOUT = {"priority": dict(capacity=0.5, priority="position"), "capacity_min": dict(capacity=0.1),
           "renorm_after_drop": dict(gates="renorm", capacity=0.5)}


# With one expert per token, what is kept is all there is to divide by.
CHANGING = [(name, option) for name in ("switch", "topk", "topp", "expert_choice", "da ceil", "da pairs")
            for option in CHANGES if (name, option) != ("switch", "renorm_after_drop")]


@pytest.mark.parametrize("name, option", CHANGING)
def test_each_common_option_changes_the_routing_of_every_router(name, option):
    changed, plain = routed(name, **CHANGES[option]), routed(name, **WITHOUT.get(option, {}))
    facts = [[r.gates.data.tolist(), r.plan.inv.tolist(), r.plan.expert.tolist(), r.aux_loss.item()]
             for r in (changed, plain)]
    assert facts[0] != facts[1]


@EVERY
def test_the_capacity_of_evaluation_may_differ_and_is_that_of_training_by_default(name):
    options = dict(capacity=0.5, eval_capacity=1e3)
    assert routed(name, **options).stats["dropped"] > 0 == routed(name, train=False, **options).stats["dropped"]
    same = routed(name, capacity=0.5), routed(name, train=False, capacity=0.5)
    assert same[0].stats["dropped"] == same[1].stats["dropped"] > 0


OWN = [("topk", dict(k=1), dict(k=3)), ("topp", dict(p=0.3), dict(p=0.99)),
       ("expert_choice", dict(mean_experts=1.0), dict(mean_experts=3.0)), ("da", dict(k_min=1), dict(k_min=3)),
       ("da", dict(), dict(k_max=2)),
       ("da", dict(allocation="budget", mean_experts=1.5), dict(allocation="budget", mean_experts=3)),
       ("da", dict(allocation="threshold", thresholds=[.9]), dict(allocation="threshold", thresholds=[.1, .2])),
       ("da", dict(allocation="threshold", threshold_shares=[.9]), dict(allocation="threshold", threshold_shares=[.1])),
       ("da", dict(allocation="mass", rho=0.2), dict(allocation="mass", rho=0.9)),
       ("da", dict(allocation="quantile", mean_experts=2, levels=[1, 4]), dict(allocation="quantile", mean_experts=2)),
       ("da", dict(allocation="pairs", mean_experts=2, gamma=0.0), dict(allocation="pairs", mean_experts=2, gamma=9.0)),
       ("da", dict(allocation="top_p", p=0.3), dict(allocation="top_p", p=0.95)),
       ("da", dict(allocation="budget", mean_experts=2), dict(allocation="budget", mean_experts=2, group="batch")),
       ("da", dict(), dict(exclude_special=[0, -1]))]


@pytest.mark.parametrize("name, one, other", OWN, ids=[f"{name} {' '.join(other)}" for name, _, other in OWN])
def test_each_own_option_changes_the_number_of_experts(name, one, other):
    counts = []
    for options in (one, other):
        router = make_router(name, D, E, **options)
        router.weight.data *= 20
        counts.append(router(Tensor(X.astype(np.float32)), IMPORTANCE.astype(np.float32), MASK).k.tolist())
    assert counts[0] != counts[1]


ATTENTION = np.random.default_rng(5).dirichlet(np.ones(6), (3, 2, 2, 6))                # 3 layers, 2 samples, 2 heads
FULL = np.ones((2, 6), bool)
MEASURES = [dict(measure=m) for m in ("colmax", "colsum", "colsum_l1", "cls", "focus", "diffuse", "uniform", "random",
            "rollout", "shuffled(rowmax)", "reversed(rowmax)", "shuffled(reversed(rollout))", "reversed(rollout)")]
MEASURES += [dict(heads="max"), dict(normalise="rank"), dict(normalise="mean1"), dict(normalise="minmax"),
             dict(source="prev"), dict(source="mean_of_layers"), dict(normalise="rank", exclude_special=[0, -1])]


@pytest.mark.parametrize("options", MEASURES, ids=lambda o: "-".join(map(str, o.values())))
def test_each_measure_and_its_options_change_importance(options):
    plain, other = (make_router("da", D, E, **o).eval().importance(list(ATTENTION), FULL, X) for o in ({}, options))
    assert other.shape == (2, 6) and other.dtype == np.float64 and not np.allclose(plain, other)


def test_rollout_can_follow_each_head_on_its_own():
    mean, each = (make_router("da", D, E, measure="rollout", heads=heads).importance(list(ATTENTION), FULL)
                  for heads in ("mean", "each"))
    assert not np.allclose(mean, each)


def test_excluded_positions_are_counted_among_real_tokens_and_get_k_min():
    router = make_router("da", D, E, exclude_special=[0, -1], k_min=2)
    mask = np.array([[False, True, True, True, True, False], [True, False, False, False, False, False], [True] * 6])
    k = router(Tensor(np.ones((3, 6, D), np.float32)), np.ones((3, 6), np.float32), mask).k.reshape(3, 6)
    assert k.tolist() == [[0, 2, 4, 4, 2, 0], [2, 0, 0, 0, 0, 0], [2, 4, 4, 4, 4, 2]]


def test_excluded_positions_leave_the_normaliser_and_the_controls():
    options = dict(exclude_special=[0], normalise="rank", measure="shuffled(rowmax)")
    got = make_router("da", D, E, **options).eval().importance(list(ATTENTION), FULL)
    assert got[:, 0].tolist() == [0, 0]
    np.testing.assert_allclose(np.sort(got[:, 1:], axis=1), [[0, .25, .5, .75, 1]] * 2)


# ---- refusals

NUMBERS = ("balance_weight", "z_weight", "entropy_weight", "jitter", "gauss", "capacity", "eval_capacity",
           "capacity_min")
REFUSED = [(name, {option: value}, f"{option} is {value!r}") for name in ("switch", "da") for option in NUMBERS
           for value in (-0.5, float("nan"), float("inf"), "many")]
REFUSED += [
    ("switch", dict(jitter=1.0), "jitter is 1.0; it must be below 1"),
    *[(name, dict(renorm_after_drop=value), f"renorm_after_drop is {value!r}; it must be true or false")
      for name in NAMES for value in ("False", 0, None)],
    ("da", dict(soft_importance="no"), "soft_importance is 'no'; it must be true or false"),
    ("switch", dict(gates="mean"), "form 'mean' is not one of raw, renorm, equal"),
    ("topk", dict(priority="size"), "priority 'size' is not one of position, prob, importance"),
    ("topp", dict(on_nonfinite="ignore"), "on_nonfinite 'ignore' is not 'raise' or 'skip'"),
    ("da", dict(ban=[True] * E), "leave one expert"),
    ("da", dict(ban=[True]), r"ban is bool \(1,\); it must be bool \(4,\)"),
    ("da", dict(ban=[1, 0, 0, 0]), "ban is int64"),
    ("switch", dict(k=2), "option 'k' is not one of balance_weight, ban, capacity"),
    ("best", {}, "'best' is not one of da, switch, topk, topp, expert_choice, nor path/to/file.py:ClassName"),
    ("topp", dict(p=0), r"p is 0; it must lie in \(0, 1\]"), ("topp", dict(p=1.1), "p is 1.1"),
    ("topp", dict(p="half"), "p is 'half'"), ("topk", dict(k=True + 4), "k is 5"),
    ("da", dict(measure="size"), "measure='size' is unknown; choose one of rowmax"),
    ("da", dict(measure="shuffled(size)"), "measure='size' is unknown"),
    ("da", dict(heads="min"), "heads='min' is unknown"), ("da", dict(normalise="sum"), "normalise='sum' is unknown"),
    ("da", dict(measure="rollout", heads="max"), "heads='max' is unknown; choose one of mean, each"),
    ("da", dict(heads="each"), "heads='each' is unknown"),
    ("da", dict(measure="rollout", source="prev"), "source='prev' does nothing under measure='rollout'"),
    ("da", dict(measure="router_entropy", source="prev"), "source='prev' does nothing"),
    ("da", dict(measure="router_entropy", heads="max"), "heads='max' does nothing under measure='router_entropy'"),
    ("da", dict(source="next"), "source='next' is unknown; choose one of same, prev, mean_of_layers"),
    ("da", dict(allocation="floor"), "allocation='floor' is unknown; choose one of ceil, affine"),
    ("da", dict(allocation="floor", mean_experts=2), "allocation='floor' is unknown"),
    ("da", dict(k_min=3, k_max=2, mean_experts=2, allocation="budget"), "k_min=3, k_max=2"),
    ("da", dict(k_min=3, k_max=2), "k_min=3, k_max=2"), ("da", dict(k_max=5), "k_max=5"),
    ("da", dict(k_min=-1), "k_min=-1"),
    ("da", dict(allocation="budget"), "'budget' needs mean_experts"),
    ("da", dict(allocation="budget", mean_experts=0.9), "mean_experts is 0.9; it must lie in k_min=1 .. k_max=4"),
    ("da", dict(allocation="pairs", mean_experts=3.1, k_max=3), "mean_experts is 3.1; .* k_min=1 .. k_max=3"),
    ("da", dict(allocation="quantile", mean_experts=5), "mean_experts is 5; it must lie in"),
    ("da", dict(allocation="quantile", mean_experts=2, levels=[3, 4]), "mean_experts=2 is outside the levels 3 .. 4"),
    ("da", dict(allocation="budget", mean_experts="two"), "mean_experts is 'two'"),
    ("da", dict(allocation="threshold"), "'threshold' needs thresholds"),
    ("da", dict(allocation="threshold", thresholds=[.5], threshold_shares=[.5]), "exclude each other"),
    ("da", dict(allocation="threshold", threshold_shares=[2.0]), "shares and decay must lie in 0..1"),
    ("da", dict(allocation="mass", rho=2.0), "rho must lie in 0..1"),
    ("da", dict(allocation="budget", mean_experts=2, group="pair"), "group='pair' is unknown"),
    ("da", dict(exclude_special=["first"]), "exclude_special is .* a list of positions"),
    ("da", dict(exclude_special=[0.5]), "exclude_special is .* a list of positions"),
]


@pytest.mark.parametrize("name, options, match", REFUSED, ids=[f"{n} {o}" for n, o, _ in REFUSED])
def test_an_impossible_option_is_refused_by_the_constructor(name, options, match):
    with pytest.raises(ValueError, match=match):
        make_router(name, D, E, **options)


UNREAD = [(option, value, allocation)
          for option, value, readers in [
              ("mean_experts", 2.0, ("quantile", "budget", "pairs")), ("thresholds", [.5], ("threshold",)),
              ("threshold_shares", [.5], ("threshold",)), ("rho", .5, ("mass",)), ("levels", [1, 2], ("quantile",)),
              ("gamma", 1.0, ("pairs",)), ("p", .5, ("top_p",)),
              ("group", "batch", ("mass", "quantile", "budget", "pairs"))]
          for allocation in ("ceil", "affine", "threshold", "mass", "quantile", "budget", "pairs", "top_p")
          if allocation not in readers]


@pytest.mark.parametrize("option, value, allocation", UNREAD)
def test_an_option_that_the_schedule_would_not_read_is_refused(option, value, allocation):
    needed = {"threshold": dict(thresholds=[.5]), "quantile": dict(mean_experts=2), "budget": dict(mean_experts=2),
              "pairs": dict(mean_experts=2)}.get(allocation, {})
    with pytest.raises(ValueError, match=f"{option} does nothing under allocation='{allocation}'; leave it out"):
        make_router("da", D, E, **{"allocation": allocation} | needed | {option: value})
    make_router("da", D, E, allocation=allocation, **needed | ({} if option in needed else {option: None}))


@pytest.mark.parametrize("sizes, match", [
    ((3, 0), "n_experts is 0"), ((0, 4), "d_model is 0"), ((3, 2.5), "n_experts is 2.5")])
def test_impossible_sizes_are_refused(sizes, match):
    with pytest.raises(ValueError, match=match):
        SwitchRouter(*sizes, rng=0)


def test_a_router_needs_a_generator_or_a_seed():
    with pytest.raises(TypeError, match="rng"):
        SwitchRouter(3, 4)
    with pytest.raises(TypeError, match="SwitchRouter: rng is str; give a numpy.random.Generator or an integer seed"):
        SwitchRouter(3, 4, rng="seed")


@EVERY
@pytest.mark.parametrize("x, arguments, error, match", [
    (X, dict(mask=MASK[:1]), ValueError, r"mask is \(1, 6\); x needs \(2, 6\)"),
    (X, dict(importance=IMPORTANCE[:, :5], mask=MASK), ValueError, r"importance is \(2, 5\); x needs \(2, 6\)"),
    (X, dict(mask=MASK[0]), ValueError, r"mask is \(6,\); x needs \(2, 6\)"),
    (X, dict(mask=MASK.astype(int)), TypeError, "mask .*bool"),
    (X[..., :2], dict(mask=MASK), ValueError, r"x is \(2, 6, 2\); it must be \(B, S, 3\) or \(N, 3\)"),
    (X[None], dict(), ValueError, r"x is \(1, 2, 6, 3\)"), (X[0, 0], dict(), ValueError, r"x is \(3,\)")],
    ids=["mask", "importance", "mask of one sample", "mask of integers", "width", "four axes", "one axis"])
def test_arguments_that_do_not_fit_are_refused(name, x, arguments, error, match):
    with pytest.raises(error, match=match):
        layer_of(name).router(Tensor(x), **dict(importance=IMPORTANCE) | arguments)


def test_experts_that_are_not_banned_are_counted():
    ban = np.arange(E) == 1
    assert SwitchRouter(D, E, rng=0).allowed_experts() == E
    assert SwitchRouter(D, E, rng=0, ban=ban).allowed_experts() == E - 1


@pytest.mark.parametrize("name, options, by_sample", [
    ("switch", {}, True), ("switch", dict(capacity=1.5), False), ("da", {}, True), ("da", dict(capacity=1.5), False),
    ("da", dict(allocation="threshold", thresholds=[0.5]), True),
    ("da", dict(allocation="threshold", threshold_shares=[0.5]), False),
    ("da", dict(allocation="budget", mean_experts=2, group="sample"), True),
    ("da", dict(allocation="budget", mean_experts=2, group="batch"), False)])
def test_a_batch_may_be_split_where_no_sample_sees_another(name, options, by_sample):
    assert make_router(name, D, E, **options).by_sample == by_sample


def test_a_dynamic_router_says_that_importance_is_missing():
    with pytest.raises(ValueError, match=r"importance is missing; give token_importance\(attention, mask\)"):
        make_router("da", D, E)(Tensor(X.astype(np.float32)), mask=MASK)
