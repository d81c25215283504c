"""Look a candidate up in a table: evaluations in microseconds, comparisons over many seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ..errors import CandidateFailed, unknown
from ..types import Arch, Candidate, Result, State
from . import Evaluation


class Columns(Protocol):
    """What is needed of a table; a worker has no reader of files."""

    @property
    def name(self) -> str:
        """How the user calls it."""

    @property
    def index(self) -> Mapping[str, int]:
        """Architecture -> row."""

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Name -> values [N]."""

    @property
    def score(self) -> str:
        """The column a search sees by default."""

    @property
    def cost(self) -> str | None:
        """The column of what an evaluation took, in seconds."""

    @property
    def metrics(self) -> Mapping[str, str]:
        """Name of a metric -> its column."""


class TableEstimator:
    """Answers with the row of the candidate's architecture.

    With `fidelities` the training length asked for chooses the column: the longest measured one
    that is not longer than asked, or the shortest there is. A table's training lengths are separate
    runs with schedules of their own, so the full length is charged even to a candidate that would
    continue from another's weights.

    The test column is never read here.

    Args:
        table: the measured results.
        score: column of the score; the table's own by default.
        cost: column of the seconds that an evaluation took; the table's own by default. [s]
        fidelities: training length [epochs] -> column of the score at that length.
        metrics: name -> column of what else a result carries; by default parameters, FLOPs and
            latency as far as the table has them.

    Raises:
        SettingError: if there is no such column; the nearest is named.
    """

    needs: frozenset[str] = frozenset()
    stateful = False

    def __init__(
        self,
        table: Columns,
        *,
        score: str | None = None,
        cost: str | None = None,
        fidelities: Mapping[float, str] | None = None,
        metrics: Mapping[str, str] | None = None,
    ) -> None:
        self.table = table
        self.score, self.cost = score or table.score, cost or table.cost
        self.fidelities = dict(sorted((fidelities or {}).items()))
        self.metrics = dict(table.metrics if metrics is None else metrics)
        used = [self.score, *self.fidelities.values(), *self.metrics.values()]
        for column in used + ([self.cost] if self.cost else []):
            if column not in table.columns:
                raise unknown(f"column of table {table.name}", column, table.columns)
        self.gives: frozenset[str] = frozenset({"seconds"} if self.cost else ())

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Return the measured result; weights are neither used nor returned.

        Raises:
            CandidateFailed: if the architecture is not in the table.
        """
        row = self.table.index.get(text(candidate.arch))
        if row is None:
            raise CandidateFailed(f"{candidate.arch!r} is not in table {self.table.name}")
        column, epochs = self.score, candidate.budget.epochs
        if self.fidelities:
            measured = [length for length in self.fidelities if length <= epochs]
            epochs = measured[-1] if measured else next(iter(self.fidelities))
            column = self.fidelities[epochs]
        metrics = {name: self._value(source, row) for name, source in self.metrics.items()}
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        result = Result(
            candidate,
            score=self._value(column, row),
            metrics=metrics,
            seconds=self._value(self.cost, row) if self.cost else 0.0,
            epochs=epochs,
            total_epochs=epochs,
            params=round(metrics["params"]) if "params" in metrics else None,
            flops=round(metrics["flops"]) if "flops" in metrics else None,
        )
        return Evaluation(result)

    def _value(self, column: str, row: int) -> float:
        return float(self.table.columns[column][row])


def text(arch: Arch) -> str:
    """Return the text of an architecture as tables have it; a tuple's items are joined."""
    return arch if isinstance(arch, str) else "".join(map(str, arch))
