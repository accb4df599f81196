"""`experts_per_token`: one sentence and how many experts each token got, as text, HTML or figure."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minimoe.plots.figure import sentence_figure
from minimoe.plots.html import Html, sentence_html
from minimoe.plots.sentence import WHERE, read_sentence
from minimoe.plots.text import sentence_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def experts_per_token(tokens: Sequence[str], k, importance=None, format: str = "text", *, k_max: int | None = None,
                      title: str | None = None, labels: Sequence[str] | None = None, width: int = 80,
                      colour: bool = False) -> str | Html | Figure:
    """The tokens of one sentence with the number of experts under each; darker means more.

        print(experts_per_token("not a good film".split(), [3, 1, 4, 2]))
        experts_per_token(tokens, np.stack([r.k for r in output.routings]), format="figure", k_max=8)

    tokens: S strings. k: integers (S,), or (L, S) for L expert layers, named by `labels` (default layer 1, layer 2).
    importance: (S,) or (L, S), shown as numbers, or as bars in a figure. k_max: what the darkest shade stands for,
    usually the number of experts; default the largest k. format:
    "text": a str for a terminal, ASCII but for the tokens, wrapped to `width` columns; `colour` adds shades;
    "html": a str that a notebook shows, readable on light and dark themes; wraps by itself;
    "figure": a matplotlib Figure, wrapped to `width` columns of small text.
    Raises ValueError or TypeError where the arguments do not fit together, ImportError without matplotlib.
    """
    sentence = read_sentence(tokens, k, importance, k_max, title, labels)
    if width < 20:
        raise ValueError(f"{WHERE}: width is {width}; it must be at least 20 columns")
    if format == "text":
        return sentence_text(sentence, width, colour)
    if format == "html":
        return sentence_html(sentence)
    if format == "figure":
        return sentence_figure(sentence, width)
    raise ValueError(f"{WHERE}: format {format!r} is not 'text', 'html' or 'figure'")
