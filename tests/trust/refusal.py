"""What a refusal looks like, and that it leaves nothing behind."""
import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

BARE = re.compile(r"minimoe: (failed with|'\w+' object|'.*' not supported|unsupported|expected str|could not convert)")
TINY = ("--d-model", "8", "--heads", "2", "--d-ff", "8", "--experts", "2", "--batch-size", "4", "--max-length", "8",
        "--vocab-size", "50", "--max-steps", "1", "--epochs", "1", "--quiet")


@dataclass(frozen=True)
class Bad:
    """A command line that must be refused with one line that `says` (a pattern). "{}" in an argument stands for the
    folder that holds `files` (name -> content); output goes to an empty folder, where the command runs."""

    argv: tuple
    says: str
    files: dict = field(default_factory=dict)
    status: tuple = (2,)


def place(folder: Path, files: dict) -> None:
    """Writes the files, bytes or text, under `folder`."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


def listing(*folders: Path) -> dict[str, str]:
    """Every path under the folders with a hash of its content."""
    return {str(path): sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            for folder in folders for path in sorted(folder.rglob("*"))}


def check_line(error: str, says: str) -> None:
    """One line of at most 1,010 characters that says what is wrong, without a traceback or a bare Python error."""
    assert error.startswith("minimoe: ") and error.endswith("\n") and error.count("\n") == 1, error
    assert len(error) <= 1010 and error[:-1].isprintable(), error
    assert "Traceback" not in error and not BARE.match(error), error
    assert re.search(says, error), f"{error!r} does not say {says!r}"
