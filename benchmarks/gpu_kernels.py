"""What gpu.py times of our own kernels: how many bytes a second, how many multiplications."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minimoe.backend import is_array, to_backend, to_host
from minimoe.kernels import cuda, reference

TOLERANCE = {"float32": 2e-3, "float64": 1e-9}      # relative to the largest number: sums over thousands of rows


@dataclass(frozen=True)
class Sizes:
    """batch samples of `length` tokens with `heads`; d wide; `experts` of hidden width f, two per token."""

    batch: int
    length: int
    heads: int
    d: int
    f: int
    experts: int
    words: int


FULL = Sizes(batch=64, length=256, heads=8, d=512, f=2048, experts=64, words=30000)
TINY = Sizes(batch=2, length=17, heads=2, d=20, f=33, experts=5, words=30)


@dataclass(frozen=True)
class Case:
    """A wrapper of kernels/cuda, its arguments on the host, and the bytes it must move: every array once."""

    name: str
    inputs: tuple
    bytes: int


def plan_of(random, sizes: Sizes):
    """token, expert, row_ptr, offsets, perm, inv of two random experts for every token."""
    tokens = sizes.batch * sizes.length
    expert = random.random((tokens, sizes.experts)).argsort(axis=1)[:, :2].astype(np.int32).reshape(-1)
    row_ptr = np.arange(0, 2 * tokens + 1, 2, dtype=np.int32)
    _, offsets, perm, inv = reference.sort_by_expert(expert, None, sizes.experts)
    return np.repeat(np.arange(tokens, dtype=np.int32), 2), expert, row_ptr, offsets, perm, inv


def memory_cases(sizes: Sizes, dtype: str) -> list[Case]:
    """The kernels whose time is the time of their reads and writes."""
    random, tokens = np.random.default_rng(0), sizes.batch * sizes.length
    token, expert, row_ptr, offsets, perm, inv = plan_of(random, sizes)
    rows = 2 * tokens

    def normal(*shape):
        return random.standard_normal(shape, "float32").astype(dtype)

    x, xs, h, weight = normal(tokens, sizes.d), normal(rows, sizes.d), normal(rows, sizes.f), normal(sizes.d)
    scores = normal(sizes.batch, sizes.heads, sizes.length, sizes.length)
    p, _ = reference.masked_softmax(scores.copy(), None)
    mask = np.ones((sizes.batch, sizes.length), bool)
    ids = random.integers(0, sizes.words, tokens).astype(np.int32)
    logits, inverse, gates = normal(tokens, sizes.experts), normal(tokens, 1), normal(rows)
    p_router, lse, _ = reference.router_softmax(logits)
    share, coefficients = normal(sizes.experts), np.array([0.01, 0.001, 0.0], dtype)
    b1, theta = normal(sizes.experts, sizes.f), normal(sizes.experts * sizes.d * sizes.f)
    index = expert.nbytes
    return [
        Case("gather_rows", (x, token[perm]), 2 * xs.nbytes + index),
        Case("combine_rows", (xs, gates, inv, row_ptr), xs.nbytes + x.nbytes + gates.nbytes + index + row_ptr.nbytes),
        Case("combine_rows_backward", (x, xs, gates, perm, token), 3 * xs.nbytes + 2 * gates.nbytes + 2 * index),
        Case("embedding_gradient", (ids, x, sizes.words), x.nbytes + ids.nbytes + sizes.words * x[0].nbytes),
        Case("sort_by_expert", (expert, None, sizes.experts), 3 * index),
        Case("masked_softmax", (scores, mask[:, None, None, :]), 2 * p.nbytes + p[..., 0].nbytes),
        Case("masked_softmax_backward", (p, scores), 3 * p.nbytes),
        Case("column_importance", (p, mask, "colsum", "mean"), p.nbytes),
        Case("router_softmax", (logits,), 2 * logits.nbytes + lse.nbytes + tokens),
        Case("select_experts", (logits, row_ptr, rows), logits.nbytes + index + row_ptr.nbytes),
        Case("router_backward",
             (gates, None, coefficients, p_router, lse, share, None, expert, inv, row_ptr, "raw", False),
             2 * logits.nbytes + lse.nbytes + gates.nbytes + 2 * index + row_ptr.nbytes),
        Case("layer_norm", (x, weight, weight, 1e-5), 3 * x.nbytes),
        Case("layer_norm_backward", (x, x, inverse, weight), 3 * x.nbytes),
        Case("add_bias", (h, b1, offsets), 2 * h.nbytes + b1.nbytes),
        Case("bias_activation", (h, b1, offsets, "gelu"), 3 * h.nbytes + b1.nbytes),
        Case("grouped_sum", (h, offsets), h.nbytes + b1.nbytes),
        Case("adamw_update", (theta, theta / 8, theta / 4, theta * theta, 3, 1e-3, 0.9, 0.999, 1e-8, 0.01),
             7 * theta.nbytes),
    ]


def on_device(inputs: tuple, backend: str) -> tuple:
    return tuple(to_backend(a, backend) if is_array(a) else a for a in inputs)


def check(name: str, found, expected) -> None:
    """Raises AssertionError, naming what was computed, unless both are equal but for rounding."""
    found, expected = (part if isinstance(part, tuple) else (part,) for part in (found, expected))
    for one, other in zip(found, expected, strict=True):
        one, other = to_host(one).astype("float64"), to_host(other)
        allowed = TOLERANCE.get(other.dtype.name, 0) * max(1.0, abs(other).max(initial=0))
        worst = abs(one - other).max(initial=0)
        if not worst <= allowed:                    # NaN too
            raise AssertionError(f"{name}: differs from NumPy by {worst:.3g}, allowed {allowed:.3g}; nothing is timed")


def memory_calls(sizes: Sizes, dtype: str, backend: str):
    """(name, bytes, call) of every memory-bound kernel, checked against its NumPy twin."""
    for case in memory_cases(sizes, dtype):
        copies = tuple(a.copy() if is_array(a) else a for a in case.inputs)             # some twins write in place
        kernel, inputs = getattr(cuda, case.name), on_device(case.inputs, backend)
        check(case.name, kernel(*inputs), getattr(reference, case.name)(*copies))
        yield case.name, case.bytes, lambda kernel=kernel, inputs=inputs: kernel(*inputs)


def product_calls(sizes: Sizes, dtype: str, backend: str, xp):
    """(name, floating-point operations, call) of the grouped products in both forms, and of one product as large."""
    random = np.random.default_rng(0)
    *_, offsets, _, _ = plan_of(random, sizes)
    rows = int(offsets[-1])
    host = [random.standard_normal(shape, "float32").astype(dtype)
            for shape in ((rows, sizes.d), (sizes.experts, sizes.d, sizes.f), (rows, sizes.f))]
    x, weight, gy = on_device(tuple(host), backend)
    there, flops = to_backend(offsets, backend), 2 * rows * sizes.d * sizes.f
    turned = weight.swapaxes(1, 2)
    calls: dict[str, Callable] = {"matmul (A, d) (d, f), one matrix": lambda: xp.matmul(x, weight[0])}
    for form, module, where in (("kernel", cuda, there), ("library", reference, offsets)):
        calls[f"grouped_matmul, {form}"] = lambda m=module, o=where: m.grouped_matmul(x, weight, o)
        calls[f"grouped_matmul by the transposed, {form}"] = lambda m=module, o=where: m.grouped_matmul(gy, turned, o)
        calls[f"grouped_weight_gradient, {form}"] = lambda m=module, o=where: m.grouped_weight_gradient(x, gy, o)
    expected = {"matmul (A, d) (d, f), one matrix": host[0] @ host[1][0],
                "grouped_matmul": reference.grouped_matmul(host[0], host[1], offsets),
                "grouped_matmul by the transposed": reference.grouped_matmul(host[2], host[1].swapaxes(1, 2), offsets),
                "grouped_weight_gradient": reference.grouped_weight_gradient(host[0], host[2], offsets)}
    for name, call in calls.items():
        check(name, call(), expected[name.removesuffix(", kernel").removesuffix(", library")])
        yield name, flops, call
