"""How the assignments spread over the experts, once or over time."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minimoe.plots.canvas import new_figure
from minimoe.plots.inputs import host_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHERE = "expert_load"
MARK = "#c2410c"                                     # the uniform line; orange stands off from blue for every eye


def expert_load(loads, *, steps=None, title: str | None = None) -> Figure:
    """Assignments per expert as bars with the uniform share marked, or over time as shaded shares.

        expert_load(routing.stats["expert_load"])
        expert_load([r.stats["expert_load"] for r in history], steps=range(0, 1000, 10))

    loads: counts (E,), or (T, E) for T points in time; `steps` (T,) names them (default 0, 1, 2, ...), in ascending
    order. Over time every column is shown as shares that sum to 1, so that batches of different size compare.
    """
    loads = host_array(WHERE, "loads", loads, ("E", "TE"))
    if 0 in loads.shape or not np.isfinite(loads).all() or loads.min() < 0:
        raise ValueError(f"{WHERE}: loads is {loads.shape}; it needs one expert or more and finite counts of 0 or more")
    if loads.ndim == 1:
        if steps is not None:
            raise ValueError(f"{WHERE}: steps needs loads (T, E), got {loads.shape}; leave it out")
        figure = _bars(loads)
    else:
        steps = np.arange(len(loads)) if steps is None else host_array(WHERE, "steps", steps, ("T",))
        if steps.shape != loads.shape[:1] or (np.diff(steps) <= 0).any():
            raise ValueError(f"{WHERE}: steps is {steps.shape}; loads needs ({len(loads)},) in ascending order")
        figure = _over_time(loads, steps)
    figure.axes[0].set_title(title or "", weight="bold", size=11, loc="left")
    return figure


def _bars(load: np.ndarray) -> Figure:
    n_experts = load.size
    figure = new_figure(min(max(0.45 * n_experts + 1.6, 4.0), 14.0), 3.2, layout="constrained")
    axes = figure.subplots()
    axes.bar(range(n_experts), load, color="#3182bd", width=0.8)
    axes.axhline(load.mean(), color=MARK, linestyle="--", linewidth=1.2, label="uniform")
    axes.margins(x=0.02)
    if n_experts <= 24:
        axes.set_xticks(range(n_experts))
    axes.set(xlabel="expert", ylabel="assignments", ylim=(0, max(load.max() * 1.2, 1)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right", fontsize=9)
    return figure


def _over_time(loads: np.ndarray, steps: np.ndarray) -> Figure:
    total = loads.sum(axis=1, keepdims=True)
    share = loads / np.where(total > 0, total, 1)                        # (T, E)
    n_experts = loads.shape[1]
    figure = new_figure(7.0, min(max(0.22 * n_experts + 1.4, 2.6), 9.0), layout="constrained")
    axes = figure.subplots()
    image = axes.pcolormesh(_edges(steps), np.arange(n_experts + 1) - 0.5, share.T, cmap="Blues", vmin=0.0,
                            vmax=max(float(share.max()), 1 / n_experts))
    axes.set(xlabel="step", ylabel="expert")
    axes.invert_yaxis()
    if n_experts <= 24:
        axes.set_yticks(range(n_experts))
    bar = figure.colorbar(image, ax=axes, label="share of assignments")
    bar.ax.axhline(1 / n_experts, color=MARK, linewidth=2)
    bar.ax.text(-0.4, 1 / n_experts, "uniform", color=MARK, size=9, ha="right", va="center",
                transform=bar.ax.get_yaxis_transform())
    return figure


def _edges(steps: np.ndarray) -> np.ndarray:
    """(T + 1,): the borders half way between points in time."""
    if steps.size == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middle = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - middle[0]], middle, [2 * steps[-1] - middle[-1]]])
