"""The routing and scatter/gather kernels. `of(x)` answers with the module that handles x's arrays.

`reference` is NumPy, `cuda` launches the `.cu` files; names and signatures are the same, so callers never branch.
"""
from __future__ import annotations

from minimoe.backend import on_host


def of(x):
    """The kernel module for arrays like `x`."""
    if on_host(x):
        from minimoe.kernels import reference
        return reference
    from minimoe.kernels import cuda
    return cuda
