"""experts_per_token as text, HTML and figure: what it contains, in words and numbers; never pixels."""
from __future__ import annotations

import itertools
import re
import sys
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest

from minimoe import Tensor, plots
from minimoe.plots.canvas import font_families
from minimoe.plots.figure import BARS
from minimoe.plots.inputs import columns, wrap
from minimoe.plots.shades import ANSI, contrast, ink, shade

pytestmark = pytest.mark.filterwarnings("error")
TOKENS = ["the", "film", "is", "not", "good"]
K = [1, 2, 1, 4, 3]
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def words(figure) -> list[str]:
    """Every non-empty text of a figure that has been drawn."""
    figure.draw_without_rendering()
    from matplotlib.text import Text
    return [t.get_text() for t in figure.findobj(Text) if t.get_text() and t.get_visible()]


# the text form

def test_text_centres_every_number_under_its_token():
    assert plots.experts_per_token(TOKENS, K) == "the  film  is  not  good\n 1    2    1    4    3"


def test_text_of_several_layers_has_one_labelled_line_each():
    assert plots.experts_per_token(TOKENS[:3], [[1, 2, 3], [4, 5, 66]], title="two").splitlines() == [
        "two", "", "         the  film  is", "layer 1   1    2    3", "layer 2   4    5    66"]


def test_text_names_layers_as_asked():
    assert "block 7   1" in plots.experts_per_token(["word"], [[1]], labels=["block 7"])


def test_text_wraps_so_that_no_line_is_wider_than_asked():
    text = plots.experts_per_token(TOKENS * 9, K * 9, width=30)
    assert max(columns(line) for line in text.splitlines()) <= 30
    assert text.split().count("film") == 9 and len(re.findall(r"\d", text)) == 45


def test_text_fills_a_line_to_its_last_column():
    assert plots.experts_per_token(["a" * 9, "b" * 9], [1, 1], width=20).count("\n") == 1
    assert plots.experts_per_token(["a" * 9, "b" * 10], [1, 1], width=20).count("\n") > 1


def test_text_cuts_a_token_that_is_wider_than_the_line():
    assert plots.experts_per_token(["x" * 50], [2], width=20).splitlines()[0] == "x" * 17 + "..."


@pytest.mark.parametrize("token, wide", [("日本", 4), ("e\u0301", 1), ("\uff21", 2), ("né", 2), ("क्\u200dष", 2)])
def test_wide_characters_take_two_columns_and_combining_marks_none(token, wide):
    assert columns(token) == wide


def test_text_stays_aligned_after_wide_and_combining_characters():
    text = plots.experts_per_token(["日本語", "e\u0301e\u0301", "end"], [1, 2, 3])
    tokens, numbers = text.splitlines()
    assert columns(tokens[:tokens.index("end")]) + 1 == columns(numbers[:numbers.index("3")])


def test_text_of_ascii_tokens_is_ascii_so_that_any_console_can_print_it():
    text = plots.experts_per_token(TOKENS * 9, np.array([K * 9, K * 9]), np.linspace(0, 1, 45), title="t", width=40)
    assert text.isascii()


def test_text_keeps_the_joiners_inside_words():
    assert plots.experts_per_token(["क्\u200dष"], [1]).startswith("क्\u200dष\n")


def test_text_spells_out_control_characters():
    assert plots.experts_per_token(["a\nb", "\x1b[31m"], [1, 2]).splitlines()[0] == r"a\nb  \x1b[31m"


def test_text_with_colour_only_adds_escapes_and_keeps_every_number():
    plain, coloured = (plots.experts_per_token(TOKENS, K, colour=colour) for colour in (False, True))
    assert len(ESCAPE.findall(coloured)) == 10
    assert [line.rstrip() for line in ESCAPE.sub("", coloured).splitlines()] == plain.splitlines()


def test_text_with_colour_leaves_importance_without_shades():
    coloured = plots.experts_per_token(TOKENS, K, [0.5] * 5, colour=True).splitlines()
    assert [len(ESCAPE.findall(line)) for line in coloured] == [0, 10, 0]


def test_text_shows_importance_with_two_decimals_below_the_layer_it_belongs_to():
    both = plots.experts_per_token(["a", "b"], [[1, 2], [3, 4]], [[0.5, 1], [0.25, 0]]).splitlines()
    assert [line.split()[0] for line in both[1:]] == ["layer", "importance", "layer", "importance"]
    assert both[4].split() == ["importance", "0.25", "0.00"]
    shared = plots.experts_per_token(["a", "b"], [[1, 2], [3, 4]], [0.5, 1]).splitlines()
    assert [line.split()[0] for line in shared[1:]] == ["layer", "layer", "importance"]


def test_tensors_are_taken_where_arrays_are():
    assert plots.experts_per_token(TOKENS, Tensor(np.array(K)), Tensor(np.array(K) / 4)).count("0.25") == 2


# the HTML form

class Cells(HTMLParser):
    """Every span: (style, its pieces of text); and the depth at the end."""

    def __init__(self, html):
        super().__init__()
        self.cells, self.depth = [], 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.depth += tag != "br"
        if tag == "span":
            self.cells.append((dict(attributes)["style"], []))

    def handle_endtag(self, tag):
        self.depth -= 1

    def handle_data(self, data):
        if self.cells and data.strip():
            self.cells[-1][1].append(data)


def test_html_has_a_cell_with_token_and_number_for_every_token_of_every_layer():
    found = Cells(plots.experts_per_token(TOKENS, [K, K[::-1]], format="html"))
    assert [texts[:2] for _, texts in found.cells] == [[t, str(k)] for ks in (K, K[::-1])
                                                        for t, k in zip(TOKENS, ks, strict=True)]
    assert found.depth == 0


def test_html_shows_one_importance_in_the_cells_of_all_layers():
    found = Cells(plots.experts_per_token(["a", "b"], [[1, 2], [3, 4]], [0.5, 1], format="html"))
    assert [texts[2] for _, texts in found.cells] == ["0.50", "1.00", "0.50", "1.00"]


def test_html_escapes_tokens_labels_and_title():
    html = plots.experts_per_token(["<b>&amp;"], [[1]], format="html", labels=["<i>"], title="<script>")
    assert "&lt;b&gt;&amp;amp;" in html and "&lt;i&gt;" in html and "&lt;script&gt;" in html
    assert not re.search(r"<(script|i)>", html)


def test_html_says_both_colours_of_every_cell_with_enough_contrast():
    cells = Cells(plots.experts_per_token([str(i) for i in range(33)], range(33), format="html")).cells
    for style, _ in cells:
        paper, text = (re.search(rf"(?:^|;){key}:#(\w{{6}})", style)[1] for key in ("background", "color"))
        assert contrast(tuple(bytes.fromhex(paper)), tuple(bytes.fromhex(text))) >= 4.5
    assert len({style for style, _ in cells}) == 33


def test_html_is_a_string_that_a_notebook_shows():
    html = plots.experts_per_token(TOKENS, K, format="html")
    assert isinstance(html, str) and html._repr_html_() == html


def luminance(colour):
    return contrast(colour, (0, 0, 0))


def test_both_ramps_get_darker_step_by_step_and_stay_readable():
    for ramp in ([shade(i / 20) for i in range(21)], list(ANSI.values())):
        assert all(luminance(a) > luminance(b) for a, b in itertools.pairwise(ramp))
        assert min(contrast(paper, ink(paper)) for paper in ramp) >= 4.5


def test_contrast_of_black_on_white_is_21():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)


# the figure form

def test_figure_has_every_token_once_and_a_box_with_a_number_for_every_layer():
    from matplotlib.patches import FancyBboxPatch
    figure = plots.experts_per_token(TOKENS, [K, [5, 6, 7, 8, 9]], format="figure")
    assert sorted(words(figure)) == sorted([*TOKENS, *map(str, K), *"56789", "layer 1", "layer 2", "Experts per token"])
    assert len(figure.findobj(FancyBboxPatch)) == 10


def test_figure_of_one_layer_has_one_box_a_token_and_no_label():
    from matplotlib.patches import FancyBboxPatch
    figure = plots.experts_per_token(TOKENS, K, format="figure", title="")
    assert len(figure.findobj(FancyBboxPatch)) == 5 and len(words(figure)) == 10
    first = figure.findobj(FancyBboxPatch)[0].get_bbox()
    assert all(first.contains(*text.get_position()) for text in figure.axes[0].texts[:2])


def test_figure_shades_by_k_and_k_max():
    from matplotlib.patches import FancyBboxPatch
    figure = plots.experts_per_token(["a", "b", "c"], [1, 4, 4], format="figure", k_max=8)
    colours = [tuple(round(255 * c) for c in box.get_facecolor()[:3]) for box in figure.findobj(FancyBboxPatch)]
    assert colours == [shade(1 / 8), shade(1 / 2), shade(1 / 2)]


def test_figure_bars_are_as_tall_as_their_importance():
    from matplotlib.patches import Rectangle
    figure = plots.experts_per_token(["a", "b", "c"], [1, 4, 4], [0.2, 0.4, 0.0], format="figure")
    bars = [abs(bar.get_height()) for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert bars == pytest.approx([BARS / 2, BARS, 0])
    assert {"importance", "0 to 0.40", "experts"} <= set(words(figure))


@pytest.mark.parametrize("k, importance", [(K * 6, None), ([K * 6, K * 6], np.linspace(0, 1, 30))])
def test_figure_wraps_and_keeps_all_text_inside_without_overlap(k, importance):
    tokens = ["extraordinarily", "mmmm", "$5", "$6", "x"] * 6
    figure = plots.experts_per_token(tokens, k, importance, "figure", width=60)
    figure.draw_without_rendering()
    texts = [t for t in figure.axes[0].texts if t.get_text()]
    boxes = [t.get_window_extent() for t in texts]
    assert len({round(b.y0) for t, b in zip(texts, boxes, strict=True) if t.get_text() == "mmmm"}) > 1
    assert all(figure.bbox.x0 <= b.x0 and b.x1 <= figure.bbox.x1 and figure.bbox.y0 <= b.y0 and b.y1 <= figure.bbox.y1
               for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_figure_saves_and_a_dollar_sign_is_not_mathematics(kind):
    out = BytesIO()
    plots.experts_per_token(["$\\bad$", "y$", "_"], [1, 2, 3], format="figure").savefig(out, format=kind)
    assert out.tell() > 1000


def test_figures_leave_pyplot_alone_and_a_notebook_shows_them():
    before = sys.modules.get("matplotlib.pyplot")
    figure = plots.experts_per_token(TOKENS, K, format="figure")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert sys.modules.get("matplotlib.pyplot") is before


def test_only_fonts_that_are_installed_are_asked_for():
    from matplotlib.font_manager import fontManager
    assert set(font_families()) <= {font.name for font in fontManager.ttflist}


def test_wrap_puts_every_cell_on_one_line_in_order_and_never_an_empty_line():
    lines = wrap([30, 5, 5, 99, 5], 2, 12)
    assert [list(line) for line in lines] == [[0], [1, 2], [3], [4]]


@pytest.mark.parametrize("arguments, error, match", [
    ({"k": [1, 2]}, ValueError, r"5 tokens, but k has 2"),
    ({"k": np.ones((2, 2, 5), int)}, ValueError, r"k is \(2, 2, 5\); it must be \(S,\) or \(L, S\)"),
    ({"k": [1.0] * 5}, TypeError, r"k is float64; it must be integers"),
    ({"k": [1, 2, 3, 4, -1]}, ValueError, r"smallest value -1"),
    ({"k": [[1, 2], [1]]}, ValueError, r"k has rows of unequal length"),
    ({"k_max": 3}, ValueError, r"k_max is 3, but a token has 4 experts"),
    ({"importance": [0.5]}, ValueError, r"importance is \(1, 1\); k needs \(1, 5\)"),
    ({"labels": ["a", "b"]}, ValueError, r"2 labels for 1 rows"),
    ({"tokens": "hello"}, TypeError, r"tokens is one string"),
    ({"tokens": [1, 2, 3, 4, 5]}, TypeError, r"tokens must be strings, got int"),
    ({"tokens": [], "k": []}, ValueError, r"no tokens to show"),
    ({"format": "pdf"}, ValueError, r"format 'pdf' is not 'text', 'html' or 'figure'"),
    ({"width": 5}, ValueError, r"width is 5"),
])
def test_experts_per_token_refuses_what_does_not_fit_in_one_line(arguments, error, match):
    with pytest.raises(error, match=match) as caught:
        plots.experts_per_token(**{"tokens": TOKENS, "k": K} | arguments)
    assert "\n" not in str(caught.value)
