"""The search of a run: its strategy and its executor in the loop, and what is done with every result.

Where the estimator holds state, candidates follow each other in this process, and the search goes back
to a checkpoint when a step fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import registry
from ..config.defaults import MOST_FINALISTS
from ..config.parts import make_spec, make_strategy
from ..execute import Executor
from ..execute.inline import Inline
from ..execute.together import Together
from ..execute.worker import Spec, evaluate_many, using_threads
from ..ranking import distinct
from ..space import Space
from ..task import AnyTask
from ..types import Candidate, Result, State
from . import alarms as motion
from .checkpoints import Checkpoints
from .limits import Limits
from .loop import Diverged, Search
from .store import Store
from .weights import Weights


@dataclass
class Searching:
    """The search of a run.

    Args:
        store: of the run.
        folder: of the run.
        config: resolved and settled.
        task: the run's.
        space: the run's.
        workers: evaluations at a time. [count]
        say: is told what happens, one line each.
        asked: is told every candidate that is about to be evaluated.
        listen: is told every result, when it is safely stored.
    """

    store: Store
    folder: Path
    config: Mapping[str, Any]
    task: AnyTask
    space: Space
    workers: int
    say: Callable[[str], None]
    asked: Callable[[Candidate], None] = lambda candidate: None
    listen: Callable[[Result], None] = lambda result: None

    def run_with_state(self, strategy: Any, spec: Spec) -> None:
        """Search in this process alone; go back to a checkpoint where a step fails.

        Args:
            strategy: fresh; after a step that failed another one takes its place.
            spec: of the estimator that holds the state.
        """
        checkpoints = Checkpoints(self.store, self.folder)
        while True:
            try:
                with Inline(spec) as executor, using_threads(self.config["threads"]):
                    self.run(strategy, executor, checkpoints)
                return
            except Diverged as error:
                self.say(checkpoints.rewind(str(error)))
            strategy = make_strategy(self.config, self.space, self.config["seed"])

    def run(
        self, strategy: Any, executor: Executor, checkpoints: Checkpoints | None = None
    ) -> None:
        """Search until the budget is spent or the task is solved, unless that was done before.

        Args:
            strategy: fresh; the log is told to it first.
            executor: evaluates.
            checkpoints: of an estimator that holds state.
        """
        if self.store.meta("state") in ("searched", "done"):
            return
        self.store.note("state", "searching")
        self.weights = Weights(self.folder / "weights")
        goal = _Goal(self.store, self.config, self.task)
        listen = self._listener(strategy, goal, checkpoints)
        together = Together(executor, evaluate_many, timeout=self.config["estimator"]["timeout"])
        restored = {} if checkpoints is None else checkpoints.begin()
        Search(
            submit=self._submitter(together, restored),
            cancel=together.cancel,
            slots=self._slots(strategy, self.workers if checkpoints is None else 1),
            start=together.start,
            over=goal.reached,
            trials=self.config["budget"]["trials"],
            seconds=self.config["budget"]["search_seconds"],
            charged=self.task.charged,
            admit=self._limits(),
            keep=self._keep,
            listen=listen,
            stateful=checkpoints is not None,
        ).run(strategy, self.store)
        self.store.note("state", "searched")

    def _slots(self, strategy: Any, workers: int) -> int:
        """Return how many candidates are asked for before the first is told. [count]"""
        estimator = registry.find("estimator", self.config["estimator"]["name"])
        if hasattr(estimator, "evaluate_many"):
            return max(workers, getattr(strategy, "together", 1))
        return workers

    def _submitter(
        self, together: Together, restored: dict[int, State]
    ) -> Callable[[Candidate], Any]:
        """Return what starts an evaluation.

        Args:
            together: evaluates.
            restored: of a checkpoint; the first candidate brings the estimator back to it.
        """

        def submit(candidate: Candidate) -> Any:
            self.asked(candidate)
            inherited = restored or self.weights.of(candidate.weights_from)
            answer = together.submit((candidate, dict(inherited)))
            restored.clear()
            return answer

        return submit

    def _keep(self, evaluation: Any) -> Result:
        """Store the weights that came with a result."""
        result: Result = evaluation.result
        if evaluation.state is None:
            return result
        name = self.weights.write(str(result.candidate.id), evaluation.state)
        return replace(result, weights=name)

    def _listener(
        self, strategy: Any, goal: _Goal, checkpoints: Checkpoints | None
    ) -> Callable[[Result], None]:
        """Return what is told every result after the strategy."""
        protect = _Best(self.store, self.space, self.config)
        prunes = hasattr(strategy, "alive")
        alarmed: set[str] = set()

        def listen(result: Result) -> None:
            if checkpoints is not None:
                checkpoints.told(result)
                self._alarm(result, alarmed)
            protected = protect(result)
            if prunes and self.weights.kept:  # nobody else's are inherited any more
                self.weights.keep_only({str(id) for id in strategy.alive() | protected})
            self.listen(result)
            if goal.reached_by(result):
                self.say(
                    f"candidate {result.candidate.id} solves {self.task.name}: the search is over"
                )

        return listen

    def _alarm(self, result: Result, alarmed: set[str]) -> None:
        """Say what a trial shows that should not be, each kind once."""
        if result.candidate.kind == "trial":
            for alarm in motion.alarms([result], self.config["strategy"]["horizon"]):
                if alarm.name not in alarmed:
                    self.say(str(alarm))
                    alarmed.add(alarm.name)

    def _limits(self) -> Callable[[Candidate], str | None]:
        """Return what says why a candidate is refused before any training, or None."""
        asked = self.config["request"]
        limits = {name: asked.get(name) for name in ("max_params", "max_flops", "max_latency_ms")}
        if all(limit is None for limit in limits.values()):
            return lambda candidate: None
        return Limits(self.space, self.task, self.config, **limits).reason


class _Best:
    """The ids whose weights the delivery may go on from: the best so far, where it does."""

    def __init__(self, store: Store, space: Space, config: Mapping[str, Any]) -> None:
        self.space, self.count = space, 0
        self.best: list[Result] = []
        if config["deliver"] == "continue":
            self.count = max(MOST_FINALISTS, config["train"].get("finalists", 0))
            self.best = distinct(store.results(), space, self.count)

    def __call__(self, result: Result) -> set[int]:
        if self.count:
            self.best = distinct([*self.best, result], self.space, self.count)
        return {result.candidate.id for result in self.best}


class _Goal:
    """Whether a candidate solves the task, where an estimator can tell: then the search is over."""

    def __init__(self, store: Store, config: Mapping[str, Any], task: AnyTask) -> None:
        self.store, self.best = store, -math.inf
        estimator = registry.find("estimator", config["estimator"]["name"])
        self.judge: Any = None
        if "goal" in estimator.gives:
            self.judge = make_spec(config, task, config["seed"])().estimator
            for result in store.results():  # a kill may have come before the last one was looked at
                self.reached_by(result)

    def reached(self) -> bool:
        """Whether some candidate solved the task."""
        return self.judge is not None and self.store.meta("solved") is not None

    def reached_by(self, result: Result) -> bool:
        """Take a result; return whether it is the first that solves the task.

        Where its metrics do not tell, it is looked at more closely if it is better than all before.
        """
        if self.judge is None or not result.ok or self.reached():
            return False
        solved = self.judge.solved(result)
        if solved is None and result.value > self.best:
            self.best = result.value
            solved = self.judge.confirmed(result)
        if solved:
            self.store.note("solved", result.candidate.id)
        return bool(solved)
