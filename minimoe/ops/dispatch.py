"""Scatter and gather along a routing plan: tokens to their experts, and back by weighted sums."""
from __future__ import annotations

from minimoe import kernels
from minimoe.autograd import op
from minimoe.ops.checks import same_float

GATE_FORMS = ("raw", "renorm", "equal")


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


@op
def select_gates(xp, probabilities, plan, form="raw", renorm_after_drop=False):
    """The weight of every assignment from the router's probabilities. (N, E) -> (A,).

    form "raw": g_a = p[t(a), e(a)] (Switch, confirmed; our default for DA-MoE, assumed: with one expert the router
    still learns); "renorm": divided by the token's sum over its chosen experts (Mixtral type, confirmed), with
    `renorm_after_drop` over those that were kept; "equal": 1/K_i, no gradient. A dropped assignment gets 0 and no
    gradient. Raises ValueError for another form and for probabilities that do not fit the plan.
    """
    same_float("select_gates", probabilities=probabilities)
    n, n_experts = plan.row_ptr.size - 1, plan.counts.size
    if form not in GATE_FORMS:
        raise ValueError(f"select_gates: form {form!r} is not one of {', '.join(GATE_FORMS)}")
    if probabilities.shape != (n, n_experts):
        raise ValueError(f"select_gates: probabilities is {probabilities.shape}; the plan needs {(n, n_experts)}")
    token, expert = plan.token, plan.expert
    kept = (plan.inv >= 0).astype(probabilities.dtype)                                  # (A,)
    if form == "equal":
        k = plan.row_ptr[1:] - plan.row_ptr[:-1]
        return kept / k[token].astype(kept.dtype), lambda gy: (xp.zeros_like(probabilities),)

    chosen = probabilities[token, expert]                                               # (A,)
    if form == "renorm":
        counted = kept if renorm_after_drop else xp.ones_like(kept)
        total = _sum_by_token(xp, chosen * counted, plan)[token]                        # (A,): its token's sum
        total[total == 0] = 1                       # a token that lost everything
        chosen = chosen / total

    def backward(gy):
        g_chosen = gy * kept
        if form == "renorm":
            g_chosen = (g_chosen - _sum_by_token(xp, chosen * g_chosen, plan)[token] * counted) / total
        gp = xp.zeros_like(probabilities)
        gp[token, expert] = g_chosen                # no pair occurs twice
        return (gp,)

    return chosen * kept, backward


def _sum_by_token(xp, values, plan):
    """Sum over each token's assignments, in their order: (A,) -> (N,)."""
    every = xp.arange(values.size, dtype=xp.int32)
    return kernels.of(values).combine_rows(values[:, None], None, every, plan.row_ptr)[:, 0]


def _check_rows(name: str, argument: str, array, rows: int) -> None:
    if array.ndim != 2 or array.shape[0] != rows:
        raise ValueError(f"{name}: {argument} is {array.shape}; this plan needs ({rows}, d)")
