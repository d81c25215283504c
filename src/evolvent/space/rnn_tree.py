"""Recurrent cells as binary trees with a memory cell (Zoph & Le 2016, 1611.01578, section 3.4).

The leaves of the tree combine input and state, each by weights of its own; every other node combines
the two nodes below it and has no weights. A node is an activation of a sum or of a product. The memory
of the step before is combined with the value of one node (``inject``), and the new memory is what one
node is before its activation (``keep``). The new state is the last node, the root.

An architecture is ``(nodes, inject, at, keep)``: a pair (combination, activation) for every node,
leaves first and then level by level; the pair of the injection; the node that it changes; and the node
that is kept. With 8 leaves that are 8^15 x 8 x 15^2 = 6e16 of them, as in the paper.
What differs: both nodes are any of the tree, and the decisions that say which come last.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from ..errors import InvalidArchitecture, SettingError
from ..types import Arch, Facts
from . import Decision, Move, sample_decisions
from .drawing import Drawing, Sketch
from .known import distinct, owned

COMBINATIONS = ("add", "multiply")
ACTIVATIONS = ("identity", "tanh", "sigmoid", "relu")
#: Cells of 8 leaves: the nodes of the tree, the injection, its node, and the node that is kept.
MEMBERS = {
    # the cell that the paper found (its appendix), with a memory
    "nas": (
        "add-sigmoid add-relu add-sigmoid multiply-relu add-tanh add-sigmoid add-tanh add-sigmoid "
        "multiply-tanh add-tanh multiply-tanh add-sigmoid multiply-identity add-tanh multiply-tanh",
        "add-tanh",
        8,
        12,
    ),
    # gates of forgetting, of input and of output; some are sums of two products, which one would be
    "lstm": (
        "add-identity add-identity add-sigmoid add-tanh add-identity add-identity add-identity "
        "add-identity add-sigmoid multiply-identity add-identity add-identity add-tanh add-sigmoid "
        "multiply-identity",
        "multiply-identity",
        8,
        12,
    ),
}


class RnnTree:
    """Trees of so many leaves.

    Args:
        leaves: 2, 4, 8 or 16. [count]
        known: architectures of one's own, asked before those of the space; one, or a list.

    Raises:
        SettingError: for settings outside these rules, and what is no such architecture.
    """

    family = "rnn_tree"
    kinds = frozenset({"language"})
    gives = frozenset({"canonical", "crossover", "decisions", "drawing", "known"})

    def __init__(self, *, leaves: int = 8, known: Sequence[Any] = ()) -> None:
        if leaves not in (2, 4, 8, 16):
            raise SettingError(f"space.leaves={leaves}: 2, 4, 8 or 16")
        self.leaves = leaves
        self.nodes = 2 * leaves - 1
        self.own = owned(known, self._checked, "space.known")

    def known(self, facts: Facts) -> dict[str, Arch]:
        """Return one's own, of 8 leaves the cell that the paper found and an LSTM, and a plain one.

        ``tanh`` is tanh of the sum of all leaves; one of them also has what it was a step before.
        """
        found = dict(self.own)
        for name, (text, inject, at, keep) in MEMBERS.items():
            if self.leaves == 8:
                found[name] = (parse(text), parse(inject)[0], at, keep)
        nodes = (("add", "identity"),) * (self.nodes - 1)
        found["tanh"] = ((*nodes, ("add", "tanh")), ("add", "identity"), 0, 0)
        return distinct(found, self.canonical)

    def sample(self, rng: random.Random) -> Arch:
        """Return a cell, every decision uniform."""
        return self.decode(sample_decisions(self, rng))

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Change one decision: a combination, an activation, or a node of the memory."""
        choices = list(self.encode(arch))
        place = rng.randrange(len(choices))
        decision = self._decision(place)
        others = [value for value in decision.legal if value != choices[place]]
        choices[place] = rng.choice(others)
        return Move(self.decode(choices), decision.name)

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Take every decision from either parent."""
        pairs = zip(self.encode(first), self.encode(second), strict=True)
        return Move(self.decode([rng.choice(pair) for pair in pairs]), "crossover")

    def decision(self, prefix: Sequence[int]) -> Decision | None:
        """Of all nodes and the injection combination and activation; then its node and the kept one."""
        return self._decision(len(prefix)) if len(prefix) < 2 * self.nodes + 4 else None

    def _decision(self, place: int) -> Decision:
        behind = place - 2 * (self.nodes + 1)
        if behind >= 0:
            every = tuple(range(self.nodes))
            return Decision(("inject", "keep")[behind], "pointer", self.nodes, every)
        if place % 2:
            return Decision("activation", "choice", len(ACTIVATIONS), (0, 1, 2, 3))
        return Decision("combination", "choice", len(COMBINATIONS), (0, 1))

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """Return combination and activation of all nodes and of the injection, and the two nodes."""
        nodes, inject, at, keep = arch
        pairs = ((COMBINATIONS.index(a), ACTIVATIONS.index(b)) for a, b in (*nodes, inject))
        return (*(number for pair in pairs for number in pair), at, keep)

    def decode(self, choices: Sequence[int]) -> Arch:
        """Return the cell of a complete sequence of choices."""
        *numbers, at, keep = choices
        pairs = [
            (COMBINATIONS[a], ACTIVATIONS[b])
            for a, b in zip(numbers[::2], numbers[1::2], strict=True)
        ]
        return tuple(pairs[:-1]), pairs[-1], at, keep

    def equivalents(self, choices: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """Return the same cell, with what is below some nodes swapped."""
        nodes, inject, at, keep = self.decode(choices)
        order = [self.nodes - 1]  # from the root down: what stands at each place from now on
        for node in order:
            if node >= self.leaves:
                below = [*below_of(node, self.leaves)]
                rng.shuffle(below)
                order += below[::-1]
        order.reverse()
        places = {node: place for place, node in enumerate(order)}
        return self.encode((tuple(nodes[n] for n in order), inject, places[at], places[keep]))

    def canonical(self, arch: Arch) -> Any:
        """Return the tree with what is below a node in a fixed order: sums and products have none."""
        nodes, inject, at, keep = arch

        def tree(node: int) -> tuple[Any, ...]:
            own = (*nodes[node], inject if node == at else (), node == keep)
            if node < self.leaves:
                return own
            return (*own, *sorted(tree(n) for n in below_of(node, self.leaves)))

        return tree(self.nodes - 1)

    def drawing(self, arch: Arch) -> Drawing:
        """Return the tree, input, state and memory first."""
        nodes, (combination, activation), at, keep = arch
        sketch = Sketch()
        for name in ("input", "state", "memory"):
            sketch.node(name, name, "input")
        for node, pair in enumerate(nodes):
            sketch.node(f"{node}", " ".join(pair), "join" if node >= self.leaves else "activation")
        sketch.node("inject", f"{combination} {activation}", "join")
        sketch.node("kept", "new memory", "output")
        sketch.node("output", "new state", "output")
        for node in range(self.nodes):
            for name in ("input", "state") if node < self.leaves else ():
                sketch.edge(name, f"{node}")
            for below in below_of(node, self.leaves) if node >= self.leaves else ():
                sketch.edge("inject" if below == at else f"{below}", f"{node}")
        sketch.edge("memory", "inject")
        sketch.edge(f"{at}", "inject")
        sketch.edge(f"{keep}", "kept", "before its activation")
        sketch.edge("inject" if at == self.nodes - 1 else f"{self.nodes - 1}", "output")
        return sketch.done()

    def _checked(self, arch: Arch) -> Arch:
        """Return `arch` if it is a cell of this space; InvalidArchitecture if it is not."""
        if not isinstance(arch, tuple) or len(arch) != 4 or not isinstance(arch[0], tuple):
            raise InvalidArchitecture(f"{arch!r} is no cell (nodes, inject, at, keep)")
        nodes, inject, at, keep = arch
        pairs = {(a, b) for a in COMBINATIONS for b in ACTIVATIONS}
        if len(nodes) != self.nodes or any(each not in pairs for each in (*nodes, inject)):
            raise InvalidArchitecture(
                f"{arch!r}: a tree of {self.leaves} leaves has {self.nodes} nodes; each, and the "
                f"injection, is one of {', '.join(COMBINATIONS)} and one of {', '.join(ACTIVATIONS)}"
            )
        if any(type(node) is not int or not 0 <= node < self.nodes for node in (at, keep)):
            raise InvalidArchitecture(
                f"{arch!r}: {at!r} and {keep!r} are not both nodes of the tree"
            )
        return arch


def below_of(node: int, leaves: int) -> tuple[int, int]:
    """Return the two nodes that a node combines, which is no leaf."""
    return 2 * (node - leaves), 2 * (node - leaves) + 1


def parse(text: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of ``"add-tanh multiply-relu"``."""
    pairs = (pair.split("-") for pair in text.split())
    return tuple((combination, activation) for combination, activation in pairs)


def written(arch: Arch) -> str:
    """Return an architecture as the text that `network.language.TreeCell` reads."""
    nodes, inject, at, keep = arch
    pairs = " ".join(f"{a}-{b}" for a, b in nodes)
    return f"{pairs} inject {'-'.join(inject)} {at} keep {keep}"
