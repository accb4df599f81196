"""A training and a development file out of one file of labelled question pairs, once and for all.

    python benchmarks/split_qqp.py train_subset.tsv glue        # writes glue/QQP/train.tsv and glue/QQP/dev.tsv

For those who have a part of QQP's training file and not its development file. A fifth of the lines, drawn with seed 0,
becomes dev.tsv; both keep the file's order and its first line. Scores on it are not those of the published split.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from minimoe.files import write_text

SHARE, SEED = 0.2, 0


def split(lines: list[str]) -> tuple[list[str], list[str]]:
    """(train, dev) of lines without the header."""
    held_out = np.zeros(len(lines), bool)
    held_out[np.random.default_rng(SEED).permutation(len(lines))[:int(SHARE * len(lines))]] = True
    both = list(zip(lines, held_out, strict=True))
    return [line for line, out in both if not out], [line for line, out in both if out]


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Split one QQP file into train.tsv and dev.tsv.")
    parser.add_argument("file", type=Path)
    parser.add_argument("data_dir", type=Path, help="the folder to be given as --data-dir later")
    options = parser.parse_args(arguments)
    try:
        header, *lines = options.file.read_bytes().decode("utf-8").rstrip("\r\n").split("\n")
        folder = options.data_dir / "QQP"
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in zip(("train", "dev"), split(lines), strict=True):
            write_text(folder / f"{name}.tsv", "\n".join([header, *part]) + "\n")
            print(f"{folder / name}.tsv: {len(part):,} pairs")
    except (OSError, ValueError) as error:
        print(f"split_qqp.py: {options.file}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
