"""Writing files so that nothing is ever half-written."""
from __future__ import annotations

import json
import os
from pathlib import Path


def write_text(path, text: str) -> None:
    """Writes UTF-8 under a temporary name beside `path`, then renames. Raises OSError when it cannot."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value) -> None:
    """Writes `value` as indented JSON; see `write_text`."""
    write_text(path, json.dumps(value, indent=1) + "\n")
