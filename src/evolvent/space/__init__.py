"""The contract of a search space, and its optional capabilities.

A space needs only `sample`, `mutate`, `family` (the module of `network/families` that builds its
architectures, or ``"module:plan"`` for a function outside the package, so that spaces stay free of
torch) and `kinds` of task (images by default). Everything else is a capability, named in `gives` and
asked for by that name, never by the type of a space (`capabilities` returns a space typed as one):

========== ======================================================================================
crossover  ``crossover(a, b, rng) -> Move``
decisions  ``decision(prefix)``, ``encode``, ``decode``: an architecture as a sequence of choices
mixture    ``groups``, ``one_hot``, ``derive``: rows of operation weights, for weight sharing
canonical  ``canonical(arch)``: equal networks, equal value
start      ``start(rng)``: the minimal architecture, from which evolution may begin
sized      ``sized(multiply_adds)``: settings with which no network has more of them
widened    ``widened(arch, factor)``: all widths so many times as large, for ``Size.widen``
known      ``known(facts)``: hand-made architectures by name, best first, to start a search from
training   ``training(arch)``: training settings that the architecture carries
lengths    that training has its most epochs (`Hyperparameters.most_epochs`): runs may be long
aligned    ``alignment(archs)``, and ``crossover(fitter, other, rng, equal=...)``, gene by gene
weighted   the architecture carries its weights: it is not trained
parts      ``modules`` and ``blueprints(kinds)``, with operators of their own, and ``assemble``
listed     its architectures are those of a table and no others, in ``Facts.archs``
drawing    ``drawing(arch) -> Drawing``: boxes and arrows named by genes; every registered space has it
========== ======================================================================================
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from ..types import Arch, Facts
from .drawing import Drawing


class Move(NamedTuple):
    """A new architecture and the name of the operator that made it, for the lineage."""

    arch: Arch
    operator: str


@dataclass(frozen=True)
class Decision:
    """One decision of an architecture, given the decisions before it.

    Args:
        name: of the softmax that decides it; decisions of equal name share a vocabulary, so that a
            controller can share weights between them.
        kind: ``choice`` among alternatives, ``pointer`` to an earlier state, or ``bit``.
        size: size of the vocabulary. [count]
        legal: the values allowed here, ascending, within ``range(size)``.
    """

    name: str
    kind: Literal["choice", "pointer", "bit"]
    size: int
    legal: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """A named group of rows of operation weights.

    Args:
        name: such as ``"normal"``.
        rows: a label per row, such as ``"0>2"`` for an edge.
        columns: a label per column: the operations.
        nodes: a label per row, of the node that sums it up; () where every row is alone in its own.
    """

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    nodes: tuple[str, ...] = ()

    def sums(self) -> list[list[int]]:
        """Return the rows of every node, by their places."""
        labels = self.nodes or self.rows
        places: dict[str, list[int]] = {label: [] for label in labels}
        for place, label in enumerate(labels):
            places[label].append(place)
        return list(places.values())


@runtime_checkable
class Space(Protocol):
    """The set of architectures allowed, and the moves between them. All methods are pure."""

    family: str
    gives: frozenset[str]

    def sample(self, rng: random.Random) -> Arch:
        """Return a random valid architecture."""

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Return a valid neighbour of `arch`.

        The neighbour differs from `arch` if the space has another architecture. The exception is
        the operator ``"identity"``, in spaces whose papers let a child keep its parent's architecture.
        """


class Crossover(Protocol):
    """Capability ``crossover``."""

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Return a valid child of two architectures."""


class Aligned(Protocol):
    """Capability ``aligned``: genes are compared by the events that made them."""

    def alignment(self, archs: Sequence[Arch]) -> Callable[[Arch, np.ndarray], np.ndarray]:
        """Return `distance(arch, indices)`: distances [K] from the genes of `arch` to `archs[indices]`.

        `indices` [K] are places in `archs`.
        """

    def crossover(
        self, first: Arch, second: Arch, rng: random.Random, *, equal: bool = False
    ) -> Move:
        """Return a child; genes of only one parent come from `first`, unless both are `equal`."""


class PartSpace(Aligned, Protocol):
    """The operators of one kind of part, whose genes align. All are pure."""

    def start(self, rng: random.Random) -> Arch:
        """Return a minimal part."""

    def sample(self, rng: random.Random) -> Arch:
        """Return a random part."""

    def mutate(self, part: Arch, rng: random.Random) -> Move:
        """Return a valid neighbour of `part`."""


class Parts(Protocol):
    """Capability ``parts``: blueprints whose nodes point to kinds of modules.

    A kind is a number. The strategy that keeps the modules decides which kind each one is.
    """

    modules: PartSpace

    def blueprints(self, kinds: Sequence[int]) -> PartSpace:
        """Return the operators of blueprints that point to `kinds`."""

    def pointed_to(self, blueprint: Arch) -> tuple[int, ...]:
        """Return the kinds that `blueprint` points to, each once."""

    def pointed(self, blueprint: Arch, kinds: Mapping[int, int]) -> Arch:
        """Return `blueprint` with its nodes pointed to other kinds, old one -> new one."""

    def assemble(self, blueprint: Arch, modules: Mapping[int, Arch]) -> Arch:
        """Return the architecture of `blueprint` and one module per kind that it points to."""


class Drawn(Protocol):
    """Capability ``drawing``: a picture of an architecture, for pages and files."""

    def drawing(self, arch: Arch) -> Drawing:
        """Return boxes and arrows; equal genes have equal ids. `Sketch` builds a drawing."""


class Sized(Protocol):
    """Capability ``sized``: the cost of networks can be bounded."""

    def sized(self, multiply_adds: int) -> Mapping[str, Any]:
        """Return the settings of this space with which no network has more multiply-adds."""


class Widened(Protocol):
    """Capability ``widened``: what is searched among thin networks can be delivered wide."""

    def widened(self, arch: Arch, factor: float) -> Arch:
        """Return the architecture with all widths so many times as large; it may be beyond bounds."""


class KnownMembers(Protocol):
    """Capability ``known``: hand-made architectures, such as published ones."""

    def known(self, facts: Facts) -> Mapping[str, Arch]:
        """Return name -> architecture, the best first, no two of them the same network.

        Args:
            facts: of the data that a search begins on. A space that is made `of` its task knows them.
        """


class Canonical(Protocol):
    """Capability ``canonical``; `key` asks for it."""

    def canonical(self, arch: Arch) -> Any:
        """Return a hashable value that is equal for equal networks."""


class Training(Protocol):
    """Capability ``training``; `training` asks for it."""

    def training(self, arch: Arch) -> Mapping[str, Any]:
        """Return the training settings that `arch` carries, name -> value."""


class Start(Protocol):
    """Capability ``start``."""

    def start(self, rng: random.Random) -> Arch:
        """Return the minimal architecture."""


class Decisions(Protocol):
    """Capability ``decisions``: ``decode(encode(arch)) == arch``, and every legal path decodes."""

    def decision(self, prefix: Sequence[int]) -> Decision | None:
        """Return the decision that follows `prefix`, or None when the architecture is complete."""

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """Return the choices that make up `arch`. [count of decisions]"""

    def decode(self, choices: Sequence[int]) -> Arch:
        """Return the architecture of a complete sequence of legal choices."""

    def equivalents(self, choices: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """Return a symmetric form of `choices`: other choices, the same network."""


class Mixture(Protocol):
    """Capability ``mixture``: an architecture as rows of operation weights, and back."""

    def groups(self) -> tuple[Group, ...]:
        """Return the groups of rows."""

    def one_hot(self, arch: Arch) -> dict[str, np.ndarray]:
        """Return group name -> weights [rows, columns] of exactly `arch`."""

    def derive(self, weights: Mapping[str, np.ndarray]) -> Arch:
        """Return the discrete architecture derived from weights [rows, columns] per group."""


def key(space: Space, arch: Arch) -> Any:
    """Return a hashable value that is equal for equal networks where the space can tell."""
    if "canonical" in space.gives:
        return cast(Canonical, space).canonical(arch)
    return arch


def training(space: Space, arch: Arch) -> Mapping[str, Any]:
    """Return the training settings that the architecture carries; usually there are none."""
    if "training" in space.gives:
        return cast(Training, space).training(arch)
    return {}


def sample_decisions(space: Decisions, rng: random.Random) -> tuple[int, ...]:
    """Return a complete sequence of decisions, each drawn uniformly among the legal values."""
    choices: tuple[int, ...] = ()
    while (decision := space.decision(choices)) is not None:
        choices += (rng.choice(decision.legal),)
    return choices
