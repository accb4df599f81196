"""A small task and a checkpoint trained on it, for every command."""
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from minimoe.commands import runs
from minimoe.training import Trainer

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from small import CONFIG, small_task  # noqa: E402


@pytest.fixture(scope="module")
def task():
    return small_task()


@pytest.fixture
def small_data(monkeypatch, task):
    """Every training command sees the small task."""
    whole = runs.prepare_task
    monkeypatch.setattr(runs, "prepare_task", lambda config: task if config.builtin else whole(config))


@pytest.fixture(scope="module")
def checkpoint(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    Trainer(replace(CONFIG, out=str(folder), max_steps=8), task, progress=False).run()
    return str(folder)
