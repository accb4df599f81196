"""Every kernel compiles to machine code for every architecture that we promise, and fits on it. No GPU is needed.

NVRTC comes with the test extra on Linux x86-64, where a missing one is a failure; other platforms skip, and say so.
"""
import platform
import re
from importlib import resources

import pytest

from minimoe import kernels
from minimoe.kernels import nvrtc
from minimoe.kernels.launch import source

FILES = sorted(file.name for file in resources.files(kernels).iterdir() if file.name.endswith(".cu"))
REGISTERS = 128                                     # per thread: with 128, two blocks of 256 fit a multiprocessor
SHARED = 48 * 1024                                  # bytes that a block gets without asking for more

pytestmark = pytest.mark.skipif(
    bool(nvrtc.missing()) and (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason=f"{nvrtc.missing()} (part of the test extra on Linux x86-64 only)")


def test_nvrtc_is_installed():
    assert nvrtc.missing() == ""


def test_there_are_kernels_to_compile():
    assert {"activation.cu", "adamw.cu", "norm.cu"} <= set(FILES)


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("file", FILES)
def test_every_kernel_compiles_spills_nothing_and_stays_under_the_register_ceiling(file, real, architecture):
    usages = nvrtc.compile_source(source(file), real, architecture, file)
    assert sorted(usage.kernel for usage in usages) == kernels_in(source(file))
    for usage in usages:
        assert (usage.spills, usage.stack) == (0, 0), usage
        assert usage.registers <= REGISTERS and usage.shared <= SHARED, usage


def kernels_in(code: str) -> list[str]:
    """Names of the kernels of a file, by its text alone."""
    code = re.sub(r"__launch_bounds__\s*\([^)]*\)", "", code)
    return sorted(part.split("(")[0].split()[-1] for part in code.split("__global__")[1:])


def test_a_spill_is_seen():
    """200 sums at once cannot stay in registers: a report that says 0 spills would be worth nothing otherwise."""
    code = ('extern "C" __global__ void f(const REAL* x, REAL* y, int n) { REAL sum[200];\n'
            "#pragma unroll\nfor (int k = 0; k < 200; k++) sum[k] = x[k]; "
            "for (int i = 0; i < n; i++)\n#pragma unroll\nfor (int k = 0; k < 200; k++) sum[k] += x[i * k] * sum[k]; "
            "\n#pragma unroll\nfor (int k = 0; k < 200; k++) y[k] = sum[k]; }")
    (usage,) = nvrtc.compile_source(code, "double", "sm_90")
    assert usage.spills > 0 and usage.stack > 0


def test_a_mistake_is_reported_with_its_file_and_line():
    with pytest.raises(RuntimeError, match=r"wrong\.cu for sm_80, REAL=float: wrong\.cu\(2\): error"):
        code = 'extern "C" __global__ void f(REAL* x)\n{ x[0] = INFINITY; }'
        nvrtc.compile_source(code, "float", "sm_80", "wrong.cu")


def test_without_the_wheel_the_pip_line_is_told(monkeypatch):
    monkeypatch.setattr(nvrtc, "WHEELS", ("no-such-wheel",))
    nvrtc._library.cache_clear()
    try:
        assert "pip install nvidia-cuda-nvrtc" in nvrtc.missing()
        with pytest.raises(RuntimeError, match="pip install nvidia-cuda-nvrtc"):
            nvrtc.compile_source("", "float", "sm_80")
    finally:
        nvrtc._library.cache_clear()
