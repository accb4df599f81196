"""What CuPy has: its functions with their keywords, and the methods of its arrays. Importing CuPy needs no GPU.

`python tests/cudasim/cupy_names.py` writes minimoe/cudasim/cupy_names.json anew.
"""
import inspect
import json
from pathlib import Path

FILE = Path(__file__).parents[2] / "minimoe" / "cudasim" / "cupy_names.json"


def names_of(cupy) -> dict:
    functions = {}
    for name in sorted(dir(cupy)):
        value = getattr(cupy, name)
        if name.startswith("_") or not callable(value) or isinstance(value, type):
            continue
        try:
            parameters = inspect.signature(value).parameters.values()
        except (TypeError, ValueError):
            functions[name] = None                  # a ufunc, or compiled: the keywords cannot be read
            continue
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        functions[name] = None if open_ended else [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
    methods = sorted(name for name in dir(cupy.ndarray) if not name.startswith("_"))
    return {"cupy": cupy.__version__, "functions": functions, "methods": methods}


if __name__ == "__main__":
    import cupy

    found = names_of(cupy)
    functions = ",\n".join(f"{json.dumps(name)}: {json.dumps(options)}" for name, options in found["functions"].items())
    FILE.write_text(f'{{"cupy": "{found["cupy"]}",\n"functions": {{\n{functions}}},\n'
                    f'"methods": {json.dumps(found["methods"])}}}\n', encoding="utf-8")
