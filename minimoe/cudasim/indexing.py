"""a[i] and a[i] = v on device arrays. A boolean mask waits for the GPU, and two writes to one cell have no winner."""
from __future__ import annotations

import numpy as np

from minimoe.cudasim.synchronise import synchronise


def get_items(host: np.ndarray, key):
    """host[key]. An index out of range raises IndexError; CuPy wraps around silently, so this is stricter."""
    return host[host_key(key)]


def set_items(host: np.ndarray, key, value) -> None:
    """host[key] = value.

    ValueError when several values go to one cell (cupy/_core/core.pyx, ndarray.__setitem__: "the value that is actually
    stored is undefined"). One value for all is the same whoever writes last.
    """
    key = host_key(key)
    if np.size(value) > 1:
        check_cells_differ(host, key)
    host[key] = value


def host_key(key):
    """The key with NumPy arrays in place of device arrays. TypeError for host arrays, which CuPy copies: stricter."""
    if isinstance(key, tuple):
        return tuple(_host_part(part) for part in key)
    return _host_part(key)


def _host_part(part):
    host = getattr(part, "_host", part)
    if host is part:
        if isinstance(part, np.ndarray):
            raise TypeError("a[index]: the index is a NumPy array; move it to the device with asarray() first")
        if isinstance(part, list | tuple):
            host = np.asarray(part, dtype=None if part else np.intp)
    if isinstance(host, np.ndarray) and host.dtype == bool and host.size:
        synchronise()       # cupy/_core/_routines_indexing.pyx: int(mask_scanned[-1]), also to assign
    return host


def check_cells_differ(host: np.ndarray, key) -> None:
    """Raises ValueError when host[key] = ... would write a cell twice."""
    parts = key if isinstance(key, tuple) else (key,)
    if not any(isinstance(part, np.ndarray) and part.dtype != bool for part in parts):
        return                                      # slices and masks name every cell once
    if isinstance(key, np.ndarray):                 # the common case without a table of the whole array
        cells = key % max(len(host), 1)
    else:
        cells = np.arange(host.size).reshape(host.shape)[key]
    if np.unique(cells).size != cells.size:
        raise ValueError("a[index] = value: an index appears twice, and which of its values stays is undefined on a "
                         "GPU; use add.at to add them up")
