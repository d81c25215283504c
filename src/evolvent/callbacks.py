"""Callbacks: what a user's own code is told while a search runs.

A callback is any object with some of these methods; all are called in the coordinator, between two
steps of the loop, so a slow one slows the search down::

    on_start(run)        the run is opened, new or continued; `run` can be read at any time
    on_asked(candidate)  a candidate is stored and about to be evaluated
    on_result(result)    a result is stored and the strategy knows it
    on_end(run)          the network is delivered

An exception in one never ends a search: the first of each callback is said, and the search goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import SettingError
from .ranking import best, rank
from .types import Result

if TYPE_CHECKING:
    from .run import Run

METHODS = ("on_start", "on_asked", "on_result", "on_end")


class Callbacks:
    """Several callbacks as one.

    Args:
        callbacks: objects with some of the methods above.
        say: is told the first exception of each.

    Raises:
        SettingError: for an object that has none of the methods.
    """

    def __init__(self, callbacks: Iterable[object], say: Callable[[str], None]) -> None:
        self.callbacks, self.say = tuple(callbacks), say
        self._failed: set[int] = set()
        for callback in self.callbacks:
            if not any(hasattr(callback, name) for name in METHODS):
                raise SettingError(
                    f"callback {callback!r} has none of the methods {', '.join(METHODS)}"
                )

    def __call__(self, method: str, value: Any) -> None:
        """Call `method` of every callback that has it."""
        for place, callback in enumerate(self.callbacks):
            act = getattr(callback, method, None)
            if act is None:
                continue
            try:
                act(value)
            except Exception as error:  # noqa: BLE001 - a user's code, which must not end a search
                if place not in self._failed:
                    self._failed.add(place)
                    name = type(callback).__name__
                    self.say(f"callback {name}.{method} failed, the search goes on: {error!r}")


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
        """Write what was delivered, and close the log."""
        self._writer.add_text("card", "```\n" + (run.folder / "best" / "card.md").read_text())
        self._writer.close()
