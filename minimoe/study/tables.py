"""Tables as Markdown and as CSV; what a row of a report holds, written and read back."""
from __future__ import annotations

import csv
from io import StringIO

import numpy as np

from minimoe.study.comparisons import Comparison
from minimoe.study.rows import Row
from minimoe.study.statistics import mean_sd, student_interval
from minimoe.study.verdicts import BAG, CONSTANT, UNIGRAM, beats, marks_of

TEXTS = ("grid", "task", "row", "role", "metric", "better")     # the other columns of rows.csv hold numbers
MAPS = ("scores", "mean_k_per_seed")                            # or "key:number key:number"


def row_record(row: Row, group: list[Row], measured: dict) -> dict:
    """One line of rows.csv. Numbers that a row does not have are None; scores: seed -> score."""
    mean, sd = mean_sd(list(row.scores.values()))
    interval = student_interval(list(row.scores.values())) or (None, None)
    marks, roles = marks_of(group, measured), row.experts_by_role()
    deciding, others = (None, None) if roles is None else map(float, map(np.mean, roles))
    speeds = [result["tokens_per_second"] for result in row.results if result["tokens_per_second"]]
    return {
        "grid": row.grid, "task": row.task, "row": row.name, "role": row.role, "metric": row.metric,
        "better": "lower" if row.lower_is_better else "higher", "seeds": len(row.results), "mean": mean, "sd": sd,
        "low": interval[0], "high": interval[1], "mean_k": row.mean("mean_experts_per_token"),
        "sd_k": row.sd_k(), "load_cv": row.load_cv(), "dropped": row.mean("dropped"),
        "flops_per_token": row.mean("flops_per_token"),
        "tokens_per_second": float(np.median(speeds)) if speeds else None,
        "parameters": row.mean("parameters"), "deciding_k": deciding, "other_k": others,
        "constant": marks.get(CONSTANT), "bag": marks.get(BAG), "unigram": marks.get(UNIGRAM),
        "beats_marks": int(beats(row, marks)), "scores": row.scores,
        "mean_k_per_seed": {r["seed"]: r["mean_experts_per_token"] for r in row.results}}


def difference_record(one: Comparison) -> dict:
    """One line of differences.csv; positive means that the candidate is better."""
    d = one.difference
    student = d.student or (None, None)
    return {
        "grid": one.candidate.grid, "task": one.candidate.task, "candidate": one.candidate.name,
        "reference": one.reference.name, "seeds": len(d.seeds), "mean": d.mean, "sd": d.sd, "student_low": student[0],
        "student_high": student[1], "bootstrap_low": d.bootstrap[0], "bootstrap_high": d.bootstrap[1],
        "compute_ratio": one.compute, "decisive": int(one.decisive), "verdict": one.words, "notes": one.notes}


def csv_text(records: list[dict]) -> str:
    """Lines that end in a line feed on every system. Numbers with six digits that count, scores in full."""
    file = StringIO()
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in record.items()} for record in records)
    return file.getvalue()


def read_rows_csv(text: str) -> list[dict]:
    """The way back from `csv_text` of row records: texts, numbers, None for an empty cell, dicts of seeds."""
    return [{key: _value(key, cell) for key, cell in line.items()} for line in csv.DictReader(StringIO(text))]


def markdown(records: list[dict[str, str]]) -> str:
    """A table with the first column to the left and the rest to the right."""
    keys = list(records[0])
    lines = [keys, ["---", *["---:"] * (len(keys) - 1)], *([record[key] for key in keys] for record in records)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return " ".join(f"{key}:{number!r}" for key, number in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _value(key: str, cell: str):
    if key in TEXTS:
        return cell
    if key in MAPS:
        return {int(seed): float(number) for seed, number in (part.split(":") for part in cell.split())}
    return float(cell) if cell else None
