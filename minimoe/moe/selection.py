"""Which assignments survive a finite capacity."""
from __future__ import annotations

import math

from minimoe.backend import array_module

PRIORITIES = ("position", "prob", "importance")


def expert_capacity(assignments: int, tokens: int, n_experts: int, factor: float, minimum: int = 1) -> int:
    """C = min(N, max(C_min, ceil(factor * A / E - 1e-9))): rows an expert may take.

    Equals Switch's factor * N / E at one expert per token (arXiv 2101.03961 eq. 3, confirmed); using A for ragged K is
    assumed. The 1e-9 keeps 100 * 1.1 / 10, which is 11.000000000000002, at 11.
    """
    return min(tokens, max(minimum, math.ceil(factor * assignments / n_experts - 1e-9)))


def keep_within_capacity(plan, level, priority, capacity: int):
    """bool (A,): True for the first `capacity` assignments of every expert of a plan that drops none.

    Order within an expert: choice level ascending (all first choices before all second ones), then `priority`
    descending, then token ascending. level and priority (A,).
    """
    expert, token = plan.expert, plan.token
    xp = array_module(expert)
    order = xp.lexsort(xp.stack([token, -priority, level, expert]))     # the last row is the first key
    place = xp.arange(expert.size) - plan.offsets[expert[order]]        # 0, 1, 2, ... within each expert
    keep = xp.empty(expert.size, bool)
    keep[order] = place < capacity
    return keep
