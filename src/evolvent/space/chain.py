"""Chains: a learning rate and a list of layers, the chromosome of EDEN.

Source: Dufourq & Bassett 2017, "EDEN: Evolutionary Deep Networks for Efficient Machine Learning"
(1709.09161). An architecture is ``(learning rate, layers)``; a layer is ``(name, kind, *values)``:

=============== ==================================== ============================================
``conv2d``      filters, kernel edge, activation     images; valid padding, stride 1
``conv1d``      filters, kernel length, activation   sequences
``max_pool``    size                                 images and sequences; its stride is its size
``dense``       units, activation                    flattens its input
``dropout``     rate                                 not first, not right after another
``embedding``   dimension                            the first layer for tokens, only there
``global_pool`` ``mean`` or ``max``                  sequences, over their whole length; an extra
``norm``        -                                    numbers: batch norm; an extra
``residual``    hidden units                         numbers: a dense block that is added; an extra
=============== ==================================== ============================================

The output layer, one dense unit per output, is not part of the chain; its activation is a third gene,
``(learning rate, layers, activation)``, where the space has more than the linear one (`heads`), as the
paper's has. The loss takes its values for logits. The paper does not publish all its ranges: here they
are settings. What differs: a chain's size is limited before anything is built, because a few flattened
feature maps can exceed the memory. The extras are additions to the paper: by default they are used
where the input is tokens or numbers.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from ..errors import InvalidArchitecture, SettingError
from ..types import Arch, Facts
from . import Move
from .drawing import Drawing, Sketch, kind_of
from .genes import fresh
from .known import distinct, owned

ACTIVATIONS = ("linear", "relu", "leaky_relu", "prelu", "sigmoid", "softmax")
Layer = tuple[Any, ...]
Shape = tuple[int, ...]
_TRIES = 40  # draws of a move that fits, before the learning rate is changed instead


class Cost(NamedTuple):
    """The cost of a layer or network: trainable parameters, and multiply-adds for one input."""

    weights: int
    multiply_adds: int


class Signal(NamedTuple):
    """The form and shape of the value that one layer passes to the next.

    Args:
        form: ``image``, ``sequence``, ``tokens`` or ``flat``.
        shape: (C, H, W), (C, T), (T,) or (N,).
    """

    form: str
    shape: Shape

    @property
    def numbers(self) -> int:
        """The number of elements. [count]"""
        return math.prod(self.shape)


class Chain:
    """Feed-forward stacks of layers, each stack with a learning rate of its own.

    Args:
        input_shape: (C, H, W) of images, (C, T) of sequences, (T,) of tokens, (N,) of numbers.
        vocabulary: number of different tokens; 0 if the input is not tokens. [count]
        outputs: of the network, for the limit on its size. [count]
        depth: maximum number of layers, without the output layer. [count]
        filters: minimum and maximum of a convolution. [count]
        kernels: minimum and maximum kernel size of a convolution. [pixels or steps]
        units: minimum and maximum of a dense layer. [count]
        pools: minimum and maximum size of a pooling. [pixels or steps]
        embeddings: minimum and maximum dimension; the paper's probably begin at 100, which is
            expensive on two cores. [count]
        dropouts: minimum and maximum rate. [0..1)
        lrs: minimum and maximum learning rate; drawn and changed on a logarithmic scale.
        activations: alternatives for convolutions and dense layers, out of `ACTIVATIONS`. Softmax
            within a network hardly ever trains, so the default leaves it out.
        heads: alternatives for the activation of the output layer, out of `ACTIVATIONS`; with the
            linear one alone, architectures have no such gene.
        weights: maximum trainable parameters of a network. [count]
        multiply_adds: maximum for one input. [count]
        extras: kinds of layers beyond EDEN's, out of `EXTRAS`; None: those that suit the input.
        convolutions: minimum of a chain; None: 1 for tokens, because no other layer sees their
            order, else 0. [count]
        known: architectures of one's own, asked before those of the space; one, or a list.

    Raises:
        SettingError: for an empty range, or a limit that leaves no network.
    """

    family = "chain"
    kinds = frozenset({"image", "numbers", "text"})
    gives = frozenset({"canonical", "crossover", "drawing", "known", "training"})

    def __init__(
        self,
        input_shape: Shape = (1, 28, 28),
        vocabulary: int = 0,
        outputs: int = 10,
        *,
        depth: int = 8,
        filters: tuple[int, int] = (10, 100),
        kernels: tuple[int, int] = (1, 6),
        units: tuple[int, int] = (10, 100),
        pools: tuple[int, int] = (2, 6),
        embeddings: tuple[int, int] = (16, 128),
        dropouts: tuple[float, float] = (0.05, 0.6),
        lrs: tuple[float, float] = (1e-4, 1e-2),
        activations: tuple[str, ...] = ("linear", "relu", "leaky_relu", "prelu", "sigmoid"),
        heads: tuple[str, ...] = ("linear",),
        weights: int = 2_000_000,
        multiply_adds: int = 20_000_000,
        extras: tuple[str, ...] | None = None,
        convolutions: int | None = None,
        known: Sequence[Any] = (),
    ) -> None:
        self.input_shape, self.outputs, self.vocabulary = tuple(input_shape), outputs, vocabulary
        self.depth, self.activations = depth, tuple(activations)
        self.ranges = {
            "filters": filters,
            "kernels": kernels,
            "units": units,
            "pools": pools,
            "embeddings": embeddings,
            "dropouts": dropouts,
            "lrs": lrs,
        }
        for name, (least, most) in self.ranges.items():
            if not 0 < least <= most or (name == "dropouts" and most >= 1):
                raise SettingError(f"{name}={(least, most)}: two positive values, smaller first")
        if depth < 1 or not self.activations or set(self.activations) - set(ACTIVATIONS):
            raise SettingError(
                f"depth={depth}, activations={self.activations}: at least one layer, and some of "
                f"{', '.join(ACTIVATIONS)}"
            )
        self.heads = tuple(heads)
        if not self.heads or set(self.heads) - set(ACTIVATIONS):
            raise SettingError(f"heads={self.heads}: some of {', '.join(ACTIVATIONS)}")
        self.limit = Cost(weights, multiply_adds)
        self.source = signal(self.input_shape, vocabulary)
        extras = EXTRAS_OF.get(self.source.form, ()) if extras is None else tuple(extras)
        if set(extras) - set(EXTRAS):
            raise SettingError(f"extras={extras}: some of {', '.join(EXTRAS)}")
        self.left_out = set(EXTRAS) - set(extras)
        tokens = self.source.form == "tokens"
        self.convolutions = int(tokens) if convolutions is None else convolutions
        if self.convolutions > int(tokens):
            raise SettingError(f"convolutions={convolutions}: 0, or 1 where the input is tokens")
        if problem := self.problem(self._smallest()):
            raise SettingError(
                f"depth={depth}, weights={weights}, multiply_adds={multiply_adds}: not even the "
                f"smallest network fits ({problem}); raise them"
            )
        self.own = owned(known, self.checked, "space.known")

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the input and output of `task`."""
        return cls(task.shape, task.vocabulary, task.outputs, **settings)

    # -- what is valid ---------------------------------------------------------------------------

    def signals(
        self, layers: tuple[Layer, ...], source: Signal | None = None
    ) -> tuple[Signal, ...]:
        """Return the input signal of every layer and, last, of the output layer.

        Args:
            layers: of a chain.
            source: input of the first layer; None is the input that the space was made for.

        Raises:
            InvalidArchitecture: if a layer cannot take its input.
        """
        found = [source or self.source]
        for layer in layers:
            found.append(after(layer, found[-1]))
        if found[-1].form == "tokens":
            raise InvalidArchitecture("tokens need an embedding as the first layer")
        return tuple(found)

    def cost(self, layers: tuple[Layer, ...]) -> Cost:
        """Return the cost of the whole network, including the output layer."""
        signals = self.signals(layers)
        each = [self._layer_cost(*pair) for pair in zip(layers, signals[:-1], strict=True)]
        last = signals[-1].numbers * self.outputs
        slopes = self.outputs if "prelu" in self.heads else 0
        weights = sum(cost.weights for cost in each) + last + self.outputs + slopes
        return Cost(weights, sum(cost.multiply_adds for cost in each) + last)

    def problem(self, layers: tuple[Layer, ...]) -> str:
        """Return the reason why `layers` are invalid in this space, or an empty string."""
        if len(layers) > self.depth:
            return f"{len(layers)} layers, at most {self.depth}"
        kinds = ["dropout", *(layer[1] for layer in layers)]
        if ("dropout", "dropout") in itertools.pairwise(kinds):
            return "a dropout is the first layer, or follows another"
        if unknown := self.left_out.intersection(kinds):
            return f"layers {', '.join(sorted(unknown))} are left out of this space"
        if self.convolutions > kinds.count("conv1d"):
            return "a chain for tokens needs a convolution"
        try:
            cost = self.cost(layers)
        except InvalidArchitecture as error:
            return str(error)
        for name, has, most in zip(Cost._fields, cost, self.limit, strict=True):
            if has > most:
                return f"{has:,} {name}, at most {most:,}"
        return ""

    def _layer_cost(self, layer: Layer, given: Signal) -> Cost:
        made = after(layer, given)
        slopes = int(layer[-1] == "prelu")  # one for every filter or unit
        match layer[1]:
            case "conv2d" | "conv1d":
                reach = layer[3] ** (2 if layer[1] == "conv2d" else 1) * given.shape[0]
                return Cost((reach + 1 + slopes) * layer[2], reach * made.numbers)
            case "dense":
                return Cost((given.numbers + 1 + slopes) * layer[2], given.numbers * layer[2])
            case "embedding":
                return Cost(self.vocabulary * layer[2], 0)
            case "norm":
                return Cost(2 * given.numbers, 0)
            case "residual":
                both = 2 * given.numbers * layer[2]
                return Cost(2 * given.numbers + both + layer[2] + given.numbers, both)
        return Cost(0, 0)

    # -- sample and move -------------------------------------------------------------------------

    def sample(self, rng: random.Random) -> Arch:
        """Return a chain of random depth, every layer of a random kind that fits its input."""
        layers = self._first(rng)
        for _ in range(rng.randint(1, self.depth) - len(layers)):
            longer = self._grown(layers, len(layers), rng)
            layers = longer or layers
        lr = self._lr(rng)
        return (lr, layers, rng.choice(self.heads)) if self._headed else (lr, layers)

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Add, remove, replace or alter a layer, or change the learning rate, each equally likely.

        So is another activation of the output, where it is a gene. A draw that does not fit is
        repeated, including its kind.
        """
        moves: dict[str, Callable[[tuple[Layer, ...], random.Random], tuple[Layer, ...] | None]] = {
            "add-layer": lambda layers, rng: self._grown(layers, rng.randint(0, len(layers)), rng),
            "remove-layer": self._removed,
            "replace-layer": self._replaced,
            "alter-layer": self._altered,
        }
        lr, layers, *head = arch
        others = ["output"] if self._headed and len(self.heads) > 1 else []
        for _ in range(_TRIES):
            operator = rng.choice((*moves, "learning-rate", *others))
            if operator == "learning-rate":
                made = (self._altered_lr(lr, rng), layers, *head)
            elif operator == "output":
                made = (lr, layers, rng.choice(self.heads))
            else:
                changed = moves[operator](layers, rng)
                if changed is None or self.problem(changed):
                    continue
                made = (lr, changed, *head)
            if self.canonical(made) != self.canonical(arch):
                return Move(made, operator)
        return Move((self._altered_lr(lr, rng), layers, *head), "learning-rate")

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Join the head of one chain to the tail of another; the other genes are either parent's."""
        for _ in range(_TRIES):
            head = first[1][: rng.randint(0, len(first[1]))]
            used = {layer[0] for layer in head}
            tail = second[1][rng.randint(0, len(second[1])) :]
            joined = head
            for layer in tail:
                # relatives share names: the second gene of a name gets a new one
                name = layer[0] if layer[0] not in used else fresh(used, rng)
                used.add(name)
                joined += ((name, *layer[1:]),)
            if not self.problem(joined):
                lr = rng.choice((first[0], second[0]))
                heads = [rng.choice((first[2], second[2]))] if self._headed else []
                return Move((lr, joined, *heads), "crossover")
        return self.mutate(first, rng)

    def training(self, arch: Arch) -> Mapping[str, Any]:
        """Return the learning rate that the chain carries."""
        return {"lr": arch[0]}

    def canonical(self, arch: Arch) -> Arch:
        """Return the chain without the names of its genes."""
        return (arch[0], tuple(layer[1:] for layer in arch[1]), *arch[2:])

    def head(self, arch: Arch) -> str:
        """Return the activation of the output layer."""
        return str(arch[2]) if self._headed else "linear"

    @property
    def _headed(self) -> bool:
        """Whether the activation of the output is a gene."""
        return self.heads != ("linear",)

    # -- known members ---------------------------------------------------------------------------

    def checked(self, arch: Arch) -> Arch:
        """Return `arch` if it is one of the space.

        Raises:
            InvalidArchitecture: saying what it lacks.
        """
        try:
            lr, layers, *head = arch
            layers = tuple((str(name), str(kind), *values) for name, kind, *values in layers)
            least, most = self.ranges["lrs"]
            problem = self.problem(layers) or self._misfit(layers)
            if not least <= lr <= most:
                problem = f"learning rate {lr}: from {least} to {most}"
            if len(head) != self._headed or set(head) - set(self.heads):
                problem = (
                    f"output {head}: one of {', '.join(self.heads)}, none if that is linear alone"
                )
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise InvalidArchitecture(
                f"{arch!r} is not (learning rate, layers), a layer being (name, kind, values)"
            ) from error
        if problem:
            raise InvalidArchitecture(problem)
        return (float(lr), layers, *head)

    def _misfit(self, layers: tuple[Layer, ...]) -> str:
        """Return the first value outside its range, or a name that two layers share."""
        names = [layer[0] for layer in layers]
        if len(set(names)) < len(names):
            return f"layers named {names}: every layer needs a name of its own"
        for layer in layers:
            if len(layer) != 2 + len(VALUES[layer[1]]):
                return f"a layer {layer[1]} has the values {VALUES[layer[1]]}, not {layer[2:]}"
            for value, kind in zip(layer[2:], VALUES[layer[1]], strict=True):
                if kind in self.ranges:
                    least, most = self.ranges[kind]
                    fits = least <= value <= most
                else:
                    fits = value in (self.activations if kind == "activation" else ("mean", "max"))
                if not fits:
                    return f"{value!r} of a layer {layer[1]} is outside the {kind} of this space"
        return ""

    def known(self, facts: Facts) -> dict[str, Arch]:
        """Return one's own architectures, then plain hand-made stacks for this kind of input.

        Sizes are moved into the ranges of the space; what still does not fit is left out. They are
        the same for all data of a shape.
        """
        found = {}
        for name, stack in MEMBERS[self.source.form].items():
            layers = tuple(
                self._moved((f"{kind}{place}", kind, *values))
                for place, (kind, *values) in enumerate(stack)
            )
            try:
                heads = self.heads[:1] if self._headed else ()
                found[name] = self.checked((self._moved_into("lrs", KNOWN_LR), layers, *heads))
            except InvalidArchitecture:
                continue
        return distinct(self.own | found, self.canonical)

    def _moved(self, layer: Layer) -> Layer:
        """Return a layer with its values in the ranges of the space."""
        values = [
            self._moved_into(kind, value) if kind in self.ranges else value
            for value, kind in zip(layer[2:], VALUES[layer[1]], strict=True)
        ]
        return (*layer[:2], *values)

    def _moved_into(self, name: str, value: float) -> float:
        least, most = self.ranges[name]
        return min(max(value, least), most)

    def drawing(self, arch: Arch) -> Drawing:
        """Return the layers as a column of boxes, named by their genes, and the learning rate."""
        sketch = Sketch()
        last = sketch.node("input", "x".join(map(str, self.input_shape)), "input")
        for name, kind, *values in arch[1]:
            known = "dense" if kind == "embedding" else kind_of(kind)
            label = f"{kind.replace('_', ' ')} {', '.join(map(str, values))}"
            sketch.node(f"layer/{name}", label, known)
            sketch.edge(last, f"layer/{name}")
            last = f"layer/{name}"
        label = f"dense {self.outputs}" + (f", {self.head(arch)}" if self._headed else "")
        sketch.edge(last, sketch.node("output", label, "output"))
        sketch.fact("learning rate", f"{arch[0]:g}")
        return sketch.done()

    # -- the operators ---------------------------------------------------------------------------

    def _smallest(self, name: str = "") -> tuple[Layer, ...]:
        """Return the mandatory layers at their smallest size."""
        if self.source.form != "tokens":
            return ()
        least = {key: int(low) for key, (low, _) in self.ranges.items()}
        embedding = (name, "embedding", least["embeddings"])
        values = (least["filters"], least["kernels"], self.activations[0])
        convolution = (f"{name}c", "conv1d", *values)
        return (embedding, convolution)[: 1 + self.convolutions]

    def _first(self, rng: random.Random) -> tuple[Layer, ...]:
        """Return the mandatory layers at random sizes."""
        if self.source.form != "tokens":
            return ()
        name = fresh((), rng)
        for _ in range(_TRIES):
            layers: tuple[Layer, ...] = (self._layer(name, "embedding", rng),)
            if self.convolutions:
                layers += (self._layer(fresh({name}, rng), "conv1d", rng),)
            if not self.problem(layers):
                return layers
        return self._smallest(name)

    def _grown(
        self, layers: tuple[Layer, ...], place: int, rng: random.Random
    ) -> tuple[Layer, ...] | None:
        """Return `layers` with a random layer inserted at `place`, or None if it does not fit."""
        layer = self._drawn(layers, place, fresh({layer[0] for layer in layers}, rng), rng)
        if layer is None:
            return None
        grown = (*layers[:place], layer, *layers[place:])
        return None if self.problem(grown) else grown

    def _removed(self, layers: tuple[Layer, ...], rng: random.Random) -> tuple[Layer, ...] | None:
        if not layers:
            return None
        place = rng.randrange(len(layers))
        return (*layers[:place], *layers[place + 1 :])

    def _replaced(self, layers: tuple[Layer, ...], rng: random.Random) -> tuple[Layer, ...] | None:
        if not layers:
            return None
        place = rng.randrange(len(layers))
        layer = self._drawn(layers, place, fresh({layer[0] for layer in layers}, rng), rng)
        return layer and (*layers[:place], layer, *layers[place + 1 :])

    def _altered(self, layers: tuple[Layer, ...], rng: random.Random) -> tuple[Layer, ...] | None:
        """Change one value of one layer; the gene keeps its name."""
        if not layers:
            return None
        place = rng.randrange(len(layers))
        layer = layers[place]
        if len(layer) == 2:  # it has no values
            return None
        other = self._layer(layer[0], layer[1], rng)
        at = rng.randrange(2, len(layer))
        return (*layers[:place], (*layer[:at], other[at], *layer[at + 1 :]), *layers[place + 1 :])

    def _drawn(
        self, layers: tuple[Layer, ...], place: int, name: str, rng: random.Random
    ) -> Layer | None:
        """Return a random layer for `place`, its size limited by its input; None if none fits."""
        given = self.signals(layers[:place])[-1] if place else self.source
        kinds = [kind for kind in KINDS[given.form] if kind not in self.left_out]
        (kind,) = rng.choices(kinds, [ODDS.get(kind, 1) for kind in kinds])
        layer = self._layer(name, kind, rng)
        if given.form in ("image", "sequence"):
            most = min(given.shape[1:])
            if layer[1] in ("conv2d", "conv1d"):
                if most < self.ranges["kernels"][0]:
                    return None
                layer = (*layer[:3], min(layer[3], most), *layer[4:])
            elif layer[1] == "max_pool" and most < layer[2]:
                return None if most < self.ranges["pools"][0] else (*layer[:2], most)
        return layer

    def _layer(self, name: str, kind: str, rng: random.Random) -> Layer:
        match kind:
            case "conv2d" | "conv1d":
                values: tuple[Any, ...] = (
                    self._number("filters", rng),
                    self._number("kernels", rng),
                    rng.choice(self.activations),
                )
            case "max_pool":
                values = (self._number("pools", rng),)
            case "dense":
                values = (self._number("units", rng), rng.choice(self.activations))
            case "residual":
                values = (self._number("units", rng),)
            case "norm":
                values = ()
            case "global_pool":
                values = (rng.choice(("mean", "max")),)
            case "dropout":
                values = (round(rng.uniform(*self.ranges["dropouts"]), 3),)
            case _:
                values = (self._number("embeddings", rng),)
        return (name, kind, *values)

    def _number(self, name: str, rng: random.Random) -> int:
        least, most = self.ranges[name]
        return rng.randint(int(least), int(most))

    def _lr(self, rng: random.Random) -> float:
        return self._lr_within(*self.ranges["lrs"], rng)

    def _altered_lr(self, lr: float, rng: random.Random) -> float:
        """Return a rate between half and twice `lr`, within the range."""
        least, most = self.ranges["lrs"]
        return self._lr_within(max(lr / 2, least), min(lr * 2, most), rng)

    def _lr_within(self, low: float, high: float, rng: random.Random) -> float:
        drawn = _short(math.exp(rng.uniform(math.log(low), math.log(high))))
        return min(max(drawn, low), high)  # rounding may leave the range


#: form of a layer's input -> the kinds of layers that can take it
KINDS = {
    "image": ("conv2d", "max_pool", "dense", "dropout"),
    "sequence": ("conv1d", "max_pool", "dense", "dropout", "global_pool"),
    "flat": ("dense", "dropout", "residual", "norm"),
    "tokens": ("embedding",),
}
#: relative probability of a kind, 1 by default. No convolution can follow a layer that flattens, so
#: without these weights most chains would have none
ODDS = {"conv2d": 3, "conv1d": 3, "global_pool": 2}
#: kind of a layer -> what its values are: a range, ``activation``, or how a pooling sums up
VALUES: dict[str, tuple[str, ...]] = {
    "conv2d": ("filters", "kernels", "activation"),
    "conv1d": ("filters", "kernels", "activation"),
    "max_pool": ("pools",),
    "dense": ("units", "activation"),
    "dropout": ("dropouts",),
    "embedding": ("embeddings",),
    "global_pool": ("how",),
    "norm": (),
    "residual": ("units",),
}
KNOWN_LR = 2e-3  # of hand-made chains
_CONV = ("conv2d", 32, 3, "relu")
_CONV1D = ("conv1d", 32, 3, "relu")
_HALF = ("max_pool", 2)
#: form of the input -> name -> layers without their names, the best first
MEMBERS: dict[str, dict[str, tuple[tuple[Any, ...], ...]]] = {
    "image": {
        "two-convolutions": (_CONV, _HALF, _CONV, _HALF, ("dense", 100, "relu")),
        "three-convolutions": (_CONV, _CONV, _HALF, _CONV, _HALF),
        "lenet": (
            ("conv2d", 10, 5, "relu"),
            _HALF,
            ("conv2d", 16, 5, "relu"),
            _HALF,
            ("dense", 100, "relu"),
        ),
        "dense": (("dense", 100, "relu"), ("dense", 100, "relu")),
    },
    "sequence": {
        "one-convolution": (_CONV1D, _HALF, ("dense", 50, "relu")),
        "two-convolutions": (_CONV1D, _HALF, _CONV1D),
        "dense": (("dense", 100, "relu"),),
    },
    "tokens": {
        "one-convolution": (("embedding", 64), _CONV1D, ("global_pool", "max")),
        "means": (("embedding", 64), ("conv1d", 32, 1, "relu"), ("global_pool", "mean")),
        "two-convolutions": (("embedding", 32), _CONV1D, _CONV1D, ("global_pool", "max")),
    },
    "flat": {
        "two-dense": (("dense", 100, "relu"), ("dense", 100, "relu")),
        "residual": (("dense", 64, "relu"), ("residual", 100), ("residual", 100)),
        "norm-dense": (("norm",), ("dense", 100, "relu"), ("dropout", 0.2), ("dense", 50, "relu")),
        "one-dense": (("dense", 50, "relu"),),
        "linear": (),
    },
}
#: kinds of layers beyond EDEN's, and the forms of input that use them by default
EXTRAS = ("global_pool", "norm", "residual")
EXTRAS_OF = {"tokens": ("global_pool",), "flat": ("norm", "residual")}


def after(layer: Layer, given: Signal) -> Signal:
    """Return the output signal of `layer` for the input `given`.

    Raises:
        InvalidArchitecture: if the layer cannot take this input.
    """
    kind = layer[1]
    if kind not in KINDS[given.form]:
        raise InvalidArchitecture(f"a layer {kind} cannot take an input of form {given.form}")
    match kind:
        case "conv2d" | "conv1d":
            sizes = tuple(size - layer[3] + 1 for size in given.shape[1:])
            made = Signal(given.form, (layer[2], *sizes))
        case "max_pool":
            sizes = tuple(size // layer[2] for size in given.shape[1:])
            made = Signal(given.form, (given.shape[0], *sizes))
        case "dense":
            made = Signal("flat", (layer[2],))
        case "embedding":
            made = Signal("sequence", (layer[2], given.shape[0]))
        case "global_pool":
            made = Signal("flat", given.shape[:1])
        case _:
            made = given
    if min(made.shape) < 1:
        raise InvalidArchitecture(f"a layer {kind} of {layer[2:]} does not fit {given.shape}")
    return made


def signal(shape: Shape, vocabulary: int = 0) -> Signal:
    """Return the signal of an input of `shape`; a vocabulary tells tokens from numbers.

    Raises:
        SettingError: for shapes of no or more than three dimensions.
    """
    if not 1 <= len(shape) <= 3:
        raise SettingError(f"inputs of shape {tuple(shape)}: chains take one to three dimensions")
    form = {3: "image", 2: "sequence", 1: "tokens" if vocabulary else "flat"}[len(shape)]
    return Signal(form, tuple(shape))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
