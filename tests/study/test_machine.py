"""Where a result comes from."""
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import minimoe
from minimoe.study.machine import commit, cores, machine, source

ROOT = Path(minimoe.__file__).parents[1]


def git(folder, *words):
    found = subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *words],
                           capture_output=True, text=True, check=True)
    return found.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_what_git_says_however_it_is_kept(tmp_path):
    assert commit(tmp_path) is None
    git(tmp_path, "init", "-q", "-b", "main")
    assert commit(tmp_path) is None                 # nothing is committed yet
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    one = git(tmp_path, "rev-parse", "HEAD")
    assert commit(tmp_path) == one and len(one) == 40
    git(tmp_path, "pack-refs", "--all")
    assert commit(tmp_path) == one
    git(tmp_path, "worktree", "add", "-q", "-b", "other", "w")
    git(tmp_path / "w", "commit", "-q", "--allow-empty", "-m", "two")
    two = git(tmp_path / "w", "rev-parse", "HEAD")
    assert (commit(tmp_path), commit(tmp_path / "w")) == (one, two)
    git(tmp_path, "checkout", "-q", "--detach", two)
    assert commit(tmp_path) == two


def test_the_machine_is_described_in_plain_words():
    found = machine()
    assert found["cores"] == cores() >= 1 and found["numpy"] == np.__version__ and all(found.values())


def test_the_checksum_of_the_source_follows_the_code_alone(tmp_path, monkeypatch):
    before = source()
    copy = shutil.copytree(ROOT / "minimoe", tmp_path / "minimoe", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(minimoe, "__file__", str(copy / "__init__.py"))
    assert source() == before and len(before) == 16
    (copy / "notes.txt").write_text("x")
    assert source() == before
    path = copy / "study" / "machine.py"
    path.write_bytes(path.read_bytes() + b"\n")
    assert source() != before
