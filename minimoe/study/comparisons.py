"""Which rows are compared with which, and whether that is fair."""
from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from minimoe.study.rows import Row, groups
from minimoe.study.statistics import LEVEL, Difference, paired_difference, sign, student_interval, verdict

TOLERANCE = 0.02                                    # of mean K, within which compute counts as equal
ROUTING = {"router", "experts", "importance", "allocation", "mean_experts", "k_min", "k_max", "router_options", "d_ff",
           "seed"}                                  # keys in which rows may differ


@dataclass(frozen=True)
class Comparison:
    """candidate against reference. compute: hidden units per token, mean K times d_ff, of the candidate over the
    reference's; other_keys: keys beside routing in which they differ; family: how many comparisons of this grid and
    task are at equal compute."""

    candidate: Row
    reference: Row
    difference: Difference
    compute: float
    other_keys: tuple[str, ...]
    family: int = 1

    @property
    def same_compute(self) -> bool:
        return abs(self.compute - 1) <= TOLERANCE

    @property
    def fair(self) -> bool:
        return self.same_compute and not self.other_keys

    @property
    def decisive(self) -> bool:
        """Whether the reference is the candidate but for its importance, which is shuffled."""
        a, b = (_without_measure(row) for row in (self.candidate, self.reference))
        return self.fair and a == b and self.reference.measure == f"shuffled({self.candidate.measure})"

    def sign(self, among: int | None = None) -> int:
        """1 better, -1 worse, 0 within noise, with 95 % for all of `among` comparisons at once (default: the family),
        after Bonferroni."""
        return sign(student_interval(self.difference.values, 1 - (1 - LEVEL) / (among or self.family)))

    @property
    def words(self) -> str:
        """The verdict by this comparison's own interval, and whether it holds if the whole family is counted."""
        doubt = self.sign(among=1) and not self.sign()
        return verdict(self.difference.student) + (f", but not if all {self.family} are counted" if doubt else "")

    @property
    def notes(self) -> str:
        """What is unequal beside what is compared; empty for a fair comparison."""
        found = [] if self.same_compute else [f"compute differs by {100 * (self.compute - 1):+.0f} %"]
        return "; ".join(found + [f"other {key}" for key in self.other_keys])


def compare_rows(rows: list[Row]) -> list[Comparison]:
    """Every row in which importance (or a router of one's own) decides against all rows before it of the same grid
    and task; where there is none, all rows against all before them."""
    found = []
    for group in groups(rows):
        candidates = [row for row in group if row.role in ("importance", "own")] or group
        made = [_compare(candidate, reference) for reference, candidate in combinations(group, 2)
                if candidate in candidates]
        made = [one for one in made if one is not None]
        family = max(sum(one.fair for one in made), 1)
        found += [replace(one, family=family) for one in made]
    return found


def _without_measure(row: Row) -> dict:
    """The configuration but for importance and seed."""
    options = {key: value for key, value in row.config["router_options"].items() if key != "measure"}
    return {key: value for key, value in row.config.items() if key not in ("importance", "seed")} | {
        "router_options": options}


def _compare(candidate: Row, reference: Row) -> Comparison | None:
    """None where they have no seed in common."""
    difference = paired_difference(candidate.scores, reference.scores, candidate.lower_is_better)
    if difference is None:
        return None
    mine, other = ([r for r in row.results if r["seed"] in difference.seeds] for row in (candidate, reference))
    units = [np.mean([r["mean_experts_per_token"] * r["config"]["d_ff"] for r in results])
             for results in (mine, other)]
    a, b = mine[0]["config"], other[0]["config"]
    keys = tuple(key for key in sorted(a.keys() | b.keys()) if key not in ROUTING and a.get(key) != b.get(key))
    return Comparison(candidate, reference, difference, float(units[0] / units[1]), keys)
