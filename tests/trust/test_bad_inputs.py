"""Bad input ends with one line that says what, where and what to do, the right status, and nothing left behind."""
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import bad_checkpoints
import bad_inputs
import pytest
from cli_run import run
from refusal import TINY, check_line, listing, place

import minimoe
from minimoe.cli import parse
from minimoe.data import WordPieceTokenizer

PACKAGED = Path(minimoe.__file__).parent / "assets" / "sentiment"
TABLES = {"files": bad_inputs.FILES, "configs": bad_inputs.CONFIGS, "options": bad_inputs.OPTIONS,
          "outputs": bad_inputs.OUTPUTS, "checkpoints": bad_checkpoints.CHECKPOINTS}
ROWS = {f"{table}: {name}": row for table, rows in TABLES.items() for name, row in rows.items()}


def prepare(row, tmp_path, monkeypatch) -> list[str]:
    """The row's files in tmp_path/given, an empty folder to stand in, and the arguments."""
    given, here = tmp_path / "given", tmp_path / "here"
    given.mkdir()
    here.mkdir()
    place(given, row.files)
    monkeypatch.chdir(here)
    return [a.replace("{}", str(given)).replace("{packaged}", str(PACKAGED)) for a in row.argv]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_it_is_refused_in_one_line_and_leaves_nothing(row, capsys, tmp_path, monkeypatch, small_data):
    argv = prepare(row, tmp_path, monkeypatch)
    before = listing(tmp_path)
    status, _, error = run(capsys, *argv)
    assert status in row.status, error
    check_line(error, row.says)
    assert listing(tmp_path) == before


def test_the_table_holds_at_least_sixty_rows_and_every_kind():
    assert len(ROWS) >= 60 and all(len(rows) >= 10 for rows in TABLES.values())


@pytest.mark.parametrize("name", ["files: a NUL byte", "configs: brackets without end", "options: dense with k",
                                  "checkpoints: content nested without end"])
def test_a_process_of_its_own_says_the_same(name, tmp_path, monkeypatch):
    argv = prepare(ROWS[name], tmp_path, monkeypatch)
    before = listing(tmp_path)
    done = subprocess.run([sys.executable, "-m", "minimoe", *argv], capture_output=True, text=True, encoding="utf-8",
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "1"})
    assert done.returncode in ROWS[name].status and done.stdout == ""
    check_line(done.stderr, ROWS[name].says)
    assert listing(tmp_path) == before


# what must work
WORDS = ["a good film", "not a bad plot", "\u201cfine\u201d \u00e9t\u00e9", "two\u2028lines", "next\x85line",
         "a\x0bb\x0cc\x1cd"]
PLAIN = "sentence\tlabel\n" + "".join(f"{word} {i}\t{i % 2}\n" for i, word in enumerate(WORDS * 4))


@pytest.mark.parametrize("change", [
    pytest.param(lambda b: b"\xef\xbb\xbf" + b, id="byte-order mark"),
    pytest.param(lambda b: b.replace(b"\n", b"\r\n"), id="CRLF"),
    pytest.param(lambda b: b.removesuffix(b"\n"), id="no last line end")])
def test_byte_order_mark_and_crlf_train_the_same_model(change, capsys, tmp_path):
    for name, content in (("plain", PLAIN.encode()), ("other", change(PLAIN.encode()))):
        place(tmp_path / name, {"SST-2/train.tsv": content, "SST-2/dev.tsv": content})
        status, _, error = run(capsys, "train", "--task", "sst2", "--data-dir", tmp_path / name, *TINY, "--out",
                               tmp_path / name / "run")
        assert status == 0, error
    plain, other = ((tmp_path / name / "run" / "checkpoint.safetensors").read_bytes() for name in ("plain", "other"))
    assert plain == other


def test_unicode_line_separators_are_part_of_a_sentence(capsys, tmp_path):
    """24 examples stand in the file, whatever its texts hold."""
    place(tmp_path, {"SST-2/train.tsv": PLAIN, "SST-2/dev.tsv": PLAIN})
    status, out, error = run(capsys, "train", "--task", "sst2", "--data-dir", tmp_path, *TINY)
    assert status == 0 and "24 examples" in out, error


@pytest.mark.parametrize("content", ["\ufeffseed = 3\r\nbatch-size = 4\r\n",
                                     "# \u2028 a comment\nseed = 3\nbatch_size = 4"])
def test_a_configuration_may_have_a_byte_order_mark_crlf_and_any_comment(content, tmp_path):
    place(tmp_path, {"c.toml": content})
    values = parse(["train", "--config", str(tmp_path / "c.toml")])[1]
    assert (values["seed"], values["batch_size"]) == (3, 4)


def test_a_vocabulary_file_may_have_a_byte_order_mark_and_crlf(tmp_path):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "##s"]
    (tmp_path / "vocab.txt").write_bytes(("\ufeff" + "\r\n".join(tokens)).encode())
    assert WordPieceTokenizer.from_vocab_file(tmp_path / "vocab.txt").to_dict()["tokens"] == tokens


@pytest.mark.slow
def test_a_line_of_a_hundred_megabytes_is_read_and_cut(capsys, tmp_path):
    train = "sentence\tlabel\n" + ("x" * 999 + " ") * 100_000 + "\t1\n" + "b\t0\n" * 9
    place(tmp_path, {"SST-2/train.tsv": train, "SST-2/dev.tsv": PLAIN})
    status, _, error = run(capsys, "train", "--task", "sst2", "--data-dir", tmp_path, *TINY)
    assert status == 0, error


@pytest.mark.slow
def test_a_label_of_a_hundred_megabytes_is_refused_in_a_short_line(capsys, tmp_path):
    place(tmp_path, {"SST-2/train.tsv": "sentence\tlabel\na\t" + "1" * 100_000_000 + "\n"})
    status, _, error = run(capsys, "train", "--task", "sst2", "--data-dir", tmp_path, *TINY)
    assert status == 2
    check_line(error, "line 2 has the label '11")


# outputs that fail while they are written
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))
WRITERS = {"predict": ["predict", "a film", "--json", "out"], "info": ["info", "--json", "out"],
           "inspect": ["inspect", "a film", "--export", "out"],
           "train": ["train", *TINY, "--max-length", "32", "--no-baseline", "--json", "out"]}


@pytest.mark.parametrize("failure", [FULL, READ_ONLY], ids=["full", "read-only"])
@pytest.mark.parametrize("argv", WRITERS.values(), ids=WRITERS.keys())
def test_a_disk_that_fails_at_the_last_byte_leaves_the_old_file(argv, failure, capsys, tmp_path, monkeypatch,
                                                                small_data):
    def fail(number):
        raise OSError(failure.errno, failure.strerror)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", fail)
    before = listing(tmp_path)
    status, _, error = run(capsys, *argv)
    assert status == 2 and listing(tmp_path) == before
    check_line(error, f"/out: {failure.strerror}")


@pytest.mark.parametrize("argv", WRITERS.values(), ids=WRITERS.keys())
def test_a_folder_that_takes_no_file_is_refused_before_the_work(argv, capsys, tmp_path, monkeypatch, small_data):
    def refuse(self, data):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    status, out, error = run(capsys, *argv)
    assert status == 2 and out == "" and listing(tmp_path) == {}
    check_line(error, r"out: cannot be written \(Permission denied\); give another name or folder")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a disk that is always full")
def test_a_device_that_is_full_says_so(capsys):
    status, _, error = run(capsys, "predict", "a film", "--json", "/dev/full")
    assert status == 2
    check_line(error, "/dev/full: No space left on device")


def test_a_full_disk_while_training_keeps_the_last_good_checkpoint(capsys, tmp_path, monkeypatch, small_data):
    base = ["train", *TINY, "--max-length", "32", "--no-baseline", "--out", tmp_path / "run", "--max-steps", "9",
            "--save-every", "2"]
    fsync, calls = os.fsync, []

    def full_later(number):
        calls.append(number)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    monkeypatch.setattr(os, "fsync", full_later)
    status, _, error = run(capsys, *base)
    assert status == 2
    check_line(error, r"checkpoint\.safetensors: No space left on device; the last checkpoint is whole: go on from it")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoint.safetensors", "metrics.jsonl"]
    monkeypatch.setattr(os, "fsync", fsync)
    status, out, error = run(capsys, *base, "--resume")
    assert status == 0 and re.search("resuming at step 4", out), error
