"""What the comparisons say, in sentences made from the intervals and from nothing else."""
from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np

from minimoe.study.comparisons import Comparison
from minimoe.study.result_file import are_scores
from minimoe.study.rows import Row, groups

CONSTANT, BAG, UNIGRAM = "best constant answer", "bag of n-grams", "guessing by frequency"


def read_marks(folder) -> dict:
    """Task -> {name: score} of the marks that `minimoe.study.marks` measured, from marks.json in `folder` or one
    folder up; empty where there is none. Raises ValueError, naming the file, for anything else in it."""
    for path in (Path(folder) / "marks.json", Path(folder).absolute().parent / "marks.json"):
        if path.is_file():
            with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                measured = {task: {CONSTANT: found["constant"]["score"], BAG: found["bag"]["score"]}
                            for task, found in json.loads(path.read_text(encoding="utf-8")).items()}
                if all(map(are_scores, measured.values())):
                    return measured
            raise ValueError(f"{path}: these are no marks; make them again with benchmarks/marks.py")
    return {}


def marks_of(group: list[Row], measured: dict) -> dict[str, float]:
    """What a score of this grid and task must beat. Without measured marks the constant answer alone is known."""
    first = group[0].results[0]
    if group[0].lower_is_better:
        return {UNIGRAM: first["unigram"]}
    return measured.get(group[0].task) or {CONSTANT: float(np.mean(list(first["majority"].values())))}


def beats(row: Row, marks: dict[str, float]) -> bool:
    """Whether the row's mean is better than every mark."""
    mean = row.mean("score")
    return all(mean < mark if row.lower_is_better else mean > mark for mark in marks.values())


def evidence(group: list[Row], measured: dict) -> str:
    """One sentence: does this grid and task say anything at all?"""
    marks = marks_of(group, measured)
    listed = ", ".join(f"{name} {mark:.3f}" for name, mark in marks.items())
    if CONSTANT in marks and BAG not in marks:
        listed += f"; the {BAG} was not measured"
    names = [row.name for row in group if beats(row, marks)]
    if not names:
        return f"No row's mean beats {'both marks' if BAG in marks else 'the mark'} ({listed}): no evidence here."
    who = "Every row's mean beats" if len(names) == len(group) else f"Only the means of {', '.join(names)} beat"
    return f"{who} {'both marks' if BAG in marks else 'the mark'} ({listed})."


def with_evidence(rows: list[Row], measured: dict) -> set[str]:
    """The groups in which some row's mean beats the marks."""
    return {group[0].group for group in groups(rows)
            if any(beats(row, marks_of(group, measured)) for row in group)}


def conclusion(candidate: Row, comparisons: list[Comparison]) -> str:
    """What the fair comparisons of one row say together."""
    fair = [one for one in comparisons if one.candidate is candidate and one.fair
            and one.reference.role in ("dense", "fixed", "control")]
    fair.sort(key=lambda one: (not one.decisive, one.reference.role != "control"))
    control = fair[0] if fair and fair[0].decisive else None
    if control is None:
        meaning = "without its own shuffled control at equal compute this says nothing about importance"
    elif control.difference.student is None:
        meaning = "without a spread over seeds this says nothing"
    elif control.sign() > 0:
        meaning = "which words get the experts matters here"
    elif control.sign() < 0:
        meaning = "random words are a better choice than these"
    elif any(one.sign() > 0 for one in fair if one.reference.role == "fixed"):
        meaning = "as its shuffled control ties, the gain is compute spread unevenly, not importance"
    else:
        meaning = "as its shuffled control ties, no gain from importance is seen"
    return f"**{candidate.name}**: {''.join(_describe(one) + '; ' for one in fair)}{meaning}."


def _describe(one: Comparison) -> str:
    d = one.difference
    noise = "" if one.sign(among=1) or d.student is None else f" ({d.student[0]:+.4f} to {d.student[1]:+.4f})"
    name = f"{one.reference.name}{', its shuffled control,' if one.decisive else ''}"
    return f"against {name} {one.words}{noise}, {len(d.seeds)} seed{'s' * (len(d.seeds) != 1)}"


def decisive_of(rows: list[Row], comparisons: list[Comparison], measured: dict) -> list[Comparison]:
    """Rows against their own shuffled control at equal compute, over seeds that differ, on tasks with evidence."""
    valid = with_evidence(rows, measured)
    return [one for one in comparisons
            if one.decisive and one.difference.student is not None and one.candidate.group in valid]


def overall(decisive: list[Comparison]) -> str:
    """The verdict over all grids and tasks, by the decisive comparisons alone, counted all together."""
    if not decisive:
        return ("No row was compared with its own shuffled control, at equal compute and on a task that carries "
                "evidence: nothing can be said about importance.")
    n = len(decisive)
    alone, together = ([one.sign(among) for one in decisive] for among in (1, n))
    better, worse, all_of = together.count(1), together.count(-1), f"{n} comparison{'s' * (n > 1)}"
    if better and worse:
        answer = f"importance helps in {better} of {all_of} and hurts in {worse}"
    elif better or worse:
        answer = f"importance {'helps' if better else 'hurts'} in {better or worse} of {all_of}"
    else:
        answer = f"no effect of importance is seen beyond noise in {all_of}"
    return (f"At equal compute, against the same numbers of experts given to random words: {answer}. (Each judged "
            f"alone: {alone.count(1)} better, {alone.count(-1)} worse, {alone.count(0)} within noise; the answer asks "
            "for 95 % over all of them, after Bonferroni.)")
