"""The trainings of a delivery: made, run, stored, told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ..config.setup import Setup
from ..engine.store import Store
from ..engine.weights import Weights
from ..errors import CandidateFailed
from ..execute import Executor
from ..execute.packs import fit_pack
from ..execute.waiting import as_done
from ..execute.worker import Job, Outcome, fit
from ..network.fit import is_calibrated
from ..network.ngrams import MOST_TOKENS
from ..types import stream
from .timing import Timing

Numbers = dict[str, Any]  # of a training, as a worker tells them


@dataclass(frozen=True)
class Trainings:
    """Runs trainings, each once per run.

    Args:
        store: of the run.
        weights: of the run.
        setup: of the run, with its data.
        executor: trains.
        workers: trainings at a time. [count]
        timing: of the delivery.
        say: is told what happens, in lines.
        tick: is called about once a second, to note the time.
    """

    store: Store
    weights: Weights
    setup: Setup
    executor: Executor
    workers: int
    timing: Timing
    say: Callable[[str], None]
    tick: Callable[[], None]

    def known(self, name: str) -> Numbers | None:
        """Return the numbers of a training that is done."""
        found: Numbers | None = self.store.meta(f"trained/{name}")
        return found

    @property
    def calibrates(self) -> bool:
        """Whether temperatures of probabilities are found on validation rows.

        None makes up for classes that weigh the same in the loss: rare ones are claimed too often.
        """
        setup = self.setup
        if not (setup.train.calibrate and is_calibrated(setup.task)):
            return False
        networks = (setup.network, setup.train.network)  # own weights are those of the search
        return all(each.hyper.class_weight == "none" for each in networks)

    @property
    def weighs_ngrams(self) -> bool:
        """Whether n-grams may be delivered beside a language model, and final trainings leave out text.

        Not beside limits, which hold for all that is delivered.
        """
        task, setup = self.setup.task, self.setup
        if not (task.successive and setup.train.ngrams) or setup.request.limits:
            return False
        segments = len(task.train) + len(task.validation)
        return bool(segments * task.input_shape[0] <= MOST_TOKENS)

    def job(self, name: str, what: Mapping[str, Any], epochs: float) -> Job:
        """Return a training at the final size; `what` says of what.

        Validation is scored as the search scores it, so that the two can be compared.
        """
        network = self.setup.train.network
        job = Job(
            name=name,
            arch=what["arch"],
            size=network.size,
            hyper=network.hyper,
            epochs=epochs,
            seed=stream(self.setup.request.seed, "deliver", name).getrandbits(31),
            deadline=self.timing.deadline,
            views=self.setup.network.size.views > 1,
            temperature=None if self.calibrates else 1.0,
            leaves=self.weighs_ngrams,
        )
        return dataclasses.replace(job, **what)

    def run(self, jobs: list[Job]) -> dict[str, Numbers]:
        """Run jobs that are not done yet; return name -> numbers of those that succeeded.

        Nobody waits for one that runs far beyond the deadline.
        """
        known = {job.name: self.known(job.name) for job in jobs}
        done = {name: numbers for name, numbers in known.items() if numbers is not None}
        left = [(job.name, (job,)) for job in jobs if job.name not in done]
        until = self.timing.last
        ending = as_done(self.executor, fit, left, tick=self.tick, until=until)
        for name, future in ending:
            self.timing.cold = False
            if numbers := self._kept(name, future):
                done[name] = numbers
        return done

    def run_pack(self, name: str, jobs: Sequence[Job]) -> list[str]:
        """Run jobs of one shape at once; return the names of those that succeeded.

        Nothing is told of each: they are of one kind. Nobody waits for them far beyond the deadline.

        Args:
            name: of the pack.
            jobs: as `fit_pack` takes them.
        """
        until, found = self.timing.last, []
        pack = [(name, (jobs,))]
        for _, future in as_done(self.executor, fit_pack, pack, tick=self.tick, until=until):
            try:
                outcomes = future.result()
            except CandidateFailed as error:
                self.say(f"{name} failed: {error}")
                continue
            seeds = {job.seed: job.name for job in jobs}
            for outcome in outcomes:
                each = seeds[outcome.numbers["seed"]]
                self.weights.write(each, outcome.state)
                self.store.note(f"trained/{each}", outcome.numbers)
                found.append(each)
        return found

    def note(self, name: str, numbers: Numbers, *, validated: bool = True) -> None:
        """Store the numbers of a training, and tell them.

        Args:
            name: of the training.
            numbers: of it.
            validated: whether its validation score is its own, and not that of what it stands for.
        """
        self.store.note(f"trained/{name}", numbers)
        metric = self.setup.task.metric
        parts = {"validation": "val", "test": "test"} if validated else {"test": "test"}
        shown = [
            f"{part} {metric} {numbers[key][metric]:.4f}, "
            for part, key in parts.items()
            if numbers[key]
        ]
        cut = "; cut by the budget" if numbers["cut"] else ""
        self.say(
            f"{name}: {''.join(shown)}{numbers['epochs']:.3g} epochs ({numbers['seconds']:.1f} s{cut})"
        )

    def _kept(self, name: str, future: Future[Outcome]) -> Numbers | None:
        try:
            outcome = future.result()
        except CandidateFailed as error:
            self.say(f"{name} failed: {error}")
            return None
        self.weights.write(name, outcome.state)
        self.note(name, outcome.numbers)
        return outcome.numbers
