"""Free graphs: the DNA of Large-Scale Evolution, and its eleven mutations.

Source: Real et al. 2017, "Large-Scale Evolution of Image Classifiers" (1703.01041), section 3.2. An
architecture is ``(learning rate, head, layers, skips)``. `head` names the classifier. A layer is a
vertex together with its primary edge, the one that is no skip: the primary edges form the backbone,
in the order of `layers`. A skip is an identity edge (source, target) to a later layer. Its activations
are brought to the output shape of the target's primary edge and added.

====================================================================== ================================
``(name, "conv", channels, height, width, stride, active)``             primary edge is a convolution
``(name, "identity", active)``                                          primary edge is an identity
====================================================================== ================================

`active` says whether the vertex applies batch norm and ReLU, or nothing. Weights are inherited by the
names of layers and head, so resetting the weights means renaming everything.

What differs: the paper limits a network by the memory of a worker. Here settings limit it, and a
mutation that exceeds them is not applicable. As in the paper, a mutation that is not applicable is
drawn again, including its kind. Skips of a removed layer are removed with it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

from ..errors import SettingError
from ..types import Arch, Facts
from . import Move
from .drawing import Drawing, Sketch
from .genes import fresh

Layer = tuple[Any, ...]
_TRIES = 100  # draws of a mutation that can be applied, before the learning rate is changed


class DNA(NamedTuple):
    """An architecture with named fields."""

    lr: float
    head: str
    layers: tuple[Layer, ...]
    skips: tuple[tuple[str, str], ...]

    def names(self) -> set[str]:
        """Return every name in use."""
        return {INPUT, self.head, *(layer[0] for layer in self.layers)}

    def convolutions(self) -> list[int]:
        """Return the places of the layers that convolve."""
        return [place for place, layer in enumerate(self.layers) if layer[1] == "conv"]

    def with_layer(self, place: int, layer: Layer) -> DNA:
        """Return the DNA with another layer at `place`."""
        return self._replace(layers=(*self.layers[:place], layer, *self.layers[place + 1 :]))


INPUT = "x"  # the name of the image, as the source of a skip
CHANNELS, HEIGHT, WIDTH, STRIDE = 2, 3, 4, 5  # places within a convolution
Mutation = Callable[[DNA, random.Random], DNA | None]


class Shape(NamedTuple):
    """The shape of a layer's output: channels, height, width."""

    channels: int
    height: int
    width: int


class Graph:
    """Networks that grow by mutation from a linear classifier.

    Args:
        input_shape: (C, H, W) of the images, for the limit on the cost.
        lr: learning rate of the minimal architecture.
        least_channels: minimum of an inserted convolution, which otherwise has as many channels as
            its input; 1 is the paper's rule. On greyscale images that rule needs several doublings
            before classes can be told apart, too many for a short search. [count]
        depth: maximum number of layers. [count]
        channels: maximum of a convolution. [count]
        filter: largest kernel size, odd. [pixels]
        multiply_adds: maximum for one input. [count]
        grown: maximum mutations from the minimal architecture to a random sample. [count]

    Raises:
        SettingError: for a limit below what the minimal architecture and one convolution need.
    """

    family = "graph"
    gives = frozenset({"canonical", "drawing", "start", "training"})

    def __init__(
        self,
        input_shape: tuple[int, ...] = (1, 28, 28),
        *,
        lr: float = 0.1,
        least_channels: int = 1,
        depth: int = 40,
        channels: int = 256,
        filter: int = 7,
        multiply_adds: int = 100_000_000,
        grown: int = 30,
    ) -> None:
        for name, value, least in (
            ("depth", depth, 1),
            ("least_channels", least_channels, 1),
            ("channels", channels, max(input_shape[0], least_channels)),
            ("filter", filter, 3),
            ("grown", grown, 0),
        ):
            if value < least:
                raise SettingError(f"{name}={value}: at least {least}")
        if filter % 2 == 0 or not 0 < lr < LARGEST_LR:
            raise SettingError(
                f"filter={filter}, lr={lr}: an odd edge, and a rate in (0, {LARGEST_LR})"
            )
        self.input_shape, self.lr, self.least = tuple(input_shape), lr, least_channels
        self.depth, self.channels, self.filter = depth, channels, filter
        self.multiply_adds, self.grown = multiply_adds, grown
        first = ("", "conv", max(least_channels, input_shape[0]), 3, 3, 2, True)
        if problem := self.problem(DNA(lr, "", (first,), ())):
            raise SettingError(f"not even one convolution fits: {problem}; raise multiply_adds")
        self.mutations: Mapping[str, Mutation] = {
            "alter-learning-rate": _alter_learning_rate,
            "identity": lambda dna, rng: dna,
            "reset-weights": _reset_weights,
            "insert-convolution": self._insert_convolution,
            "remove-convolution": _remove_convolution,
            "alter-stride": _alter_stride,
            "alter-number-of-channels": self._alter_number_of_channels,
            "filter-size": self._filter_size,
            "insert-one-to-one": self._insert_one_to_one,
            "add-skip": _add_skip,
            "remove-skip": _remove_skip,
        }

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the images of `task`."""
        return cls(task.shape, **settings)

    def start(self, rng: random.Random) -> Arch:
        """Return the minimal architecture: no hidden layer, a linear classifier of pooled pixels."""
        return tuple(DNA(self.lr, fresh((INPUT,), rng), (), ()))

    def sample(self, rng: random.Random) -> Arch:
        """Return the minimal architecture after a random number of random mutations."""
        arch = self.start(rng)
        for _ in range(rng.randint(0, self.grown)):
            arch = self.mutate(arch, rng).arch
        return arch

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Apply one of the eleven mutations, each equally likely among those that can be applied."""
        dna = DNA(*arch)
        for _ in range(_TRIES):
            operator = rng.choice(tuple(self.mutations))
            made = self.mutations[operator](dna, rng)
            if made is None or self.problem(made):
                continue
            if made != dna or operator == "identity":
                return Move(tuple(made), operator)
        return Move(tuple(_alter_learning_rate(dna, rng)), "alter-learning-rate")

    def training(self, arch: Arch) -> Mapping[str, Any]:
        """Return the learning rate that the DNA carries."""
        return {"lr": arch[0]}

    def canonical(self, arch: Arch) -> Arch:
        """Return the DNA with its layers named by their places, and no name for the head."""
        dna = DNA(*arch)
        places = {INPUT: -1} | {layer[0]: place for place, layer in enumerate(dna.layers)}
        skips = tuple(sorted((places[source], places[target]) for source, target in dna.skips))
        return (dna.lr, tuple(layer[1:] for layer in dna.layers), skips)

    def drawing(self, arch: Arch) -> Drawing:
        """Return the backbone as a column, the skips beside it, and the learning rate."""
        dna, sketch = DNA(*arch), Sketch()
        last = sketch.node(INPUT, "image", "input")
        for name, kind, *values in dna.layers:
            plain = "" if values[-1] else ", linear"
            if kind == "conv":
                channels, height, width, stride = values[:-1]
                step = f", stride {stride}" if stride > 1 else ""
                sketch.node(name, f"conv {height}x{width}, {channels}{step}{plain}", "convolution")
            else:
                sketch.node(name, f"identity{plain or ', BN, ReLU'}", "skip")
            sketch.edge(last, name)
            last = name
        sketch.edge(last, sketch.node(dna.head, "pool, classes", "output"))
        for source, target in dna.skips:
            sketch.edge(source, target, kind="skip")
        sketch.fact("learning rate", f"{dna.lr:g}")
        return sketch.done()

    # -- limits ----------------------------------------------------------------------------------

    def problem(self, dna: DNA) -> str:
        """Return the limit that the network exceeds, or an empty string."""
        if len(dna.layers) > self.depth:
            return f"{len(dna.layers)} layers, at most {self.depth}"
        cost = sum(_multiply_adds(*step) for step in walk(dna.layers, self.input_shape))
        if cost > self.multiply_adds:
            return f"{cost:,} multiply-adds, at most {self.multiply_adds:,}"
        return ""

    # -- mutations that need the settings --------------------------------------------------------

    def _insert_convolution(self, dna: DNA, rng: random.Random) -> DNA:
        """Insert a 3 x 3 convolution: stride 1 or 2, channels of its input, BN and ReLU or not."""
        place = rng.randint(0, len(dna.layers))
        shapes = [Shape(*self.input_shape)] + [
            made for _, _, made in walk(dna.layers, self.input_shape)
        ]
        channels = max(self.least, shapes[place].channels)
        name = fresh(dna.names(), rng)
        layer = (name, "conv", channels, 3, 3, rng.choice((1, 2)), rng.random() < 0.5)
        return dna._replace(layers=(*dna.layers[:place], layer, *dna.layers[place:]))

    def _insert_one_to_one(self, dna: DNA, rng: random.Random) -> DNA:
        """Insert an identity, with or without BN and ReLU."""
        place = rng.randint(0, len(dna.layers))
        layer = (fresh(dna.names(), rng), "identity", rng.random() < 0.5)
        return dna._replace(layers=(*dna.layers[:place], layer, *dna.layers[place:]))

    def _alter_number_of_channels(self, dna: DNA, rng: random.Random) -> DNA | None:
        """Set the channels to another number between half and twice the current one."""
        if not (places := dna.convolutions()):
            return None
        place = rng.choice(places)
        layer = dna.layers[place]
        now = layer[CHANNELS]
        choices = range(max(1, (now + 1) // 2), min(2 * now, self.channels) + 1)
        others = [channels for channels in choices if channels != now]
        return dna.with_layer(place, _with(layer, CHANNELS, rng.choice(others))) if others else None

    def _filter_size(self, dna: DNA, rng: random.Random) -> DNA | None:
        """Change a kernel's height or width to the next smaller or larger odd size."""
        if not (places := dna.convolutions()):
            return None
        place, axis = rng.choice(places), rng.choice((HEIGHT, WIDTH))
        layer = dna.layers[place]
        size = layer[axis] + rng.choice((-2, 2))
        return dna.with_layer(place, _with(layer, axis, size)) if 1 <= size <= self.filter else None


LARGEST_LR, SMALLEST_LR = 10.0, 1e-6
LARGEST_STRIDE = 4


def _alter_learning_rate(dna: DNA, rng: random.Random) -> DNA:
    """Set the learning rate to a value between half and twice the current one."""
    lr = rng.uniform(max(dna.lr / 2, SMALLEST_LR), min(dna.lr * 2, LARGEST_LR))
    return dna._replace(lr=float(f"{lr:.4g}"))


def _reset_weights(dna: DNA, rng: random.Random) -> DNA:
    """Rename everything, so that no weights can be inherited."""
    used, names = dna.names(), {INPUT: INPUT}
    for old in (dna.head, *(layer[0] for layer in dna.layers)):
        names[old] = fresh(used, rng)
        used.add(names[old])
    layers = tuple((names[layer[0]], *layer[1:]) for layer in dna.layers)
    skips = tuple((names[source], names[target]) for source, target in dna.skips)
    return DNA(dna.lr, names[dna.head], layers, skips)


def _remove_convolution(dna: DNA, rng: random.Random) -> DNA | None:
    if not (places := dna.convolutions()):
        return None
    place = rng.choice(places)
    name = dna.layers[place][0]
    return dna._replace(
        layers=(*dna.layers[:place], *dna.layers[place + 1 :]),
        skips=tuple(skip for skip in dna.skips if name not in skip),
    )


def _alter_stride(dna: DNA, rng: random.Random) -> DNA | None:
    """Halve or double a stride; strides are powers of two."""
    if not (places := dna.convolutions()):
        return None
    place = rng.choice(places)
    layer = dna.layers[place]
    stride = layer[STRIDE] * 2 if rng.random() < 0.5 else layer[STRIDE] // 2
    return (
        dna.with_layer(place, _with(layer, STRIDE, stride))
        if 1 <= stride <= LARGEST_STRIDE
        else None
    )


def _add_skip(dna: DNA, rng: random.Random) -> DNA | None:
    """Add an identity edge between two unconnected layers, from the earlier to the later."""
    order = [INPUT, *(layer[0] for layer in dna.layers)]
    free = [
        (source, target)
        for at, target in enumerate(order)
        for source in order[:at]
        if (source, target) not in dna.skips
    ]
    return dna._replace(skips=(*dna.skips, rng.choice(free))) if free else None


def _remove_skip(dna: DNA, rng: random.Random) -> DNA | None:
    if not dna.skips:
        return None
    gone = rng.choice(dna.skips)
    return dna._replace(skips=tuple(skip for skip in dna.skips if skip != gone))


def _with(layer: Layer, at: int, value: Any) -> Layer:
    return (*layer[:at], value, *layer[at + 1 :])


def walk(
    layers: tuple[Layer, ...], input_shape: tuple[int, ...]
) -> Iterator[tuple[Layer, Shape, Shape]]:
    """Yield every layer with the input shape and the output shape of its primary edge."""
    given = Shape(*input_shape)
    for layer in layers:
        made = given
        if layer[1] == "conv":
            stride = layer[STRIDE]
            made = Shape(layer[CHANNELS], -(-given.height // stride), -(-given.width // stride))
        yield layer, given, made
        given = made


def _multiply_adds(layer: Layer, given: Shape, made: Shape) -> int:
    if layer[1] != "conv":
        return 0
    kernel = int(layer[HEIGHT] * layer[WIDTH])
    return given.channels * kernel * made.channels * made.height * made.width
