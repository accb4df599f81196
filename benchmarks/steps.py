"""The training steps that benchmarks measure, S and M, and a step of minimoe. Needs no PyTorch."""
from __future__ import annotations

from dataclasses import replace

from threadpoolctl import ThreadpoolController

from minimoe.models import EncoderConfig, MaskedLanguageModel
from minimoe.optim import AdamW
from minimoe.training.heap import keep_freed_memory
from minimoe.training.parts import Inputs, Parts

S = EncoderConfig(vocab_size=8192, d_model=128, n_layers=2, n_heads=4, d_ff=512, n_experts=8, router="topk",
                  router_options={"k": 2}, max_length=64, dropout=0.0)
M = replace(S, d_model=256, n_layers=4, d_ff=1024, max_length=128)
TINY = replace(S, vocab_size=50, d_model=16, d_ff=24, max_length=6)


def ours_step(model, threads: int, ids, labels):
    """As the trainer does it, in parts with more than one thread."""
    keep_freed_memory()
    adam, inputs = AdamW(model.parameters(), lr=1e-4), Inputs(ids, labels)
    parts = Parts(model, loss_of, threads) if threads > 1 else None
    libraries = ThreadpoolController()              # looks for them once, not in every step

    def step():
        if parts:
            with libraries.limit(limits=1):
                parts.gradients(inputs)
                adam.step(parts.pool.map)
        else:
            model.loss(ids, labels).backward()
            adam.step()
        adam.zero_grad()

    return step


def loss_of(model, inputs):
    output = model.encode(inputs.ids) if isinstance(model, MaskedLanguageModel) else model(inputs.ids)
    return model.task_loss(output, inputs.labels), output
