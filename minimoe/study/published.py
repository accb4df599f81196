"""The results that ship with the package."""
from __future__ import annotations

from importlib import resources

from minimoe.study.tables import read_rows_csv

FILE = "assets/results/rows.csv"


def load_results() -> list[dict]:
    """One dict for every task and row of the published grids, as `minimoe compare --report` writes them to rows.csv;
    an empty list where none are shipped.

    Keys: grid, task, row, role (dense fixed control own importance), metric, better (higher or lower), seeds, mean,
    sd, low and high (Student's 95 % interval of the mean), mean_k, sd_k (over the tokens of a layer), load_cv, dropped,
    flops_per_token, tokens_per_second, parameters, deciding_k and other_k (experts of the deciding words and of the
    others), constant, bag and unigram (the marks), beats_marks (1 or 0), scores and mean_k_per_seed (seed -> number).
    None where a row has no such number.
    """
    file = resources.files("minimoe") / FILE
    return read_rows_csv(file.read_text(encoding="utf-8")) if file.is_file() else []
