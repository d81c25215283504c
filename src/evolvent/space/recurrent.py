"""Recurrent cells: nodes that each read one earlier node, by a gate and an activation.

An architecture is one pair (activation, source) for every node behind the first, in order; node 0 reads
the input and the state, by tanh. A node is a highway layer: s + c (f(s W) - s) with the gate
c = sigmoid(s V), s its source. The new state is the mean of ``all`` nodes behind the first, as DARTS
has it with 8 of them (Liu et al. 2018, 1806.09055), or of the ``loose`` ones that no other reads, as
ENAS has it with 11 (Pham et al. 2018, 1802.03268). Either way nodes see the input through node 0 alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InvalidArchitecture, SettingError
from ..types import Arch, Facts
from . import Decision, Group, Move
from .drawing import Drawing, Sketch
from .known import distinct, owned

ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
OUTPUTS = ("all", "loose")
#: Published cells, as ``activation-source`` of every node, with the output that they are for.
MEMBERS = {
    "darts-v2": (
        "sigmoid-0 relu-1 relu-1 identity-1 tanh-2 sigmoid-5 tanh-3 relu-5",
        "all",
    ),
    "darts-v1": ("relu-0 relu-1 tanh-2 relu-3 relu-4 identity-1 relu-5 relu-1", "all"),
    "enas": (
        "tanh-0 tanh-1 relu-1 tanh-3 tanh-3 relu-3 relu-4 relu-7 relu-8 relu-8 relu-8",
        "loose",
    ),
}


class Recurrent:
    """Cells of so many nodes.

    Args:
        nodes: behind the first. [count, >= 1]
        output: ``all`` or ``loose``: which nodes' mean is the new state.
        activations: that nodes choose from, of `ACTIVATIONS`.
        known: architectures of one's own, asked before those of the space; one, or a list.

    Raises:
        SettingError: for settings outside these rules, and what is no such architecture.
    """

    family = "recurrent"
    kinds = frozenset({"language"})
    gives = frozenset({"canonical", "crossover", "decisions", "drawing", "known", "mixture"})

    def __init__(
        self,
        *,
        nodes: int = 8,
        output: str = "all",
        activations: tuple[str, ...] = ACTIVATIONS,
        known: Sequence[Any] = (),
    ) -> None:
        if nodes < 1:
            raise SettingError(f"space.nodes={nodes}: at least 1")
        if output not in OUTPUTS:
            raise SettingError(f"space.output={output!r}: one of {', '.join(OUTPUTS)}")
        odd = [name for name in activations if name not in ACTIVATIONS]
        if odd or not activations or len(set(activations)) < len(activations):
            raise SettingError(
                f"space.activations={list(activations)}: different ones of {', '.join(ACTIVATIONS)}"
            )
        self.nodes, self.output, self.activations = nodes, output, tuple(activations)
        self.own = owned(known, self._checked, "space.known")

    def known(self, facts: Facts) -> dict[str, Arch]:
        """Return one's own, then the published cells of so many nodes, then two made by hand.

        ``recurrent-highway`` is a chain of tanh, a recurrent highway network (Zilly et al. 2016,
        1607.03474); in ``gated`` every node reads the first, so that the cell is as deep as two layers.
        """
        found = dict(self.own)
        for name, (text, output) in MEMBERS.items():
            arch = parse(text)
            if output == self.output and self._fits(arch):
                found[name] = arch
        first = "tanh" if "tanh" in self.activations else self.activations[0]
        found["recurrent-highway"] = tuple((first, source) for source in range(self.nodes))
        found["gated"] = tuple((first, 0) for _ in range(self.nodes))
        return distinct(found, self.canonical)

    def sample(self, rng: random.Random) -> Arch:
        """Return a cell; sources and activations are uniform."""
        return tuple(self._node(place, rng) for place in range(self.nodes))

    def _node(self, place: int, rng: random.Random) -> tuple[str, int]:
        return rng.choice(self.activations), rng.randrange(place + 1)

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Give one node another activation or another source."""
        moves = [("activation", place) for place in range(self.nodes) if len(self.activations) > 1]
        moves += [("source", place) for place in range(1, self.nodes)]
        if not moves:
            return Move(arch, "identity")
        what, place = rng.choice(moves)
        name, source = arch[place]
        if what == "activation":
            name = rng.choice([each for each in self.activations if each != name])
        else:
            source = rng.choice([each for each in range(place + 1) if each != source])
        return Move((*arch[:place], (name, source), *arch[place + 1 :]), what)

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Take every node from either parent."""
        pairs = zip(first, second, strict=True)
        return Move(tuple(rng.choice(pair) for pair in pairs), "crossover")

    def decision(self, prefix: Sequence[int]) -> Decision | None:
        """Of every node a pointer to its source, then a choice of its activation."""
        place, what = divmod(len(prefix), 2)
        if place >= self.nodes:
            return None
        if what:
            count = len(self.activations)
            return Decision("activation", "choice", count, tuple(range(count)))
        return Decision("source", "pointer", self.nodes, tuple(range(place + 1)))

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """Return source and activation of every node."""
        pairs = ((source, self.activations.index(name)) for name, source in arch)
        return tuple(number for pair in pairs for number in pair)

    def decode(self, choices: Sequence[int]) -> Arch:
        """Return the cell of a complete sequence of choices."""
        pairs = zip(choices[::2], choices[1::2], strict=True)
        return tuple((self.activations[name], source) for source, name in pairs)

    def equivalents(self, choices: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """Return the same cell with its nodes in another order, in which sources still come first."""
        arch, order = self.decode(choices), [0]
        while len(order) <= self.nodes:
            ready = [
                node
                for node, (_, source) in enumerate(arch, 1)
                if source in order and node not in order
            ]
            order.append(rng.choice(ready))
        places = {node: place for place, node in enumerate(order)}
        moved = ((arch[node - 1][0], places[arch[node - 1][1]]) for node in order[1:])
        return self.encode(tuple(moved))

    def groups(self) -> tuple[Group, ...]:
        """Return a group of one row per node: a column per source and activation.

        The weights of a node thus compete with each other, and its softmax sums to 1. DARTS has a row
        per pair of nodes, whose sums grow with their number, and a batch norm against that.
        """
        return tuple(
            Group(
                group_of(place + 1),
                ("reads",),
                tuple(
                    f"{name}-{source}" for source in range(place + 1) for name in self.activations
                ),
            )
            for place in range(self.nodes)
        )

    def one_hot(self, arch: Arch) -> dict[str, np.ndarray]:
        """Return of every node the row with a 1 at its source and activation."""
        return {
            group.name: np.array([[float(f"{name}-{source}" == each) for each in group.columns]])
            for group, (name, source) in zip(self.groups(), arch, strict=True)
        }

    def derive(self, weights: Mapping[str, np.ndarray]) -> Arch:
        """Return the strongest source and activation of every node."""
        chosen = (
            group.columns[int(weights[group.name][0].argmax())].split("-")
            for group in self.groups()
        )
        return tuple((name, int(source)) for name, source in chosen)

    def canonical(self, arch: Arch) -> Any:
        """Return the tree of activations, its branches in a fixed order: their places do not matter."""

        def tree(node: int) -> tuple[Any, ...]:
            below = [
                (name, tree(place))
                for place, (name, source) in enumerate(arch, 1)
                if source == node
            ]
            return tuple(sorted(below))

        return tree(0)

    def drawing(self, arch: Arch) -> Drawing:
        """Return the nodes with their activations, input and state first."""
        sketch = Sketch()
        sketch.node("input", "input", "input")
        sketch.node("state", "state", "input")
        sketch.node("0", "tanh", "activation")
        sketch.node("output", "new state: mean", "output")
        sketch.edge("input", "0")
        sketch.edge("state", "0")
        for node, (name, source) in enumerate(arch, 1):
            sketch.operation(f"{node}", name)
            sketch.edge(f"{source}", f"{node}")
        for node in ends(arch, self.output):
            sketch.edge(f"{node}", "output")
        return sketch.done()

    def _fits(self, arch: Arch) -> bool:
        return len(arch) == self.nodes and all(name in self.activations for name, _ in arch)

    def _checked(self, arch: Arch) -> Arch:
        """Return `arch` if it is a cell of this space; InvalidArchitecture if it is not."""
        pairs = isinstance(arch, tuple) and all(
            isinstance(each, tuple) and len(each) == 2 for each in arch
        )
        if not pairs or not self._fits(arch):
            raise InvalidArchitecture(
                f"{arch!r} is no cell of {self.nodes} nodes: as many pairs of one of "
                f"{', '.join(self.activations)} and the number of an earlier node"
            )
        for place, (_, source) in enumerate(arch):
            if type(source) is not int or not 0 <= source <= place:
                raise InvalidArchitecture(
                    f"{arch!r}: node {place + 1} reads {source!r}, which is no earlier node"
                )
        return arch


def ends(arch: Arch, output: str) -> list[int]:
    """Return the nodes whose mean is the new state."""
    read = {source for _, source in arch} if output == "loose" else {0}
    return [node for node in range(1, len(arch) + 1) if node not in read]


def group_of(node: int) -> str:
    """Return the name of the group of a mixture that says what a node reads."""
    return f"node{node}"


def parse(text: str) -> Arch:
    """Return the architecture of ``"relu-0 tanh-1"``."""
    pairs = (node.split("-") for node in text.split())
    return tuple((name, int(source)) for name, source in pairs)


def written(arch: Arch) -> str:
    """Return an architecture as ``"relu-0 tanh-1"``; the inverse of `parse`."""
    return " ".join(f"{name}-{source}" for name, source in arch)
