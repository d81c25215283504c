"""A run on disk, read only: its setup, its candidates, its delivered network."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config.config_file import read_config
from .config.setup import Setup
from .deliver.front import front
from .engine.listing import rows
from .engine.store import Store
from .errors import RunError, unknown
from .files import new_folder
from .ranking import best, ranked
from .task.opening import open_task
from .types import Result

if TYPE_CHECKING:
    from torch import nn


class Run:
    """A run folder, read only.

    Args:
        folder: with ``config.yaml`` and ``run.db``.

    Raises:
        RunError: if it is not the folder of a run, or damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.config = read_config(self.folder)
        self.setup = Setup.from_json(self.config)

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = Store(self.folder / "run.db")
        try:
            yield store
        finally:
            store.close()

    @cached_property
    def card(self) -> dict[str, Any]:
        """The card of the delivered network: the content of ``card.json``.

        Raises:
            RunError: if the run has not delivered yet.
        """
        file = self.folder / "best" / "card.json"
        if not file.is_file():
            raise RunError(f"{self.folder} has not delivered yet: evolvent resume {self.folder}")
        card: dict[str, Any] = json.loads(file.read_text())
        return card

    @property
    def best(self) -> Best:
        """The network that was delivered."""
        return Best(self.folder / "best", self.card)

    def results(self) -> list[Result]:
        """Return every result, in the order in which they came."""
        with self._store() as store:
            return store.results()

    def candidates(self) -> list[dict[str, Any]]:
        """Return every candidate as plain values, in the order in which they were asked for."""
        with self._store() as store:
            return list(rows(store.events()))

    def leaderboard(self, count: int | None = 10) -> list[dict[str, Any]]:
        """Return the best trials as plain values, in the order of `ranking`; None is all of them."""
        found = {row["id"]: row for row in self.candidates()}
        return [found[result.candidate.id] for result in ranked(self.results())[:count]]

    def front(self, minimise: Sequence[str] = ("params",)) -> list[dict[str, Any]]:
        """Return the trials that no other beats in the score and in every metric to keep low.

        Args:
            minimise: metrics of a result beside its score, or ``params``, ``flops``, ``seconds``.

        Returns:
            Rows as in `candidates`, with the metrics, the smallest of the first metric first;
            `export` gives any of them whose weights were kept.

        Raises:
            SettingError: if no result has one of the metrics.
        """
        results = self.results()
        scored = [result for result in results if result.scored]
        known = {"params", "flops", "seconds"}.union(
            name
            for result in scored
            for name, value in result.metrics.items()
            if isinstance(value, (int, float))
        )
        for name in minimise if scored else ():
            if name not in known:
                raise unknown("metric", name, known)
        points = front(results, minimise)
        found = [
            dict(zip(minimise, points[row["id"]], strict=True)) | row
            for row in self.candidates()
            if row["id"] in points
        ]
        return sorted(found, key=lambda row: (row[minimise[0]], row["id"]))

    def status(self) -> dict[str, Any]:
        """Return ``trials``, ``failed``, ``best_score``, ``seconds``, ``state`` and more."""
        with self._store() as store:
            phases, state = store.phases(), store.meta("state")
            if store.delivered(len(self.setup.stretches)):
                state = "done"
            trials = [row for row in rows(store.events()) if row["kind"] == "trial"]
            first = best(store.results())
        told = [row for row in trials if row["status"] in ("ok", "failed")]
        return {
            "state": state or "new",
            "budget": self.setup.budgets[-1],
            "recipe": self.setup.recipe,
            "task": self.setup.request.task,
            "trials": len(told),
            "failed": sum(row["status"] == "failed" for row in trials),
            "refused": sum(row["status"] == "refused" for row in trials),
            "running": sum(row["status"] == "running" for row in trials),
            "best_score": None if first is None else first.score,
            "seconds": round(sum(phases.values()), 2),
            "phases": {name: round(seconds, 2) for name, seconds in phases.items()},
        }

    def export(
        self, to: str | os.PathLike[str], candidate: int | None = None, *, onnx: bool = False
    ) -> float | None:
        """Write a network to another folder; return its parity with the one of the run.

        Args:
            to: a new or empty folder.
            candidate: its id, to have it as the search trained it; None is the delivered network.
            onnx: whether to write ``model.onnx`` there too, where it is not written already.

        Returns:
            The largest absolute difference between their outputs; None for a run that was delivered
            without this proof.

        Raises:
            RunError: if the run has not delivered yet, there is no network, the candidate's weights
                were not kept, or `to` is not a new or empty folder.
        """
        from .deliver.delivered import NO_NETWORK, copy

        if candidate is not None:
            return self._export_candidate(candidate, Path(to), onnx=onnx)
        if self.card.get("looked_up"):
            raise RunError(f"{self.folder} {NO_NETWORK}")
        return copy(self.folder / "best", Path(to), onnx=onnx).parity_max_abs_diff

    def _export_candidate(self, id: int, to: Path, *, onnx: bool) -> float | None:
        from .deliver.delivered import export_candidate, weights_of

        result = next((r for r in self.results() if r.candidate.id == id), None)
        if result is None:
            raise RunError(
                f"{self.folder} has no result of candidate {id}: evolvent show {self.folder} lists "
                "them"
            )
        name = self.setup.request.task
        task = open_task(name, self.setup.task_settings)
        if task.fingerprint != self.setup.data["fingerprint"]:
            raise RunError(
                f"the data of {name} are not those that {self.folder} began with: restore them"
            )
        setup = self.setup.on(task)
        state = weights_of(self.folder, setup, result)
        new_folder(to)
        with self._store() as store:
            card = export_candidate(self.folder, setup, store, result, state, to, onnx=onnx)
        return card.parity_max_abs_diff


@dataclasses.dataclass(frozen=True)
class Best:
    """A delivered network."""

    folder: Path
    card: Mapping[str, Any]

    @property
    def score(self) -> float:
        """Its score on validation data."""
        return float(self.card["val_score"])

    @property
    def arch(self) -> Any:
        """Its architecture, as JSON has it."""
        return self.card["arch"]

    def load(self) -> nn.Module:
        """Return it as a torch module in eval mode."""
        from .deliver.export import load

        return load(self.folder)
