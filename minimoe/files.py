"""Writing files so that nothing is ever half-written."""
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:                                 # Windows
    fcntl = None

KEPT = ("*.tsv", "*.safetensors", "*.jsonl", "*--*--*.json", "marks.json")       # data, checkpoints, logs, results


def write_bytes(path, data: bytes) -> None:
    """Writes under a temporary name beside `path`, flushes to disk, then renames: an interruption leaves the old file
    or the new one. A link is followed; a device or a pipe is written to. Raises OSError when it cannot, and leaves no
    temporary file."""
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        with _errors_name(path), open(path, "wb") as file:
            file.write(data)
        return
    temporary = _temporary(path)
    try:
        with _errors_name(path):                    # not the temporary file
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def append_text(path, text: str) -> None:
    """Adds UTF-8 text to the end of a file. Raises OSError when it cannot; part of the text may be there then."""
    with _errors_name(path), open(path, "a", encoding="utf-8") as file:
        file.write(text)


def remove_leftovers(path) -> None:
    """Removes what killed processes left of their writes of `path`. Only for a file that nobody else writes now."""
    for old in Path(path).parent.glob(f".{Path(path).name}.*.tmp"):
        old.unlink(missing_ok=True)


@contextmanager
def alone_in(folder: str) -> Iterator[None]:
    """Raises ValueError where another process is in here with the same folder, until it ends, however it ends. Windows
    cannot tell."""
    handle = None if fcntl is None else os.open(folder, os.O_RDONLY)
    try:
        if handle is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{folder}: another process works in this folder; wait for it, or give another "
                                 "--out") from None
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def _errors_name(path) -> Iterator[None]:
    """An OSError inside names `path`: a full disk is found in a write, which does not know its file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_text(path, text: str) -> None:
    """`write_bytes` of UTF-8 text; line ends stay as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path, value) -> None:
    """Writes `value` as indented JSON; see `write_text`."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def check_writable(*paths: str | None, folder: str | None = None, inputs: Iterable[str | None] = ()) -> None:
    """Refuses output files before the work, not after it: one that is a folder, lies in none or cannot be made; two
    that are the same file, `folder` (where the rest of the output goes) included; one that would replace a file among
    `inputs`, or a file of KEPT in a folder among them or in `folder`. None is no output or input. ValueError."""
    taken, read = ({Path(os.path.realpath(path)) for path in several if path is not None}
                   for several in ([folder], inputs))
    folders = taken | read
    for path in (path for path in paths if path is not None):
        place = Path(os.path.realpath(path))
        if place in read or (folders & set(place.parents) and any(place.match(name) for name in KEPT)):
            raise ValueError(f"{path}: this command reads this file or keeps its work in it; give another name")
        if place.is_dir():
            raise ValueError(f"{path}: this is a folder; give the name of a file in it")
        if not place.parent.is_dir():
            raise ValueError(f"{path}: there is no folder {place.parent}; make it first")
        if place in taken:
            raise ValueError(f"{path}: two outputs have this name; give each its own")
        taken.add(place)
        if place.is_file() or not place.exists():
            _try(path)


def _try(path: str) -> None:
    """Makes an empty file under the name that `write_bytes` would use first, and removes it."""
    try:
        temporary = _temporary(Path(os.path.realpath(path)))
        temporary.write_bytes(b"")
        temporary.unlink()
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror}); give another name or folder") from error


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
