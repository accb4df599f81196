"""The words and tables of a report, in Markdown."""
from __future__ import annotations

from pathlib import Path

from minimoe.study.comparisons import TOLERANCE, Comparison
from minimoe.study.rows import Row, groups
from minimoe.study.statistics import mean_sd
from minimoe.study.tables import markdown, row_record
from minimoe.study.verdicts import conclusion, decisive_of, evidence, marks_of, overall, with_evidence

READING = f"""\
Scores are means over seeds ± the sample standard deviation. Differences are paired: the rows of a seed share the order
of the data and their first dense weights. **Positive means that the first row is better**, also where a lower score is.
The verdict goes by Student's 95 % interval of the mean difference; the bootstrap interval (10,000 resamples,
percentile) beside it is too narrow for few seeds. Compute counts as equal where mean K times the experts' width agrees
within {100 * TOLERANCE:.0f} %; where it does not, or where another key of the configuration differs, the note
says so and the verdict above leaves the comparison out. Every comparison that was made is listed."""


def report_text(rows: list[Row], comparisons: list[Comparison], measured: dict, figures: dict[str, str]) -> str:
    """report.md. figures: file -> caption."""
    decisive = decisive_of(rows, comparisons, measured)
    parts = ["# Comparison", origin(rows), "## Verdict", overall(decisive)]
    parts += [decisive_table(decisive)] if decisive else []
    parts += [group_verdict(group, comparisons, measured) for group in groups(rows)]
    parts += ["## Scores and costs", READING]
    for group in groups(rows):
        mine = [one for one in comparisons if one.candidate in group]
        parts += [f"### {group[0].group}", scores_table(group)]
        parts += ["Differences:", differences_table(mine)] if mine else []
        parts += ["Tokens by their number of experts K:", histogram_table(group)]
    parts += ["## Figures"] if figures else []
    parts += [f"![{Path(file).stem.replace('_', ' ')}]({file})\n\n{caption}" for file, caption in figures.items()]
    return "\n\n".join(part for part in parts if part) + "\n"


def group_verdict(group: list[Row], comparisons: list[Comparison], measured: dict) -> str:
    """The group's evidence and, where there is any, what each row in which importance decides says."""
    lines = [conclusion(row, comparisons) for row in group if with_evidence(group, measured)
             and row.role in ("importance", "own") and any(one.candidate is row for one in comparisons)]
    return f"**{group[0].group}.** {evidence(group, measured)}" + "".join(f"\n- {line}" for line in lines)


def decisive_table(decisive: list[Comparison]) -> str:
    return markdown([{
        "task": one.candidate.group, "row": one.candidate.name, "seeds": str(len(one.difference.seeds)),
        "sd of K": or_dash(one.candidate.sd_k(), ".2f"), "score": plus_minus(one.candidate.mean("score"), None),
        "minus its shuffled control": plus_minus(one.difference.mean, one.difference.sd, "+"),
        "Student 95 %": interval(one.difference.student), "verdict": one.words} for one in decisive])


def scores_overview(rows: list[Row], measured: dict) -> str:
    """A line for each grid and task: what must be beaten, and mean ± sample sd of the rows that all of them have."""
    by_group = [{row.name: row for row in group} for group in groups(rows)]
    names = [name for name in by_group[0] if all(name in group for group in by_group)]
    lines = []
    for group in by_group:
        first, *_ = group.values()
        marks = marks_of(list(group.values()), measured).values()
        mark = min(marks) if first.lower_is_better else max(marks)
        lines.append({"task": first.group, "metric": first.metric + ", lower is better" * first.lower_is_better,
                      "seeds": str(len(first.scores)), "to beat": f"{mark:.3f}"} | {
            name: plus_minus(*mean_sd(list(group[name].scores.values())), digits=3) for name in names})
    return markdown(lines)


def scores_table(group: list[Row]) -> str:
    """Scores and costs of the rows of one grid and task."""
    known_words = any(row.experts_by_role() for row in group)
    return markdown([_score_line(row, row_record(row, group, {}), known_words) for row in group])


def _score_line(row: Row, record: dict, known_words: bool) -> dict[str, str]:
    metrics = list(row.results[0]["metrics"]) if not row.lower_is_better else []
    line = {"row": row.name, "kind": row.role, "seeds": str(record["seeds"]),
            row.metric: plus_minus(record["mean"], record["sd"])}
    if len(metrics) > 1:
        line |= {name: f"{sum(r['metrics'][name] for r in row.results) / len(row.results):.4f}" for name in metrics}
    line |= {"mean K": f"{record['mean_k']:.3f}", "sd of K": or_dash(record["sd_k"], ".2f"),
             "FLOPs/token": f"{record['flops_per_token']:,.0f}",
             "tokens/s": or_dash(record["tokens_per_second"], ",.0f"), "parameters": f"{record['parameters']:,.0f}",
             "load CV": or_dash(record["load_cv"], ".2f"), "dropped": f"{100 * record['dropped']:.1f} %"}
    if known_words:
        line |= {"K of deciding words": or_dash(record["deciding_k"], ".2f"),
                 "K of the others": or_dash(record["other_k"], ".2f")}
    return line


def differences_table(comparisons: list[Comparison]) -> str:
    """The decisive ones first, then those that are fair, then the rest."""
    ordered = sorted(comparisons, key=lambda one: (not one.decisive, not one.fair))
    return markdown([{
        "row": one.candidate.name, "against": one.reference.name + (" (its control)" if one.decisive else ""),
        "seeds": str(len(one.difference.seeds)),
        "difference": plus_minus(one.difference.mean, one.difference.sd, "+"),
        "Student 95 %": interval(one.difference.student), "bootstrap 95 %": interval(one.difference.bootstrap),
        "verdict": one.words, "note": one.notes or "-"} for one in ordered])


def histogram_table(group: list[Row]) -> str:
    """The share of the tokens with each K, per layer; empty where no row has experts."""
    shares = {row.name: row.k_shares() for row in group if row.k_shares()}
    layers = max(map(len, shares.values()), default=0)
    return markdown([{"row": name} | {f"layer {i + 1}": _shares(found[i]) if i < len(found) else "-"
                                      for i in range(layers)} for name, found in shares.items()]) if shares else "-"


def _shares(layer: dict[int, float]) -> str:
    return ", ".join(f"{k}: {100 * share:.1f} %" for k, share in layer.items())


def origin(rows: list[Row]) -> str:
    """Where the numbers come from."""
    results = [result for row in rows for result in row.results]

    def seen(key: str) -> str:
        return ", ".join(sorted({str(result[key]) for result in results}))

    machines = {f"{m['processor']}, {m['cores']} cores, {m['platform']}, Python {m['python']}, NumPy {m['numpy']}"
                for m in (result["machine"] for result in results)}
    return (f"{len(results)} results of {len(rows)} rows; minimoe {seen('minimoe')}, commit {seen('commit')}, source "
            f"{seen('source')}; {'; '.join(sorted(machines))}.")


def plus_minus(mean: float, sd: float | None, sign: str = "", digits: int = 4) -> str:
    return f"{mean:{sign}.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")


def interval(found: tuple[float, float] | None) -> str:
    return "-" if found is None else f"{found[0]:+.4f} to {found[1]:+.4f}"


def or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
