"""What a result file must hold, and its one reader, for a grid that goes on as for a report."""
from __future__ import annotations

import json
import sys
from pathlib import Path
from reprlib import repr as short

ALWAYS = {"score", "metric", "mean_experts_per_token", "config"}        # without these it is no result at all
LARGEST = {int: 2**53, float: sys.float_info.max}   # NumPy would keep a much larger integer as an object


def is_number(value) -> bool:
    """Whether a value is a finite number, and no switch."""
    return type(value) in LARGEST and abs(value) <= LARGEST[type(value)]


def is_count(value) -> bool:
    return type(value) is int and 0 <= value <= LARGEST[int]


def is_size(value) -> bool:
    return is_count(value) and value > 0


def is_text(value) -> bool:
    return isinstance(value, str)


def is_line(value) -> bool:
    """A text that tables and figures can show."""
    return is_text(value) and value.isprintable()


def are_scores(value) -> bool:
    return isinstance(value, dict) and value != {} and all(map(is_number, value.values()))


def are_options(value) -> bool:
    return isinstance(value, dict) and or_none(is_text)(value.get("measure"))


def are_words(value) -> bool:
    """Figures of the words that decide; what was `routed` only some results know."""
    return isinstance(value, dict) and or_none(numbers_of("deciding", "others"))(value.get("routed"))


def is_example(value) -> bool:
    return (isinstance(value, dict) and list_of(is_line)(value.get("tokens"))
            and list_of(is_number)(value.get("experts")) and len(value["tokens"]) == len(value["experts"]) > 0)


def or_none(fits):
    return lambda value: value is None or fits(value)


def list_of(fits):
    return lambda value: isinstance(value, list) and all(map(fits, value))


def numbers_of(*keys: str):
    return lambda value: isinstance(value, dict) and all(is_number(value.get(key)) for key in keys)


TEXT, LINE = (is_text, "a text"), (is_line, "a text of one line")
NUMBER, COUNT = (is_number, "a finite number"), (is_count, "an integer of at least 0")
SCORES, MAYBE_TEXT = (are_scores, "a table of finite numbers"), (or_none(is_text), "a text or null")
CONFIG = dict(router=TEXT, experts=COUNT, importance=MAYBE_TEXT, allocation=MAYBE_TEXT,
              d_ff=(is_size, "an integer of at least 1"),
              router_options=(are_options, "a table in which `measure`, if there, is a text"))
RESULT = dict(                                      # key -> (does a value fit?, in words), or a table of such keys
    task=LINE, row=LINE, seed=COUNT, metric=LINE, score=NUMBER, metrics=SCORES, mean_experts_per_token=NUMBER,
    kind=(lambda value: value in ("train", "pretrain"), "train or pretrain"), config=CONFIG,
    k_per_layer=(list_of(list_of(is_count)), "a list of lists of integers of at least 0"),
    load_cv=(list_of(is_number), "a list of finite numbers"), dropped=NUMBER, flops_per_token=NUMBER,
    tokens_per_second=(or_none(is_number), "a finite number or null"), parameters=NUMBER,
    deciding=(are_words, "a table in which `routed`, if there, has the numbers `deciding` and `others`"),
    by_frequency=(list_of(numbers_of("first_rank", "share", "importance", "experts")),
                  "a list of tables of the numbers first_rank, share, importance and experts"),
    example=(or_none(is_example), "null or a table of `tokens` and as many numbers of `experts`"),
    commit=(or_none(is_line), "a text of one line or null"), source=LINE, minimoe=LINE,
    machine=dict(processor=LINE, cores=COUNT, platform=LINE, python=LINE, numpy=LINE))
MARK = {"train": dict(majority=SCORES), "pretrain": dict(unigram=NUMBER)}          # what a score must beat


def read_result(path: Path, whole: bool) -> dict:
    """The result in a file. whole: it must have every key that a report uses, not only ALWAYS.

    Raises ValueError with what is wrong; where it is and what to do is for the caller to add.
    """
    if not path.is_file():
        raise ValueError("this is not a file")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        result = None
    if not isinstance(result, dict) or not result.keys() >= ALWAYS:
        raise ValueError("this is not a result of minimoe compare")
    _check("", result, RESULT, whole)
    _check("", result, MARK.get(result.get("kind"), {}), whole)
    return result


def _check(where: str, values: dict, shape: dict, whole: bool) -> None:
    """Raises ValueError for a value that does not fit and, if `whole`, for a missing key."""
    for key, wanted in shape.items():
        if key not in values:
            if whole:
                raise ValueError(f"it has no {where}{key}, another minimoe wrote it")
        elif not isinstance(wanted, dict):
            fits, words = wanted
            if not fits(values[key]):
                raise ValueError(f"{where}{key} is {short(values[key])}, not {words}")
        elif isinstance(values[key], dict):
            _check(f"{where}{key}.", values[key], wanted, whole)
        else:
            raise ValueError(f"{where}{key} is {short(values[key])}, not a table")
