"""One expert layer, router and auxiliary losses included, forward and backward, against PyTorch.

    python benchmarks/moe_layer.py --json layer.json                # about 4 minutes

2048 tokens, 8 experts; K: experts per token, 2, or drawn from 1 to 4. "torch eager": a loop over the experts with
index_select and index_add; "torch best": rows sorted by expert once. Outputs and gradients are compared first, in
float64.
"""
from __future__ import annotations

import sys
from functools import partial

import fair  # first: it sets OpenBLAS up before NumPy loads
import numpy as np
import peers
import torch

from minimoe import Tensor
from minimoe.moe import MoELayer, Router, TopKRouter

SIZES = {"width 128, hidden 512": (2048, 128, 512), "width 256, hidden 1024": (2048, 256, 1024)}
TINY = (24, 8, 12)
EXPERTS = 8


class Preset(Router):
    """Gives every token the number of experts that it is told."""

    def experts_per_token(self, probabilities, importance, mask):
        return self.k


def make_layers(sizes, k, activation: str):
    """(our layer, {name: PyTorch's layer}, x, gy, K for PyTorch) with equal weights."""
    n, d, f = sizes
    random = np.random.default_rng(0)
    router = TopKRouter(d, EXPERTS, k=2, rng=0) if k == 2 else Preset(d, EXPERTS, rng=0)
    if k != 2:
        router.k = random.integers(1, 5, n).astype(np.int32)
    layer = MoELayer(d, f, EXPERTS, router, activation, rng=1)
    theirs = {name: peers.Experts(d, f, EXPERTS, activation, best) for name, best in
              (("torch eager", False), ("torch best", True))}
    for peer in theirs.values():
        peer.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in layer.state_dict().items()})
    x, gy = random.standard_normal((2, n, d), "float32")
    return layer, theirs, x, gy, 2 if k == 2 else torch.from_numpy(router.k)


def our_pass(layer, x, gy):
    """The gradients of x and of the parameters, for upstream gradient gy and the auxiliary losses; y too."""
    x = Tensor(x, requires_grad=True)
    layer.zero_grad()
    y, routing = layer(x)
    ((y * Tensor(gy)).sum() + routing.aux_loss).backward()
    return [y.data, x.grad, *(p.grad for _, p in sorted(layer.named_parameters(), key=lambda pair: pair[0]))]


def torch_pass(layer, x, gy, k):
    x = x.clone().requires_grad_()
    layer.zero_grad()
    y, losses = layer(x, k)
    ((y * gy).sum() + losses).backward()
    return [y, x.grad, *(p.grad for _, p in sorted(layer.named_parameters()))]


def compare(layer, theirs, x, gy, k) -> None:
    wide = [a.astype(np.float64) for a in (x, gy)]
    found = our_pass(layer.to(dtype="float64"), *wide)
    for name, peer in theirs.items():
        fair.agree(f"expert layer, {name}", found,
                   torch_pass(peer.double(), *(torch.from_numpy(a) for a in wide), k), 1e-9)
        peer.float()
    layer.to(dtype="float32")


def rows(sizes, k, activation: str, n: int, options) -> list[dict]:
    layer, theirs, x, gy, k_torch = make_layers(sizes, k, activation)
    compare(layer, theirs, x, gy, k_torch)
    batch = torch.from_numpy(x), torch.from_numpy(gy), k_torch
    calls = {"minimoe": lambda: our_pass(layer, x, gy)}
    calls |= {name: lambda peer=peer: torch_pass(peer, *batch) for name, peer in theirs.items()}
    with fair.threads(n):
        return fair.beside_torch(calls, options)


def measure(options) -> dict:
    results = {}
    keep = fair.keeper(results, options.only)
    work = [(f"{size}, {name}, K {k}", sizes, k, activation) for size, sizes in SIZES.items()
            for activation, name in (("gelu", "gelu"), ("gelu_tanh", "tanh gelu")) for k in (2, "1 to 4")]
    for title, sizes, k, activation in work:
        for n in options.threads:
            keep(fair.on_threads(title, n), partial(fair.in_own_process, options, rows, TINY if options.tiny else sizes,
                                                    k, activation, n, options))
    return results


if __name__ == "__main__":
    sys.exit(fair.run("An expert layer against PyTorch.", measure, add_options=fair.add_memory))
