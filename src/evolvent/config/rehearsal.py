"""Searches on shared weights: how many epochs a budget allows, and what strategies are told of them.

An estimator that holds state (the shared weights) evaluates one candidate after the other, so the
horizon counts epochs of its weights, and how long these take depends on what the strategy asks for in
one. So the strategy itself is rehearsed: the first few candidates of every kind are evaluated, the
others only counted.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..types import Candidate, Result

LOOKS = 8  # evaluations of every kind of candidate; the first of them finds its memory
LOOKED = 5.0  # [s] after which no more of a kind are looked at
LOOKED_SHARE = 0.04  # of a search: the same, where it is less
REHEARSED = 2  # [epochs]
EPOCHS = 10  # [count] that a search should have, by shorter ones if the data take too long
TRIALS_SHARE = 0.2  # of a search, at most, that goes into trials where epochs are shortened
CLEARLY = 0.85  # of the time that fewer threads take
PLANNED = 0.9  # of the seconds of a search are planned


@dataclass(frozen=True)
class Pace:
    """Measured durations of a search on shared weights.

    Args:
        batch: all steps that belong to one batch of training. [s]
        trial: one trial. [s]
        once: steps that are compared with each other, of which a search of any length has as many. [s]
    """

    batch: float
    trial: float
    once: float = 0.0


def rehearse(
    strategy: Any,
    evaluate: Callable[[Candidate], Result],
    *,
    batches: int,
    seconds: float = math.inf,
) -> Pace:
    """Return the durations of a strategy's steps and trials, measured over its first epochs.

    Args:
        strategy: fresh, with a horizon of `REHEARSED` epochs of so many `batches`.
        evaluate: the estimator; a failed candidate counts with the time that it took.
        batches: of an epoch. [count]
        seconds: of the search: a short one, or one on a busy machine, is not rehearsed for long. [s]
    """
    looked = min(LOOKED, LOOKED_SHARE * seconds)
    seen: dict[_Kind, list[float]] = defaultdict(list)
    last: dict[_Kind, Result] = {}
    counts: dict[_Kind, int] = defaultdict(int)
    start, evaluating = time.monotonic(), 0.0
    while (candidate := strategy.ask()) is not None:
        kind = _kind(candidate)
        counts[kind] += 1
        if not seen[kind] or (len(seen[kind]) < LOOKS and sum(seen[kind]) < looked):
            begun = time.monotonic()
            last[kind] = evaluate(candidate)
            seen[kind].append(time.monotonic() - begun)
            evaluating += seen[kind][-1]
        strategy.tell(replace(last[kind], candidate=candidate))
    own = time.monotonic() - start - evaluating  # of the strategy
    each = {kind: _mean(times) for kind, times in seen.items()}
    taken = {kind: each[kind] * count for kind, count in counts.items() if kind.of == "step"}
    once = sum(seconds for kind, seconds in taken.items() if kind.paired)
    trials = [each[kind] for kind in counts if kind.of == "trial"]
    steps = sum(taken.values()) - once
    return Pace((steps + own) / (REHEARSED * batches), max(trials, default=0.0), once)


class _Kind(NamedTuple):
    """Candidates that take equally long."""

    of: str
    trains: bool
    validation_batches: int | None
    ascents: int
    paired: bool
    run: int  # tenths of a mixture's operations


def _kind(candidate: Candidate) -> _Kind:
    budget, rows = candidate.budget, (candidate.mixture or {}).values()
    entries = sum(own.size for own in rows)
    run = math.ceil(10 * sum(np.count_nonzero(own) for own in rows) / max(1, entries))
    return _Kind(
        candidate.kind,
        bool(budget.train_batches),
        budget.validation_batches,
        budget.ascents,
        budget.paired,
        run,
    )


def faster(
    strategy: Any,
    evaluate: Callable[[Candidate], Result],
    numbers: Sequence[int],
    using: Callable[[int], AbstractContextManager[None]],
    seconds: float = math.inf,
) -> int:
    """Return the number of threads with which a strategy's first steps are fastest.

    Operations are small, and on a machine where others compute threads wait for each other: one may
    be the faster by far. A larger number must be clearly better, since it takes what others could use.
    Where steps are so slow that a search would lose much of its time, it is not tried.

    Args:
        strategy: fresh.
        evaluate: the estimator.
        numbers: of threads. [count]
        using: lets torch compute with so many.
        seconds: of the search. [s]
    """
    enough = LOOKED_SHARE * seconds

    def step() -> float:
        candidate = strategy.ask()
        begun = time.monotonic()
        strategy.tell(evaluate(candidate))
        return time.monotonic() - begun

    def mean_step(limit: float) -> float:
        first = step()  # finds its memory, and counts only where there is no time for more
        times: list[float] = []
        while len(times) < LOOKS // 2 and first + sum(times) < min(
            enough, (LOOKS // 2 + 1) * limit
        ):
            times.append(step())
        return sum(times) / len(times) if times else first

    best, least = numbers[0], math.inf
    for number in sorted(set(numbers)):
        with using(number):
            taken = mean_step(least)
        if taken < CLEARLY * least:
            best, least = number, taken
        if LOOKS // 2 * least > enough:
            break
    return best


def _mean(times: list[float]) -> float:
    """Return the mean without the first, if there are more."""
    rest = times[1:] or times
    return sum(rest) / len(rest)


def fitting(seconds: float, pace: Pace, *, batches: int, more_trials: int) -> tuple[int, int]:
    """Return epochs and batches per epoch that fit into a search.

    An epoch is a pass over the data unless fewer than `EPOCHS` fit: then it is shorter.

    Args:
        seconds: of the search. [s]
        pace: of its steps and trials.
        batches: of a pass over the data. [count]
        more_trials: than epochs. [count]
    """
    left = PLANNED * seconds - more_trials * pace.trial - pace.once
    epochs = int(left / max(1e-9, batches * pace.batch + pace.trial))
    if epochs >= EPOCHS:
        return epochs, batches
    epochs = max(1, min(EPOCHS, int(TRIALS_SHARE * left / max(1e-9, pace.trial))))
    left = max(0.0, left - epochs * pace.trial)
    return epochs, max(1, min(batches, int(left / max(1e-9, epochs * pace.batch))))


def per_epoch(examples: int, estimator: Mapping[str, Any], *, default: float) -> int:
    """Return the batches of one pass over what the shared weights learn from. [count]

    Args:
        examples: of the training part. [count]
        estimator: its settings.
        default: the share set aside for the architecture if the settings do not say it.
    """
    learning = examples * (1 - estimator.get("architecture", default))
    return max(1, int(learning / min(estimator["batch"], max(1, learning))))
