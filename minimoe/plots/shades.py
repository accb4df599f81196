"""One ramp of blue from pale to dark: darker means more. It reads the same with every kind of colour vision."""
from __future__ import annotations

RGB = tuple[int, int, int]
RAMP: tuple[RGB, ...] = ((240, 246, 252), (107, 174, 214), (8, 48, 107))                # as ColorBrewer's Blues
ANSI = {231: (255, 255, 255), 189: (215, 215, 255), 147: (175, 175, 255), 105: (135, 135, 255),
        63: (95, 95, 255), 21: (0, 0, 255), 19: (0, 0, 175), 17: (0, 0, 95)}            # xterm's 256 colours
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def shade(fraction: float) -> RGB:
    """The colour at `fraction` of the way, 0 pale to 1 dark."""
    place = min(max(fraction, 0.0), 1.0) * (len(RAMP) - 1)
    left = min(int(place), len(RAMP) - 2)
    return tuple(round(a + (place - left) * (b - a)) for a, b in zip(RAMP[left], RAMP[left + 1], strict=True))


def ink(paper: RGB) -> RGB:
    """Black or white, whichever reads better on `paper`: the contrast is never below 4.5."""
    return max((BLACK, WHITE), key=lambda colour: contrast(colour, paper))


def contrast(a: RGB, b: RGB) -> float:
    """The contrast ratio of WCAG 2, from 1 to 21."""
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def hexadecimal(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def ansi(text: str, fraction: float) -> str:
    """`text` on a shaded background, for a terminal with 256 colours."""
    code, paper = list(ANSI.items())[round(min(max(fraction, 0.0), 1.0) * (len(ANSI) - 1))]
    return f"\x1b[48;5;{code};38;5;{16 if ink(paper) == BLACK else 231}m{text}\x1b[0m"


def _luminance(colour: RGB) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
