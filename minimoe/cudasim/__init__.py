"""CUDA C on the CPU, behind CuPy's names."""
from __future__ import annotations

from minimoe.cudasim.errors import SimulationError
from minimoe.cudasim.module import RawKernel, RawModule
from minimoe.cudasim.settings import settings

__all__ = ["RawKernel", "RawModule", "SimulationError", "missing", "settings"]


def missing() -> str:
    return ""


def __getattr__(name: str):
    from minimoe.cudasim import arrays
    return getattr(arrays, name)
