"""The winner from several seeds, trained at once after its final training, and averaged with it.

Where networks are trained in packs, several of one architecture take little longer than one. The loss
of their mean is never above the mean of their losses, on any row: both losses are convex in what is
averaged (Jensen's inequality; Lakshminarayanan, Pritzel & Blundell 2017, 1612.01474). So no row has to
judge whether it pays, and all of them can be learnt from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.setup import Setup
from ..engine.store import Store
from ..engine.weights import Weights
from ..network.build import Size
from ..types import Result
from .members import Member, breaks, reading
from .timing import SLACK
from .trainings import Numbers, Trainings

SEEDS = 8  # networks in the mean, the winner among them, at most
NOTE = "pack"  # of the store: the names of the trainings


@dataclass(frozen=True)
class Packs:
    """Trains the winner from other seeds as one pack.

    Args:
        store: of the run.
        weights: of the run.
        setup: of the run, with its data.
        trainings: of the delivery.
        start: what the final training of the winner began with.
    """

    store: Store
    weights: Weights
    setup: Setup
    trainings: Trainings
    start: Mapping[str, Any]

    @staticmethod
    def possible(setup: Setup) -> bool:
        """Whether the estimator of a run packs, and every training starts from fresh weights."""
        return "packs" in setup.parts.estimator.make.gives and setup.deliver == "retrain"

    def members(self, winner: Result, numbers: Numbers) -> list[Member]:
        """Return the winner and its like from other seeds, trained now; it alone without time for them.

        Args:
            winner: of the choice.
            numbers: of its final training, which is not cut.
        """
        names = self.store.meta(NOTE)
        if names is None:
            names = self._trained(winner, numbers)
            self.store.note(NOTE, names)
        told = {"winner": numbers} | {name: self.trainings.known(name) for name in names}
        size = dataclasses.replace(self.setup.train.network.size, views=1)
        return [_member(name, winner, each, size) for name, each in told.items() if each]

    def _trained(self, winner: Result, numbers: Numbers) -> list[str]:
        """Train as many as time and limits allow; return their names."""
        count = self._allowed(winner, numbers)
        if count < 2:
            return []
        timing, setup = self.trainings.timing, self.setup
        one = self._like(winner, numbers)
        free = SLACK * max(0.0, timing.left) if timing.seconds is not None else 0.0
        free += count * reading(setup, [one], setup.task.test)  # for the score of the mean
        jobs = []
        for number in range(1, count):
            job = self.trainings.job(f"{NOTE}-{number}", self.start, numbers["total_epochs"])
            end = None if job.deadline is None else job.deadline - free
            jobs.append(dataclasses.replace(job, everything=True, deadline=end))
        names = self.trainings.run_pack(NOTE, jobs)
        if names:
            self.trainings.say(
                f"the winner and {len(names)} trainings of it from other seeds are averaged"
            )
        return names

    def _allowed(self, winner: Result, numbers: Numbers) -> int:
        """Return the most networks that keep the user's limits together. [count]"""
        one, count = self._like(winner, numbers), SEEDS
        while count > 1 and breaks(self.setup, self._others(one, range(count)), 1):
            count -= 1
        return count

    def _like(self, winner: Result, numbers: Numbers) -> Member:
        size = dataclasses.replace(self.setup.train.network.size, views=1)
        return _member("winner", winner, numbers, size)

    def _others(self, one: Member, names: Sequence[Any]) -> list[Member]:
        return [dataclasses.replace(one, weights=str(name)) for name in names]


def _member(name: str, winner: Result, numbers: Numbers, size: Size) -> Member:
    seconds, epochs = numbers["train_seconds"], numbers["total_epochs"]
    pace = seconds / max(1e-9, epochs * numbers["examples"])
    lasted = (epochs, seconds, pace)
    made = Member(name, winner.candidate.arch, size, None, winner.candidate.id, *lasted)
    return dataclasses.replace(made, reseeded=name != "winner")
