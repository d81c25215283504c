"""Layers: networks layer by layer, each with a shape and skip connections of its own.

An architecture is a tuple of layers; layer k is ``(*values, sources)``: a value for every name of
`Layers.roles`, and the earlier layers that a skip connection leads from, ascending. The network is
cut into stages by max-pool layers, which are fixed, not searched.

Sources: Zoph & Le 2016 (1611.01578) section 3, whose skip connections by anchor points are one bit per
earlier layer; Pham et al. 2018 (1802.03268) section 2.3 for the macro space of ENAS, which is the same
space with other settings: ``operations="enas", filters=(36,), join="add"``.
What differs: the number of layers is the first decision, among `depths`. The paper's schedule adds two
layers every 1,600 samples, but a space has no schedule; as a decision, a controller can learn the depth
and a strategy can restrict it. Layers are added and removed at the end: a layer is identified by its
place.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import SettingError, unknown
from ..types import Arch
from . import Decision, Group, Move
from .drawing import Drawing, Sketch, kind_of

#: Sets of named operations, in place of convolutions of any height and width.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "enas": (
        "conv_3x3",
        "sep_conv_3x3",
        "conv_5x5",
        "sep_conv_5x5",
        "avg_pool_3x3",
        "max_pool_3x3",
    ),
}
JOIN = ("concat", "add")

Layer = tuple[Any, ...]


class Layers:
    """The space of layered networks with skip connections.

    Args:
        depths: numbers of layers to choose from, ascending. [count, >= 1]
        heights: kernel heights to choose from. [pixels, odd]
        widths: kernel widths to choose from. [pixels, odd]
        filters: numbers of filters to choose from. [count, >= 1]
        strides: strides to choose from, for each axis. [pixels, >= 1]
        operations: empty: every layer is a convolution of `heights` and `widths`; a name of
            `OPERATIONS`, or some of its operations: every layer is one of these.
        join: ``"concat"``: a layer reads the concatenation of the earlier layers of its skips (Zoph &
            Le); ``"add"``: it reads the previous layer, and its skips are added to its output (ENAS).
        pools: max-pool layers that halve the image, evenly spaced. [count, >= 0]

    Raises:
        SettingError: for a value outside these rules.
    """

    family = "layers"

    def __init__(
        self,
        *,
        depths: Sequence[int] = (6,),
        heights: Sequence[int] = (1, 3, 5, 7),
        widths: Sequence[int] = (1, 3, 5, 7),
        filters: Sequence[int] = (24, 36, 48, 64),
        strides: Sequence[int] = (1,),
        operations: str | Sequence[str] = (),
        join: str = "concat",
        pools: int = 2,
    ) -> None:
        if isinstance(operations, str):
            if operations not in OPERATIONS:
                raise unknown("operation set", operations, OPERATIONS)
            operations = OPERATIONS[operations]
        known = {name for names in OPERATIONS.values() for name in names}
        for name in operations:
            if name not in known:
                raise unknown("operation", name, known)
        if join not in JOIN:
            raise unknown("way to join", join, JOIN)
        _check("heights", heights, odd=True)
        _check("widths", widths, odd=True)
        for what, numbers in (("depths", depths), ("filters", filters), ("strides", strides)):
            _check(what, numbers)
        if len(set(operations)) != len(operations):
            raise SettingError(f"operations={list(operations)}: each once")
        if list(depths) != sorted(depths):
            raise SettingError(f"depths={list(depths)}: values ascend")
        if join == "add" and (len(filters) > 1 or list(strides) != [1]):
            raise SettingError("join=add: layers of one number of filters and of stride 1 only")
        if not 0 <= pools < depths[0]:
            raise SettingError(f"pools={pools}: at least 0, and fewer than there are layers")
        shape: dict[str, Sequence[Any]] = {"filter-height": heights, "filter-width": widths}
        if operations:
            shape = {"operation": operations}
        strided = {"stride-height": strides, "stride-width": strides}
        options = {**shape, "filters": filters, **strided}
        #: role of a layer's value -> the values to choose from
        self.options = {role: tuple(values) for role, values in options.items()}
        self.roles = tuple(self.options)
        self.depths, self.join, self.pools = tuple(depths), join, pools
        if not self._kinds(depths[0]):
            raise SettingError("these settings leave one architecture, there is nothing to search")
        self.gives = frozenset({"canonical", "crossover", "decisions", "drawing"})
        if operations and join == "add" and len(depths) == 1 and depths[0] > 1:
            self.gives |= {"mixture"}  # sums of branches of one shape, and skips to be weighted

    @property
    def _chosen(self) -> list[str]:
        """The roles that leave a choice, in the order of their decisions."""
        return [role for role in self.roles if len(self.options[role]) > 1]

    def stage(self, index: int, depth: int) -> int:
        """Return the number of max-pool layers before layer `index` of `depth` layers."""
        return index * (self.pools + 1) // depth

    # -- the moves -------------------------------------------------------------------------------

    def sample(self, rng: random.Random) -> Arch:
        """Return layers, every decision uniform among its legal values."""
        return self._drawn(0, rng.choice(self.depths), rng)

    def _drawn(self, start: int, end: int, rng: random.Random) -> tuple[Layer, ...]:
        """Return random layers from `start` to before `end`."""
        return tuple(
            (
                *(rng.choice(values) for values in self.options.values()),
                tuple(source for source in range(index) if rng.random() < 0.5),
            )
            for index in range(start, end)
        )

    def _kinds(self, depth: int) -> list[str]:
        """Return the kinds of mutation that apply to `depth` layers."""
        skips = ["skip"] if depth > 1 else []
        return self._chosen + skips + (["depth"] if len(self.depths) > 1 else [])

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Change one value of one layer, one skip connection, or the number of layers by a step."""
        kind = rng.choice(self._kinds(len(arch)))
        if kind == "depth":
            return self._resized(arch, rng)
        if kind == "skip":
            index, source = rng.choice([(i, j) for i in range(len(arch)) for j in range(i)])
            sources = tuple(sorted({*arch[index][-1]} ^ {source}))
            return Move(_replaced(arch, index, len(self.roles), sources), kind)
        index, place = rng.randrange(len(arch)), self.roles.index(kind)
        others = [value for value in self.options[kind] if value != arch[index][place]]
        return Move(_replaced(arch, index, place, rng.choice(others)), kind)

    def _resized(self, arch: Arch, rng: random.Random) -> Move:
        """Go to the next larger or smaller depth; layers come and go at the end."""
        at = self.depths.index(len(arch))
        near = [place for place in (at - 1, at + 1) if 0 <= place < len(self.depths)]
        depth = self.depths[rng.choice(near)]
        if depth < len(arch):
            return Move(arch[:depth], "remove-layers")
        return Move(arch + self._drawn(len(arch), depth, rng), "add-layers")

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Take the depth of either parent and every layer from a parent that has it."""
        depth = len(rng.choice((first, second)))
        child = tuple(
            rng.choice([arch[index] for arch in (first, second) if index < len(arch)])
            for index in range(depth)
        )
        return Move(child, "crossover")

    # -- decisions -------------------------------------------------------------------------------

    def decision(self, prefix: Sequence[int]) -> Decision | None:
        """First the depth; per layer its values, then a bit per earlier layer, the first one first.

        A value without alternatives is no decision. The depth only decides where the sequence ends,
        so that the same place stands for the same decision in networks of every depth.
        """
        depth, place = self.depths[0], len(prefix)
        if len(self.depths) > 1:
            if not prefix:
                return _choice("depth", len(self.depths))
            depth, place = self.depths[prefix[0]], place - 1
        chosen = self._chosen
        for index in range(depth):
            if place < len(chosen):
                return _choice(chosen[place], len(self.options[chosen[place]]))
            if place < len(chosen) + index:
                return Decision("skip", "bit", 2, (0, 1))
            place -= len(chosen) + index
        return None

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """Return the choices that make up `arch`."""
        choices = [self.depths.index(len(arch))] if len(self.depths) > 1 else []
        for index, layer in enumerate(arch):
            for role in self._chosen:
                choices.append(self.options[role].index(layer[self.roles.index(role)]))
            choices += [int(source in layer[-1]) for source in range(index)]
        return tuple(choices)

    def decode(self, choices: Sequence[int]) -> Arch:
        """Return the layers of a complete sequence of choices."""
        rest = iter(choices)
        depth = self.depths[next(rest) if len(self.depths) > 1 else 0]
        layers = []
        for index in range(depth):
            values = [v[next(rest) if len(v) > 1 else 0] for v in self.options.values()]
            layers.append((*values, tuple(source for source in range(index) if next(rest))))
        return tuple(layers)

    def equivalents(self, choices: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """Return the layers in another order in which they can be computed: the same network."""
        arch = self.decode(choices)
        if self.join == "add":  # every layer reads the one before it: there is one order
            return tuple(choices)
        order: list[int] = []
        while len(order) < len(arch):
            free = [
                index
                for index in range(len(arch))
                if index not in order and set(arch[index][-1]) <= set(order)
            ]
            stage = self.stage(len(order), len(arch))
            order.append(rng.choice([i for i in free if self.stage(i, len(arch)) == stage]))
        return self.encode(_relabelled(arch, order))

    # -- drawing ---------------------------------------------------------------------------------

    def drawing(self, arch: Arch) -> Drawing:
        """Return a box per layer and an arrow per layer that it reads; max-pools are in the facts."""
        sketch = Sketch()
        image = sketch.node("image", "image", "input")
        for index, layer in enumerate(arch):
            name = sketch.node(f"{index + 1}", *self._described(layer))
            before = f"{index}" if index else image
            if self.join == "add":
                sketch.edge(before, name)
                for source in layer[-1]:
                    sketch.edge(f"{source + 1}", name, kind="skip")
            for source in layer[-1] if self.join == "concat" else ():
                sketch.edge(f"{source + 1}", name)
            if self.join == "concat" and not layer[-1]:
                sketch.edge(image, name)
        out = sketch.node("out", "classes", "output")
        for index in unread(arch) if self.join == "concat" else (len(arch) - 1,):
            sketch.edge(f"{index + 1}", out)
        stages = [self.stage(index, len(arch)) for index in range(len(arch))]
        pools = [f"{i}" for i in range(1, len(arch)) if stages[i] != stages[i - 1]]
        sketch.fact("max-pool after layer", ", ".join(pools) or "none")
        return sketch.done()

    def _described(self, layer: Layer) -> tuple[str, str]:
        """Return the label and the kind of a layer."""
        told = dict(zip(self.roles, layer[:-1], strict=True))
        stride = (told.get("stride-height", 1), told.get("stride-width", 1))
        step = f", stride {stride[0]}x{stride[1]}" if stride != (1, 1) else ""
        if "operation" in told:
            label = told["operation"].replace("_", " ")
            return f"{label}, {told['filters']}{step}", kind_of(told["operation"])
        size = f"{told['filter-height']}x{told['filter-width']}"
        return f"conv {size}, {told['filters']}{step}", "convolution"

    # -- mixture ---------------------------------------------------------------------------------

    def groups(self) -> tuple[Group, ...]:
        """Return ``operation``, a row per layer, and ``skip``, a row per pair of layers."""
        (depth,) = self.depths
        skips = tuple(f"{source}>{reader}" for source, reader in pairs(depth))
        return (
            Group("operation", tuple(map(str, range(depth))), self.options["operation"]),
            Group("skip", skips, ("none", "skip")),
        )

    def one_hot(self, arch: Arch) -> dict[str, np.ndarray]:
        """Return the rows with a 1 at every layer's operation, and at every skip or its absence."""
        operations = self.options["operation"]
        place = self.roles.index("operation")
        chosen = [operations.index(layer[place]) for layer in arch]
        skips = [int(source in arch[reader][-1]) for source, reader in pairs(len(arch))]
        return {"operation": np.eye(len(operations))[chosen], "skip": np.eye(2)[skips]}

    def derive(self, weights: Mapping[str, np.ndarray]) -> Arch:
        """Return the strongest operation of every layer, and the skips stronger than none."""
        (depth,) = self.depths
        sources: list[list[int]] = [[] for _ in range(depth)]
        for (source, reader), (none, skip) in zip(pairs(depth), weights["skip"], strict=True):
            if skip > none:
                sources[reader].append(source)
        layers = []
        for index, column in enumerate(np.argmax(weights["operation"], axis=1)):
            values = {role: options[0] for role, options in self.options.items()}
            values["operation"] = self.options["operation"][column]
            layers.append((*values.values(), tuple(sources[index])))
        return tuple(layers)

    # -- equal networks --------------------------------------------------------------------------

    def canonical(self, arch: Arch) -> Arch:
        """Return the same architecture for all that differ only in the order of their layers.

        Layers are told apart by stage, distance from the image, values and neighbours (colour
        refinement); among those that still look the same one is singled out, until all differ. This
        may fail to recognise equal networks of very regular wiring, but never takes different
        networks for equal ones.
        """
        if self.join == "add":
            return arch
        levels: list[int] = []
        for layer in arch:
            levels.append(1 + max((levels[source] for source in layer[-1]), default=0))
        keys = [
            (self.stage(index, len(arch)), levels[index], layer[:-1])
            for index, layer in enumerate(arch)
        ]
        colours = _refined(_ranks(keys), arch)
        while len(set(colours)) < len(arch):
            tied = min(colour for colour in colours if colours.count(colour) > 1)
            single = colours.index(tied)
            colours = [2 * colour + (i != single) for i, colour in enumerate(colours)]
            colours = _refined(_ranks(colours), arch)
        return _relabelled(arch, sorted(range(len(arch)), key=lambda index: colours[index]))


def unread(arch: Arch) -> tuple[int, ...]:
    """Return the layers from which no skip connection starts, ascending."""
    read = {source for layer in arch for source in layer[-1]}
    return tuple(index for index in range(len(arch)) if index not in read)


def pairs(depth: int) -> tuple[tuple[int, int], ...]:
    """Return (source, reader) of every skip connection that `depth` layers may have, by reader."""
    return tuple((source, reader) for reader in range(depth) for source in range(reader))


def _check(what: str, values: Sequence[int], *, odd: bool = False) -> None:
    if not values or len(set(values)) != len(values):
        raise SettingError(f"{what}={list(values)}: at least one value, each once")
    if min(values) < 1 or (odd and any(value % 2 == 0 for value in values)):
        rule = "odd numbers" if odd else "at least 1"
        raise SettingError(f"{what}={list(values)}: values are {rule}")


def _replaced(arch: Arch, index: int, place: int, value: Any) -> Arch:
    layer = (*arch[index][:place], value, *arch[index][place + 1 :])
    return (*arch[:index], layer, *arch[index + 1 :])


def _choice(name: str, size: int) -> Decision:
    return Decision(name, "choice", size, tuple(range(size)))


def _ranks(keys: Sequence[Any]) -> list[int]:
    """Return the rank of every key among the different keys, from 0."""
    rank = {key: number for number, key in enumerate(sorted(set(keys)))}
    return [rank[key] for key in keys]


def _refined(colours: list[int], arch: Arch) -> list[int]:
    """Refine the colours by those of sources and readers, until nothing changes."""
    readers = [[i for i, layer in enumerate(arch) if k in layer[-1]] for k in range(len(arch))]
    while True:
        keys = [
            (
                colours[index],
                tuple(sorted(colours[source] for source in layer[-1])),
                tuple(sorted(colours[reader] for reader in readers[index])),
            )
            for index, layer in enumerate(arch)
        ]
        finer = _ranks(keys)
        if len(set(finer)) == len(set(colours)):
            return finer
        colours = finer


def _relabelled(arch: Arch, order: Sequence[int]) -> Arch:
    """Return `arch` with its layers in `order`."""
    label = {index: place for place, index in enumerate(order)}
    return tuple(
        (*arch[index][:-1], tuple(sorted(label[source] for source in arch[index][-1])))
        for index in order
    )
