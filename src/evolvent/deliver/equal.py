"""The lengths of a delivery whose trainings are equally long in seconds.

Finalists and controls are trained equally long, and validation decides between the finalists; test
tells of the controls. Then the winner alone has the time that is left, on all cores where that is
faster. Lengths are counted in epochs of the usual network of the space, as in the search; every network
has as many of its own as take as long (`Paces`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..config.equal_time import look, pace, unit
from ..config.setup import Setup
from ..engine.store import Store
from ..network.build import Size
from ..network.paces import work_of
from ..network.train import Hyperparameters
from ..space import Space
from ..types import Arch, Result
from .timing import LEAST_EPOCHS, Lengths, Timing

CHOICE_SHARE = 0.2  # of the core-seconds of the delivery: finalists and controls
WORTH = 1.25  # times as fast with all cores, from which on the winner gets them
STEPS = 4  # that are measured for that
LONG = 30.0  # [s] a shorter training is not worth the measuring


@dataclass(frozen=True)
class Equal:
    """Lengths of trainings that are equal in seconds.

    Args:
        store: of the run.
        setup: of the run, with its data; its paces are known.
        workers: trainings at a time. [count]
        timing: of the delivery.
        lengths: of trainings that are equal in epochs, for what is the same.
    """

    store: Store
    setup: Setup
    workers: int
    timing: Timing
    lengths: Lengths

    def choice(self, found: Sequence[Result], count: int, share: float = CHOICE_SHARE) -> float:
        """Return the length of each training of the choice; settled once per run. [usual epochs]

        Args:
            found: finalists.
            count: of trainings.
            share: of the core-seconds of the delivery that they have together. (0..1]
        """
        known = self.store.meta("choice_epochs")
        if known is None:
            if (known := self.lengths.unclocked) is not None:
                known /= 2
            else:
                rounds = -(-count // self.workers)
                seconds = share * self.timing.left * self.workers / count
                seconds = min(seconds, 0.5 * self.timing.left / rounds)
                known = seconds / (self._usual(found) * len(self.setup.task.train))
            known = round(max(known, LEAST_EPOCHS), 3)
            self.store.note("choice_epochs", known)
        return float(known)

    def own(
        self,
        arch: Arch,
        length: float,
        *,
        space: Space | None = None,
        hyper: Hyperparameters | None = None,
        size: Size | None = None,
    ) -> float:
        """Return the own epochs of a network that are as long as `length` of the usual one. [epochs]

        Args:
            arch: of the network.
            length: in epochs of the usual network.
            space: of the architecture; None is that of the run.
            hyper: of its training; None is that of the run.
            size: of the network; None is that of the final training.
        """
        pace = self._foretold(arch, space or self.setup.space, hyper, size)
        epochs = length * unit(self.setup) / pace
        return round(min(max(epochs, LEAST_EPOCHS), self.lengths.most), 3)

    def threads(self, winner: Result) -> tuple[int, float]:
        """Return the threads of the final training, and how many times as fast it is with them."""
        known = self._final(winner)
        return int(known[0]), float(known[1])

    def epoch(self, winner: Result) -> float | None:
        """Return the duration of an epoch of the final training with these threads, if measured. [s]"""
        example = self._final(winner)[2]
        return None if example is None else float(example) * self.lengths.everything

    def look(self, winner: Result, example: float) -> float:
        """Return the duration of a forward pass, in training steps for as many examples.

        Args:
            winner: whose forward pass is measured now, with one thread.
            example: what its training takes per example, with one thread. [s]
        """
        setup, size = self.setup, self.setup.train.network.size
        device = setup.request.device
        seconds = look(setup.space, winner.candidate.arch, setup.task, size=size, device=device)
        return seconds / example

    def _final(self, winner: Result) -> tuple[int, float, float | None]:
        """Return threads, how many times as fast these are, seconds per example; once per run."""
        known = self.store.meta("final_threads")
        if known is None:
            known = self.fastest(winner)
            self.store.note("final_threads", known)
        threads, faster, example = (*known, None)[:3]  # an older run noted the first two
        return threads, faster, example

    def fastest(self, winner: Result) -> tuple[int, float, float | None]:
        """Return threads, how many times as fast they are as one, and seconds per example with them.

        It is measured now, since what a thin candidate takes says little of a wide network; where that
        is not worth its time, it is one thread, and None for the seconds.
        """
        if self.timing.left <= LONG:
            return 1, 1.0, None
        one = self._measured(winner, 1)
        if self.workers > 1 and self.setup.request.device == "cpu":
            every = self._measured(winner, self.workers)
            if one / every > WORTH:
                return self.workers, round(one / every, 2), every
        return 1, 1.0, one

    def _usual(self, found: Sequence[Result]) -> float:
        """Return the seconds per example of the usual network, as fast as the machine is now. [s]"""
        slower = [
            self.lengths.example(each) / self._foretold(each.candidate.arch, self.setup.space)
            for each in found
        ]
        return unit(self.setup) * statistics.median(slower)

    def seconds(self, length: float) -> float:
        """Return the duration of a training of `length` of the usual network, as foretold. [s]"""
        return length * unit(self.setup) * len(self.setup.task.train)

    def _foretold(
        self,
        arch: Arch,
        space: Space,
        hyper: Hyperparameters | None = None,
        size: Size | None = None,
    ) -> float:
        setup, paces = self.setup, self.setup.paces
        assert paces is not None
        network = setup.train.network
        how: Any = {"size": size or network.size, "hyper": hyper or network.hyper}
        return paces.of(work_of(space, arch, setup.task, **how))

    def _measured(self, winner: Result, threads: int) -> float:
        setup, network = self.setup, self.setup.train.network
        how: dict[str, Any] = {"size": network.size, "hyper": network.hyper, "threads": threads}
        return pace(setup.space, winner.candidate.arch, setup.task, steps=STEPS, **how)
