"""A training step in parts: every thread computes some samples of the batch, with the matrix library on one thread.

NumPy lets other threads run inside its calls, so the parts run side by side, the short calls between the products too.
Threads inside the products alone leave those waiting: benchmarks/encoder_step.py measures both.
"""
from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_info

from minimoe.models.language_model import IGNORE
from minimoe.moe.routing import Routing
from minimoe.nn.module import Module, Parameter
from minimoe.streams import PartStream
from minimoe.tensor import Tensor


@dataclass(frozen=True)
class Inputs:
    """What one step learns from: ids, mask, segments (B, S); labels (B,) or (B, S), of which -100 does not count."""

    ids: np.ndarray
    labels: np.ndarray
    mask: np.ndarray | None = None
    segments: np.ndarray | None = None

    def part(self, first: int, end: int) -> Inputs:
        return Inputs(*(None if a is None else a[first:end] for a in (self.ids, self.labels, self.mask, self.segments)))

    @property
    def tokens(self) -> int:
        return self.ids.size if self.mask is None else int(self.mask.sum())

    @property
    def targets(self) -> int:
        return int(np.count_nonzero(self.labels != IGNORE))


def can_split(model: Module) -> bool:
    """Whether the samples of a batch do not depend on one another, and the matrix library can be kept to one thread."""
    layers = model.expert_layers()
    return (all(layer.router.by_sample and not layer.experts.dropout for layer in layers)
            and any(library["user_api"] == "blas" for library in threadpool_info()))


class Parts:
    """`gradients(inputs)` leaves in `model` the gradients of the whole batch, computed on `threads` threads.

    loss_of(model, inputs) -> (mean loss over the targets, Output). The parts' losses are weighted by their targets, the
    auxiliary ones by their tokens. The balance loss is not linear in the batch, so between forward and
    backward its shares f_e are replaced by those of the whole batch. The result is that of one thread, up to the order
    of sums, and the same in every run. Call it with the matrix library on one thread.
    """

    def __init__(self, model: Module, loss_of: Callable, threads: int):
        self.model, self.loss_of = model, loss_of
        self.replicas = [_replica(model) for _ in range(threads)]
        self.pool = ThreadPoolExecutor(threads)
        pairs = list(zip(model.parameters(), zip(*(r.parameters() for r in self.replicas), strict=True), strict=True))
        self.groups = [pairs[i::threads] for i in range(threads)]       # who sums the gradients of which parameters

    def gradients(self, inputs: Inputs) -> tuple[float, list[Routing]]:
        """(the whole batch's loss, every part's routings)."""
        total = len(inputs.ids)
        n = min(len(self.replicas), total)
        ranges = [(total * i // n, total * (i + 1) // n) for i in range(n)]
        self._start_streams(ranges, total)
        parts = [inputs.part(first, end) for first, end in ranges]
        found = self._each(self.loss_of, self.replicas, parts)
        layers = [_JoinedLayer(routings) for routings in zip(*(output.routings for _, output in found), strict=True)]
        losses = [task * (part.targets / max(inputs.targets, 1)) + sum(layer.loss(i) for layer in layers)
                  for i, (part, (task, _)) in enumerate(zip(parts, found, strict=True))]
        self._each(Tensor.backward, losses)
        self._each(_sum_gradients, self.groups)
        self._keep_streams()
        value = sum(loss.item() for loss in losses) + sum(layer.missing for layer in layers)
        return value, [routing for _, output in found for routing in output.routings]

    def _each(self, function: Callable, *arguments) -> list:
        """function of every set of arguments, each on a thread of its own; the first error, once all have ended."""
        work = [self.pool.submit(function, *given) for given in zip(*arguments, strict=False)]
        wait(work)
        return [future.result() for future in work]

    def _start_streams(self, ranges: list[tuple[int, int]], total: int) -> None:
        for replica, (first, end) in zip(self.replicas, ranges, strict=False):
            for (_, stream), (_, own) in zip(replica.named_generators(), self.model.named_generators(), strict=True):
                stream.bit_generator.state = own.bit_generator.state
                stream.take(first, end, total)

    def _keep_streams(self) -> None:
        for (_, stream), (_, own) in zip(self.replicas[0].named_generators(), self.model.named_generators(),
                                         strict=True):
            own.bit_generator.state = stream.bit_generator.state


class _JoinedLayer:
    """One expert layer over the parts of a batch: its losses are means over tokens, and f_e is that of all parts."""

    def __init__(self, routings: tuple[Routing, ...]):
        self.routings = routings
        tokens = [_real(routing) - int(routing.nonfinite) for routing in routings]
        self.weights = [n / max(sum(tokens), 1) for n in tokens]
        asked = sum(np.bincount(routing.plan.expert, minlength=routing.plan.n_experts) for routing in routings)
        share = asked / max(asked.sum(), 1)
        self.missing = 0.0          # what the balance losses, already computed with the parts' own f_e, lack as numbers
        for weight, routing in zip(self.weights, routings, strict=True):
            p = routing.probabilities.data if routing.mask is None else routing.probabilities.data[routing.mask]
            own, whole = (float(p.sum(axis=0) @ f) for f in (routing.share, share))
            self.missing += weight * routing.balance_loss.item() * (whole / own - 1 if own else 0)
            routing.share[...] = share

    def loss(self, part: int) -> Tensor:
        return self.routings[part].aux_loss * self.weights[part]


def _real(routing: Routing) -> int:
    return routing.k.size if routing.mask is None else int(routing.mask.sum())


def _replica(model: Module) -> Module:
    """The same model over the same arrays, with gradients and random streams of its own."""
    twins = {id(p): Parameter(p.data, p.requires_grad) for p in model.parameters()}
    twins |= {id(generator): PartStream() for _, generator in model.named_generators()}
    return copy.deepcopy(model, twins)


def _sum_gradients(group: list[tuple[Parameter, list[Parameter]]]) -> None:
    """Gives every parameter the sum of its twins' gradients, always in the same order."""
    for parameter, twins in group:
        given = [twin.grad for twin in twins if twin.grad is not None]
        parameter.grad = given[0] if given else None
        for g in given[1:]:
            parameter.grad += g
        for twin in twins:
            twin.grad = None
