"""The benchmark scripts run, in their tiny form, and refuse clearly what they cannot measure."""
import json
import re
from pathlib import Path

import pytest

from minimoe.backend import available_backends
from minimoe.kernels import cuda, nvrtc
from minimoe.kernels.launch import _parameters

FOLDER = Path(__file__).parents[2] / "benchmarks"
NO_TIME_OF_THEIR_OWN = {"grouped_matmul", "grouped_weight_gradient", "segments", "budget_counts", "select_gates",
                        "select_gates_backward", "token_of_assignment"}


@pytest.fixture
def script(monkeypatch):
    """script(name) -> the module of benchmarks/name.py."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return __import__


needs_nvrtc = pytest.mark.skipif(bool(nvrtc.missing()), reason=nvrtc.missing())
needs_simulator = pytest.mark.skipif(bool(available_backends()["cudasim"]), reason=available_backends()["cudasim"])


def kernels_in(table: str) -> list[tuple[str, str]]:
    """(file, kernel) of every row of a report, in order."""
    return re.findall(r"^\| (\w+\.cu) \| (\w+) \|", table, re.M)


def kernels_there_are() -> list[tuple[str, str]]:
    files = [path.name for path in Path(cuda.__file__).parents[1].glob("*.cu")]
    return sorted((file, kernel) for file in files for kernel in _parameters(file))


@needs_nvrtc
def test_kernel_report_prints_a_row_for_every_kernel(script, capsys):
    assert script("kernel_report").main(["--tiny"]) == 0
    assert kernels_in(capsys.readouterr().out) == kernels_there_are()


def test_the_report_in_the_readme_has_a_row_for_every_kernel():
    assert kernels_in((FOLDER / "README.md").read_text(encoding="utf-8")) == kernels_there_are()


def test_kernel_report_without_nvrtc_says_how_to_get_it(script, capsys, monkeypatch):
    monkeypatch.setattr(nvrtc, "missing", lambda: "pip install it")
    assert script("kernel_report").main([]) == 2 and capsys.readouterr().err == "pip install it\n"


@needs_simulator
def test_gpu_runs_on_the_simulator_and_writes_every_figure(script, capsys, tmp_path):
    assert script("gpu").main(["--tiny", "--backend", "cudasim", "--json", str(tmp_path / "gpu.json")]) == 0
    written = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    results = written["results"]
    assert {row["what"] for row in results["memory-bound kernels"]} == {
        "device copy", *set(cuda.__all__) - NO_TIME_OF_THEIR_OWN}
    assert len(results["grouped products"]) == 7
    assert all(row["GB/s"] > 0 for row in results["memory-bound kernels"])
    assert all(0 < row["fastest"] <= row["seconds"] <= row["slowest"] for rows in results.values() for row in rows)
    assert len(results) == (4 if written["pytorch"] == "compared" else 2)
    assert capsys.readouterr().out.startswith("no GPU: simulated")


def test_gpu_without_a_gpu_is_refused_in_one_line(script, capsys, monkeypatch):
    def unusable(name):
        raise RuntimeError(f"backend {name}: no card")

    gpu = script("gpu")
    monkeypatch.setattr(gpu, "get_backend", unusable)
    assert gpu.main([]) == 2 and capsys.readouterr().err == "gpu.py: backend cupy: no card\n"


@needs_simulator
def test_gpu_refuses_to_time_the_simulator(script, capsys):
    assert script("gpu").main(["--backend", "cudasim"]) == 2 and "needs --tiny" in capsys.readouterr().err


@needs_simulator
def test_gpu_times_nothing_that_is_wrong(script, monkeypatch):
    gpu = script("gpu")
    monkeypatch.setattr(cuda, "layer_norm", lambda x, *rest: (x, x, x[:, :1]))
    with pytest.raises(AssertionError, match="layer_norm: differs from NumPy by"):
        gpu.main(["--tiny", "--backend", "cudasim"])
