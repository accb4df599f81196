"""RawModule and RawKernel with CuPy's call shape. A module is compiled at its first launch.

Simulated: templates, static and dynamic shared memory, barriers, warp functions, atomics, vector types, mathematics.
Not simulated: includes (so no half, bf16, cooperative groups), inline PTX, __activemask, textures, tensor cores,
clocks, blocks that wait for each other. A thread that waits for another in a loop waits forever, unless it waits by
atomics and the schedule is a seed. What cannot be seen here: a GPU's rounding of exp and of fused multiply-adds, its
weak memory order, register limits, speed.
"""
from __future__ import annotations

from minimoe.cudasim.arguments import SHARED_EVER, SHARED_UNASKED, check_geometry
from minimoe.cudasim.build import kernel_library
from minimoe.cudasim.launch import Launcher
from minimoe.cudasim.settings import current
from minimoe.cudasim.translate import translate


class RawModule:
    """The kernels of one CUDA text. `options`: of these -D is followed, the others are for NVRTC alone.

    `name_expressions`: instances of templates that get_function shall find, as "reverse<float, 64>".
    """

    def __init__(self, *, code: str, options: tuple[str, ...] = (), name_expressions=None):
        if not isinstance(code, str):
            raise TypeError(f"RawModule: code is a {type(code).__name__}; give the text of a .cu file")
        if not isinstance(options, tuple | list):   # a string would be read letter by letter
            raise TypeError(f"RawModule: options is a {type(options).__name__}; give a tuple of strings")
        self.code, self.name_expressions = code, tuple(name_expressions or ())
        self.defines = tuple(o.replace("--define-macro=", "-D") for o in options
                             if o.startswith(("-D", "--define-macro=")))
        self._launchers: dict[tuple[str, bool], Launcher] = {}

    def get_function(self, name: str) -> RawKernel:
        """The kernel called `name`; a wrong name shows at the first launch or `compile`."""
        return RawKernel._of(self, name)

    def compile(self) -> None:
        """Compiles now what a launch would compile first. Raises SimulationError if g++ refuses the text."""
        text, _ = translate(self.code, self.name_expressions)
        kernel_library(text, self.defines, current().check)

    def _launcher(self, name: str, check: bool) -> Launcher:
        launcher = self._launchers.get((name, check))
        if launcher is None:
            text, kernels = translate(self.code, self.name_expressions)
            if name not in kernels:                 # CUDA_ERROR_NOT_FOUND
                raise ValueError(f"{name}: no kernel of that name; there are {', '.join(kernels) or 'none'}")
            library, path = kernel_library(text, self.defines, check)
            launcher = self._launchers[name, check] = Launcher(name, library, path, kernels.index(name))
        return launcher


class RawKernel:
    """One kernel: kernel(grid, block, args, shared_mem=0), where grid and block are tuples of one to three ints."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()):
        self._module, self.name, self._shared = RawModule(code=code, options=options), name, SHARED_UNASKED

    @classmethod
    def _of(cls, module: RawModule, name: str) -> RawKernel:
        kernel = cls.__new__(cls)
        kernel._module, kernel.name, kernel._shared = module, name, SHARED_UNASKED
        return kernel

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """How much dynamic shared memory a launch may ask for: 48 KiB until more is set here."""
        return self._shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if not 0 <= size <= SHARED_EVER:
            raise ValueError(f"{self.name}: max_dynamic_shared_size_bytes is {size}; at most {SHARED_EVER}")
        self._shared = size

    def __call__(self, grid, block, args, *, shared_mem: int = 0) -> None:
        """Runs to the end. args: device arrays for pointers, NumPy scalars of the exact type for the rest.

        Raises TypeError and ValueError for what CUDA would refuse or misread (arguments.py), SimulationError for the
        first fault of the kernel.
        """
        grid, block = check_geometry(self.name, grid, block, shared_mem, self._shared)
        settings = current()
        self._module._launcher(self.name, settings.check)(grid, block, args, shared_mem, settings)
