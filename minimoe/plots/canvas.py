"""What every picture needs of matplotlib: figures without pyplot, drawings in points, words measured before drawn."""
from __future__ import annotations

from functools import cache
from io import BytesIO

EAST_ASIAN_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Microsoft YaHei", "Yu Gothic",
                    "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS")


def new_figure(width: float, height: float, **options):
    """An empty figure of `width` x `height` inches; options as in matplotlib.figure.Figure."""
    return _figure_class()(figsize=(width, height), **options)


def new_drawing(width: float, height: float):
    """(figure, axes) whose coordinates are points (1/72 inch), x to the right and y down, without frame or ticks."""
    figure = new_figure(width / 72, height / 72)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def write(axes, x: float, y: float, text: str, size: float = 11, **style):
    """Text centred on (x, y); a dollar sign is a dollar sign, not mathematics."""
    style = {"ha": "center", "va": "center", "fontfamily": font_families()} | style
    return axes.text(x, y, text, size=size, parse_math=False, **style)


def write_ticks(axis, labels: list[str], places=None, size: float = 9, **style) -> None:
    """`labels` along an axis at `places` (default 0, 1, 2, ...), dollar signs taken as they are."""
    axis.set_ticks(range(len(labels)) if places is None else places, labels, size=size,
                   fontfamily=font_families(), **style)
    for label in axis.get_ticklabels():
        label.set_parse_math(False)


def measure(text: str, size: float = 11, weight: str = "normal") -> float:
    """The width of `text` in points."""
    need_matplotlib()
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    return text_to_path.get_text_width_height_descent(
        text, FontProperties(family=font_families(), size=size, weight=weight), ismath=False)[0]


@cache
def font_families() -> list[str]:
    """matplotlib's own font, then those installed that know Chinese, Japanese and Korean."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in EAST_ASIAN_FONTS if name in installed)]


def need_matplotlib() -> None:
    """Raises ImportError that names the extra where matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(f"minimoe.plots: this picture needs matplotlib ({error}): "
                          'pip install "minimoe[plots]"') from None


@cache
def _figure_class():
    need_matplotlib()
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A Figure that a notebook shows although pyplot does not know it."""

        def _repr_png_(self) -> bytes:
            png = BytesIO()
            self.savefig(png, format="png", dpi=110, bbox_inches="tight")
            return png.getvalue()

    return Picture
