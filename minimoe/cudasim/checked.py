"""Calls a NumPy function with device arrays, after checking the arguments against CuPy's parameters."""
from __future__ import annotations

import numpy as np

from minimoe.cudasim.arrays import ndarray, wrap
from minimoe.cudasim.names import VERSION

# What has to be known when the work is queued, so no device array can stand here (cupy/_core/core.pyx has no __index__)
ON_HOST = frozenset((
    "axis axes axis1 axis2 shape newshape dtype order keepdims kind side casting copy decimals ddof offset indexing "
    "mode k n N M num start stop step minlength reps kth indices_or_sections shift source destination subscripts"
).split())


class Parameters:
    """CuPy's parameters of one function; see `names` for how they are written."""

    def __init__(self, label: str, written: list[str]):
        self.label = label
        names = [name.rstrip("=") for name in written]
        star = next((i for i, name in enumerate(names) if name.startswith("*")), len(names))
        self.by_position = names[:star]
        self.rest = names[star][1:] if star < len(names) else ""        # any number of these may follow, "" for none
        self.names = {name for name in names if not name.startswith("*")}
        self.required = [name for name in written[:star] if not name.endswith("=")]

    def host(self, args: tuple, kwargs: dict) -> tuple[list, dict]:
        """The arguments for NumPy. Raises TypeError for what CuPy's function does not take."""
        more = len(args) - len(self.by_position)
        if more > 0 and not self.rest:
            raise TypeError(f"{self.label}: takes {len(self.by_position)} arguments in {VERSION}, got {len(args)}")
        names = self.by_position + [self.rest] * more if more > 0 else self.by_position
        if len(args) < len(self.required):
            for name in self.required[len(args):]:
                if name not in kwargs:
                    raise TypeError(f"{self.label}: argument {name} is missing; {VERSION} has no default for it")
        for name in kwargs:
            if name not in self.names:
                raise TypeError(f"{self.label}: unexpected keyword argument {name!r}; {VERSION} has no such option")
        hosts = [self._host(value, name) for value, name in zip(args, names, strict=False)]
        return hosts, {name: self._host(value, name) for name, value in kwargs.items()} if kwargs else kwargs

    def _host(self, value, name: str):
        """The array inside `value`, or the arrays inside a sequence of device arrays; anything else as it is."""
        kind = type(value)
        if kind is ndarray:
            if name in ON_HOST:
                raise TypeError(f"{self.label}: {name} is a device array, not a Python value; int(x) reads it back")
            return value._host
        if kind is list or kind is tuple:
            if not any(type(part) is ndarray for part in value):
                return self._no_host_array(value, name)
            if name in ON_HOST or not all(type(part) is ndarray for part in value):
                raise TypeError(f"{self.label}: {name} holds device arrays among other things; it takes Python values "
                                f"only or, where it takes arrays, device arrays only")
            return kind(part._host for part in value)
        if isinstance(value, np.ndarray):
            return self._no_host_array((value,), name)
        return value

    def _no_host_array(self, values, name: str):
        """Refused even where CuPy forwards to NumPy (cupy.sum(host) only calls host.sum()): stricter on purpose, since
        then nothing shows that the work was done on the host."""
        for value in values:
            if isinstance(value, np.ndarray):
                raise TypeError(f"{self.label}: {name} has a NumPy array; move it to the device with asarray() first")
        return values


def holds_array(value) -> bool:
    """Whether it is a device array or a sequence of them."""
    return type(value) is ndarray or isinstance(value, list | tuple) and any(type(part) is ndarray for part in value)


def checked(label: str, call, written: list[str], needs_array: bool = True):
    """`call`, NumPy's, for device arrays. TypeError if it needs one and gets none (CuPy: a list has no `sum`)."""
    parameters = Parameters(label, written)

    def checked_call(*args, **kwargs):
        hosts, host_kwargs = parameters.host(args, kwargs)
        sources = (*args, *kwargs.values())
        if needs_array and not any(map(holds_array, sources)):
            raise TypeError(f"{label}: got no device array; make one with asarray() first")
        return wrap(call(*hosts, **host_kwargs), sources)

    checked_call.__name__ = label
    return checked_call
