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
    def test(self) -> str | None:
        """The column that is read for what validation chose."""

    @property
    def metrics(self) -> Mapping[str, str]:
        """Name of a metric -> its column."""

    @property
    def fidelities(self) -> Mapping[float, str]:
        """Training length [epochs] -> column of the score at that length; empty for one length."""

    @property
    def costs(self) -> Mapping[float, str]:
        """Training length [epochs] -> column of the seconds that it took."""


class TableEstimator:
    """Answers with the row of the candidate's architecture.

    Where a table has several training lengths, the one asked for chooses the column: the longest
    measured one that is not longer than asked, or the shortest there is. They are separate runs with
    schedules of their own, so the full length is charged even to a candidate that would continue
    from another's weights.

    A step is answered with a column that stands for a zero-cost proxy: it costs no epochs and no
    seconds, as a count of parameters does.

    Args:
        space: an architecture that is not text is looked up by its decisions: the digits of a
            cell's operations, say.
        table: the measured results, with the columns for score, test and cost.
        proxy: the column that answers steps, higher is better; None is the number of parameters,
            else the FLOPs.
        seed: not used: what was measured does not change.

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
                f"table {table.name} has no column of parameters or FLOPs to be a proxy: name one with "
                "--set estimator.proxy=COLUMN"
            )
        return found

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Return the measured result; weights are neither used nor returned.

        Raises:
            CandidateFailed: if the architecture is not in the table, or a step finds no proxy.
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
        """Return the test score of what validation chose; no strategy ever sees it.

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
