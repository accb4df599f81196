"""Files: whole or not at all, links followed, devices left as they are."""
import os
import stat
import sys

import pytest

from minimoe.files import alone_in, check_writable, write_bytes, write_json, write_text


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_only_one_is_in_a_folder_at_a_time(tmp_path):
    with alone_in(str(tmp_path)):
        with pytest.raises(ValueError, match="another process works in this folder; wait for it"):
            with alone_in(str(tmp_path)):
                pytest.fail("two are in the folder")
        (tmp_path / "other").mkdir()
        with alone_in(str(tmp_path / "other")):
            pass
    with alone_in(str(tmp_path)):
        assert list(tmp_path.iterdir()) == [tmp_path / "other"]


def test_an_error_leaves_the_folder_to_the_next(tmp_path):
    with pytest.raises(KeyError), alone_in(str(tmp_path)):
        raise KeyError("x")
    with alone_in(str(tmp_path)):
        pass
