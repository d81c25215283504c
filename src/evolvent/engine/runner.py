"""The search of a run: strategy and executor in the loop, and the work after every result.

Where the estimator holds state, candidates follow each other in this process, and the search goes back
to a checkpoint when a step fails.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.clock import UNKNOWN_START, closing, lateness, search_seconds
from ..config.setup import Setup
from ..execute import Executor
from ..execute.inline import Inline
from ..execute.worker import using_threads
from ..types import Candidate, Result
from .alarms import alarms
from .checkpoints import Checkpoints
from .evaluators import Executed, slots_of
from .events import Events
from .keeping import Keeping
from .limits import Limits
from .loop import Diverged, Search
from .store import Store
from .weights import Weights


@dataclass
class Runner:
    """The search of a run.

    Args:
        store: of the run.
        folder: of the run.
        setup: of the run, with its data.
        events: are told every candidate and result, and what else happens.
    """

    store: Store
    folder: Path
    setup: Setup
    events: Events = field(default_factory=Events)

    def run_with_state(self) -> None:
        """Search in this process alone; go back to a checkpoint where a step fails."""
        checkpoints = Checkpoints(self.store, self.folder)
        while True:
            try:
                executor = Inline(self.setup.context)
                with executor, using_threads(self.setup.schedule.threads):
                    self.run(executor, checkpoints)
                return
            except Diverged as error:
                self.events.say(checkpoints.rewind(str(error)))

    def run(self, executor: Executor, checkpoints: Checkpoints | None = None) -> None:
        """Search until the budget is spent or the task is solved, unless that was done before.

        Args:
            executor: evaluates.
            checkpoints: of an estimator that holds state.
        """
        if self.store.meta("state") in ("searched", "done"):
            return
        self.store.note("state", "searching")
        setup, weights = self.setup, Weights(self.folder / "weights")
        weights.tidy()
        strategy = setup.strategy()  # fresh: the log is told to it first
        goal = _Goal(self.store, setup)
        kept = Keeping(setup, strategy, weights)
        seconds, grace = self._seconds()

        def seen(result: Result) -> None:
            kept.seen(result)
            goal.reached_by(result)

        evaluator = Executed(
            executor,
            weights,
            wanted=kept.wanted,
            slots=lambda: slots_of(strategy, setup.parts.estimator.make, executor.workers),
            timeout=setup.schedule.timeout,
            restored={} if checkpoints is None else checkpoints.begin(),
            asked=self.events.asked,
        )
        Search(
            evaluator,
            over=goal.reached,
            trials=setup.budget.trials,
            seconds=seconds,
            grace=grace,
            charged=setup.task.charged,
            admit=self._admit(),
            seen=seen,
            listen=self._listener(kept, goal, checkpoints),
            stateful=checkpoints is not None,
            horizons=setup.horizons,
        ).run(strategy, self.store)
        kept.prune()
        self.store.note("state", "searched")

    def _seconds(self) -> tuple[float | None, float]:
        """Return the seconds of the search, and how many more it may wait for its first score. [s]

        What has gone by already is the search's loss as well as the delivery's.
        """
        setup, total = self.setup, self.setup.budget.seconds
        planned = setup.schedule.search_seconds
        if planned is None or total is None or setup.task.charged:
            return planned, 0.0
        before = self.store.spent("setup")
        seconds = min(planned, search_seconds(setup, setup.budget, before) or 0.0)
        last = total + lateness(total) / 2 - closing(UNKNOWN_START * before, total)
        return seconds, max(0.0, last - before - seconds)

    def _listener(
        self, kept: Keeping, goal: _Goal, checkpoints: Checkpoints | None
    ) -> Callable[[Result], None]:
        """Return the callback run after each result is stored and told."""
        alarmed: set[str] = set()
        start = time.monotonic()
        starting = checkpoints is None  # until a worker has answered

        def listen(result: Result) -> None:
            nonlocal starting
            if checkpoints is not None:
                checkpoints.told(result)
                self._alarm(result, alarmed)
            kept.prune(now=False)
            if starting and result.ok:
                starting = False
                took = time.monotonic() - start - result.seconds
                self.store.note("start_seconds", round(max(0.0, took), 3))
            self.events.told(result)
            if goal.by == result.candidate.id:
                name = self.setup.task.name
                self.events.say(f"candidate {goal.by} solves {name}: the search is over")

        return listen

    def _alarm(self, result: Result, alarmed: set[str]) -> None:
        """Say every alarm that a trial gives, each kind once."""
        if result.candidate.kind == "trial":
            for alarm in alarms([result], self.setup.schedule.horizon):
                if alarm.name not in alarmed:
                    self.events.say(str(alarm))
                    alarmed.add(alarm.name)

    def _admit(self) -> Callable[[Candidate], str | None]:
        """Return the reason to refuse a candidate before any training, as a function of it."""
        limits = Limits(self.setup, self.setup.schedule.slowest)
        return limits.reason if limits.any else lambda candidate: None


class _Goal:
    """Whether a candidate solves the task, where an estimator can tell: then the search is over."""

    def __init__(self, store: Store, setup: Setup) -> None:
        self.store, self.best = store, -math.inf
        self.judge: Any = None
        self.by: int | None = None  # id of the candidate that solved it
        if "goal" in setup.parts.estimator.make.gives:
            self.judge = setup.context().estimator
            self.by = store.meta("solved")

    def reached(self) -> bool:
        """Whether some candidate solved the task."""
        return self.by is not None

    def reached_by(self, result: Result) -> bool:
        """Take a result, also one of an earlier session; return whether it is the first that solves it.

        Where its metrics do not tell, it is looked at more closely if it is better than all before.
        """
        if self.judge is None or not result.ok or self.reached():
            return False
        solved = self.judge.solved(result)
        if solved is None and result.value > self.best:
            self.best = result.value
            solved = self.judge.confirmed(result)
        if solved:
            self.by = result.candidate.id
            self.store.note("solved", self.by)
        return bool(solved)
