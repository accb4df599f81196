"""Runs a notebook alone in an empty folder, as a reader's Jupyter would, and stores its outputs.

Needs nbclient and ipykernel: pip install ".[tutorials]".
"""
from __future__ import annotations

import base64
import importlib.util
import json
import os
import tempfile
import time
from io import BytesIO
from pathlib import Path

SECONDS = 120                                       # one cell may take this long before it is stopped


def kernel_manager(blocking: bool = False) -> type:
    """The class that starts kernels, with this very Python, whatever kernels are registered on the machine."""
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")             # read when jupyter_core is first imported
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager, KernelManager

    class ThisPython(KernelManager if blocking else AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(**get_kernel_dict())

    return ThisPython


def environment() -> dict[str, str]:
    """The environment of a kernel: as here, with the minimoe that is found here, else that of the repository, and with
    one thread for the matrix library, so that kernels side by side do not wait for each other's threads."""
    found = importlib.util.find_spec("minimoe")
    root = Path(found.origin).parents[1] if found else Path(__file__).parents[1]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"OPENBLAS_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": os.pathsep.join(paths),
                                                         "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def run(notebook: dict) -> tuple[dict, float]:
    """The notebook with its outputs, and the seconds it took, the start of the kernel included.

    Only cells tagged `raises-exception` may fail; any other error is raised as nbclient.exceptions.CellExecutionError.
    """
    manager = kernel_manager()                      # first, because it sets what the imports below read
    import nbformat
    from nbclient import NotebookClient

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(nbformat.reads(json.dumps(notebook), as_version=4), kernel_manager_class=manager,
                                timeout=SECONDS, record_timing=False, coalesce_streams=True,
                                extra_arguments=["--log-level=40"], resources={"metadata": {"path": folder}})
        done = client.execute(env=environment())
    return _tidy(done), time.perf_counter() - start


def _tidy(notebook: dict) -> dict:
    """Plain dictionaries; errors as one line, without the file names of this machine."""
    cells = []
    for cell in notebook["cells"]:
        cell = dict(cell)
        cell["source"] = cell["source"].splitlines(keepends=True)
        if cell["cell_type"] == "code":
            cell["outputs"] = [_tidy_output(dict(output)) for output in cell["outputs"]]
        cells.append(cell)
    return {"cells": cells, "metadata": {"kernelspec": dict(notebook["metadata"]["kernelspec"]),
                                         "language_info": {"name": "python"}},
            "nbformat": 4, "nbformat_minor": 5}


def _tidy_output(output: dict) -> dict:
    if output["output_type"] == "error":
        output["traceback"] = [f"{output['ename']}: {output['evalue']}"]
    if output["output_type"] == "stream":
        output["text"] = output["text"].splitlines(keepends=True)
    if "data" in output:
        output["data"] = {kind: _smaller(value) if kind == "image/png" else value.splitlines(keepends=True)
                          for kind, value in output["data"].items()}
    return output


def _smaller(png: str) -> str:
    """The picture (base64) with at most 128 colours: a third of the size, and for plots nobody sees the difference."""
    from PIL import Image

    result = BytesIO()
    with Image.open(BytesIO(base64.b64decode(png))) as image:
        on_white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        on_white.convert("RGB").quantize(128).save(result, "png", optimize=True)
    return base64.b64encode(result.getvalue()).decode() + "\n"
