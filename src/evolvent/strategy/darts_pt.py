"""Perturbation-based selection: the operation stays whose removal hurts the supernet most (DARTS-PT).

Source: Wang, Cheng, Chen, Tang, Hsieh 2021, "Rethinking Architecture Selection in Differentiable NAS"
(2108.04392), algorithm 1: after the search of DARTS, edges are decided one by one in random order. Each
operation of an edge is taken out of the supernet in turn, without scaling up the others; the one
without which it is worst is kept. Then the incoming edges of every node are taken out in turn, those
that are missed least first, until as many are left as an architecture has. Between two decisions the
shared weights learn at what is decided so far. How large a weight became decides nothing.
What differs: a mixture is compared on some batches, the same for all, by its loss, where the authors
take the accuracy on all validation data (`by`, `judged`); the logits stay as the search left them; the
weights keep their schedule, without a new one at a tenth of the learning rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import SettingError
from ..types import Arch, Budget, Candidate, Result, freeze, stream
from .common.relaxation import Relaxable, Rows
from .darts import Darts

BY = ("loss", "score")


class Decision(NamedTuple):
    """The operation of a row, or the rows that stay of a node."""

    group: str
    rows: tuple[int, ...]
    kept: int | None  # rows of a node; None decides the operation of one


class DartsPt(Darts):
    """DARTS, and a selection by removal in its last epochs. Arguments: see `Relaxation`, and

    Args:
        space: as there.
        select: share of the epochs in which the architecture is selected; at least one. (0..1]
        judged: batches that a mixture without an operation or an edge is scored on. [count, >= 1]
        by: ``loss``, or the ``score``.
        more: as there.
    """

    def __init__(
        self,
        space: Relaxable,
        *,
        select: float = 0.33,
        judged: int = 4,
        by: str = "loss",
        **more: Any,
    ) -> None:
        for name, allowed, rule in (
            ("select", 0 < select <= 1, "above 0, at most 1"),
            ("judged", judged >= 1, "at least 1"),
            ("by", by in BY, f"one of {', '.join(BY)}"),
        ):
            if not allowed:
                raise SettingError(f"{name}={locals()[name]!r}: {rule}")
        self.select, self.by = select, by
        self.compared = Budget(train_batches=0, validation_batches=judged, paired=True)
        self.decided: Rows | None = None  # the mixture in which some rows are
        self.value: float | None = None  # of the last mixture that was compared
        super().__init__(space, **more)

    def plan(self) -> Iterator[Candidate]:
        """Yield the search of DARTS; then decisions, steps of training between them, and trials."""
        first = self.horizon - max(1, round(self.select * self.horizon))
        yield from self.searched(range(first))
        self.decided = {name: rows.copy() for name, rows in self.probabilities().items()}
        ahead, total, learnt = self.decisions(), (self.horizon - first) * self.batches, 0
        count = len(ahead)
        learning = Budget(train_batches=1, validation_batches=0)
        for epoch in range(first, self.horizon):
            for _ in range(self.batches):
                while ahead and (count - len(ahead)) * total < (learnt + 1) * count:
                    yield from self._decide(ahead.pop(0))
                yield self._step(self.decided, learning)
                learnt += 1
            yield self.trial(epoch, self.derived())

    def tell(self, result: Result) -> None:
        """Take the value of a mixture that is compared; otherwise as DARTS does."""
        super().tell(result)
        self.value = None
        if result.ok and result.score is not None:
            loss = result.metrics.get("loss", -result.score)
            self.value = -loss if self.by == "loss" else result.score

    def strengths(self) -> Rows:
        """Return the decided rows, and the probabilities of the others."""
        return self.probabilities() if self.decided is None else self.decided

    # -- decisions -------------------------------------------------------------------------------

    def decisions(self) -> list[Decision]:
        """Return all decisions in their order: operations at random, then edges at random."""
        rng = stream(self.seed, "decisions")
        some = self.space.one_hot(self.space.sample(stream(self.seed, "some")))
        operations, edges = [], []
        for name, group in self.groups.items():
            operations += [Decision(name, (row,), None) for row in range(len(group.rows))]
            for rows in group.sums():
                kept = round(float(some[name][rows].sum()))
                if 0 < kept < len(rows):
                    edges.append(Decision(name, tuple(rows), kept))
        rng.shuffle(operations)
        rng.shuffle(edges)
        return operations + edges

    def _decide(self, decision: Decision) -> Iterator[Candidate]:
        """Yield the mixtures that a decision compares, then make it."""
        assert self.decided is not None
        rows, places = self.decided[decision.group], list(decision.rows)
        if decision.kept is None:
            (row,) = places
            own = rows[row].copy()
            columns = [c for c in self._choosable(decision.group) if own[c] > 0]
            values = []
            for column in columns:
                rows[row, column] = 0.0
                yield self._compared()
                values.append(self.value)
                rows[row] = own
            kept = columns[_worst(values, own[columns])]
            rows[row] = own.sum() * (np.arange(len(own)) == kept)
            return
        while len(places) > decision.kept:
            values = []
            for row in places:
                own = rows[row].copy()
                rows[row] = 0.0
                yield self._compared()
                values.append(self.value)
                rows[row] = own
            lost = _worst([None if v is None else -v for v in values], np.zeros(len(values)))
            rows[places.pop(lost)] = 0.0

    def _compared(self) -> Candidate:
        assert self.decided is not None
        return self._step(self.decided, self.compared)

    def _step(self, rows: Rows, budget: Budget) -> Candidate:
        mixture = {name: own.copy() for name, own in rows.items()}
        return Candidate(self.asked, kind="step", mixture=mixture, operator="step", budget=budget)

    def _choosable(self, name: str) -> list[int]:
        """Return the columns of a group that an architecture can have; ``none`` may not be one."""
        group, found = self.groups[name], []
        for column in range(len(group.columns)):
            rows = {n: np.full((len(g.rows), len(g.columns)), 0.1) for n, g in self.groups.items()}
            rows[name][:, column] = 1.0
            if self.space.one_hot(self.space.derive(rows))[name][:, column].any():
                found.append(column)
        return found

    def _note(self, epoch: int, arch: Arch) -> dict[str, Any]:
        """Return the note of a trial without entropies: what is selected does not follow from them."""
        note = super()._note(epoch, arch)
        note = {key: said for key, said in note.items() if key not in ("begun", "entropy", "walk")}
        rows = {name: own.round(4).tolist() for name, own in self.strengths().items()}
        return note | {"mixture": freeze(rows)}


def _worst(values: Sequence[float | None], weights: np.ndarray) -> int:
    """Return the place of the lowest value; without any, that of the largest weight."""
    known = [(value, place) for place, value in enumerate(values) if value is not None]
    return min(known)[1] if known else int(weights.argmax())
