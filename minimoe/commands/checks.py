"""The library about itself: `gradcheck` and `info`."""
from __future__ import annotations

import platform
import sys
from importlib import metadata

from threadpoolctl import threadpool_info

import minimoe
from minimoe.backend import available_backends, blas_threads, get_backend
from minimoe.files import write_json
from minimoe.kernels import nvrtc
from minimoe.op_cases import check_all
from minimoe.study.summary import table


def gradcheck(backend="numpy", seed=0, threads=None, json=None, quiet=False) -> int:
    """Runs the whole table of operations."""
    get_backend(backend)
    try:
        with blas_threads(threads):
            found = check_all(backend, seed)
    except minimoe.GradientError as error:
        print(f"minimoe: {error}", file=sys.stderr)
        return 1
    if not quiet:
        print(table([{"operation": name, "cases": entry["cases"], "largest relative error": f"{entry['worst']:.1e}"}
                     for name, entry in sorted(found.items())]))
    worst = max(entry["worst"] for entry in found.values())
    launches = sum(entry["kernel_launches"] for entry in found.values())
    print(f"{len(found)} operations, {sum(e['cases'] for e in found.values())} cases, largest relative error "
          f"{worst:.1e}, allowed 1e-06, {backend}, float64" + (f", {launches:,} kernel launches" if launches else ""))
    if json:
        write_json(json, {"backend": backend, "worst": worst, "kernel_launches": launches, "ops": found})
    return 0


def info(backend="numpy", seed=0, threads=None, json=None, quiet=False) -> int:
    """Versions, backends, the matrix library, and what the kernels compile for."""
    versions = {"minimoe": minimoe.__version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in ("numpy", "scipy", "safetensors", "tokenizers", "matplotlib"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    blas = [f"{lib['internal_api']} {lib['version']}, {lib['num_threads']} threads" for lib in threadpool_info()]
    for name, version in versions.items():
        print(f"{name:12} {version}")
    print(f"{'matrices':12} {'; '.join(dict.fromkeys(blas))}")
    for name, missing in available_backends().items():
        print(f"{name:12} {missing or 'usable'}")
    missing = nvrtc.missing()
    print(f"{'kernels':12} compiled at first use; the tests compile them for {', '.join(nvrtc.ARCHITECTURES)}")
    print(f"{'nvrtc':12} {missing or nvrtc.version()}")
    if json:
        write_json(json, {"versions": versions, "blas": blas, "backends": available_backends(),
                          "architectures": list(nvrtc.ARCHITECTURES), "nvrtc": missing or nvrtc.version()})
    return 0
