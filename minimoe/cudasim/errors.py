"""What the simulator raises when a kernel does something wrong."""
from __future__ import annotations


class SimulationError(RuntimeError):
    """A fault of a running kernel; the text names the kernel, the line, the block and the thread."""
