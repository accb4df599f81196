"""Training can go on for long: no graph stays, memory does not grow, and nothing waits for the garbage collector."""
import gc
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small import CONFIG, small_task

from minimoe import Tensor
from minimoe.autograd import Node


@pytest.fixture(scope="module")
def endurance():
    """The module benchmarks/endurance.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield __import__("endurance")


class Blocks:
    """Answers with the number of memory blocks in use: every Python object and every array has at least one.

    Collecting before the look empties Python's stores of free tuples; `garbage` notes how much there was to collect.
    """

    def __init__(self):
        self.garbage = []

    def __call__(self):
        self.garbage.append(gc.collect())
        return sys.getallocatedblocks()


def test_300_steps_and_43_validations_leave_no_graph_no_memory_and_no_garbage(endurance):
    blocks, config = Blocks(), replace(CONFIG, epochs=43, max_steps=300)
    trainer = endurance.Watched(config, small_task(), progress=False).watch(blocks)
    with endurance.collector_off():
        found = endurance.endure(trainer)
    assert found["steps"] == 300 and found["live nodes"] == 0 and blocks.garbage == [0, 0, 0]
    after_100, _, after_300 = found["memory"]
    assert after_300 - after_100 < 1000                         # 5 a step; the graph of a step has hundreds


def test_100_models_that_are_made_trained_and_dropped_leave_nothing(endurance):
    blocks = Blocks()
    with endurance.collector_off():
        found = endurance.create_and_drop(100, blocks)
    assert found["objects left"] == 0 and blocks.garbage[-1] == 0
    assert found["memory left"] < 300                           # 3 a model, which has hundreds


def test_what_is_alive_is_counted(endurance):
    with endurance.collector_off():
        before = endurance.live_objects()
        x = Tensor([1.0, 2.0], requires_grad=True)
        y = (x * x).sum()
        found = endurance.live_objects()
    assert isinstance(y._node, Node)
    assert found["Tensor"] - before["Tensor"] == 2 and found["Node"] - before["Node"] == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc, which is Linux's")
def test_the_script_prints_its_figures_and_writes_them(endurance, capsys, tmp_path):
    assert endurance.main(["--tiny", "--json", str(tmp_path / "e.json")]) == 0
    found = json.loads((tmp_path / "e.json").read_text(encoding="utf-8"))
    assert (found["training"]["steps"], found["training"]["live nodes"], found["models"]["objects left"]) == (200, 0, 0)
    assert "KiB per 1,000 steps" in capsys.readouterr().out
