"""Run a kernel's wrapper on a device from host inputs, and compare the answer with that of its NumPy twin.

On the simulator every run is checked (out-of-bounds accesses, races and the like are errors) and repeated under several
orders of threads, which must not change a bit. What a kernel leaves unwritten holds poison: NaN or a wild number.
"""
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from minimoe.backend import get_backend, is_array, to_backend, to_host
from minimoe.kernels import cuda, reference

SCHEDULES = ("forward", "reversed", 1, 2)
TOLERANCE = {"float32": 3e-5, "float64": 1e-12}     # of numbers around 1, summed a few hundred at a time


def equals_twin(name: str, inputs, device: str, schedules=SCHEDULES):
    """Asserts that `cuda.name(*inputs)` is `reference.name(*inputs)` under every schedule. Returns the host answer."""
    expected = getattr(reference, name)(*(a.copy() if is_array(a) else a for a in inputs))     # some write in place
    found = answer(getattr(cuda, name), inputs, device, schedules)
    compare(found, expected)
    return found


def answer(function, inputs, device: str, schedules=SCHEDULES):
    """What `function` answers on the device, as host arrays; the same bits under every schedule."""
    first = None
    for schedule in schedules:
        with _running(device, schedule):
            found = _to_host(function(*(to_backend(a, device) if is_array(a) else a for a in inputs)))
        first = found if first is None else first
        _compare(found, first, np.testing.assert_array_equal)
    return first


def compare(found, expected) -> None:
    """Shapes and dtypes equal, integers equal, floats within TOLERANCE."""
    _compare(found, expected, _close)


@contextmanager
def _running(device: str, schedule):
    xp = get_backend(device)
    if device == "cudasim":                         # its `empty` is poisoned always
        with xp.settings(check=True, schedule=schedule):
            yield
    else:                                           # a GPU chooses its own order: the runs are repeats
        empty = xp.empty

        def poisoned(shape, dtype=float, order="C"):
            made = empty(shape, dtype, order)
            made.fill({"f": np.nan, "i": -858993460}.get(made.dtype.kind, True))
            return made

        with patch.object(xp, "empty", poisoned):
            yield


def _to_host(found):
    if isinstance(found, tuple):
        return tuple(_to_host(part) for part in found)
    return to_host(found) if is_array(found) else found


def _compare(found, expected, close) -> None:
    if isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _compare(one, other, close)
    elif is_array(expected):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        close(found, expected)
    else:
        assert found == expected


def _close(found, expected) -> None:
    tolerance = TOLERANCE.get(expected.dtype.name, 0)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
