"""The time of a delivery: what is left, what a training takes, and how long each may be."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..config.clock import UNKNOWN_START, closing, lateness
from ..config.defaults import UNCLOCKED, at_most
from ..config.equal_time import pace
from ..config.setup import Setup
from ..engine.store import Store
from ..network.build import VIEWS, Size, plan, views_of
from ..network.cost import cost
from ..network.train import Hyperparameters
from ..space import Space
from ..types import Arch, Result
from .selection import CONTROL_SHARE, SUCCESSIVE_SHARE, makespan, planned_seconds

LEAST_SHARE = 0.15  # of the whole budget: what a delivery gets that is late and has nothing yet
SLACK = 0.08  # of the time that is left: what a plan leaves free
#: of a training step: what a forward pass alone takes, always in float32, by the training's precision,
#: where it was not measured; more on processors that are made for bfloat16, and where training resizes
LOOK = {"float32": 0.35, "bfloat16": 1.0}
LOOK_AT_TEXT = 0.6  # the same of a language model, whose vocabulary alone is in bfloat16
VIEWS_SHARE = (
    0.25  # of the time that is left: the most that further views of the test data may take
)
ROUNDED = 0.02  # of a training length: it is a whole number of steps
LEAST_EPOCHS = 0.05  # of a training that there must be


@dataclass
class Timing:
    """The time of a delivery.

    Args:
        seconds: left for all of it when it begins, or None. [s]
        total: budget of the whole run. [s]
        start: what a fresh process takes to start. [s]
        cold: whether the workers have yet to start.
        must: whether nothing can be delivered yet, so that a training is waited for however late it is.
        reserved: kept free for what follows the final trainings. [s]
    """

    seconds: float | None
    total: float
    start: float = 0.0
    cold: bool = True
    must: bool = False
    reserved: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @staticmethod
    def of(store: Store, setup: Setup, seconds: float | None) -> Timing:
        """Return the time of a run's delivery, which has so many seconds left."""
        total = float(setup.budget.seconds or 0)
        seen = store.meta("start_seconds")
        start = UNKNOWN_START * store.spent("setup") if seen is None else float(seen)
        return Timing(seconds, total, start)

    @property
    def closing(self) -> float:
        """Time of export, card and page after the trainings. [s]"""
        return closing(self.start, self.total)

    @property
    def left(self) -> float:
        """Time left for trainings; infinite without a clock. [s]"""
        if self.seconds is None:
            return math.inf
        waiting = self.start if self.cold else 0.0
        waiting += self.reserved
        return self.began + self.seconds - self.closing - waiting - time.monotonic()

    @property
    def deadline(self) -> float | None:
        """When a training must stop wherever it is, by the monotonic clock. [s]

        One that nothing can stand in for has the lateness of a training in any case: cut at its first
        step it would be delivered with hardly more than random weights.
        """
        if self.seconds is None:
            return None
        late = lateness(self.total) / 4
        found = self.began + self.seconds - self.closing - self.reserved + late
        return max(found, time.monotonic() + late) if self.must else found

    @property
    def last(self) -> float | None:
        """When nobody waits for a training any more, by the monotonic clock. [s]"""
        if self.must or self.deadline is None:
            return None
        return self.deadline + lateness(self.total) / 4

    @property
    def patience(self) -> float | None:
        """Time left for the export, card and page not counted. [s]

        These two take about as long as a process to start.
        """
        if self.seconds is None:
            return None
        end = self.began + self.seconds + lateness(self.total) / 4 - self.start
        return max(0.0, end - time.monotonic())

    def must_have(self) -> None:
        """Take more time than there is: nothing can be delivered yet."""
        self.must = True
        if self.seconds is not None:
            self.seconds = max(self.seconds, LEAST_SHARE * self.total)


@dataclass(frozen=True)
class Lengths:
    """Durations of final trainings, and the epochs that they get.

    Args:
        store: of the run.
        setup: of the run, with its data.
        workers: trainings at a time. [count]
        timing: of the delivery.
    """

    store: Store
    setup: Setup
    workers: int
    timing: Timing

    # -- paces -----------------------------------------------------------------------------------

    def epoch(self, result: Result) -> float:
        """Return the duration of an epoch of the final training of a candidate. [s]"""
        return self.example(result) * self.everything

    def measured(self, space: Space, arch: Arch, size: Size, hyper: Hyperparameters) -> float:
        """Return the same of any network and training, measured now. [s]"""
        device = self.setup.request.device
        each = pace(space, arch, self.setup.task, device=device, size=size, hyper=hyper)
        return each * self.everything

    @property
    def everything(self) -> int:
        """Examples of the final training. [count]"""
        return len(self.setup.task.train) + len(self.setup.task.validation)

    @property
    def looking(self) -> float:
        """Epochs of a final training that take as long as to read test in all views, and validation."""
        return self._looking(self.setup.train.network.size.views)

    @property
    def look(self) -> float:
        """Duration of a forward pass, in steps of the final training for as many examples."""
        known = self.store.meta("look")
        if known is not None:
            return float(known)
        if self.setup.facts.successive:
            return LOOK_AT_TEXT
        return LOOK[self.setup.train.network.hyper.precision]

    def views(self, result: Result, networks: int) -> int:
        """Return the most views, up to those of the setup, that there is time to read test in.

        Args:
            result: a typical candidate.
            networks: for which test is read. [count]
        """
        rounds = math.ceil(networks / self.workers)
        epoch = self._paced(result)
        wanted = self.setup.train.network.size.views
        for views in sorted((each for each in VIEWS if each <= wanted), reverse=True):
            further = rounds * epoch * (self._looking(views) - self._looking(1))
            if further <= VIEWS_SHARE * max(0.0, self.timing.left):
                return views
        return 1

    def _looking(self, views: int) -> float:
        """Return the epochs of a final training that take as long as to read test in so many views.

        Validation is read too, once.
        """
        task, size = self.setup.task, self.setup.train.network.size
        all_views = views_of(replace(size, views=views), task)
        rows = all_views * (len(task.test) if task.test else 0) + len(task.validation)
        return self.look * rows / self.everything

    def example(self, result: Result) -> float:
        """Return the seconds per example of a candidate at the final size, as last measured."""
        if (seen := self.store.meta(f"trained/finalist-{result.candidate.id}")) is not None:
            return float(seen["train_seconds"] / max(1e-9, seen["epochs"] * seen["examples"]))
        setup, arch = self.setup, result.candidate.arch
        seconds = result.metrics.get("train_seconds")
        if seconds is None or not result.epochs:  # it was not trained, or its estimator did not say
            network = setup.train.network
            whole = self.measured(setup.space, arch, network.size, network.hyper)
            return whole / self.everything
        sizes = (setup.network.size, setup.train.network.size)
        scale = 1.0
        if sizes[0] != sizes[1]:
            before, after = (  # of training steps, which have no views
                cost(plan(setup.space, arch, setup.task, size), setup.task).flops
                for size in (replace(each, views=1) for each in sizes)
            )
            scale = after / max(1, before)
        return float(seconds) / (result.epochs * len(setup.task.train)) * scale

    # -- lengths ---------------------------------------------------------------------------------

    def roughly(self, result: Result, networks: int) -> float:
        """Return about how long the final training will be, before it is planned. [epochs]

        Args:
            result: a typical candidate.
            networks: that are trained at the end. [count]
        """
        if (known := self.unclocked) is not None:
            return known
        whole = math.ceil(networks / self.workers) * self._paced(result)
        return min((1 - SLACK) * max(0.0, self.timing.left) / max(1e-9, whole), self.most)

    def _paced(self, result: Result) -> float:
        """Return the duration of an epoch of the final training, as measured where it was. [s]"""
        measured = self.store.meta("epoch")
        return self.epoch(result) if measured is None else float(measured)

    def choice(self, slowest: float | None, *, finalists: int, finals: int) -> float:
        """Return the epochs of the finalists' training, half of what the final one may become.

        Args:
            slowest: duration of an epoch of the slowest network; None where no clock asks. [s]
            finalists: how many are trained for the choice. [count]
            finals: how many are trained at the end. [count]
        """
        known = self.store.meta("choice_epochs")
        if known is None:
            known = self.unclocked
            if known is None:
                assert slowest is not None
                rounds = math.ceil(finals / self.workers) + math.ceil(finalists / self.workers) / 2
                seconds = planned_seconds(
                    max(0.0, self.timing.left),
                    rounds=rounds,
                    budget=self.timing.total,
                    workers=self.workers,
                )
                known = 0.9 * seconds / slowest
            known = round(min(max(known, LEAST_EPOCHS), self.most) / 2, 3)
            self.store.note("choice_epochs", known)
        return float(known)

    def fitting(
        self, epochs: Mapping[str, float], controls: tuple[str, ...] = (), share: float = 1.0
    ) -> float:
        """Return the epochs that fit into what is left; at most those that are worth it.

        Args:
            epochs: name -> duration of an epoch, of what is to be trained equally long. [s]
            controls: names of those that may only have their share of the budget.
            share: of what is left, that they may take. (0..1]
        """
        whole = max(makespan(list(epochs.values()), self.workers), 1e-9)
        found = share * (1 - SLACK) * max(0.0, self.timing.left) / whole
        found = max(0.0, found - self.looking)
        own = sum(seconds for name, seconds in epochs.items() if name in controls)
        share = SUCCESSIVE_SHARE if self.setup.facts.successive else CONTROL_SHARE
        allowed = share * self.timing.total * self.workers / max(own, 1e-9)
        return math.floor(100 * min(found, allowed, self.most)) / 100

    @property
    def unclocked(self) -> float | None:
        """The epochs of the final training, where the user or the lack of a clock decides."""
        if (epochs := self.setup.train.epochs) is not None:
            return float(epochs)
        if self.timing.seconds is not None:
            return None
        return final_epochs(self.setup)

    @property
    def most(self) -> float:
        """The longest final training. [epochs]"""
        setup = self.setup
        own = "lengths" in setup.space.gives
        return at_most("final", setup.task, setup.train.network.hyper.batch, own=own)


def final_epochs(setup: Setup) -> float:
    """Return the epochs of the final training of a run without a clock.

    It is never shorter than that of a candidate, for which the user may have asked for more. Where
    candidates are found in closed form, it is that of the controls, which are not.
    """
    epochs = setup.schedule.epochs
    if not epochs:
        return min(
            at_most("final", setup.task, setup.train.network.hyper.batch), UNCLOCKED["final"]
        )
    return max(epochs, min(4 * epochs, UNCLOCKED["final"]))
