"""A routing plan in two panels: tokens tied to their experts, and the rows as the experts receive them."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minimoe.backend import to_host
from minimoe.moe.plan import RoutingPlan
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
        raise TypeError(f"{WHERE}: routing is {type(routing).__name__}; give one Routing, as in model(ids).routings[0]")
    plan, gates = routing.plan, to_host(raw(routing.gates))
    if tokens is None:
        tokens = [f"token {i}" for i in range(plan.n_tokens)]
    tokens = check_tokens(WHERE, tokens, plan.n_tokens, "the routing")
    if gates.size > MOST:
        raise ValueError(f"{WHERE}: {gates.size} assignments do not fit into a picture; route one sentence "
                         f"(at most {MOST} assignments)")
    names = [f"expert {e}" for e in range(plan.n_experts)]
    word, name = (max(measure(text, SIZE) for text in texts) for texts in (tokens, names))
    kept, most = plan.perm.size, max(plan.n_tokens, plan.n_experts)
    fan = min(max(most, kept), 2 * most) * ROW                           # the lines' height: the rows', if not too tall
    top = TITLE + (TITLE / 2 if title else 0)
    bottom = top + max(fan, kept * ROW)
    x_token = MARGIN + word + 10
    x_expert = x_token + min(max(190, fan / 2), 400)                     # tall fans need room to cross
    x_names = x_expert + 12 + name + BETWEEN
    x_rows = x_names + name + 8
    right = x_rows + max(word + 52, measure(HEADING, SIZE) - name - 8)

    figure, axes = new_drawing(right + MARGIN, bottom + MARGIN + (ROW if kept < gates.size else 0))
    if title:
        write(axes, MARGIN, MARGIN + 4, title, 11, ha="left", weight="bold")
    write(axes, MARGIN, top - 14, "each token and its experts", SIZE, ha="left", style="italic")
    _draw_fan(axes, plan, gates, tokens, names, (x_token, x_expert), top, fan)
    write(axes, x_names, top - 14, HEADING, SIZE, ha="left", style="italic")
    _draw_rows(axes, plan, gates, tokens, names, (x_names, x_rows, right), top)
    if kept < gates.size:
        write(axes, MARGIN, bottom + ROW, f"dashed: {gates.size - kept} dropped by the capacity", SMALL, ha="left")
    return figure


def _draw_fan(axes, plan: RoutingPlan, gates, tokens: list[str], names: list[str], x: tuple, top: float,
              height: float) -> None:
    """Tokens at x[0], experts at x[1], a line for every assignment."""
    token, expert, inv = (to_host(a) for a in (plan.token, plan.expert, plan.inv))
    ys = [top + (np.arange(n) + 0.5) * height / n for n in (plan.n_tokens, plan.n_experts)]
    for t, e, gate, slot in zip(token, expert, gates.tolist(), inv, strict=True):
        dropped = slot < 0
        axes.plot(x, [ys[0][t], ys[1][e]], color=DROPPED if dropped else LINE, linestyle="--" if dropped else "-",
                  linewidth=0.9 if dropped else 0.6 + 4 * gate, alpha=0.75, solid_capstyle="round", zorder=1)
    for i, text in enumerate(tokens):
        write(axes, x[0] - 8, ys[0][i], text, SIZE, ha="right")
        _draw_dot(axes, x[0], ys[0][i], (token == i).any())
    for e, text in enumerate(names):
        write(axes, x[1] + 10, ys[1][e], text, SIZE, ha="left")
        _draw_dot(axes, x[1], ys[1][e], (expert == e).any())


def _draw_dot(axes, x: float, y: float, used: bool) -> None:
    """Filled where a line starts or ends, hollow where none does."""
    axes.plot(x, y, "o", markersize=6, markeredgecolor=LINE, markerfacecolor=LINE if used else "white", zorder=2)


def _draw_rows(axes, plan: RoutingPlan, gates, tokens: list[str], names: list[str], x: tuple, top: float) -> None:
    """Names of experts at x[0], rows of token and gate from x[1] to x[2], a border where the expert changes."""
    from matplotlib.patches import Rectangle

    perm, token, expert, offsets = (to_host(a) for a in (plan.perm, plan.token, plan.expert, plan.offsets))
    for row, a in enumerate(perm.tolist()):
        y = top + row * ROW
        axes.add_patch(Rectangle((x[1], y), x[2] - x[1], ROW, facecolor=PALE if expert[a] % 2 == 0 else "white",
                                 edgecolor="0.8", linewidth=0.5))
        write(axes, x[1] + 7, y + ROW / 2, tokens[token[a]], SIZE, ha="left", color="black")
        write(axes, x[2] - 7, y + ROW / 2, f"{gates[a]:.2f}", SMALL, ha="right", color="black")
    for e, text in enumerate(names):
        if offsets[e] < offsets[e + 1]:
            write(axes, x[1] - 8, top + (offsets[e] + offsets[e + 1]) / 2 * ROW, text, SIZE, ha="right")
    for first in np.unique(offsets).tolist():
        axes.plot([x[0], x[2]], [top + first * ROW] * 2, color=LINE, linewidth=1.2)
