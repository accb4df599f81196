"""What the pictures accept, and how wide a word is on a screen."""
from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from minimoe.backend import to_host
from minimoe.tensor import raw


def host_array(where: str, name: str, value, shapes: Sequence[str], integers: bool = False) -> np.ndarray:
    """A NumPy array of a Tensor, an array or nested lists, with one axis per letter of one of `shapes` ("S", "LS").

    Raises ValueError for another number of axes, TypeError for anything that is not numbers (whole ones if asked).
    """
    wanted = " or ".join(f"({shape},)" if len(shape) == 1 else f"({', '.join(shape)})" for shape in shapes)
    try:
        array = to_host(raw(value))
    except ValueError:
        raise ValueError(f"{where}: {name} has rows of unequal length; it must be {wanted}") from None
    if array.size and array.dtype.kind not in ("iu" if integers else "iuf"):
        kind = "integers" if integers else "numbers"
        raise TypeError(f"{where}: {name} is {array.dtype}; it must be {kind} {wanted}")
    if array.ndim not in [len(shape) for shape in shapes]:
        raise ValueError(f"{where}: {name} is {array.shape}; it must be {wanted}")
    return array


def check_tokens(where: str, tokens: Sequence[str], size: int, name: str) -> list[str]:
    """`tokens` as a list of printable strings, after checking that there are `size` of them, as `name` has."""
    if isinstance(tokens, str):
        raise TypeError(f"{where}: tokens is one string; give a list of strings, for example text.split()")
    tokens = [printable(token) for token in tokens]
    if len(tokens) != size:
        raise ValueError(f"{where}: {len(tokens)} tokens, but {name} has {size}; they must be equal")
    if not tokens:
        raise ValueError(f"{where}: there are no tokens to show")
    return tokens


def printable(token: str) -> str:
    """`token` with line breaks, escapes and other control characters spelled out; joiners inside words stay."""
    if not isinstance(token, str):
        raise TypeError(f"tokens must be strings, got {type(token).__name__}; use tokenizer.tokens(ids)")
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else c.encode("unicode_escape").decode("ascii")
                   for c in token)


def columns(text: str) -> int:
    """Terminal columns: East Asian wide characters take two, combining marks and joiners none."""
    return sum(0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else
               2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrap(widths: Sequence[float], gap: float, limit: float) -> list[range]:
    """Which cells stand on which line: each line takes as many as fit into `limit`, and at least one."""
    lines, start, used = [], 0, 0.0
    for i, width in enumerate(widths):
        if i > start and used + gap + width > limit:
            lines.append(range(start, i))
            start, used = i, 0.0
        used += width + (gap if i > start else 0)
    return [*lines, range(start, len(widths))]
