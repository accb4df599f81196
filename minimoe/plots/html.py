"""A sentence and its experts for a notebook: one shaded cell per token, with inline styles only."""
from __future__ import annotations

from html import escape

import numpy as np

from minimoe.plots.sentence import Sentence
from minimoe.plots.shades import hexadecimal, ink, shade

CARD = "background:#ffffff;color:#000000;padding:8px;border-radius:4px;font-family:sans-serif;line-height:1.3"
CELL = ("display:inline-block;margin:2px;padding:2px 6px;border-radius:3px;border:1px solid #6b7280;text-align:center;"
        "white-space:pre;background:{paper};color:{ink}")


class Html(str):
    """A str of HTML that a notebook renders when it is the last line of a cell."""

    def _repr_html_(self) -> str:
        return str(self)


def sentence_html(sentence: Sentence) -> Html:
    """A white card, so that light and dark themes look alike; per layer its label and one cell per token.

    A cell holds the token, its number of experts and, where given, its importance.
    """
    parts = [f'<div style="{CARD}">']
    if sentence.title:
        parts.append(f'<div style="font-weight:bold;margin:2px">{escape(sentence.title)}</div>')
    importance = sentence.importance
    if importance is not None:
        importance = np.broadcast_to(importance, sentence.k.shape)
    for layer in range(len(sentence.k)):
        parts.append('<div style="margin:4px 0">')
        if sentence.labels:
            parts.append(f'<div style="margin:2px">{escape(sentence.labels[layer])}</div>')
        for i, (number, dark) in enumerate(sentence.row(layer)):
            lines = [escape(sentence.tokens[i]), f"<b>{number}</b>"]
            if importance is not None:
                lines.append(f"<small>{importance[layer, i]:.2f}</small>")
            paper = shade(dark)
            style = CELL.format(paper=hexadecimal(paper), ink=hexadecimal(ink(paper)))
            parts.append(f'<span style="{style}">{"<br>".join(lines)}</span>')
        parts.append("</div>")
    return Html("\n".join([*parts, "</div>"]))
