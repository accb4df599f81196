"""Plain English for language models: a file of one's own, or the documentation that comes with Python itself."""
from __future__ import annotations

import ast
import importlib
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

NO_PROSE = {"encodings", "idlelib", "lib2to3", "pydoc_data", "test", "turtledemo"}     # large, with little to read
LEAST_WORDS = 8
CODE = re.compile(r"[][{}<>\\|=@#$%^~_]|\(\)|--")       # what sentences about code have and prose has not
SENTENCE_ENDS = (".", "!", "?", '"', "'", ")")
PROSE = re.compile(r"[A-Z].*[.!?][\"')]*$")
PLAIN_WORD = re.compile(r"[\"'(]*[A-Za-z]+(?:['-][A-Za-z]+)*[\"')]*[.,;:!?]*[\"')]*$")
LINKING = {"a", "an", "and", "are", "as", "be", "by", "for", "from", "if", "in", "is", "it", "not", "of", "or", "that",
           "the", "this", "to", "with"}


def load_text(path: str | Path) -> list[str]:
    r"""The paragraphs of a UTF-8 text file that has one on each line; blank lines are dropped.

    Only "\n" (or "\r\n") ends a line. FileNotFoundError if the file is not there; ValueError naming file and line if it
    is not UTF-8 or holds a NUL byte, and if it has no text.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"load_text: no file {path}; needed a text with one paragraph a line") from None
    try:
        text = data.decode("utf-8-sig")
        damage = data.find(b"\0")
    except UnicodeDecodeError as error:
        text, damage = "", error.start
    if damage >= 0:
        line = data.count(b"\n", 0, damage) + 1
        raise ValueError(f"load_text: {path}, line {line} is not UTF-8 text; convert the file to UTF-8")
    paragraphs = [line.strip() for line in text.split("\n")]
    paragraphs = [paragraph for paragraph in paragraphs if paragraph]
    if not paragraphs:
        raise ValueError(f"load_text: {path} holds no text; needed one paragraph a line")
    return paragraphs


def standard_library_text() -> list[str]:
    """Paragraphs of plain English from Python's own documentation: its docstrings, read without importing the modules,
    and the texts behind `help()`.

    What looks like code is left out. The order is fixed; the amount depends on the Python version (3.11: about 4,800
    paragraphs, 100,000 words).
    """
    found: dict[str, None] = {}                     # a dict, to keep each paragraph once and in order
    for text in (*_docstrings(), *_help_topics()):
        for paragraph in re.split(r"\n\s*\n", text):
            cleaned = _plain(paragraph)
            if cleaned:
                found[cleaned] = None
    return list(found)


def _docstrings() -> Iterator[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    for name in sorted(sys.stdlib_module_names - NO_PROSE):
        for path in (folder / f"{name}.py", *sorted((folder / name).glob("*.py"))):
            if not path.is_file():                  # a built-in module, or one that is a package
                continue
            try:
                with warnings.catch_warnings():     # old modules have escapes that newer Pythons complain about
                    warnings.simplefilter("ignore")
                    tree = ast.parse(path.read_bytes())
            except (OSError, SyntaxError, ValueError):
                continue
            yield from _docstrings_in(tree)


def _docstrings_in(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The docstring of `node` and of what is defined directly in it, and so on."""
    text = ast.get_docstring(node)
    if text:
        yield text
    for child in node.body:
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _docstrings_in(child)


def _help_topics() -> Iterator[str]:
    try:
        topics = importlib.import_module("pydoc_data.topics").topics     # one dict of texts, nothing else
    except (ImportError, AttributeError):           # not every Python has it, or has it there
        return
    yield from (topics[name] for name in sorted(topics))


def _plain(paragraph: str) -> str:
    """The paragraph on one line without markup, or nothing if it is not plain English."""
    if not paragraph.rstrip().endswith(SENTENCE_ENDS):              # most paragraphs; the rest of the work is slower
        return ""
    text = re.sub(r":\w+:`", "`", paragraph)
    text = " ".join(re.sub(r"[`*]", "", text).split())
    words = text.split()
    if len(words) < LEAST_WORDS or CODE.search(text) or not PROSE.match(text):
        return ""
    plain = sum(PLAIN_WORD.match(word) is not None for word in words)
    linking = sum(word.lower() in LINKING for word in words)
    return text if plain >= 0.9 * len(words) and linking >= 0.15 * len(words) else ""
