"""The first cell of every lesson, where minimoe is missing: it installs from an address, and pins NumPy and CuPy."""
import importlib.metadata
import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import TUTORIALS

TEXT = (TUTORIALS / "source" / "setup.py").read_text(encoding="utf-8")


@pytest.fixture
def install(monkeypatch, tmp_path):
    """Runs the cell in an empty folder as if minimoe were missing; answers with pip's arguments and the pins."""
    calls = []

    def run(command, check):
        assert check
        pins = command[command.index("--constraint") + 1]
        with open(pins, encoding="utf-8") as file:
            calls.append((command, file.read().split("\n")))

    found = [SimpleNamespace(name=name, version="7.1") for name in ("numpy", "scipy", "cupy-cuda12x", None)]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.chdir(tmp_path)

    def cell(text):
        exec(text.split("import minimoe\n")[0], {})
        return calls

    return cell


def test_it_installs_from_the_address_and_keeps_numpy_and_cupy(install):
    (command, pins), = install(TEXT.replace('REPOSITORY = ""', 'REPOSITORY = "git+https://example.org/m"'))
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-1] == "minimoe[plots] @ git+https://example.org/m"
    assert pins == ["numpy==7.1", "cupy-cuda12x==7.1"]


def test_it_installs_from_the_repository_that_it_lies_in(install, monkeypatch, tmp_path):
    root = tmp_path / "a copy"
    (root / "minimoe").mkdir(parents=True)
    (root / "minimoe" / "__init__.py").touch()
    (root / "tutorials").mkdir()
    monkeypatch.chdir(root / "tutorials")
    (command, _), = install(TEXT)
    assert command[-1] == f"minimoe[plots] @ {root.as_uri()}"


def test_without_an_address_it_says_so_and_asks_no_index(install):
    with pytest.raises(RuntimeError, match="REPOSITORY"):
        install(TEXT)


def test_it_installs_nothing_where_minimoe_is_there(monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    names = {}
    exec(TEXT, names)
    assert names["BACKEND"] in ("numpy", "cupy")
