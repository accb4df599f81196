"""Which backends the tests run on: `--backend numpy` (default), `cupy`, `cudasim` or `all`."""
import pytest

from minimoe.backend import BACKENDS, available_backends


def pytest_addoption(parser):
    parser.addoption("--backend", default="numpy", choices=[*BACKENDS, "all"], help="arrays that tests run on")


def pytest_generate_tests(metafunc):
    """A test with an argument `backend` runs once for each; one that is unusable here shows as skipped, with why."""
    if "backend" in metafunc.fixturenames:
        chosen, missing = metafunc.config.getoption("backend"), available_backends()
        metafunc.parametrize("backend", [
            pytest.param(name, marks=[pytest.mark.skip(reason=f"{name}: {missing[name]}")] if missing[name] else [])
            for name in (BACKENDS if chosen == "all" else [chosen])])


def pytest_report_header(config):
    return [f"backend {name}: {missing or 'usable'}" for name, missing in available_backends().items()]
