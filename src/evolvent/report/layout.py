"""The layout of a drawing in a file: boxes in layers from the inputs down, with few crossings.

The steps are those of Sugiyama, Tagawa & Toda 1981: every node gets a layer below all nodes it reads
(an arrow that closes a cycle counts backwards), long arrows get a place in every layer they pass, the
order within a layer follows the mean of the neighbours, and so do the coordinates, as far as
the distances between boxes allow (least squares under order: pool adjacent violators).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEIGHT, GAP, RISE = 26.0, 14.0, 46.0  # of a box; between two boxes; from layer to layer [px]
PASSED = 6.0  # width of the place that a long arrow takes in a layer [px]
SWEEPS = 8

Point = tuple[float, float]
Ends = tuple[str, str]


@dataclass(frozen=True)
class Layout:
    """The positions of the boxes and arrows of a drawing.

    Args:
        places: id -> middle of its box. [px]
        routes: arrow -> the points that it passes, from box to box. [px]
        width: of the whole. [px]
        height: of the whole. [px]
    """

    places: Mapping[str, Point]
    routes: Mapping[Ends, tuple[Point, ...]]
    width: float
    height: float


def layout(widths: Mapping[str, float], edges: Sequence[Ends], rise: float = RISE) -> Layout:
    """Return the positions of boxes and arrows.

    Args:
        widths: id -> width of its box, in the preferred order from the left. [px]
        edges: (source, target), each once.
        rise: from layer to layer; more where arrows are labelled. [px]
    """
    forward = _acyclic(list(widths), edges)
    layer = _layers(list(widths), [ends for ends in forward.values() if ends[0] != ends[1]])
    wide = dict(widths)
    rows: list[list[str]] = [[] for _ in range(1 + max(layer.values(), default=0))]
    for name in widths:
        rows[layer[name]].append(name)
    passed: dict[Ends, list[str]] = {}
    links: list[Ends] = []
    for edge, (above, below) in forward.items():
        stops = [f"{above}\0{below}\0{at}" for at in range(layer[above] + 1, layer[below])]
        for at, stop in enumerate(stops, layer[above] + 1):
            rows[at].append(stop)
            wide[stop] = PASSED
        passed[edge] = stops
        path = [above, *stops, below]
        links += [] if above == below else list(itertools.pairwise(path))
    x = _across(rows, links, wide)
    left = min((x[name] - wide[name] / 2 for name in wide), default=0.0) - GAP
    right = max((x[name] + wide[name] / 2 for name in wide), default=0.0) + GAP
    level = {name: number for number, row in enumerate(rows) for name in row}
    middle = {
        name: (round(x[name] - left, 1), GAP + HEIGHT / 2 + rise * level[name]) for name in wide
    }
    routes = {
        edge: _route(edge, forward[edge], [middle[stop] for stop in passed[edge]], middle, wide)
        for edge in forward
    }
    height = 2 * GAP + HEIGHT + rise * (len(rows) - 1)
    return Layout({name: middle[name] for name in widths}, routes, round(right - left, 1), height)


def _route(
    edge: Ends,
    forward: Ends,
    stops: list[Point],
    middle: Mapping[str, Point],
    wide: Mapping[str, float],
) -> tuple[Point, ...]:
    """Return the points of an arrow, from the edge of one box to the edge of the other."""
    (ax, ay), (bx, by) = middle[forward[0]], middle[forward[1]]
    if edge[0] == edge[1]:  # a loop, beside its box
        side = ax + wide[edge[0]] / 2
        return (side, ay - 5), (side + 18, ay - 9), (side + 18, ay + 9), (side, ay + 5)
    points = ((ax, ay + HEIGHT / 2), *stops, (bx, by - HEIGHT / 2))
    return points if edge == forward else points[::-1]


def _acyclic(names: Sequence[str], edges: Sequence[Ends]) -> dict[Ends, Ends]:
    """Return every edge -> itself, or reversed where it would close a cycle."""
    targets: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        targets[source].append(target)
    state: dict[str, int] = {}  # 1: on the path that is walked, 2: done
    found: dict[Ends, Ends] = {}
    for start in names:
        path = [(start, iter(targets[start]))] if start not in state else []
        state.setdefault(start, 1)
        while path:
            name, rest = path[-1]
            for target in rest:
                back = state.get(target) == 1 and target != name
                found[name, target] = (target, name) if back else (name, target)
                if target not in state:
                    state[target] = 1
                    path.append((target, iter(targets[target])))
                    break
            else:
                state[name] = 2
                path.pop()
    return {edge: found[edge] for edge in edges}


def _layers(names: Sequence[str], edges: Sequence[Ends]) -> dict[str, int]:
    """Return the layer of every node: below its sources, or without sources just above its readers."""
    layer = dict.fromkeys(names, 0)
    for _ in names:
        before = dict(layer)
        for source, target in edges:
            layer[target] = max(layer[target], layer[source] + 1)
        if layer == before:
            break
    fed = {target for _, target in edges}
    for name in names:
        readers = [layer[target] for source, target in edges if source == name]
        if name not in fed and readers:
            layer[name] = min(readers) - 1
    return layer


def _across(
    rows: list[list[str]], links: Sequence[Ends], wide: Mapping[str, float]
) -> dict[str, float]:
    """Order every row and return the middle of every node from the left. [px]"""
    above: dict[str, list[str]] = {name: [] for name in wide}
    below: dict[str, list[str]] = {name: [] for name in wide}
    for source, target in links:
        above[target].append(source)
        below[source].append(target)
    x = {name: float(place) for row in rows for place, name in enumerate(row)}

    def wished(name: str, others: Mapping[str, list[str]]) -> float:
        near = others[name]
        return sum(x[other] for other in near) / len(near) if near else x[name]

    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            others = above if sweep % 2 == 0 else below
            row.sort(key=lambda name: wished(name, others))
            for place, name in enumerate(row):
                x[name] = place - len(row) / 2
    for row in rows:
        x |= zip(row, _apart([x[name] for name in row], row, wide), strict=True)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            others = above if sweep % 2 == 0 else below
            x |= zip(row, _apart([wished(name, others) for name in row], row, wide), strict=True)
    return x


def _apart(wishes: list[float], row: Sequence[str], wide: Mapping[str, float]) -> list[float]:
    """Return the positions nearest to `wishes` at which the boxes of a row do not overlap."""
    offsets = [0.0] if row else []
    for left, right in itertools.pairwise(row):
        offsets.append(offsets[-1] + (wide[left] + wide[right]) / 2 + GAP)
    blocks: list[
        tuple[float, int]
    ] = []  # mean of the wishes of those that touch, how many they are
    for wish, offset in zip(wishes, offsets, strict=True):
        mean, size = wish - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, count = blocks.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        blocks.append((mean, size))
    free = [mean for mean, size in blocks for _ in range(size)]
    return [place + offset for place, offset in zip(free, offsets, strict=True)]
