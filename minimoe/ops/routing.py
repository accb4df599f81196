"""What is read off a router's logits along a routing plan: gates, and the losses that keep a router healthy."""
from __future__ import annotations

from minimoe import kernels
from minimoe.autograd import op
from minimoe.ops.checks import same_float

GATE_FORMS = ("raw", "renorm", "equal")


@op
def select_gates(xp, probabilities, plan, form="raw", renorm_after_drop=False):
    """The weight of every assignment from the router's probabilities. (N, E) -> (A,).

    form "raw": g_a = p[t(a), e(a)] (Switch, confirmed; our default for DA-MoE, assumed: with one expert the router
    still learns); "renorm": divided by the token's sum over its chosen experts (Mixtral type, confirmed), with
    `renorm_after_drop` over those that were kept; "equal": 1/K_i, no gradient. A dropped assignment gets 0 and no
    gradient. Raises ValueError for another form and for probabilities that do not fit the plan.
    """
    _check("select_gates", "probabilities", probabilities, plan, form)
    along = (plan.expert, plan.inv, plan.row_ptr, form, renorm_after_drop)
    gates = kernels.of(probabilities).select_gates(probabilities, *along)               # (A,)

    def backward(gy):
        return (kernels.of(gy).select_gates_backward(gy, probabilities, *along),)       # (N, E)

    return gates, backward


@op
def router_terms(xp, logits, plan, form="raw", renorm_after_drop=False, p=None, lse=None, share=None, counted=None,
                 balance_weight=0.0, z_weight=0.0, entropy_weight=0.0):
    """(probabilities, gates, balance loss, z-loss, entropy loss) of router logits, with one backward for all five.

    logits (N, E); plan: their RoutingPlan. p (N, E) and lse (N,): softmax and log-sum-exp of the logits, where the
    caller has them already. Gates (A,): see `select_gates`. The losses are scalars over the N_v tokens of which
    `counted` (bool (N,), None for all) is True, m_i = 1; a weight of 0, or no token, makes 0:

    balance   weight * E * sum_e f_e P_e, P_e = sum_i m_i p_ie / N_v, and f_e the share of the assignments that asked
              for expert e, from `share` (E,), taken before dropping (default: from plan.counts), a constant; backward
              reads that array again. It is `weight` under uniform use, for any number of experts per token. Source:
              Switch (arXiv 2101.03961) eq. 4 to 6, confirmed for one expert per token; dividing f by A instead of N
              for more is ours (derived).
    z         weight * sum_i m_i lse_i^2 / N_v: keeps logits small. Source: ST-MoE (arXiv 2202.08906) eq. 5, confirmed.
    entropy   weight * sum_i m_i H(p_i) / N_v: sharpens the router, for top-p routing. Source: Huang et al. (arXiv
              2403.07652) eq. 5, confirmed; the weight 1e-4 is assumed.

    Raises ValueError for another form and for arrays that do not fit the plan.
    """
    _check("router_terms", "logits", logits, plan, form)
    n, n_experts = logits.shape
    if counted is not None and (counted.shape != (n,) or counted.dtype != bool):
        raise ValueError(f"router_terms: counted is {counted.dtype} {counted.shape}; it must be bool ({n},)")
    kernel = kernels.of(logits)
    if p is None or lse is None:
        p, lse, _ = kernel.router_softmax(logits)
    along = (plan.expert, plan.inv, plan.row_ptr, form, renorm_after_drop)
    gates = kernel.select_gates(p, *along)                                              # (A,)
    if share is None:
        share = plan.counts / max(plan.expert.size, 1)                                  # (E,) f
    share = xp.asarray(share, p.dtype)              # the caller's own array, where the dtype is right
    m = xp.ones(n, p.dtype) if counted is None else counted.astype(p.dtype)             # (N,)
    n_counted = xp.maximum(m.sum(), 1)              # 0-d, where the arrays are: nothing is read here

    balance, z, entropy = (xp.zeros((), p.dtype) for _ in range(3))
    if balance_weight:
        balance = share @ (m @ p) / n_counted * (balance_weight * n_experts)
    if z_weight:
        z = (m @ (lse * lse)) / n_counted * z_weight
    if entropy_weight:
        positive = xp.where(p > 0, p, 1)            # 0 log 0 = 0
        entropy = -(m @ (p * xp.log(positive)).sum(axis=1)) / n_counted * entropy_weight

    def backward(gys):
        gp, dg, *g_losses = gys
        slopes = xp.zeros(3, p.dtype)               # of the losses: see router_backward
        for i, (gy, weight) in enumerate(zip(g_losses, (balance_weight * n_experts, 2 * z_weight, entropy_weight),
                                             strict=True)):
            if gy is not None:
                slopes[i] = gy * weight / n_counted
        dg = xp.zeros(gates.shape, p.dtype) if dg is None else dg
        return (kernel.router_backward(dg, gp, slopes, p, lse, share, counted, *along),)    # (N, E)

    return (p, gates, balance, z, entropy), backward


def _check(name: str, argument: str, array, plan, form: str) -> None:
    same_float(name, **{argument: array})
    if form not in GATE_FORMS:
        raise ValueError(f"{name}: form {form!r} is not one of {', '.join(GATE_FORMS)}")
    shape = (plan.n_tokens, plan.n_experts)
    if array.shape != shape:
        raise ValueError(f"{name}: {argument} is {array.shape}; the plan needs {shape}")
