"""Which backends the tests run on: `--backend numpy` (default), `cupy`, `cudasim` or `all`; `-m gpu` means cupy."""
import pytest

from minimoe.backend import BACKENDS, available_backends


def pytest_addoption(parser):
    parser.addoption("--backend", default="numpy", choices=[*BACKENDS, "all"], help="arrays that tests run on")


def pytest_configure(config):
    if config.option.markexpr == "gpu":
        config.option.backend = "cupy"


def pytest_generate_tests(metafunc):
    """A test with an argument `backend` runs once for each; one that is unusable here shows as skipped, with why."""
    if "backend" in metafunc.fixturenames:
        chosen, missing = metafunc.config.getoption("backend"), available_backends()
        metafunc.parametrize("backend", [
            pytest.param(name, marks=marks_of(name, missing[name]))
            for name in (BACKENDS if chosen == "all" else [chosen])])


def marks_of(name, missing):
    """`gpu` for a test on CuPy; skipped, with why, where the backend is missing."""
    gpu = [pytest.mark.gpu] if name == "cupy" else []
    return [*gpu, pytest.mark.skip(reason=f"{name}: {missing}")] if missing else gpu


def pytest_report_header(config):
    return [f"backend {name}: {missing or 'usable'}" for name, missing in available_backends().items()]
