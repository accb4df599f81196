"""Files: whole or not at all, links followed, devices left as they are."""
import os
import stat
import sys

import pytest

from minimoe.files import check_writable, write_bytes, write_json, write_text


def test_an_existing_file_is_replaced_and_nothing_else_is_left(tmp_path):
    write_text(tmp_path / "a.txt", "one\r\ntwo é")
    write_text(tmp_path / "a.txt", "three\n")
    assert (tmp_path / "a.txt").read_bytes() == b"three\n" and len(list(tmp_path.iterdir())) == 1


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links and device files of POSIX")
def test_a_link_is_followed_and_a_device_stays_one(tmp_path):
    (tmp_path / "target").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"
    write_bytes("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_numbers_that_are_no_json_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json(tmp_path / "a.json", {"x": float("nan")})


def test_a_missing_folder_and_a_folder_are_refused_before_the_work(tmp_path):
    check_writable(None)
    check_writable(str(tmp_path / "new.json"))
    with pytest.raises(ValueError, match="there is no folder"):
        check_writable(str(tmp_path / "no" / "new.json"))
    with pytest.raises(ValueError, match="this is a folder"):
        check_writable(str(tmp_path))
