"""Cells in processes of their own: one that fails, dies or is stopped disturbs nobody."""
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import grids
import pytest

import minimoe
from minimoe.study import pool
from minimoe.study.pool import default_jobs, run_cells


def scores(outcomes):
    return {outcome.cell.seed: outcome.result and outcome.result["score"] for outcome in outcomes}


def test_every_cell_runs_once_in_a_process_of_its_own_with_its_threads(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    found = list(run_cells(grids.cells(3), 2, grids.seed_and_process))
    assert scores(found) == {0: 0.0, 1: 0.1, 2: 0.2} and [o.error for o in found] == [None] * 3
    assert len({o.result["process"] for o in found} | {os.getpid()}) == 4
    assert {o.result["threads"] for o in found} == {"1"}


def test_the_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    before, handler = dict(os.environ), signal.getsignal(signal.SIGINT)
    list(run_cells(grids.cells(1), 1, grids.seed_and_process))
    assert dict(os.environ) == before and signal.getsignal(signal.SIGINT) is handler


def test_a_failing_cell_says_why_and_the_others_go_on():
    found = {o.cell.seed: o for o in run_cells(grids.cells(3), 2, grids.fail_on_seed_1)}
    assert found[1].error == "ValueError: the router is odd" and found[1].result is None
    assert found[0].result == found[2].result == {"score": 0.5}


def test_a_cell_that_ends_the_program_is_a_failing_cell():
    found = {o.cell.seed: o for o in run_cells(grids.cells(2), 1, grids.leave_on_seed_1)}
    assert found[1].error == "SystemExit: 0" and found[0].result == {"score": 0.5}


def test_a_process_that_dies_is_a_failing_cell():
    found = {o.cell.seed: o for o in run_cells(grids.cells(3), 2, grids.die_on_seed_1)}
    assert found[1].error == "its process ended with status 7 and said nothing; out of memory?"
    assert found[0].result == found[2].result == {"score": 0.5}


def test_warnings_come_with_the_outcome_each_once():
    [found] = run_cells(grids.cells(1), 1, grids.warn_twice)
    assert found.warnings == ("all predictions are equal",)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal to one process")
def test_an_interruption_stops_what_runs_and_keeps_what_is_done():
    done = []

    def interrupt():
        while not done:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    began = time.monotonic()
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt), closing(run_cells(grids.cells(2), 2, grids.first_is_slow)) as outcomes:
        done += outcomes
    assert time.monotonic() - began < 55 and multiprocessing.active_children() == []


def test_what_was_done_before_an_interruption_was_yielded():
    found = []
    with closing(run_cells(grids.cells(2), 2, grids.first_is_slow)) as outcomes:
        found.append(next(outcomes))
    assert scores(found) == {1: 0.5} and multiprocessing.active_children() == []


SCRIPT = """
import sys
from dataclasses import replace
import grids
from minimoe.study.pool import run_cells
if __name__ == "__main__":
    [cell] = grids.cells(1)
    list(run_cells([replace(cell, config=replace(cell.config, out=sys.argv[1]))], 1, grids.say_which_process_and_sleep))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="asks for a process by signal 0")
def test_a_process_ends_when_its_parent_is_killed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    folders = os.pathsep.join([str(Path(minimoe.__file__).parents[1]), str(Path(__file__).parent)])
    parent = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(tmp_path / "pid")],
                              env={**os.environ, "PYTHONPATH": folders}, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
    finally:
        parent.kill()
        parent.wait()
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(child))


def wait_until(true, seconds=30.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")          # a dead process may wait for somebody to ask for its status
    return not status.is_file() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_jobs_fill_the_cores(monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 8)
    one = grids.cells(2)
    assert default_jobs(one) == 8
    assert default_jobs([one[0], replace(one[1], config=replace(one[1].config, threads=3))]) == 2
    assert default_jobs([replace(one[1], config=replace(one[1].config, threads=16))]) == 1
