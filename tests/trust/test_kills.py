"""Training on the real command line survives SIGKILL, a full disk and a folder that turns read-only."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minimoe.training import load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="SIGKILL and file limits are POSIX's")]
SHORT = ["--no-baseline", "--max-steps", "25"]
CHECKPOINT = "checkpoint.safetensors"
KEPT = "; the last checkpoint is whole: go on from it with --resume"


@pytest.fixture(scope="module")
def kills():
    """The module benchmarks/kills.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield __import__("kills")


def test_train_that_is_killed_eight_times_ends_like_a_run_that_was_not(kills, tmp_path):
    """The Switch baseline is trained, killed and compared too."""
    found = kills.kill_and_resume(kills.TRAIN, tmp_path, 8)
    assert found["kills"] == 8 and found["checkpoints read"] > 0 and found["while writing"] > 0


def test_pretrain_that_is_killed_three_times_ends_like_a_run_that_was_not(kills, tmp_path):
    found = kills.kill_and_resume(kills.pretrain(tmp_path), tmp_path, 3)
    assert found["kills"] == 3 and found["checkpoints read"] > 0


def test_the_script_prints_a_line_a_command_and_writes_its_figures(kills, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "kill_and_resume", lambda command, folder, n, seed: {"kills": n, "words": command[3]})
    assert kills.main(["--json", str(tmp_path / "k.json")]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["train", "50", "train", "0"], ["pretrain", "20", "pretrain", "0"]]
    assert json.loads((tmp_path / "k.json").read_text(encoding="utf-8"))["train"] == {"kills": 50, "words": "train"}


@pytest.fixture(scope="module")
def whole(kills, tmp_path_factory):
    """The files of a short run that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert train(kills, out).returncode == 0
    return kills.contents(out)


def train(kills, out, *options, first=""):
    """The run, in a process that has executed `first`."""
    start = [sys.executable, "-c", f"import os, sys\n{first}\nos.execv(sys.argv[1], sys.argv[1:])"]
    return subprocess.run([*start, *kills.TRAIN, *SHORT, "--out", str(out), *options], capture_output=True, text=True)


def killed_after_a_checkpoint(kills, out):
    process = subprocess.Popen([*kills.TRAIN, *SHORT, "--out", str(out)], stdout=subprocess.DEVNULL)
    while process.poll() is None and not kills.checkpoints(out):
        time.sleep(0.001)
    process.kill()
    process.wait()
    return (out / CHECKPOINT).read_bytes()


def test_a_full_disk_gives_one_line_and_keeps_the_last_checkpoint_from_which_the_run_goes_on(kills, whole, tmp_path):
    good = killed_after_a_checkpoint(kills, tmp_path)
    full = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({len(good) // 2}, r.RLIM_INFINITY))"
    found = train(kills, tmp_path, "--resume", first=full)
    assert (found.returncode, found.stderr) == (2, f"minimoe: {tmp_path / CHECKPOINT}: File too large{KEPT}\n")
    assert (tmp_path / CHECKPOINT).read_bytes() == good
    assert train(kills, tmp_path, "--resume").returncode == 0 and kills.contents(tmp_path) == whole


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, a disk that is always full, is Linux's")
def test_a_log_without_room_is_named_in_one_line_and_the_run_goes_on_from_its_checkpoint(kills, whole, tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    found = train(kills, tmp_path)
    assert found.returncode == 2
    assert found.stderr == f"minimoe: {tmp_path / 'metrics.jsonl'}: No space left on device{KEPT}\n"
    assert load_checkpoint(tmp_path).state["step"] == 9                 # the log's first line belongs to step 10
    (tmp_path / "metrics.jsonl").unlink()
    assert train(kills, tmp_path, "--resume").returncode == 0 and kills.contents(tmp_path) == whole


OBEY_PERMISSIONS = """
import ctypes
if os.geteuid() == 0:                       # root may write anywhere, until it gives this right up
    drop_from_bounding_set, dac_override = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override, 0, 0, 0)
"""
as_a_user = pytest.mark.skipif(sys.platform != "linux" and getattr(os, "geteuid", int)() == 0,
                               reason="root can write to a read-only folder; run the tests as a user")


@as_a_user
def test_a_read_only_folder_is_refused_in_one_line_before_the_work(kills, tmp_path):
    (tmp_path / "run").mkdir(mode=0o555)
    found = train(kills, tmp_path / "run", first=OBEY_PERMISSIONS)
    assert found.returncode == 2 and list((tmp_path / "run").iterdir()) == []
    assert found.stderr == f"minimoe: {tmp_path / 'run' / 'metrics.jsonl'}: Permission denied\n"


@as_a_user
def test_a_folder_that_turned_read_only_keeps_its_checkpoint_from_which_the_run_goes_on(kills, whole, tmp_path):
    good = killed_after_a_checkpoint(kills, tmp_path / "run")
    (tmp_path / "run").chmod(0o555)
    found = train(kills, tmp_path / "run", "--resume", first=OBEY_PERMISSIONS)
    assert found.returncode == 2 and len(found.stderr.splitlines()) == 1 and "Permission denied" in found.stderr
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == good
    (tmp_path / "run").chmod(0o755)
    assert train(kills, tmp_path / "run", "--resume").returncode == 0 and kills.contents(tmp_path / "run") == whole
