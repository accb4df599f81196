"""Writing files so that nothing is ever half-written."""
from __future__ import annotations

import json
import os
from pathlib import Path


def write_bytes(path, data: bytes) -> None:
    """Writes under a temporary name beside `path`, flushes to disk, then renames: an interruption leaves the old file
    or the new one. A link is followed; a device or a pipe is written to. Raises OSError when it cannot, and leaves no
    temporary file."""
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            file.write(data)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error       # not the temporary name
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text: str) -> None:
    """`write_bytes` of UTF-8 text; line ends stay as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path, value) -> None:
    """Writes `value` as indented JSON; see `write_text`."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def check_writable(path: str | None) -> None:
    """Refuses an output file that is a folder or lies in none before the work, not after it: ValueError."""
    if path is not None and Path(path).is_dir():
        raise ValueError(f"{path}: this is a folder; give the name of a file in it")
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise ValueError(f"{path}: there is no folder {Path(path).absolute().parent}; make it first")
