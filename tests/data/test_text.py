"""Plain text: a file of one's own, and what comes with Python."""
import os
import subprocess
import sys
import zlib

import pytest

from minimoe.data import load_text, standard_library_text
from minimoe.data.text import _plain

SENTENCE = "The reader is closed when the end of the file is found."


@pytest.fixture(scope="module")
def library():
    return standard_library_text()


def test_every_line_is_a_paragraph_and_blank_lines_are_dropped(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffOne \u00e9.\r\n\n  Two.\t\n \u3000\nThree\u2028four.".encode())
    assert load_text(tmp_path / "a.txt") == ["One \u00e9.", "Two.", "Three\u2028four."]
    assert load_text(str(tmp_path / "a.txt")) == load_text(tmp_path / "a.txt")


@pytest.mark.parametrize("content, message", [
    (b"one\ntwo \xff\n", r"a\.txt, line 2 is not UTF-8"), (b"one\n\ntw\0o", r"a\.txt, line 3 is not UTF-8"),
    (b"", r"a\.txt holds no text"), (b" \n\t\n", r"a\.txt holds no text")])
def test_a_file_without_readable_text_is_refused_by_name(content, message, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_text(tmp_path / "a.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"load_text: no file .*nothing\.txt"):
        load_text(tmp_path / "nothing.txt")


def test_the_standard_library_holds_enough_plain_english(library):
    words = sum(len(paragraph.split()) for paragraph in library)
    assert words > 50_000 and len(library) > 2_000


def test_its_paragraphs_are_different_and_one_line_each(library):
    assert len(set(library)) == len(library)
    assert all(paragraph == " ".join(paragraph.split()) for paragraph in library)


def test_its_order_is_the_same_in_another_process_and_no_module_is_imported(library):
    program = ("import sys, zlib; from minimoe.data import standard_library_text as s\n"
               "print(zlib.crc32('\\n'.join(s()).encode()), {'this', 'antigravity', 'turtle'} & set(sys.modules))")
    there = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": "1"},
                           capture_output=True, text=True, check=True).stdout
    assert there == f"{zlib.crc32(chr(10).join(library).encode())} set()\n"


def test_markup_is_taken_off():
    assert _plain("The *reader* is\n    ``closed`` when the :class:`end` of the file is found.") == SENTENCE


@pytest.mark.parametrize("paragraph", [
    "Too short a text.",
    "the text of this paragraph begins in the middle of a sentence.",
    "The text of this paragraph ends in the middle of the",
    "The value of x is x = y[0] in all of the cases that are known.",
    "The call is read(size) and the answer of open() is a file in the end.",
    ">>> The reader is closed when the end of the file is found.",
    "Alpha 12 beta 13 gamma 14 delta 15 the 16 of 17 and 18.",
    "Names colours fruit animals letters numbers words lines pages books shelves."])
def test_what_is_no_plain_english_is_left_out(paragraph):
    assert _plain(paragraph) == ""
