"""Progress of a search: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

from ..ranking import rank
from ..types import Result

SILENCE = 2.0  # [s] after which what is being done is named
FINALS = (
    5.0  # trainings of the delivery, finalists and controls, of four times a candidate's length
)
SAID = 0.25  # of an estimate: by how much it must be wrong to be said anew


class Display:
    """Progress on stderr; stdout stays free for results.

    What is done silently for a second is named, so that nobody waits without knowing for what.

    Args:
        doing: what is done first.
        live: whether stderr is a terminal that can be rewritten; None asks it.
    """

    def __init__(self, doing: str = "starting", *, live: bool | None = None) -> None:
        self._doing = doing
        self._timer: threading.Timer | None = None
        self.start, self.trials, self.failed = time.monotonic(), 0, 0
        self.best: Result | None = None
        self.live = sys.stderr.isatty() if live is None else live
        self._status: Any = None
        self.planned: int | None = None  # trials of a run that no clock ends
        self.finals = 0.0  # trainings of its delivery, in lengths of a trial
        self._searching = self.start
        self._ending: float | None = None  # when the run was last said to end [s, monotonic]

    def __enter__(self) -> Self:
        if self.live:
            from rich.console import Console

            self._status = Console(stderr=True).status(self._doing)
            self._status.start()
        self.on_phase(self._doing)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._quiet()
        if self._status is not None:
            self._status.stop()

    def on_phase(self, line: str) -> None:
        """Name the current phase, if it lasts."""
        self._quiet()
        if self._status is not None:
            from rich.markup import escape

            self._status.update(escape(line))
            return
        self._timer = threading.Timer(SILENCE, self._print, [f"{line} ..."])
        self._timer.daemon = True
        self._timer.start()

    def _quiet(self) -> None:
        """Something else is said, or all is done: what was being done need not be named any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def on_start(self, run: Any) -> None:
        """Prepare the estimate of the remaining time, for a budget in trials without a time."""
        setup = run.setup
        if setup.budget.seconds is None and not setup.parts.stateful:
            self.planned = setup.budget.trials
            trained = setup.schedule.epochs > 0 and setup.deliver != "as-is"
            self.finals = 4 * FINALS if trained else 0.0
        self._searching = time.monotonic()

    def on_message(self, line: str) -> None:
        """Print one line."""
        self._quiet()
        if self._status is not None:
            from rich.markup import escape

            self._status.console.print(line, markup=False, highlight=False)
            self._status.update(escape(line.split(":")[0]))
        else:
            self._print(line)

    def on_result(self, result: Result) -> None:
        """Show the result of a trial; of steps there are too many."""
        if result.candidate.kind == "step":
            return
        if result.counts:
            self.trials += 1
            self.failed += result.status == "failed"
        better = result.ok and (self.best is None or rank(result) > rank(self.best))
        if better:
            self.best = result
        elapsed = time.monotonic() - self.start
        self._estimate()
        if self._status is not None:
            self._status.update(self._summary(elapsed))
            if better:
                self.on_message(_line(result, elapsed, "best so far"))
        else:
            self.on_message(_line(result, elapsed, "best so far" if better else ""))

    def _summary(self, elapsed: float) -> str:
        best = "none yet" if self.best is None else f"{self.best.value:.4f}"
        failed = f", {self.failed} failed" if self.failed else ""
        left = "" if self._ending is None else f"  {_about(self._ending - time.monotonic())}"
        return f"{elapsed:5.0f} s  {self.trials} trials{failed}  best validation score {best}{left}"

    def _estimate(self) -> None:
        """Work out when a run without a clock ends; say so where that is new."""
        if self.planned is None or not self.trials:
            return
        now = time.monotonic()
        each = (now - self._searching) / self.trials
        left = each * (max(0, self.planned - self.trials) + self.finals)
        before = None if self._ending is None else self._ending - now
        if before is None or abs(before - left) > SAID * max(left, 10.0):
            self._ending = now + left
            if self._status is None:
                self.on_message(f"{_about(left)}, final training included")


def _about(seconds: float) -> str:
    """Return a time to go, roughly: nobody knows it better."""
    if seconds < 90:
        return f"about {max(1, round(seconds / 10)) * 10} s to go"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min to go"
    return f"about {seconds / 3600:.1f} h to go"


def _line(result: Result, elapsed: float, remark: str) -> str:
    candidate = result.candidate
    made = candidate.operator
    if candidate.parents:
        made += f" of {', '.join(map(str, candidate.parents))}"
    if result.ok:
        told = f"{result.value:.4f}"
        if result.params:
            told += f"  {result.params:>9,} parameters"
    else:
        told = f"{result.status}: {result.reason}"
    line = f"{elapsed:6.1f} s  #{candidate.id:<4} {told}  {result.seconds:5.1f} s  {made}"
    return f"{line}  <- {remark}" if remark else line
