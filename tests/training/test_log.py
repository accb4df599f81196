"""The log of a run that goes on: what came after the checkpoint is dropped, and damage does no harm."""
import errno
import os
from dataclasses import replace

import pytest
from small import CONFIG, small_task

from minimoe.training import Trainer, log
from minimoe.training.log import Log

BEFORE = [b'{"step": 10, "loss": 0.5}', b'{"epoch": 1, "step": 14, "validation_score": 0.5}', b'{"step": 20}']


@pytest.mark.parametrize("line", [
    b"3", b"[]", b"null", b'"step"', b'{"x": 1}', b'{"step": "10"}', b'{"step": 1.5}', b'{"step": null}',
    b'{"step": 20, "epoch": "x"}', b'{"step": 5', b"\xff", b'\xff{"step": 5}', b"[" * 100_000,
    b'{"step": 20, "epoch": 3}', b'{"step": 21}'], ids=lambda line: line[:24].decode("latin-1"))
def test_a_line_that_is_not_of_ours_or_came_later_is_dropped(line, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([BEFORE[0], line, *BEFORE[1:], b""]))
    Log(str(tmp_path)).cut(20, 2)
    assert (tmp_path / "metrics.jsonl").read_bytes().splitlines() == BEFORE


def test_a_run_goes_on_beside_a_damaged_log(tmp_path):
    config = replace(CONFIG, out=str(tmp_path))
    Trainer(config, small_task(), progress=False).save()
    (tmp_path / "metrics.jsonl").write_bytes(b'3\n{"x": 1}\n\xff\n')
    assert Trainer(config, small_task(), progress=False).restore()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_a_log_that_cannot_be_written_is_named_and_not_the_checkpoint(tmp_path, monkeypatch):
    def refuse(path, text):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    config = replace(CONFIG, out=str(tmp_path))
    Trainer(config, small_task(), progress=False).save()
    (tmp_path / "metrics.jsonl").touch()
    monkeypatch.setattr(log, "write_text", refuse)
    with pytest.raises(OSError, match=r"Read-only file system: .*metrics\.jsonl"):
        Trainer(config, small_task(), progress=False).restore()


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Log(None).add({"step": 1})
    Log(None).cut(1, 0)
    assert list(tmp_path.iterdir()) == []
