"""The end of a search that has nothing to deliver when its budget is over.

Where the machine is so busy that not even one candidate has a score by then, whatever takes so long (an
import, reading the data) cannot be told to hurry. The program ends with a line that says so.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from types import TracebackType
from typing import Self

from ..config.clock import lateness
from ..config.settings import parse_budget
from ..types import Result

SHARE = 0.7  # of what a run may be late


class Deadline:
    """Ends the program at the end of a budget in seconds, unless there is a result to deliver.

    Args:
        budget: as the user said it; one in trials alone has no such end.
        began: `time.monotonic()` at which the wait began. [s]
    """

    def __init__(self, budget: str, began: float) -> None:
        seconds = parse_budget(budget).seconds
        self._timer: threading.Timer | None = None
        if seconds is not None:
            left = began + seconds + SHARE * lateness(seconds) - time.monotonic()
            self._timer = threading.Timer(max(0.0, left), _end, [seconds])
            self._timer.daemon = True

    def __enter__(self) -> Self:
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cancel()

    def on_result(self, result: Result) -> None:
        """Take a result: with a score there is something to deliver, and the run ends by itself."""
        if result.scored:
            self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _end(seconds: float) -> None:
    print(
        f"evolvent: the budget of {seconds:g} s is over and no time was left for a candidate: this "
        "machine is busy, or reading the data takes long; start anew with a larger --budget and "
        "another --out",
        file=sys.stderr,
        flush=True,
    )
    _end_children()
    os._exit(2)  # the main thread cannot be stopped while it imports or reads


def _end_children() -> None:
    """End workers and the process that they are copies of, which may still be importing.

    Whoever reads what this program prints would wait for them: they write to the same place.
    """
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
