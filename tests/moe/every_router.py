"""Every router under every schedule, with layers and batches alive enough to test on."""
from __future__ import annotations

import numpy as np
import pytest

from minimoe import Tensor
from minimoe.moe import MoELayer, Router

D, F, E = 3, 5, 4
ROUTERS = {
    "switch": ("switch", {}),
    "topk": ("topk", {"k": 2}),
    "topp": ("topp", {"p": 0.6}),
    "expert_choice": ("expert_choice", {"mean_experts": 2.0}),
    "da ceil": ("da", {}),
    "da affine": ("da", {"allocation": "affine", "k_max": 3}),
    "da threshold": ("da", {"allocation": "threshold", "thresholds": [0.3, 0.5, 0.8]}),
    "da running thresholds": ("da", {"allocation": "threshold", "threshold_shares": [0.4, 0.7]}),
    "da mass": ("da", {"allocation": "mass", "rho": 0.6, "k_max": 3}),
    "da quantile": ("da", {"allocation": "quantile", "mean_experts": 2.0}),
    "da budget": ("da", {"allocation": "budget", "mean_experts": 2.2}),
    "da pairs": ("da", {"allocation": "pairs", "mean_experts": 1.8}),
    "da top_p": ("da", {"allocation": "top_p", "p": 0.7}),
    "da router_entropy": ("da", {"measure": "router_entropy"}),
}
EVERY = pytest.mark.parametrize("name", ROUTERS)


def layer_of(name: str, n_experts: int = E, d: int = D, f: int = F, dtype: str = "float64", seed: int = 0,
             **options) -> MoELayer:
    """An expert layer with the router `name` and weights large enough that tokens disagree."""
    router, its_options = ROUTERS[name]
    layer = MoELayer(d, f, n_experts, router, rng=seed, router_options=its_options | options).to(dtype=dtype)
    random = np.random.default_rng(seed + 1)
    for parameter in layer.parameters():
        if parameter.requires_grad:
            parameter.data[...] = random.standard_normal(parameter.shape)
    return layer


def batch(lengths=(4, 2, 0), d: int = D, seed: int = 0, dtype: str = "float64"):
    """x (B, S, d), importance (B, S) in 0..1 and 0 at padding, mask (B, S); the samples have these many real tokens."""
    random = np.random.default_rng(seed)
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    importance = np.where(mask, random.random(mask.shape), 0)
    return random.standard_normal((*mask.shape, d)).astype(dtype), importance.astype(dtype), mask


class Given(Router):
    """As many experts per token as the test says."""

    counts = None

    def experts_per_token(self, probabilities, importance, mask):
        return np.asarray(self.counts)


def layer_given(counts, n_experts=E, d=D, f=5, **options):
    router = Given(d, n_experts, rng=0, **options)
    router.counts = counts
    layer = MoELayer(d, f, n_experts, router, rng=1).to(dtype="float64")
    random = np.random.default_rng(2)
    for parameter in layer.parameters():
        parameter.data[...] = random.standard_normal(parameter.shape)
    return layer


def backward(layer, x, *arguments):
    """(y, routing, gradient of x) of one pass; every parameter has its gradient."""
    x = Tensor(x, requires_grad=True)
    y, routing = layer(x, *arguments)
    ((y * y).sum() + routing.aux_loss).backward()
    return y.data, routing, x.grad


def aux(routing):
    return [routing.balance_loss.item(), routing.z_loss.item(), routing.entropy_loss.item()]
