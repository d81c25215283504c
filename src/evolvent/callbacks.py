"""Callbacks: a user's own code, run while a search runs.

`engine.events` says which methods a callback may have, and when they are called. What is here is ready
to use: ``ev.search(..., callbacks=[TensorBoard()])``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import SettingError
from .ranking import best, rank
from .types import Result

if TYPE_CHECKING:
    from .run import Run


class TensorBoard:
    """Writes scores, sizes and times of a search for TensorBoard: ``evolvent[tensorboard]``.

    Args:
        folder: where to write; None is ``tensorboard`` in the run's folder.

    Raises:
        SettingError: if tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise SettingError(
                "TensorBoard is not installed: pip install evolvent[tensorboard]"
            ) from error
        self._make: Any = SummaryWriter
        self.folder = None if folder is None else Path(folder)
        self._writer: Any = None
        self._best: Result | None = None

    def on_start(self, run: Run) -> None:
        """Open the log; the best so far is that of the sessions before."""
        self._writer = self._make(self.folder or run.folder / "tensorboard")
        self._best = best(run.results())

    def on_result(self, result: Result) -> None:
        """Write the numbers of a result under the id of its candidate."""
        candidate = result.candidate
        kind = "candidate" if candidate.kind == "trial" else "step"
        numbers = {"score": result.score, "parameters": result.params, "seconds": result.seconds}
        numbers |= {name: v for name, v in result.metrics.items() if isinstance(v, int | float)}
        for name, value in numbers.items():
            if value is not None:
                self._writer.add_scalar(f"{kind}/{name}", value, candidate.id)
        if result.scored:
            self._best = max(self._best or result, result, key=rank)
            self._writer.add_scalar("best/score", self._best.value, candidate.id)

    def on_end(self, run: Run) -> None:
        """Write the card of the delivered network, and close the log."""
        self._writer.add_text("card", "```\n" + (run.folder / "best" / "card.md").read_text())
        self._writer.close()
