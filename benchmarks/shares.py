"""What routing, importance, allocation and the tape take of a layer and of a step. scaling.py prints it."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

import fair
import numpy as np
import torch
from clocks import profile
from encoder_step import TINY, M, S, ours_step
from moe_layer import compare, make_layers, our_pass

from minimoe import Tensor, autograd, op, ops
from minimoe.models import SequenceClassifier
from minimoe.moe.base import Router
from minimoe.moe.routers import DynamicRouter

LAYERS = {"width 128, hidden 512": (2048, 128, 512), "width 256, hidden 1024": (2048, 256, 1024)}
RULES = {"rowmax, ceil": {}, "colmax, budget of 2": {"measure": "colmax", "allocation": "budget", "mean_experts": 2}}
EVERY = dict.fromkeys(ops.OPS, "operations")


def share_rows(tiny: bool, times: int, only: str) -> Iterator[tuple[str, list[dict]]]:
    title = "shares of a layer, 2048 tokens, K 2, in %"
    if only in title:
        yield title, [layer_row(name, (24, 8, 12) if tiny else sizes, times) for name, sizes in LAYERS.items()]
    title = "shares of a step of DA-MoE, in %"
    if only in title:
        cost = tape_seconds(20 if tiny else 1000)
        steps = {"tiny": (TINY, 2)} if tiny else {"S": (S, 32), "M": (M, 16)}
        yield title, [step_row(name, rule, config, batch, times, cost)
                      for name, (config, batch) in steps.items() for rule in RULES]


def layer_row(name: str, sizes, times: int) -> dict:
    """The scores are those of the router's product; choice: softmax, K, the best experts, the plan, gates and losses;
    rows: those gathered for the experts and summed from them. All with their backward."""
    layer, theirs, x, gy, k = make_layers(sizes, 2, "gelu")
    compare(layer, theirs, x, gy, k)
    found = profile(lambda: our_pass(layer, x, gy), times,
                    {"choice": [(Router, "forward")], "tape": [(autograd, "backward")]},
                    {"linear": "scores", "router_terms": "choice", "add": "choice", "dispatch": "rows",
                     "combine": "rows", "expert_ffn": "experts", "mul": "asked", "sum": "asked"})
    layer_seconds = found["whole"] - found["asked"]                 # without the gradient that this benchmark asks for
    shares = {part: 100 * found[part] / layer_seconds for part in ("scores", "choice", "rows")}
    return {"layer": name, "layer ms": 1e3 * layer_seconds, **shares, "routing in all": sum(shares.values())}


def step_row(name: str, rule: str, config, batch: int, times: int, cost: float) -> dict:
    """cost: seconds that the tape takes for one operation."""
    random = np.random.default_rng(0)
    model = SequenceClassifier(replace(config, router="da", router_options=RULES[rule]))
    ids = random.integers(1, config.vocab_size, (batch, config.max_length))
    check_routing(model, ids, RULES[rule])
    step = ours_step(model, 1, ids, ids[:, 0] % 2)
    found = profile(step, times, {"importance": [(DynamicRouter, "importance")],
                                  "allocation": [(DynamicRouter, "experts_per_token")],
                                  "other routing": [(Router, "forward")]}, EVERY)
    whole = found["whole"]
    shares = {part: 100 * found[part] / whole for part in ("importance", "allocation")}
    return {"step": name, "rule": rule, "step ms": 1e3 * whole, **shares, "operations": int(found["nodes"]),
            "tape, us an operation": 1e6 * cost, "tape": 100 * found["nodes"] * cost / whole}


def check_routing(model, ids, rule: dict) -> None:
    """Importance and experts per token of every layer beside the formula, in PyTorch."""
    output = model(ids)
    for number, (attention, routing) in enumerate(zip(output.attentions, output.routings, strict=True)):
        p, e = torch.from_numpy(attention.data), routing.plan.n_experts
        importance = p.amax(2 if rule else 3).mean(1)
        fair.agree(f"layer {number}, importance", [routing.importance.reshape(ids.shape)], [importance], 1e-6)
        ours = torch.from_numpy(routing.importance).reshape(ids.shape)
        k = routing.k.reshape(ids.shape)
        if rule:
            fair.agree(f"layer {number}, budget", [k.sum(axis=1)], [np.full(len(ids), 2 * ids.shape[1])], 0)
        else:
            fair.agree(f"layer {number}, experts per token", [k], [(e * (ours - 1e-6)).ceil().clamp(1, e)], 0)


@op
def nearly_nothing(xp, x, weight):
    """An operation with two inputs and one number in each."""
    return x + weight, lambda gy: (gy, gy)


def tape_seconds(length: int) -> float:
    """What the tape costs an operation, there and back: a chain of them beside the same functions called directly."""
    x, weight = np.ones(1, np.float32), Tensor(np.ones(1, np.float32), requires_grad=True)

    def taped():
        y = weight
        for _ in range(length):
            y = nearly_nothing(y, weight)
        y.backward()

    def direct():
        steps, y = [], x
        for _ in range(length):
            y, backward = nearly_nothing.__wrapped__(np, y, weight.data)
            steps.append(backward)
        for backward in reversed(steps):
            backward(y)

    return (median(_seconds(taped) for _ in range(9)) - median(_seconds(direct) for _ in range(9))) / length


def _seconds(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
