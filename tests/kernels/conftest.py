"""Kernel tests run on the simulator; with `--backend cupy` on a GPU, with `--backend all` on both."""
import platform

import pytest

from minimoe.backend import available_backends

DEVICES = {"cupy": ["cupy"], "all": ["cudasim", "cupy"]}


def pytest_generate_tests(metafunc):
    """A test with an argument `device` runs on each. The simulator may be missing only where it cannot work."""
    if "device" in metafunc.fixturenames:
        devices, missing = DEVICES.get(metafunc.config.getoption("backend"), ["cudasim"]), available_backends()
        metafunc.parametrize("device", [pytest.param(name, marks=_marks(name, missing[name])) for name in devices])


def _marks(name: str, missing: str) -> list:
    required = name == "cudasim" and (platform.system(), platform.machine()) == ("Linux", "x86_64")
    gpu = [pytest.mark.gpu] if name == "cupy" else []
    return [*gpu, pytest.mark.skip(reason=f"{name}: {missing}")] if missing and not required else gpu
