"""Freed memory stays with the process, where glibc lets one say so."""
import ctypes
import platform
import subprocess
import sys

import pytest

from minimoe.training import heap

FAULTS = """
import resource, numpy as np
from minimoe.training.heap import keep_freed_memory
{call}
def step():
    return [np.ones(2**20) for _ in range(8)][0][0]        # 64 MiB, freed at the end
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(call: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS.format(call=call)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_the_next_step_finds_the_pages_that_this_one_freed():
    assert page_faults("keep_freed_memory()") < 100 < 10_000 < page_faults("")


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_another_c_library_is_left_alone(monkeypatch, error):
    def refuse(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    monkeypatch.setattr(heap, "_mallopt", heap._mallopt.__wrapped__)
    assert heap.keep_freed_memory() is None and heap._mallopt() is None
