"""A sentence and its experts for a terminal: aligned columns, wrapped, ASCII but for the tokens themselves."""
from __future__ import annotations

from minimoe.plots.inputs import columns, wrap
from minimoe.plots.sentence import Sentence
from minimoe.plots.shades import ansi

GAP = "  "


def sentence_text(sentence: Sentence, width: int, colour: bool) -> str:
    """Blocks of lines: the tokens, then a line of numbers per layer, each number centred under its token.

    No line is wider than `width` columns; a token that is, is cut and ends in "...". `colour`: ANSI shades.
    """
    rows = _rows(sentence)
    margin = max(columns(label) for label, _ in rows)
    margin = margin + len(GAP) if margin else 0
    room = max(width - margin, 8)
    tokens = [_cut(token, room) for token in sentence.tokens]
    widths = [max(columns(token), *(len(cells[i][0]) for _, cells in rows)) for i, token in enumerate(tokens)]
    blocks = [] if not sentence.title else [sentence.title]
    for line in wrap(widths, len(GAP), room):
        lines = [" " * margin + GAP.join(_centre(tokens[i], widths[i]) for i in line)]
        for label, cells in rows:
            numbers = [(_centre(cells[i][0], widths[i]), cells[i][1]) for i in line]
            painted = (ansi(text, dark) if colour and dark is not None else text for text, dark in numbers)
            lines.append(label + " " * (margin - columns(label)) + GAP.join(painted))
        blocks.append("\n".join(text.rstrip() for text in lines))
    return "\n\n".join(blocks)


def _rows(sentence: Sentence) -> list[tuple[str, list[tuple[str, float | None]]]]:
    """(label, (text, how dark or None) per token) for every line under the tokens."""
    rows = []
    labels = sentence.labels or ["" if sentence.importance is None else "experts"]
    for layer, label in enumerate(labels):
        rows.append((label, sentence.row(layer)))
        importance = sentence.importance_of(layer)
        if importance is not None:
            rows.append(("importance", [(f"{value:.2f}", None) for value in importance]))
    if sentence.importance is not None and len(sentence.importance) < len(labels):
        rows.append(rows.pop(1))                    # one importance for all layers stands below all of them
    return rows


def _centre(text: str, width: int) -> str:
    space = width - columns(text)
    return " " * (space // 2) + text + " " * (space - space // 2)


def _cut(text: str, width: int) -> str:
    if columns(text) <= width:
        return text
    while columns(text) > width - 3:
        text = text[:-1]
    return text + "..."
