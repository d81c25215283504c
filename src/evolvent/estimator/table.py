"""Look a candidate up in a table: evaluations in microseconds, comparisons over many seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ..errors import CandidateFailed, SettingError, unknown
from ..space import Space
from ..space.capabilities import decisions
from ..types import Arch, Candidate, Result, State
from . import Evaluation


class Columns(Protocol):
    """The columns of a table, as a protocol, because a worker has no file reader."""

    @property
    def name(self) -> str:
        """The table's name, as the user gives it."""

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
        """The column of the seconds that an evaluation took; None if there is none."""

    @property
    def test(self) -> str | None:
        """The column of the test score, read only for architectures chosen by validation."""

    @property
    def metrics(self) -> Mapping[str, str]:
        """Name of a metric -> its column."""

    @property
    def fidelities(self) -> Mapping[float, str]:
        """Training length [epochs] -> column of the score at that length; empty for one length."""

    @property
    def costs(self) -> Mapping[float, str]:
        """Training length [epochs] -> column of the seconds that this training took."""


class TableEstimator:
    """Scores a candidate by the table's row of its architecture.

    If a table has several training lengths, the candidate's epochs choose the column: the longest
    measured length that is not longer, else the shortest one. The lengths were separate trainings
    with schedules of their own, so a candidate that continues from inherited weights is charged the
    full length too.

    A step gets the value of a column that serves as a zero-cost proxy. Like a count of parameters,
    it costs no epochs and no seconds.

    Args:
        space: the search space; an architecture that is not text is looked up by its encoded
            decisions, such as the digits of a cell's operations.
        table: the measured results, with the columns for score, test and cost.
        proxy: the column that answers steps, higher is better; None is the number of parameters,
            else the FLOPs.
        seed: not used: measured results do not change.

    Raises:
        SettingError: if the table has no column `proxy`.
    """

    needs: frozenset[str] = frozenset()
    kinds = frozenset({"table"})
    gives: frozenset[str] = frozenset({"proxy"})  # what it may give; an instance knows its table
    stateful = False

    def __init__(
        self,
        space: Space,
        table: Columns,
        *,
        proxy: str | None = None,
        seed: int = 0,
    ) -> None:
        self.space, self.table = space, table
        self.proxy = self.proxy_column(table, proxy)
        self.fidelities = dict(sorted(table.fidelities.items()))
        found = {"proxy": self.proxy, "seconds": table.cost, "test": table.test}
        self.gives = frozenset({"score"} | {name for name, column in found.items() if column})

    @staticmethod
    def proxy_column(table: Columns, name: str | None, *, needed: bool = False) -> str | None:
        """Return the column that answers steps: `name`, or the parameters', or the FLOPs', or None.

        Raises:
            SettingError: if there is no column `name`; or, where one is `needed`, none at all.
        """
        if name is not None and name not in table.columns:
            raise unknown(f"column of table {table.name}", name, table.columns)
        found = name or table.metrics.get("params") or table.metrics.get("flops")
        if needed and found is None:
            raise SettingError(
                f"table {table.name} has no column of parameters or FLOPs to serve as a proxy: "
                "name one with --set estimator.proxy=COLUMN"
            )
        return found

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Return the measured result; weights are neither used nor returned.

        Raises:
            CandidateFailed: if the architecture is not in the table, or a step needs a proxy column
                and there is none.
        """
        row = self._row(candidate.arch)
        if candidate.kind == "step":
            return Evaluation(self._guessed(candidate, row))
        column, epochs = self.table.score, candidate.budget.epochs
        if self.fidelities:
            measured = [length for length in self.fidelities if length <= epochs]
            epochs = measured[-1] if measured else next(iter(self.fidelities))
            column = self.fidelities[epochs]
        cost = self.table.costs.get(epochs, self.table.cost)
        metrics = {name: self._value(source, row) for name, source in self.table.metrics.items()}
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        result = Result(
            candidate,
            score=self._value(column, row),
            metrics=metrics,
            seconds=self._value(cost, row) if cost else 0.0,
            epochs=epochs,
            total_epochs=epochs,
            params=round(metrics["params"]) if "params" in metrics else None,
            flops=round(metrics["flops"]) if "flops" in metrics else None,
        )
        return Evaluation(result)

    def _guessed(self, candidate: Candidate, row: int) -> Result:
        if self.proxy is None:
            raise CandidateFailed(f"table {self.table.name} has no column that is a proxy")
        value = self._value(self.proxy, row)
        return Result(candidate, score=value, metrics={self.proxy: value})

    def test(self, arch: Arch) -> float:
        """Return the test score of an architecture chosen by validation; no strategy ever sees it.

        Raises:
            CandidateFailed: if the architecture is not in the table.
        """
        assert self.table.test is not None  # asked for only where `gives` has it
        return self._value(self.table.test, self._row(arch))

    def _row(self, arch: Arch) -> int:
        row = self.table.index.get(self._text(arch))
        if row is None:
            raise CandidateFailed(f"{arch!r} is not in table {self.table.name}")
        return row

    def _text(self, arch: Arch) -> str:
        if isinstance(arch, str):
            return arch
        return "".join(map(str, decisions(self.space).encode(arch)))

    def _value(self, column: str, row: int) -> float:
        return float(self.table.columns[column][row])
