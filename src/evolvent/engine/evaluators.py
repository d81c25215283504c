"""Where a search's candidates are evaluated: by an executor with stored weights, or in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from ..estimator import Evaluation
from ..execute import Executor
from ..execute.together import Together
from ..execute.worker import Evaluating, evaluate_many
from ..types import Candidate, Result, State
from .weights import Weights


def slots_of(strategy: Any, estimator: Any, workers: int) -> int:
    """Return the number of candidates in flight. [count]

    A whole generation where the strategy has such and the estimator can take it in one go.
    """
    together = hasattr(estimator, "evaluate_many")
    return max(workers, getattr(strategy, "together", 1)) if together else workers


class Executed:
    """Evaluates by an executor; weights are read from and written to files.

    Args:
        executor: where evaluations run.
        weights: of the run.
        slots: returns the evaluations at a time, which may change with the workers. [count]
        timeout: of one. [s]
        restored: state that the first candidate brings a stateful estimator back to.
        asked: is told every candidate that is about to be evaluated.
        wanted: whether the weights that came with a result are to be written.
    """

    def __init__(
        self,
        executor: Executor,
        weights: Weights,
        *,
        slots: Callable[[], int],
        timeout: float,
        restored: Mapping[int, State] | None = None,
        asked: Callable[[Candidate], None] = lambda candidate: None,
        wanted: Callable[[Result], bool] = lambda result: True,
    ) -> None:
        self._slots, self.weights = slots, weights
        self._together = Together(executor, evaluate_many, timeout=timeout)
        self._restored, self._asked, self._wanted = dict(restored or {}), asked, wanted

    @property
    def slots(self) -> int:
        """Evaluations at a time. [count]"""
        return self._slots()

    def submit(self, candidate: Candidate) -> Future[Evaluation]:
        """Let a candidate, with the weights that it inherits, wait for `start`."""
        self._asked(candidate)
        inherited = self._restored or self.weights.of(candidate.weights_from)
        self._restored = {}
        return self._together.submit((candidate, inherited))

    def start(self) -> None:
        """Evaluate the waiting candidates."""
        self._together.start()

    def cancel(self, future: Future[Evaluation]) -> None:
        """Kill an evaluation."""
        self._together.cancel(future)

    def keep(self, evaluation: Evaluation) -> Result:
        """Write the weights that came with a result, if they are wanted."""
        result = evaluation.result
        if evaluation.state is None or not self._wanted(result):
            return result
        return replace(
            result, weights=self.weights.write(str(result.candidate.id), evaluation.state)
        )


class InMemory:
    """Evaluates at once in this process; weights live and die with it.

    Args:
        context: holds the estimator.
        slots: candidates that are evaluated together. [count]
    """

    def __init__(self, context: Evaluating, *, slots: int = 1) -> None:
        self.slots, self.context = slots, context
        self._states: dict[int, State] = {}
        self._waiting: list[tuple[Candidate, Mapping[int, State]]] = []
        self._futures: list[Future[Evaluation]] = []

    def submit(self, candidate: Candidate) -> Future[Evaluation]:
        """Let a candidate, with the weights that it inherits, wait for `start`."""
        inherited = {id: self._states[id] for id in candidate.weights_from if id in self._states}
        self._waiting.append((candidate, inherited))
        self._futures.append(Future())
        return self._futures[-1]

    def start(self) -> None:
        """Evaluate the waiting candidates in one call."""
        waiting, futures = self._waiting, self._futures
        self._waiting, self._futures = [], []
        answers = evaluate_many(self.context, waiting)
        for future, answer in zip(futures, answers, strict=True):
            future.set_result(answer)

    def cancel(self, future: Future[Evaluation]) -> None:
        """Do nothing: what was started is done."""

    def keep(self, evaluation: Evaluation) -> Result:
        """Keep the weights that came with a result."""
        if evaluation.state is not None:
            self._states[evaluation.result.candidate.id] = evaluation.state
        return evaluation.result
