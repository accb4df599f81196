"""Who looks at whom: attention as shaded squares."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minimoe.plots.canvas import new_figure, write_ticks
from minimoe.plots.inputs import check_tokens, columns, host_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHERE = "attention_heatmap"


def attention_heatmap(attention, tokens: Sequence[str], head: int | str | None = None, *,
                      title: str | None = None) -> Figure:
    """Attention weights of one sentence: a row looks, a column is looked at; darker means more.

        attention_heatmap(output.attentions[0].data[0], tokens).savefig("heads.png")
        attention_heatmap(output.attentions[0].data[0], tokens, head="mean")

    attention: (S, S) or (H, S, S). head: None shows every head in a panel of its own, a number that head, "mean" the
    mean over heads. All panels share one scale, from 0 to the largest weight shown. tokens: S strings.
    """
    weights = host_array(WHERE, "attention", attention, ("SS", "HSS"))
    if weights.shape[-1] != weights.shape[-2] or 0 in weights.shape:
        raise ValueError(f"{WHERE}: attention is {weights.shape}; its last two sizes must be equal, and none 0")
    tokens = check_tokens(WHERE, tokens, weights.shape[-1], "attention")
    panels = _panels(weights, head)

    rows = math.isqrt(len(panels) - 1) + 1 if len(panels) > 3 else 1
    across = -(-len(panels) // rows)
    side = min(max(0.24 * len(tokens), 1.6), 7.0)
    size = min(9.0, 72 * side / len(tokens) * 0.85)
    step = math.ceil(5.0 / size)                                         # below 5 points, name every second token, ...
    shown = [token if i % step == 0 else "" for i, token in enumerate(tokens)]
    words = min(max(columns(token) for token in tokens), 24) * 0.6 * max(size, 5) / 72 + 0.5
    figure = new_figure(across * (side + 0.2) + words + 0.7, rows * (side + 0.35) + words + (0.4 if title else 0.1),
                        layout="constrained")
    grid = figure.subplots(rows, across, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(panels):]:
        axes.set_visible(False)
    top = max(float(panel.max()) for _, panel in panels)
    for axes, (name, panel) in zip(grid.flat, panels, strict=False):
        image = axes.imshow(panel, cmap="Blues", vmin=0.0, vmax=top if top > 0 else 1.0)
        axes.set_title(name, size=10)
        write_ticks(axes.xaxis, shown, size=max(size, 5), rotation=90)
        write_ticks(axes.yaxis, shown, size=max(size, 5))
        axes.tick_params(length=0)
        axes.label_outer()
    for place, axes in enumerate(grid.flat):
        if place < len(panels) <= place + across:                        # nothing hangs below: it names its columns
            axes.tick_params(labelbottom=True)
    figure.supxlabel("is looked at", size=10)
    figure.supylabel("looks", size=10)
    figure.colorbar(image, ax=grid, label="attention weight", shrink=0.8, fraction=0.04, pad=0.02)
    if title:
        figure.suptitle(title, weight="bold", size=11)
    return figure


def _panels(weights, head: int | str | None) -> list[tuple]:
    """(name, (S, S)) of every panel."""
    if weights.ndim == 2:
        if head is not None:
            raise ValueError(f"{WHERE}: head={head!r} needs attention (H, S, S), got {weights.shape}; leave it out")
        return [("", weights)]
    if head is None:
        return [(f"head {number}", panel) for number, panel in enumerate(weights)]
    if head == "mean":
        return [(f"mean of {len(weights)} heads", weights.mean(axis=0))]
    if not isinstance(head, int) or not 0 <= head < len(weights):
        raise ValueError(f"{WHERE}: head={head!r} is not None, 'mean' or a number from 0 to {len(weights) - 1}")
    return [(f"head {head}", weights[head])]
