"""Properties that hold for any routing: plans and every schedule of `allocate_experts`. Always the same examples."""
import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from minimoe.moe import allocate_experts, build_plan
from minimoe.moe.plan import scan_counts

ALWAYS = dict(deadline=None, derandomize=True)


@st.composite
def routings(draw):
    """(experts per token, expert of every assignment, how many experts, which are kept or None)."""
    n_experts = draw(st.integers(1, 6))
    rows = draw(st.lists(st.permutations(range(n_experts)).flatmap(
        lambda order: st.integers(0, n_experts).map(lambda k: order[:k])), max_size=8))
    expert = np.array([e for row in rows for e in row], np.int32)
    keep = draw(st.none() | st.lists(st.booleans(), min_size=len(expert), max_size=len(expert)))
    k = np.array([len(row) for row in rows], np.int32)
    return k, expert, n_experts, None if keep is None else np.array(keep, bool)


@settings(max_examples=150, **ALWAYS)
@given(routings())
@example((np.zeros(0, np.int32), np.zeros(0, np.int32), 1, None))
@example((np.zeros(3, np.int32), np.zeros(0, np.int32), 2, np.zeros(0, bool)))
def test_a_plan_sorts_the_kept_assignments_by_expert_and_token_and_can_be_undone(routing):
    k, expert, n_experts, keep = routing
    plan = build_plan(scan_counts(k), expert, n_experts, keep)
    kept = np.ones(expert.size, bool) if keep is None else keep
    assert {array.dtype for array in vars(plan).values()} == {np.dtype(np.int32)}
    assert np.array_equal(np.diff(plan.row_ptr), k) and plan.n_tokens == len(k) and plan.n_experts == n_experts
    assert np.array_equal(plan.token, np.repeat(np.arange(len(k)), k))
    assert np.array_equal(plan.counts, np.bincount(expert[kept], minlength=n_experts))
    assert plan.offsets[0] == 0 and np.array_equal(np.diff(plan.offsets), plan.counts)
    assert sorted(plan.perm) == np.flatnonzero(kept).tolist()
    order = list(zip(expert[plan.perm], plan.token[plan.perm], strict=True))
    assert order == sorted(order)
    assert np.array_equal(plan.inv[plan.perm], np.arange(plan.perm.size)) and (plan.inv[~kept] == -1).all()


# allocation
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 7))
MONOTONE = ("ceil", "affine", "threshold", "mass", "quantile", "budget")


@st.composite
def allocations(draw):
    """(importance, mask, options) for any schedule, in its own terms."""
    shape, n_experts = draw(SIZES), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    importance = rng.random(shape).round(draw(st.integers(1, 6))).astype(draw(st.sampled_from(["f4", "f8"])))
    mask = draw(st.sampled_from([None, rng.random(shape) < 0.7]))
    k_min = draw(st.integers(0, n_experts))
    k_max = draw(st.integers(k_min, n_experts))
    name = draw(st.sampled_from([*MONOTONE, "pairs", "top_p"]))
    share = draw(st.floats(0, 1))
    options = {"mass": {"rho": share}, "top_p": {"p": share}, "threshold": {"thresholds": sorted(rng.random(3))}}
    options = options.get(name, {}) | ({"mean_experts": k_min + share * (k_max - k_min)}
                                       if name in ("quantile", "budget", "pairs") else {})
    if name in ("pairs", "top_p"):
        options["probabilities"] = rng.dirichlet(np.ones(n_experts), shape)
    group = draw(st.sampled_from(["sample", "batch"]))
    return importance, mask, dict(n_experts=n_experts, allocation=name, k_min=k_min, k_max=k_max, group=group) | options


@settings(max_examples=300, **ALWAYS)
@given(allocations())
def test_every_schedule_stays_within_its_limits_keeps_its_sum_and_is_monotone(case):
    importance, mask, options = case
    k = allocate_experts(importance, mask, **options)
    real = np.ones(importance.shape, bool) if mask is None else mask
    assert k.dtype == np.int32 and k.shape == importance.shape
    assert (k[~real] == 0).all() and (k[real] >= options["k_min"]).all() and (k[real] <= options["k_max"]).all()
    whole = [(k, real)] if options["group"] == "batch" else list(zip(k, real, strict=True))
    if options["allocation"] in ("budget", "pairs"):
        for counts, there in whole:
            assert counts.sum() == np.floor(options["mean_experts"] * there.sum() + 0.5)
    if options["allocation"] in MONOTONE:
        shares = [importance] if options["group"] == "batch" else list(importance)
        for (counts, there), share in zip(whole, shares, strict=True):
            order = np.argsort(share[there], kind="stable")
            ranked, level = counts[there][order], share[there][order]
            for i in range(1, len(ranked)):         # more importance never gets fewer; ties may differ by position
                assert ranked[i] >= ranked[i - 1] or level[i] == level[i - 1]


@settings(max_examples=100, **ALWAYS)
@given(allocations())
def test_what_stands_at_padding_does_not_matter(case):
    importance, mask, options = case
    assume(mask is not None)
    other = np.where(mask, importance, np.nan).astype(importance.dtype)
    assert np.array_equal(allocate_experts(importance, mask, **options), allocate_experts(other, mask, **options))

