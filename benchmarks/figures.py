"""The figures of scaling.py and memory.py, as SVG: blue and orange with different marks, for every kind of eye."""
from __future__ import annotations

import argparse
from pathlib import Path

from minimoe.plots.canvas import need_matplotlib, new_figure

STYLES = [("#0072b2", "o", "-"), ("#d55e00", "s", "--"), ("#009e73", "^", ":")]           # Okabe and Ito


def add_option(parser) -> None:
    parser.add_argument("--figures", type=folder, metavar="FOLDER", help="draw figures there, as in benchmarks/figures")


def folder(text: str) -> Path:
    """A folder for figures, refused before the work where it cannot be made, or nothing can draw."""
    need_matplotlib()
    path = Path(text)
    if path.is_file() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is no folder and cannot be made")
    return path


def draw_scaling(results: dict, where: Path) -> list[Path]:
    """One figure for each way of growth in the results of scaling.py, titles "kind[, which], threads"; where there are
    several thread counts, of the first."""
    drawn = []
    for kind, key, label in (("more experts", "experts", "experts"), ("more tokens", "tokens", "tokens"),
                             ("more experts per token", "K", "experts per token")):
        named = [(title.split(", "), rows) for title, rows in results.items() if title.split(", ")[0] == kind]
        curves = {", ".join(name[1:-1]) or "measured": rows for name, rows in named if name[-1] == named[0][0][-1]}
        if curves:
            drawn.append(_growth(curves, key, label, named[0][0][-1], where / f"{kind.replace(' ', '_')}.svg"))
    return drawn


def _growth(curves: dict, key: str, label: str, threads: str, path: Path) -> Path:
    figure, (left, right) = _panels(2)
    first = next(iter(curves.values()))
    x = [row[key] for row in first]
    for axes in (left, right):
        axes.set_xlabel(label)
        if key != "K":
            axes.set_xscale("log", base=2)
            axes.set_xticks(x, [f"{value:,}" for value in x], rotation=45 if key == "tokens" else 0)
            axes.minorticks_off()
        if key == "tokens":
            axes.set_yscale("log")
    for (colour, mark, line), (name, rows) in zip(STYLES, curves.items(), strict=False):
        style = dict(color=colour, marker=mark, linestyle=line, label=name)
        if key == "experts":
            left.plot(x, [row["over the first"] for row in rows], **style)
        else:
            left.errorbar(x, [1e3 * row["seconds"] for row in rows], _spread(rows), capsize=3, **style)
        right.plot(x, [row["MiB"] for row in rows], **style)
    if key == "experts":
        left.axhspan(0.85, 1.15, color="#999999", alpha=0.25, linewidth=0)
        left.set(ylabel=f"time, that of {x[0]} experts = 1", title=f"same sum of K, {threads}; grey: 15 %")
    else:
        left.set(ylabel="ms, forward and backward", title=f"time, median and quartiles, {threads}")
        _in_proportion(left, first, key, [1e3 * row["seconds"] for row in first])
        _in_proportion(right, first, key, [row["MiB"] for row in first])
    right.set(ylabel="MiB", title="most memory of arrays at one time")
    for axes in (left, right):
        if key != "tokens":
            axes.set_ylim(0, None)
        if key == "experts" and axes is right:      # room for the legend above the highest curve
            axes.set_ylim(0, 1.35 * max(row["MiB"] for rows in curves.values() for row in rows))
        axes.legend(frameon=False, fontsize=8)
    return _save(figure, path)


def _in_proportion(axes, rows: list[dict], key: str, values: list[float]) -> None:
    """Where the rows would be if cost followed the sum of K from the first one."""
    axes.plot([row[key] for row in rows], [values[0] * row["sum of K"] / rows[0]["sum of K"] for row in rows],
              color="#555555", linewidth=0.8, label="in proportion to the sum of K")


def draw_memory(series: dict, where: Path) -> list[Path]:
    """Resident memory over the steps, one panel a step; titles "what, step, threads"; of the first thread count."""
    threads = next(iter(series)).split(", ")[-1]
    series = {title: rows for title, rows in series.items() if title.endswith(threads)}
    figure, panels = _panels(len(series))
    for axes, (title, rows) in zip(panels, series.items(), strict=True):
        sides = dict.fromkeys(row["side"] for row in rows)
        for (colour, mark, line), side in zip(STYLES, sides, strict=False):
            of_side = [row for row in rows if row["side"] == side]
            axes.plot([row["step"] for row in of_side], [row["MiB"] for row in of_side], color=colour, marker=mark,
                      linestyle=line, label=side)
        axes.set(title=f"step {title.partition(', ')[2]}", xlabel="steps done", ylabel="MiB resident",
                 ylim=(0, None))
        axes.legend(frameon=False, fontsize=8)
    return [_save(figure, where / "memory.svg")]


def _spread(rows: list[dict]) -> list[list[float]]:
    """How far the quartiles are from the median, in milliseconds."""
    return [[1e3 * (row["seconds"] - row["p25"]) for row in rows],
            [1e3 * (row["p75"] - row["seconds"]) for row in rows]]


def _panels(n: int):
    figure = new_figure(4.3 * n, 3.3, layout="constrained")
    panels = figure.subplots(1, n, squeeze=False)[0]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _save(figure, path: Path) -> Path:
    import matplotlib

    path.parent.mkdir(exist_ok=True)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.name}):    # text stays text: small files
        figure.savefig(path, metadata={"Date": None})
    return path
