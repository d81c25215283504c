"""An ensemble in place of a single network, where that pays.

One training that has all the time beats the mean of several short ones while networks still learn, so
no time is taken from it. What is averaged was trained anyway: the best few candidates, finalists, and
controls that were trained beside them. Validation says before the final training whether their mean
gains beyond chance (`ensemble`). What is delivered then is, first of these:

- members that all had a final training as long as the winner's, where time is left behind that: a final
  training ends where more epochs are not worth it, so on small data there is much;
- the winner after its final training beside the others as they were chosen, if the gain is more than
  what the longer training is still expected to bring. That is what doubling the training brought the
  finalists, for every time that it is doubled once more;
- all as they were chosen, where there was no final training;
- the single network.

Where no ensemble was chosen and time is left behind the final training, and only there, the winner is
trained from some other seeds too, as it was for the choice. Where their mean is better than one of
them, they get a final training as well, and are averaged with the winner. Where networks are trained
in packs, other seeds cost little, and take the place of all this (`packs`).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.setup import Setup
from ..engine.store import Store
from ..engine.weights import Weights
from ..execute.worker import Job
from ..network.build import Assembled
from ..network.cost import params
from ..network.fit import calibrated, held_rows, load, scored
from ..network.losses import AVERAGED
from ..types import Result
from .controls import Controls
from .ensemble import Gain, Predictions, gain, gain_of_seeds, select
from .members import (
    Fitting,
    Member,
    breaks,
    plan_of,
    predictions,
    reading,
    trained,
    weights_of,
)
from .own import Own, own_weights
from .packs import Packs
from .selection import makespan
from .timing import ROUNDED, SLACK, Lengths
from .trainings import Numbers, Trainings

LOOKING_SHARE = 0.05  # of the time that is left: the most that predicting validation may take
NAME = "ensemble"  # of its note and its numbers
SEEDS = 3  # trainings of the winner from other seeds, at most


@dataclass(frozen=True)
class Ensemble:
    """Networks that are delivered as one.

    Args:
        members: in the order in which they are called, the first weighs most.
        numbers: of the whole: ``val``, ``test``, ``params``, and of its trainings ``train_seconds``.
        views: of every image. [count]
        gain: on validation rows that had no part in the choice, over the best single network; None
            where nothing was chosen.
        deviation: of that gain.
        kept: whether all have the weights that were chosen.
    """

    members: tuple[Member, ...]
    numbers: Numbers
    views: int
    gain: float | None
    deviation: float | None
    kept: bool


@dataclass
class Averaging:
    """Chooses an ensemble, has its members trained where there is time, and reads test for it.

    Args:
        store: of the run.
        weights: of the run.
        setup: of the run, with its data.
        results: of the search.
        trainings: of the delivery.
        lengths: of its trainings.
        controls: of the delivery.
        start: what a final training of a candidate begins with.
        workers: trainings at a time. [count]
        say: is told what happens, in lines.
    """

    store: Store
    weights: Weights
    setup: Setup
    results: Sequence[Result]
    trainings: Trainings
    lengths: Lengths
    controls: Controls
    start: Callable[[Result], Mapping[str, Any]]
    workers: int
    say: Callable[[str], None]

    # -- before the final training ---------------------------------------------------------------

    def settle(self, winner: Result) -> None:
        """Choose by validation, once per run; keep time free to read test where it will be needed."""
        if self.store.meta(NAME) is None:
            self.store.note(NAME, self._chosen(winner))
        members = self._members(winner)
        if not members or self.trainings.known(NAME) is not None:
            return
        epochs = self.lengths.unclocked
        if epochs is None:
            epochs = self.lengths.fitting({"winner": self.lengths.epoch(winner)})
        if self._is_worth_more(members, epochs):
            self.lengths.timing.reserved = self._reading(members)

    @property
    def _is_asked_for(self) -> bool:
        """Whether there may be one: what is delivered wider than candidates has no other members."""
        averaged = self.setup.task.loss in AVERAGED
        return averaged and self.setup.train.ensemble and not self.setup.widens

    @property
    def packs(self) -> bool:
        """Whether the winner is trained from other seeds as well, as one pack."""
        return self._is_asked_for and Packs.possible(self.setup)

    def _chosen(self, winner: Result) -> dict[str, Any]:
        """Return the choice as it is noted: the members' names and how often each counts."""
        if not self._is_asked_for or self.packs:
            return {}
        found = self._trained(winner)
        needed = reading(self.setup, found, self.setup.task.validation)
        if len(found) < 2 or needed > LOOKING_SHARE * max(0.0, self.lengths.timing.left):
            return {}
        said = self._predicted("predictions", found)
        allowed = Fitting(self.setup, found, self._views)
        gained, picks = gain(said, allowed), select(said, allowed)
        if gained is None or not gained.is_beyond_chance or len(set(picks)) < 2:
            return {}
        times = {found[at].weights: picks.count(at) for at in dict.fromkeys(picks)}
        return self._note(times, gained, said, picks, self._rise(found))

    def _predicted(self, name: str, members: Sequence[Member]) -> Predictions:
        """Return the predictions of members for the validation part, and store them under a name."""
        said = predictions(self.setup, self.weights, members)
        values = {each.weights: said.values[at] for at, each in enumerate(members)}
        self.weights.write(name, values)
        return said

    def _note(
        self,
        times: Mapping[str, int],
        gained: Gain,
        said: Predictions,
        picks: Sequence[int],
        rise: float | None,
    ) -> dict[str, Any]:
        """Tell a choice, and return it as it is stored."""
        self.say(
            f"the mean of {len(times)} networks is better on validation: {self.setup.task.metric} by "
            f"{gained.score:.4f} +- {gained.deviation:.4f}, loss by {gained.loss:.4f} +- "
            f"{gained.loss_deviation:.4f}"
        )
        val = float(said.scores(said.mean(picks)).mean())
        return {"times": times, "gain": dataclasses.asdict(gained), "val": val, "rise": rise}

    def _temperature(self, net: Assembled, *, kept: bool) -> float:
        """Return the temperature of the mean, by rows that no member learnt from.

        Args:
            net: the mean.
            kept: whether no member had a final training.
        """
        if not self.trainings.calibrates:
            return 1.0
        task = self.setup.task
        part = task.validation if kept else task.validation.taken(held_rows(task))
        return calibrated(net, task, part, device=self.setup.request.device)

    def _trained(self, winner: Result) -> list[Member]:
        parts = (self.setup, self.weights, winner, self.results)
        found = trained(*parts, self.trainings, self.lengths, self.controls)
        return found + self._reseeded(found[:1])

    def _members(self, winner: Result) -> list[Member]:
        """Return the members that were chosen, as they were then; none without an ensemble."""
        times = (self.store.meta(NAME) or {}).get("times", {})
        if not times:
            return []
        found = {each.weights: each for each in self._trained(winner)}
        chosen = [
            dataclasses.replace(found[name], times=count)
            for name, count in times.items()
            if name in found
        ]
        return sorted(chosen, key=lambda each: -each.times)

    def _rise(self, found: Sequence[Member]) -> float | None:
        """Return the mean rise of the finalists by twice the training; None if unknown."""
        by_id = {result.candidate.id: result for result in self.results}
        rises = []
        for id in (each.candidate for each in found if not each.reseeded):
            seen = None if id is None else self.trainings.known(f"finalist-{id}")
            if id is None or seen is None or seen["cut"] or not by_id[id].total_epochs:
                continue
            doublings = math.log2(max(1e-9, seen["total_epochs"]) / by_id[id].total_epochs)
            if doublings > 0:
                rose = seen["val"][self.setup.task.metric] - by_id[id].value
                rises.append(rose / doublings)
        return sum(rises) / len(rises) if rises else None

    def _is_worth_more(self, members: Sequence[Member], epochs: float) -> bool:
        """Whether the gain is more than what a final training is expected to bring to one network.

        Args:
            members: the first of them as it was chosen.
            epochs: of the final training.
        """
        chosen = self.store.meta(NAME)
        gained, rise = Gain(**chosen["gain"]), chosen["rise"]
        if rise is None:
            return False
        more = epochs * self.lengths.everything
        before = max(each.epochs for each in members) * len(self.setup.task.train)
        doublings = max(0.0, math.log2(max(1e-9, more) / max(1e-9, before)))
        return bool(gained.score - gained.deviation > max(0.0, rise) * doublings)

    @property
    def _views(self) -> int:
        return self.setup.train.network.size.views

    def _reading(self, members: Sequence[Member], views: int | None = None) -> float:
        return reading(self.setup, members, self.setup.task.test, views or self._views)

    # -- after it --------------------------------------------------------------------------------

    def complete(
        self, winner: Result, numbers: Numbers, own: Own | None, epochs: float, val: float
    ) -> Ensemble | None:
        """Return the ensemble with its test scores; None where the single network is delivered.

        Args:
            winner: of the choice.
            numbers: of the training that is delivered if the network stays single.
            own: its own weights, if it is delivered with them; None after a final training.
            epochs: of the final training.
            val: score on validation data by which the winner was chosen.
        """
        self.lengths.timing.reserved = 0.0
        if self.packs:
            whole = own is None and not numbers["cut"]
            return self._of_pack(winner, numbers, val) if whole else None
        settled = self.store.meta(NAME) or self.trainings.known(NAME) is not None
        if own is None and not numbers["cut"] and not settled:
            self._try_seeds(winner, epochs)
        members = self._members(winner)
        if not members:
            return None
        views = self._views if own is None else own.size.views
        known = self.trainings.known(NAME)
        if known is None:
            members = members if own is not None else self._finally(winner, members, epochs)
            val = (self.store.meta(NAME) or {}).get("val", val)
            known = self._numbers(members, numbers, views, val, kept=own is not None)
            if known["members"]:
                self.trainings.note(NAME, known)
            else:
                self.say(f"the network stays single: {known['why']}")
                self.store.note(f"trained/{NAME}", known)
        else:
            members = self._named(members, known["members"], winner)
        if not known["members"]:
            return None
        gained = Gain(**self.store.meta(NAME)["gain"])
        told = (gained.score, gained.deviation)
        return Ensemble(tuple(members), known, views, *told, kept=own is not None)

    def _of_pack(self, winner: Result, numbers: Numbers, val: float) -> Ensemble | None:
        """Return the mean of the winner from several seeds; None where it stays alone."""
        parts = (self.store, self.weights, self.setup, self.trainings, self.start(winner))
        members = Packs(*parts).members(winner, numbers)
        if len(members) < 2:
            return None
        known = self.trainings.known(NAME)
        if known is None:
            known = self._numbers(members, numbers, self._views, val, kept=False)
            if not known["members"]:
                self.say(f"the network stays single: {known['why']}")
                return None
            # all learnt from the validation rows: the score is that by which the winner was chosen
            self.trainings.note(NAME, known, validated=False)
        return Ensemble(tuple(members), known, self._views, None, None, kept=False)

    def _finally(self, winner: Result, members: list[Member], epochs: float) -> list[Member]:
        """Return the members after a final training, those that it is not worth as they were chosen."""
        names = {each.weights: self._final_name(each, winner) for each in members}
        missing = [each for each in members if self._final(names[each.weights]) is None]
        pace = {each.weights: self._epochs(each, winner, epochs) for each in members}
        if missing and self._fits(members, missing, pace):
            jobs = [self._job(each, winner, pace[each.weights], members) for each in missing]
            self.say(f"final training of the ensemble: {', '.join(job.name for job in jobs)}")
            self.trainings.run(jobs)
        trained_ = [self._as_trained(each, names[each.weights]) for each in members]
        if all(each is not None for each in trained_) or self._is_worth_more(members, epochs):
            return [after or each for each, after in zip(members, trained_, strict=True)]
        if any(each.reseeded for each in members):  # alike, so that any of them may be missing
            after = [each for each in trained_ if each is not None]
            return after if len(after) > 1 else []
        return []

    def _final_name(self, member: Member, winner: Result) -> str:
        """Return the name of a member's final training, which may be the winner's or a control's."""
        if member.reseeded:
            return member.final_name
        if member.candidate == winner.candidate.id:
            return "winner"
        drawn, count = self.controls.random
        is_drawn = count and member.candidate == drawn.candidate.id
        if is_drawn and not self.setup.equal_seconds and self._final("random") is not None:
            return "random"
        return member.final_name

    def _final(self, name: str) -> Numbers | None:
        """Return the numbers of a final training that can be delivered; None without one."""
        numbers = self.trainings.known(name)
        if numbers is None or numbers["cut"] or not numbers.get("useful", True):
            return None
        return numbers

    def _as_trained(self, member: Member, name: str) -> Member | None:
        numbers = self._final(name)
        if numbers is None or numbers["total_epochs"] < (1 - ROUNDED) * member.epochs:
            return None  # what is delivered has no less training than what was chosen
        size = dataclasses.replace(self.setup.train.network.size, views=1, head=member.size.head)
        lasted = {"epochs": numbers["total_epochs"], "seconds": numbers["train_seconds"]}
        return dataclasses.replace(member, weights=name, size=size, **lasted)

    def _epochs(self, member: Member, winner: Result, epochs: float) -> float:
        """Return the epochs of a final training that is as long as the winner's. [epochs]"""
        if not self.setup.equal_seconds:
            return epochs
        return epochs * self.lengths.example(winner) / max(1e-12, member.pace)

    def _fits(
        self, members: Sequence[Member], missing: Sequence[Member], epochs: Mapping[str, float]
    ) -> bool:
        """Whether there is time left to train the missing ones, and to read test afterwards."""
        everything = self.lengths.everything
        seconds = [epochs[each.weights] * each.pace * everything for each in missing]
        needed = makespan(seconds, self.workers) + self._reading(members)
        return needed <= (1 - SLACK) * self.lengths.timing.left

    def _job(self, member: Member, winner: Result, epochs: float, members: Sequence[Member]) -> Job:
        """Return the final training of a member, which must not make it worse than it was chosen."""
        name, least = member.final_name, None
        if member.candidate is None:
            what: Mapping[str, Any] = self.controls.what(winner)[member.weights]
        else:
            found = next(r for r in self.results if r.candidate.id == member.candidate)
            what = self.start(found)
            seen = self.trainings.known(f"finalist-{member.candidate}")
            own = own_weights(self.setup, self.weights, found, seen)
            least = None if own is None else own.least(self.setup.task.validation.effective)
        job = self.trainings.job(name, what, epochs)
        if job.deadline is not None:  # after it, test is read by all members
            job = dataclasses.replace(job, deadline=job.deadline - self._reading(members))
        return dataclasses.replace(job, everything=True, least=least)

    # -- the winner from other seeds -------------------------------------------------------------

    def _reseeded(self, winner: Sequence[Member]) -> list[Member]:
        """Return the winner as it was trained from other seeds, as often as it was.

        Args:
            winner: as it was chosen; none if its weights were not kept.
        """
        found = []
        for name in (f"seed-{number}" for number in range(1, SEEDS + 1)):
            numbers = self.trainings.known(name)
            if winner and numbers is not None and not numbers["cut"]:
                lasted = {"epochs": numbers["total_epochs"], "seconds": numbers["train_seconds"]}
                found.append(dataclasses.replace(winner[0], weights=name, reseeded=True, **lasted))
        return found

    def _try_seeds(self, winner: Result, epochs: float) -> None:
        """Train the winner from other seeds, if there is time for that and for their final training.

        That is never done without a clock, where nobody asked for as much as there is time for.

        Args:
            winner: of the choice.
            epochs: of the final training.
        """
        if self.store.meta("seeds") is None:
            self.store.note("seeds", self._affordable_seeds(winner, epochs))
        names = [f"seed-{number + 1}" for number in range(self.store.meta("seeds"))]
        if not names:
            return
        one, *_ = self._trained(winner)
        self.say(f"time is left: {', '.join(names)}, the winner from other seeds, by validation")
        self.trainings.run(
            [self.trainings.job(name, self.start(winner), one.epochs) for name in names]
        )
        again = self._reseeded([one])
        if len(again) < 2:
            return
        said = self._predicted("predictions-seeds", again)
        gained = gain_of_seeds(said)
        if gained is not None and gained.is_beyond_chance:
            picks = range(len(again))
            times = {each.weights: 1 for each in (one, *again)}
            self.store.note(NAME, self._note(times, gained, said, picks, None))

    def _affordable_seeds(self, winner: Result, epochs: float) -> int:
        """Return the number of trainings from other seeds that there is time for. [count]"""
        timing = self.lengths.timing
        possible = self._is_asked_for and self.setup.deliver == "retrain"
        found = self._trained(winner)[:1] if possible else []
        if timing.seconds is None or not found:
            return 0
        one = found[0].epochs * len(self.setup.task.train) + epochs * self.lengths.everything
        left = (1 - SLACK) * timing.left - self._reading(found)
        for count in range(SEEDS, 1, -1):
            rounds = -(-count // self.workers)
            needed = rounds * one * found[0].pace + count * self._reading(found)
            again = [dataclasses.replace(found[0], reseeded=True)] * count
            if needed <= left and not breaks(self.setup, [*found, *again], self._views):
                return count
        return 0

    # -- its numbers -----------------------------------------------------------------------------

    def _numbers(
        self,
        members: Sequence[Member],
        single: Numbers,
        views: int,
        val: float,
        *,
        kept: bool,
    ) -> Numbers:
        """Return the numbers of an ensemble, after a look at test; of none, that there is none.

        Args:
            members: of it.
            single: numbers of the network that is delivered without it.
            views: of every image. [count]
            val: its score on validation data.
            kept: whether no member had a final training.
        """
        if not members:
            return _none("there was no time to train the other networks as long as the winner")
        if self._reading(members, views) > max(0.0, self.lengths.timing.left):
            return _none("no time was left to read test for several")
        if broken := breaks(self.setup, members, views):
            return _none(f"several have {broken}")
        task, start = self.setup.task, time.monotonic()
        net = Assembled(plan_of(self.setup, members, views))
        load(net, weights_of(self.weights, members))
        temperature = self._temperature(net, kept=kept)
        test = None
        if task.test and single["test"] is not None:
            device = self.setup.request.device
            how: Any = {"uncertain": True, "temperature": temperature}
            test = scored(net, task, task.test, device=device, **how)
        return {
            "members": [each.weights for each in members],
            "val": {task.metric: val},
            "test": test,
            "temperature": temperature,
            "cut": False,
            "params": params(net),
            "epochs": max(each.epochs for each in members),
            "train_seconds": round(sum(each.seconds for each in members), 3),
            "seconds": round(time.monotonic() - start, 3),
        }

    def _named(
        self, members: Sequence[Member], names: Sequence[str], winner: Result
    ) -> list[Member]:
        """Return the members with the weights that they had when the ensemble was made."""
        kept = {each.weights: each for each in members}
        final = {self._final_name(each, winner): each for each in members}
        found = [
            kept[name] if name in kept else self._as_trained(final[name], name) for name in names
        ]
        return [each for each in found if each is not None]


def _none(why: str) -> Numbers:
    """Return the numbers of an ensemble that there is not."""
    return {"members": [], "test": None, "why": why}
