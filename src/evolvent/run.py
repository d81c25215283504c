"""A run on disk, read only: what was settled, what was tried, what was delivered."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config.resolve import task_settings
from .config.settings import read_config
from .deliver import card as cards
from .deliver.front import export_candidate, front, weights_of
from .engine.store import Store
from .errors import RunError
from .files import new_folder
from .ranking import best, ranked
from .task import for_networks
from .task.opening import open_task
from .types import Result

if TYPE_CHECKING:
    from torch import nn

PARITY = "parity_max_abs_diff"  # of a card


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

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = Store(self.folder / "run.db")
        try:
            yield store
        finally:
            store.close()

    @cached_property
    def card(self) -> dict[str, Any]:
        """What was delivered: the content of ``card.json``.

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
            return list(cards.rows(store.events()))

    def leaderboard(self, count: int | None = 10) -> list[dict[str, Any]]:
        """Return the best trials as plain values, in the order of `ranking`; None is all of them."""
        rows = {row["id"]: row for row in self.candidates()}
        return [rows[result.candidate.id] for result in ranked(self.results())[:count]]

    def front(self, minimise: Sequence[str] = ("params",)) -> list[dict[str, Any]]:
        """Return the trials that no other beats in the score and in every metric to keep low.

        Args:
            minimise: metrics of a result beside its score, or ``params``, ``flops``, ``seconds``.

        Returns:
            Rows as in `candidates`, with the metrics, the smallest of the first metric first;
            `export` gives any of them whose weights were kept.
        """
        points = front(self.results(), minimise)
        rows = [
            dict(zip(minimise, points[row["id"]], strict=True)) | row
            for row in self.candidates()
            if row["id"] in points
        ]
        return sorted(rows, key=lambda row: (row[minimise[0]], row["id"]))

    def status(self) -> dict[str, Any]:
        """Return ``trials``, ``failed``, ``best_score``, ``seconds``, ``state`` and more."""
        with self._store() as store:
            phases, state = store.phases(), store.meta("state")
            rows = [row for row in cards.rows(store.events()) if row["kind"] == "trial"]
            first = best(store.results())
        if (self.folder / "best" / "card.json").is_file():
            state = "done"
        told = [row for row in rows if row["status"] in ("ok", "failed")]
        return {
            "state": state or "new",
            "recipe": self.config["recipe"],
            "task": self.config["request"]["task"],
            "trials": len(told),
            "failed": sum(row["status"] == "failed" for row in rows),
            "refused": sum(row["status"] == "refused" for row in rows),
            "running": sum(row["status"] == "running" for row in rows),
            "best_score": None if first is None else first.score,
            "seconds": round(sum(phases.values()), 2),
            "phases": {name: round(seconds, 2) for name, seconds in phases.items()},
        }

    def export(
        self, to: str | os.PathLike[str], candidate: int | None = None, *, onnx: bool = False
    ) -> float:
        """Write a network to another folder; return its parity with the one of the run.

        Args:
            to: a new or empty folder.
            candidate: its id, to have it as the search trained it; None is the delivered network.
            onnx: whether to write ``model.onnx`` there too, where it is not written already.

        Raises:
            RunError: if the run has not delivered yet, the candidate's weights were not kept, or
                `to` is not a new or empty folder.
        """
        if candidate is None:
            _ = self.card
            return float(cards.copy(self.folder / "best", Path(to), onnx=onnx)[PARITY])
        result = next((r for r in self.results() if r.candidate.id == candidate), None)
        if result is None:
            raise RunError(
                f"{self.folder} has no result of candidate {candidate}: evolvent show {self.folder} "
                "lists them"
            )
        name = self.config["request"]["task"]
        task = open_task(name, task_settings(self.config))
        if task.fingerprint != self.config["data"]["fingerprint"]:
            raise RunError(
                f"the data of {name} are not those that {self.folder} began with: restore them"
            )
        state = weights_of(self.folder, self.config, task, result)
        new_folder(Path(to))
        card = export_candidate(
            self.folder, self.config, for_networks(task), result, state, Path(to), onnx=onnx
        )
        return float(card[PARITY])


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
