"""What CuPy has: its functions and array methods with their parameters, its ufuncs, dtypes and constants.

`python tests/cudasim/cupy_names.py`, where CuPy is installed, writes minimoe/cudasim/cupy_names.json anew. Importing
CuPy needs no GPU.
"""
import inspect
import json
import re
from pathlib import Path

import numpy as np

FILE = Path(__file__).parents[2] / "minimoe" / "cudasim" / "cupy_names.json"
ABOUT_DTYPES = ("finfo", "iinfo", "dtype")


def names_of(cupy) -> dict:
    """The content of the file, read off an imported CuPy."""
    found = {"cupy": cupy.__version__, "functions": {}, "methods": {}, "ufuncs": [], "values": []}
    for name in sorted(name for name in dir(cupy) if not name.startswith("_")):
        value = getattr(cupy, name)
        if type(value).__name__ in ("ufunc", "_GUFunc"):
            found["ufuncs"].append(name)
        elif inspect.isroutine(value):
            found["functions"][name] = parameters(value)
        elif name in ABOUT_DTYPES or value is None or isinstance(value, float) or _is_dtype(value):
            found["values"].append(name)
    for name in sorted(name for name in dir(cupy.ndarray) if not name.startswith("_")):
        if callable(method := getattr(cupy.ndarray, name)):
            found["methods"][name] = [p for p in parameters(method) if p != "self"]
    return found


def parameters(function) -> list[str] | None:
    """Names in order: "x" must be given, "x=" may be, "*xs" takes any number, after a bare "*" only by name.

    None when the function takes any keyword, or when nothing tells. Compiled functions tell in their docstring.
    """
    try:
        signature = str(inspect.signature(function).replace(return_annotation=inspect.Signature.empty))
    except (TypeError, ValueError):
        first_line = (function.__doc__ or "").split("\n")[0]
        match = re.search(r"\w\((.*?)\)(?: ->|$)", first_line)
        if match is None:
            return None
        signature = f"({match[1]})"
    if "**" in signature:
        return None
    found = []
    for part in re.split(r",\s*(?![^(\[{]*[)\]}])", signature[1:-1]):
        before, equals, _ = re.sub(r":[^=]*", "", part).partition("=")          # without annotation and default
        if before.strip() and before.strip() != "/":
            found.append(before.split()[-1] + equals)                            # without C's type before the name
    return found


def _is_dtype(value) -> bool:
    return isinstance(value, type) and issubclass(value, np.generic)


def text(found: dict) -> str:
    """The file's text: CuPy's version in its first line, one function a line."""
    tables = ",\n".join(
        f'"{kind}": {{\n' + ",\n".join(f"{json.dumps(n)}: {json.dumps(p)}" for n, p in found[kind].items()) + "}"
        for kind in ("functions", "methods"))
    lists = ",\n".join(f'"{kind}": {json.dumps(found[kind])}' for kind in ("ufuncs", "values"))
    return f'{{"cupy": "{found["cupy"]}",\n{tables},\n{lists}}}\n'


if __name__ == "__main__":
    import cupy

    FILE.write_text(text(names_of(cupy)), encoding="utf-8")
