"""The expert layer and a training step of the encoder, here and in PyTorch on the same device."""
from __future__ import annotations

import numpy as np
import peers
import torch
from gpu_kernels import Sizes, check, plan_of
from torch.nn import functional as F

from minimoe import Tensor, ops
from minimoe.backend import to_backend
from minimoe.models import EncoderConfig, SequenceClassifier
from minimoe.optim import AdamW

LAYERS, MOST_EXPERTS = 2, 16                        # of the encoder: two of them, with Adam's state, fit in 16 GB


def expert_calls(sizes: Sizes, dtype: str, backend: str, device: str):
    """(name, call) of forward and backward of every expert on its rows: in our two forms and in PyTorch."""
    random = np.random.default_rng(0)
    *_, offsets, _, _ = plan_of(random, sizes)
    e, d, f, rows = sizes.experts, sizes.d, sizes.f, int(offsets[-1])
    host = [random.standard_normal(shape, "float32").astype(dtype) / np.dtype(dtype).type(np.sqrt(shape[-2]))
            for shape in ((rows, d), (e, d, f), (e, f), (e, f, d), (e, d))]
    gradient = np.ones((rows, d), dtype)
    ours = [Tensor(a, requires_grad=True, backend=backend) for a in host]
    theirs = [torch.from_numpy(a.copy()).to(device).requires_grad_() for a in host]
    there, gu = to_backend(offsets, backend), to_backend(gradient, backend)
    gu_torch, bounds = torch.from_numpy(gradient).to(device), offsets.tolist()

    def minimoe(form):
        for t in ours:
            t.grad = None
        ops.expert_ffn(*ours, there, grouped=form).backward(gu)
        return tuple(t.grad for t in ours)

    def pytorch():
        for t in theirs:
            t.grad = None
        x, w1, b1, w2, b2 = theirs
        u = [F.gelu(x[lo:hi] @ w1[i] + b1[i]) @ w2[i] + b2[i]
             for i, (lo, hi) in enumerate(zip(bounds, bounds[1:], strict=False))]
        torch.cat(u).backward(gu_torch)
        return tuple(t.grad for t in theirs)

    expected = tuple(g.cpu().numpy() for g in pytorch())
    for form in ("library", "kernel"):
        check(f"expert layer, {form}", minimoe(form), expected)
        yield f"minimoe, {form}", lambda form=form: minimoe(form)
    yield "PyTorch", pytorch


def step_calls(sizes: Sizes, dtype: str, backend: str, device: str):
    """(name, call) of a training step, forward, backward and AdamW, of a Switch encoder: ours and PyTorch's."""
    config = EncoderConfig(sizes.words, d_model=sizes.d - sizes.d % sizes.heads, n_layers=LAYERS, n_heads=sizes.heads,
                           d_ff=sizes.f, n_experts=min(sizes.experts, MOST_EXPERTS), router="switch",
                           max_length=sizes.length, dropout=0.0)
    random = np.random.default_rng(0)
    ids = random.integers(1, sizes.words, (sizes.batch, sizes.length))      # no padding: attention without a mask
    labels = ids[:, 0] % 2
    ours = SequenceClassifier(config, rng=0).to(dtype=dtype)
    theirs = peers.Encoder(config, best=True).to(getattr(torch, dtype))
    theirs.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in ours.state_dict().items()})
    ours, theirs = ours.to(backend=backend), theirs.to(device)
    ours_adam, theirs_adam = AdamW(ours.parameters(), lr=1e-4), torch.optim.AdamW(theirs.parameters(), lr=1e-4)
    ids_torch, labels_torch = (torch.from_numpy(a).to(device) for a in (ids, labels))

    def step(model, optimiser, *batch):
        optimiser.zero_grad()
        loss = model.loss(*batch)
        loss.backward()
        optimiser.step()
        return loss

    first = step(ours, ours_adam, ids, labels), step(theirs, theirs_adam, ids_torch, labels_torch, 1)
    check("encoder step", first[0].data, first[1].detach().cpu().numpy())
    yield "minimoe", lambda: step(ours, ours_adam, ids, labels)
    yield "PyTorch", lambda: step(theirs, theirs_adam, ids_torch, labels_torch, 1)
