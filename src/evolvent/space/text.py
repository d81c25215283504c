"""Networks for texts: a bag of n-grams, convolutions over words and a small recurrent unit.

The logits of the branches add, and a branch may be missing, but not all of them. An architecture is the
tuple of its genes, in the order of `GENES`:

=============== ====================================================================================
orders          longest n-grams of the bag; 0 is no bag [tokens]
bits            the bag's table has 2^bits rows, to which n-grams are hashed
counted         ``set``: an n-gram counts once per text; ``repeats``: as often as it occurs
width           numbers per row; with 1, a row holds the logits themselves
pool            ``sum`` or ``mean`` over the n-grams
start           ``bayes``: of width 1, from the log ratios of naive Bayes; or ``fresh``
thinning        share of the n-grams that are left out at random in training
convolutions    ``none``, or the words that filters see, such as ``3-4-5``
filters         of every length
top             values of a filter that are kept
gru             outputs of the recurrent unit; 0 is none
dimension       of the vectors of words, which convolutions and the recurrent unit read
window          words that they see: the first third and the last two of a longer text
dropout         before every dense layer
rate            learning rate as a multiple of `LR`
weight_decay    of the training, as are the following
label_smoothing share of the target spread over all classes
schedule        of the learning rate
longest         training that is worth it; what starts from naive Bayes soon knows its texts by heart
=============== ====================================================================================

What wins on texts depends on their number and length: bags of words and pairs started from naive
Bayes (Wang & Manning 2012) are hard to beat with 10,000s of texts, and take seconds; of convolutions,
filters, their lengths and the dropout matter most (Zhang & Wallace 2015, 1510.03820).

Genes that have no effect have their first value; `normal` brings an architecture to this form.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from ..errors import InvalidArchitecture, SettingError
from ..types import Arch, Facts
from .drawing import Drawing, Sketch
from .flat import Flat, nearest
from .known import distinct, owned
from .text_members import MEMBERS, USUAL

LR = 1e-3  # where the gene `rate` is 1
#: gene -> its alternatives, in their order
GENES: dict[str, tuple[Any, ...]] = {
    "orders": (0, 1, 2, 3),
    "bits": (16, 17, 18, 19, 20),
    "counted": ("set", "repeats"),
    "width": (1, 4, 8, 16, 32, 64),
    "pool": ("sum", "mean"),
    "start": ("fresh", "bayes"),
    "thinning": (0.0, 0.25, 0.5, 0.7),
    "convolutions": ("none", "3", "2-3", "1-2-3", "3-4-5", "2-3-4-5"),
    "filters": (16, 32, 64, 100),
    "top": (1, 2, 4),
    "gru": (0, 16, 32),
    "dimension": (16, 32, 64),
    "window": (64, 128, 256, 400),
    "dropout": (0.0, 0.2, 0.5),
    "rate": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    "weight_decay": (0.0, 0.01, 0.1, 1.0),
    "label_smoothing": (0.0, 0.05, 0.1, 0.2),
    "schedule": ("cosine", "one-cycle", "constant"),
    "longest": (1.0, 2.0, 3.0, 5.0, 8.0, 16.0),
}
NAMES = tuple(GENES)
RECIPE = (
    "weight_decay",
    "label_smoothing",
    "schedule",
    "longest",
)  # hyperparameters of the training by name
BRANCHES = ("orders", "convolutions", "gru")  # of which the first value is none
#: genes in the order of decisions: the branches first, then what depends on them
ORDER = tuple(dict.fromkeys((*BRANCHES, "width", "bits", *NAMES)))
#: genes whose values have no order: any one is next to any other
UNORDERED = ("counted", "pool", "start", "convolutions", "schedule")
_BAG = ("bits", "counted", "width", "pool", "start", "thinning")
_CONVOLUTIONS = ("filters", "top")
_VECTORS = ("dimension", "window")


class Genes(NamedTuple):
    """An architecture, gene by gene."""

    orders: int
    bits: int
    counted: str
    width: int
    pool: str
    start: str
    thinning: float
    convolutions: str
    filters: int
    top: int
    gru: int
    dimension: int
    window: int
    dropout: float
    rate: float
    weight_decay: float
    label_smoothing: float
    schedule: str
    longest: float


class Text(Flat):
    """Networks for texts, with the recipe of their training.

    Args:
        vocabulary: different tokens of the vectors of words; others are one unknown word. [count]
        outputs: classes. [count]
        orders: alternatives for the longest n-grams, out of 0 to 3; 0 is no bag. [tokens]
        bits: alternatives for the table's size, out of 16 to 20; a table keeps to `numbers`. With some
            hundred classes it cannot hold the logits themselves, so that `width` 1 is left out.
        convolutions: alternatives, out of those of `GENES`.
        grus: alternatives for the recurrent unit, out of 0, 16 and 32. [count]
        numbers: most of them in the bag's table. [count]
        known: architectures of one's own, asked before those of the space; one, or a list.

    Raises:
        SettingError: for an alternative outside these, or where no branch is left.
    """

    family = "text"
    kinds = frozenset({"text"})
    gives = frozenset({"canonical", "crossover", "decisions", "drawing", "known", "training"})
    names, order, unordered, recipe = NAMES, ORDER, UNORDERED, RECIPE
    lr, usual = LR, USUAL

    def __init__(
        self,
        vocabulary: int = 20,
        outputs: int = 3,
        input_shape: tuple[int, ...] = (9,),
        *,
        orders: tuple[int, ...] = GENES["orders"],
        bits: tuple[int, ...] = GENES["bits"],
        convolutions: tuple[str, ...] = GENES["convolutions"],
        grus: tuple[int, ...] = GENES["gru"],
        numbers: int = 2**24,
        known: Sequence[Any] = (),
    ) -> None:
        if len(input_shape) != 1 or not vocabulary:
            raise SettingError(
                f"inputs of shape {tuple(input_shape)}, {vocabulary} different tokens: this space is "
                "for texts, name their column with --text"
            )
        self.vocabulary, self.outputs = vocabulary, outputs
        self.input_shape = tuple(input_shape)
        self.numbers = numbers
        self.values = GENES | {
            "orders": _some("orders", orders, GENES["orders"]),
            "bits": _some("bits", bits, GENES["bits"]),
            "convolutions": _some("convolutions", convolutions, GENES["convolutions"]),
            "gru": _some("grus", grus, GENES["gru"]),
        }
        if not any(self._is_on(name, value) for name in BRANCHES for value in self.values[name]):
            raise SettingError(
                f"orders={orders}, convolutions={convolutions}, grus={grus}: no branch is left"
            )
        least = self.values["bits"][0]
        self.values["width"] = tuple(
            width for width in GENES["width"] if self._columns(width) << least <= numbers
        )
        if not self.values["width"]:
            raise SettingError(
                f"numbers={numbers}, bits={bits}: not even the smallest table fits: raise numbers, or "
                "give fewer bits"
            )
        self.own = owned(known, self.checked, "space.known")

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the texts of `task`."""
        return cls(task.vocabulary, task.outputs, task.shape, **settings)

    # -- what is valid ---------------------------------------------------------------------------

    def genes(self, arch: Arch) -> Genes:
        """Return the genes of an architecture in its `normal` form."""
        return Genes(*self.normal(arch))

    def checked(self, arch: Arch) -> Arch:
        """Return the `normal` form of an architecture that someone wrote.

        Raises:
            InvalidArchitecture: naming the gene that is not of this space.
        """
        made = self._of_this_space(arch)
        if not self._has_branch(made):
            raise InvalidArchitecture(
                f"{arch!r} has no branch: orders above 0, convolutions, or gru above 0 are needed"
            )
        if not self._fits(made):
            genes = Genes(*made)
            raise InvalidArchitecture(
                f"its table has {self._columns(genes.width) << genes.bits:,} numbers, at most "
                f"{self.numbers:,}: lower bits or width, or raise space.numbers"
            )
        return made

    def _is_on(self, name: str, value: Any) -> bool:
        return bool(value != GENES[name][0])

    def _counts(self, name: str, chosen: Mapping[str, Any]) -> bool:
        """Whether a gene has an effect, given those before it; of the branches, all are before it."""
        bag = self._is_on("orders", chosen["orders"])
        if name in _BAG:
            return bag and (name != "start" or chosen["width"] == GENES["width"][0])
        if name in _CONVOLUTIONS:
            return self._is_on("convolutions", chosen["convolutions"])
        if name in (*_VECTORS, "dropout"):
            words = any(self._is_on(each, chosen[each]) for each in ("convolutions", "gru"))
            dense = bag and chosen["width"] != GENES["width"][0]
            return words or (name == "dropout" and dense)
        return True

    def _columns(self, width: int) -> int:
        """Return the numbers per row of a table. [count]"""
        return width if width > 1 else 1 if self.outputs == 2 else self.outputs

    def _fits(self, arch: Arch) -> bool:
        genes = Genes(*arch)
        fits = genes.orders == 0 or self._columns(genes.width) << genes.bits <= self.numbers
        return fits and self._has_branch(arch)

    def members(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the genes of the hand-made members by name, as far as they differ from the usual."""
        return MEMBERS

    def _alive(self, arch: Arch, rng: random.Random) -> Arch:
        """Return the `normal` form, with one branch switched on where there is none."""
        if not self._has_branch(arch):
            name = rng.choice([name for name in BRANCHES if self._usable(name)])
            at = NAMES.index(name)
            arch = (*arch[:at], rng.choice(self._usable(name)), *arch[at + 1 :])
        return self.normal(arch)

    def _usable(self, name: str) -> tuple[Any, ...]:
        return tuple(value for value in self.values[name] if self._is_on(name, value))

    def _has_branch(self, arch: Arch) -> bool:
        return any(self._is_on(name, arch[NAMES.index(name)]) for name in BRANCHES)

    # -- decisions -------------------------------------------------------------------------------

    def _legal(self, name: str, chosen: Mapping[str, Any]) -> tuple[int, ...]:
        options = self.values[name]
        every = range(len(options))
        if name in BRANCHES:
            left = BRANCHES[BRANCHES.index(name) + 1 :]
            on = any(self._is_on(each, chosen[each]) for each in BRANCHES if each in chosen)
            later = any(self._usable(each) for each in left)
            return tuple(at for at in every if on or later or self._is_on(name, options[at]))
        if not self._counts(name, chosen):
            return (0,)
        if name in ("width", "bits"):
            return tuple(at for at in every if self._narrow(name, options[at], chosen)) or (0,)
        return tuple(every)

    def _narrow(self, name: str, value: Any, chosen: Mapping[str, Any]) -> bool:
        """Whether a table of this width, at its least rows, or of so many rows keeps the limit."""
        width = value if name == "width" else chosen["width"]
        bits = value if name == "bits" else min(self.values["bits"])
        return bool(self._columns(width) << bits <= self.numbers)

    # -- drawing and known members ---------------------------------------------------------------

    def drawing(self, arch: Arch) -> Drawing:
        """Return the branches side by side, and the recipe as facts."""
        genes, sketch = self.genes(arch), Sketch()
        start = sketch.node("input", "tokens", "input")
        ends = []
        if genes.orders:
            what = f"{2**genes.bits:,} rows x {genes.width}, {genes.pool}, {genes.start}"
            label = f"{_ORDERS[genes.orders]} ({genes.counted}): {what}"
            ends.append(sketch.node("bag", label, "other"))
            sketch.edge(start, ends[-1])
        if genes.convolutions != "none" or genes.gru:
            label = f"vectors of {genes.dimension}, {genes.window} words"
            sketch.edge(start, words := sketch.node("vectors", label, "other"))
            for id, text, kind in self._readers(genes):
                ends.append(sketch.node(id, text, kind))
                sketch.edge(words, ends[-1])
        last = sketch.node("output", f"sum of logits, {self.outputs}", "output")
        for end in ends:
            sketch.edge(end, last)
        sketch.fact("learning rate", f"{genes.rate * LR:g}")
        for name in ("thinning", "dropout", *RECIPE):
            sketch.fact(name.replace("_", " "), getattr(genes, name))
        return sketch.done()

    def _readers(self, genes: Genes) -> Iterator[tuple[str, str, str]]:
        """Yield id, label and kind of what reads the vectors of words."""
        if genes.convolutions != "none":
            label = f"convolutions {genes.convolutions} x {genes.filters}, top {genes.top}"
            yield "convolutions", label, "convolution"
        if genes.gru:
            yield "gru", f"gru {genes.gru}", "other"

    def known(self, facts: Facts) -> dict[str, Arch]:
        """Return hand-made members by name, one's own first, then the best first.

        A member that needs a branch or a table that the space has not is left out or made smaller.

        Args:
            facts: of the data; the space was made for them already.
        """
        found = {}
        for name, said in MEMBERS.items():
            genes = USUAL | said
            if any(genes[each] not in self.values[each] for each in BRANCHES):
                continue
            near = {each: nearest(genes[each], self.values[each]) for each in NAMES}
            for bits in sorted(self.values["bits"], reverse=True):
                arch = tuple((near | {"bits": min(bits, near["bits"])}).values())
                if self._fits(arch):
                    found[name] = self.normal(arch)
                    break
        return distinct(self.own | found, self.canonical)


_ORDERS = {1: "words", 2: "words and pairs", 3: "words, pairs and triples"}


def kernels_of(convolutions: str) -> tuple[int, ...]:
    """Return the words that the filters of a branch see, one number per length."""
    return () if convolutions == "none" else tuple(map(int, convolutions.split("-")))


def _some(name: str, values: Sequence[Any], known: Sequence[Any]) -> tuple[Any, ...]:
    """Return some of the known values, in their order."""
    if not values or set(values) - set(known):
        raise SettingError(f"{name}={tuple(values)}: some of {', '.join(map(str, known))}")
    return tuple(value for value in known if value in values)
