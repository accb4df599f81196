"""A whole training step, forward, backward and Adam, against PyTorch: eager, and at its strongest.

    python benchmarks/encoder_step.py --json steps.json             # about 10 minutes
    python benchmarks/encoder_step.py --only "S " --threads 1

S: 2 layers, width 128, 4 heads, 8 experts of hidden width 512, 32 x 64 tokens; M: 4 layers, width 256, hidden width
1024, 16 x 128 tokens. K: experts per token, 2, or drawn from 1 to 4. Losses and gradients are compared first, in
float64. No dropout and no padding. With more than one thread our step computes parts of the batch on threads, as
`--threads` does in training.
"""
from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial

import fair  # first: it sets OpenBLAS up before NumPy loads
import numpy as np
import peers
import torch
from steps import TINY, M, S, ours_step

from minimoe.models import MaskedLanguageModel, SequenceClassifier
from minimoe.moe import Router

#        title                                    config, batch, K per token, what is asked
STEPS = [("S class, gelu, K 2", S, 32, 2, "class"),
         ("S class, gelu, K 1 to 4", S, 32, "1 to 4", "class"),
         ("S class, tanh gelu, K 2", replace(S, activation="gelu_tanh"), 32, 2, "class"),
         ("M class, gelu, K 2", M, 16, 2, "class"),
         ("M class, tanh gelu, K 2", replace(M, activation="gelu_tanh"), 16, 2, "class"),
         ("S masked words, 8192 scores for every token", S, 32, 2, "all"),
         ("S masked words, 8192 scores for 15 % of the tokens", S, 32, 2, "some")]


class Preset(Router):
    """Gives every token the number of experts that it is told: the same to every sample, so that a thread's part of
    the batch gets its own."""

    def experts_per_token(self, probabilities, importance, mask):
        return self.k[:len(probabilities)]


def make_step(config, batch: int, k, ask: str):
    """(our model, {name: PyTorch's}, our batch, PyTorch's batch), after a comparison of losses and gradients."""
    random = np.random.default_rng(0)
    ids = random.integers(1, config.vocab_size, (batch, config.max_length))
    hidden = random.random(ids.shape) < {"class": 0, "all": 1, "some": 0.15}[ask]
    labels = ids[:, 0] % 2 if ask == "class" else np.where(hidden, ids, -100)
    counts = np.tile(random.integers(1, 5, ids.shape[1], np.int32), batch) if k == "1 to 4" else k
    words = ask != "class"
    model = (MaskedLanguageModel if words else SequenceClassifier)(config, rng=0)
    if k == "1 to 4":
        for layer in model.expert_layers():
            weight, layer.router = layer.router.weight, Preset(config.d_model, config.n_experts, rng=0)
            layer.router.weight, layer.router.k = weight, counts
    weights = {name: torch.from_numpy(value.copy()) for name, value in model.state_dict().items()}
    theirs = {}
    for name, best in (("torch eager", False), ("torch best", True)):
        theirs[name] = peers.Encoder(config, best, words)
        theirs[name].load_state_dict(weights)
    ids_torch, labels_torch = torch.from_numpy(ids), torch.from_numpy(labels)
    k_torch = k if isinstance(k, int) else torch.from_numpy(counts)

    model.to(dtype="float64")                       # where no rounding tips a choice between two experts
    loss = model.loss(ids, labels)
    loss.backward()
    for name, peer in theirs.items():
        expected = peer.double().loss(ids_torch, labels_torch, k_torch)
        expected.backward()
        agree_on(name, model, loss, peer, expected)
        peer.float().zero_grad()
    model.to(dtype="float32").zero_grad()
    return model, theirs, (ids, labels), (ids_torch, labels_torch, k_torch)


def agree_on(name: str, model, loss, peer, expected) -> None:
    fair.agree(f"{name}, loss", [loss.item()], [expected.item()], 1e-10)
    found, wanted = dict(model.named_parameters()), dict(peer.named_parameters())
    fair.agree(f"{name}, gradients", *([side[key].grad for key in found] for side in (found, wanted)), 1e-9)


def rows(config, batch: int, k, ask: str, n: int, options) -> list[dict]:
    with fair.threads(n):
        model, theirs, batch_ours, batch_theirs = make_step(config, batch, k, ask)
        calls = {"minimoe": ours_step(model, n, *batch_ours)}
        calls |= {name: peers.torch_step(peer, name == "torch best", *batch_theirs) for name, peer in theirs.items()}
        return fair.beside_torch(calls, options)


def measure(options) -> dict:
    results = {}
    keep = fair.keeper(results, options.only)
    for title, config, batch, k, ask in STEPS:
        if options.tiny:
            config, batch = replace(TINY, activation=config.activation), 2
        for n in options.threads:
            keep(fair.on_threads(title, n),
                 partial(fair.in_own_process, options, rows, config, batch, k, ask, n, options))
    return results


if __name__ == "__main__":
    sys.exit(fair.run("A training step against PyTorch.", measure, add_options=fair.add_memory))
