"""Routers that try to do better than DA-MoE as it is read. Each changes one thing, and each can be judged by its own
shuffled control (`benchmarks/grids/ideas.toml`). All of this is ours; nothing here is from the paper.

    minimoe train --router benchmarks/ideas.py:Doubtful --importance colmax --allocation budget --mean-experts 2
"""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from minimoe import ops
from minimoe.backend import array_module, backend_name, to_backend
from minimoe.moe import DynamicRouter
from minimoe.moe.importance import router_entropy
from minimoe.nn import Parameter
from minimoe.tensor import Tensor, raw


class Annealed(DynamicRouter):
    """The mean number of experts falls in a straight line from `start` to `mean_experts` over the first `over` training
    batches: many experts learn early, few are paid for later. An evaluated model has reached mean_experts."""

    by_sample = False                               # one call is one batch

    def __init__(self, *args, start: float = 4.0, over: int = 300, **options):
        super().__init__(*args, **options)
        self.start, self.over, self.end = start, over, self.allocation["mean_experts"]
        low, high = self.k_range
        if self.end is None or not (low <= start <= high and over > 0):
            raise ValueError(f"Annealed: start={start}, over={over}, mean_experts={self.end}; it needs mean_experts, a "
                             f"start in {low}..{high} and a positive number of batches")
        self.seen = Parameter(np.zeros(1), requires_grad=False)         # training batches, kept in a checkpoint

    def forward(self, x, importance=None, mask=None):
        left = 0.0
        if self.training:
            left = max(1 - float(self.seen.data[0]) / self.over, 0.0)
            self.seen.data += 1
        self.allocation["mean_experts"] = self.end + (self.start - self.end) * left
        return super().forward(x, importance, mask)


class RaggedBalance(DynamicRouter):
    """A balance loss that knows that tokens differ in K: P_e is the mean of K_i p_ie instead of that of p_ie, so that
    both factors of E sum_e f_e P_e count a token as often as it has experts."""

    by_sample = False

    def __init__(self, *args, balance_weight: float = 0.01, **options):
        super().__init__(*args, balance_weight=0.0, **options)
        self.balance_weight = balance_weight

    def choose(self, logits, softmax, importance, mask, bad, known):
        routing = super().choose(logits, softmax, importance, mask, bad, known)
        k = routing.k.astype(logits.dtype)[:, None]                     # (N, 1), 0 at padding
        p = (routing.probabilities * (k / max(int(routing.plan.row_ptr[-1]), 1))).sum(axis=0)       # (E,)
        return replace(routing, balance_loss=(p * routing.share).sum() * (self.balance_weight * self.n_experts))


class Doubtful(DynamicRouter):
    """Importance times the entropy of the router's probabilities (over log E): more experts for a token that matters
    and of which the router is unsure which expert is its own."""

    def choose(self, logits, softmax, importance, mask, bad, known):
        doubt = router_entropy(self._by_sample(softmax[0], importance))
        return super().choose(logits, softmax, importance * doubt, mask, bad, known)


class Tempered(DynamicRouter):
    """Importance to the power t, learned: 1 at first; above 1 the counts differ more, below 1 less. As nothing flows
    back through counts, t learns from the layer's answer, scaled by 1 + scale (I^t - mean I^t), scale from 0."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.log_t = Parameter(np.zeros(1, np.float32))
        self.scale = Parameter(np.zeros(1, np.float32))

    def forward(self, x, importance=None, mask=None):
        importance = raw(importance)
        return super().forward(x, importance ** array_module(importance).exp(self.log_t.data), mask)

    def weigh(self, y, importance, mask):
        values = raw(importance)                                                        # (B, S), before the power
        xp = array_module(values)
        real = (xp.ones(values.shape) if mask is None else to_backend(mask, backend_name(values))).astype(values.dtype)
        log = Tensor(xp.log(xp.maximum(values, 1e-30)))
        power = ops.exp(log * ops.exp(self.log_t)) * real                               # (B, S)
        mean = power.sum(axis=1, keepdims=True) / real.sum(axis=1, keepdims=True)
        return y * ((power - mean).reshape(-1, 1) * self.scale + 1)
