"""The weights that a search keeps: those that children inherit, and the best few for the delivery.

The weights of the best few candidates are always kept, as far as the estimator gives weights: they are
what is delivered where nothing better can be trained in the time that is left. A candidate is among
the best few when its result comes, or never again, so that no other weights need to be written.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..config import settable
from ..config.defaults import MOST_FINALISTS
from ..config.setup import Setup
from ..ranking import distinct
from ..strategy import Strategy
from ..types import Result
from .weights import Weights

PAUSE = 1.0  # [s] between two looks at the files of a search


def keeping(setup: Setup) -> Setup:
    """Return a setup whose estimator returns weights, if it can and nobody said otherwise."""
    if not _is_open(setup):
        return setup
    return setup.having(setup.parts.having("estimator", keep=True))


def _is_open(setup: Setup) -> bool:
    """Whether the estimator can return weights or not, and nothing else needs them."""
    part = setup.parts.estimator
    return "keep" not in part.settings and "keep" in settable.of_estimator(part.make)


class Keeping:
    """Decides which weights of a search are written, and which files stay.

    Args:
        setup: of the run.
        strategy: may say whose weights can still be inherited.
        weights: the files.
    """

    def __init__(self, setup: Setup, strategy: Strategy, weights: Weights) -> None:
        self.space, self.weights = setup.space, weights
        self.best_only = _is_open(setup)
        self.alive: Callable[[], set[int]] | None = getattr(strategy, "alive", None)
        self.count = max(MOST_FINALISTS, setup.train.finalists or 0)
        if setup.parts.stateful:  # what comes with its results are checkpoints
            self.count = 0
        self.best: list[Result] = []
        self._pruned = time.monotonic()

    def wanted(self, result: Result) -> bool:
        """Whether the weights that came with a result are to be written."""
        return not self.best_only or result.candidate.id in _ids(self._with(result))

    def seen(self, result: Result) -> None:
        """Take a result that is told."""
        self.best = self._with(result)

    def prune(self, *, now: bool = True) -> None:
        """Delete the files that nobody needs any more; what is told must be stored by then.

        Args:
            now: whatever it takes; else at most once a second, as the folder may hold thousands.
        """
        if not self.weights.kept or not (now or time.monotonic() - self._pruned >= PAUSE):
            return
        self._pruned = time.monotonic()
        kept = _ids(self.best)
        if self.best_only:
            self.weights.keep_only({str(id) for id in kept})
        elif self.alive is not None:
            self.weights.keep_only({str(id) for id in self.alive() | kept})

    def _with(self, result: Result) -> list[Result]:
        if not (self.count and result.scored):
            return self.best
        return distinct([*self.best, result], self.space, self.count)


def _ids(results: list[Result]) -> set[int]:
    return {result.candidate.id for result in results}
