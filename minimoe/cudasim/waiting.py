"""Functions that wait for the GPU: the size of their answer, or a check of theirs, depends on values on the device.

Each entry says how many values CuPy copies to the host for these arguments, and which of its files shows it.
"""
from __future__ import annotations

import numpy as np

from minimoe.cudasim.arrays import ndarray
from minimoe.cudasim.synchronise import synchronise


def _once(a, *rest, **options) -> int:
    return int(a.size > 0)                          # the answer for an empty array is known


def _unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, **options) -> int:
    if axis is not None:                            # there CuPy sorts on the host, reading element after element
        raise NotImplementedError("unique: the simulator has no axis; how often CuPy would wait is not counted here")
    return _once(ar) * (1 + bool(return_index) + bool(return_counts))


def _repeat(a, repeats, axis=None) -> int:
    """Counts in a list are moved to the device, and their sum is read back as for a device array of counts."""
    if not isinstance(repeats, ndarray | list | tuple):
        return 0
    size = np.size(repeats._host if type(repeats) is ndarray else repeats)
    return 1 if size == 1 else 2 if size else 0     # one count, or the sum of all and the smallest


def _compress(condition, a, axis=None, out=None) -> int:
    return int(np.size(condition._host if type(condition) is ndarray else condition) > 0)


def _quantile(a, q, *rest, **options) -> int:
    return 2 if type(q) is ndarray else 0           # are all q at least 0, and at most 1


WAITS = {
    "nonzero": _once, "flatnonzero": _once, "argwhere": _once,          # _core/_routines_indexing.pyx: scan_index[-1]
    "where": lambda condition, x=None, y=None: _once(condition) if x is None else 0,    # _sorting/search.py: nonzero
    "compress": _compress, "extract": _compress,                        # _core/_routines_indexing.pyx: nonzero
    "unique": _unique,                                                  # _manipulation/add_remove.py: one for each mask
    "repeat": _repeat,                                                  # _core/_routines_manipulation.pyx: _repeat
    "bincount": lambda x, *rest, **options: 1 + _once(x),               # _statistics/histogram.py: any(x < 0), max(x)
    "quantile": _quantile, "percentile": _quantile,                     # _statistics/order.py: _quantile_is_valid
    "nanmax": _once, "nanmin": _once,                                   # _statistics/order.py: isnan(res).any()
    "average": lambda a, axis=None, weights=None, *rest, **options: int(weights is not None),   # _statistics/meanvar.py
    "array_equal": lambda a1, a2, equal_nan=False: 3 * bool(equal_nan),                 # _logic/comparison.py: 2 masks
}

# They wait too, in ways not counted here (by the file of CuPy that shows it), so the simulator has none of them.
NOT_COUNTED = {
    "cupy/_manipulation/add_remove.py": "delete trim_zeros unique_all unique_counts unique_inverse unique_values",
    "cupy/_manipulation/kind.py": "asarray_chkfinite",
    "cupy/_logic/truth.py": "intersect1d setdiff1d setxor1d union1d in1d",
    "cupy/_indexing/generate.py": "ix_ unravel_index ravel_multi_index mask_indices tril_indices triu_indices "
                                  "tril_indices_from triu_indices_from",
    "cupy/_indexing/insert.py": "place put putmask diag_indices_from",
    "cupy/_core/_routines_indexing.pyx": "choose",
    "cupy/_statistics/histogram.py": "histogram histogram2d histogramdd",
    "cupy/_math/misc.py": "interp real_if_close",
    "cupy/_math/sumprod.py": "gradient",
    "cupy/lib/_routines_poly.py": "poly polyadd polysub polymul polyfit polyval roots",
}
WHY_MISSING = {name: file for file, names in NOT_COUNTED.items() for name in names.split()}


def waiting(call, copies):
    """`call`, and then as many synchronisations as `copies` finds for its arguments."""
    def waiting_call(*args, **kwargs):
        result = call(*args, **kwargs)              # first: what fails counts nothing
        synchronise(copies(*args, **kwargs))
        return result

    waiting_call.__name__ = call.__name__
    return waiting_call
