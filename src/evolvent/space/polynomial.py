"""Feed-forward networks of quadratic polynomials of two inputs each, which grow node by node.

Source: Tenorio & Lee, "Self-organizing neural networks for the identification problem" (NIPS 1988),
after Ivakhnenko's group method of data handling (1971): a high polynomial of many inputs is composed of
low ones of two. A node reads two inputs or earlier nodes, and is one polynomial of a small library; its
coefficients are found by least squares, not by the search.

An architecture is a tuple of nodes ``(name, first, second, function)``, each after those it reads; the
last is the output. Sources are the inputs ``x0, x1, ...`` and the names of nodes. Nodes that lead
nowhere are left out, as the paper does with those outside the final network.

What differs: the paper only ever adds nodes, and what is worth keeping is found at the end; here nodes
are added, inserted before others and removed again, and change what they read and which polynomial
they are, so that a walk can go back. The library is ours: the terms of a quadratic, in four stages.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Self

from ..errors import InvalidArchitecture, SettingError
from ..types import Arch, Facts
from . import Move
from .drawing import Drawing, Sketch
from .genes import derived, digest

#: polynomial -> its terms in the two sources a and b; 1 is the constant
FUNCTIONS = {
    "linear": "1 a b",
    "product": "1 a b ab",
    "squares": "1 a b aa bb",
    "quadratic": "1 a b ab aa bb",
}
_TRIES = 20  # mutations that may come back to the same network, before it counts as the only one

Node = tuple[str, str, str, str]  # name, first, second, function


class Polynomial:
    """Networks of polynomial nodes.

    Args:
        input_shape: (F,).
        outputs: every node has one value for each, with coefficients of its own. [count]
        nodes: most of any network. [count, >= 1]
        functions: polynomials to choose from, out of `FUNCTIONS`.
        grown: most mutations from the smallest network to a random sample. [count]

    Raises:
        SettingError: for a setting outside its rule.
    """

    family = "polynomial"
    kinds = frozenset({"numbers"})
    gives = frozenset({"canonical", "drawing", "start"})

    def __init__(
        self,
        input_shape: tuple[int, ...] = (4,),
        outputs: int = 1,
        *,
        nodes: int = 24,
        functions: Sequence[str] = tuple(FUNCTIONS),
        grown: int = 12,
    ) -> None:
        functions = (functions,) if isinstance(functions, str) else tuple(functions)
        if len(input_shape) != 1:
            raise SettingError(f"inputs of shape {tuple(input_shape)}: polynomial is for (F,)")
        if nodes < 1 or grown < 0:
            raise SettingError(f"nodes={nodes}, grown={grown}: at least 1 node, and not below 0")
        if not functions or set(functions) - set(FUNCTIONS):
            raise SettingError(f"functions={list(functions)}: some of {', '.join(FUNCTIONS)}")
        self.input_shape, self.outputs = tuple(input_shape), outputs
        self.nodes, self.functions, self.grown = nodes, functions, grown
        self.inputs = tuple(f"x{place}" for place in range(input_shape[0]))

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the inputs and outputs of `task`."""
        return cls(task.shape, task.outputs, **settings)

    # -- sample and move ---------------------------------------------------------------------------

    def start(self, rng: random.Random) -> Arch:
        """Return a network of one node, which reads two random inputs."""
        first = rng.choice(self.inputs)
        second = self._other(first, self.inputs, rng)
        return (self._node((), first, second, rng),)

    def sample(self, rng: random.Random) -> Arch:
        """Return the smallest network after a random number of mutations."""
        arch = self.start(rng)
        for _ in range(rng.randint(0, self.grown)):
            arch = self.mutate(arch, rng).arch
        return arch

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Add, insert or remove a node, or change what one reads or which polynomial it is."""
        moves = {
            "add-node": self._with_node,
            "insert-node": self._with_inserted,
            "remove-node": self._without_node,
            "source": self._with_source,
            "function": self._with_function,
        }
        own = self.canonical(arch)
        for _ in range(_TRIES):
            operator = rng.choice(list(moves))
            made = moves[operator](arch, rng)
            if made is not None and self.canonical(made) != own:
                return Move(made, operator)
        return Move(arch, "identity")

    def canonical(self, arch: Arch) -> str:
        """Return a hash of the output, for which names and the order of sources do not matter."""
        known = {name: name for name in self.inputs}
        for name, first, second, function in arch:
            known[name] = digest(function, *sorted((known[first], known[second])))
        return known[arch[-1][0]]

    def checked(self, arch: Arch) -> tuple[Node, ...]:
        """Return the nodes of an architecture.

        Raises:
            InvalidArchitecture: for one without nodes, and a node that reads what is not there yet.
        """
        known = set(self.inputs)
        for name, first, second, function in arch:
            if function not in FUNCTIONS or not {first, second} <= known or name in known:
                raise InvalidArchitecture(
                    f"node {name!r} ({function!r} of {first!r} and {second!r}): a new name, two "
                    f"inputs or earlier nodes, and one of {', '.join(FUNCTIONS)}"
                )
            known.add(name)
        if not arch:
            raise InvalidArchitecture("a network has at least one node")
        return tuple(arch)

    def drawing(self, arch: Arch) -> Drawing:
        """Return the inputs that are read, and the nodes."""
        read = {source for _, *sources, _ in arch for source in sources}
        sketch = Sketch()
        for name in self.inputs:
            if name in read:
                sketch.node(name, name, "input")
        for name, first, second, function in arch:
            sketch.node(name, function, "output" if name == arch[-1][0] else "dense")
            for source in dict.fromkeys((first, second)):
                sketch.edge(source, name)
        return sketch.done()

    # -- mutations: an architecture, or None where there is none -------------------------------------

    def _with_node(self, arch: Arch, rng: random.Random) -> Arch | None:
        """Let a new node read the output and something else; it is the output from now on."""
        if len(arch) >= self.nodes:
            return None
        output = arch[-1][0]
        other = self._other(output, self._sources(arch), rng)
        return (*arch, self._node(arch, output, other, rng))

    def _with_inserted(self, arch: Arch, rng: random.Random) -> Arch | None:
        """Put a new node between a node and one of its sources; it reads something else, too."""
        if len(arch) >= self.nodes:
            return None
        at, side = rng.randrange(len(arch)), rng.randrange(2)
        source = arch[at][1 + side]
        other = self._other(source, self._sources(arch[:at]), rng)
        node = self._node(arch, source, other, rng)
        return (*arch[:at], node, _reading(arch[at], side, node[0]), *arch[at + 1 :])

    def _without_node(self, arch: Arch, rng: random.Random) -> Arch | None:
        """Remove a node; those that read it read one of its sources instead."""
        if len(arch) == 1:
            return None
        at = rng.randrange(len(arch))
        gone, *sources, _ = arch[at]
        rng.shuffle(sources)
        made: list[Node] = list(arch[:at])
        for node in arch[at + 1 :]:
            for side in (0, 1):
                if node[1 + side] == gone:
                    beside = node[2 - side]
                    new = next((each for each in sources if each != beside), sources[0])
                    node = _reading(node, side, new)
            made.append(node)
        return _leading(made)

    def _with_source(self, arch: Arch, rng: random.Random) -> Arch | None:
        """Let one side of a node read something else."""
        at, side = rng.randrange(len(arch)), rng.randrange(2)
        sources = [each for each in self._sources(arch[:at]) if each not in arch[at][1:3]]
        if not sources:
            return None
        return _leading(
            (*arch[:at], _reading(arch[at], side, rng.choice(sources)), *arch[at + 1 :])
        )

    def _with_function(self, arch: Arch, rng: random.Random) -> Arch | None:
        """Make a node another polynomial."""
        at = rng.randrange(len(arch))
        others = [each for each in self.functions if each != arch[at][3]]
        if not others:
            return None
        return (*arch[:at], (*arch[at][:3], rng.choice(others)), *arch[at + 1 :])

    def _sources(self, arch: Sequence[Node]) -> list[str]:
        return [*self.inputs, *(node[0] for node in arch)]

    def _other(self, source: str, sources: Sequence[str], rng: random.Random) -> str:
        """Return another one of `sources`, or the same where there is no other."""
        return rng.choice([each for each in sources if each != source] or [source])

    def _node(self, arch: Sequence[Node], first: str, second: str, rng: random.Random) -> Node:
        function = rng.choice(self.functions)
        used = {node[0] for node in arch}
        return (derived(f"{first} {second} {function}", used), first, second, function)


def _reading(node: Node, side: int, source: str) -> Node:
    """Return a node with another first (0) or second (1) source."""
    name, first, second, function = node
    return (name, source, second, function) if side == 0 else (name, first, source, function)


def _leading(nodes: Sequence[Node]) -> Arch:
    """Return the nodes that lead to the last one."""
    read, kept = {nodes[-1][0]}, []
    for node in reversed(nodes):
        if node[0] in read:
            kept.append(node)
            read |= {node[1], node[2]}
    return tuple(reversed(kept))
