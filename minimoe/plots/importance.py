"""Importance against the number of experts that it bought."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minimoe.plots.canvas import font_families, measure, new_figure
from minimoe.plots.inputs import check_tokens, host_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHERE = "importance_against_k"
SIZE = 8                                             # of the labels, in points
NAMED = 12                                           # tokens named per number of experts


def importance_against_k(importance, k, tokens: Sequence[str] | None = None, *, title: str | None = None) -> Figure:
    """One dot per token: its importance against its number of experts; where there are tokens, dots are named.

        importance_against_k(importance[0], k[0], tokens)
        importance_against_k(routing.importance, routing.k).savefig("importance.png")

    importance: numbers (N,). k: integers (N,). tokens: N strings or None. Of many tokens with the same number of
    experts a dozen are named, from the most to the least important, so that names do not collide.
    """
    importance = host_array(WHERE, "importance", importance, ("N",))
    k = host_array(WHERE, "k", k, ("N",), integers=True)
    if importance.shape != k.shape or not k.size:
        raise ValueError(f"{WHERE}: importance is {importance.shape} and k {k.shape}; they must be equal and not empty")
    if not np.isfinite(importance).all():
        raise ValueError(f"{WHERE}: importance has {(~np.isfinite(importance)).sum()} NaN or infinite values")
    tokens = None if tokens is None else check_tokens(WHERE, tokens, k.size, "k")
    counts = np.unique(k)
    per_step = 0.5 if tokens is None else (max(measure(token, SIZE) for token in tokens) + 24) / 72
    figure = new_figure(max(per_step * len(counts) + 1.4, 4.0), 4.2, layout="constrained")
    axes = figure.subplots()
    low, high = float(importance.min()), float(importance.max())
    space = max(high - low, 1e-3 * max(abs(high), 1e-3))
    axes.set(xlim=(-0.3, len(counts) - (0.1 if tokens else 0.7)), ylim=(low - 0.08 * space, high + 0.08 * space),
             xlabel="experts per token", ylabel="importance")
    axes.set_xticks(range(len(counts)), [str(count) for count in counts])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.4, color="0.8")
    axes.set_axisbelow(True)
    for place, count in enumerate(counts):
        chosen = np.flatnonzero(k == count)
        axes.plot(np.full(chosen.size, place), importance[chosen], "o", color="#3182bd",
                  markersize=5, alpha=0.7, markeredgewidth=0)
        if tokens:
            _name_dots(axes, place, importance, chosen, tokens, 1.16 * space / 22)
    axes.set_title(title or "", weight="bold", size=11, loc="left")
    return figure


def _name_dots(axes, x: float, importance: np.ndarray, chosen: np.ndarray, tokens: list[str], gap: float) -> None:
    """Names beside the dots, moved apart to `gap` where they would touch, each tied to its dot by a thin line."""
    order = chosen[np.argsort(-importance[chosen], kind="stable")]
    order = order[np.unique(np.linspace(0, order.size - 1, NAMED).round().astype(int))]
    values = importance[order].astype(float)
    heights = spread(values, gap, axes.get_ylim()[0] + gap / 2)
    for i, value, y in zip(order, values, heights, strict=True):
        axes.annotate(tokens[i], (x, value), (x + 0.12, y), size=SIZE, va="center", parse_math=False,
                      fontfamily=font_families(),
                      arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2})


def spread(wanted: np.ndarray, gap: float, low: float) -> np.ndarray:
    """Descending heights near `wanted` (descending), at least `gap` apart and none below `low`.

    Half way between pushing names down until none touch and lifting them until none touch: both keep the gap, so does
    their mean.
    """
    down, up = wanted.copy(), wanted.copy()
    for i in range(1, down.size):
        down[i] = min(down[i], down[i - 1] - gap)
    for i in range(up.size - 2, -1, -1):
        up[i] = max(up[i], up[i + 1] + gap)
    least = low + gap * np.arange(up.size)[::-1]
    return np.maximum((down + up) / 2, least)
