"""Tabular: dense networks for tables of numbers, from the scaling of the inputs to the training.

On tables the treatment of the inputs decides more than the layers behind it: this is the space of what
made plain networks as good as boosted trees, the embeddings of numbers of Gorishniy et al. 2022
(2203.05556), the scaling and training of RealMLP (Holzmüller et al. 2024, 2407.04491) and the members
of TabM (Gorishniy et al. 2024, 2410.24210). An architecture is a value for every gene, in this order:

================ ==================================================================================
scaling          of numbers: ``standard``, ``robust`` (smoothly clipped) or ``quantile``
embedding        of numbers: ``none``, ``piecewise`` (linear in quantile bins) or ``periodic``
embedding_width  outputs of every number's embedding
embedding_size   its quantile bins, or its frequencies
sigma            initial scale of the frequencies of a ``periodic`` one
category_width   outputs of every category's embedding; 0 leaves an input for each of its values
scaled           1 for a learnt factor of every input of the first layer
depth            hidden layers; 0 is a linear model on the embeddings
width            units of each
activation       ``relu``, ``silu``, ``selu`` or ``mish``
norm             ``none`` or ``batch``
residual         1 for layers that are added to their input, from the second on
dropout          behind every hidden layer
members          networks that share all weights but factors of their inputs and their last layer;
                 their answers are averaged; 1 is a plain network
optimizer        with ``rate``, ``weight_decay``, ``label_smoothing``, ``batch``, ``average`` and
                 ``most_epochs``: the training
================ ==================================================================================

Genes that have no effect have their first value; `normal` brings an architecture to this form. `rate`
is a multiple of the optimizer's own learning rate (`LRS`), so that a change of the optimizer alone
leaves a sensible one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Self

from ..errors import InvalidArchitecture, SettingError
from ..types import Arch, Facts
from . import Move
from .drawing import Drawing, Sketch
from .flat import TRIES, Flat, nearest
from .known import distinct, owned
from .tabular_members import GOOD, MEMBERS

SCALINGS = ("standard", "robust", "quantile")
EMBEDDINGS = ("none", "piecewise", "periodic")
ACTIVATIONS = ("relu", "silu", "selu", "mish")
NORMS = ("none", "batch")
#: optimizer -> its learning rate where the gene `rate` is 1
LRS = {"adamw": 0.02, "muon": 0.1}
#: gene -> its values, smallest first where they have an order
GENES: dict[str, tuple[Any, ...]] = {
    "scaling": SCALINGS,
    "embedding": EMBEDDINGS,
    "embedding_width": (2, 4, 8, 16),
    "embedding_size": (8, 16, 32),
    "sigma": (0.03, 0.1, 0.3, 1.0, 3.0),
    "category_width": (0, 4, 8),
    "scaled": (0, 1),
    "depth": (0, 1, 2, 3, 4),
    "width": (16, 32, 64, 96, 128, 192, 256, 384, 512),
    "activation": ACTIVATIONS,
    "norm": NORMS,
    "residual": (0, 1),
    "dropout": (0.0, 0.1, 0.2, 0.35, 0.5),
    "members": (1, 4, 8, 16),
    "optimizer": ("adamw", "muon"),
    "rate": (0.125, 0.25, 0.5, 1.0, 2.0, 4.0),
    "weight_decay": (0.0, 1e-3, 1e-2, 3e-2, 1e-1),
    "label_smoothing": (0.0, 0.05, 0.1),
    "batch": (32, 64, 128, 256, 512),
    "average": (0.0, 0.25, 0.5),
    "most_epochs": (5, 10, 20, 40, 80, 160, 640),
}
RECIPE = (
    *("optimizer", "rate", "weight_decay", "label_smoothing", "batch", "average"),
    "most_epochs",
)
#: genes whose values have no order: any one is next to any other; longer than a run can train is
#: no other length, so that the next step would often change nothing
UNORDERED = ("scaling", "embedding", "activation", "norm", "optimizer", "most_epochs")
STEPS = 8  # of an epoch, at least, in a training with the largest batch [count]
NAMES = tuple(GENES)


class Tabular(Flat):
    """Dense networks on scaled and embedded columns, with the recipe of their training.

    Args:
        input_shape: (F,).
        outputs: of the network; 1 is a quantity, more are classes. [count]
        columns: kinds of the inputs, as in `Facts`; () takes all for numbers.
        rows: to train on; larger batches than suit so many are left out; 0 leaves none out. [count]
        scalings: alternatives, out of `SCALINGS`.
        embeddings: alternatives, out of `EMBEDDINGS`.
        depths: least and most hidden layers. [count]
        widths: least and most; values of the gene in between are alternatives. [units]
        members: alternatives, out of 1, 4, 8 and 16. [count]
        optimizers: alternatives, out of `LRS`.
        multiply_adds: most of any network, for one input. [count]
        known: architectures of one's own, asked before those of the space; one, or a list.

    Raises:
        SettingError: for an alternative outside these rules, and where not even the smallest network
            keeps the limit.
    """

    family = "tabular"
    kinds = frozenset({"numbers"})
    gives = frozenset(
        {"canonical", "crossover", "decisions", "drawing", "known", "lengths", "sized", "training"}
    )
    names, order, unordered, recipe = NAMES, NAMES, UNORDERED, RECIPE
    usual = GOOD

    def __init__(
        self,
        input_shape: tuple[int, ...] = (8,),
        outputs: int = 3,
        columns: tuple[tuple[str, int], ...] = (),
        rows: int = 0,
        *,
        scalings: tuple[str, ...] = SCALINGS,
        embeddings: tuple[str, ...] = EMBEDDINGS,
        depths: tuple[int, int] = (0, 4),
        widths: tuple[int, int] = (16, 512),
        members: tuple[int, ...] = GENES["members"],
        optimizers: tuple[str, ...] = GENES["optimizer"],
        multiply_adds: int = 20_000_000,
        known: Sequence[Any] = (),
    ) -> None:
        if len(input_shape) != 1:
            raise SettingError(f"inputs of shape {tuple(input_shape)}: tabular is for (F,)")
        self.input_shape, self.outputs = tuple(input_shape), outputs
        self.columns = columns or (("number", self.input_shape[0]),)
        if sum(count for _, count in self.columns) != self.input_shape[0]:
            raise SettingError(
                f"columns={self.columns}: their counts must add up to the {self.input_shape[0]} inputs"
            )
        self.numbers = sum(count for kind, count in self.columns if kind == "number")
        self.categories = tuple(count for kind, count in self.columns if kind == "category")
        self.multiply_adds = multiply_adds
        self.values: dict[str, tuple[Any, ...]] = GENES | {
            "scaling": _some("scalings", scalings, SCALINGS),
            "embedding": _some("embeddings", embeddings, EMBEDDINGS),
            "depth": _between("depths", depths, GENES["depth"]),
            "width": _between("widths", widths, GENES["width"]),
            "members": _some("members", members, GENES["members"]),
            "optimizer": _some("optimizers", optimizers, tuple(LRS)),
            "batch": batches_of(rows),
        }
        if (least := self.cost(self._cheapest({}))) > multiply_adds:
            raise SettingError(
                f"multiply_adds={multiply_adds}: not even the smallest network keeps the limit, it has "
                f"{least:,}: raise it, or lower depths or widths"
            )
        self.own = owned(known, self.checked, "space.known")

    @classmethod
    def of(cls, task: Facts, **settings: Any) -> Self:
        """Return the space for the columns of `task`."""
        rows = task.counts.get("train", 0)
        return cls(task.shape, task.outputs, task.columns, rows, **settings)

    def sized(self, multiply_adds: int) -> dict[str, Any]:
        """Return the settings with which no network has more multiply-adds."""
        return {"multiply_adds": min(self.multiply_adds, multiply_adds)}

    # -- what is valid ---------------------------------------------------------------------------

    def checked(self, arch: Arch) -> Arch:
        """Return the `normal` form of an architecture that someone wrote.

        Raises:
            InvalidArchitecture: naming the gene that is not of this space, or the limit.
        """
        made = self._of_this_space(arch)
        if (has := self.cost(made)) > self.multiply_adds:
            raise InvalidArchitecture(
                f"{has:,} multiply-adds, at most {self.multiply_adds:,}: lower a width or a depth, or "
                "raise space.multiply_adds"
            )
        return made

    def genes(self, arch: Arch) -> dict[str, Any]:
        """Return the genes of an architecture by name."""
        return self._named(arch)

    def _counts(self, name: str, chosen: Mapping[str, Any]) -> bool:
        match name:
            case "scaling" | "embedding":
                return self.numbers > 0
            case "embedding_width" | "embedding_size":
                return self.numbers > 0 and chosen["embedding"] != "none"
            case "sigma":
                return self.numbers > 0 and chosen["embedding"] == "periodic"
            case "category_width":
                return any(count > GENES[name][1] for count in self.categories)
            case "width" | "activation" | "norm" | "dropout" | "members":
                return bool(chosen["depth"] > 0)
            case "residual":
                return bool(chosen["depth"] > 1)
            case "label_smoothing":
                return self.outputs > 1
        return True

    # -- structure and cost ----------------------------------------------------------------------

    def embedded(self, arch: Arch) -> int:
        """Return the inputs of the first dense layer. [count]"""
        genes = self.genes(arch)
        each = 1 if genes["embedding"] == "none" else genes["embedding_width"]
        flags = self.input_shape[0] - self.numbers - sum(self.categories)
        width = genes["category_width"]
        categories = sum(min(count, width) if width else count for count in self.categories)
        return int(self.numbers * each + flags + categories)

    def cost(self, arch: Arch) -> int:
        """Return the multiply-adds of the dense layers and embeddings for one input. [count]"""
        genes, c_in, total = self.genes(arch), self.embedded(arch), 0
        width, size = genes["embedding_width"], genes["embedding_size"]
        if genes["embedding"] == "piecewise":
            total += self.numbers * size * width
        elif genes["embedding"] == "periodic":
            total += self.numbers * size * (width - 1)
        if width := genes["category_width"]:
            total += sum(count * width for count in self.categories if count > width)
        members = genes["members"]
        for _ in range(genes["depth"]):
            total += members * c_in * genes["width"]
            c_in = genes["width"]
        return int(total + members * c_in * self.outputs)

    def _fits(self, arch: Arch) -> bool:
        return self.cost(arch) <= self.multiply_adds

    # -- sample and move -------------------------------------------------------------------------

    def sample(self, rng: random.Random) -> Arch:
        """Return a network with random layers and embeddings, and a recipe around a good one."""
        for _ in range(TRIES):
            genes = {name: rng.choice(values) for name, values in self.values.items()}
            if rng.random() < 0.5:
                genes["members"] = self.values["members"][0]
            for name in RECIPE:
                genes[name] = nearest(GOOD[name], self.values[name])
                if rng.random() < 0.25:
                    genes[name] = self._near(name, genes[name], rng)
            arch = self.normal(tuple(genes.values()))
            if self._fits(arch):
                return arch
        return self._cheapest({})

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Change one gene that has an effect: to a value beside it on a scale, to any other one else.

        A draw that is too costly is repeated.
        """
        before = self.normal(arch)
        for _ in range(TRIES):
            name = rng.choice(NAMES)
            genes = self.genes(before)
            genes[name] = self._near(name, genes[name], rng)
            after = self.normal(tuple(genes.values()))
            if after != before and self._fits(after):
                return Move(after, name)
        return self._other_rate(before, rng)

    def training(self, arch: Arch) -> Mapping[str, Any]:
        """Return the genes of the recipe by the names of the training's hyperparameters."""
        genes = self.genes(arch)
        said = {name: genes[name] for name in RECIPE if name != "rate"}
        return said | {"lr": genes["rate"] * LRS[genes["optimizer"]]}

    def _cheapest(self, known: Mapping[str, Any]) -> Arch:
        """Return the cheapest architecture with the genes that are known, the first ones.

        Fewer inputs or a narrow layer may make the layers behind cheaper.
        """
        least = {name: values[0] for name, values in self.values.items()}
        archs = [
            self.normal(
                tuple(({**least, "category_width": each, "depth": depth, **known}).values())
            )
            for each in self.values["category_width"]
            for depth in self.values["depth"][:2]
        ]
        return min(archs, key=self.cost)

    # -- decisions -------------------------------------------------------------------------------

    def _possible(self, chosen: Mapping[str, Any]) -> bool:
        return self._fits(self._cheapest(chosen))

    # -- drawing ---------------------------------------------------------------------------------

    def drawing(self, arch: Arch) -> Drawing:
        """Return the layers as a column of boxes, and the recipe as facts."""
        genes, sketch = self.genes(arch), Sketch()
        last = sketch.node("input", f"{self.input_shape[0]} inputs", "input")
        steps = [("scaling", f"{genes['scaling']} scaling", "other")] if self.numbers else []
        if genes["embedding"] != "none":
            label = f"{genes['embedding']} {genes['embedding_size']} to {genes['embedding_width']}"
            label += f" sigma {genes['sigma']:g}" * (genes["embedding"] == "periodic")
            steps.append(("embedding", label, "other"))
        if genes["category_width"]:
            steps.append(("categories", f"categories to {genes['category_width']}", "other"))
        if genes["scaled"]:
            steps.append(("scale", "learnt factors", "other"))
        words = f"dense {genes['width']} {genes['activation']}"
        words += " batch norm" * (genes["norm"] == "batch")
        for layer in range(genes["depth"]):
            added = " + input" * bool(layer and genes["residual"])
            steps.append((f"dense{layer}", words + added, "dense"))
        for id, label, kind in (*steps, ("output", f"dense {self.outputs}", "output")):
            sketch.edge(last, sketch.node(id, label, kind))
            last = id
        for name in ("dropout", "members", *RECIPE):
            if name == "rate":
                sketch.fact("learning rate", f"{genes['rate'] * LRS[genes['optimizer']]:g}")
            else:
                sketch.fact(name.replace("_", " "), genes[name])
        return sketch.done()

    # -- known members ---------------------------------------------------------------------------

    def known(self, facts: Facts) -> dict[str, Arch]:
        """Return hand-made members by name, one's own first, then the best first.

        Values that the space has not are replaced by the nearest that it has; what is too costly here
        is made narrower.

        Args:
            facts: of the data; the space was made for them already.
        """
        found = {}
        for name, wished in MEMBERS.items():
            genes = GOOD | wished
            for width in [w for w in reversed(GENES["width"]) if w <= genes["width"]]:
                values = {**genes, "width": width}
                arch = tuple(nearest(values[gene], self.values[gene]) for gene in GENES)
                try:
                    found[name] = self.checked(arch)
                except InvalidArchitecture:
                    continue
                break
        return distinct(self.own | found, self.canonical)


def batches_of(rows: int) -> tuple[int, ...]:
    """Return the sizes of a batch that leave `STEPS` steps of an epoch; 0 rows is not known. [count]"""
    fitting = tuple(size for size in GENES["batch"] if not rows or size * STEPS <= rows)
    return fitting or GENES["batch"][:1]


def _some(name: str, values: Sequence[Any], known: Sequence[Any]) -> tuple[Any, ...]:
    if not values or set(values) - set(known) or len(set(values)) < len(values):
        raise SettingError(
            f"{name}={tuple(values)}: some of {', '.join(map(str, known))}, each once"
        )
    return tuple(values)


def _between(name: str, ends: tuple[int, int], known: Sequence[int]) -> tuple[int, ...]:
    found = tuple(value for value in known if ends[0] <= value <= ends[1])
    if not found:
        raise SettingError(
            f"{name}={tuple(ends)}: least and most, with some of {', '.join(map(str, known))} between"
        )
    return found
