"""The routing plan: which token's row goes to which expert, as flat integer arrays."""
from __future__ import annotations

from dataclasses import dataclass

from minimoe import kernels
from minimoe.backend import array_module, is_array


@dataclass(frozen=True)
class RoutingPlan:
    """N tokens, A assignments (asked for), E experts; all arrays int32.

    Assignments stand token by token, best expert first: token i owns row_ptr[i]:row_ptr[i+1]. Sorted rows stand
    expert by expert, tokens ascending: expert e owns offsets[e]:offsets[e+1] of the kept assignments.
    """

    row_ptr: object    # (N+1,) exclusive scan of K
    expert: object     # (A,)   expert of every assignment
    perm: object       # (kept,) sorted row -> assignment
    inv: object        # (A,)   assignment -> sorted row, -1 when dropped
    offsets: object    # (E+1,) first sorted row of every expert
    counts: object     # (E,)   kept assignments of every expert
    token: object      # (A,)   token of every assignment

    @property
    def n_tokens(self) -> int:
        return self.row_ptr.size - 1

    @property
    def n_experts(self) -> int:
        return self.counts.size


def scan_counts(k):
    """row_ptr: the exclusive scan of experts per token, with a leading zero. int (N,) -> int32 (N+1,)."""
    xp = array_module(k)
    row_ptr = xp.zeros(k.size + 1, xp.int32)
    xp.cumsum(k, out=row_ptr[1:])
    return row_ptr


def build_plan(row_ptr, expert, n_experts: int, keep=None) -> RoutingPlan:
    """The plan for assignments in token order; `keep` (bool (A,) or None) marks those that are not dropped.

    Raises TypeError for rows of anything but integers; ValueError for an expert outside 0..n_experts-1, an expert that
    one token has twice, a row_ptr that does not rise from 0, or row_ptr and expert of different A.
    """
    for name, array in (("row_ptr", row_ptr), ("expert", expert)):
        if not is_array(array) or array.dtype.kind not in "iu" or array.ndim != 1:
            what = f"{array.dtype} {array.shape}" if is_array(array) else f"a {type(array).__name__}"
            raise TypeError(f"build_plan: {name} is {what}; it must be one row of integers")
    if row_ptr.size == 0 or int(row_ptr[-1]) != expert.size:
        raise ValueError(f"build_plan: row_ptr asks for {int(row_ptr[-1]) if row_ptr.size else None} assignments, "
                         f"expert has {expert.size}")
    if int(row_ptr[0]) != 0 or bool((row_ptr[1:] < row_ptr[:-1]).any()):
        raise ValueError("build_plan: row_ptr must start at 0 and never fall; take it from scan_counts(k)")
    if expert.size and not (0 <= int(expert.min()) and int(expert.max()) < n_experts):
        raise ValueError(f"build_plan: expert runs from {expert.min()} to {expert.max()}; there are {n_experts}")
    plan = sorted_plan(row_ptr, expert, n_experts, keep)
    token, perm = plan.token, plan.perm
    same = (token[perm[1:]] == token[perm[:-1]]) & (expert[perm[1:]] == expert[perm[:-1]])       # sorted: side by side
    if same.any():
        row = int(perm[int(same.argmax())])
        raise ValueError(f"build_plan: token {int(token[row])} has expert {int(expert[row])} twice; give it once")
    return plan


def sorted_plan(row_ptr, expert, n_experts: int, keep=None) -> RoutingPlan:
    """`build_plan` for assignments that are right by construction: it looks at no value, so nothing waits for a GPU."""
    kernel = kernels.of(expert)
    counts, offsets, perm, inv = kernel.sort_by_expert(expert, keep, n_experts)
    return RoutingPlan(row_ptr, expert, perm, inv, offsets, counts, kernel.token_of_assignment(row_ptr, expert.size))
