"""Module: a tree of parameters with names. A layer sets attributes and writes `forward`; the rest is inherited."""
from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from minimoe.backend import to_backend, to_host
from minimoe.tensor import FLOATS, Tensor, raw


class Parameter(Tensor):
    """A tensor that a Module finds among its attributes; it shares memory with the array it is made from.

    With `requires_grad=False` it is state that is saved with the model but not trained.
    """

    __slots__ = ()

    def __init__(self, data, requires_grad: bool = True, dtype=None, backend: str | None = None):
        super().__init__(data, requires_grad, dtype, backend)


class Module:
    """A layer or a model: its attributes that are Parameters or Modules, in the order they were first set.

    Names are dotted paths of attributes, as in PyTorch. A parameter or module that stands in the tree twice (tied
    weights) is listed once, under its first name, everywhere: in `named_parameters` and in `state_dict`.
    """

    training = True

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} needs a method forward")

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    # the tree
    def _members(self) -> Iterator[tuple[str, object]]:
        for name, value in vars(self).items():
            items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            if any(isinstance(item, Parameter | Module) for item in items):
                raise TypeError(f"{type(self).__name__}: attribute {name} is a {type(value).__name__} of modules or "
                                "parameters, which would never be trained; use minimoe.nn.ModuleList")
            yield name, value

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """("", self), then every module below it, parents before children."""
        seen: set[int] = set()
        waiting: list[tuple[str, Module]] = [("", self)]
        while waiting:
            path, module = waiting.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                children = [(_join(path, name), m) for name, m in module._members() if isinstance(m, Module)]
                waiting.extend(reversed(children))

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once; a module's own ones before those of the modules in it."""
        return self._named(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def named_generators(self) -> Iterator[tuple[str, np.random.Generator]]:
        """Every generator that forward passes draw from (dropout) once; a checkpoint saves their states."""
        return self._named(np.random.Generator)

    def _named(self, kind: type) -> Iterator[tuple[str, object]]:
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, value in module._members():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield _join(path, name), value

    # values
    def state_dict(self) -> dict[str, np.ndarray]:
        """Name -> a copy of the parameter on the host."""
        return {name: to_host(p.data).copy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: dict) -> None:
        """Writes the values of `state` (arrays, Tensors or torch tensors) into the parameters' own arrays.

        The parameters keep their dtypes: float64 values are rounded to float32. Raises one ValueError that lists
        every missing or unexpected name and every value of another shape or kind (float, integer), before anything
        is written.
        """
        own = dict(self.named_parameters())
        values = {name: to_host(raw(value)) for name, value in state.items()}
        wrong = [f"{name} is {_kind(values[name])}, needed {_kind(p)}" for name, p in own.items()
                 if name in values and _kind(values[name]) != _kind(p)]
        problems = [f"{what} {_some(names)}" for what, names in (
            ("missing", [name for name in own if name not in values]),
            ("unexpected", [name for name in values if name not in own]),
            ("different:", wrong)) if names]
        if problems:
            raise ValueError(f"load_state_dict: these values are not for this {type(self).__name__}, and none was "
                             f"loaded: {'; '.join(problems)}")
        for name, p in own.items():
            p.data[...] = to_backend(values[name], p.backend)
            p._version[0] += 1

    def to(self, backend: str | None = None, dtype=None) -> Module:
        """Moves every parameter to `backend` and casts the float ones to `dtype`; the Parameter objects stay the same.

        Call it before making an optimiser, whose state does not move. Returns self. Raises TypeError for a dtype
        other than float32 and float64.
        """
        if dtype is not None and np.dtype(dtype).name not in FLOATS:
            raise TypeError(f"Module.to: dtype {np.dtype(dtype)} is not supported; use float32 or float64")

        def moved(array):
            if dtype is not None and array.dtype.kind == "f":
                array = array.astype(dtype)
            return array if backend is None else to_backend(array, backend)

        for p in self.parameters():
            p.data = moved(p.data)
            p.grad = None if p.grad is None else moved(p.grad)
            p._version[0] += 1                      # a graph built before knows the old array
        return self

    # modes
    def train(self, mode: bool = True) -> Module:
        """Dropout and noise on (or off) in every module. Returns self."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Dropout and noise off in every module. Returns self."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Sets `.grad` of every parameter to None."""
        for p in self.parameters():
            p.grad = None

    def __repr__(self) -> str:
        lines = [f"  {name} {p.shape} {p.dtype}" for name, p in self.named_parameters()]
        total = sum(p.size for p in self.parameters())
        return "\n".join([f"{type(self).__name__}: {total:,} parameters", *lines])


class ModuleList(Module):
    """Modules by number: a list that Module's tree looks into. Names are "0", "1", and so on."""

    def __init__(self, modules: Iterable[Module] = ()):
        self._list: list[Module] = []
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        if not isinstance(module, Module):
            raise TypeError(f"ModuleList: a {type(module).__name__} is no Module")
        self._list.append(module)
        return self

    def _members(self) -> Iterator[tuple[str, object]]:
        return ((str(number), module) for number, module in enumerate(self._list))

    def __len__(self) -> int:
        return len(self._list)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._list)

    def __getitem__(self, number: int) -> Module:
        return self._list[number]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(values) -> str:
    """Shape and kind of dtype, in words: what must be equal for values to fit a parameter."""
    kinds = {"f": "float", "i": "integer", "u": "integer", "b": "bool"}
    return f"{tuple(values.shape)} {kinds.get(values.dtype.kind, values.dtype)}"


def _some(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
