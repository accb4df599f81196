"""The graph that autograd recorded, from the leaves on the left to the tensor on the right."""
from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minimoe.plots.canvas import measure, new_drawing, write
from minimoe.plots.inputs import printable
from minimoe.plots.layering import place
from minimoe.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHERE = "computation_graph"
MOST = 150                                           # boxes in one picture
SIZE, SMALL = 10, 8                                  # of text, in points, as everything here
BOX, GAP, BETWEEN, MARGIN = 32, 14, 34, 16           # height of a box, space below it, space for arrows, rim
PALE, DARK, LINE = "#deebf7", "#08306b", "#4b5563"


@dataclass
class Graph:
    """Vertices 0 (the tensor), 1, ... in an order that meets every user before what it uses."""

    names: list[str] = field(default_factory=list)           # of the operation; of the leaf, "" without a name
    shapes: list[str] = field(default_factory=list)
    leaves: list[bool] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)   # (from, to), one per use


def computation_graph(tensor: Tensor, *, names: dict[str, Tensor] | None = None, title: str | None = None) -> Figure:
    """The operations that led to `tensor`, before its backward pass frees them. Readable up to about 30 of them.

        loss = ((x @ w).tanh() ** 2).mean()
        computation_graph(loss, names={"w": w}).savefig("graph.png")

    Blue boxes are operations with the shape they give, white ones leaves that get a gradient; gradients flow against
    the arrows. What needs no gradient is not recorded and not shown. names: leaves by name, such as
    dict(model.named_parameters()). Raises ValueError for a leaf, for a graph that was freed, and above 150 boxes.
    """
    graph = read_graph(tensor, names or {})
    layer, y, chains = place(len(graph.names), graph.edges, BOX + GAP)
    widths = [max(measure(name, SIZE), measure(shape, SMALL)) + 16
              for name, shape in zip(graph.names, graph.shapes, strict=True)]
    across = [max((widths[v] for v in range(len(widths)) if layer[v] == level), default=0)
              for level in range(max(layer) + 1)]
    centre = [MARGIN + sum(across[:level]) + level * BETWEEN + across[level] / 2 for level in range(len(across))]
    top = MARGIN + (24 if title else 0) + BOX / 2 - min(y)
    title_width = measure(title, 11, "bold") if title else 0
    figure, axes = new_drawing(max(sum(across) + BETWEEN * (len(across) - 1), title_width) + 2 * MARGIN,
                               top + max(y) + BOX / 2 + MARGIN)
    if title:
        write(axes, MARGIN, MARGIN + 4, title, 11, ha="left", weight="bold")
    uses = [[i for i, (_, end) in enumerate(graph.edges) if end == v] for v in range(len(widths))]
    for inputs in uses:
        inputs.sort(key=lambda i: y[chains[i][-2]])          # arrows arrive in the order they come from
        for port, i in enumerate(inputs):
            half = [widths[u] / 2 if u < len(widths) else across[layer[u]] / 2 for u in chains[i]]
            points = [(centre[layer[u]] - h, centre[layer[u]] + h, top + y[u])
                      for u, h in zip(chains[i], half, strict=True)]
            _draw_arrow(axes, points, (port + 0.5) / len(inputs) * 0.7 * BOX - 0.35 * BOX)
    for v, (name, shape) in enumerate(zip(graph.names, graph.shapes, strict=True)):
        _draw_box(axes, centre[layer[v]], top + y[v], widths[v], name, shape, graph.leaves[v])
    return figure


def read_graph(tensor: Tensor, names: dict[str, Tensor]) -> Graph:
    """Walks as `backward` does, from the youngest node down, without recursion."""
    if not isinstance(tensor, Tensor) or tensor._node is None:
        kind = "a leaf" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ValueError(f"{WHERE}: tensor is {kind}; give the result of an operation on tensors that need gradients")
    name_of = {id(leaf): name for name, leaf in names.items()}
    graph = Graph()
    number = {id(tensor._node): 0}                   # vertices of nodes; of leaves below, which come last
    pending = [(-tensor._node.order, tensor._node, tensor.shape)]
    leaves, uses = [], []
    seen = {id(tensor._node)}
    while pending:
        _, node, shape = heapq.heappop(pending)
        if node.edges is None:
            raise ValueError(f"{WHERE}: backward() has freed this graph ({node.name}); draw it before that, or run the "
                             "forward again")
        number[id(node)] = len(graph.names)
        graph.names.append(node.name)
        graph.shapes.append("" if node.outputs > 1 else str(tuple(shape)))
        graph.leaves.append(False)
        for _, _, target, _, target_shape, _ in node.edges:
            uses.append((target, node))
            if id(target) in seen:
                continue
            seen.add(id(target))
            if isinstance(target, Tensor):
                leaves.append(target)
            else:
                heapq.heappush(pending, (-target.order, target, target_shape))
        if len(graph.names) + len(leaves) > MOST:
            raise ValueError(f"{WHERE}: the graph has more than {MOST} boxes; draw a part of it, such as one layer")
    for leaf in leaves:
        number[id(leaf)] = len(graph.names)
        graph.names.append(printable(name_of.get(id(leaf), "")))
        graph.shapes.append(str(tuple(leaf.shape)))
        graph.leaves.append(True)
    graph.edges = [(number[id(start)], number[id(end)]) for start, end in uses]
    return graph


def _draw_arrow(axes, points: list[tuple[float, float, float]], port: float) -> None:
    """A smooth line from the right of the first place, straight through those between, to a port of the last."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    x, y = points[0][1], points[0][2]
    vertices, codes = [(x, y)], [Path.MOVETO]
    for i, (left, right, height) in enumerate(points[1:], 1):
        last = i == len(points) - 1
        end = height + port if last else height
        middle = (x + left) / 2
        vertices += [(middle, y), (middle, end), (left, end)]
        codes += [Path.CURVE4] * 3
        if not last:
            vertices.append((right, end))
            codes.append(Path.LINETO)
        x, y = right, end
    axes.add_patch(FancyArrowPatch(path=Path(vertices, codes), arrowstyle="-|>", mutation_scale=8, color=LINE,
                                   linewidth=0.9, zorder=1))


def _draw_box(axes, x: float, y: float, width: float, name: str, shape: str, leaf: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(FancyBboxPatch((x - width / 2, y - BOX / 2), width, BOX,
                                  boxstyle=f"round,pad=0,rounding_size={0 if leaf else 5}",
                                  facecolor="white" if leaf else PALE, edgecolor=DARK, linewidth=1.0, zorder=2))
    if name and shape:
        write(axes, x, y - 6, name, SIZE, color="black", zorder=3)
        write(axes, x, y + 8, shape, SMALL, color="black", zorder=3)
    else:
        write(axes, x, y, name or shape, SIZE if name else SMALL, color="black", zorder=3)
