"""The log of a run: metrics.jsonl in its folder, one JSON object a line."""
from __future__ import annotations

import json
from pathlib import Path

from minimoe.files import append_text, write_text


class Log:
    """Lines with the "step" they belong to, and after a validation its "epoch". Without a folder nothing is kept."""

    def __init__(self, folder: str | None):
        self.path = None if folder is None else Path(folder) / "metrics.jsonl"

    def add(self, line: dict) -> None:
        if self.path:
            append_text(self.path, json.dumps(line) + "\n")

    def cut(self, step: int, epoch: int) -> None:
        """Drops what came after `step` and `epoch`, which is done again, and lines that are not of ours."""
        if self.path and self.path.is_file():
            lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
            write_text(self.path, "".join(line + "\n" for line in lines if _is_before(line, step, epoch)))


def _is_before(line: str, step: int, epoch: int) -> bool:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):            # the last line of a killed run may be cut
        return False
    if not isinstance(entry, dict):
        return False
    own = entry.get("step"), entry.get("epoch", 0)
    return all(type(number) is int for number in own) and (own[0] < step or own[0] == step and own[1] <= epoch)
