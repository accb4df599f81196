"""Places for the vertices of a graph that flows from left to right: Sugiyama's method in its simplest form.

Longest-path layers, invisible vertices where an edge crosses a layer, order by the mean place of the neighbours,
heights by the same mean with a smallest distance. Source: Sugiyama, Tagawa, Toda, IEEE SMC 11(2), 1981 (confirmed).
"""
from __future__ import annotations

from itertools import pairwise

SWEEPS = 8


def layers_from_end(n: int, edges: list[tuple[int, int]]) -> list[int]:
    """Layer 0 for vertices without inputs on the longest way, the last layer for the end.

    Vertices must be numbered so that every edge (from, to) has from > to: the end is 0.
    """
    distance = [0] * n
    for start, end in sorted(edges, key=lambda edge: edge[1]):
        distance[start] = max(distance[start], distance[end] + 1)
    return [max(distance) - d for d in distance]


def place(n: int, edges: list[tuple[int, int]], gap: float) -> tuple[list[int], list[float], list[list[int]]]:
    """(layer of every vertex, height of every vertex, the chain of vertices of every edge).

    Vertices n, n + 1, ... are invisible ones; a chain runs from an edge's start over them to its end, one per layer.
    Vertices of one layer are at least `gap` apart.
    """
    layer = layers_from_end(n, edges)
    chains = []
    for start, end in edges:
        chain = [start]
        for between in range(layer[start] + 1, layer[end]):
            chain.append(len(layer))
            layer.append(between)
        chains.append([*chain, end])
    before: list[list[int]] = [[] for _ in layer]
    after: list[list[int]] = [[] for _ in layer]
    for chain in chains:
        for a, b in pairwise(chain):
            after[a].append(b)
            before[b].append(a)
    ranks = [[v for v in range(len(layer)) if layer[v] == level] for level in range(max(layer) + 1)]

    y = [0.0] * len(layer)
    for rank in ranks:
        for i, v in enumerate(rank):
            y[v] = i * gap
    for sweep in range(SWEEPS):
        settle = sweep >= SWEEPS // 2                # first find an order, then heights that keep it
        for neighbours, order in ((before, ranks[1:]), (after, ranks[-2::-1])):
            for rank in order:
                wanted = {v: _mean([y[u] for u in neighbours[v]], y[v]) for v in rank}
                if settle:
                    _separate(rank, [wanted[v] for v in rank], y, gap)
                else:
                    rank.sort(key=wanted.get)
                    _separate(rank, [i * gap for i in range(len(rank))], y, gap)
    return layer, y, chains


def _separate(rank: list[int], wanted: list[float], y: list[float], gap: float) -> None:
    """Heights in the order of `rank`, at least `gap` apart, with the mean of `wanted`."""
    heights: list[float] = []
    for w in wanted:
        heights.append(w if not heights else max(w, heights[-1] + gap))
    shift = _mean(wanted, 0.0) - _mean(heights, 0.0)
    for v, height in zip(rank, heights, strict=True):
        y[v] = height + shift


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
