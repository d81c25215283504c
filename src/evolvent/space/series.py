"""Networks for series of numbers [C, T], and for windows of a series that goes on.

The outputs of the branches add, and a branch may be missing, but not all of them. An architecture is
the tuple of its genes, in the order of `GENES`:

============= ======================================================================================
normalisation of every series: ``none``; ``each``: by its own mean and spread; ``last``: from its last
              value. Of a window, a forecast is brought back to the level of its series
linear        1 for a linear model of all values: an autoregression
kernels       filters of a bank of random convolutions; 0 is none
dense         units of two dense layers on all values; 0 is none
depth         residual blocks of convolutions; 0 is none
width         channels of the first; a later one has twice as many
kernel        steps that a filter sees
dilated       1 for filters that see twice as far in every next block
stride        of the first block; what follows is so much cheaper
pool          of every channel at the end: its ``mean``, its largest (``max``) or its ``last`` value
start         of the linear model and the bank: ``ridge``, a ridge regression of the training rows; or
              ``fresh``, zeros
dropout       within blocks and dense layers
rate          learning rate as a multiple of `LR`
weight_decay  of the training, as are the following
batch         series per step
longest       training that is worth it
============= ======================================================================================

Genes that have no effect have their first value; `normal` brings an architecture to this form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from ..errors import InvalidArchitecture, SettingError
from ..types import Arch, Facts
from .drawing import Drawing, Sketch
from .flat import Flat, nearest
from .known import distinct, owned
from .series_members import AHEAD, USUAL, WHOLE

LR = 3e-3  # where the gene `rate` is 1
#: gene -> its alternatives, in their order
GENES: dict[str, tuple[Any, ...]] = {
    "normalisation": ("none", "each", "last"),
    "linear": (0, 1),
    "kernels": (0, 128, 256, 512),
    "dense": (0, 32, 64, 128, 256),
    "depth": (0, 1, 2, 3),
    "width": (16, 32, 64),
    "kernel": (3, 5, 7, 9),
    "dilated": (0, 1),
    "stride": (1, 2, 4),
    "pool": ("mean", "max", "last"),
    "start": ("fresh", "ridge"),
    "dropout": (0.0, 0.1, 0.2, 0.4),
    "rate": (0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0),
    "weight_decay": (0.0, 1e-3, 1e-2, 1e-1),
    "batch": (16, 32, 64, 128, 256),
    "longest": (5.0, 10.0, 20.0, 60.0, 200.0),
}
NAMES = tuple(GENES)
RECIPE = ("weight_decay", "batch", "longest")  # hyperparameters of the training by name
BRANCHES = ("linear", "kernels", "dense", "depth")  # of which the first value is none
UNORDERED = ("normalisation", "pool")
CONVOLUTIONS = ("width", "kernel", "dilated", "stride", "pool")
STEPS = 4  # of an epoch, at least, in a training with the largest batch [count]


class Series(Flat):
    """Networks for series, with the recipe of their training.

    Args:
        input_shape: (C, T).
        outputs: classes; or quantities, such as one per step that is forecast. [count]
        ahead: steps after its end that are forecast of the first channel; 0 is none. [count]
        rows: to train on; larger batches than suit so many are left out; 0 leaves none out. [count]
        branches: alternatives, out of `BRANCHES`.
        multiply_adds: most of any network, for one input. [count]
        known: architectures of one's own, asked before those of the space; one, or a list.

    Raises:
        SettingError: for an alternative outside these, and where not even the smallest network keeps
            the limit.
    """

    family = "series"
    kinds = frozenset({"series"})
    gives = frozenset(
        {"canonical", "crossover", "decisions", "drawing", "known", "sized", "training"}
    )
    names, order, unordered, recipe = NAMES, NAMES, UNORDERED, RECIPE
    lr, usual = LR, USUAL

    def __init__(
        self,
        input_shape: tuple[int, ...] = (1, 24),
        outputs: int = 3,
        ahead: int = 0,
        rows: int = 0,
        *,
        branches: tuple[str, ...] = BRANCHES,
        multiply_adds: int = 20_000_000,
        known: Sequence[Any] = (),
    ) -> None:
        if len(input_shape) != 2:
            raise SettingError(f"inputs of shape {tuple(input_shape)}: series is for (C, T)")
        if not branches or set(branches) - set(BRANCHES):
            raise SettingError(f"branches={tuple(branches)}: some of {', '.join(BRANCHES)}")
        self.input_shape, self.outputs, self.ahead = tuple(input_shape), outputs, ahead
        self.multiply_adds = multiply_adds
        length = self.input_shape[1]
        self.values = dict(GENES)
        if not ahead:
            self.values["normalisation"] = ("none", "each")
            self.values["linear"] = (0,)
        for name in set(BRANCHES) - set(branches):
            self.values[name] = self.values[name][:1]
        if len(branches) == len([b for b in branches if len(self.values[b]) == 1]):
            raise SettingError(
                f"branches={tuple(branches)}: a linear model of all values is for forecasts; name "
                "another branch too"
            )
        self.values["stride"] = tuple(s for s in GENES["stride"] if s == 1 or length >= 16 * s)
        self.values["batch"] = tuple(
            b for b in GENES["batch"] if b == GENES["batch"][0] or not rows or b * STEPS <= rows
        )
        least = min(
            self.cost(self.normal(tuple(self._least(name).values())))
            for name in BRANCHES
            if len(self.values[name]) > 1
        )
        if least > multiply_adds:
            raise SettingError(
                f"multiply_adds={multiply_adds}: not even the smallest network keeps the limit, it has "
                f"{least:,}: raise it"
            )
        self.own = owned(known, self.checked, "space.known")

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the series of `task`."""
        rows = task.counts.get("train", 0)
        return cls(task.shape, task.outputs, task.ahead, rows, **settings)

    def sized(self, multiply_adds: int) -> dict[str, Any]:
        """Return the settings with which no network has more multiply-adds."""
        return {"multiply_adds": min(self.multiply_adds, multiply_adds)}

    def _least(self, branch: str) -> dict[str, Any]:
        """Return the cheapest genes with one branch alone."""
        least = {name: values[0] for name, values in self.values.items()}
        least |= {branch: self.values[branch][1], "stride": self.values["stride"][-1]}
        return least

    # -- what is valid ---------------------------------------------------------------------------

    def genes(self, arch: Arch) -> dict[str, Any]:
        """Return the genes of an architecture by name, in its `normal` form."""
        return self._named(self.normal(arch))

    def checked(self, arch: Arch) -> Arch:
        """Return the `normal` form of an architecture that someone wrote.

        Raises:
            InvalidArchitecture: naming the gene that is not of this space, or the limit.
        """
        made = self._of_this_space(arch)
        if not self._has_branch(made):
            raise InvalidArchitecture(
                f"{arch!r} has no branch: one of {', '.join(BRANCHES)} above 0 is needed"
            )
        if (has := self.cost(made)) > self.multiply_adds:
            raise InvalidArchitecture(
                f"{has:,} multiply-adds, at most {self.multiply_adds:,}: fewer kernels, less width or "
                "depth, or raise space.multiply_adds"
            )
        return made

    def _counts(self, name: str, chosen: Mapping[str, Any]) -> bool:
        """Whether a gene has an effect, given those before it."""
        if name == "dilated":
            return bool(chosen["depth"] > 1)
        if name in CONVOLUTIONS:
            return bool(chosen["depth"])
        if name == "start":
            return bool(chosen["linear"] or chosen["kernels"])
        if name == "dropout":
            return bool(chosen["dense"] or chosen["depth"])
        return True

    def _has_branch(self, arch: Arch) -> bool:
        return any(arch[NAMES.index(name)] for name in BRANCHES)

    def _fits(self, arch: Arch) -> bool:
        return self._has_branch(arch) and self.cost(arch) <= self.multiply_adds

    def cost(self, arch: Arch) -> int:
        """Return the multiply-adds of convolutions and dense layers for one input. [count]"""
        genes = self._named(arch)
        channels, length = self.input_shape
        values = channels * length
        features = values * genes["linear"] + 5 * genes["kernels"]
        total = genes["kernels"] * min(9, length) * values + features * self.outputs
        if genes["dense"]:
            total += genes["dense"] * (values + genes["dense"] + self.outputs)
        c_in, left = channels, -(-length // genes["stride"])
        for c_out in widths_of(genes):
            total += left * c_out * (genes["kernel"] * (c_in + c_out) + c_in)
            c_in = c_out
        return int(total + (c_in * self.outputs if genes["depth"] else 0))

    def members(self) -> dict[str, dict[str, Any]]:
        """Return the genes of the hand-made members by name, as far as they differ from the usual."""
        return AHEAD if self.ahead else WHOLE

    def _possible(self, chosen: Mapping[str, Any]) -> bool:
        free = [name for name in BRANCHES if name not in chosen and len(self.values[name]) > 1]
        on = any(chosen.get(name) for name in BRANCHES)
        bases = [self._least(name) for name in free]
        if on:
            least = {name: values[0] for name, values in self.values.items()}
            bases.append(least | {"stride": self.values["stride"][-1]})
        return any(self._fits(self.normal(tuple({**base, **chosen}.values()))) for base in bases)

    # -- drawing and known members ---------------------------------------------------------------

    def drawing(self, arch: Arch) -> Drawing:
        """Return the branches side by side, and the recipe as facts."""
        genes, sketch = self.genes(arch), Sketch()
        channels, length = self.input_shape
        last = sketch.node("input", f"{channels} x {length} values", "input")
        if genes["normalisation"] != "none":
            label = f"normalisation: {genes['normalisation']}"
            sketch.edge(last, each := sketch.node("normalisation", label, "other"))
            last = each
        ends = []
        for id, steps in self._branches(genes).items():
            before = last
            for number, (label, kind) in enumerate(steps):
                node = sketch.node(f"{id}{number}" if len(steps) > 1 else id, label, kind)
                sketch.edge(before, node)
                before = node
            ends.append(before)
        output = sketch.node("output", f"sum, {self.outputs}", "output")
        for end in ends:
            sketch.edge(end, output)
        sketch.fact("learning rate", f"{genes['rate'] * LR:g}")
        for name in ("start", "dropout", *RECIPE):
            sketch.fact(name.replace("_", " "), genes[name])
        return sketch.done()

    def _branches(self, genes: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
        """Return branch -> the labels and kinds of its boxes."""
        found: dict[str, list[tuple[str, str]]] = {}
        if genes["linear"]:
            found["linear"] = [("linear in all values", "dense")]
        if genes["kernels"]:
            found["kernels"] = [(f"{genes['kernels']} random convolutions", "convolution")]
        if genes["dense"]:
            found["dense"] = [(f"2 dense layers of {genes['dense']}", "dense")]
        if genes["depth"]:
            found["depth"] = [
                (f"2 convolutions {genes['kernel']} x {width}, dilation {dilation}", "convolution")
                for width, dilation in zip(widths_of(genes), dilations_of(genes), strict=True)
            ] + [(f"{genes['pool']} of every channel", "pooling")]
        return found

    def known(self, facts: Facts) -> dict[str, Arch]:
        """Return hand-made members by name, one's own first, then the best first.

        A member that needs a branch that the space has not, or costs too much, is left out.

        Args:
            facts: of the data; the space was made for them already.
        """
        found = {}
        for name, said in self.members().items():
            genes = USUAL | said
            if any(genes[each] and len(self.values[each]) == 1 for each in BRANCHES):
                continue
            near = tuple(nearest(genes[each], self.values[each]) for each in NAMES)
            if self._fits(made := self.normal(near)):
                found[name] = made
        return distinct(self.own | found, self.canonical)


def widths_of(genes: Mapping[str, Any]) -> list[int]:
    """Return the channels of every block of convolutions."""
    return [genes["width"] * (1 if block == 0 else 2) for block in range(genes["depth"])]


def dilations_of(genes: Mapping[str, Any]) -> list[int]:
    """Return the dilation of every block of convolutions."""
    return [2**block if genes["dilated"] else 1 for block in range(genes["depth"])]
