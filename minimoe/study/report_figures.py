"""The figures of a report: score against compute, experts by the role of the word, differences with intervals.

Colours are those of Okabe and Ito, told apart with every kind of colour vision; markers tell rows apart without any.
"""
from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np

from minimoe.files import write_bytes
from minimoe.plots.canvas import need_matplotlib, new_figure, write_ticks
from minimoe.study.comparisons import TOLERANCE, Comparison
from minimoe.study.rows import Row, groups
from minimoe.study.statistics import mean_sd
from minimoe.study.verdicts import marks_of

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
BLUE, ORANGE, GREY = COLOURS[0], COLOURS[1], "#6b7280"
SCORES, ROLES, DIFFERENCES, FREQUENCY, EXAMPLES = (
    f"figures/{name}.svg" for name in ("score_against_compute", "experts_by_role", "differences",
                                       "importance_by_frequency", "example_sentences"))
CAPTIONS = {
    SCORES: "Score against computing per token: mean and sample standard deviation over seeds. Rows "
                             "of nearly equal FLOPs stand side by side; dashed: the marks to beat.",
    ROLES: "Experts per word, on the words that decide the label and on the others: mean and sample "
                       "standard deviation over seeds, tasks that know the deciding words only.",
    DIFFERENCES: "Paired differences at equal compute. Diamond: mean; thin line: Student's 95 % interval, by which "
                   "the verdict goes; thick bar: bootstrap interval; dots: seeds. Right of zero the first row is "
                   "better; (c) marks its own shuffled control.",
    FREQUENCY: "How important words look, by how often they occur in the training text: mean over seeds, expert layers "
               "and held-out occurrences, in units of the sample's average. Every point is a class of words by rank: "
               "1 to 3, 4 to 10, 11 to 30 and so on.",
    EXAMPLES: "Experts of every token of a sentence written for this figure, mean over seeds and expert layers.",
}


def write_figures(folder: Path, rows: list[Row], comparisons: list[Comparison], measured: dict) -> list[Path]:
    """Draws what `captions` lists, as SVG; the same results give the same bytes. `folder`: that of the report."""
    need_matplotlib()
    from matplotlib import rc_context

    (folder / "figures").mkdir(exist_ok=True)
    drawers = {SCORES: lambda: score_against_compute(rows, measured), ROLES: lambda: experts_by_role(rows),
               DIFFERENCES: lambda: differences(comparisons), FREQUENCY: lambda: importance_by_frequency(rows),
               EXAMPLES: lambda: example_sentences(rows)}
    written = []
    for file in captions(rows, comparisons):
        svg = BytesIO()
        with rc_context({"svg.hashsalt": file}):
            drawers[file]().savefig(svg, format="svg", metadata={"Date": None})
        written.append(folder / file)
        write_bytes(written[-1], svg.getvalue())
    return written


def captions(rows: list[Row], comparisons: list[Comparison]) -> dict[str, str]:
    """File -> caption of the figures that these results fill."""
    there = {SCORES: True, ROLES: any(row.experts_by_role() for row in rows),
             DIFFERENCES: any(one.fair for one in comparisons),
             FREQUENCY: any(row.by_frequency() for row in rows), EXAMPLES: any(_varied(row) for row in rows)}
    return {file: caption for file, caption in CAPTIONS.items() if there[file]}


def score_against_compute(rows: list[Row], measured: dict):
    panels = groups(rows)
    names = list(dict.fromkeys(row.name for row in rows))
    figure, all_axes = _grid(len(panels))
    drawn = {}
    for axes, group in zip(all_axes, panels, strict=False):
        for row, x in zip(group, _side_by_side([row.mean("flops_per_token") / 1000 for row in group]), strict=True):
            mean, sd = mean_sd(list(row.scores.values()))
            drawn[row.name] = axes.errorbar(x, mean, sd, **_style(names.index(row.name)), markersize=6, capsize=2,
                                            linestyle="none", linewidth=1.2)
        _draw_marks(axes, marks_of(group, measured), [row.mean("score") for row in group])
        lower = " (lower is better)" if group[0].lower_is_better else ""
        axes.set(xlabel="thousand FLOPs per token", ylabel=group[0].metric + lower)
        _plain(axes, group[0].group)
    figure.legend([drawn[name] for name in names], names, loc="outside right upper", frameon=False, fontsize=9)
    return figure


def experts_by_role(rows: list[Row]):
    panels = groups([row for row in rows if row.experts_by_role()])
    figure = new_figure(7.0, 0.7 + sum(0.6 + 0.3 * len(group) for group in panels), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[2 + len(group) for group in panels])
    for axes, group in zip(all_axes.ravel(), panels, strict=True):
        for y, row in enumerate(group):
            both = [mean_sd(values) for values in row.experts_by_role()]
            axes.plot([both[0][0], both[1][0]], [y, y], color=GREY, linewidth=1, zorder=1)
            for (mean, sd), colour, marker, shift in zip(both, (ORANGE, BLUE), "Do", (-0.08, 0.08), strict=True):
                axes.errorbar(mean, y + shift, xerr=sd, color=colour, marker=marker, markersize=6, capsize=2,
                              linewidth=1.2, markerfacecolor=colour if marker == "D" else "white")
        write_ticks(axes.yaxis, [row.name for row in group])
        axes.set(xlabel="experts per word, mean over layers", ylim=(len(group) - 0.5, -0.5))
        axes.margins(x=0.08)
        _plain(axes, group[0].group)
    shapes = [all_axes.ravel()[0].plot([], [], marker, color=colour, markerfacecolor=face)[0]
              for marker, colour, face in (("D", ORANGE, ORANGE), ("o", BLUE, "white"))]
    figure.legend(shapes, ["words that decide the label", "other words"], loc="outside upper center", ncols=2,
                  frameon=False, fontsize=9)
    return figure


def differences(comparisons: list[Comparison]):
    """A forest plot of the fair ones; a panel for each grid and task, since their scales differ."""
    panels: dict[str, list[Comparison]] = {}
    for one in sorted(comparisons, key=lambda one: not one.decisive):
        if one.fair:
            panels.setdefault(one.candidate.group, []).append(one)
    figure = new_figure(7.6, 0.3 + sum(0.75 + 0.34 * len(several) for several in panels.values()),
                        layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[2 + len(p) for p in panels.values()])
    for axes, (title, several) in zip(all_axes.ravel(), panels.items(), strict=True):
        for y, one in enumerate(several):
            d, colour = one.difference, ORANGE if one.decisive else BLUE
            axes.plot(d.values, np.full(len(d.values), y + 0.22), "o", color=GREY, markersize=3)
            axes.plot(d.bootstrap, [y, y], color=colour, linewidth=6, alpha=0.4, solid_capstyle="butt")
            if d.student is not None:
                axes.plot(d.student, [y, y], color=colour, linewidth=1.3)
            axes.plot(d.mean, y, "D", color=colour, markersize=6)
        axes.axvline(0, color="black", linewidth=1)
        write_ticks(axes.yaxis, [f"{one.candidate.name} − {one.reference.name}{' (c)' * one.decisive}"
                                 for one in several])
        row = several[0].candidate
        axes.set(ylim=(len(several) - 0.4, -0.6), xlabel="difference in " + row.metric
                 + (", sign turned so that positive is better" if row.lower_is_better else ""))
        _plain(axes, title)
    return figure


def importance_by_frequency(rows: list[Row]):
    panels = groups([row for row in rows if row.by_frequency()])
    names = list(dict.fromkeys(row.name for group in panels for row in group))
    figure, all_axes = _grid(len(panels))
    drawn = {}
    for axes, group in zip(all_axes, panels, strict=False):
        for row in group:
            found = row.by_frequency()
            drawn[row.name] = axes.plot(1e6 * found["share"], found["importance"], **_style(names.index(row.name)),
                                        markersize=5, linewidth=1.2)[0]
        axes.axhline(1, color=GREY, linewidth=1, linestyle="--", zorder=0)
        axes.set(xscale="log", xlabel="occurrences in a million words", ylabel="importance, 1 = average token")
        axes.tick_params(axis="x", which="minor", labelbottom=False)        # within a decade they would overlap
        _plain(axes, group[0].group)
    figure.legend([drawn[name] for name in names], names, loc="outside right upper", frameon=False, fontsize=9)
    return figure


def example_sentences(rows: list[Row]):
    """A panel for each grid and task: a row of numbers for every row whose tokens differ, darker for more experts."""
    panels = groups([row for row in rows if _varied(row)])
    longest = max(len(row.example()[0]) for group in panels for row in group)
    figure = new_figure(1.8 + 0.42 * longest, sum(1.35 + 0.3 * len(group) for group in panels), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[4 + len(group) for group in panels])
    for axes, group in zip(all_axes.ravel(), panels, strict=True):
        tokens = group[0].example()[0]
        same = [row for row in group if row.example()[0] == tokens]
        experts = np.array([row.example()[1] for row in same])
        axes.imshow(experts, cmap="Blues", aspect="auto", vmin=0, vmax=2 * experts.max())
        for y, x in np.ndindex(*experts.shape):
            axes.text(x, y, f"{experts[y, x]:.1f}", ha="center", va="center", fontsize=7)
        write_ticks(axes.xaxis, tokens, rotation=50, ha="right", rotation_mode="anchor")
        write_ticks(axes.yaxis, [row.name for row in same])
        _plain(axes, group[0].group)
    return figure


def _varied(row: Row) -> bool:
    """Whether the tokens of the example get different numbers of experts."""
    found = row.example()
    return found is not None and np.ptp(found[1]) > 0


def _grid(panels: int):
    """(figure, axes): so many panels, at most three in a line, with room for a legend on the right."""
    columns = min(panels, 3)
    lines = -(-panels // columns)
    figure = new_figure(3.4 * columns + 1.9, 3.0 * lines + 0.3, layout="constrained")
    all_axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in all_axes[panels:]:
        axes.axis("off")
    return figure, all_axes


def _style(number: int) -> dict[str, str]:
    """Colour and marker of a row, the same in every panel."""
    return {"color": COLOURS[number % 7], "marker": MARKERS[(number + number // 7) % 7]}


def _side_by_side(places: list[float]) -> list[float]:
    """Places that agree within the tolerance moved apart, so that their error bars do not cover each other."""
    step = 0.03 * max(np.ptp(places), 0.05 * max(places))
    moved, order = list(places), np.argsort(places, kind="stable").tolist()
    while order:
        near = [i for i in order if places[i] <= places[order[0]] * (1 + TOLERANCE)]
        for at, i in enumerate(near):
            moved[i] += (at - (len(near) - 1) / 2) * step
        order = order[len(near):]
    return moved


def _draw_marks(axes, marks: dict[str, float], scores: list[float]) -> None:
    """Dashed lines; a mark so far off that it would flatten the scores is left to the tables."""
    reach = 3 * max(np.ptp(scores), 0.01)
    for name, mark in marks.items():
        if min(scores) - reach <= mark <= max(scores) + reach:
            axes.axhline(mark, color=GREY, linewidth=1, linestyle="--", zorder=0)
            axes.annotate(name, (1, mark), xycoords=("axes fraction", "data"), xytext=(-2, 2), color=GREY,
                          textcoords="offset points", ha="right", va="bottom", fontsize=7)


def _plain(axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, weight="bold", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
