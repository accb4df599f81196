"""CUDA C on the CPU, behind CuPy's names: an array module whose raw kernels run on a simulated GPU.

    import minimoe.cudasim as xp
    twice = xp.RawKernel(text_of_a_cu_file, "twice")
    with xp.settings(check=True):                   # out-of-bounds accesses, races, missing barriers are reported
        twice((4,), (128,), (xp.asarray(x), xp.empty(512, "float32"), np.int32(512)))

Kernels: `module` (compile, launch), `translate` (CUDA text to C++), `build` (g++ and its cache), `arguments` (what may
be passed), `launch` (the call into the runtime) and `runtime/` (C++: threads, barriers, the checker). Arrays: `arrays`
and `functions`. Importing compiles nothing.
"""
from __future__ import annotations

from minimoe.cudasim.arrays import ndarray
from minimoe.cudasim.build import missing
from minimoe.cudasim.errors import SimulationError
from minimoe.cudasim.functions import array, asarray, asnumpy, empty, empty_like, function
from minimoe.cudasim.module import RawKernel, RawModule
from minimoe.cudasim.settings import settings
from minimoe.cudasim.synchronise import host_synchronisations

__all__ = ["RawKernel", "RawModule", "SimulationError", "array", "asarray", "asnumpy", "empty", "empty_like",
           "host_synchronisations", "missing", "ndarray", "settings"]


def __getattr__(name: str):
    return function(name)
