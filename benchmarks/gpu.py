"""How fast the kernels are on a GPU: against a copy, against the matrix library, against PyTorch.

    python benchmarks/gpu.py --json gpu.json                        # needs CuPy and a GPU with 16 GB
    python benchmarks/gpu.py --tiny --backend cudasim               # proves that it runs; its times mean nothing

Every result is checked against NumPy, or PyTorch, before anything is timed. One line and status 2 without a GPU.
"""
from __future__ import annotations

import argparse
import importlib.util
import platform
import sys

from gpu_kernels import FULL, TINY, memory_calls, product_calls
from timing import measure, stopwatch

import minimoe
from minimoe.backend import get_backend
from minimoe.files import check_writable, write_json
from minimoe.study.summary import table


def memory_rows(sizes, dtype, backend, timed) -> list[dict]:
    """Every memory-bound kernel beside a copy of an array as large as the largest of them."""
    xp = get_backend(backend)
    source = xp.ones(2 * sizes.batch * sizes.length * sizes.f, dtype)
    target = xp.empty_like(source)

    def copy():
        target[...] = source

    rows = [{"what": "device copy", "bytes": 2 * source.nbytes} | timed(copy)]
    rows += [{"what": name, "bytes": size} | timed(call) for name, size, call in memory_calls(sizes, dtype, backend)]
    for row in rows:
        row["GB/s"] = row["bytes"] / row["seconds"] / 1e9
        row["share of copy"] = row["GB/s"] / rows[0]["GB/s"]
    return rows


def product_rows(sizes, dtype, backend, timed) -> list[dict]:
    rows = [{"what": name, "flops": flops} | timed(call)
            for name, flops, call in product_calls(sizes, dtype, backend, get_backend(backend))]
    for row in rows:
        row["TFLOP/s"] = row["flops"] / row["seconds"] / 1e12
        row["share of matmul"] = row["TFLOP/s"] / rows[0]["TFLOP/s"]
    return rows


def torch_missing(backend: str) -> str:
    """"" when PyTorch can be compared on the same device, else why not. On the simulator its CPU stands in."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    import torch
    return "" if backend == "cudasim" or torch.cuda.is_available() else "PyTorch finds no GPU"


def torch_rows(sizes, dtype, backend, timed, timed_torch) -> dict[str, list[dict]]:
    import torch
    from gpu_torch import expert_calls, step_calls
    device, rows = "cpu" if backend == "cudasim" else "cuda", {}
    if device == "cpu":
        torch.set_num_threads(1)                    # tiny arrays: threads would only wait for each other
    else:
        get_backend(backend).get_default_memory_pool().free_all_blocks()       # PyTorch has a pool of its own
    for title, calls in (("expert layer, forward and backward", expert_calls),
                         ("encoder step, Switch, forward, backward and AdamW", step_calls)):
        rows[title] = [{"what": name} | (timed_torch if name == "PyTorch" else timed)(call)
                       for name, call in calls(sizes, dtype, backend, device)]
        for row in rows[title]:
            row["times PyTorch"] = row["seconds"] / rows[title][-1]["seconds"]
    return rows


def show(title: str, rows: list[dict]) -> None:
    ratios = [key for key in rows[0] if key not in ("what", "bytes", "flops", "seconds", "fastest", "slowest")]
    print(f"\n{title}")
    print(table([{"what": row["what"], "ms": f"{1e3 * row['seconds']:.3f}",
                  "fastest to slowest": f"{1e3 * row['fastest']:.3f} to {1e3 * row['slowest']:.3f}",
                  **{key: f"{row[key]:.3g}" for key in ratios}} for row in rows]))


def device_name(backend: str) -> str:
    if backend == "cudasim":
        return f"no GPU: simulated on {platform.processor() or platform.machine()}"
    properties = get_backend(backend).cuda.runtime.getDeviceProperties(0)
    return f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB"


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Kernels, expert layer and encoder step on a GPU.")
    parser.add_argument("--backend", choices=["cupy", "cudasim"], default="cupy")
    parser.add_argument("--tiny", action="store_true", help="small sizes, three repeats: only shows that it runs")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    options = parser.parse_args(arguments)
    try:
        get_backend(options.backend)
        check_writable(options.json)
        if options.backend == "cudasim" and not options.tiny:
            raise ValueError("--backend cudasim: the simulator shows that it runs and needs --tiny")
    except (RuntimeError, ValueError) as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 2
    sizes, repeats, warm_up = (TINY, 3, 1) if options.tiny else (FULL, 20, 5)

    def timer(device):
        elapsed = stopwatch(device)
        return lambda call: measure(elapsed, call, repeats, warm_up)

    timed, missing = timer(options.backend), torch_missing(options.backend)
    print(f"{device_name(options.backend)}; {options.backend}; {options.dtype}; {sizes}")
    found = {"memory-bound kernels": memory_rows(sizes, options.dtype, options.backend, timed),
             "grouped products": product_rows(sizes, options.dtype, options.backend, timed)}
    if not missing:
        timed_torch = timed if options.backend == "cudasim" else timer("torch")
        found |= torch_rows(sizes, options.dtype, options.backend, timed, timed_torch)
    for title, rows in found.items():
        show(title, rows)
    print(f"\nPyTorch: {missing or 'compared'}")
    if options.json:
        write_json(options.json, {"minimoe": minimoe.__version__, "device": device_name(options.backend),
                                  "backend": options.backend, "dtype": options.dtype, "sizes": vars(sizes),
                                  "repeats": repeats, "pytorch": missing or "compared", "results": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
