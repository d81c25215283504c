"""A space read from a list of architecture strings: the rows of a table.

Only the text of the strings is known, so a decision is one character of it, or one field where a
separator splits every string into the same number of fields. Samples, mutations, crossovers and legal
paths of decisions never leave the list.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from typing import Self

import numpy as np

from ..errors import DataError, InvalidArchitecture, SettingError
from ..types import Arch, Facts
from . import Decision, Move
from .drawing import Drawing, Sketch

SEPARATORS = (",", "|", "-", " ", "/", "~")  # tried in this order
_TRIES = 8  # masks of a crossover before it falls back to a mutation


def split(archs: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the fields of every string, equally many for all.

    The first of `SEPARATORS` that splits all strings into the same number of at least two fields
    decides; without one every character is a field, and shorter strings end in empty fields.
    """
    for separator in SEPARATORS:
        parts = archs[0].count(separator)
        if parts and all(arch.count(separator) == parts for arch in archs):
            return [tuple(arch.split(separator)) for arch in archs]
    longest = max(map(len, archs))
    return [tuple(arch) + ("",) * (longest - len(arch)) for arch in archs]


class Listed:
    """The architectures of a list, each as a sequence of decisions.

    A field with the same value in every string is no decision. A mutation changes one field to
    another value: the field is drawn uniformly among those with a listed alternative, then the
    value among these alternatives. An architecture without such a neighbour moves to one of its
    nearest.

    Args:
        archs: the architectures, distinct and never empty.

    Attributes:
        archs: the architectures, in the order given.
        fields: per decision the values it can take, sorted.

    Raises:
        DataError: if there are no architectures, or one of them twice.
    """

    family = "listed"
    gives = frozenset({"decisions", "crossover", "drawing", "listed"})

    def __init__(self, archs: Sequence[str]) -> None:
        self.archs = tuple(archs)
        if not self.archs or "" in self.archs:
            raise DataError("a list of architectures needs at least one, and none may be empty")
        if len(set(self.archs)) != len(self.archs):
            raise DataError("an architecture is listed twice: keep one of the two")
        columns = [
            column for column in zip(*split(self.archs), strict=True) if len(set(column)) > 1
        ]
        self.fields = tuple(tuple(sorted(set(column))) for column in columns)
        # An architecture is a number in mixed radix, first decision first. A prefix is then a range
        # of these numbers, and another value in one field is one addition.
        self._strides = [1] * len(columns)
        for field in range(len(columns) - 2, -1, -1):
            self._strides[field] = self._strides[field + 1] * len(self.fields[field + 1])
        numbers = [0] * len(self.archs)
        for column, values, stride in zip(columns, self.fields, self._strides, strict=True):
            weight = {value: place * stride for place, value in enumerate(values)}
            numbers = [
                number + weight[value] for number, value in zip(numbers, column, strict=True)
            ]
        self._number = dict(zip(self.archs, numbers, strict=True))
        self._arch = dict(zip(numbers, self.archs, strict=True))
        self._sorted = sorted(numbers)
        size = len(self._sorted)
        self.complete = size == self._strides[0] * len(self.fields[0]) if columns else True
        # Fields of equal vocabulary share a name, so that a controller can share their weights.
        self._names = [f"field{self.fields.index(values)}" for values in self.fields]
        self._codes: np.ndarray | None = None

    @classmethod
    def of(cls, task: Facts) -> Self:
        """Return the space of a table.

        Raises:
            SettingError: if the task is not a table.
        """
        if not task.archs and task.kind != "table":
            raise SettingError(
                f"space listed is read from a table (table:NAME), this task is of kind {task.kind}"
            )
        return cls(task.archs)

    def __len__(self) -> int:
        return len(self.archs)

    def sample(self, rng: random.Random) -> Arch:
        """Return one of the listed architectures, each equally likely."""
        return self.archs[rng.randrange(len(self.archs))]

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Return a listed neighbour of `arch`, different from it unless it is the only one."""
        number = self._find(arch)
        order = list(range(len(self.fields)))
        while order:
            field = order.pop(rng.randrange(len(order)))
            others = self._alternatives(number, field)
            if others:
                return Move(self._arch[others[rng.randrange(len(others))]], "substitute")
        return self._leap(arch, rng)

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Return a listed child that takes each field from either parent at random.

        The child equals neither parent. If eight tries find none, because the parents differ in fewer
        than two fields or their combinations are not listed, `first` is mutated instead, and the
        operator of the move is that of the mutation.
        """
        mother, father = self._find(first), self._find(second)
        steps = [
            (b - a) * stride
            for a, b, stride in zip(
                self._places(mother), self._places(father), self._strides, strict=True
            )
            if a != b
        ]
        for _ in range(_TRIES if len(steps) > 1 else 0):
            child = mother + sum(step for step in steps if rng.random() < 0.5)
            if child not in (mother, father) and child in self._arch:
                return Move(self._arch[child], "crossover")
        return self.mutate(first, rng)

    def decision(self, prefix: Sequence[int]) -> Decision | None:
        """Return the decision after `prefix`; every legal value leads to a listed architecture."""
        field = len(prefix)
        if field >= len(self.fields):
            return None
        size, stride = len(self.fields[field]), self._strides[field]
        if self.complete:
            legal = tuple(range(size))
        else:
            base = sum(value * step for value, step in zip(prefix, self._strides, strict=False))
            edges = [bisect_left(self._sorted, base + place * stride) for place in range(size + 1)]
            legal = tuple(place for place in range(size) if edges[place] < edges[place + 1])
        return Decision(self._names[field], "choice", size, legal)

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """Return, for every field, the place of its value in `fields`."""
        return self._places(self._find(arch))

    def decode(self, choices: Sequence[int]) -> Arch:
        """Return the architecture of `choices`.

        Raises:
            InvalidArchitecture: if it is not listed.
        """
        inside = len(choices) == len(self.fields) and all(
            0 <= choice < len(values) for choice, values in zip(choices, self.fields, strict=True)
        )
        number = (
            sum(c * step for c, step in zip(choices, self._strides, strict=True)) if inside else -1
        )
        if number not in self._arch:
            raise InvalidArchitecture(f"the choices {tuple(choices)} make no listed architecture")
        return self._arch[number]

    def equivalents(self, choices: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """Return `choices`: nothing is known about symmetric forms."""
        return tuple(choices)

    def drawing(self, arch: Arch) -> Drawing:
        """Return a column of boxes, one per field that differs within the list."""
        sketch, last = Sketch(), ""
        for place, (values, chosen) in enumerate(
            zip(self.fields, self.encode(arch), strict=True), 1
        ):
            field = sketch.node(f"{place}", f"field {place}: {values[chosen] or 'none'}")
            if last:
                sketch.edge(last, field)
            last = field
        if not last:
            sketch.node("0", str(arch))
        return sketch.done()

    def _find(self, arch: Arch) -> int:
        if arch not in self._number:
            raise InvalidArchitecture(f"the architecture {arch!r} is not listed")
        return self._number[arch]

    def _places(self, number: int) -> tuple[int, ...]:
        places = []
        for stride in self._strides:
            place, number = divmod(number, stride)
            places.append(place)
        return tuple(places)

    def _alternatives(self, number: int, field: int) -> list[int]:
        """Return the listed numbers that differ from `number` in `field` alone."""
        stride, size = self._strides[field], len(self.fields[field])
        base = number - number // stride % size * stride
        others = range(base, base + size * stride, stride)
        return [other for other in others if other != number and other in self._arch]

    def _leap(self, arch: Arch, rng: random.Random) -> Move:
        """Return one of the nearest other architectures, by the number of fields that differ."""
        if len(self.archs) == 1:
            return Move(arch, "identity")
        if self._codes is None:
            self._codes = np.array([self._places(self._number[other]) for other in self.archs])
        distance = (self._codes != np.array(self.encode(arch))).sum(axis=1)
        nearest = np.flatnonzero(distance == np.unique(distance)[1])
        return Move(self.archs[int(nearest[rng.randrange(len(nearest))])], "leap")
