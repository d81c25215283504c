"""Cells: a normal and a reduction cell, stacked into a network (NASNet and its descendants).

A cell is a sequence of nodes. State 0 is the output of the cell before the previous one, state 1 that
of the previous cell, state k + 2 the output of node k. A node reads two earlier states, applies an
operation to each and combines the two. The cell's output is the concatenation of all nodes (DARTS) or
of those that no other node reads (NASNet, AmoebaNet, ENAS, NAO).

An architecture is the tuple of its searched cells: ``(normal, reduction)``, or ``(normal,)`` where the
reduction cell is fixed (GDAS's FRC). A cell is a tuple of nodes, a node
``(state, operation, state, operation, combine)``.

Sources: Zoph et al. 2017 (1707.07012) section 3; Real et al. 2018 (1802.01548) for the mutations; Liu
et al. 2018 (1806.09055) section 2 for the mixture and its derivation; Pham et al. 2018 (1802.03268);
Dong & Yang 2019 (1910.04465) for the fixed reduction cell.
What differs: an operation mutation never draws the current operation (the identity rate belongs to the
strategy), and where NASNet may feed an unused *input* of a cell to its output, we use nodes only.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InvalidArchitecture, SettingError, unknown
from ..types import Arch, Facts
from . import Decision, Group, Move, sample_decisions
from .drawing import Drawing, Sketch
from .known import distinct, owned

#: The operation sets of the papers, and one of plain convolutions for machines without a GPU, where
#: separable convolutions train about ten times slower than plain ones.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "nasnet": (
        "skip_connect",
        "conv_1x3_3x1",
        "conv_1x7_7x1",
        "dil_conv_3x3",
        "avg_pool_3x3",
        "max_pool_3x3",
        "max_pool_5x5",
        "max_pool_7x7",
        "conv_1x1",
        "conv_3x3",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
    ),
    "amoebanet": (
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
        "avg_pool_3x3",
        "max_pool_3x3",
        "dil_conv_3x3",
        "conv_1x7_7x1",
    ),
    "darts": (
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    ),
    "enas": ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect"),
    "nao": (  # the published eleven, without the poolings of 2 x 2, which have no centre at stride 1
        "skip_connect",
        "conv_1x1",
        "conv_3x3",
        "conv_1x3_3x1",
        "conv_1x7_7x1",
        "max_pool_3x3",
        "max_pool_5x5",
        "avg_pool_3x3",
        "avg_pool_5x5",
    ),
    "plain": ("conv_3x3", "conv_1x1", "conv_5x5", "max_pool_3x3", "avg_pool_3x3", "skip_connect"),
}
#: convolutions of hand-made cells, the best known first
PREFERRED = ("conv_3x3", "sep_conv_3x3", "conv_1x3_3x1", "sep_conv_5x5", "conv_1x1")
_SHORT = {
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "sep7": "sep_conv_7x7",
    "dil3": "dil_conv_3x3",
    "max3": "max_pool_3x3",
    "avg3": "avg_pool_3x3",
    "skip": "skip_connect",
    "fac7": "conv_1x7_7x1",
}
#: name -> output of a cell, normal cell, reduction cell; two branches ``operation state`` per node.
#: NASNet-A (1707.07012), AmoebaNet-A (1802.01548), DARTS first and second order (1806.09055).
PUBLISHED = {
    "nasnet-a": (
        "loose",
        "sep5 1 sep3 0, sep5 0 sep3 0, avg3 1 skip 0, avg3 0 avg3 0, sep3 1 skip 1",
        "sep5 1 sep7 0, max3 1 sep7 0, avg3 1 sep5 0, skip 3 avg3 2, sep3 2 max3 1",
    ),
    "amoebanet-a": (
        "loose",
        "avg3 0 max3 1, sep3 0 sep5 2, sep3 0 avg3 3, sep3 1 skip 1, skip 0 avg3 1",
        "avg3 0 sep3 1, max3 0 sep7 2, sep7 0 avg3 1, max3 0 max3 1, fac7 0 sep3 5",
    ),
    "darts-v2": (
        "all",
        "sep3 0 sep3 1, sep3 0 sep3 1, sep3 1 skip 0, skip 0 dil3 2",
        "max3 0 max3 1, skip 2 max3 1, max3 0 skip 2, skip 2 max3 1",
    ),
    "darts-v1": (
        "all",
        "sep3 1 sep3 0, skip 0 sep3 1, skip 0 sep3 1, sep3 0 skip 2",
        "max3 0 max3 1, skip 2 max3 0, max3 0 skip 2, skip 2 avg3 0",
    ),
}
COMBINE = ("add", "concat")
#: value of the setting `reduction` -> the searched cells, in the order of an architecture
SEARCHED = {"searched": ("normal", "reduction"), "fixed": ("normal",)}
INPUTS = 2  # states that a cell starts with

Node = tuple[int, str, int, str, str]
CellArch = tuple[Node, ...]


class Cell:
    """The space of cells: a normal and a reduction cell. The papers' variants are settings.

    Args:
        operations: a name of `OPERATIONS`, or the operations themselves.
        nodes: computed nodes per cell. [count, >= 1]
        combine: ways to join the two branches of a node: ``("add",)`` or, as in NASNet, both of
            `COMBINE`.
        output: ``"loose"`` concatenates the nodes that no node reads, ``"all"`` every node.
        distinct: whether the two branches of a node must read different states (DARTS).
        zero: whether the mixture has a column ``none`` in front (DARTS, GDAS).
        reduction: ``"searched"``, or ``"fixed"``: the fixed reduction cell of GDAS (FRC); only the
            normal cell is then searched.
        known: architectures of one's own, asked before those of the space; one, or a list.

    Raises:
        SettingError: for a value outside these rules.
    """

    family = "cell"

    def __init__(
        self,
        *,
        operations: str | Sequence[str] = "darts",
        nodes: int = 4,
        combine: Sequence[str] = ("add",),
        output: str = "all",
        distinct: bool = False,
        zero: bool = True,
        reduction: str = "searched",
        known: Sequence[Any] = (),
    ) -> None:
        if isinstance(operations, str):
            if operations not in OPERATIONS:
                raise unknown("operation set", operations, OPERATIONS)
            operations = OPERATIONS[operations]
        named = {name for names in OPERATIONS.values() for name in names}
        for name in operations:
            if name not in named:
                raise unknown("operation", name, named)
        if len(set(operations)) < 2 or len(set(operations)) != len(operations):
            raise SettingError(f"operations={list(operations)}: at least two, each once")
        if nodes < 1:
            raise SettingError(f"nodes={nodes}: a cell needs at least 1 node")
        if output not in ("all", "loose"):
            raise unknown("output of a cell", output, ("all", "loose"))
        if not combine or any(name not in COMBINE for name in combine):
            raise unknown("combination", str(list(combine)), COMBINE)
        if reduction not in SEARCHED:
            raise unknown("reduction cell", reduction, SEARCHED)
        self.operations, self.nodes = tuple(operations), nodes
        self.combine, self.output = tuple(combine), output
        self.distinct, self.zero = distinct, zero
        self.cells = SEARCHED[reduction]
        self.gives = frozenset({"canonical", "crossover", "decisions", "drawing", "known"})
        if self.combine == ("add",):
            self.gives |= {"mixture"}
        self.own = owned(known, self.checked, "space.known")

    # -- the moves -------------------------------------------------------------------------------

    def sample(self, rng: random.Random) -> Arch:
        """Return cells, every decision uniform among its legal values."""
        return self.decode(sample_decisions(self, rng))

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Change one hidden state, operation or (if there is a choice) combination of one node."""
        kinds = ["hidden-state", "op"] + (["combine"] if len(self.combine) > 1 else [])
        while True:  # a drawn position may have no alternative: draw the position anew
            kind = rng.choice(kinds)
            cell, index = rng.randrange(len(self.cells)), rng.randrange(self.nodes)
            side = rng.randrange(2)
            node = list(arch[cell][index])
            position = {"hidden-state": 2 * side, "op": 2 * side + 1, "combine": 4}[kind]
            others = self._alternatives(kind, node, index, side)
            if others:
                node[position] = rng.choice(others)
                return Move(_replaced(arch, cell, index, tuple(node)), kind)

    def _alternatives(self, kind: str, node: Sequence[Any], index: int, side: int) -> list[Any]:
        if kind == "op":
            return [name for name in self.operations if name != node[2 * side + 1]]
        if kind == "combine":
            return [name for name in self.combine if name != node[4]]
        taken = {node[0], node[2]} if self.distinct else {node[2 * side]}
        return [state for state in range(index + INPUTS) if state not in taken]

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Take every node from either parent: node k reads states below k + 2 in both."""
        child = tuple(
            tuple(rng.choice(pair) for pair in zip(*cells, strict=True))
            for cells in zip(first, second, strict=True)
        )
        return Move(child, "crossover")

    # -- decisions -------------------------------------------------------------------------------

    @property
    def _per_node(self) -> int:
        return 4 + (len(self.combine) > 1)

    def decision(self, prefix: Sequence[int]) -> Decision | None:
        """Per node: state, state, operation, operation (ENAS's order), then the combination."""
        place, step = divmod(len(prefix), self._per_node)
        if place >= len(self.cells) * self.nodes:
            return None
        if step < 2:
            states = range(place % self.nodes + INPUTS)
            taken = {prefix[-1]} if step == 1 and self.distinct else set()
            legal = tuple(state for state in states if state not in taken)
            return Decision("state", "pointer", self.nodes + INPUTS - 1, legal)
        options = self.operations if step < 4 else self.combine
        name = "operation" if step < 4 else "combine"
        return Decision(name, "choice", len(options), tuple(range(len(options))))

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """Return the choices that make up `arch`."""
        choices: list[int] = []
        for first, op_first, second, op_second, combine in itertools.chain(*arch):
            choices += [first, second]
            choices += [self.operations.index(op_first), self.operations.index(op_second)]
            choices += [self.combine.index(combine)] if len(self.combine) > 1 else []
        return tuple(choices)

    def decode(self, choices: Sequence[int]) -> Arch:
        """Return the cells of a complete sequence of choices."""
        size = self._per_node
        nodes = (self._node(choices[at : at + size]) for at in range(0, len(choices), size))
        return tuple(tuple(itertools.islice(nodes, self.nodes)) for _ in self.cells)

    def _node(self, choices: Sequence[int]) -> Node:
        first, second, op_first, op_second = choices[:4]
        combine = self.combine[choices[4]] if len(choices) > 4 else self.combine[0]
        return first, self.operations[op_first], second, self.operations[op_second], combine

    def equivalents(self, choices: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """Swap the two branches of random nodes, which leaves the network the same."""
        swapped = list(choices)
        for at in range(0, len(choices), self._per_node):
            if rng.random() < 0.5:
                first, second, op_first, op_second = choices[at : at + 4]
                swapped[at : at + 4] = [second, first, op_second, op_first]
        return tuple(swapped)

    # -- mixture ---------------------------------------------------------------------------------

    @property
    def _columns(self) -> tuple[str, ...]:
        return (("none",) if self.zero else ()) + self.operations

    def groups(self) -> tuple[Group, ...]:
        """Return a group per searched cell: a row per pair of states, a column per operation."""
        rows = tuple(
            f"{state}>{node + INPUTS}"
            for node in range(self.nodes)
            for state in range(node + INPUTS)
        )
        nodes = tuple(row.partition(">")[2] for row in rows)
        return tuple(Group(name, rows, self._columns, nodes) for name in self.cells)

    def one_hot(self, arch: Arch) -> dict[str, np.ndarray]:
        """Return per group how often each operation stands on each edge: 0, 1 or 2."""
        weights = {}
        for group, cell in zip(self.groups(), arch, strict=True):
            rows = np.zeros((len(group.rows), len(group.columns)))
            for index, (first, op_first, second, op_second, _) in enumerate(cell):
                for state, operation in ((first, op_first), (second, op_second)):
                    rows[_row(index, state), group.columns.index(operation)] += 1
            weights[group.name] = rows
        return weights

    def derive(self, weights: Mapping[str, np.ndarray]) -> Arch:
        """Keep the two strongest branches of every node (DARTS section 2.4).

        ``none`` is never chosen, though it takes its share of a softmax. With `distinct` the two come
        from different states; otherwise the two strongest (state, operation) entries are taken, and
        one at least twice as strong as the next is taken for both branches.
        """
        return tuple(
            tuple(self._strongest(weights[group.name], index) for index in range(self.nodes))
            for group in self.groups()
        )

    def _strongest(self, rows: np.ndarray, index: int) -> Node:
        start = int(self.zero)
        entries = [
            (float(rows[_row(index, state), start + column]), state, operation)
            for state in range(index + INPUTS)
            for column, operation in enumerate(self.operations)
        ]
        entries.sort(key=lambda entry: -entry[0])  # stable: ties go to the first listed
        best = entries[0]
        if self.distinct:
            other = next(entry for entry in entries if entry[1] != best[1])
        else:
            other = best if best[0] >= 2 * entries[1][0] else entries[1]
        first, second = sorted((best, other), key=lambda entry: entry[1])
        return first[1], first[2], second[1], second[2], "add"

    # -- known members ---------------------------------------------------------------------------

    def checked(self, arch: Arch) -> Arch:
        """Return `arch` if it is one of the space.

        Raises:
            InvalidArchitecture: saying what it lacks.
        """
        cells = arch if isinstance(arch, tuple) else ()
        if len(cells) != len(self.cells) or any(not isinstance(c, tuple) for c in cells):
            raise InvalidArchitecture(f"{arch!r} is not a tuple of the cells {self.cells}")
        for name, cell in zip(self.cells, cells, strict=True):
            if len(cell) != self.nodes:
                raise InvalidArchitecture(
                    f"the {name} cell has {len(cell)} nodes, not {self.nodes}"
                )
            for index, node in enumerate(cell):
                self._check_node(f"node {index} of the {name} cell", node, range(index + INPUTS))
        return arch

    def _check_node(self, what: str, node: Any, states: range) -> None:
        if not isinstance(node, tuple) or len(node) != 5:
            raise InvalidArchitecture(
                f"{what}, {node!r}, is not (state, operation, state, operation, combine)"
            )
        for values, known in (
            (node[0:4:2], states),
            (node[1:4:2], self.operations),
            (node[4:], self.combine),
        ):
            for value in values:
                if value not in known:
                    raise InvalidArchitecture(
                        f"{what}: {value!r} is none of {', '.join(map(str, known))}"
                    )
        if self.distinct and node[0] == node[2]:
            raise InvalidArchitecture(f"{what} reads state {node[0]} twice")

    def known(self, facts: Facts) -> dict[str, Arch]:
        """Return one's own architectures, published cells of this dialect, and two made by hand.

        ``convolutions`` has two convolutions in every node, ``residual`` a convolution and a skip.
        They are the same for all data.
        """
        found = {}
        for name, (output, normal, reduction) in PUBLISHED.items():
            arch = tuple(_written(text) for text in (normal, reduction)[: len(self.cells)])
            try:
                if output == self.output:
                    found[name] = self.checked(arch)
            except InvalidArchitecture:
                continue  # of another dialect
        conv = next((name for name in PREFERRED if name in self.operations), self.operations[0])
        skip = "skip_connect" if "skip_connect" in self.operations else self.operations[-1]
        for name, second in (("convolutions", conv), ("residual", skip)):
            cell = tuple(
                (1, conv, 0, second, "add") if index == 0 else (index + 1, conv, 1, second, "add")
                for index in range(self.nodes)
            )
            cell = tuple((*node[:4], self.combine[0]) for node in cell)
            found[name] = (cell,) * len(self.cells)
        return distinct(self.own | found, self.canonical)

    # -- drawing ---------------------------------------------------------------------------------

    def drawing(self, arch: Arch) -> Drawing:
        """Return one picture per cell: operations as boxes between the states they read and make."""
        sketch = Sketch()
        for name, cell in zip(self.cells, arch, strict=True):
            group = f"{name} cell"
            sketch.node(f"{name}/0", "cell before", "input", group)
            sketch.node(f"{name}/1", "previous cell", "input", group)
            for state, (first, op_first, second, op_second, combine) in enumerate(cell, INPUTS):
                node = sketch.node(f"{name}/{state}", combine, "join", group)
                for side, source, op in (("a", first, op_first), ("b", second, op_second)):
                    branch = sketch.operation(f"{node}/{side}", op, group)
                    sketch.edge(f"{name}/{source}", branch)
                    sketch.edge(branch, node)
            out = sketch.node(f"{name}/out", "output: concat", "output", group)
            states = range(INPUTS, len(cell) + INPUTS)
            for state in loose_ends(cell) if self.output == "loose" else states:
                sketch.edge(f"{name}/{state}", out)
        return sketch.done()

    # -- equal networks --------------------------------------------------------------------------

    def canonical(self, arch: Arch) -> Arch:
        """Return the same architecture for all that differ only in the order of branches or nodes."""
        return tuple(_canonical_cell(cell) for cell in arch)


def _written(text: str) -> CellArch:
    """Return the cell that a text of `PUBLISHED` describes."""
    nodes = []
    for node in text.split(", "):
        first, one, second, other = node.split()
        nodes.append((int(one), _SHORT[first], int(other), _SHORT[second], "add"))
    return tuple(nodes)


def loose_ends(cell: CellArch) -> tuple[int, ...]:
    """Return the states of the nodes of `cell` that no node reads, ascending."""
    read = {state for node in cell for state in (node[0], node[2])}
    return tuple(s for s in range(INPUTS, len(cell) + INPUTS) if s not in read)


def _row(index: int, state: int) -> int:
    """Return the row of the edge from `state` into node `index`: node k has k + 2 rows."""
    return sum(range(INPUTS, index + INPUTS)) + state


def _replaced(arch: Arch, cell: int, index: int, node: tuple[Any, ...]) -> Arch:
    cells = [list(nodes) for nodes in arch]
    cells[cell][index] = node
    return tuple(tuple(nodes) for nodes in cells)


def _canonical_cell(cell: CellArch) -> CellArch:
    """Return the smallest relabelling among those that sort nodes by depth and ancestry.

    Nodes of equal ancestry (same operations on equal ancestors) may still be wired differently
    further on, so every order among them is tried; there are few.
    """
    ancestry: list[tuple[int, str]] = [(0, "0"), (0, "1")]
    for first, op_first, second, op_second, combine in cell:
        branches = sorted([f"{op_first}{ancestry[first]}", f"{op_second}{ancestry[second]}"])
        depth = 1 + max(ancestry[first][0], ancestry[second][0])
        ancestry.append((depth, f"{combine}{branches}"))
    order = sorted(range(INPUTS, len(ancestry)), key=lambda state: ancestry[state])
    ties = [list(same) for _, same in itertools.groupby(order, key=lambda s: ancestry[s])]
    orders = itertools.product(*(itertools.permutations(same) for same in ties))
    return min(_relabelled(cell, tuple(itertools.chain(*chosen))) for chosen in orders)


def _relabelled(cell: CellArch, order: tuple[int, ...]) -> CellArch:
    label = {0: 0, 1: 1} | {state: place + INPUTS for place, state in enumerate(order)}
    nodes = []
    for state in order:
        first, op_first, second, op_second, combine = cell[state - INPUTS]
        branches = sorted([(label[first], op_first), (label[second], op_second)])
        nodes.append((*branches[0], *branches[1], combine))
    return tuple(nodes)
