"""Parts that grow: modules, small graphs of layers, and blueprints, graphs of modules.

Source: Miikkulainen et al. 2017, "Evolving Deep Neural Networks" (1703.00548), section 3: both kinds
evolve as in NEAT, with tables of values in place of weights. A part is ``(nodes, edges)`` as in `dag`;
a blueprint adds its training settings as a third item:

========= =================================================== ==================================
module    ``(name, filters, kernel, dropout, scale, pool)``   a node is a layer: a convolution
blueprint ``(name, kind)``, and ``(learning rate, momentum)`` a node is a module of that kind
========= =================================================== ==================================

A `kind` is a number. The strategy that keeps the modules decides which kind each one is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import SettingError
from ..types import Arch
from . import Move
from .dag import Dag, Node, cross, distance, join, network, single, split, toggle

_TRIES = 40  # draws of a mutation that can be applied, before values are altered
SHARE_SPARE = 2  # maximum nodes of a part, as a multiple of its maximum active nodes
STRAY = 1 / 8  # standard deviation of a changed number, as a share of its range
STEP = 8  # filters come in multiples of this


class Layer(NamedTuple):
    """The values of a layer.

    Args:
        filters: of its convolution. [count]
        kernel: its size. [pixels]
        dropout: share of the values that are dropped in training. [0..1)
        scale: of the initial weights, relative to those of He et al. 2015.
        pool: whether a 2 x 2 pooling follows the convolution.
    """

    filters: int
    kernel: int
    dropout: float
    scale: float
    pool: bool


@dataclass(frozen=True)
class Ranges:
    """The minimum and maximum of every evolved value, and the kernel sizes to choose from."""

    filters: tuple[int, int] = (32, 256)
    kernels: tuple[int, ...] = (1, 3)
    dropouts: tuple[float, float] = (0.0, 0.7)
    scales: tuple[float, float] = (0.0, 2.0)
    lrs: tuple[float, float] = (1e-4, 0.1)
    momenta: tuple[float, float] = (0.68, 0.99)

    def __post_init__(self) -> None:
        for name, (low, high), least, most in (
            ("filters", self.filters, STEP, math.inf),
            ("dropouts", self.dropouts, 0.0, 0.99),
            ("scales", self.scales, 0.0, math.inf),
            ("lrs", self.lrs, 1e-9, math.inf),
            ("momenta", self.momenta, 0.0, 0.999),
        ):
            if not least <= low <= high <= most:
                raise SettingError(
                    f"{name}={(low, high)}: smaller first, from {least:g} to {most:g}"
                )
        if any(size % STEP for size in self.filters):
            raise SettingError(f"filters={self.filters}: multiples of {STEP}")
        if not self.kernels or any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise SettingError(f"kernels={self.kernels}: odd edges, at least one")


@dataclass(frozen=True)
class Growth:
    """Settings of the mutations and of crossover; the rates are relative.

    Args:
        add_node: rate of splitting an edge by a new node.
        add_edge: rate of joining two nodes.
        toggle_edge: rate of enabling or disabling an edge.
        alter: rate of changing values of a node, or training settings.
        disabled: probability that a child's edge is disabled if it is in either parent. [0..1]
        grown: maximum mutations from a minimal part to a random sample. [count]
    """

    add_node: float = 2.0
    add_edge: float = 1.0
    toggle_edge: float = 1.0
    alter: float = 4.0
    disabled: float = 0.75
    grown: int = 10

    def __post_init__(self) -> None:
        if min(self.rates) < 0 or not any(self.rates):
            raise SettingError(f"rates {self.rates}: at least 0, and one of them above")
        if not 0 <= self.disabled <= 1 or self.grown < 0:
            raise SettingError(
                f"disabled={self.disabled}, grown={self.grown}: a probability, and a count >= 0"
            )

    @property
    def rates(self) -> tuple[float, ...]:
        """The rates of the mutations, in the order of the operators."""
        return (self.add_node, self.add_edge, self.toggle_edge, self.alter)


class Grown:
    """Operators that modules and blueprints share; subclasses define the values of the nodes."""

    def __init__(self, ranges: Ranges, growth: Growth, most: int) -> None:
        self.ranges, self.growth, self.most = ranges, growth, most

    # -- defined by subclasses -------------------------------------------------------------------

    def drawn(self, rng: random.Random) -> tuple[Any, ...]:
        """Return the values of a random node."""
        raise NotImplementedError

    def more(self, rng: random.Random) -> tuple[Any, ...]:
        """Return the further items of a random part, after its nodes and edges."""
        raise NotImplementedError

    def altered(self, part: Arch, rng: random.Random) -> Move:
        """Return the part with some value changed."""
        raise NotImplementedError

    def apart(self, first: Node, second: Node) -> float:
        """Return the difference of two nodes of one name. [0..1]"""
        raise NotImplementedError

    # -- operators -------------------------------------------------------------------------------

    def start(self, rng: random.Random) -> Arch:
        """Return a minimal part, of one random node."""
        return (*single(self.drawn(rng)), *self.more(rng))

    def sample(self, rng: random.Random) -> Arch:
        """Return a minimal part after a random number of random mutations."""
        part = self.start(rng)
        for _ in range(rng.randint(0, self.growth.grown)):
            part = self.mutate(part, rng).arch
        return part

    def mutate(self, part: Arch, rng: random.Random) -> Move:
        """Apply one of the mutations, drawn by their rates among those that can be applied."""
        graph, rest = Dag(*part[:2]), part[2:]
        operators: Mapping[str, Callable[[], Dag | None]] = {
            "add-node": lambda: split(graph, self.drawn(rng), rng),
            "add-edge": lambda: join(graph, rng),
            "toggle-edge": lambda: toggle(graph, rng),
        }
        for _ in range(_TRIES):
            (operator,) = rng.choices((*operators, "alter"), self.growth.rates)
            if operator == "alter":
                break
            made = operators[operator]()
            if made is not None and not self.problem(made):
                return Move((*made, *rest), operator)
        return self.altered(part, rng)

    def crossover(
        self, first: Arch, second: Arch, rng: random.Random, *, equal: bool = False
    ) -> Move:
        """Return a child with the structure of `first`, the fitter, and values of either parent.

        Of equally fit parents the one with fewer edges gives the structure, as in `topology`.
        """
        if equal and len(second[1]) < len(first[1]):
            first, second = second, first
        for _ in range(_TRIES):
            child = cross(Dag(*first[:2]), Dag(*second[:2]), rng, disabled=self.growth.disabled)
            if not self.problem(child):
                rest = (rng.choice(pair) for pair in zip(first[2:], second[2:], strict=True))
                return Move((*child, *rest), "crossover")
        return self.mutate(first, rng)

    def alignment(self, parts: Sequence[Arch]) -> Callable[[Arch, np.ndarray], np.ndarray]:
        """Return `distances(part, which)`: distances [K] to `parts[which]`, each in 0..2.

        A distance is the share of edges that only one part has, plus the mean difference of the nodes
        that both have.
        """
        dags = [Dag(*part[:2]) for part in parts]
        rows: dict[Arch, np.ndarray] = {}

        def distances(part: Arch, which: np.ndarray) -> np.ndarray:
            if part not in rows:
                mine = Dag(*part[:2])
                rows[part] = np.array([sum(distance(mine, dag, self.apart)) for dag in dags])
            near: np.ndarray = rows[part][which]
            return near

        return distances

    def problem(self, graph: Dag) -> str:
        """Return the reason why `graph` is no valid part, or an empty string."""
        nodes, _ = network(graph)
        if not nodes:
            return "no node lies between input and output"
        if len(nodes) > self.most or len(graph.nodes) > SHARE_SPARE * self.most:
            return f"{len(nodes)} nodes of {len(graph.nodes)} are active, at most {self.most}"
        return ""


class Modules(Grown):
    """Operators of modules."""

    def drawn(self, rng: random.Random) -> tuple[Any, ...]:
        """Return the values of a random layer."""
        ranges = self.ranges
        return tuple(
            Layer(
                _filters(_log_uniform(ranges.filters, rng), ranges.filters),
                rng.choice(ranges.kernels),
                round(rng.uniform(*ranges.dropouts), 2),
                round(rng.uniform(*ranges.scales), 2),
                rng.random() < 0.5,
            )
        )

    def more(self, rng: random.Random) -> tuple[Any, ...]:
        """Return no further items."""
        return ()

    def altered(self, part: Arch, rng: random.Random) -> Move:
        """Change one value of one layer."""
        nodes, edges = part
        place = rng.randrange(len(nodes))
        name, *values = nodes[place]
        layer = Layer(*values)
        gene = rng.choice(Layer._fields)
        while (changed := self._changed(layer, gene, rng)) == layer:
            gene = rng.choice(Layer._fields)
        made = (*nodes[:place], (name, *changed), *nodes[place + 1 :])
        return Move((made, edges), f"alter-{gene}")

    def _changed(self, layer: Layer, gene: str, rng: random.Random) -> Layer:
        ranges, value = self.ranges, getattr(layer, gene)
        match gene:
            case "filters":
                low, high = (math.log(size) for size in ranges.filters)
                wanted = math.exp(rng.gauss(math.log(value), STRAY * (high - low)))
                new: Any = _filters(wanted, ranges.filters)
            case "kernel":
                new = rng.choice(ranges.kernels)
            case "pool":
                new = not value
            case "dropout":
                new = _strayed(value, ranges.dropouts, 2, rng)
            case _:
                new = _strayed(value, ranges.scales, 2, rng)
        return layer._replace(**{gene: new})

    def apart(self, first: Node, second: Node) -> float:
        """Return the mean difference of the values of two layers, each as a share of its range."""
        a, b, ranges = Layer(*first[1:]), Layer(*second[1:]), self.ranges
        logs = [math.log(size) for size in (a.filters, b.filters, *ranges.filters)]
        return (
            _share(logs[0], logs[1], (logs[2], logs[3]))
            + (a.kernel != b.kernel)
            + _share(a.dropout, b.dropout, ranges.dropouts)
            + _share(a.scale, b.scale, ranges.scales)
            + (a.pool != b.pool)
        ) / len(Layer._fields)


class Blueprints(Grown):
    """Operators of blueprints whose nodes point to some of `kinds`."""

    def __init__(self, ranges: Ranges, growth: Growth, most: int, kinds: Sequence[int]) -> None:
        super().__init__(ranges, growth, most)
        self.kinds = tuple(kinds)

    def drawn(self, rng: random.Random) -> tuple[Any, ...]:
        """Return a random kind of module."""
        return (rng.choice(self.kinds),)

    def more(self, rng: random.Random) -> tuple[Any, ...]:
        """Return random training settings: ((learning rate, momentum),)."""
        lr = _log_uniform(self.ranges.lrs, rng)
        return ((_short(lr), round(rng.uniform(*self.ranges.momenta), 3)),)

    def altered(self, part: Arch, rng: random.Random) -> Move:
        """Point a node to another kind of module, or change learning rate and momentum."""
        nodes, edges, training = part
        place = rng.randrange(len(nodes))
        others = [kind for kind in self.kinds if kind != nodes[place][1]]
        if others and rng.random() < 0.5:
            node = (nodes[place][0], rng.choice(others))
            return Move(((*nodes[:place], node, *nodes[place + 1 :]), edges, training), "point")
        return self.retrained(part, rng)

    def retrained(self, part: Arch, rng: random.Random) -> Move:
        """Change learning rate and momentum."""
        nodes, edges, (lr, momentum) = part
        lrs, momenta = self.ranges.lrs, self.ranges.momenta
        low, high = (math.log(rate) for rate in lrs)
        for _ in range(_TRIES):
            strayed = min(max(rng.gauss(math.log(lr), STRAY * (high - low)), low), high)
            made = (_short(math.exp(strayed)), _strayed(momentum, momenta, 3, rng))
            if made != (lr, momentum):
                return Move((nodes, edges, made), "training")
        return Move(part, "identity")  # the ranges allow only these settings

    def apart(self, first: Node, second: Node) -> float:
        """Return whether two nodes point to different kinds of modules."""
        return float(first[1] != second[1])


def _strayed(value: float, limits: tuple[float, float], digits: int, rng: random.Random) -> float:
    low, high = limits
    return round(min(max(rng.gauss(value, STRAY * (high - low)), low), high), digits)


def _log_uniform(limits: tuple[float, float], rng: random.Random) -> float:
    return math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1])))


def _filters(wanted: float, limits: tuple[int, int]) -> int:
    return min(max(STEP * round(wanted / STEP), limits[0]), limits[1])


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _share(first: float, second: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return abs(first - second) / (high - low) if high > low else 0.0
