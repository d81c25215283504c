"""Decisions of a delivery that need numbers alone: lengths of trainings, their effects, controls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..network.build import Size, plan
from ..network.cost import Cost, params_of
from ..space.plain import Plain
from ..task import Task

CONTROL_SHARE = 0.2  # of the whole budget, in core-seconds, at most
#: the same of running text: a cell goes step by step on one core, and controls train on the others
SUCCESSIVE_SHARE = 0.5


@dataclass(frozen=True)
class Change:
    """The effect of a longer training on validation, averaged over the same architectures.

    Args:
        score: their mean score after both. [a share]
        rise: of the score.
        loss: after the longer training, in units of the loss before.
        error: whether the score is the negative of an error, and no share.
    """

    score: float
    rise: float
    loss: float
    error: bool = False

    @staticmethod
    def of(pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], metric: str) -> Change:
        """Return the change from pairs of metrics, before and after."""
        before, after = (sum(pair[at][metric] for pair in pairs) / len(pairs) for at in (0, 1))
        losses = [sum(pair[at]["loss"] for pair in pairs) for at in (0, 1)]
        loss = losses[1] / max(losses[0], 1e-9)
        return Change((before + after) / 2, after - before, loss, metric.startswith("neg-"))

    def is_worse(self, *, count: int, tried: int) -> bool:
        """Whether it was worse beyond chance: the score fell, or did not rise while the loss did.

        A network that overfits is sure of its errors long before it makes more of them. The search's
        best owe a part of their scores to luck, the more the more candidates they were chosen from, so
        chance reaches as far as the largest of so many deviations. Nobody chose by the loss, which lies
        in the few errors, and is as uncertain as their number.

        Args:
            count: validation examples. [count]
            tried: candidates that the architectures were chosen from. [count]
        """
        if self.error:  # as uncertain as the loss
            return self.rise <= 0 and self.loss > 1 + 2 / math.sqrt(max(1, count))
        share = min(1.0, max(0.0, self.score))
        errors = max(1.0, (1 - share) * count)
        reach = math.sqrt(2) * max(2.0, math.sqrt(2 * math.log(max(1, tried))))  # of a difference
        fell = -self.rise > reach * math.sqrt(share * errors) / count
        return fell or (self.rise <= 0 and self.loss > 1 + 2 / math.sqrt(errors))


def planned_seconds(left: float, *, rounds: float, budget: float, workers: int) -> float:
    """Return the longest duration of one final training. [s]

    Args:
        left: for all of them. [s]
        rounds: of trainings that follow each other; half a one for the choice. [count]
        budget: of the whole run; of its core-seconds the two controls get a fifth. [s]
        workers: trainings at a time. [count]
    """
    controls = CONTROL_SHARE / 2 * budget * workers
    return min(left / rounds, controls) if rounds else controls


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Return the makespan of trainings that start in order as workers become free. [s]"""
    free = [0.0] * workers
    for each in seconds:
        free[free.index(min(free))] += each
    return max(free)


def plain_width(task: Task, size: Size, like: Cost, *kind: str) -> int:
    """Return the width at which the plain control is nearest in parameters to `like`. [channels]

    Args:
        task: the data.
        size: of networks.
        like: of the network to compare with.
        kind: of the control where there are several, as its architecture says it.
    """
    space = Plain()

    def parameters(width: int) -> int:
        return params_of(plan(space, (width, *kind), task, size))

    low, high = space.smallest, space.largest
    # a cell of many nodes has the parameters of a far wider LSTM, which takes no longer
    while task.successive and parameters(high) < like.params:
        high *= 2
    while low < high:  # the smallest width with at least as many parameters
        middle = (low + high) // 2
        low, high = (low, middle) if parameters(middle) >= like.params else (middle + 1, high)
    below = max(space.smallest, low - 1)
    return min((low, below), key=lambda width: abs(parameters(width) - like.params))
