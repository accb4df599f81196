"""How much of a GPU every kernel takes: registers per thread, shared memory per block, spilled registers.

    python benchmarks/kernel_report.py              # every architecture; about half a minute
    python benchmarks/kernel_report.py --tiny       # one architecture

Prints a Markdown table, from NVRTC's own report. Needs no GPU: pip install nvidia-cuda-nvrtc.
"""
from __future__ import annotations

import argparse
import sys
from importlib import resources

from minimoe import kernels
from minimoe.kernels import nvrtc
from minimoe.kernels.launch import source


def report(architectures) -> dict[tuple[str, str, str], list[nvrtc.Usage]]:
    """(file, kernel, REAL) -> its usage on each architecture."""
    found: dict = {}
    for file in sorted(f.name for f in resources.files(kernels).iterdir() if f.name.endswith(".cu")):
        for real in ("float", "double"):
            for architecture in architectures:
                for usage in nvrtc.compile_source(source(file), real, architecture, file):
                    found.setdefault((file, usage.kernel, real), []).append(usage)
    return found


def table(found, architectures) -> list[str]:
    """The Markdown lines: one row for a kernel in float and double."""
    columns = f"registers, float / double: {' | '.join(architectures)}"
    lines = [f"| file | kernel | {columns} | shared bytes | spilled bytes |",
             "|---|---|" + "---|" * (len(architectures) + 2)]
    for file, kernel in dict.fromkeys((file, kernel) for file, kernel, _ in found):
        both = found[file, kernel, "float"], found[file, kernel, "double"]
        registers = [f"{narrow.registers} / {wide.registers}" for narrow, wide in zip(*both, strict=True)]
        shared = " / ".join(str(max(usage.shared for usage in usages)) for usages in both)
        spills = max(usage.spills for usages in both for usage in usages)
        lines.append(f"| {file} | {kernel} | {' | '.join(registers)} | {shared} | {spills} |")
    return lines


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Registers, shared memory and spills of every kernel, by NVRTC.")
    parser.add_argument("--tiny", action="store_true", help="one architecture only")
    architectures = nvrtc.ARCHITECTURES[-2:-1] if parser.parse_args(arguments).tiny else nvrtc.ARCHITECTURES
    if nvrtc.missing():
        print(nvrtc.missing(), file=sys.stderr)
        return 2
    print(f"NVRTC {nvrtc.version()}\n")
    print("\n".join(table(report(architectures), architectures)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
