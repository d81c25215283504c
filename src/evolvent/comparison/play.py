"""One search of a comparison, played in a worker from beginning to end, in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config.setup import Setup
from ..engine.evaluators import InMemory, slots_of
from ..engine.loop import Search
from ..engine.store import Memory
from ..estimator import Estimator, tested
from ..execute.worker import Context, Job, fit
from ..ranking import rank
from ..task import data_of
from ..types import Result


@dataclass(frozen=True)
class Trace:
    """The course of one search, trial by trial.

    Args:
        seed: of the search.
        val: validation score of the best so far after every trial.
        test: test score of the same, from a table; on data one number, read once at the end.
        cost: of every trial. [s]
        epochs: of every trial. [epochs]
        arch: what validation chose.
        params: of it. [count]
        flops: of it. [count]
        seconds: that the search took here, everything included. [s]
    """

    seed: int
    val: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    arch: Any = None
    params: int | None = None
    flops: int | None = None
    seconds: float = 0.0

    def curve(self, what: str) -> list[float]:
        """Return ``val`` or ``test``."""
        return self.val if what == "val" else self.test


def play(context: Context, told: Mapping[str, Any], seeds: Sequence[int]) -> list[Trace]:
    """Return the trace of one search per seed.

    Args:
        context: of the worker.
        told: the setup as `Setup.to_json` wrote it: plain values travel anywhere.
        seeds: of the searches.
    """
    setup = Setup.from_json(told).on(context.spec.task)
    return [_play(context, setup, seed) for seed in seeds]


def _play(context: Context, setup: Setup, seed: int) -> Trace:
    began = time.perf_counter()
    estimator = context.spec.make_estimator(context.space, seed)
    mine = Context(context.spec, context.space, estimator)
    log = Memory()
    strategy = setup.strategy(seed=seed, space=context.space)
    Search(
        InMemory(mine, slots=slots_of(strategy, estimator, 1)),  # whole generations where it pays
        trials=setup.budget.trials,
        seconds=setup.schedule.search_seconds,
        charged=context.spec.task.charged,
    ).run(strategy, log)
    results = [event for event in log.events() if isinstance(event, Result)]
    return _trace(mine, setup, seed, results, time.perf_counter() - began)


def _trace(
    context: Context, setup: Setup, seed: int, results: list[Result], seconds: float
) -> Trace:
    best: Result | None = None
    chosen: list[Result | None] = []
    counted = [result for result in results if result.counts]
    for result in counted:
        if result.ok and (best is None or rank(result) > rank(best)):
            best = result
        chosen.append(best)
    look = _Test(context, setup, seed)
    return Trace(
        seed,
        [math.nan if result is None else round(result.value, 6) for result in chosen],
        look.along(chosen),
        [round(result.seconds, 4) for result in counted],
        [result.epochs for result in counted],
        None if best is None else best.candidate.arch,
        None if best is None else best.params,
        None if best is None else best.flops,
        seconds,
    )


class _Test:
    """Test scores of what validation chose: from a table for free, else by one final training."""

    def __init__(self, context: Context, setup: Setup, seed: int) -> None:
        self.context, self.setup, self.seed = context, setup, seed

    def along(self, chosen: Sequence[Result | None]) -> list[float]:
        estimator: Estimator = self.context.estimator
        if not chosen or chosen[-1] is None:
            return []
        if (known := tested(estimator)) is not None:
            scores: dict[Any, float] = {}
            for result in chosen:
                if result is not None and result.candidate.arch not in scores:
                    arch = result.candidate.arch
                    scores[arch] = known.test(arch)
            return [math.nan if r is None else scores[r.candidate.arch] for r in chosen]
        task = self.context.spec.task
        if not task.trainable or data_of(task).test is None:
            return []
        return [self._trained(chosen[-1])]

    def _trained(self, winner: Result) -> float:
        """Train the chosen architecture once more, by the final settings, and read test."""
        train = self.setup.train
        job = Job(
            f"final-{self.seed}",
            arch=winner.candidate.arch,
            size=train.network.size,
            hyper=train.network.hyper,
            epochs=self.setup.schedule.epochs if train.epochs is None else train.epochs,
            everything=True,
            test=True,
            seed=self.seed,
        )
        numbers = fit(self.context, job).numbers
        return float(numbers["test"][self.context.spec.task.metric])
