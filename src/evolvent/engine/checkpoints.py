"""Checkpoints of a search whose estimator holds state: where it can go on from, and when it must.

A checkpoint is the state that came with a candidate's result. It is on disk before the result is told,
and named in the store after that; what was asked and told later is undone when the search goes on from
it. The seconds that this cost stay counted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import RunError
from ..types import Result, State
from .store import Store
from .weights import Weights

REWINDS = 3  # [count] in a run; a loss that is no number a fourth time has a cause


class Checkpoints:
    """The checkpoints of a run.

    Args:
        store: of the run.
        folder: of the run.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.weights = store, Weights(folder / "weights")

    def begin(self) -> dict[int, State]:
        """Go back to the last checkpoint; return what the first candidate inherits from it.

        Beside the weights it says how often the search was rewound, for an estimator to take care.
        """
        last = self.store.meta("checkpoint")
        self.store.undo(after=-1 if last is None else last)
        state = {} if last is None else self.weights.read(str(last))
        rewinds = self.store.meta("rewinds") or 0
        if not state and not rewinds:
            return {}
        return {-1 if last is None else last: state | {"rewinds": np.array(rewinds)}}

    def told(self, result: Result) -> None:
        """Take note of a result that is safely stored: it may have brought a checkpoint."""
        if result.weights:
            self.store.note("checkpoint", result.candidate.id)
            self.weights.keep_only({str(result.candidate.id)})

    def rewind(self, reason: str) -> str:
        """Count a step that failed; return a line that says what follows.

        Raises:
            RunError: after the last rewind that a run has.
        """
        done = self.store.meta("rewinds") or 0
        if done == REWINDS:
            raise RunError(
                f"the search went back to its last checkpoint {REWINDS} times, and again {reason}"
            )
        self.store.note("rewinds", done + 1)
        place = "its beginning" if self.store.meta("checkpoint") is None else "the last checkpoint"
        return f"{reason}; back to {place} with half the learning rate ({done + 1} of {REWINDS})"
