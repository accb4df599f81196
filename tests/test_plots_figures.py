"""The other pictures: what they contain, in words and numbers; never pixels."""
from __future__ import annotations

import itertools
import re
import sys

import numpy as np
import pytest

from minimoe import Tensor, ops, plots
from minimoe.moe.routing import route
from minimoe.plots.graph import read_graph
from minimoe.plots.importance import spread
from minimoe.plots.layering import place

pytestmark = pytest.mark.filterwarnings("error")
TOKENS = ["the", "film", "is", "not", "good"]
K = [1, 2, 1, 4, 3]


def words(figure) -> list[str]:
    """Every non-empty text of a figure that has been drawn."""
    figure.draw_without_rendering()
    from matplotlib.text import Text
    return [t.get_text() for t in figure.findobj(Text) if t.get_text() and t.get_visible()]


def leaf(*shape):
    return Tensor(np.ones(shape), requires_grad=True)


@pytest.mark.parametrize("draw", [
    lambda: plots.experts_per_token(TOKENS, K, format="figure"), lambda: plots.expert_load([1, 2]),
    lambda: plots.attention_heatmap(np.ones((1, 1)), ["a"]), lambda: plots.importance_against_k([1.0], [1], ["a"]),
    lambda: plots.routing_plan(route(np.zeros((1, 2)), np.ones(1, int))), lambda: plots.computation_graph(leaf(2) * 2)])
def test_without_matplotlib_figures_name_the_extra_and_text_and_html_still_work(monkeypatch, draw):
    from minimoe.plots import canvas
    canvas._figure_class.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'pip install "minimoe\[plots\]"') as caught:
        draw()
    assert "\n" not in str(caught.value)
    assert plots.experts_per_token(TOKENS, K) and plots.experts_per_token(TOKENS, K, format="html")


# attention

def test_attention_heatmap_has_a_panel_for_every_head_on_one_scale():
    weights = np.random.default_rng(0).dirichlet(np.ones(5), (3, 5))
    figure = plots.attention_heatmap(weights, TOKENS)
    images = [image for axes in figure.axes for image in axes.images]
    assert [np.array_equal(image.get_array(), w) for image, w in zip(images, weights, strict=True)] == [True] * 3
    assert {image.get_clim() for image in images} == {(0.0, weights.max())}
    assert {"head 0", "head 1", "head 2", *TOKENS} <= set(words(figure))


def test_attention_heatmap_of_five_heads_hides_the_sixth_panel():
    figure = plots.attention_heatmap(np.ones((5, 2, 2)), ["a", "b"])
    assert sum(axes.get_visible() for axes in figure.axes) == 5 + 1               # and the scale


def test_a_dollar_sign_is_not_mathematics_in_any_picture():
    tokens = ["$\\bad$", "b", "c"]
    for figure in (plots.attention_heatmap(np.ones((3, 3)), tokens), plots.routing_plan(a_routing(), tokens),
                   plots.importance_against_k([0.1, 0.2, 0.3], [1, 1, 2], tokens)):
        assert tokens[0] in words(figure)


def test_attention_heatmap_shows_one_head_or_their_mean():
    weights = Tensor(np.arange(8.0).reshape(2, 2, 2))
    for head, expected in ((1, weights.data[1]), ("mean", [[2, 3], [4, 5]])):
        images = plots.attention_heatmap(weights, ["a", "b"], head=head).findobj(lambda a: hasattr(a, "get_clim"))
        assert any(np.array_equal(np.ravel(image.get_array()), np.ravel(expected)) for image in images)


@pytest.mark.parametrize("attention, tokens, head, match", [
    (np.ones((2, 3)), ["a", "b"], None, r"attention is \(2, 3\)"),
    (np.ones((2, 2)), ["a"], None, r"1 tokens, but attention has 2"),
    (np.ones((1, 1, 2, 2)), ["a", "b"], None, r"must be \(S, S\) or \(H, S, S\)"),
    (np.ones((3, 2, 2)), ["a", "b"], 3, r"head=3 is not None, 'mean' or a number from 0 to 2"),
    (np.ones((2, 2)), ["a", "b"], 0, r"head=0 needs attention \(H, S, S\)")])
def test_attention_heatmap_refuses_what_does_not_fit(attention, tokens, head, match):
    with pytest.raises(ValueError, match=match):
        plots.attention_heatmap(attention, tokens, head)


# load and importance

def test_expert_load_has_a_bar_per_expert_and_the_uniform_line_at_their_mean():
    axes = plots.expert_load([3, 0, 9], title="layer 1").axes[0]
    assert [bar.get_height() for bar in axes.patches] == [3, 0, 9]
    assert list(axes.lines[0].get_ydata()) == [4, 4] and axes.get_legend_handles_labels()[1] == ["uniform"]


def test_expert_load_over_time_shows_shares_of_every_step_and_marks_the_uniform_one():
    figure = plots.expert_load([[1, 3], [0, 0], [50, 50]], steps=[0, 10, 30])
    mesh = figure.axes[0].collections[0]
    assert np.array_equal(np.reshape(mesh.get_array(), (2, 3)), [[0.25, 0, 0.5], [0.75, 0, 0.5]])
    assert list(figure.axes[1].lines[-1].get_ydata()) == [0.5, 0.5] and "uniform" in words(figure)


@pytest.mark.parametrize("arguments, match", [
    ({"loads": [1, -1]}, "finite counts of 0 or more"), ({"loads": []}, "one expert or more"),
    ({"loads": [1, 2], "steps": [0]}, r"steps needs loads \(T, E\)"),
    ({"loads": [[1, 2]] * 2, "steps": [5, 5]}, "ascending order")])
def test_expert_load_refuses_what_does_not_fit(arguments, match):
    with pytest.raises(ValueError, match=match):
        plots.expert_load(**arguments)


def test_importance_against_k_has_a_named_dot_for_every_token_above_its_k():
    figure = plots.importance_against_k([0.1, 0.9, 0.2], [1, 8, 1], ["a", "$b$", "c"])
    dots = {(x, y) for line in figure.axes[0].lines for x, y in zip(*line.get_data(), strict=True)}
    assert dots == {(0, 0.1), (0, 0.2), (1, 0.9)}
    assert {"a", "$b$", "c", "1", "8"} <= set(words(figure))


def test_importance_against_k_names_a_dozen_of_many_the_first_and_the_last_among_them():
    found = words(plots.importance_against_k(np.linspace(1, 0, 90), np.ones(90, int), [f"t{i}" for i in range(90)]))
    assert len([word for word in found if word.startswith("t")]) == 12 and {"t0", "t89"} <= set(found)


def test_names_keep_their_distance_their_order_and_the_floor():
    y = spread(np.array([0.9, 0.5, 0.49, 0.48, 0.02, 0.01]), 0.1, 0.05)
    assert (y[:-1] - y[1:] >= 0.1 - 1e-12).all() and y[-1] >= 0.05
    assert y[0] == 0.9 and y[2] == pytest.approx(0.49)


def test_importance_against_k_refuses_lengths_that_differ_and_nan():
    with pytest.raises(ValueError, match=r"importance is \(2,\) and k \(1,\)"):
        plots.importance_against_k([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        plots.importance_against_k([0.1, np.nan], [1, 2])


# the plan

def a_routing(**options):
    logits = np.log([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    return route(logits, np.array([1, 2, 1]), **options)


def test_routing_plan_lists_rows_by_expert_with_token_and_gate():
    found = words(plots.routing_plan(a_routing(), ["a", "b", "c"], title="layer 1"))
    rows = [found[i - 1:i + 1] for i, word in enumerate(found) if re.fullmatch(r"0\.\d\d", word)]
    assert rows == [["a", "0.60"], ["b", "0.20"], ["c", "0.50"], ["b", "0.70"]]
    assert [found.count(word) for word in ("a", "b", "c")] == [2, 3, 2]               # once at the left, once a row
    assert [found.count(f"expert {e}") for e in range(3)] == [2, 2, 1]                # expert 2 owns no rows


def test_routing_plan_draws_a_line_per_assignment_thicker_for_a_larger_gate():
    axes = plots.routing_plan(a_routing()).axes[0]
    ties = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] < line.get_xdata()[1]
            and line.get_alpha()]
    assert np.argsort([line.get_linewidth() for line in ties]).tolist() == [2, 3, 0, 1]      # gates .6 .7 .2 .5


def test_routing_plan_dashes_what_a_capacity_dropped_and_says_so():
    figure = plots.routing_plan(a_routing(capacity=0.7))
    assert sum(line.get_linestyle() == "--" for line in figure.axes[0].lines) == 2
    assert "dashed: 2 dropped by the capacity" in words(figure)


def test_routing_plan_keeps_all_text_inside():
    figure = plots.routing_plan(a_routing(), ["a", "b", "c"], title="t")
    figure.draw_without_rendering()
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1


def test_routing_plan_of_no_assignment_has_no_rows():
    assert plots.routing_plan(route(np.zeros((2, 2)), np.zeros(2, int)))


def test_routing_plan_refuses_other_lengths_other_things_and_whole_batches():
    with pytest.raises(ValueError, match="2 tokens, but the routing has 3"):
        plots.routing_plan(a_routing(), ["a", "b"])
    with pytest.raises(TypeError, match="routing is list; give one Routing"):
        plots.routing_plan([a_routing()])
    with pytest.raises(ValueError, match="300 assignments do not fit"):
        plots.routing_plan(route(np.zeros((300, 2)), np.ones(300, int)))


# the computation graph

def test_computation_graph_names_operations_shapes_and_leaves():
    w, b = leaf(3, 2), leaf(2)
    found = words(plots.computation_graph(((Tensor(np.ones((4, 3))) @ w) + b).sum(), names={"w": w}, title="loss"))
    assert sorted(found) == sorted(["matmul", "(4, 2)", "add", "(4, 2)", "sum", "()", "w", "(3, 2)", "(2,)", "loss"])


def test_graph_has_one_edge_for_every_use_and_one_box_for_a_value_used_twice():
    x = leaf(2)
    y = x.exp()
    graph = read_graph((y * y) + x, {})
    assert graph.names == ["add", "mul", "exp", ""]
    assert sorted(graph.edges) == [(1, 0), (2, 1), (2, 1), (3, 0), (3, 2)]


def test_an_operation_with_several_outputs_is_one_box():
    first, second = ops.split(leaf(4), 2)
    graph = read_graph(first + second, {})
    assert graph.names == ["add", "split", ""] and graph.shapes == ["(2,)", "", "(4,)"]


@pytest.mark.parametrize("seed", range(10))
def test_vertices_are_numbered_so_that_users_come_before_what_they_use(seed):
    r = np.random.default_rng(seed)
    values = [leaf(2), leaf(2)]
    for _ in range(14):
        values.append(values[r.integers(len(values))] + values[r.integers(len(values))])
    graph = read_graph(ops.stack(values).sum(), {})
    assert len(graph.edges) == 1 + 16 + 28 and all(start > end for start, end in graph.edges)


def test_drawing_a_graph_leaves_backward_possible():
    x = leaf(2)
    loss = (x * x).sum()
    plots.computation_graph(loss)
    loss.backward()
    assert np.array_equal(x.grad, [2, 2])


def test_computation_graph_refuses_leaves_freed_graphs_and_giants():
    x = leaf(2)
    with pytest.raises(ValueError, match="tensor is a leaf"):
        plots.computation_graph(x)
    with pytest.raises(ValueError, match="tensor is ndarray"):
        plots.computation_graph(x.data)
    loss = x.exp().sum()
    loss.backward()
    with pytest.raises(ValueError, match=r"backward\(\) has freed this graph \(sum\)"):
        plots.computation_graph(loss)
    for _ in range(200):
        x = x + 1
    with pytest.raises(ValueError, match="more than 150 boxes"):
        plots.computation_graph(x)


def test_chains_that_stand_crosswise_are_untangled():
    _, y, _ = place(5, [(1, 0), (2, 0), (3, 2), (4, 1)], 10.0)
    assert (y[1] - y[2]) * (y[4] - y[3]) > 0


def test_places_flow_to_the_right_keep_their_distance_and_follow_long_edges():
    edges = [(1, 0), (2, 1), (3, 2), (4, 3), (4, 0), (5, 1), (6, 1), (5, 3)]
    layer, y, chains = place(7, edges, 10.0)
    assert all(layer[b] - layer[a] == 1 for chain in chains for a, b in itertools.pairwise(chain))
    assert [(chain[0], chain[-1]) for chain in chains] == edges
    assert layer[0] == max(layer) and [layer[v] for v in (1, 2, 3, 4)] == [3, 2, 1, 0]
    for level in range(max(layer) + 1):
        heights = sorted(y[v] for v in range(len(layer)) if layer[v] == level)
        assert all(b - a >= 10.0 - 1e-9 for a, b in itertools.pairwise(heights))
