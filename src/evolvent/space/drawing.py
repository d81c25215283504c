"""Drawings of architectures: boxes and arrows that carry the names of their genes.

A drawing is data, not a picture: pages and files draw it in their own way. Equal ids in two drawings
are the same gene, so the drawings of a parent and its child show what a mutation added, removed or
relabelled. Facts hold values beside the structure, such as a learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..errors import EvolventError

#: kinds of nodes; the kind decides the colour
KINDS = (
    "input",
    "output",
    "join",
    "convolution",
    "pooling",
    "skip",
    "dense",
    "activation",
    "other",
)
_SIGNS = {  # part of an operation's name -> its kind; the first match decides
    "conv": "convolution",
    "pool": "pooling",
    "skip": "skip",
    "identity": "skip",
    "dense": "dense",
    "linear": "dense",
    "tanh": "activation",
    "relu": "activation",
    "sigmoid": "activation",
    "softmax": "activation",
}


class Node(NamedTuple):
    """A box.

    Args:
        id: the gene it stands for; unique in a drawing.
        label: text in the box.
        kind: one of `KINDS`.
        group: nodes of one group are drawn as one picture with this title: ``"normal cell"``.
    """

    id: str
    label: str
    kind: str
    group: str


class Edge(NamedTuple):
    """An arrow between two nodes of one group, identified by its ends and whether it is a skip.

    Args:
        source: id of the node where it starts.
        target: id of the node where it ends.
        label: text at the arrow, usually empty.
        kind: ``""``, or ``"skip"`` for a skip connection, or ``"negative"`` for a weight below 0.
    """

    source: str
    target: str
    label: str
    kind: str


@dataclass(frozen=True)
class Drawing:
    """Nodes and edges, inputs first, and facts by name."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    facts: tuple[tuple[str, str], ...] = ()


class Sketch:
    """Builds a drawing, box by box."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._edges: dict[tuple[str, str, bool], Edge] = {}
        self._facts: dict[str, str] = {}

    def node(self, id: str, label: str, kind: str = "other", group: str = "") -> str:
        """Add a box; return its id."""
        if id in self._nodes or kind not in KINDS:
            raise EvolventError(f"node {id!r} of kind {kind!r}: ids are unique, kinds {KINDS}")
        self._nodes[id] = Node(id, label, kind, group)
        return id

    def operation(self, id: str, name: str, group: str = "") -> str:
        """Add a box for a named operation, its kind and label read from the name; return its id."""
        return self.node(id, name.replace("_connect", "").replace("_", " "), kind_of(name), group)

    def edge(self, source: str, target: str, label: str = "", kind: str = "") -> None:
        """Add an arrow between two existing boxes of one group."""
        if source not in self._nodes or target not in self._nodes:
            raise EvolventError(f"an edge from {source!r} to {target!r}: one of them is no node")
        if self._nodes[source].group != self._nodes[target].group:
            raise EvolventError(f"an edge from {source!r} to {target!r}: they are in two groups")
        self._edges[source, target, kind == "skip"] = Edge(source, target, label, kind)

    def fact(self, name: str, value: object) -> None:
        """Add a fact, which is shown beside the picture."""
        self._facts[name] = str(value)

    def done(self) -> Drawing:
        """Return the drawing."""
        return Drawing(
            tuple(self._nodes.values()), tuple(self._edges.values()), tuple(self._facts.items())
        )


def kind_of(operation: str) -> str:
    """Return the kind of a named operation."""
    return next((kind for sign, kind in _SIGNS.items() if sign in operation), "other")
