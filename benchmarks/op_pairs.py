"""The same operation in minimoe and in PyTorch, on the same numbers: what ops.py compares, then times."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import fair
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minimoe import Tensor, ops
from minimoe.kernels import reference
from minimoe.models import SequenceClassifier
from minimoe.moe.plan import scan_counts, sorted_plan
from minimoe.optim import AdamW

TOLERANCE = 2e-5        # float32, of an array's largest entry: sums are taken in another order
SIZES = {
    "linear": [(512, 128, 512), (2048, 256, 1024), (4096, 512, 2048)],                  # rows, in, out
    "gelu": [(512, 512), (2048, 1024), (4096, 2048)],
    "softmax": [(8192, 64), (8192, 128)],
    "attention": [(32, 4, 64, 32), (16, 4, 128, 64)],                                   # samples, heads, length, width
    "layer norm": [(512, 128), (2048, 256), (4096, 512)],
    "dropout": [(2048, 256)],
    "embedding": [(2048, 8192, 128)],                                                   # ids, rows of the table, width
    "cross-entropy": [(2048, 1000), (2048, 8192)],                                      # rows, classes
    "routing": [(2048, 8, 2, 128)],                                                     # tokens, experts, K, width
}
TINY = {"linear": [(6, 5, 4)], "gelu": [(6, 5)], "softmax": [(6, 5)], "attention": [(2, 2, 5, 3)],
        "layer norm": [(6, 5)], "dropout": [(40, 30)], "embedding": [(9, 7, 4)], "cross-entropy": [(6, 5)],
        "routing": [(12, 4, 2, 3)]}


@dataclass(frozen=True)
class Pair:
    """Calls that answer with the same arrays, ours and those of PyTorch by name."""

    ours: Callable
    theirs: dict[str, Callable]
    compare: Callable = lambda what, ours, theirs: fair.agree(what, ours, theirs, TOLERANCE)


def pairs(sizes: dict, models) -> Iterator[tuple[str, str, Callable]]:
    """(operation, size, what makes the Pair): made one at a time, since the largest hold hundreds of megabytes."""
    for operation, kind, make in (
            ("linear, forward and backward", "linear", linear),
            ("linear with bias, forward and backward", "linear", partial(linear, bias=True)),
            ("gelu, forward and backward", "gelu", gelu),
            ("tanh gelu, forward and backward", "gelu", partial(gelu, approximate="tanh")),
            ("softmax, forward and backward", "softmax", softmax),
            ("attention, forward and backward", "attention", attention),
            ("layer norm, forward and backward", "layer norm", layer_norm),
            ("dropout, forward and backward", "dropout", dropout),
            ("embedding, forward", "embedding", embedding_forward),
            ("embedding, forward and backward", "embedding", embedding),
            ("cross-entropy, forward and backward", "cross-entropy", cross_entropy),
            ("the best experts of every token", "routing", choice),
            ("assignments sorted by expert", "routing", sort),
            ("combine, forward and backward", "routing", combine)):
        for shape in sizes[kind]:
            yield operation, " x ".join(map(str, shape)), partial(make, np.random.default_rng(0), *shape)
    for name, config in models.items():
        yield "AdamW, one step", f"all parameters of step {name}", partial(adam, np.random.default_rng(0), config)


def normal(random, *shape):
    return random.standard_normal(shape, "float32")


def differentiable(random, ours, theirs: dict[str, Callable], *inputs, compare=Pair.compare) -> Pair:
    """Both ways through a function of `inputs`, from the same upstream gradient."""
    gy = normal(random, *ours(*map(Tensor, inputs)).shape)
    return Pair(there_and_back(ours, inputs, gy),
                {name: there_and_back_torch(function, inputs, gy) for name, function in theirs.items()}, compare)


def there_and_back(function, inputs, gy) -> Callable:
    """A call of our operation, forward and backward, on the tape."""
    def call():
        tensors = [Tensor(a, requires_grad=True) for a in inputs]
        y = function(*tensors)
        y.backward(gy)
        return [y.data, *(t.grad for t in tensors)]
    return call


def there_and_back_torch(function, inputs, gy) -> Callable:
    tensors, gy = [torch.from_numpy(a.copy()).requires_grad_() for a in inputs], torch.as_tensor(gy)

    def call():
        for t in tensors:
            t.grad = None
        y = function(*tensors)
        y.backward(gy)
        return [y, *(t.grad for t in tensors)]
    return call


def linear(random, rows: int, wide: int, out: int, bias: bool = False) -> Pair:
    inputs = [normal(random, rows, wide), normal(random, out, wide)] + [normal(random, out)] * bias
    return differentiable(random, ops.linear, {"torch": F.linear}, *inputs)


def gelu(random, rows: int, width: int, approximate: str = "none") -> Pair:
    return differentiable(random, partial(ops.gelu, approximate=approximate),
                          {"torch": partial(F.gelu, approximate=approximate)}, normal(random, rows, width))


def softmax(random, rows: int, width: int) -> Pair:
    return differentiable(random, ops.softmax, {"torch": partial(F.softmax, dim=-1)}, normal(random, rows, width))


def attention(random, *shape: int) -> Pair:
    def formula(q, k, v):
        return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v

    return differentiable(random, lambda q, k, v: ops.attention(q, k, v)[0],
                          {"torch by the formula": formula, "torch fused": F.scaled_dot_product_attention},
                          *(normal(random, *shape) for _ in range(3)))


def layer_norm(random, rows: int, width: int) -> Pair:
    return differentiable(random, ops.layer_norm, {"torch": lambda x, w, b: F.layer_norm(x, w.shape, w, b)},
                          normal(random, rows, width), normal(random, width), normal(random, width))


def dropout(random, rows: int, width: int, p: float = 0.1) -> Pair:
    """Each side draws a mask of its own, so each is held against what its own mask asks for, and their shares of zeros
    against p, within five standard deviations."""
    x = normal(random, rows, width)

    def compare(what, *sides):
        for y, gx in sides:
            y = np.asarray(y.detach() if hasattr(y, "detach") else y)
            kept = (y != 0) / np.float32(1 - p)
            fair.agree(what, [y, gx], [x * kept, gy * kept], 1e-6)
            fair.agree(f"{what}, share of zeros", [np.mean(y == 0)], [p], 5 * math.sqrt((1 - p) / p / y.size))

    gy = normal(random, rows, width)
    return Pair(there_and_back(lambda t: ops.dropout(t, p, rng=random), [x], gy),
                {"torch": there_and_back_torch(lambda t: F.dropout(t, p), [x], gy)}, compare)


def embedding(random, n: int, rows: int, width: int) -> Pair:
    ids = random.integers(0, rows, n)
    return differentiable(random, lambda weight: ops.embedding(ids, weight),
                          {"torch": lambda weight: F.embedding(torch.from_numpy(ids), weight)},
                          normal(random, rows, width))


def embedding_forward(random, n: int, rows: int, width: int) -> Pair:
    ids, weight = random.integers(0, rows, n), normal(random, rows, width)
    ours, theirs, theirs_ids = Tensor(weight), torch.from_numpy(weight), torch.from_numpy(ids)
    return Pair(lambda: [ops.embedding(ids, ours).data], {"torch": lambda: [F.embedding(theirs_ids, theirs)]})


def cross_entropy(random, rows: int, classes: int) -> Pair:
    target = random.integers(0, classes, rows)
    return differentiable(random, lambda x: ops.cross_entropy(x, target),
                          {"torch": lambda x: F.cross_entropy(x, torch.from_numpy(target))},
                          normal(random, rows, classes))


def choice(random, tokens: int, experts: int, k: int, width: int) -> Pair:
    scores, row_ptr = normal(random, tokens, experts), scan_counts(np.full(tokens, k, np.int32))
    theirs = torch.from_numpy(scores)
    return Pair(lambda: [reference.select_experts(scores, row_ptr)],
                {"torch topk": lambda: [theirs.topk(k, dim=-1).indices.reshape(-1)]})


def sort(random, tokens: int, experts: int, k: int, width: int) -> Pair:
    expert = random.integers(0, experts, tokens * k, np.int32)
    theirs = torch.from_numpy(expert)

    def ours():
        counts, _, perm, _ = reference.sort_by_expert(expert, None, experts)
        return [counts, perm]

    return Pair(ours, {"torch sort": lambda: [torch.bincount(theirs, minlength=experts),
                                              theirs.sort(stable=True).indices]})


def combine(random, tokens: int, experts: int, k: int, width: int) -> Pair:
    expert = np.argsort(random.random((tokens, experts)), axis=1)[:, :k].astype(np.int32).reshape(-1)
    plan = sorted_plan(scan_counts(np.full(tokens, k, np.int32)), expert, experts)
    token, perm = torch.from_numpy(plan.token[plan.perm]), torch.from_numpy(plan.perm)

    def index_add(u, gates):
        return torch.zeros(tokens, width).index_add(0, token, u * gates[perm, None])

    return differentiable(random, lambda u, gates: ops.combine(u, gates, plan), {"torch index_add": index_add},
                          normal(random, tokens * k, width), normal(random, tokens * k))


def adam(random, config) -> Pair:
    """One step over all parameters of a model, again and again; the first is compared, from the same start."""
    ours = list(SequenceClassifier(config).parameters())
    for p in ours:
        p.grad = normal(random, *p.shape)
    optimiser = AdamW(ours, lr=1e-2)

    def step():
        optimiser.step()
        return [p.data for p in ours]

    def torch_step(**options):
        theirs = [nn.Parameter(torch.from_numpy(p.data.copy())) for p in ours]
        for p, own in zip(theirs, ours, strict=True):
            p.grad = torch.from_numpy(own.grad)
        adam = torch.optim.AdamW(theirs, lr=1e-2, **options)

        def call():
            adam.step()
            return theirs
        return call

    return Pair(step, {"torch": torch_step(foreach=False), "torch fused": torch_step(fused=True)})
