"""Selection, gates, plan and losses: the worked example, then one fact a test."""
import numpy as np
import pytest

from minimoe import Tensor, ops
from minimoe.moe import RoutingPlan, allocate_experts, build_plan, route, token_importance
from minimoe.moe.plan import scan_counts

# The worked example: one sample of 4 positions (the last is padding), 2 heads, 4 experts.
P = np.array([[.1, .4, .4, .1], [.7, .1, .1, .1], [.2, .3, .1, .4], [.25, .25, .25, .25]])
MASK = np.array([[True, True, True, False]])
K = np.array([[2, 3, 3, 0]], np.int32)
ATTENTION = np.zeros((1, 2, 4, 4))
ATTENTION[0, 0, :3, :3] = [[.6, .3, .1], [.2, .2, .6], [.1, .1, .8]]
ATTENTION[0, 1, :3, :3] = [[.4, .4, .2], [.1, .3, .6], [.25, .25, .5]]


def example(**options):
    return route(Tensor(np.log(P)), K, mask=MASK, **options)


def test_worked_example_from_attention_to_counts():
    importance = token_importance(ATTENTION, MASK)
    np.testing.assert_allclose(importance, [[.5, .6, .65, 0]])
    assert allocate_experts(importance, MASK, n_experts=4).tolist() == [[2, 3, 3, 0]]


def test_worked_example_plan():
    plan = example().plan
    assert plan.row_ptr.tolist() == [0, 2, 5, 8, 8]
    assert plan.expert.tolist() == [1, 2, 0, 1, 2, 3, 1, 0]
    assert plan.counts.tolist() == [2, 3, 2, 1]
    assert plan.offsets.tolist() == [0, 2, 5, 7, 8]
    assert plan.perm.tolist() == [2, 7, 0, 3, 6, 1, 4, 5]
    assert plan.inv.tolist() == [2, 5, 0, 3, 6, 7, 4, 1]
    assert plan.token[plan.perm].tolist() == [1, 2, 0, 1, 2, 0, 1, 2]
    assert all(a.dtype == np.int32 for a in vars(plan).values())


@pytest.mark.parametrize("form, gates, y", [
    ("raw", [.4, .4, .7, .1, .1, .4, .3, .2], [2.0, 1.2, 2.4, 0]),
    ("renorm", [.5, .5, 7 / 9, 1 / 9, 1 / 9, 4 / 9, 3 / 9, 2 / 9], [2.5, 1.2 / .9, 2.4 / .9, 0]),
    ("equal", [.5, .5] + [1 / 3] * 6, [2.5, 2, 7 / 3, 0]),
])
def test_worked_example_gates_and_output(form, gates, y):
    routing = example(gates=form)
    np.testing.assert_allclose(routing.gates.data, gates, rtol=1e-12)
    u = Tensor((routing.plan.expert[routing.plan.perm] + 1.0)[:, None])              # expert e answers e + 1
    np.testing.assert_allclose(ops.combine(u, routing.gates, routing.plan).data[:, 0], y, rtol=1e-12)


def test_worked_example_balance_loss():
    # f = (.25 .375 .25 .125), P = (1/3 .266667 .2 .2): E sum f P = 1.033333
    routing = example(balance_weight=1.0)
    np.testing.assert_allclose(routing.balance_loss.item(), 4 * (.25 / 3 + .375 * .8 / 3 + .25 * .2 + .125 * .2))
    np.testing.assert_allclose(routing.stats["balance"], 1.0333333333)


@pytest.mark.parametrize("priority, dropped", [("importance", 3), ("prob", 3), ("position", 6)])
def test_worked_example_capacity_of_two(priority, dropped):
    importance = np.array([[.5, .6, .65, 0]])
    routing = example(capacity=1.0, priority=priority, importance=importance)
    assert np.flatnonzero(routing.plan.inv < 0).tolist() == [dropped]
    assert routing.gates.data[dropped] == 0 and routing.stats["dropped"] == 1
    assert routing.plan.counts.tolist() == [2, 2, 2, 1]


def test_worked_example_top_p():
    k = allocate_experts(None, MASK, 4, "top_p", probabilities=P[None], p=0.5)
    assert k.tolist() == [[2, 1, 2, 0]]


@pytest.mark.parametrize("seed", range(20))
def test_plan_invariants_hold_on_random_routings(seed):
    random = np.random.default_rng(seed)
    n, n_experts = random.integers(0, 40), random.integers(1, 9)
    k = random.integers(0, n_experts + 1, n)
    logits = random.standard_normal((n, n_experts)).round(1)                          # rounding makes ties
    capacity = [None, 0.5, 1.0][seed % 3]
    plan = route(Tensor(logits), k, capacity=capacity).plan
    kept = np.flatnonzero(plan.inv >= 0)
    assert plan.row_ptr.tolist() == [0, *np.cumsum(k)]
    assert np.array_equal(plan.perm, kept[np.argsort(plan.expert[kept], kind="stable")])
    assert np.array_equal(plan.inv[plan.perm], np.arange(plan.perm.size))
    assert plan.offsets[-1] == kept.size and np.array_equal(np.diff(plan.offsets), plan.counts)
    for e, (lo, hi) in enumerate(zip(plan.offsets, plan.offsets[1:], strict=False)):
        assert (plan.expert[plan.perm[lo:hi]] == e).all()
        assert (np.diff(plan.token[plan.perm[lo:hi]]) > 0).all()                      # a token has an expert once
    for i in range(n):
        mine = plan.expert[plan.row_ptr[i]:plan.row_ptr[i + 1]].tolist()
        assert mine == sorted(range(n_experts), key=lambda e: (-logits[i, e], e))[:k[i]]


def test_dispatch_and_combine_are_adjoint():
    random = np.random.default_rng(0)
    plan = route(Tensor(random.standard_normal((12, 5))), random.integers(0, 6, 12), capacity=1.0).plan
    x, s = random.standard_normal((12, 3)), random.standard_normal((plan.perm.size, 3))
    left = (ops.dispatch(Tensor(x), plan).data * s).sum()
    right = (x * ops.combine(Tensor(s), Tensor(np.ones(plan.expert.size)), plan).data).sum()
    np.testing.assert_allclose(left, right, rtol=1e-12)


def test_more_experts_than_there_are_is_clipped_and_counted():
    routing = route(Tensor(np.zeros((3, 2))), np.array([1, 2, 5]))
    assert routing.k.tolist() == [1, 2, 2] and routing.stats["clipped"] == 1


def test_k_within_a_padded_batch_is_zero_at_padding():
    routing = route(Tensor(np.zeros((4, 3))), np.full((2, 2), 2), mask=[[True, False], [True, True]])
    assert routing.k.tolist() == [2, 0, 2, 2]


def test_banned_experts_get_nothing_and_no_gradient():
    logits = Tensor(np.array([[3., 2., 1.]] * 2), requires_grad=True)
    routing = route(logits, np.array([1, 3]), ban=[True, False, False])
    assert routing.plan.expert.tolist() == [1, 1, 2] and routing.stats["clipped"] == 1
    assert not routing.probabilities.data[:, 0].any()
    (routing.gates.sum() + routing.aux_loss).backward()
    assert not logits.grad[:, 0].any() and np.isfinite(logits.grad).all() and logits.grad[:, 1:].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_logits_raise_with_their_count(bad):
    logits = np.zeros((4, 3))
    logits[1] = bad
    with pytest.raises(FloatingPointError, match="1 of 4 tokens"):
        route(Tensor(logits), np.ones(4, int))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_logits_can_be_skipped_without_touching_the_others(bad):
    random = np.random.default_rng(0)
    clean, k = random.standard_normal((4, 3)), np.array([1, 2, 3, 1])
    dirty = clean.copy()
    dirty[1] = bad
    tensors = [Tensor(dirty, requires_grad=True), Tensor(clean[[0, 2, 3]], requires_grad=True)]
    skipped = route(tensors[0], k, on_nonfinite="skip")
    without = route(tensors[1], k[[0, 2, 3]])
    assert skipped.k.tolist() == [1, 0, 3, 1] and skipped.stats["nonfinite"] == 1
    assert not skipped.logits.data[1].any()                             # 0, so that nothing spreads
    assert np.array_equal(skipped.gates.data, without.gates.data)
    for routing in (skipped, without):
        (routing.gates.sum() + routing.aux_loss).backward()
    np.testing.assert_allclose(tensors[0].grad[[0, 2, 3]], tensors[1].grad, rtol=1e-12)
    assert not tensors[0].grad[1].any()


def test_padding_may_hold_anything():
    logits = Tensor(np.array([[1., 0.], [np.nan, 0.]]), requires_grad=True)
    routing = route(logits, np.array([1, 1]), mask=[True, False])
    (routing.gates.sum() + routing.aux_loss).backward()
    assert np.isfinite(logits.grad).all() and routing.k.tolist() == [1, 0] and routing.stats["nonfinite"] == 0


@pytest.mark.parametrize("change, error, match", [
    (dict(k=np.ones(3)), TypeError, "k is float64; it must be an integer array"),
    (dict(k=np.array([1, -1, 1])), ValueError, "k has -1"),
    (dict(k=np.ones(4, int)), ValueError, r"k is \(4,\); 3 tokens need \(3,\)"),
    (dict(mask=np.ones(3, int)), TypeError, "mask is int64; it must be bool"),
    (dict(gates="mean"), ValueError, "form 'mean' is not one of raw, renorm, equal"),
    (dict(priority="size"), ValueError, "priority 'size' is not one of"),
    (dict(capacity=1.0, priority="importance"), ValueError, "needs importance"),
    (dict(capacity=-1.0), ValueError, "capacity -1.0"),
    (dict(ban=[True, True]), ValueError, "leave one expert"),
    (dict(on_nonfinite="drop"), ValueError, "'raise' or 'skip'"),
])
def test_bad_arguments_are_refused(change, error, match):
    with pytest.raises(error, match=match):
        route(**dict(logits=Tensor(np.zeros((3, 2))), k=np.ones(3, int)) | change)


def test_a_plan_is_frozen_and_checked_where_it_is_built():
    with pytest.raises(ValueError, match="expert runs from 0 to 7; there are 4"):
        build_plan(scan_counts(np.array([2])), np.array([0, 7], np.int32), 4)
    with pytest.raises(ValueError, match="asks for 2 assignments, expert has 1"):
        build_plan(scan_counts(np.array([2])), np.array([0], np.int32), 4)
    plan = example().plan
    with pytest.raises(AttributeError):
        plan.expert = None
    assert isinstance(plan, RoutingPlan) and (plan.n_tokens, plan.n_experts) == (4, 4)
