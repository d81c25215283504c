"""The rule by which the rows of a task are divided, wherever they are: which may be apart.

A split into training, validation and test rows, the folds of a small set, and the halves of the
validation rows on which an ensemble is judged all ask the task's `Division`. Rows are independent of
each other, unless the user named a column of groups, of time or of folds, or gave the parts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from ..errors import DataError
from ..types import stream

NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Fold:
    """One division of the rows.

    Args:
        training: rows to learn from, in order. [count of rows]
        held_out: rows to score on, in order.
    """

    training: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, eq=False)
class Division:
    """Rows that are independent of each other: any of them may be apart. Others are told below.

    Args:
        column: of the user's table that says what belongs together; empty without any.
        codes: what it says of every row [N] int64.
    """

    column: str = ""
    codes: np.ndarray = field(default_factory=lambda: NONE, repr=False)

    by = "rows"  # a word for people and files
    #: whether the user or time says which rows go where, so that there is one way to divide them
    kept_in_order = False

    @property
    def bound(self) -> np.ndarray | None:
        """The number of the group of every row, which stays whole [N]; None without groups."""
        return None

    @property
    def is_free(self) -> bool:
        """Whether chance alone may say which rows go where."""
        return self.bound is None and not self.kept_in_order

    @property
    def caveat(self) -> str:
        """Why errors on the validation rows may not be those on new rows, a clause; mostly empty."""
        return ""

    def taken(self, index: np.ndarray) -> Self:
        """Return the same rule for the rows at the indices `index`, in that order."""
        return replace(self, codes=self.codes[index]) if len(self.codes) else self

    def cut(
        self, y: np.ndarray, rows: np.ndarray, share: float, seed: int, *, classes: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (rest, chosen), both sorted and out of `rows`; about `share` of them are chosen.

        Args:
            y: of all rows: classes int64, each of which is cut alike, or quantities [N].
            rows: numbers of rows.
            share: of them to choose. (0..0.5]
            seed: of the choice.
            classes: whether `y` are classes; one with a single row stays in the rest.

        Raises:
            DataError: if the rows cannot be cut.
        """
        if classes:
            many = rows[repeated(y[rows])]
            if not len(many):
                raise DataError(
                    "no class has two rows left to split: with a target of numbers, it is a quantity "
                    "(--kind regression)"
                )
            chosen = many[stratified(y[many], share, seed)[1]]
        else:
            take = min(len(rows) - 1, max(1, round(len(rows) * share)))
            chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:take])
        return np.setdiff1d(rows, chosen), chosen

    def usual(self, wanted: int) -> int:
        """Return the folds where `wanted` are usual and nobody said how many; 0 is none. [count]"""
        return wanted

    def refused(self, folds: int) -> str:
        """Return the rule that so many folds break; empty if they can be made."""
        return ""

    def folds(
        self, y: np.ndarray, folds: int, repeats: int, seed: int, *, classes: bool
    ) -> list[Fold]:
        """Return the folds of all rows, `folds` for every repeat, the first repeat first.

        Classes are spread evenly over the folds. The sizes of two folds differ by one row at most.

        Args:
            y: classes int64 or quantities [N].
            folds: per repeat. [count, >= 2]
            repeats: with another order of the rows; fewer come back where there is one order alone.
                [count, >= 1]
            seed: of the orders.
            classes: whether `y` are classes.
        """
        found: list[Fold] = []
        for repeat in range(repeats):
            order = _rng(seed, repeat).permutation(len(y))
            if classes:
                order = order[np.argsort(y[order], kind="stable")]
            place = np.empty(len(y), np.int64)
            place[order] = np.arange(len(y)) % folds  # neighbours, of one class, are apart
            found += _held_out_in_turn(place, folds)
        return found


INDEPENDENT = Division()


class Groups(Division):
    """Rows of one group, of a patient or a customer, are never apart."""

    by = "groups"

    @property
    def bound(self) -> np.ndarray:
        """The group of every row [N]."""
        return self.codes

    @property
    def caveat(self) -> str:
        """Rows of a group are alike."""
        return f"rows of one {self.column!r} err alike, so few of them tell little of others"

    def cut(
        self, y: np.ndarray, rows: np.ndarray, share: float, seed: int, *, classes: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (rest, chosen) as of `Division`, made of whole groups.

        A group that holds all rows of a class stays in the rest, so that the class is learnt.
        """
        codes = self.codes[rows]
        strata = y[rows] if classes else np.zeros(len(rows), np.int64)
        self._check(codes)
        free = ~_only_one(codes, strata) if classes else np.ones(len(rows), bool)
        count = len(np.unique(codes[free]))
        if not count:
            raise DataError(
                f"every group of {self.column!r} is the only one with rows of some class: none can be "
                "held out; give more groups, or split without --groups"
            )
        folds = max(1, min(round(1 / share), count))
        place = np.full(len(rows), -1)
        place[free] = spread(codes[free], strata[free], folds, np.random.default_rng(seed))
        fold = _best_fold(place, strata, folds, share)
        return rows[place != fold], rows[place == fold]

    def _check(self, codes: np.ndarray) -> None:
        if len(np.unique(codes)) < 2:
            raise DataError(
                f"{self.column!r} has {len(np.unique(self.codes))} groups: training, validation and, "
                "without a test file, test need one each; give more groups, or split without --groups"
            )

    def usual(self, wanted: int) -> int:
        """Return `wanted`, or the number of groups if that is less."""
        count = min(wanted, len(np.unique(self.codes)))
        return count if count > 1 else 0

    def refused(self, folds: int) -> str:
        """Return the rule that so many folds break."""
        count = len(np.unique(self.codes))
        return "" if folds <= count else f"at most {count}, the groups of {self.column!r}"

    def folds(
        self, y: np.ndarray, folds: int, repeats: int, seed: int, *, classes: bool
    ) -> list[Fold]:
        """Return the folds as of `Division`, made of whole groups, so of less equal sizes."""
        strata = y if classes else np.zeros(len(y), np.int64)
        return [
            fold
            for repeat in range(repeats)
            for fold in _held_out_in_turn(
                spread(self.codes, strata, folds, _rng(seed, repeat)), folds
            )
        ]


class Times(Division):
    """Later rows are never learnt from; rows of one time are never apart."""

    by = "time"
    kept_in_order = True

    @property
    def caveat(self) -> str:
        """Later rows may be unlike earlier ones."""
        return f"rows later by {self.column!r} may err otherwise"

    def cut(
        self, y: np.ndarray, rows: np.ndarray, share: float, seed: int, *, classes: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (earlier, later) rows; about `share` of them are later, the classes are not asked."""
        values, counts = np.unique(self.codes[rows], return_counts=True)
        if len(values) < 2:
            raise DataError(
                f"{self.column!r} has {len(np.unique(self.codes))} different times: training, "
                "validation and, without a test file, test need one each"
            )
        later = len(rows) - np.cumsum(counts)[:-1]
        at = int(np.abs(later - share * len(rows)).argmin())
        is_later = self.codes[rows] > values[at]
        return rows[~is_later], rows[is_later]

    def usual(self, wanted: int) -> int:
        """Return `wanted`, or fewer where there are few different times."""
        count = min(wanted, len(np.unique(self.codes)) - 1)
        return count if count > 1 else 0

    def refused(self, folds: int) -> str:
        """Return the rule that so many folds break."""
        count = len(np.unique(self.codes)) - 1
        return (
            "" if folds <= count else f"at most {count}, by the different times of {self.column!r}"
        )

    def folds(
        self, y: np.ndarray, folds: int, repeats: int, seed: int, *, classes: bool
    ) -> list[Fold]:
        """Return one repeat: each fold but the first rows is held out, and what is before it learnt."""
        values, place, counts = np.unique(self.codes, return_inverse=True, return_counts=True)
        blocks = np.empty(len(values), np.int64)
        block, filled, left = 0, 0, len(y)
        for at, count in enumerate(counts.tolist()):
            still = len(values) - at  # times, each of which can begin a block
            full = filled >= left / (folds + 1 - block) if block <= folds else False
            if filled and block < folds and (full or still <= folds - block):
                block, left, filled = block + 1, left - filled, 0
            blocks[at] = block
            filled += count
        own = blocks[place]
        return [
            Fold(np.flatnonzero(own < each), np.flatnonzero(own == each))
            for each in range(1, folds + 1)
        ]


class Folds(Division):
    """The user's own folds, each of which is held out in turn; a single split validates on the last."""

    by = "folds"
    kept_in_order = True

    def cut(
        self, y: np.ndarray, rows: np.ndarray, share: float, seed: int, *, classes: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of all folds but the last, and those of the last; of one fold by chance."""
        if len(np.unique(self.codes[rows])) < 2:
            return super().cut(y, rows, share, seed, classes=classes)
        last = self.codes[rows] == self.codes[rows].max(initial=0)
        return rows[~last], rows[last]

    def usual(self, wanted: int) -> int:
        """Return the number of the user's folds."""
        return len(np.unique(self.codes))

    def refused(self, folds: int) -> str:
        """Return the rule that so many folds break."""
        count = self.usual(folds)
        return "" if folds in (0, count) else f"0, or {count}, the folds of {self.column!r}"

    def folds(
        self, y: np.ndarray, folds: int, repeats: int, seed: int, *, classes: bool
    ) -> list[Fold]:
        """Return one repeat of the user's folds."""
        place = np.unique(self.codes, return_inverse=True)[1]
        return _held_out_in_turn(place, int(place.max()) + 1)


class Given(Division):
    """The user says which rows validate: there are no other folds."""

    by = "parts"
    kept_in_order = True

    def usual(self, wanted: int) -> int:
        """Return 0: the user's validation rows validate."""
        return 0

    def refused(self, folds: int) -> str:
        """Return the rule that any folds break."""
        return "0, because you said which rows validate" if folds else ""


@dataclass(frozen=True, eq=False)
class Windows(Division):
    """Windows of one series in the order of time, which overlap: there are no folds of them.

    Args:
        steps: rows that each forecasts: windows nearer than that share a target. [count]
    """

    steps: int = 1

    by = "windows"
    kept_in_order = True

    def cut(
        self, y: np.ndarray, rows: np.ndarray, share: float, seed: int, *, classes: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (earlier, later) windows without a target in common; those between are in neither."""
        take = min(len(rows) - 1, max(1, round(len(rows) * share)))
        rest = rows[: max(0, len(rows) - take - (self.steps - 1))]
        if not len(rest):
            raise DataError(
                f"{len(rows)} windows, each with {self.steps} rows after it, are too few to divide: "
                "add rows, or lower --window"
            )
        return rest, rows[len(rows) - take :]

    def usual(self, wanted: int) -> int:
        """Return 0: the windows after those of training validate."""
        return 0

    def refused(self, folds: int) -> str:
        """Return the rule that any folds break."""
        rule = "0: the rows are in the order of time, and folds would learn from what comes later"
        return rule if folds else ""


# ---- by chance -----------------------------------------------------------------------------------


def stratified(y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (rest, chosen): sorted indices, `fraction` of every class chosen at random.

    Args:
        y: class per example [N].
        fraction: share to choose, at least one example per class. [0..1]
        seed: of the choice.

    Raises:
        DataError: if a class has a single example, which cannot be in both parts.
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for label, count in zip(*np.unique(y, return_counts=True), strict=True):
        if count < 2:
            raise DataError(
                f"class {label} has {count} example, at least 2 are needed to train and to validate: "
                "add examples of it or leave the class out"
            )
        members = np.flatnonzero(y == label)
        take = min(count - 1, max(1, round(count * fraction)))
        chosen.append(rng.permutation(members)[:take])
    picked = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(y)), picked), picked


def strata(y: np.ndarray) -> np.ndarray:
    """Return the rarest label of every row [N] int64, by which rows are split: no label is lost.

    Args:
        y: labels [N, labels]; rows without one have a number of their own.
    """
    counts = np.where(y > 0, y.sum(axis=0), np.inf)
    rarest: np.ndarray = np.where(y.any(axis=1), counts.argmin(axis=1), y.shape[1])
    return rarest


def repeated(y: np.ndarray) -> np.ndarray:
    """Return the mask of the examples with a class that occurs more than once [N] bool."""
    _, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] > 1)


def spread(
    codes: np.ndarray, strata: np.ndarray, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the fold of every row [N]: whole groups, and of every class about as many rows in each.

    The greedy rule of scikit-learn's StratifiedGroupKFold: large groups first, each to the fold where
    the counts of the classes become most alike. No fold stays empty where there are as many groups.

    Args:
        codes: group of every row [N].
        strata: class of every row [N] int64, one for all where there are no classes.
        folds: to fill. [count]
        rng: orders groups of equal size.
    """
    groups, group = np.unique(codes, return_inverse=True)
    kinds, kind = np.unique(strata, return_inverse=True)
    counts = np.zeros((len(groups), len(kinds)))
    np.add.at(counts, (group, kind), 1)
    order = rng.permutation(len(groups))
    order = order[np.argsort(-np.sqrt((counts[order] ** 2).sum(1)), kind="stable")]
    weighed = counts / counts.sum(0) ** 2  # so that the sum of squares weighs every class alike
    filled, sizes = np.zeros((folds, len(kinds))), np.zeros(folds)
    found = np.empty(len(groups), np.int64)
    for each in order.tolist():
        cost = filled @ weighed[each]
        alike = np.flatnonzero(cost <= cost.min() + 1e-12)
        at = alike[sizes[alike].argmin()]
        filled[at] += counts[each]
        sizes[at] += counts[each].sum()
        found[each] = at
    return found[group]


def _only_one(codes: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Return the mask of the rows in groups that are the only ones with some class [N] bool."""
    pairs = np.unique(np.stack([strata, codes]), axis=1)
    kinds, counts = np.unique(pairs[0], return_counts=True)
    lonely = pairs[1][np.isin(pairs[0], kinds[counts == 1])]
    return np.asarray(np.isin(codes, lonely))


def _best_fold(place: np.ndarray, strata: np.ndarray, folds: int, share: float) -> int:
    """Return the fold to take: no class is lost with it where that can be, then the nearest in size."""
    sizes = np.bincount(place[place >= 0], minlength=folds)
    kinds = len(np.unique(strata))
    lost = [kinds - len(np.unique(strata[place != fold])) for fold in range(folds)]
    off = np.abs(sizes - share * len(place))
    return min(range(folds), key=lambda fold: (lost[fold], off[fold], fold))


def _held_out_in_turn(place: np.ndarray, folds: int) -> list[Fold]:
    """Return every fold as the one that is held out, by the fold of every row [N]."""
    return [Fold(np.flatnonzero(place != at), np.flatnonzero(place == at)) for at in range(folds)]


def _rng(seed: int, repeat: int) -> np.random.Generator:
    return np.random.default_rng(stream(seed, "folds", repeat).getrandbits(63))
