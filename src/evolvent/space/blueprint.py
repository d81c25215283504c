"""Networks assembled from modules by a blueprint: CoDeepNEAT.

Source: Miikkulainen et al. 2017, "Evolving Deep Neural Networks" (1703.00548), section 3. An
architecture is a blueprint with the modules of the kinds that it points to, ``(nodes, edges, training,
modules)`` with modules ``(kind, module)``; their form is in `space.modules`. Every node that points to
a kind is replaced by that kind's module, with weights of its own.

Where several feature maps meet, they are max-pooled to the smallest size, padded with zero channels and
added. A layer is a convolution that keeps the size, batch norm, ReLU, pooling if it has one, dropout.
The blueprint's output is averaged over its pixels and classified linearly.

What differs: the paper does not say how it treats networks that are too large. Here they are built
narrower: all numbers of filters are divided by the same factor until the network fits the limit of
multiply-adds, so that no trial is lost. Batch norm is an addition. The range of 32 to 256 filters is
the paper's. Of its global settings only learning rate and momentum are evolved: augmentation is left
to the task, which knows the changes that keep a label true.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from ..errors import SettingError
from ..types import Arch, Facts
from . import Move
from .dag import INPUT, OUTPUT, Dag, Node, canonical, network
from .drawing import Drawing, Sketch
from .modules import STEP, Blueprints, Growth, Layer, Modules, Ranges

_TRIES = (
    40  # draws of a mutation that changes the network, before the training settings are mutated
)
FOLDED = 24  # squares per row or column from which an image is folded [count]
NARROWER = 0.9  # factor on the filters, applied until a network fits the limit


class Shape(NamedTuple):
    """The shape of a feature map: channels, height, width."""

    channels: int
    height: int
    width: int


class Blueprint:
    """Convolutional networks of repeated modules.

    Args:
        input_shape: (C, H, W) of the images.
        outputs: of the network, for the limit on its cost. [count]
        nodes: maximum active nodes of a blueprint. [count]
        layers: maximum active layers of a module. [count]
        kinds: maximum different modules of a random sample. [count]
        filters: minimum and maximum per layer, multiples of 8. [count]
        kernels: kernel sizes to choose from, odd. [pixels]
        dropouts: minimum and maximum dropout rate. [0..1)
        scales: minimum and maximum scale of a layer's initial weights.
        lrs: minimum and maximum learning rate, on a logarithmic scale.
        momenta: minimum and maximum momentum. [0..1)
        fold: edge of the squares whose pixels become channels before the network (space to depth), an
            addition to the paper; None is the power of 2 that leaves fewer than 24 squares in a row
            or column, as far as the image's edges can be divided. [pixels]
        multiply_adds: maximum for one image; larger networks are built narrower, down to 8 filters
            per layer. [count]
        add_node: relative rate of this mutation, like those that follow.
        add_edge: relative rate.
        toggle_edge: relative rate of enabling or disabling an edge.
        alter: relative rate of changing the values of a layer, the kind of a node, or the training
            settings.
        disabled: probability that a child's edge is disabled if it is in either parent. [0..1]
        grown: maximum mutations from a minimal part to a random one. [count]

    Raises:
        SettingError: for a setting out of its range.
    """

    family = "blueprint"
    gives = frozenset({"canonical", "drawing", "parts", "start", "training"})

    def __init__(
        self,
        input_shape: tuple[int, ...] = (1, 28, 28),
        outputs: int = 10,
        *,
        nodes: int = 6,
        layers: int = 4,
        kinds: int = 4,
        filters: tuple[int, int] = (32, 256),
        kernels: tuple[int, ...] = (1, 3),
        dropouts: tuple[float, float] = (0.0, 0.7),
        scales: tuple[float, float] = (0.0, 2.0),
        lrs: tuple[float, float] = (1e-4, 0.1),
        momenta: tuple[float, float] = (0.68, 0.99),
        fold: int | None = None,
        multiply_adds: int = 100_000_000,
        add_node: float = 2.0,
        add_edge: float = 1.0,
        toggle_edge: float = 1.0,
        alter: float = 4.0,
        disabled: float = 0.75,
        grown: int = 10,
    ) -> None:
        self.input_shape, self.outputs = tuple(input_shape), outputs
        channels, height, width = self.input_shape
        if fold is None:
            fold = 1
            while min(height, width) // fold >= FOLDED and not (height | width) % (2 * fold):
                fold *= 2
        if fold < 1 or height % fold or width % fold:
            raise SettingError(f"fold={fold}: a divisor of the image's edges {height} and {width}")
        counts = {"nodes": nodes, "layers": layers, "kinds": kinds, "multiply_adds": multiply_adds}
        for name, value in counts.items():
            if value < 1:
                raise SettingError(f"{name}={value}: at least 1")
        self.fold, self.kinds, self.multiply_adds = fold, kinds, multiply_adds
        self.image = Shape(channels * fold**2, height // fold, width // fold)
        self.ranges = Ranges(filters, tuple(kernels), dropouts, scales, lrs, momenta)
        self.growth = Growth(add_node, add_edge, toggle_edge, alter, disabled, grown)
        self.nodes, self.modules = nodes, Modules(self.ranges, self.growth, layers)

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the images of `task`."""
        return cls(task.shape, task.outputs, **settings)

    # -- parts -----------------------------------------------------------------------------------

    def blueprints(self, kinds: Sequence[int]) -> Blueprints:
        """Return the operators of blueprints that point to `kinds` of modules."""
        return Blueprints(self.ranges, self.growth, self.nodes, kinds)

    def pointed_to(self, blueprint: Arch) -> tuple[int, ...]:
        """Return the kinds that the nodes of a blueprint point to, each once."""
        return tuple(sorted({kind for _, kind in blueprint[0]}))

    def pointed(self, blueprint: Arch, kinds: Mapping[int, int]) -> Arch:
        """Return a blueprint whose nodes point to other kinds, old one -> new one."""
        nodes = tuple((name, kinds.get(kind, kind)) for name, kind in blueprint[0])
        return (nodes, *blueprint[1:])

    def assemble(self, blueprint: Arch, modules: Mapping[int, Arch]) -> Arch:
        """Return the network of a blueprint, built narrower where it would be too large.

        Args:
            blueprint: of this space.
            modules: kind -> module, for every kind that it points to.
        """
        used = tuple((kind, modules[kind]) for kind in self.pointed_to(blueprint))
        made, share = (*blueprint[:3], used), 1.0
        while self.cost(made) > self.multiply_adds and share * self.ranges.filters[1] > STEP:
            share *= NARROWER
            made = (*blueprint[:3], tuple((kind, _narrowed(each, share)) for kind, each in used))
        return made

    # -- whole networks --------------------------------------------------------------------------

    def start(self, rng: random.Random) -> Arch:
        """Return a minimal blueprint with a minimal module."""
        return self.assemble(self.blueprints([0]).start(rng), {0: self.modules.start(rng)})

    def sample(self, rng: random.Random) -> Arch:
        """Return a random blueprint with random modules."""
        kinds = range(rng.randint(1, self.kinds))
        modules = {kind: self.modules.sample(rng) for kind in kinds}
        return self.assemble(self.blueprints(kinds).sample(rng), modules)

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Mutate the blueprint, a module at all its nodes, or a copy of a module at one node."""
        old = self.canonical(arch)
        for _ in range(_TRIES):
            move = rng.choice((self._other_blueprint, self._other_module, self._own_module))(
                arch, rng
            )
            if self.canonical(move.arch) != old:
                return move
        made, operator = self.blueprints(self.pointed_to(arch)).retrained(arch[:3], rng)
        return Move((*made, arch[3]), operator)

    def training(self, arch: Arch) -> Mapping[str, Any]:
        """Return the learning rate and the momentum that the blueprint carries."""
        return {"lr": arch[2][0], "momentum": arch[2][1]}

    def canonical(self, arch: Arch) -> Arch:
        """Return the network and its training settings, independent of names of genes and kinds."""
        modules = {
            kind: canonical(Dag(*module), lambda layer: layer[1:]) for kind, module in arch[3]
        }
        return (arch[2], canonical(Dag(*arch[:2]), lambda node: modules[node[1]]))

    def drawing(self, arch: Arch) -> Drawing:
        """Return one picture of the blueprint and one of every module that it points to."""
        sketch = Sketch()
        _draw(sketch, Dag(*arch[:2]), "blueprint", lambda node: (f"module {node[1]}", "other"))
        for kind, module in arch[3]:
            _draw(sketch, Dag(*module), f"module {kind}", _layer_label)
        sketch.fact("learning rate", f"{arch[2][0]:.3g}")
        sketch.fact("momentum", f"{arch[2][1]:.3g}")
        return sketch.done()

    # -- sizes -----------------------------------------------------------------------------------

    def cost(self, arch: Arch) -> int:
        """Return the multiply-adds for one image. [count]"""
        modules, total = dict(arch[3]), 0

        def layer(node: Node, given: Shape) -> Shape:
            nonlocal total
            values = Layer(*node[1:])
            reach = given.channels * values.kernel**2 * values.filters
            total += reach * given.height * given.width
            return after(values, given)

        def module(node: Node, given: Shape) -> Shape:
            return flow(Dag(*modules[node[1]]), given, layer)[OUTPUT]

        features = flow(Dag(*arch[:2]), self.image, module)[OUTPUT]
        return total + features.channels * self.outputs

    # -- the operators ---------------------------------------------------------------------------

    def _other_blueprint(self, arch: Arch, rng: random.Random) -> Move:
        made, operator = self.blueprints(self.pointed_to(arch)).mutate(arch[:3], rng)
        return Move(self.assemble(made, dict(arch[3])), f"blueprint {operator}")

    def _other_module(self, arch: Arch, rng: random.Random) -> Move:
        kind, module = rng.choice(arch[3])
        made, operator = self.modules.mutate(module, rng)
        modules = dict(arch[3]) | {kind: made}
        return Move(self.assemble(arch[:3], modules), f"module {operator}")

    def _own_module(self, arch: Arch, rng: random.Random) -> Move:
        """Give one node a mutated copy of its module, as a new kind."""
        name, kind = rng.choice(arch[0])
        modules = dict(arch[3])
        new = max(modules) + 1
        modules[new], operator = self.modules.mutate(modules[kind], rng)
        nodes = tuple((each, new if each == name else other) for each, other in arch[0])
        return Move(self.assemble((nodes, *arch[1:3]), modules), f"own module {operator}")


def flow(graph: Dag, given: Shape, through: Callable[[Node, Shape], Shape]) -> dict[str, Shape]:
    """Return the output shape of every node by name, and that of the graph under `OUTPUT`.

    Args:
        graph: of layers or of modules.
        given: input shape of the graph.
        through: (node, its input shape) -> its output shape.
    """
    nodes, reads = network(graph)
    made = {INPUT: given}
    for node in nodes:
        made[node[0]] = through(node, joined(made[source] for source in reads[node[0]]))
    return made | {OUTPUT: joined(made[source] for source in reads[OUTPUT])}


def joined(shapes: Iterable[Shape]) -> Shape:
    """Return the common shape in which feature maps of `shapes` are added."""
    channels, heights, widths = zip(*shapes, strict=True)
    return Shape(max(channels), min(heights), min(widths))


def after(layer: Layer, given: Shape) -> Shape:
    """Return the output shape of `layer` for an input of shape `given`."""
    _, height, width = given
    if layer.pool:
        height, width = -(-height // 2), -(-width // 2)
    return Shape(layer.filters, height, width)


def _draw(sketch: Sketch, graph: Dag, group: str, label: Callable[[Node], tuple[str, str]]) -> None:
    """Add the active nodes and edges of a graph to a drawing, as a picture of their own."""
    nodes, reads = network(graph)
    sketch.node(f"{group}/{INPUT}", "input", "input", group)
    for node in nodes:
        sketch.node(f"{group}/{node[0]}", *label(node), group)
    sketch.node(f"{group}/{OUTPUT}", "output", "output", group)
    for target, sources in reads.items():
        for source in sources:
            sketch.edge(f"{group}/{source}", f"{group}/{target}")


def _layer_label(node: Node) -> tuple[str, str]:
    layer = Layer(*node[1:])
    text = f"{layer.filters} x {layer.kernel}x{layer.kernel}" + (", pool" if layer.pool else "")
    more = [f"dropout {layer.dropout:.2g}"] if layer.dropout else []
    return "\n".join([text, *more, f"scale {layer.scale:.2g}"]), "convolution"


def _narrowed(module: Arch, share: float) -> Arch:
    """Return `module` with a share of its filters, at least `STEP` per layer."""

    def layer(node: Node) -> Node:
        return (node[0], max(STEP, STEP * int(share * node[1] / STEP)), *node[2:])

    return (*Dag(*module).with_nodes(layer),)
