"""The methods of device arrays: NumPy's, with the parameters that CuPy's have. They are attached to the class here."""
from __future__ import annotations

import numpy as np

from minimoe.cudasim.arrays import ndarray, wrap
from minimoe.cudasim.checked import checked
from minimoe.cudasim.names import METHODS, VERSION
from minimoe.cudasim.waiting import WAITS, waiting

LIKE_NUMPYS = ("all any argmax argmin clip copy cumprod cumsum diagonal dot flatten max mean min nonzero prod ravel "
               "repeat reshape round squeeze std sum swapaxes trace transpose var").split()


def astype(self, dtype, order: str = "K", casting: None = None, subok: None = None, copy: bool = True) -> ndarray:
    """With another dtype; `self` for copy=False when it has it already. TypeError for casting and subok (core.pyx)."""
    if casting is not None or subok is not None:
        raise TypeError(f"astype: casting and subok are not supported in {VERSION}")
    return wrap(self._host.astype(dtype, order, copy=copy), (self,))


def view(self, dtype=None) -> ndarray:
    """The same memory, read as another dtype."""
    return wrap(self._host.view() if dtype is None else self._host.view(dtype), (self,))


def fill(self, value) -> None:
    """One number, of the host or 0-d on the device, everywhere. ValueError for more (core.pyx)."""
    if np.ndim(value._host if type(value) is ndarray else value) != 0:
        raise ValueError("fill: value has more than one element; fill takes a number or a 0-d device array")
    self._host.fill(value._host if type(value) is ndarray else value)


def take(self, indices, axis: int | None = None, out: ndarray | None = None) -> ndarray:
    """Rows by number; out of range raises, where CuPy wraps around silently: stricter. TypeError when `out` has another
    dtype (cupy/_core/_routines_indexing.pyx, _take)."""
    if out is not None and out.dtype != self.dtype:
        raise TypeError(f"take: Output dtype mismatch; out is {out.dtype}, the array is {self.dtype}")
    return _take(self, indices, axis) if out is None else _take(self, indices, axis, out=out)


def sort(self, axis: int = -1, kind: str | None = None) -> None:
    """In place, stable. NotImplementedError for views that are not contiguous (cupy/_core/_routines_sorting.pyx)."""
    if not self.flags.c_contiguous:
        raise NotImplementedError(f"sort: sorting a non-contiguous array in place is not supported in {VERSION}; "
                                  "xp.sort(a) makes a sorted copy")
    self._host.sort(axis, stable("sort", kind))


def argsort(self, axis: int | None = -1, kind: str | None = None) -> ndarray:
    """The order that sorts; stable."""
    return wrap(self._host.argsort(axis, stable("argsort", kind)))


def stable(name: str, kind: str | None) -> str:
    """NumPy's name of the only kind. ValueError for another (cupy/_core/core.pyx, ndarray.sort and argsort)."""
    if kind not in (None, "stable"):
        raise ValueError(f"{name}: kind is {kind!r}; {VERSION} takes only None and 'stable'")
    return "stable"


def searchsorted(self, v, side: str = "left", sorter: ndarray | None = None) -> ndarray:
    """Where to insert v. NotImplementedError for a list v (cupy/_sorting/search.py, _searchsorted)."""
    if not isinstance(v, ndarray | int | float | complex):
        raise NotImplementedError(f"searchsorted: v is {type(v).__name__}; make it a device array or a Python number")
    return _searchsorted(self, v, side, sorter)


def _like_numpys(name: str):
    method = checked(name, getattr(np.ndarray, name), ["self", *METHODS[name]])
    return waiting(method, WAITS[name]) if name in WAITS else method


_take = checked("take", np.ndarray.take, ["self", *METHODS["take"]])
_searchsorted = checked("searchsorted", np.ndarray.searchsorted, ["self", *METHODS["searchsorted"]])
for _method in (astype, view, fill, take, sort, argsort, searchsorted, *map(_like_numpys, LIKE_NUMPYS)):
    setattr(ndarray, _method.__name__, _method)
