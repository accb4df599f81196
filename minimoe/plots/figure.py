"""A sentence and its experts as a figure: tokens in reading order, one row of shaded cells per expert layer."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minimoe.plots.canvas import measure, new_drawing, write
from minimoe.plots.inputs import wrap
from minimoe.plots.sentence import Sentence
from minimoe.plots.shades import RGB, ink, shade

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE, SMALL = 11, 9                                  # of text, in points, as everything here
COLUMN = 6.6                                         # one column of `width`
TOKEN, CELL, BARS = 22, 24, 30                       # heights: token, number, importance bars
GAP, LINE_GAP, MARGIN = 4, 20, 14
BAR_COLOUR = "#6b7280"                               # grey: importance must not look like a shade of K


def sentence_figure(sentence: Sentence, width: int) -> Figure:
    """With one layer a box holds token and number; with several, every layer has its row of boxes under the tokens.

    Bars, where importance is given: over the row they belong to, the tallest being the largest importance shown.
    """
    labels = sentence.labels or ([] if sentence.importance is None else ["experts"])
    bar_label = [] if sentence.importance is None else ["importance", f"0 to {_top(sentence):.2f}"]
    left = MARGIN + max((measure(label, SMALL) + 10 for label in labels + bar_label), default=0)
    widths = [max(measure(token, SIZE), measure("00", SIZE, "bold")) + 14 for token in sentence.tokens]
    lines = wrap(widths, GAP, width * COLUMN)
    right = left + max(sum(widths[i] for i in line) + GAP * (len(line) - 1) for line in lines)
    title = "Experts per token" if sentence.title is None else sentence.title
    right = max(right, MARGIN + measure(title, SIZE, "bold"))
    layout = _Layout(sentence)
    top = MARGIN + (TOKEN if title else 0)

    figure, axes = new_drawing(right + MARGIN, top + len(lines) * (layout.height + LINE_GAP) - LINE_GAP + MARGIN)
    if title:
        write(axes, MARGIN, MARGIN + 6, title, weight="bold", ha="left")
    for line in lines:
        starts = left + np.cumsum([0.0, *(widths[i] + GAP for i in line)])[:-1]
        _draw_labels(axes, layout, top, left, labels, bar_label)
        for i, x in zip(line, starts.tolist(), strict=True):
            _draw_token(axes, sentence, layout, i, x, top, widths[i])
        top += layout.height + LINE_GAP
    return figure


class _Layout:
    """Where the parts of one line of the sentence stand, in points below its top."""

    def __init__(self, sentence: Sentence):
        self.boxed = len(sentence.k) == 1            # token and number share one box
        shared = sentence.importance is not None and len(sentence.importance) == 1
        self.bars = {0: 0.0} if shared else {}       # row of importance -> top of its bars
        self.token = float(BARS + GAP if shared else 0)
        self.cells = []                              # top of every layer's cells
        y = self.token + TOKEN
        for layer in range(len(sentence.k)):
            if not shared and sentence.importance is not None:
                self.bars[layer] = y
                y += BARS + GAP
            self.cells.append(y)
            y += CELL + GAP
        self.height = y - GAP


def _draw_labels(axes, layout: _Layout, top: float, left: float, labels: list[str], bar_label: list[str]) -> None:
    for label, y in zip(labels, layout.cells, strict=bool(labels)):
        write(axes, left - 10, top + y + CELL / 2, label, SMALL, ha="right")
    for y in layout.bars.values():
        for word, below in zip(bar_label, (BARS - 16, BARS - 5), strict=True):
            write(axes, left - 10, top + y + below, word, SMALL - 1, ha="right", color=BAR_COLOUR)


def _draw_token(axes, sentence: Sentence, layout: _Layout, i: int, x: float, top: float, width: float) -> None:
    for layer, y in enumerate(layout.cells):
        number, dark = sentence.row(layer)[i]
        paper = shade(dark)
        start = layout.token if layout.boxed else y
        _draw_box(axes, x, top + start, width, y + CELL - start, paper)
        write(axes, x + width / 2, top + y + CELL / 2 - (3 if layout.boxed else 0), number, weight="bold",
              color=_colour(ink(paper)))
    style = {"color": _colour(ink(shade(sentence.row(0)[i][1])))} if layout.boxed else {}
    write(axes, x + width / 2, top + layout.token + TOKEN / 2 + (2 if layout.boxed else 0), sentence.tokens[i], **style)
    for row, y in layout.bars.items():
        value = sentence.importance[row, i]
        tall = BARS * value / _top(sentence) if value > 0 else 0.0
        axes.bar(x + width / 2, -tall, 10, top + y + BARS, color=BAR_COLOUR)
        axes.plot([x, x + width], [top + y + BARS] * 2, color=BAR_COLOUR, linewidth=0.6)


def _draw_box(axes, x: float, y: float, width: float, height: float, paper: RGB) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=3",
                                  facecolor=_colour(paper), edgecolor=BAR_COLOUR, linewidth=0.6))


def _colour(rgb: RGB) -> tuple[float, ...]:
    return tuple(value / 255 for value in rgb)


def _top(sentence: Sentence) -> float:
    """The importance of the tallest bar."""
    largest = float(np.nanmax(sentence.importance, initial=0.0))
    return largest if largest > 0 else 1.0
