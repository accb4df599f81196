"""Scatter and gather along a routing plan: tokens to their experts, and back by weighted sums."""
from __future__ import annotations

from minimoe import kernels
from minimoe.autograd import op
from minimoe.ops.checks import same_float


@op
def dispatch(xp, x, plan):
    """Xs[s] = x[t(perm[s])]: every token's row once per kept assignment, sorted by expert. (N, d) -> (kept, d).

    `plan`: a RoutingPlan. The backward is a combine with gates of 1. Raises ValueError when x has not plan's N rows.
    """
    same_float("dispatch", x=x)
    _check_rows("dispatch", "x", x, plan.row_ptr.size - 1)
    y = kernels.of(x).gather_rows(x, plan.token[plan.perm])                             # (kept, d)

    def backward(gy):
        return (kernels.of(gy).combine_rows(gy, None, plan.inv, plan.row_ptr),)         # (N, d)

    return y, backward


@op
def combine(xp, u, gates, plan):
    """y_i = sum of g_a u[inv[a]] over token i's kept assignments, in their order. (kept, d), (A,) -> (N, d).

    A token without any gets 0. Raises ValueError when u or gates do not fit the plan.
    """
    same_float("combine", u=u, gates=gates)
    _check_rows("combine", "u", u, plan.perm.size)
    if gates.shape != plan.expert.shape:
        raise ValueError(f"combine: gates is {gates.shape}; the plan has {plan.expert.size} assignments")
    y = kernels.of(u).combine_rows(u, gates, plan.inv, plan.row_ptr)                    # (N, d)

    def backward(gy):
        return kernels.of(gy).combine_rows_backward(gy, u, gates, plan.perm, plan.token)

    return y, backward


def _check_rows(name: str, argument: str, array, rows: int) -> None:
    if array.ndim != 2 or array.shape[0] != rows:
        raise ValueError(f"{name}: {argument} is {array.shape}; this plan needs ({rows}, d)")
