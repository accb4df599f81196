"""The command line's helpers and a small task, for tests that try to break it."""
import sys
from pathlib import Path

import pytest

from minimoe.commands import runs

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("cli", "training")]
from small import small_task  # noqa: E402


@pytest.fixture
def small_data(monkeypatch):
    """Every training command sees the small task in place of a built-in one."""
    whole = runs.prepare_task
    monkeypatch.setattr(runs, "prepare_task", lambda config: small_task() if config.builtin else whole(config))
