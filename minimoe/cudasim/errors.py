"""What the simulator raises when a kernel does something wrong."""
from __future__ import annotations


class SimulationError(RuntimeError):
    """A kernel that does not compile, or the first fault of a running one.

    For a fault the text names all of `kernel`, `line` (of the .cu text; None if unknown), `block` and `thread`.
    """

    def __init__(self, what: str, kernel: str | None = None, line: int | None = None,
                 block: tuple[int, int, int] | None = None, thread: tuple[int, int, int] | None = None):
        self.kernel, self.line, self.block, self.thread = kernel, line, block, thread
        place = "" if kernel is None else f"{kernel}, line {line or '?'}, block {block}, thread {thread}: "
        super().__init__(place + what)
