"""What every optimiser shares: groups of parameters, the checks before a step, and the state that is saved."""
from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minimoe.backend import array_module, backend_name, on_host, to_backend, to_host
from minimoe.tensor import FLOATS, Tensor, raw


class Optimiser:
    """Base class: a subclass calls `_keep` for the arrays it needs per parameter and writes `_update`.

    `parameters`: an iterable of tensors, or a list of groups, each a dict with "params" and any of the options to
    override, as in PyTorch; `param_groups` holds the result. A parameter whose `.grad` is None is skipped: neither
    it, nor its state, nor its count of steps changes. Raises ValueError for no parameters, a parameter given twice,
    one that is not a leaf and an unknown option; TypeError for what is no Tensor and dtypes other than float32 and
    float64.
    """

    def __init__(self, parameters, options: dict):
        self.param_groups = _groups(type(self).__name__, parameters, options)
        self._placed = [(p, group) for group in self.param_groups for p in group["params"]]
        self.state: dict[str, list] = {}            # name -> one array per parameter
        self.steps = [0] * len(self._placed)        # per parameter: the updates it has seen

    def _keep(self, name: str) -> None:
        self.state[name] = [array_module(p.data).zeros(p.shape, p.dtype) for p, _ in self._placed]

    @property
    def lr(self) -> float:
        """The learning rate of the first group; setting it sets every group's."""
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        check_options(type(self).__name__, lr=value)
        for group in self.param_groups:
            group["lr"] = float(value)

    def zero_grad(self) -> None:
        """Sets `.grad` of every parameter to None."""
        for p, _ in self._placed:
            p.grad = None

    def step(self, each=map) -> None:
        """One update of every parameter that has a gradient, in place; all of them or none.

        Raises FloatingPointError when a gradient is NaN, infinite or so large that its squares overflow its dtype,
        and ValueError when a gradient or a parameter has another shape or dtype than at the start. Parameters, state
        and counts are then as they were: one NaN would stay in the moments for ever. each: `map`, or that of a pool
        of threads, which then share the parameters among them.
        """
        self._check()
        list(each(self._update_one, range(len(self._placed))))

    def _update_one(self, number: int) -> None:
        p, group = self._placed[number]
        if p.grad is not None:
            self.steps[number] += 1
            state = [arrays[number] for arrays in self.state.values()]
            self._update(p.data, p.grad, *state, step=self.steps[number], group=group)
            p._version[0] += 1                      # a graph that still needs the old values will notice

    def _update(self, theta, g, *state, step: int, group: dict) -> None:
        raise NotImplementedError

    def _check(self) -> None:
        name = type(self).__name__
        trained = [(number, p) for number, (p, _) in enumerate(self._placed) if p.grad is not None]
        for number, p in trained:
            for kept in (p.grad, *(arrays[number] for arrays in self.state.values())):
                if kept.shape != p.shape or kept.dtype != p.dtype:
                    raise ValueError(f"{name}.step: parameter {number} is {p.shape} {p.dtype}, its gradient or state "
                                     f"{kept.shape} {kept.dtype}; make the optimiser after Module.to")
        for (number, p), norm in zip(trained, squared_norms([p.grad for _, p in trained]), strict=True):
            if not math.isfinite(norm):
                raise FloatingPointError(
                    f"{name}.step: the gradient of parameter {number}, shape {p.shape}, is NaN, infinite or too large "
                    f"to square in {p.dtype}; nothing was updated: skip this batch, clip, or lower the learning rate")

    def state_dict(self) -> dict[str, np.ndarray | float]:
        """Copies on the host, under flat names: "steps" int64 (parameters,), "lr.G" of group G (a number), and
        "m.I" (and "v.I") of parameter I, counted through the groups. Other options are not saved: they come from the
        constructor."""
        rates = {f"lr.{i}": float(group["lr"]) for i, group in enumerate(self.param_groups)}
        arrays = {name: to_host(a).copy() for name, a in self._named_state().items()}
        return {"steps": np.array(self.steps, np.int64), **rates, **arrays}

    def load_state_dict(self, state: dict) -> None:
        """Takes back what `state_dict` gave. Raises ValueError, before anything is written, when it is that of an
        optimiser over other parameters."""
        own = self._named_state()
        shapes = {"steps": (len(self.steps),), **{f"lr.{i}": () for i in range(len(self.param_groups))},
                  **{name: array.shape for name, array in own.items()}}
        values = {name: to_host(raw(value)) for name, value in state.items()}
        wrong = sorted(shapes.keys() ^ values.keys()) or [n for n in shapes if values[n].shape != shapes[n]]
        if wrong:
            raise ValueError(f"{type(self).__name__}.load_state_dict: missing, unexpected or of another shape: "
                             f"{', '.join(wrong[:8])}{' ...' if len(wrong) > 8 else ''}; the state belongs to another "
                             "model or optimiser, and nothing was loaded")
        self.steps = [int(count) for count in values["steps"]]
        for i, group in enumerate(self.param_groups):
            group["lr"] = float(values[f"lr.{i}"])
        for name, array in own.items():
            array[...] = to_backend(values[name], backend_name(array))

    def _named_state(self) -> dict:
        return {f"{name}.{i}": array for name, kept in self.state.items() for i, array in enumerate(kept)}


def squared_norms(gradients: list) -> list[float]:
    """sum g^2 of every array in its own dtype: NaN or infinite when an element is, or when the squares overflow.

    Arrays on a device are summed there and all sums are read at once.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        sums = [flat.dot(flat) for flat in (g.reshape(-1) for g in gradients)]
    if all(on_host(total) for total in sums):
        return [float(total) for total in sums]
    xp = array_module(*sums)
    return to_host(xp.stack([total.astype(xp.float64) for total in sums])).tolist()


def check_options(optimiser: str, **values) -> None:
    """Raises ValueError for a number that is negative, NaN or infinite."""
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{optimiser}: {name} is {value}; it must be a finite number of at least 0")


def _groups(name: str, parameters: Iterable, options: dict) -> list[dict]:
    if isinstance(parameters, Tensor | dict):
        raise TypeError(f"{name}: parameters is one {type(parameters).__name__}; give an iterable of tensors or a list "
                        "of groups")
    given = list(parameters)
    groups = given if given and isinstance(given[0], dict) else [{"params": given}]
    result = []
    for group in groups:
        unknown = group.keys() - options.keys() - {"params"}
        if unknown:
            raise ValueError(f"{name}: a group has {', '.join(sorted(unknown))}; options are {', '.join(options)}")
        if "params" not in group:
            raise ValueError(f"{name}: a group has no params; give {{'params': [...]}}")
        params = group["params"]
        result.append({**options, **group, "params": [params] if isinstance(params, Tensor) else list(params)})
    every = [p for group in result for p in group["params"]]
    for p in every:
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: parameters must be Tensors, got {type(p).__name__}")
        if p.dtype.name not in FLOATS:
            raise TypeError(f"{name}: a parameter is {p.dtype}; only float32 and float64 can be trained")
        if p._node is not None:
            raise ValueError(f"{name}: a parameter of shape {p.shape} was made by {p._node.name}; only leaves can be "
                             "trained")
    if not every:
        raise ValueError(f"{name}: there are no parameters (was an iterator used up?)")
    if len({id(p) for p in every}) < len(every):
        raise ValueError(f"{name}: the same parameter was given twice")
    return result
