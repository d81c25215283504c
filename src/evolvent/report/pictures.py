"""Drawings as files: SVG for readers, Mermaid for README files, DOT for Graphviz."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from html import escape

from ..space.drawing import Drawing, Edge, Node
from .layout import GAP, HEIGHT, RISE, Layout, Point, layout

LETTER = 6.9  # width of a letter, about [px]
LONGEST = 60  # characters of a label that are drawn
LABELLED = 70.0  # from layer to layer where arrows have labels [px]
TITLE = 24.0  # height of a title and of the line of facts [px]

#: kind of a node -> its colour on a light page; pages have the same in style.css
COLOURS = {
    "input": "#e4e6e8",
    "output": "#e4e6e8",
    "join": "#ffffff",
    "convolution": "#dcebf6",
    "pooling": "#d9f0e7",
    "skip": "#eeeeea",
    "dense": "#f3e3ee",
    "activation": "#fdf0d5",
    "other": "#eeeeea",
}
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1b2126;text-anchor:middle}"
    "text.said{text-anchor:start;fill:#5b656e}text.word{font-size:10.5px;fill:#5b656e;"
    "paint-order:stroke;stroke:#fff;stroke-width:3px}"
    "rect{stroke:#5b656e;stroke-opacity:.55}path{fill:none;stroke:#5b656e;stroke-width:1.2}"
    "marker path{fill:#5b656e;stroke:none}.skip{stroke-dasharray:4 3}"
    ".negative{stroke-dasharray:1.5 2.5}"
)


def svg(drawing: Drawing) -> str:
    """Return a drawing as an SVG file, on white; groups stand side by side."""
    parts, left, tall = [], 0.0, 0.0
    groups = _groups(drawing)
    top = TITLE if drawing.facts or len(groups) > 1 else 0.0
    for group, nodes in groups.items():
        edges = [edge for edge in drawing.edges if edge.source in nodes]
        widths = {id: LETTER * len(_short(node.label)) + 18 for id, node in nodes.items()}
        rise = LABELLED if any(edge.label for edge in edges) else RISE
        found = layout(widths, list(dict.fromkeys((e.source, e.target) for e in edges)), rise)
        if group:
            parts.append(f'<text class="said" x="{left + GAP:g}" y="18">{_text(group)}</text>')
        plain = {(e.source, e.target) for e in edges if e.kind != "skip"}
        picture = [
            _arrow(e, _beside(e, found, bow=e.kind == "skip" and (e.source, e.target) in plain))
            for e in edges
        ]
        picture += [_box(nodes[id], found, widths[id]) for id in nodes]
        parts.append(f'<g transform="translate({left:g} {top:g})">{"".join(picture)}</g>')
        left, tall = left + found.width + GAP, max(tall, found.height + top)
    if drawing.facts:
        said = ", ".join(f"{name} {value}" for name, value in drawing.facts)
        parts.append(f'<text class="said" x="{GAP:g}" y="{tall + 14:g}">{_text(said)}</text>')
        left, tall = max(left, LETTER * len(said) + 2 * GAP), tall + TITLE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left:g} {tall:g}" width="{left:g}" '
        f'height="{tall:g}"><style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff" '
        'stroke="none"/><defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0.5L8 4L0 7.5z"/></marker></defs>'
        f"{''.join(parts)}</svg>\n"
    )


def mermaid(drawing: Drawing) -> str:
    """Return a drawing as the text of a Mermaid flowchart."""
    names = {node.id: f"n{place}" for place, node in enumerate(drawing.nodes)}

    def quoted(label: str) -> str:
        return (
            '"' + "".join(c if c.isalnum() or c in " .,:+-" else f"#{ord(c)};" for c in label) + '"'
        )

    lines = ["flowchart TD"]
    for place, (group, nodes) in enumerate(_groups(drawing).items()):
        lines += [f"  subgraph g{place} [{quoted(group)}]"] if group else []
        for node in nodes.values():
            open_, close = ("([", "])") if node.kind in ("input", "output") else ("[", "]")
            lines.append(f"    {names[node.id]}{open_}{quoted(node.label)}{close}")
        lines += ["  end"] if group else []
    for edge in drawing.edges:
        arrow = "-.->" if edge.kind else "-->"
        label = f"|{quoted(edge.label)}|" if edge.label else ""
        lines.append(f"  {names[edge.source]} {arrow}{label} {names[edge.target]}")
    return "\n".join([*lines, ""])


def dot(drawing: Drawing) -> str:
    """Return a drawing as the text of a Graphviz file."""

    def quoted(text: str) -> str:
        safe = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        return f'"{safe}"'

    lines = [
        "digraph architecture {",
        '  node [shape=box style="rounded,filled" fontname="sans-serif" fontsize=11];',
        "  edge [fontsize=9 arrowsize=0.7];",
    ]
    for place, (group, nodes) in enumerate(_groups(drawing).items()):
        lines += [f"  subgraph cluster_{place} {{ label={quoted(group)};"] if group else []
        for node in nodes.values():
            colour = COLOURS[node.kind]
            lines.append(
                f'    {quoted(node.id)} [label={quoted(node.label)} fillcolor="{colour}"];'
            )
        lines += ["  }"] if group else []
    for edge in drawing.edges:
        style = " style=dashed" if edge.kind else ""
        ends = f"{quoted(edge.source)} -> {quoted(edge.target)}"
        lines.append(f"  {ends} [label={quoted(edge.label)}{style}];")
    if drawing.facts:
        said = ", ".join(f"{name} {value}" for name, value in drawing.facts)
        lines.append(f"  label={quoted(said)};")
    return "\n".join([*lines, "}", ""])


#: the writers of a drawing, by the name of the option
FORMS: Mapping[str, Callable[[Drawing], str]] = {"svg": svg, "mermaid": mermaid, "dot": dot}


def _groups(drawing: Drawing) -> dict[str, dict[str, Node]]:
    groups: dict[str, dict[str, Node]] = {}
    for node in drawing.nodes:
        groups.setdefault(node.group, {})[node.id] = node
    return groups


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"


def _text(words: str) -> str:
    """Return words for an XML file, which allows no control characters."""
    return escape("".join(c if c.isprintable() else "�" for c in _short(words)))


def _box(node: Node, found: Layout, wide: float) -> str:
    x, y = found.places[node.id]
    round_ = HEIGHT / 2 if node.kind in ("input", "output") else 6
    return (
        f'<rect x="{x - wide / 2:g}" y="{y - HEIGHT / 2:g}" width="{wide:g}" height="{HEIGHT:g}" '
        f'rx="{round_:g}" fill="{COLOURS[node.kind]}"/>'
        f'<text x="{x:g}" y="{y + 4:g}">{_text(node.label)}</text>'
    )


def _arrow(edge: Edge, points: tuple[Point, ...]) -> str:
    line = f'<path class="{edge.kind}" marker-end="url(#arrow)" d="{_smooth(points)}"/>'
    if not edge.label:
        return line
    x, y = _middle(points)
    return f'{line}<text class="word" x="{x:g}" y="{y + 3:g}">{_text(edge.label)}</text>'


def _beside(edge: Edge, found: Layout, *, bow: bool) -> tuple[Point, ...]:
    """Return the points of an arrow; a skip beside another arrow of the same ends makes a `bow`."""
    points = found.routes[edge.source, edge.target]
    if not bow:
        return points
    x, y = _middle(points)
    return points[0], (x + 24, y), points[-1]


def _smooth(points: tuple[Point, ...]) -> str:
    """Return a path that leaves and enters boxes vertically, through the points between."""
    path = f"M{points[0][0]:g} {points[0][1]:g}"
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        bend = (by - ay) / 2
        path += f"C{ax:g} {ay + bend:g} {bx:g} {by - bend:g} {bx:g} {by:g}"
    return path


def _middle(points: tuple[Point, ...]) -> Point:
    """Return the place of a label: beyond the middle, since arrows from one box separate late."""
    place = len(points) // 2
    (ax, ay), (bx, by) = points[place - 1], points[place]
    return 0.35 * ax + 0.65 * bx, 0.4 * ay + 0.6 * by
