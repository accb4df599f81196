"""The part of a README that is written by a script: what stands between two marks."""
from __future__ import annotations


def replaced(text: str, begin: str, end: str, new: str) -> str:
    """`text` with `new` between the marks. Raises ValueError where they are not there once, in this order."""
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last or begin in rest or end in after:
        raise ValueError(f"README: needs the lines {begin} and {end}, once each, in this order; the section goes "
                         "between them")
    return f"{before}{begin}\n\n{new}\n\n{end}{after}"
