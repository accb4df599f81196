"""Freed memory stays with the process, where glibc lets one say so."""
import ctypes
import platform
import subprocess
import sys
from dataclasses import replace

import pytest
from small import CONFIG, small_task

from minimoe.training import Trainer, heap

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


@pytest.mark.parametrize("d_ff, kept", [(4, False), (1024, True)])
def test_only_training_of_large_batches_asks_for_it(monkeypatch, d_ff, kept):
    asked = []
    monkeypatch.setattr("minimoe.training.loop.keep_freed_memory", lambda: asked.append(1))
    config = replace(CONFIG, d_ff=d_ff, max_steps=1)        # batches of 16 x 32 tokens
    Trainer(config, small_task(), progress=False).train()
    assert bool(asked) is kept


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_another_c_library_is_left_alone(monkeypatch, error):
    def refuse(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    monkeypatch.setattr(heap, "_mallopt", heap._mallopt.__wrapped__)
    assert heap.keep_freed_memory() is None and heap._mallopt() is None
