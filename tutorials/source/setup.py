# Run this first. It finds minimoe and chooses the arrays.
REPOSITORY = ""              # only for a notebook that lies outside its repository: "git+https://..." or a folder

import importlib.util
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

if importlib.util.find_spec("minimoe") is None:
    above = [p for p in (Path.cwd(), *Path.cwd().parents) if (p / "minimoe" / "__init__.py").is_file()]
    address = REPOSITORY or (str(above[0]) if above else "")
    if not address:
        raise RuntimeError("minimoe is not installed and not in a folder above: write its address into REPOSITORY")
    if "://" not in address:
        address = Path(address).resolve().as_uri()
    keep = [f"{d.name}=={d.version}" for d in distributions() if str(d.name).startswith(("numpy", "cupy"))]
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder, "keep.txt")          # the NumPy and CuPy that are installed stay as they are
        pins.write_text("\n".join(keep), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(pins),
                        f"minimoe[plots] @ {address}"], check=True)
    importlib.invalidate_caches()

import minimoe

BACKEND = "numpy" if minimoe.available_backends()["cupy"] else "cupy"      # "cupy" where there is a GPU
print("minimoe is ready, arrays:", BACKEND)
