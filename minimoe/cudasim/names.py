"""What CuPy has, read from `cupy_names.json` (its first line says which CuPy; tests/cudasim/cupy_names.py makes it)."""
from __future__ import annotations

import json
from importlib import resources

_FOUND = json.loads((resources.files(__package__) / "cupy_names.json").read_text(encoding="utf-8"))

VERSION: str = f"CuPy {_FOUND['cupy']}"
UFUNCS = frozenset(_FOUND["ufuncs"])
VALUES = frozenset(_FOUND["values"])                # dtypes and constants
METHODS: dict[str, list[str]] = _FOUND["methods"]

# Parameters of each function in order: "x" must be given, "x=" may be, "*xs" takes any number, after "*" only by name;
# None where Python cannot read them off.
_ARGMAX = ["a", "axis=", "*", "out=", "keepdims="]  # CuPy's third is dtype, which NumPy lacks: the rest only by name
FUNCTIONS: dict[str, list[str] | None] = _FOUND["functions"] | {
    "argmax": _ARGMAX, "argmin": _ARGMAX, "nanargmax": _ARGMAX, "nanargmin": _ARGMAX,
    "einsum": ["subscripts", "*operands", "dtype=", "optimize="],       # cupy/linalg/_einsum.py: no out, order, casting
    "meshgrid": ["*xi", "copy=", "sparse=", "indexing="],               # cupy/_creation/ranges.py
}
