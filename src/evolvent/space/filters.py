"""Filters and the convolutions between them: the genome of EXACT.

Source: Desell 2017, "Large Scale Evolution of Convolutional Neural Networks Using Volunteer Computing"
(1703.05422), EXACT: Evolutionary Exploration of Augmenting Convolutional Topologies. An architecture
is ``(maps, edges)``, both sorted:

================================ ==========================================================
``(name, depth, height, width)`` a filter: one map of a size of its own; edges lead deeper
``(source, target, enabled)``    a convolution, summed into its target
================================ ==========================================================

The image ``x`` has depth 0, the outputs ``y0``, ``y1``, ... of 1 x 1 have depth 1. The kernel of an
edge follows from the sizes it joins, |source - target| + 1 in each axis by itself: a valid
convolution where the map shrinks, a full one where it grows.

Innovation: an edge is identified by its two ends, so that equal edges of relatives are one gene. The
name of a map is derived from the event that made it (the edge that it split, or the nodes that it was
put between), so that equal events give equal names in every process, without a counter.

A map or edge is active if it lies on a path of enabled edges from the image to an output. What differs:
the image is one node, whose edges have a kernel per channel. Most operators pick among active genes,
where the paper picks among all; networks are limited by settings. `add_map` is the node mutation of
Desell's later work (eScience 2017); by default it is off, as in the paper.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, Self

from ..errors import SettingError
from ..types import Arch, Facts
from . import Move
from .dag import told_apart
from .drawing import Drawing, Sketch
from .genes import derived

IMAGE = "x"  # the name of the image's node
_TRIES = 100  # draws of a mutation that can be applied, before the parent is trained again
MOST_ENDS = 4  # maximum inputs, and outputs, of a map that `add_map` makes


class Shape(NamedTuple):
    """The shape of a node: channels, height, width."""

    channels: int
    height: int
    width: int

    @property
    def numbers(self) -> int:
        """The number of elements. [count]"""
        return self.channels * self.height * self.width


class Map(NamedTuple):
    """A hidden node. Its depth lies between 0, the image, and 1, the outputs."""

    name: str
    depth: float
    height: int
    width: int


class Edge(NamedTuple):
    """A convolution from one node to a deeper one."""

    source: str
    target: str
    enabled: bool

    @property
    def ends(self) -> tuple[str, str]:
        """The two nodes that it joins, in place of an innovation number."""
        return self.source, self.target


class Genome(NamedTuple):
    """An architecture with named fields."""

    maps: tuple[Map, ...]
    edges: tuple[Edge, ...]

    def plain(self) -> Arch:
        """Return the genome as an architecture: sorted plain tuples."""
        maps = sorted(self.maps, key=lambda each: (each.depth, each.name))
        return (tuple(map(tuple, maps)), tuple(map(tuple, sorted(self.edges))))

    def named(self) -> dict[str, Map]:
        """Return the maps by their names."""
        return {each.name: each for each in self.maps}


def genome(arch: Arch) -> Genome:
    """Return `arch` as a genome."""
    maps, edges = arch
    return Genome(tuple(Map(*each) for each in maps), tuple(Edge(*each) for each in edges))


Mutation = Callable[[Genome, random.Random], Genome | None]


class Filters:
    """Networks of single maps that grow from a linear classifier.

    Args:
        input_shape: (C, H, W) of the images.
        outputs: numbers per image. [count]
        pool: edge of the average pooling of the image before the network, an addition to the paper;
            None is 1, or 2 for images of 24 pixels and more. [pixels]
        maps: maximum number of hidden maps, active or not. [count]
        multiply_adds: maximum for one image, every edge counted as the matrix that computes it. [count]
        grown: maximum mutations from the minimal architecture to a random sample. [count]
        disable_edge: relative rate of this mutation, like those that follow.
        enable_edge: relative rate.
        split_edge: relative rate.
        add_edge: relative rate.
        change_size: relative rate, of height and width together.
        change_height: relative rate.
        change_width: relative rate.
        add_map: relative rate; the paper has no such mutation, its successor has it as often as
            `add_edge`.
        more_fit: probability that a child keeps an edge of the fitter parent alone as it is; otherwise
            the edge is disabled. [0..1]
        less_fit: the same for an edge of the other parent alone. [0..1]

    Raises:
        SettingError: for a setting out of its range, or a limit below the minimal architecture.
    """

    family = "filters"
    gives = frozenset({"canonical", "crossover", "drawing", "start"})

    def __init__(
        self,
        input_shape: tuple[int, ...] = (1, 28, 28),
        outputs: int = 10,
        *,
        pool: int | None = None,
        maps: int = 100,
        multiply_adds: int = 3_000_000,
        grown: int = 30,
        disable_edge: float = 1.0,
        enable_edge: float = 2.0,
        split_edge: float = 2.0,
        add_edge: float = 4.0,
        change_size: float = 1.0,
        change_height: float = 0.5,
        change_width: float = 0.5,
        add_map: float = 0.0,
        more_fit: float = 1.0,
        less_fit: float = 0.5,
    ) -> None:
        self.input_shape, self.outputs = tuple(input_shape), outputs
        channels, height, width = self.input_shape
        self.pool = (2 if min(height, width) >= 24 else 1) if pool is None else pool
        if not 1 <= self.pool <= min(height, width):
            raise SettingError(f"pool={pool}: from 1 to the image's edge, {min(height, width)}")
        self.maps, self.multiply_adds, self.grown = maps, multiply_adds, grown
        self.more_fit, self.less_fit = more_fit, less_fit
        for name, value, most in (
            ("maps", maps, None),
            ("grown", grown, None),
            ("more_fit", more_fit, 1),
            ("less_fit", less_fit, 1),
        ):
            if value < 0 or (most is not None and value > most):
                raise SettingError(f"{name}={value}: {'in 0..1' if most else 'at least 0'}")
        self.image = Shape(channels, height // self.pool, width // self.pool)
        self.names = tuple(f"y{number}" for number in range(outputs))  # of the outputs
        self.mutations: Mapping[str, Mutation] = {
            "disable-edge": self._disable_edge,
            "enable-edge": _enable_edge,
            "split-edge": self._split_edge,
            "add-edge": self._add_edge,
            "change-size": lambda genome, rng: self._resized(genome, rng, (1, 1)),
            "change-height": lambda genome, rng: self._resized(genome, rng, (1, 0)),
            "change-width": lambda genome, rng: self._resized(genome, rng, (0, 1)),
            "add-map": self._add_map,
        }
        edge_rates = (disable_edge, enable_edge, split_edge, add_edge)
        self.rates = (*edge_rates, change_size, change_height, change_width, add_map)
        if min(self.rates) < 0 or not any(self.rates):
            raise SettingError(f"rates {self.rates}: at least 0, and one of them above")
        if problem := self.problem(genome(self.start(random.Random(0)))):
            raise SettingError(f"not even the linear classifier fits: {problem}")

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the images of `task`."""
        return cls(task.shape, task.outputs, **settings)

    # -- sample and move -------------------------------------------------------------------------

    def start(self, rng: random.Random) -> Arch:
        """Return a linear classifier: an edge from the image to every output."""
        return Genome((), tuple(Edge(IMAGE, name, True) for name in self.names)).plain()

    def sample(self, rng: random.Random) -> Arch:
        """Return the minimal architecture after a random number of random mutations."""
        arch = self.start(rng)
        for _ in range(rng.randint(0, self.grown)):
            arch = self.mutate(arch, rng).arch
        return arch

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Apply one of the mutations, drawn by their rates among those that can be applied."""
        old, operators = genome(arch), tuple(self.mutations)
        for _ in range(_TRIES):
            (operator,) = rng.choices(operators, self.rates)
            made = self.mutations[operator](old, rng)
            if made is not None and made != old and not self.problem(made):
                return Move(made.plain(), operator)
        return Move(arch, "identity")

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Merge the edges of two architectures, the fitter one first.

        Shared edges and shared maps come from the first. A child that is no network, or too large a
        one, is drawn again.
        """
        better, worse = genome(first), genome(second)
        shared = {edge.ends for edge in better.edges} & {edge.ends for edge in worse.edges}
        maps = tuple((worse.named() | better.named()).values())
        for _ in range(_TRIES):
            edges = [
                edge
                if edge.ends in shared or rng.random() < self.more_fit
                else edge._replace(enabled=False)
                for edge in better.edges
            ]
            edges += [
                edge if rng.random() < self.less_fit else edge._replace(enabled=False)
                for edge in worse.edges
                if edge.ends not in shared
            ]
            child = Genome(maps, tuple(edges))
            if not self.problem(child):
                return Move(child.plain(), "crossover")
        return self.mutate(first, rng)

    def canonical(self, arch: Arch) -> Arch:
        """Return the active edges by the nodes they join, independent of the names of maps."""
        nodes, edges = self.network(genome(arch))
        labels = {name: name if name in self.names else shape for name, shape in nodes.items()}
        return told_apart(labels, edges)

    def drawing(self, arch: Arch) -> Drawing:
        """Return the maps between image and outputs with their sizes, and the kernels at the arrows."""
        nodes, edges = self.network(genome(arch))
        sketch = Sketch()
        for name, shape in nodes.items():
            size = f"{shape.height}x{shape.width}"
            if name == IMAGE:
                sketch.node(name, f"image {size}", "input")
            elif name in self.names:
                sketch.node(name, name, "output")
            else:
                sketch.node(name, f"map {size}", "convolution")
        for source, target in edges:
            height, width = kernel(nodes[source], nodes[target])
            sketch.edge(source, target, f"{height}x{width}")
        return sketch.done()

    # -- what is valid ---------------------------------------------------------------------------

    def shapes(self, genes: Genome) -> dict[str, Shape]:
        """Return name -> shape of every node, by depth."""
        maps = sorted(genes.maps, key=lambda each: (each.depth, each.name))
        hidden = {each.name: Shape(1, each.height, each.width) for each in maps}
        return {IMAGE: self.image} | hidden | dict.fromkeys(self.names, Shape(1, 1, 1))

    def network(self, genes: Genome) -> tuple[dict[str, Shape], list[tuple[str, str]]]:
        """Return name -> shape of the active nodes, by depth, and the active edges."""
        shapes, edges = self.shapes(genes), [edge.ends for edge in genes.edges if edge.enabled]
        order = {name: place for place, name in enumerate(shapes)}
        fed, read = {IMAGE}, set(self.names)
        for source, target in sorted(edges, key=lambda ends: order[ends[1]]):
            if source in fed:
                fed.add(target)
        for source, target in sorted(edges, key=lambda ends: -order[ends[0]]):
            if target in read:
                read.add(source)
        found = {name: shape for name, shape in shapes.items() if name in fed & read}
        return found, [(a, b) for a, b in edges if a in found and b in found]

    def problem(self, genes: Genome) -> str:
        """Return the reason why `genes` are invalid in this space, or an empty string."""
        if len(genes.maps) > self.maps:
            return f"{len(genes.maps)} maps, at most {self.maps}"
        nodes, edges = self.network(genes)
        if missing := [name for name in self.names if name not in nodes]:
            return f"no way from the image to {', '.join(missing)}"
        cost = sum(nodes[source].numbers * nodes[target].numbers for source, target in edges)
        if cost > self.multiply_adds:
            return f"{cost:,} multiply-adds, at most {self.multiply_adds:,}"
        return ""

    # -- mutations -------------------------------------------------------------------------------

    def _disable_edge(self, genes: Genome, rng: random.Random) -> Genome:
        return _switched(genes, rng.choice(self.network(genes)[1]), enabled=False)

    def _split_edge(self, genes: Genome, rng: random.Random) -> Genome:
        """Disable an edge and put a map of mean size and depth between its ends."""
        source, target = rng.choice(self.network(genes)[1])
        name = derived(f"split {source} {target}", genes.named())
        depths = self._depths(genes)
        depth = (depths[source] + depths[target]) / 2
        size = self._between(genes, [source], [target])
        split = _switched(genes, (source, target), enabled=False)
        return _with_map(split, Map(name, depth, *size), [source], [target])

    def _add_edge(self, genes: Genome, rng: random.Random) -> Genome | None:
        """Join two nodes of different depth that no edge joins, enabled or not."""
        depths, known = self._depths(genes), {edge.ends for edge in genes.edges}
        free = [
            (a, b)
            for a, b in itertools.permutations(depths, 2)
            if depths[a] < depths[b] and (a, b) not in known
        ]
        if not free:
            return None
        return genes._replace(edges=(*genes.edges, Edge(*rng.choice(free), True)))

    def _resized(self, genes: Genome, rng: random.Random, axes: tuple[int, int]) -> Genome | None:
        """Make a map 1 or 2 pixels smaller or larger; its edges' kernels follow."""
        nodes, _ = self.network(genes)
        if not (hidden := [each for each in genes.maps if each.name in nodes]):
            return None
        old, change = rng.choice(hidden), rng.choice((-2, -1, 1, 2))
        height, width = (
            max(1, size + change) if axis else size
            for size, axis in zip((old.height, old.width), axes, strict=True)
        )
        new = old._replace(height=height, width=width)
        return genes._replace(maps=tuple(new if each is old else each for each in genes.maps))

    def _add_map(self, genes: Genome, rng: random.Random) -> Genome | None:
        """Put a map at a random depth, with one to four inputs and as many outputs."""
        depth, depths = round(rng.uniform(0, 1), 3), self._depths(genes)
        nodes, _ = self.network(genes)
        before = [name for name in nodes if depths[name] < depth]
        behind = [name for name in nodes if depths[name] > depth]
        if not before or not behind:
            return None
        sources = sorted(rng.sample(before, min(len(before), rng.randint(1, MOST_ENDS))))
        targets = sorted(rng.sample(behind, min(len(behind), rng.randint(1, MOST_ENDS))))
        event = f"add {depth} {' '.join(sources)} > {' '.join(targets)}"
        size = self._between(genes, sources, targets)
        new = Map(derived(event, genes.named()), depth, *size)
        return _with_map(genes, new, sources, targets)

    def _between(
        self, genes: Genome, sources: Collection[str], targets: Collection[str]
    ) -> Iterator[int]:
        """Yield the mean of the smallest source and the largest target: height, then width. [pixels]"""
        shapes = self.shapes(genes)
        for axis in (1, 2):
            least = min(shapes[name][axis] for name in sources)
            yield (least + max(shapes[name][axis] for name in targets)) // 2

    def _depths(self, genes: Genome) -> dict[str, float]:
        hidden = {each.name: each.depth for each in genes.maps}
        return {IMAGE: 0.0} | hidden | dict.fromkeys(self.names, 1.0)


def _enable_edge(genes: Genome, rng: random.Random) -> Genome | None:
    off = [edge.ends for edge in genes.edges if not edge.enabled]
    return _switched(genes, rng.choice(off), enabled=True) if off else None


def _switched(genes: Genome, ends: tuple[str, str], *, enabled: bool) -> Genome:
    return genes._replace(
        edges=tuple(
            edge._replace(enabled=enabled) if edge.ends == ends else edge for edge in genes.edges
        )
    )


def _with_map(
    genes: Genome, new: Map, sources: Collection[str], targets: Collection[str]
) -> Genome:
    edges = [Edge(name, new.name, True) for name in sources]
    edges += [Edge(new.name, name, True) for name in targets]
    return Genome((*genes.maps, new), (*genes.edges, *edges))


def kernel(source: Shape, target: Shape) -> tuple[int, int]:
    """Return height and width of the kernel between two nodes. [pixels]"""
    return abs(source.height - target.height) + 1, abs(source.width - target.width) + 1
