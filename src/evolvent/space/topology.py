"""Topologies: networks as lists of connection genes that carry their weights (NEAT).

Source: Stanley & Miikkulainen 2002, "Evolving Neural Networks through Augmenting Topologies",
sections 3.1 and 3.2. An architecture is a tuple of connections ``(source, target, weight, enabled)``
in the order in which they were added. Sources are the inputs ``x0, x1, ...``, the constant ``bias``,
and every target; targets are the outputs ``y0, y1, ...`` and the hidden nodes. Hidden nodes need no
list of their own: the connections name them. All apply the steep sigmoid.

A gene is named by the event that made it: a connection by its two ends, a node by the connection that
it split. So equal events have equal names in every lineage and every generation, and genomes align
without a global counter. The name of a node begins with its generation of splits: ``n2_...`` split a
connection whose younger end was an ``n1_...``.

What differs: in the paper equal events share an innovation number within one generation only, here they
always do. The paper's excess genes are those after the last number of the other genome; here, those of
a later generation of splits than any gene of the other (with the paper's c1 = c2 the distance is equal
either way). Of two equally fit parents the one with fewer genes gives the structure, as in the paper's
program; its text decides gene by gene at random, which leaves nodes without inputs or outputs. Where
the paper is silent, that program is followed too: weights are perturbed by at most 2.5 and stay within
8; a child gets a new node, or else a new connection, or else other weights.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ..errors import SettingError
from ..types import Arch, Facts
from . import Move
from .drawing import Drawing, Sketch

Gene = tuple[str, str, float, bool]  # source, target, weight, enabled
BIAS = "bias"
DECIMALS = 5  # of a weight: short in the log, and little more than a delivered network has
_TRIES = 20  # draws of two nodes that may be connected, before another mutation is chosen


class Topology:
    """Feed-forward or recurrent networks that grow, weights included.

    Args:
        input_shape: its last number is the number of inputs; the constant is added. [count]
        outputs: values that a network returns. [count]
        recurrent: whether connections may close cycles; a node then reads the values that its sources
            had one step before.
        mutate_weights: probability that a genome's weights are mutated. [0..1]
        perturb: probability that such a mutation perturbs a weight; otherwise it replaces it. [0..1]
        power: largest change of a perturbed weight, and largest new weight.
        bound: largest absolute weight after a mutation.
        add_node: probability that a connection is split. [0..1]
        add_connection: probability of a new connection; the paper has 0.3 for 1,000 members. [0..1]
        average: probability that a crossover averages the weights that both parents have, instead of
            taking each from either parent; the paper's program has 0.4. [0..1]
        disabled: probability that a gene is disabled in the child, if it is in either parent. [0..1]
        excess: weight c1 of excess genes in the distance.
        disjoint: weight c2 of disjoint genes in the distance.
        weight: weight c3 of the mean difference of weights in the distance.
        small: from this size of the larger genome on, N in the distance is that size; below it, N is
            1. The paper says 20, but then a population of grown genomes is a single species and
            stagnates; infinity is the rule of the paper's program. [count]
        grown: maximum mutations from the minimal architecture to a random sample. [count]
        hidden: hidden nodes of the minimal architecture; the paper has none, and 10 in its ablation
            without growth. [count]

    Raises:
        SettingError: for a probability outside 0..1, or a number that must not be negative.
    """

    family = "topology"
    kinds = frozenset({"control"})
    gives = frozenset({"aligned", "canonical", "crossover", "drawing", "start", "weighted"})

    def __init__(
        self,
        input_shape: tuple[int, ...] = (2,),
        outputs: int = 1,
        *,
        recurrent: bool = False,
        mutate_weights: float = 0.8,
        perturb: float = 0.9,
        power: float = 2.5,
        bound: float = 8.0,
        add_node: float = 0.03,
        add_connection: float = 0.05,
        average: float = 0.0,
        disabled: float = 0.75,
        excess: float = 1.0,
        disjoint: float = 1.0,
        weight: float = 0.4,
        small: float = math.inf,
        grown: int = 20,
        hidden: int = 0,
    ) -> None:
        rates = {
            "mutate_weights": mutate_weights,
            "perturb": perturb,
            "add_node": add_node,
            "add_connection": add_connection,
            "average": average,
            "disabled": disabled,
        }
        for name, value in rates.items():
            if not 0 <= value <= 1:
                raise SettingError(f"{name}={value} must lie in 0..1: it is a probability")
        sizes = {"excess": excess, "disjoint": disjoint, "weight": weight, "grown": grown}
        sizes["hidden"] = hidden
        for name, value in sizes.items():
            if value < 0:
                raise SettingError(f"{name}={value} must not be negative")
        if power <= 0 or bound < power:
            raise SettingError(f"power={power}, bound={bound}: above 0, and not below power")
        self.input_shape, self.recurrent = tuple(input_shape), recurrent
        self.inputs = (*(f"x{place}" for place in range(input_shape[-1])), BIAS)
        self.outputs = tuple(f"y{place}" for place in range(outputs))
        self.mutate_weights, self.perturb = mutate_weights, perturb
        self.power, self.bound = power, bound
        self.add_node, self.add_connection = add_node, add_connection
        self.average, self.disabled = average, disabled
        self.excess, self.disjoint, self.weight, self.grown = excess, disjoint, weight, grown
        self.small, self.hidden = small, hidden

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the inputs and outputs of `task`, recurrent if the task needs it."""
        return cls(task.shape, task.outputs, **({"recurrent": task.recurrent} | settings))

    # -- sample and move ---------------------------------------------------------------------------

    def start(self, rng: random.Random) -> Arch:
        """Return the minimal architecture: every input connected to every output, no hidden node.

        With `hidden` nodes, each of them is connected to every input and every output instead.
        """
        between = [_node(BIAS, self.outputs[0], place + 1) for place in range(self.hidden)]
        layers = [self.inputs, between, self.outputs] if between else [self.inputs, self.outputs]
        return tuple(
            (source, target, round(rng.uniform(-1, 1), DECIMALS), True)
            for sources, targets in itertools.pairwise(layers)
            for target in targets
            for source in sources
        )

    def sample(self, rng: random.Random) -> Arch:
        """Return a minimal architecture after random mutations, most of them structural."""
        arch = self.start(rng)
        for _ in range(rng.randint(0, self.grown)):
            draw = rng.random()
            arch = (
                self._with_node(arch, rng)
                if draw < 0.3
                else self._with_connection(arch, rng)
                if draw < 0.6
                else self._with_weights(arch, rng)
            ) or arch
        return arch

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Split a connection, or else connect two nodes, or else change weights, or else nothing."""
        draw = rng.random()
        if draw < self.add_node and (made := self._with_node(arch, rng)):
            return Move(made, "add-node")
        if self.add_node <= draw < self.add_node + self.add_connection and (
            made := self._with_connection(arch, rng)
        ):
            return Move(made, "add-connection")
        if rng.random() < self.mutate_weights:
            return Move(self._with_weights(arch, rng), "weights")
        return Move(arch, "identity")

    def crossover(
        self, first: Arch, second: Arch, rng: random.Random, *, equal: bool = False
    ) -> Move:
        """Return a child of aligned genes; unmatched genes come from `first`, the fitter.

        Args:
            first: the fitter parent.
            second: the other one.
            rng: makes the choices.
            equal: whether both are equally fit; the one with fewer genes then counts as fitter.
        """
        if equal and len(second) < len(first):
            first, second = second, first
        others = {(gene[0], gene[1]): gene for gene in second}
        means = rng.random() < self.average
        child: list[Gene] = []
        for gene in first:
            other = others.get((gene[0], gene[1]))
            if other is None:
                child.append(gene)
                continue
            if means:
                weight = round((gene[2] + other[2]) / 2, DECIMALS)
            else:
                weight = gene[2] if rng.random() < 0.5 else other[2]
            enabled = gene[3] and other[3]
            if not enabled:  # one draw decides; neither gene's flag is inherited first
                enabled = rng.random() >= self.disabled
            child.append((gene[0], gene[1], weight, enabled))
        return Move(tuple(child), "crossover")

    # -- distances and equality --------------------------------------------------------------------

    def alignment(self, archs: Sequence[Arch]) -> Alignment:
        """Return the paper's distances c1 E / N + c2 D / N + c3 W to `archs`.

        E and D are the numbers of excess and disjoint genes, which only one genome has; N is the number
        of genes of the larger genome (1 if both have fewer than `small`); W is the mean difference of
        the weights that both have.
        """
        return Alignment(self, archs)

    def canonical(self, arch: Arch) -> Arch:
        """Return the enabled genes, sorted by name."""
        return tuple(sorted(gene for gene in arch if gene[3]))

    # -- drawing -----------------------------------------------------------------------------------

    def drawing(self, arch: Arch) -> Drawing:
        """Return inputs, hidden nodes and outputs, and the enabled connections with their weights."""
        sketch = Sketch()
        for name in self.inputs:
            sketch.node(name, name, "input")
        for name in hidden(arch):
            sketch.node(name, f"hidden {name.partition('_')[2][:3]}", "activation")
        for name in self.outputs:
            sketch.node(name, name, "output")
        for source, target, weight, enabled in arch:
            if enabled:
                sketch.edge(source, target, f"{weight:.2f}", "negative" if weight < 0 else "")
        return sketch.done()

    # -- mutations ---------------------------------------------------------------------------------

    def _with_weights(self, arch: Arch, rng: random.Random) -> Arch:
        power, bound, perturb, draw = self.power, self.bound, self.perturb, rng.random
        made = []
        for source, target, weight, enabled in arch:
            change = (2 * draw() - 1) * power
            weight = round(weight + change if draw() < perturb else change, DECIMALS)
            if not -bound <= weight <= bound:
                weight = bound if weight > 0 else -bound
            made.append((source, target, weight, enabled))
        return tuple(made)

    def _with_node(self, arch: Arch, rng: random.Random) -> Arch | None:
        """Split an enabled connection: weight 1 into the new node, the old weight out of it."""
        choices = [at for at, gene in enumerate(arch) if gene[3] and gene[0] != BIAS]
        if not choices:
            return None
        at = rng.choice(choices)
        source, target, weight, _ = arch[at]
        used = {gene[1] for gene in arch}
        times = 1
        while (name := _node(source, target, times)) in used:
            times += 1  # it was split before and enabled again
        return (
            *arch[:at],
            (source, target, weight, False),
            *arch[at + 1 :],
            (source, name, 1.0, True),
            (name, target, weight, True),
        )

    def _with_connection(self, arch: Arch, rng: random.Random) -> Arch | None:
        """Connect two unconnected nodes, with a random weight."""
        targets = [*self.outputs, *hidden(arch)]
        sources = [*self.inputs, *targets]
        for _ in range(_TRIES):
            source, target = rng.choice(sources), rng.choice(targets)
            if self._may_connect(arch, source, target):
                weight = round(rng.uniform(-self.power, self.power), DECIMALS)
                return (*arch, (source, target, weight, True))
        return None

    def _may_connect(self, arch: Sequence[Gene], source: str, target: str) -> bool:
        """Whether the connection is new and, in a feed-forward network, closes no cycle.

        Disabled genes count: a child may enable them again.
        """
        if any(gene[0] == source and gene[1] == target for gene in arch):
            return False
        if self.recurrent:
            return True
        reached, fresh = {target}, {target}
        while fresh:
            fresh = {gene[1] for gene in arch if gene[0] in fresh} - reached
            reached |= fresh
        return source not in reached


class Alignment:
    """Distances to M genomes, as matrices with a column per gene, so that all are compared at once.

    Args:
        space: gives the coefficients.
        archs: M genomes.
    """

    def __init__(self, space: Topology, archs: Sequence[Arch]) -> None:
        self.space = space
        self.columns: dict[tuple[str, str], int] = {}
        genes = [
            (row, self.columns.setdefault((source, target), len(self.columns)), weight)
            for row, arch in enumerate(archs)
            for source, target, weight, _ in arch
        ]
        rows, columns, weights = zip(*genes, strict=True) if genes else ((), (), ())
        self.weights = np.zeros((len(archs), len(self.columns)))
        self.has = np.zeros_like(self.weights)
        self.weights[rows, columns], self.has[rows, columns] = weights, 1.0
        self.counts = self.has.sum(axis=1)
        self.ages = np.array([_generation(ends) for ends in self.columns])
        self.last = (self.has * self.ages).max(axis=1, initial=0)

    def __call__(self, arch: Arch, which: np.ndarray) -> np.ndarray:
        """Return the distances of `arch` to the genomes at the places `which`. [len(which)]"""
        space, counts = self.space, self.counts[which]
        known = [(self.columns[gene[:2]], gene[2]) for gene in arch if gene[:2] in self.columns]
        mine = np.array([weight for _, weight in known])
        at = np.ix_(which, np.array([column for column, _ in known], int))
        both, apart = self.has[at], np.abs(self.weights[at] - mine)
        common = both.sum(axis=1)
        larger = np.maximum(counts, len(arch))
        scale = np.where(larger < space.small, 1.0, larger)
        total: np.ndarray = space.disjoint * (len(arch) + counts - 2 * common) / scale
        if space.excess != space.disjoint:
            total += (space.excess - space.disjoint) * self._excess(arch, which) / scale
        total += space.weight * (apart * both).sum(axis=1) / np.maximum(common, 1.0)
        return total

    def _excess(self, arch: Arch, which: np.ndarray) -> np.ndarray:
        """Return the numbers of excess genes: of a later generation of splits than the other's last."""
        ages = np.array([_generation(gene[:2]) for gene in arch])
        mine = (ages > self.last[which][:, None]).sum(axis=1)
        theirs = self.has[which] @ (self.ages > ages.max(initial=0))
        excess: np.ndarray = mine + theirs
        return excess


def hidden(arch: Arch) -> list[str]:
    """Return the names of the hidden nodes, in the order in which they arose."""
    return list(dict.fromkeys(gene[1] for gene in arch if gene[1][0] == "n"))


def _node(source: str, target: str, times: int) -> str:
    """Return the name of the node that splits a connection for the `times`-th time."""
    digest = hashlib.blake2b(f"{source}>{target}>{times}".encode(), digest_size=5).hexdigest()
    return f"n{1 + _generation((source, target))}_{digest}"


def _generation(ends: Sequence[str]) -> int:
    """Return the generation of splits of a connection's younger end; 0 if no end is hidden."""
    return max(int(end[1 : end.index("_")]) if end[0] == "n" else 0 for end in ends)
