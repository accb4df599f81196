"""A routing plan in two panels: tokens tied to their experts, and the rows as the experts receive them."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minimoe.backend import to_host
from minimoe.moe.routing import Routing
from minimoe.plots.canvas import measure, new_drawing, write
from minimoe.plots.inputs import check_tokens
from minimoe.tensor import raw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHERE = "routing_plan"
MOST = 200                                           # assignments in one picture
SIZE, SMALL, ROW = 10, 9, 18                         # text and rows, in points, as everything here
MARGIN, TITLE, BETWEEN = 14, 40, 60
HEADING = "rows sorted by expert, with gates"
PALE, LINE, DROPPED = "#eaf2fb", "#08306b", "#9ca3af"


def routing_plan(routing: Routing, tokens: Sequence[str] | None = None, *, title: str | None = None) -> Figure:
    """Left: every token tied to its experts, thicker for a larger gate. Right: the rows sorted by expert.

        output = model(ids)
        routing_plan(output.routings[0], tokenizer.tokens(ids[0].tolist()))

    tokens: one string per token of the routing (default token 0, token 1, ...). Dashed lines are assignments that a
    capacity dropped; they have no row. Raises ValueError for more than 200 assignments: route one sentence.
    """
    if not isinstance(routing, Routing):
        raise TypeError(f"{WHERE}: routing is {type(routing).__name__}; give one Routing, such as model(ids).routings[0]")
    plan = routing.plan
    if tokens is None:
        tokens = [f"token {i}" for i in range(plan.n_tokens)]
    tokens = check_tokens(WHERE, tokens, plan.n_tokens, "the routing")
    token, expert, perm, inv, offsets = (to_host(a) for a in (plan.token, plan.expert, plan.perm, plan.inv, plan.offsets))
    if token.size > MOST:
        raise ValueError(f"{WHERE}: {token.size} assignments do not fit into a picture; route one sentence (at most {MOST})")
    gates = to_host(raw(routing.gates))

    words = max(measure(word, SIZE) for word in tokens)
    names = [f"expert {e}" for e in range(plan.n_experts)]
    name = max(measure(word, SIZE) for word in names)
    bottom = TITLE + (TITLE / 2 if title else 0)
    most = max(plan.n_tokens, plan.n_experts)
    fan = min(max(most, perm.size), 2 * most) * ROW                      # the lines' height: the rows', if not too tall
    height = max(fan, perm.size * ROW)
    x_token = MARGIN + words + 10
    x_expert = x_token + min(max(190, fan / 2), 400)               # tall fans need room to cross
    x_rows = x_expert + 12 + name + BETWEEN + name
    box = max(words + 52, measure(HEADING, SIZE) - name - 8)
    figure, axes = new_drawing(x_rows + box + MARGIN, bottom + height + MARGIN + (ROW if perm.size < token.size else 0))
    if title:
        write(axes, MARGIN, MARGIN + 4, title, 11, ha="left", weight="bold")
    write(axes, MARGIN, bottom - 14, "each token and its experts", SIZE, ha="left", style="italic")
    write(axes, x_rows - name - 8, bottom - 14, HEADING, SIZE, ha="left", style="italic")

    token_y = bottom + _places(plan.n_tokens, fan)
    expert_y = bottom + _places(plan.n_experts, fan)
    for a in range(token.size):
        _tie(axes, (x_token, token_y[token[a]]), (x_expert, expert_y[expert[a]]), float(gates[a]), inv[a] < 0)
    for i, word in enumerate(tokens):
        write(axes, x_token - 8, token_y[i], word, SIZE, ha="right")
        _dot(axes, x_token, token_y[i], routing.k[i] > 0)
    for e, word in enumerate(names):
        write(axes, x_expert + 10, expert_y[e], word, SIZE, ha="left")
        _dot(axes, x_expert, expert_y[e], (expert == e).any())
    for row, a in enumerate(perm.tolist()):
        y = bottom + row * ROW
        _row(axes, x_rows, y, box, tokens[token[a]], float(gates[a]), expert[a] % 2 == 0)
    for e, (first, last) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        if last > first:
            _border(axes, x_rows - name - 8, x_rows + box, bottom + first * ROW)
            write(axes, x_rows - 8, bottom + (first + last) / 2 * ROW, names[e], SIZE, ha="right")
    _border(axes, x_rows - name - 8, x_rows + box, bottom + perm.size * ROW)
    if perm.size < token.size:
        write(axes, MARGIN, bottom + height + ROW, f"dashed: {token.size - perm.size} dropped by the capacity", SMALL,
              ha="left")
    return figure


def _places(n: int, height: float) -> np.ndarray:
    """n heights spread evenly over `height`."""
    return (np.arange(n) + 0.5) * height / max(n, 1)


def _tie(axes, start: tuple, end: tuple, gate: float, dropped: bool) -> None:
    axes.plot([start[0], end[0]], [start[1], end[1]], color=DROPPED if dropped else LINE, alpha=0.75,
              linewidth=0.9 if dropped else 0.6 + 4 * min(max(gate, 0.0), 1.0), linestyle="--" if dropped else "-",
              solid_capstyle="round", zorder=1)


def _dot(axes, x: float, y: float, used: bool) -> None:
    """Filled where something goes in or out, hollow where nothing does."""
    axes.plot(x, y, "o", markersize=6, markeredgecolor=LINE, markerfacecolor=LINE if used else "white", zorder=2)


def _row(axes, x: float, y: float, width: float, word: str, gate: float, shaded: bool) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, y), width, ROW, facecolor=PALE if shaded else "white", edgecolor="0.8", linewidth=0.5))
    write(axes, x + 7, y + ROW / 2, word, SIZE, ha="left", color="black")
    write(axes, x + width - 7, y + ROW / 2, f"{gate:.2f}", SMALL, ha="right", color="black")


def _border(axes, left: float, right: float, y: float) -> None:
    axes.plot([left, right], [y, y], color=LINE, linewidth=1.2)
