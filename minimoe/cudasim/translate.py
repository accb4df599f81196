"""From the text of a .cu file to C++. Nearly all of the work is done by the header; this is what a header cannot do.

Two things: `extern __shared__ float buffer[];` becomes a pointer to the block's dynamic shared memory, and a line per
kernel is added at the end, which makes it callable from Python. Line numbers stay as they are.
"""
from __future__ import annotations

import re

from minimoe.cudasim.errors import SimulationError

COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.S)
ALIGN = r"(?:(?:__align__|alignas)\s*\(\s*\w+\s*\)\s*)?"
DYNAMIC = re.compile(rf"\bextern\s+{ALIGN}__shared__\s+{ALIGN}((?:\w|::|\s)+?)\s+(\w+)\s*\[\s*\]\s*;")
BOUNDS = r"(?:__launch_bounds__\s*\([^)]*\)\s*)?"
KERNEL = re.compile(rf"__global__\s+{BOUNDS}(?:void\s+)?{BOUNDS}(\w+)\s*\(")
TEMPLATE = re.compile(r'template\s*<[^;{}]*>\s*(?:static\s+|inline\s+)*$')
# The probe makes sure that the library has a thread-local segment, even when no kernel has shared memory.
# It stands first in the text and so last in the segment: byte 0 is the first of a kernel's own.
PROBE = """static __thread char cudasim_probe;
extern "C" __attribute__((no_sanitize("thread", "undefined"))) void cudasim_touch()
{
    *(volatile char*)&cudasim_probe = 0;
}
"""


def translate(code: str, name_expressions: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    """(C++ text, names of its kernels; kernel i is called through cudasim_call_i).

    Templates are not kernels yet: `name_expressions` names those to make, as "reverse<float, 64>". Raises
    SimulationError for what no header can make compile.
    """
    text = COMMENT.sub(_blank, code)
    text = DYNAMIC.sub(_pointer, text)
    if re.search(r"\bextern\s+__shared__", text) or re.search(r"\bextern\s+__align__[^;]*__shared__", text):
        raise SimulationError("dynamic shared memory must be declared as: extern __shared__ TYPE NAME[];")
    if re.search(r"^\s*#\s*include\b", text, re.M):
        raise SimulationError("#include: a kernel file includes nothing, since NVRTC finds no headers of the host")
    kernels = [m.group(1) for m in KERNEL.finditer(text) if not TEMPLATE.search(text[:m.start()])]
    kernels += [name for name in name_expressions if name not in kernels]
    exports = "".join(f"CUDASIM_EXPORT({i}, {name})\n" for i, name in enumerate(kernels))
    return f'{PROBE}#line 1 "kernel.cu"\n{text}\n#line 1 "exports"\n{exports}', kernels


def _blank(match: re.Match) -> str:
    """Strings stay; of a comment only its line ends do."""
    return match.group(1) or " " + "\n" * match.group().count("\n")


def _pointer(match: re.Match) -> str:
    kind, name = match.groups()
    lines = "\n" * match.group().count("\n")
    return f"{kind}* {name} = reinterpret_cast<{kind}*>(cudasim::cudasim_grid->dynamic_shared);{lines}"
