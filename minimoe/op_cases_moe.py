"""The table of operations, second part: attention and experts. See op_cases.py."""
from __future__ import annotations

import numpy as np

from minimoe.moe.plan import RoutingPlan, build_plan, scan_counts
from minimoe.op_cases_general import Case, fixed, mask, normal, of, positive


def plan(chosen: list[list[int]], n_experts: int, dropped: tuple[int, ...] = ()) -> RoutingPlan:
    """The plan for tokens that chose these experts, best first; `dropped`: assignments that got no room."""
    expert = np.array([e for token in chosen for e in token], np.int32)
    keep = ~np.isin(np.arange(expert.size), dropped) if dropped else None
    return build_plan(scan_counts(np.array([len(token) for token in chosen], np.int32)), expert, n_experts, keep)


# four tokens, of which one has no expert; four experts, of which one has no token: six assignments
PLANS = {"": plan([[0, 1], [2], [2, 0, 1], []], 4),
         "two dropped": plan([[0, 1], [2], [2, 0, 1], []], 4, dropped=(1, 2)),
         "all on one expert": plan([[1], [1], [1], [1]], 2),
         "no expert for anyone": plan([[], []], 2),
         "no token": plan([], 3)}


def expert_weights(n_experts: int, d: int, f: int, hidden: int | None = None):
    """`hidden`: width before the activation, 2 f for a gated one."""
    hidden = hidden or f
    return [normal(n_experts, d, hidden), normal(n_experts, hidden), normal(n_experts, f, d), normal(n_experts, d)]


LOSSES = {"balance_weight": 0.7, "z_weight": 0.3, "entropy_weight": 0.5}

CASES = [
    Case("attention", of(normal(3, 4), normal(5, 4), normal(5, 2)), note="one head"),
    Case("attention", of(normal(2, 2, 3, 4), normal(2, 2, 3, 4), normal(2, 2, 3, 4),
                         fixed([[True, True, False], [True, True, True]])), note="padding"),
    Case("attention", of(normal(2, 1, 3, 2), normal(2, 1, 3, 2), normal(2, 1, 3, 2), fixed([[False] * 3, [True] * 3])),
         {"scale": 1.0}, "nothing to look at"),
    Case("attention", of(normal(2, 3, 2), normal(2, 4, 2), normal(2, 4, 2), mask(2, 3, 4)), note="mask of each query"),
    Case("attention", of(normal(1, 2, 3, 2), normal(1, 2, 3, 2), normal(1, 2, 3, 2)), {"dropout_p": 0.4, "rng": 2},
         "dropout"),
    Case("attention", of(normal(0, 2, 3, 2), normal(0, 2, 3, 2), normal(0, 2, 3, 2)), note="no sample"),
    *[Case("dispatch", of(normal(p.n_tokens, 3)), {"plan": p}, note) for note, p in PLANS.items()],
    *[Case("combine", of(normal(p.perm.size, 3), normal(p.expert.size)), {"plan": p}, note)
      for note, p in PLANS.items()],
    *[Case("select_gates", of(positive(p.n_tokens, p.n_experts)), {"plan": p, "form": form}, f"{form} {note}".strip())
      for form in ("raw", "renorm", "equal") for note, p in PLANS.items()],
    Case("select_gates", of(positive(4, 4)),
         {"plan": PLANS["two dropped"], "form": "renorm", "renorm_after_drop": True}, "renorm after the drop"),
    *[Case("router_terms", of(normal(p.n_tokens, p.n_experts)), {"plan": p, "form": form} | LOSSES,
           f"{form} {note}".strip()) for form in ("raw", "renorm", "equal") for note, p in PLANS.items()],
    *[Case("router_terms", of(normal(4, 4)),
           {"plan": PLANS["two dropped"], "form": form, "renorm_after_drop": True, "share": np.array([1, 1, 1, 0]) / 3,
            "counted": np.array([True, True, True, False])} | LOSSES, f"{form} after the drop, a padded token")
      for form in ("raw", "renorm")],
    Case("router_terms", of(normal(4, 4)), {"plan": PLANS[""], "counted": np.zeros(4, bool)} | LOSSES,
         "nobody counts"),
    Case("grouped_linear", of(normal(5, 3), normal(3, 3, 2), normal(3, 2), fixed([0, 2, 2, 5]))),
    Case("grouped_linear", of(normal(4, 3), normal(2, 3, 2)), {"bias": None, "offsets": np.array([0, 0, 4])},
         "no bias"),
    Case("grouped_linear", of(normal(5, 3), normal(3, 3, 2), normal(3, 2), fixed([0, 2, 2, 5])), {"grouped": "kernel"},
         "one launch"),
    Case("grouped_linear", of(normal(0, 3), normal(2, 3, 2), normal(2, 2), fixed([0, 0, 0])), note="no row"),
    *[Case("expert_ffn", of(normal(5, 2), *expert_weights(3, 2, 3), fixed([0, 2, 2, 5])), {"activation": activation},
           activation) for activation in ("gelu", "gelu_tanh", "relu")],
    *[Case("expert_ffn", of(normal(5, 2), *expert_weights(3, 2, 3, hidden=6), fixed([0, 2, 2, 5])),
           {"activation": activation}, activation) for activation in ("geglu", "reglu")],
    Case("expert_ffn", of(normal(4, 2), *expert_weights(2, 2, 3), fixed([0, 1, 4])), {"dropout_p": 0.4, "rng": 1},
         "dropout"),
    Case("expert_ffn", of(normal(5, 2), *expert_weights(3, 2, 3), fixed([0, 2, 2, 5])), {"grouped": "kernel"},
         "one launch"),
    Case("expert_ffn", of(normal(0, 2), *expert_weights(2, 2, 3), fixed([0, 0, 0])), note="no row"),
]
