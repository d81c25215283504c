"""The space of NAS-Bench-201: one cell of 4 nodes, 6 edges, 5 operations; 15,625 architectures.

An architecture is the tuple of its six operations in the official order of edges: 0>1, 0>2, 1>2, 0>3,
1>3, 2>3. Node = sum of its incoming edges; node 3 is the output.

Source: Dong & Yang 2020 (2001.00326); the unique form follows the benchmark's own rule (a skip
connection disappears, an operation on a zero is a zero, sums are unordered), which leaves 6,466
distinct cells.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InvalidArchitecture
from ..types import Arch, Facts
from . import Decision, Group, Move
from .drawing import Drawing, Sketch
from .known import distinct, owned

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
#: Cells by which the space is known: the best of its table by mean test accuracy after 200 epochs on
#: CIFAR-10, CIFAR-100 and ImageNet16-120, the one of convolutions alone, and ResNet's basic block.
MEMBERS = {
    "best-cifar10": "333132",
    "best-cifar100": "333133",
    "all-conv3x3": "333333",
    "resnet": "303101",
    "best-imagenet16": "223133",
}


class Cell201:
    """All assignments of the five operations to the six edges.

    Args:
        known: architectures of one's own, asked before those of the space; one, or a list. Each is
            six operations.

    Raises:
        SettingError: for what is no such architecture.
    """

    family = "cell201"
    gives = frozenset({"canonical", "crossover", "decisions", "drawing", "known", "mixture"})

    def __init__(self, *, known: Sequence[Any] = ()) -> None:
        self.own = owned(known, _checked, "space.known")

    def known(self, facts: Facts) -> dict[str, Arch]:
        """Return one's own architectures, then `MEMBERS`; they are the same for all data."""
        found = {name: parse(text) for name, text in MEMBERS.items()}
        return distinct(self.own | found, self.canonical)

    def sample(self, rng: random.Random) -> Arch:
        """Return a cell, uniform over all 15,625."""
        return tuple(rng.choice(OPERATIONS) for _ in EDGES)

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Put another operation on one edge; every edge is equally likely."""
        edge = rng.randrange(len(EDGES))
        others = [name for name in OPERATIONS if name != arch[edge]]
        return Move((*arch[:edge], rng.choice(others), *arch[edge + 1 :]), "op")

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Take every edge's operation from either parent."""
        return Move(
            tuple(rng.choice(pair) for pair in zip(first, second, strict=True)), "crossover"
        )

    def decision(self, prefix: Sequence[int]) -> Decision | None:
        """One choice of an operation per edge."""
        if len(prefix) >= len(EDGES):
            return None
        return Decision("operation", "choice", len(OPERATIONS), tuple(range(len(OPERATIONS))))

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """Return the index of every edge's operation: the digits of the benchmark's tables."""
        return tuple(OPERATIONS.index(name) for name in arch)

    def decode(self, choices: Sequence[int]) -> Arch:
        """Return the cell of six choices."""
        return tuple(OPERATIONS[choice] for choice in choices)

    def equivalents(self, choices: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """Return `choices`: reordering them would change the cell."""
        return tuple(choices)

    def groups(self) -> tuple[Group, ...]:
        """Return the one group ``cell``: a row per edge, a column per operation."""
        rows, nodes = zip(*((f"{a}>{b}", f"{b}") for a, b in EDGES), strict=True)
        return (Group("cell", rows, OPERATIONS, nodes),)

    def one_hot(self, arch: Arch) -> dict[str, np.ndarray]:
        """Return the 6 x 5 matrix with a 1 at every edge's operation."""
        return {"cell": np.eye(len(OPERATIONS))[list(self.encode(arch))]}

    def derive(self, weights: Mapping[str, np.ndarray]) -> Arch:
        """Return the strongest operation of every edge; ``none`` may win, as in the benchmark."""
        return self.decode([int(column) for column in np.argmax(weights["cell"], axis=1)])

    def drawing(self, arch: Arch) -> Drawing:
        """Return the four nodes with a box for the operation on every edge that is not ``none``."""
        sketch = Sketch()
        for node in range(4):
            label, kind = {0: ("input", "input"), 3: ("output: add", "output")}.get(
                node, ("add", "join")
            )
            sketch.node(f"{node}", label, kind)
        for (source, target), name in zip(EDGES, arch, strict=True):
            if name != "none":
                edge = sketch.operation(f"{source}>{target}", name.removeprefix("nor_"))
                sketch.edge(f"{source}", edge)
                sketch.edge(edge, f"{target}")
        return sketch.done()

    def canonical(self, arch: Arch) -> str:
        """Return the benchmark's unique form: skips vanish, ``#`` is zero, sums are unordered."""
        nodes = {0: "0"}
        for node in (1, 2, 3):
            incoming = [
                (nodes[source], name)
                for (source, target), name in zip(EDGES, arch, strict=True)
                if target == node
            ]
            nodes[node] = "+".join(sorted(_term(text, name) for text, name in incoming))
        return nodes[3]


def _term(source: str, operation: str) -> str:
    if operation == "none" or source == "#":
        return "#"
    return source if operation == "skip_connect" else f"({source})@{operation}"


def parse(text: str) -> Arch:
    """Return the architecture of six digits (``"301234"``) or of the official string.

    Raises:
        InvalidArchitecture: if `text` is neither.
    """
    if len(text) == len(EDGES) and all(digit in "01234" for digit in text):
        return tuple(OPERATIONS[int(digit)] for digit in text)
    names = tuple(part.split("~")[0] for part in text.replace("+", "").split("|") if part)
    if len(names) != len(EDGES) or any(name not in OPERATIONS for name in names):
        raise InvalidArchitecture(f"{text!r} is not a cell of NAS-Bench-201: six digits 0..4")
    return names


def _checked(arch: Arch) -> Arch:
    """Return `arch` if it is six operations; InvalidArchitecture if it is not."""
    fits = isinstance(arch, tuple) and len(arch) == len(EDGES)
    if not fits or any(name not in OPERATIONS for name in arch):
        raise InvalidArchitecture(
            f"{arch!r} is not a cell of NAS-Bench-201: six of {', '.join(OPERATIONS)}"
        )
    return arch


def digits(arch: Arch) -> str:
    """Return the six digits by which tables list `arch`."""
    return "".join(str(OPERATIONS.index(name)) for name in arch)
