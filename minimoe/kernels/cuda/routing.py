"""Launches of routing.cu. What they compute is written at the twins in reference/routing.py."""
from __future__ import annotations

from minimoe.backend import array_module
from minimoe.kernels.launch import ceil_div, contiguous, indices, launch

FORMS = {"raw": 0, "renorm": 1, "equal": 2}
WARPS = 4                                           # tokens of a block: each has a warp


def router_softmax(logits):
    xp, (logits,) = array_module(logits), contiguous(logits)
    n, n_experts = logits.shape
    p, lse, bad = xp.empty(logits.shape, logits.dtype), xp.empty(n, logits.dtype), xp.empty(n, bool)
    _launch("router_softmax", n, logits.dtype, (logits, n, n_experts, p, lse, bad))
    return p, lse, bad


def select_experts(scores, row_ptr, assignments=None):
    xp, (scores,), (row_ptr,) = array_module(scores, row_ptr), contiguous(scores), indices(row_ptr)
    n, n_experts = scores.shape
    expert = xp.empty(int(row_ptr[-1]) if assignments is None else assignments, xp.int32)
    _launch("select_experts", n, scores.dtype, (scores, row_ptr, n, n_experts, expert))
    return expert


def select_gates(p, expert, inv, row_ptr, form: str, renorm_after_drop: bool):
    (p,) = contiguous(p)
    gates = array_module(p).empty(expert.shape, p.dtype)
    _launch("select_gates", len(p), p.dtype,
            (p, *indices(expert, inv, row_ptr), FORMS[form], renorm_after_drop, *p.shape, gates))
    return gates


def select_gates_backward(dg, p, expert, inv, row_ptr, form: str, renorm_after_drop: bool):
    dg, p = contiguous(dg, p)
    gp = array_module(p).empty(p.shape, p.dtype)
    _launch("select_gates_backward", len(p), p.dtype,
            (dg, p, *indices(expert, inv, row_ptr), FORMS[form], renorm_after_drop, *p.shape, gp))
    return gp


def router_backward(dg, gp, coefficients, p, lse, share, counted, expert, inv, row_ptr, form: str,
                    renorm_after_drop: bool):
    xp = array_module(p)
    dg, p, upstream, coefficients, lse, share = contiguous(dg, p, p if gp is None else gp, coefficients, lse, share)
    counted, step = (xp.ones(1, bool), 0) if counted is None else (*contiguous(counted), 1)
    gz = xp.empty(p.shape, p.dtype)
    _launch("router_backward", len(p), p.dtype,
            (dg, upstream, gp is not None, coefficients, p, lse, share, counted, step, *indices(expert, inv, row_ptr),
             FORMS[form], renorm_after_drop, *p.shape, gz))
    return gz


def _launch(name: str, n: int, real, args) -> None:
    launch("routing.cu", name, real, ceil_div(n, WARPS), 32 * WARPS, args)
