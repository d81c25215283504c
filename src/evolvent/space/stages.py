"""Stages: the width, depth and kind of block of a plain convolutional network, and its training.

The macro structure decides more than the wiring of a cell: this is the space of RegNet (Radosavovic et
al. 2020, 2003.13678) and the size space of NATS-Bench (Dong et al. 2020, 2009.00437), made of models
that train within minutes on a processor. An architecture is ``(stem, stages, head, activation,
recipe)``:

========== ========================================================================================
stem       ``conv3``; ``conv3s2`` (stride 2) and ``patch2`` (2 x 2, stride 2) halve the image
stages     one to six ``(width, depth, block, expansion, kernel, se, down)``
head       ``max`` or ``mean`` of every channel before the classifier
activation ``relu``, ``gelu`` or ``silu``
recipe     ``(optimizer, rate, weight_decay, label_smoothing, resize, shift, flip, erase, average)``
========== ========================================================================================

The stem has half the channels of the first stage. A stage is `depth` blocks of `width` channels:
``plain`` (convolution, batch norm, activation), ``residual`` (two 3 x 3 convolutions), ``bottleneck``
(1 x 1, 3 x 3, 1 x 1 at half the width) or ``mbconv`` (Sandler et al. 2018, with `expansion` and
`kernel`); with `se` every block ends in squeeze-excitation (Hu et al. 2017). Where `down` is not
``none``, the first block halves the map: by its ``stride``, or by a ``max-pool``, which stands behind
the convolution of a plain block (Jordan 2024, 2404.00498) and in front of other blocks.

Genes that have no effect have their first value: an expansion outside ``mbconv``, a `down` where the
map is too small to be halved. `normal` brings an architecture to this form. `rate` is a multiple of the
optimizer's own learning rate (`LRS`), so that a change of the optimizer alone leaves a sensible one.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from ..errors import InvalidArchitecture, SettingError
from ..types import Arch, Facts
from . import Decision, Move
from .drawing import Drawing, Sketch
from .known import distinct, owned
from .stages_members import MEMBERS, MODERN, Stage

STEMS = ("conv3", "conv3s2", "patch2")
BLOCKS = ("plain", "residual", "bottleneck", "mbconv")
EXPANSIONS = (2, 4)
KERNELS = (3, 5)
DOWNS = ("none", "stride", "max-pool")
HEADS = ("max", "mean")
ACTIVATIONS = ("relu", "gelu", "silu")
#: optimizer -> its learning rate where the gene `rate` is 1
LRS = {"sgd": 0.2, "muon": 0.1}
RATES = (0.125, 0.25, 0.5, 1.0, 2.0)
DECAYS = (0.0, 1e-4, 5e-4, 2e-3)
SMOOTHINGS = (0.0, 0.1, 0.2)
STAGE = ("width", "depth", "block", "expansion", "kernel", "se", "down")
RECIPE = (
    "optimizer",
    "rate",
    "weight_decay",
    "label_smoothing",
    "resize",
    "shift",
    "flip",
    "erase",
    "average",
)
FLIPS = ("none", "alternate", "random")
#: the alternatives of the recipe's genes by default. Where there is one, the gene is fixed, and the
#: settings of the training hold.
GENES: dict[str, tuple[Any, ...]] = {
    "optimizer": ("sgd", "muon"),
    "resize": (1.0, 0.8, 0.625),
    "shift": (0, 1, 2, 3),
    "flip": FLIPS,
    "erase": (0.0, 0.25),
    "average": (0.0, 0.25),
}
STEP = 8  # widths are multiples of it [channels]
SMALLEST = 4  # edge of a map that is still halved [pixels]
LEAST_SEEN = 20  # edge behind the stem from which on hand-made members see smaller images [pixels]
LARGE = 64  # edge from which on every stem halves the image [pixels]
#: relative probabilities of values in a sample; others have 1. Depthwise convolutions are slow on a
#: CPU, and so are maps that stay large
ODDS: dict[Any, float] = {
    "plain": 5,
    "residual": 3,
    "mbconv": 0.5,
    "relu": 2,
    "max-pool": 2,
    "none": 0.5,
}
SPREAD = 4  # of multiply-adds, from the least to the most, where the time decides the most
MOST_BEYOND = 2  # times the default limit that the time may allow
FEWEST_KNOWN = 4  # that are left, however small they are
FILLING = (4.0, 3.0, 2.5, 2.0, 1.75, 1.5, 1.25, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25)
SHARES = (1.0, 0.75, 0.5, 0.25)  # of the widths of a hand-made member, until it keeps the limit
_TRIES = 60


class Cost(NamedTuple):
    """The cost of a network: trainable parameters, and multiply-adds for one image."""

    weights: int
    multiply_adds: int


class Layer(NamedTuple):
    """One block of a network, with the shapes that it reads and makes.

    Args:
        stage: its number. [from 0]
        place: within its stage. [from 0]
        block: one of `BLOCKS`.
        expansion: of an ``mbconv``.
        kernel: edge of the depthwise kernel of an ``mbconv``. [pixels]
        se: whether it has squeeze-excitation.
        down: how it halves the map, or ``none``.
        c_in: channels that it reads.
        c_out: channels that it makes.
        given: height and width of its input. [pixels]
        made: height and width of its output. [pixels]
    """

    stage: int
    place: int
    block: str
    expansion: int
    kernel: int
    se: bool
    down: str
    c_in: int
    c_out: int
    given: tuple[int, int]
    made: tuple[int, int]


class Stages:
    """Convolutional networks of two to four stages, with the recipe of their training.

    Args:
        input_shape: (C, H, W) of the images.
        outputs: of the network. [count]
        mirrored: whether a mirrored image keeps its label, so that `flip` is a gene.
        placed: whether a shifted image loses its target, so that `shift` is none.
        stages: least and most. [count]
        widths: least and most; multiples of 8. [channels]
        depths: least and most blocks of a stage. [count]
        blocks: alternatives, out of `BLOCKS`.
        multiply_adds: least that is sampled, and most of any network, for one image; None:
            `default_bounds` of the image's size. [count]
        optimizers: alternatives, out of `LRS`.
        resizes: scales of the images at the beginning of a training; None: what suits their size.
        shifts: most pixels by which images are shifted; None: what suits their size.
        flips: ways to mirror; left out where `mirrored` is False.
        erases: probabilities that a rectangle of an image is erased.
        averages: shares of the training, at its end, over which weights are averaged.
        fill: whether hand-made members are as wide as the limit allows, instead of as they were made.
        known: architectures of one's own, asked before those of the space; one, or a list.

    A gene with one alternative is left to the settings of the training: `training` does not say it.

    Raises:
        SettingError: for a range or alternative outside these rules, and where not even the smallest
            network keeps the limit.
    """

    family = "stages"
    kinds = frozenset({"image"})
    gives = frozenset(
        {"canonical", "crossover", "decisions", "drawing", "known", "sized", "training", "widened"}
    )

    def __init__(
        self,
        input_shape: tuple[int, ...] = (3, 32, 32),
        outputs: int = 10,
        mirrored: bool = False,
        placed: bool = False,
        *,
        stages: tuple[int, int] = (2, 4),
        widths: tuple[int, int] = (16, 128),
        depths: tuple[int, int] = (1, 3),
        blocks: tuple[str, ...] = BLOCKS,
        multiply_adds: tuple[int, int] | None = None,
        optimizers: tuple[str, ...] = GENES["optimizer"],
        resizes: tuple[float, ...] | None = None,
        shifts: tuple[int, ...] | None = None,
        flips: tuple[str, ...] = GENES["flip"],
        erases: tuple[float, ...] = GENES["erase"],
        averages: tuple[float, ...] = GENES["average"],
        fill: bool = False,
        known: Sequence[Any] = (),
    ) -> None:
        if len(input_shape) != 3:
            raise SettingError(f"inputs of shape {tuple(input_shape)}: stages are for (C, H, W)")
        for name, (least, most) in (("stages", stages), ("widths", widths), ("depths", depths)):
            if not 1 <= least <= most:
                raise SettingError(f"{name}={(least, most)}: two counts from 1 up, smaller first")
        if stages[1] > 6 or widths[0] % STEP or widths[1] % STEP:
            raise SettingError(
                f"stages={stages}, widths={widths}: at most 6 stages, widths in multiples of {STEP}"
            )
        self.input_shape, self.outputs, self.mirrored = tuple(input_shape), outputs, mirrored
        self.bounds = multiply_adds or default_bounds(self.input_shape)
        if not 0 < self.bounds[0] <= self.bounds[1]:
            raise SettingError(f"multiply_adds={self.bounds}: two counts above 0, smaller first")
        self.widths = tuple(range(widths[0], widths[1] + 1, STEP))
        self.counts = tuple(range(stages[0], stages[1] + 1))
        self.stems = stems_of(self.input_shape)
        self.values: dict[str, tuple[Any, ...]] = {
            "width": self.widths,
            "depth": tuple(range(depths[0], depths[1] + 1)),
            "block": _some("blocks", blocks, BLOCKS),
            "expansion": EXPANSIONS,
            "kernel": KERNELS,
            "se": (0, 1),
            "down": DOWNS,
            "head": HEADS,
            "activation": ACTIVATIONS,
            "optimizer": _some("optimizers", optimizers, tuple(LRS)),
            "rate": RATES,
            "weight_decay": DECAYS,
            "label_smoothing": SMOOTHINGS,
            "resize": _numbers("resizes", resizes or resizes_of(self.input_shape), 0.25, 1.0),
            "shift": _numbers(
                "shifts",
                shifts or ((0,) if placed else shifts_of(self.input_shape)),
                *(0, min(self.input_shape[1:]) // 4),
            ),
            "flip": _some("flips", flips if mirrored else ("none",), FLIPS),
            "erase": _numbers("erases", erases, 0.0, 1.0),
            "average": _numbers("averages", averages, 0.0, 1.0),
        }
        if self.cost(self._smallest()).multiply_adds > self.bounds[1]:
            raise SettingError(
                f"multiply_adds={self.bounds}: not even the smallest network keeps the limit, it has "
                f"{self.cost(self._smallest()).multiply_adds:,}: raise it, or lower widths or stages"
            )
        self.shares = FILLING if fill else SHARES
        self.own = owned(known, self.checked, "space.known")

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the images of `task`."""
        return cls(task.shape, task.outputs, task.mirrored, task.placed, **settings)

    def sized(self, multiply_adds: int) -> dict[str, Any]:
        """Return the settings with which no network has more multiply-adds, nor far fewer."""
        most = min(MOST_BEYOND * self.bounds[1], multiply_adds)
        return {"multiply_adds": (max(1, most // SPREAD), most), "fill": True}

    def widened(self, arch: Arch, factor: float) -> Arch:
        """Return `arch` with widths so many times as large, in multiples of 8."""
        if factor == 1:
            return arch
        stages = tuple(
            (max(STEP, round(stage[0] * factor / STEP) * STEP), *stage[1:]) for stage in arch[1]
        )
        return (arch[0], stages, *arch[2:])

    # -- what is valid ---------------------------------------------------------------------------

    def checked(self, arch: Arch) -> Arch:
        """Return the `normal` form of an architecture that someone wrote.

        Raises:
            InvalidArchitecture: naming the gene that is not of this space, or the limit.
        """
        try:
            stem, stages, head, activation, recipe = arch
            rows = [dict(zip(STAGE, stage, strict=True)) for stage in stages]
            genes = dict(zip(RECIPE, recipe, strict=True))
        except (TypeError, ValueError) as error:
            raise InvalidArchitecture(
                f"{arch!r} is not (stem, stages, head, activation, recipe), a stage being "
                f"({', '.join(STAGE)}) and a recipe ({', '.join(RECIPE)})"
            ) from error
        _check("stem", stem, self.stems)
        _check("number of stages", len(rows), self.counts)
        for row in (*rows, genes, {"head": head, "activation": activation}):
            for name, value in row.items():
                _check(name, value, self.values[name])
        made = self.normal(arch)
        if (has := self.cost(made).multiply_adds) > self.bounds[1]:
            raise InvalidArchitecture(
                f"{has:,} multiply-adds, at most {self.bounds[1]:,}: lower a width or a depth, or "
                "raise space.multiply_adds"
            )
        return made

    def normal(self, arch: Arch) -> Arch:
        """Return `arch` with the first value for every gene that has no effect."""
        stem, stages, head, activation, recipe = arch
        shape, made = stem_shape(stem, self.input_shape), []
        for width, depth, block, expansion, kernel, se, down in stages:
            if block != "mbconv":
                expansion, kernel = EXPANSIONS[0], KERNELS[0]
            if min(shape) < SMALLEST:
                down = DOWNS[0]
            shape = shape if down == DOWNS[0] else halved(shape)
            made.append((width, depth, block, expansion, kernel, se, down))
        return (stem, tuple(made), head, activation, tuple(recipe))

    def canonical(self, arch: Arch) -> Arch:
        """Return the `normal` form, which is equal for equal networks with equal trainings."""
        return self.normal(arch)

    # -- structure and cost ----------------------------------------------------------------------

    def layers(self, arch: Arch) -> Iterator[Layer]:
        """Yield the blocks of a network, the first one first, without stem and classifier."""
        stem, stages = self.normal(arch)[:2]
        channels, shape = stem_width(stages), stem_shape(stem, self.input_shape)
        for number, (width, depth, block, expansion, kernel, se, down) in enumerate(stages):
            for place in range(depth):
                here = down if place == 0 else DOWNS[0]
                made = shape if here == DOWNS[0] else halved(shape)
                yield Layer(
                    number,
                    place,
                    block,
                    expansion,
                    kernel,
                    bool(se),
                    here,
                    channels,
                    width,
                    shape,
                    made,
                )
                channels, shape = width, made

    def cost(self, arch: Arch) -> Cost:
        """Return the cost of the whole network, counted as `network.cost` counts it."""
        stem, stages = arch[:2]
        channels = stem_width(stages)
        edge = 2 if stem == "patch2" else 3
        filters = self.input_shape[0] * channels * edge**2
        area = math.prod(stem_shape(stem, self.input_shape))
        weights, products = filters + 2 * channels, filters * area
        for layer in self.layers(arch):
            more = _cost(layer)
            weights, products = weights + more.weights, products + more.multiply_adds
        last = stages[-1][0] * self.outputs
        return Cost(weights + last + self.outputs, products + last)

    # -- sample and move -------------------------------------------------------------------------

    def sample(self, rng: random.Random) -> Arch:
        """Return a network whose cost is about log-uniform between the bounds.

        The cost is drawn first; then stages, depths, blocks, mostly one kind of block, and how much
        wider every stage is than the one before, until the width of the first stage can be chosen so
        that the cost is met. The recipe is drawn around a good one.
        """
        low, high = map(math.log, self.bounds)
        aim = rng.uniform(low, high)
        best, miss = self._smallest(), math.inf
        for _ in range(_TRIES):
            arch = self._sized(self._structure(rng), math.exp(aim), rng)
            cost = self.cost(arch).multiply_adds
            off = abs(math.log(cost) - aim)
            if off < miss and cost <= self.bounds[1]:
                best, miss = arch, off
            if miss < 0.2:
                break
        return self.normal((*best[:4], self._recipe(rng)))

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Change one gene, or add or remove the last stage.

        A gene of a stage is likelier than one of the recipe, of the stem, the head or the activation.
        A width changes by a factor of at most two. A draw that is too costly is repeated.
        """
        moves: tuple[tuple[Callable[[Arch, random.Random], Move | None], float], ...] = (
            (self._other_stage, 5),
            (self._other_frame, 2),
            (self._other_recipe, 2),
            (self._longer, 1),
            (self._shorter, 1),
        )
        before = self.normal(arch)
        for _ in range(20 * _TRIES):
            ((move, _),) = rng.choices(moves, [odds for _, odds in moves])
            found = move(before, rng)
            if found is None:
                continue
            after = self.normal(found.arch)
            if after != before and self._fits(after):
                return Move(after, found.operator)
        return self._other_gene(before, RECIPE.index("rate"), rng)

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Take every stage, and every other gene, whole from either parent."""
        pairs = list(zip(first[1], second[1], strict=False))
        longer = rng.choice((first, second))[1]
        for _ in range(_TRIES):
            stages = tuple(rng.choice(pair) for pair in pairs)
            stages += longer[len(pairs) :]
            frame = [rng.choice((first[at], second[at])) for at in (0, 2, 3)]
            recipe = tuple(rng.choice(pair) for pair in zip(first[4], second[4], strict=True))
            child = self.normal((frame[0], stages, frame[1], frame[2], recipe))
            if self._fits(child):
                return Move(child, "crossover")
        return Move(self.normal(first), "crossover")

    def training(self, arch: Arch) -> Mapping[str, Any]:
        """Return the genes of the recipe by the names of the training's hyperparameters.

        Those with one alternative in this space are left out: the run's own setting holds.
        """
        genes = dict(zip(RECIPE, arch[4], strict=True))
        rate = genes.pop("rate")
        said = {name: value for name, value in genes.items() if len(self.values[name]) > 1}
        return said | {"lr": rate * LRS[genes["optimizer"]]}

    # -- decisions -------------------------------------------------------------------------------

    def decision(self, prefix: Sequence[int]) -> Decision | None:
        """Number of stages, stem, all stages but for their widths, head, activation, recipe, widths.

        Widths come last, because only then it is known which ones keep the limit; the least one is
        always legal.
        """
        names = self._names(prefix)
        if len(prefix) >= len(names):
            return None
        name = names[len(prefix)]
        options = self._options(name)
        return Decision(name, "choice", len(options), self._legal(name, options, prefix))

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """Return the choices that make up the `normal` form of `arch`."""
        stem, stages, head, activation, recipe = self.normal(arch)
        values = [len(stages), stem]
        values += [value for stage in stages for value in stage[1:]]
        values += [head, activation, *recipe, *(stage[0] for stage in stages)]
        count = (self.counts.index(len(stages)),)
        names = self._names(count)
        return tuple(self._options(n).index(v) for n, v in zip(names, values, strict=True))

    def decode(self, choices: Sequence[int]) -> Arch:
        """Return the architecture of a complete sequence of choices."""
        return self._decoded(choices)

    def equivalents(self, choices: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """Return `choices`: no two networks of different choices are the same."""
        return tuple(choices)

    def _names(self, prefix: Sequence[int]) -> tuple[str, ...]:
        count = self.counts[prefix[0]] if prefix else self.counts[0]
        inner = STAGE[1:] * count
        return ("stages", "stem", *inner, "head", "activation", *RECIPE, *("width",) * count)

    def _options(self, name: str) -> tuple[Any, ...]:
        if name == "stages":
            return self.counts
        return self.stems if name == "stem" else self.values[name]

    def _legal(self, name: str, options: tuple[Any, ...], prefix: Sequence[int]) -> tuple[int, ...]:
        if name in ("expansion", "kernel"):
            block = prefix[-1 if name == "expansion" else -2]
            return tuple(range(len(options))) if self._is_mbconv(block) else (0,)
        if name == "down":
            return tuple(range(len(options))) if self._halves(prefix) else (0,)
        if name == "width":

            def products(index: int) -> int:
                return self.cost(self._decoded((*prefix, index))).multiply_adds

            fitting = bisect.bisect_right(range(len(options)), self.bounds[1], key=products)
            return tuple(range(max(1, fitting)))
        return tuple(range(len(options)))

    def _is_mbconv(self, block: int) -> bool:
        return bool(self.values["block"][block] == "mbconv")

    def _halves(self, prefix: Sequence[int]) -> bool:
        """Whether the map is large enough to be halved at the decision that follows `prefix`."""
        size = len(STAGE) - 1
        shape = stem_shape(self.stems[prefix[1]], self.input_shape)
        for down in prefix[1 + size :: size]:
            shape = halved(shape) if down else shape
        return min(shape) >= SMALLEST

    def _decoded(self, choices: Sequence[int]) -> Arch:
        """Return the architecture of a sequence from which only widths may be missing: the least."""
        names = self._names(choices)
        at = [*choices, *[0] * (len(names) - len(choices))]
        values = [self._options(name)[index] for name, index in zip(names, at, strict=True)]
        count, size = self.counts[choices[0]], len(STAGE) - 1
        rest = values[2 + count * size :]
        widths = rest[len(rest) - count :]
        stages = tuple(
            (widths[number], *values[2 + number * size : 2 + (number + 1) * size])
            for number in range(count)
        )
        return (values[1], stages, rest[0], rest[1], tuple(rest[2 : 2 + len(RECIPE)]))

    # -- drawing ---------------------------------------------------------------------------------

    def drawing(self, arch: Arch) -> Drawing:
        """Return the blocks as a column of boxes, and the recipe as facts."""
        stem, _, head, activation, recipe = arch
        sketch = Sketch()
        last = sketch.node("input", "x".join(map(str, self.input_shape)), "input")
        label = f"{stem} {stem_width(arch[1])}"
        steps = [("stem", label, "convolution")]
        for layer in self.layers(arch):
            words = [layer.block]
            words += [f"x{layer.expansion}", f"k{layer.kernel}"] * (layer.block == "mbconv")
            words += [f"{layer.c_out}"] + ["se"] * layer.se
            words += [] if layer.down == DOWNS[0] else [layer.down]
            steps.append((f"stage{layer.stage}/{layer.place}", " ".join(words), "convolution"))
        steps.append(("head", f"{head} of every channel", "pooling"))
        for id, text, kind in (*steps, ("output", f"dense {self.outputs}", "output")):
            sketch.edge(last, sketch.node(id, text, kind))
            last = id
        sketch.fact("activation", activation)
        for name, value in zip(RECIPE, recipe, strict=True):
            if name == "rate":
                sketch.fact("learning rate", f"{value * LRS[recipe[0]]:g}")
            elif len(self.values[name]) > 1:
                sketch.fact(name.replace("_", " "), value)
        return sketch.done()

    # -- known members ---------------------------------------------------------------------------

    def known(self, facts: Facts) -> dict[str, Arch]:
        """Return hand-made members by name, one's own first, then the best first.

        One that is too costly here is made thinner (with `fill` any is made as wide as it may be),
        alternatives that the space has not are replaced by ones that it has, and what still is none of
        its architectures is left out. So is one that is smaller than any sample: it learns fast at
        first, but not as much as the time allows.

        Args:
            facts: of the data; the space was made for them already.
        """
        found = {}
        for name, (stem, rows, head, activation) in MEMBERS.items():
            begin = self._stem(stem)
            recipe = self._good(begin)
            for share in self.shares:
                stages = self._rows(rows, share)
                try:
                    found[name] = self.checked((begin, stages, head, activation, recipe))
                except InvalidArchitecture:
                    continue
                break
        costs = sorted((self.cost(arch).multiply_adds for arch in found.values()), reverse=True)
        least = min([self.bounds[0], *costs[FEWEST_KNOWN - 1 : FEWEST_KNOWN]])
        found = {k: arch for k, arch in found.items() if self.cost(arch).multiply_adds >= least}
        return distinct(self.own | found, self.canonical)

    def _stem(self, name: str) -> str:
        return name if name in self.stems else self.stems[0]

    def _rows(self, rows: Sequence[Stage], share: float) -> tuple[Stage, ...]:
        """Return stages written as in `MEMBERS` in full, a share of their widths wide."""
        made = []
        for width, depth, block, down, *more in rows[: self.counts[-1]]:
            expansion, kernel, se = more or (EXPANSIONS[0], KERNELS[0], 0)
            width = _nearest(width * share, self.widths)
            depth = _nearest(depth, self.values["depth"])
            block = block if block in self.values["block"] else self.values["block"][0]
            made.append((width, depth, block, expansion, kernel, se, down))
        return tuple(made)

    def _good(self, stem: str | None = None) -> tuple[Any, ...]:
        """Return the recipe of a hand-made member.

        Images stay whole where little would be left of smaller ones behind the stem.
        """
        wished: dict[str, Any] = dict(MODERN)
        if stem and min(stem_shape(stem, self.input_shape)) * wished["resize"] < LEAST_SEEN:
            wished["resize"] = 1.0
        return tuple(_nearest(wished[name], self.values[name]) for name in RECIPE)

    # -- the operators ---------------------------------------------------------------------------

    def _fits(self, arch: Arch) -> bool:
        return self.cost(arch).multiply_adds <= self.bounds[1]

    def _smallest(self) -> Arch:
        """Return the architecture of least widths, depths and stages."""
        block = self.values["block"][0]
        row = (self.widths[0], self.values["depth"][0], block, EXPANSIONS[0], KERNELS[0], 0)
        stages = ((*row, "stride"),) * self.counts[0]
        recipe = tuple(self.values[name][0] for name in RECIPE)
        stem = "conv3s2" if "conv3s2" in self.stems else self.stems[0]
        return self.normal((stem, stages, HEADS[0], ACTIVATIONS[0], recipe))

    def _structure(self, rng: random.Random) -> Arch:
        """Return a random architecture of least widths, without a recipe."""
        count = rng.choice(self.counts)
        common = _drawn(self.values["block"], rng)
        stages = []
        for number in range(count):
            own = rng.random() < 0.2
            stages.append(self._stage(_drawn(self.values["block"], rng) if own else common, rng))
            if number:  # what follows the first stage works on smaller maps
                stages[-1] = (*stages[-1][:-1], _drawn(DOWNS[1:], rng))
        head, activation = rng.choice(HEADS), _drawn(ACTIVATIONS, rng)
        return (_drawn(self.stems, rng), tuple(stages), head, activation, ())

    def _stage(self, block: str, rng: random.Random) -> Stage:
        depth, se = rng.choice(self.values["depth"]), int(rng.random() < 0.15)
        expansion, kernel = rng.choice(EXPANSIONS), rng.choice(KERNELS)
        return (self.widths[0], depth, block, expansion, kernel, se, _drawn(DOWNS, rng))

    def _sized(self, arch: Arch, aim: float, rng: random.Random) -> Arch:
        """Return `arch` with the widths that come closest to a cost, each stage wider by a factor."""
        growth = [rng.choices((1.0, 1.5, 2.0, 0.75), (3, 4, 3, 0.5))[0] for _ in arch[1]]

        def with_first(width: int) -> Arch:
            stages, wide = [], float(width)
            for number, stage in enumerate(arch[1]):
                wide *= growth[number] if number else 1.0
                place = bisect.bisect_left(self.widths, wide - STEP / 2)
                stages.append((self.widths[min(place, len(self.widths) - 1)], *stage[1:]))
            return (arch[0], tuple(stages), *arch[2:])

        made = [with_first(width) for width in self.widths]
        return min(made, key=lambda each: abs(math.log(self.cost(each).multiply_adds / aim)))

    def _recipe(self, rng: random.Random) -> tuple[Any, ...]:
        """Return a recipe that differs from a good one in about a quarter of its genes."""
        good = self._good()
        return tuple(
            value if rng.random() < 0.75 else self._near(name, value, rng)
            for name, value in zip(RECIPE, good, strict=True)
        )

    def _near(self, name: str, value: Any, rng: random.Random) -> Any:
        """Return another value of a gene: a neighbour on a scale, any other one else."""
        options = self.values[name]
        place = options.index(value)
        if name in ("rate", "weight_decay", "label_smoothing", "depth"):
            places = [at for at in (place - 1, place + 1) if 0 <= at < len(options)]
        elif name == "width":
            places = [at for at, width in enumerate(options) if value / 2 <= width <= 2 * value]
            places.remove(place)
        else:
            places = [at for at in range(len(options)) if at != place]
        return options[rng.choice(places)] if places else value

    def _other_stage(self, arch: Arch, rng: random.Random) -> Move | None:
        number, gene = rng.randrange(len(arch[1])), rng.choices(STAGE, (3, 2, 1, 1, 1, 1, 1))[0]
        stage = list(arch[1][number])
        stage[STAGE.index(gene)] = self._near(gene, stage[STAGE.index(gene)], rng)
        stages = (*arch[1][:number], tuple(stage), *arch[1][number + 1 :])
        return Move((arch[0], stages, *arch[2:]), gene)

    def _other_frame(self, arch: Arch, rng: random.Random) -> Move | None:
        at, gene = rng.choice(((0, "stem"), (2, "head"), (3, "activation")))
        others = [value for value in self._options(gene) if value != arch[at]]
        if not others:
            return None
        return Move((*arch[:at], rng.choice(others), *arch[at + 1 :]), gene)

    def _other_recipe(self, arch: Arch, rng: random.Random) -> Move | None:
        return self._other_gene(arch, rng.randrange(len(RECIPE)), rng)

    def _other_gene(self, arch: Arch, at: int, rng: random.Random) -> Move:
        value = self._near(RECIPE[at], arch[4][at], rng)
        return Move((*arch[:4], (*arch[4][:at], value, *arch[4][at + 1 :])), RECIPE[at])

    def _longer(self, arch: Arch, rng: random.Random) -> Move | None:
        """Repeat the last stage at half the map."""
        if len(arch[1]) == self.counts[-1]:
            return None
        added = (*arch[1][-1][:-1], _drawn(DOWNS[1:], rng))
        return Move((arch[0], (*arch[1], added), *arch[2:]), "add-stage")

    def _shorter(self, arch: Arch, rng: random.Random) -> Move | None:
        if len(arch[1]) == self.counts[0]:
            return None
        return Move((arch[0], arch[1][:-1], *arch[2:]), "remove-stage")


def stems_of(input_shape: Sequence[int]) -> tuple[str, ...]:
    """Return the stems that suit images of a size, the first one for hand-made members."""
    edge = min(input_shape[1:])
    if edge >= LARGE:
        return ("conv3s2", "patch2")
    return ("conv3", "patch2") if edge >= 16 else ("conv3",)


def resizes_of(
    input_shape: Sequence[int], options: Sequence[float] = GENES["resize"]
) -> tuple[float, ...]:
    """Return the options for the size at the beginning of a training; small images stay whole."""
    return tuple(options) if min(input_shape[1:]) >= 24 else (1.0,)


def shifts_of(
    input_shape: Sequence[int], options: Sequence[int] = GENES["shift"]
) -> tuple[int, ...]:
    """Return the options for a shift that are at most an eighth of the image's edge. [pixels]"""
    return tuple(each for each in options if each <= min(input_shape[1:]) // 8) or (0,)


def default_bounds(input_shape: Sequence[int]) -> tuple[int, int]:
    """Return the least multiply-adds of a sample, and the most of a network, for images of a size.

    Smaller images have fewer pixels; from 64 pixels on every stem halves the image first.
    """
    edge = math.sqrt(math.prod(input_shape[1:]))
    scale = min(1.0, (edge / 32) ** 2) * max(1.0, (edge / LARGE) ** 2)
    return max(1, round(1_500_000 * scale)), max(200_000, round(120_000_000 * scale))


def stem_shape(stem: str, input_shape: Sequence[int]) -> tuple[int, int]:
    """Return height and width behind a stem. [pixels]"""
    height, width = input_shape[1:]
    if stem == "patch2":
        return height // 2, width // 2
    return halved((height, width)) if stem == "conv3s2" else (height, width)


def stem_width(stages: Sequence[Stage]) -> int:
    """Return the channels that a stem makes: half of those of the first stage, a multiple of 8."""
    return bottleneck_width(int(stages[0][0]))


def bottleneck_width(width: int) -> int:
    """Return the inner channels of a bottleneck block: half, a multiple of 8."""
    return max(STEP, width // 2 // STEP * STEP)


def halved(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the shape behind a stride or a pooling of 2, rounded up. [pixels]"""
    return -(-shape[0] // 2), -(-shape[1] // 2)


def _cost(layer: Layer) -> Cost:
    """Return the cost of one block, norms and squeeze-excitation included."""
    area, full = math.prod(layer.made), math.prod(layer.given)
    strided = layer.down == "stride"
    if layer.down == "max-pool" and layer.block != "plain":
        full = area  # pooled first
    c_in, c = layer.c_in, layer.c_out
    inner: list[tuple[int, int, int]] = []  # filters, norms' channels, pixels
    squeezed = c
    match layer.block:
        case "plain":
            pixels = full if layer.down == "max-pool" else area
            inner = [(9 * c_in * c, c, pixels)]
        case "residual":
            inner = [(9 * c_in * c, c, area), (9 * c * c, c, area)]
        case "bottleneck":
            mid = bottleneck_width(c)
            inner = [(c_in * mid, mid, full), (9 * mid * mid, mid, area), (mid * c, c, area)]
        case _:
            squeezed = mid = c_in * layer.expansion
            depthwise = layer.kernel**2 * mid
            inner = [(c_in * mid, mid, full), (depthwise, mid, area), (mid * c, c, area)]
    if layer.block in ("residual", "bottleneck") and (c_in != c or strided):
        inner.append((c_in * c, c, area))  # the shortcut
    weights = sum(filters + 2 * norms for filters, norms, _ in inner)
    products = sum(filters * pixels for filters, _, pixels in inner)
    if layer.se:
        hidden = max(STEP, squeezed // 4)
        weights += 2 * squeezed * hidden + squeezed + hidden
        products += 2 * squeezed * hidden
    return Cost(weights, products)


def _drawn(options: Sequence[Any], rng: random.Random) -> Any:
    return rng.choices(options, [ODDS.get(option, 1) for option in options])[0]


def _nearest(wished: Any, options: tuple[Any, ...]) -> Any:
    """Return the option that is closest to a number; of texts the wished one, else the last."""
    if isinstance(wished, str):
        return wished if wished in options else options[-1]
    return min(options, key=lambda option: abs(option - wished))


def _some(name: str, values: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    if not values or set(values) - set(known) or len(set(values)) < len(values):
        raise SettingError(f"{name}={tuple(values)}: some of {', '.join(known)}, each once")
    return tuple(values)


def _numbers(name: str, values: Sequence[Any], least: float, most: float) -> tuple[Any, ...]:
    if not values or len(set(values)) < len(values) or not all(least <= v <= most for v in values):
        raise SettingError(f"{name}={tuple(values)}: numbers from {least} to {most}, each once")
    return tuple(values)


def _check(name: str, value: Any, options: Sequence[Any]) -> None:
    if value not in options:
        raise InvalidArchitecture(
            f"{name} {value!r} is not of this space: {', '.join(map(str, options))}"
        )
