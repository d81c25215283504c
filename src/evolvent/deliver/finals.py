"""After the search: final training of the best few, controls, one look at test.

The finalists are the best distinct architectures at the highest budget. They are trained longer, and
validation decides between them; the winner and the controls then train on training and validation
data together, by the same recipe, and only then is test read, once. What is done is noted in the
store, so that a killed delivery goes on where it was.

What is delivered is never worse than what was chosen. No final training begins that cannot become as
long as the one whose score chose the winner. If there is no time for it, if it is cut, or if it comes
out worse, the winner keeps its own weights (`own`), and test is read for these.

A run that delivers by ``continue`` starts finalists and winner from the weights that the search left
them, and trains the winner's architecture from scratch as well, as one more control.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.clock import lateness, no_time
from ..config.defaults import MOST_FINALISTS
from ..config.setup import Setup
from ..engine.store import Store
from ..engine.weights import Weights
from ..errors import EvolventError, RunError
from ..execute import Executor
from ..execute.worker import Job
from ..network.build import Size
from ..network.fit import with_own_training
from ..network.train import worth_it
from ..ranking import distinct, rung, simplest
from ..space import key
from ..types import Arch, Result
from .averaging import Averaging, Ensemble
from .controls import BRIEFLY, CONTROLS, KNOWN, SLOW, Controls, best_known
from .equal import CHOICE_SHARE, Equal
from .interpolation import Beside, Interpolation
from .members import Member
from .own import Own, own_of_choice, own_weights, temperature_of, tested
from .selection import Change
from .sizing import CONTROLS_MOST, Sizing
from .timing import LEAST_EPOCHS, ROUNDED, Lengths, Timing
from .trainings import Numbers, Trainings

CHOICE_AND_FINAL = (
    2.0  # trainings as long as the search's that there must be time for before a choice
)
UNTRIED = 2.0  # times as long as in the search a winner is trained, if no longer training was tried
PACKED_SHARE = 0.5  # of the core-seconds: the choice, where a final training needs few of them
ALONE_SHARE = 0.35  # of the time left: the winner's training, where others follow it in a pack
LONGER = 1.5  # times as long as with it the final training is without it, if it is
SHORT = 15.0  # [s] less is time for the winner alone, where it has no weights of its own
NO_TIME = "no time was left for a final training as long as theirs"


@dataclass(frozen=True, kw_only=True)
class Finals:
    """The outcome of the trainings of a delivery.

    Args:
        id: of the winner.
        arch: of the winner.
        search_score: its score in the search.
        val_score: the score on validation data that chose it or, of own weights, theirs.
        finalists: id -> score of the finalists that were trained for the choice.
        epochs: of the final trainings; 0 if there were none. [epochs]
        weights: name of the weights that are delivered.
        size: of their network.
        winner: numbers of the training that gave them.
        kept: why these are the winner's own weights; empty after a final training.
        controls: name -> numbers of their trainings.
        random_id: candidate of the random control, if the search drew it.
        random_of: of how many random candidates it is the best. [count]
        random_won: whether it is the winner.
        known: name of the best known member of a search that began with some.
        known_won: whether it is the winner.
        ensemble: the networks that are delivered in place of the winner alone, if they are.
        ngrams: that are delivered beside it, if they are.
    """

    id: int
    arch: Arch
    search_score: float | None
    val_score: float
    finalists: Mapping[str, float]
    epochs: float
    weights: str
    size: Size
    winner: Numbers
    kept: str
    controls: Mapping[str, Numbers]
    random_id: int | None
    random_of: int
    random_won: bool
    known: str | None = None
    known_won: bool = False
    ensemble: Ensemble | None = None
    ngrams: Beside | None = None


@dataclass
class Delivery:
    """The final part of a run.

    Args:
        store: of the run.
        weights: of the run.
        setup: of the run, with its data.
        executor: trains.
        workers: trainings at a time. [count]
        seconds: left for all of it, or None. [s]
        say: is told what happens, in lines.
        tick: is called about once a second, to note the time.
    """

    store: Store
    weights: Weights
    setup: Setup
    executor: Executor
    workers: int
    seconds: float | None
    say: Callable[[str], None]
    tick: Callable[[], None] = lambda: None

    def run(self) -> Finals:
        """Train finalists, winner and controls; return what came out.

        Raises:
            RunError: if no candidate of the search can be trained.
        """
        store, setup = self.store, self.setup
        self.timing = Timing.of(store, setup, self.seconds)
        self.results = store.results()  # of the search; reading them takes a while
        found = self._finalists()
        self.setup = setup = Sizing(store, setup, self.results, self.workers, self.timing).of(
            found[0]
        )
        self.lengths = Lengths(store, setup, self.workers, self.timing)
        self.trainings = Trainings(
            *(store, self.weights, setup, self.executor, self.workers, self.timing),
            say=self.say,
            tick=self.tick,
        )
        self.equal = Equal(store, setup, self.workers, self.timing, self.lengths)
        self.controls = Controls(store, setup, self.results, found[0].candidate.arch)
        self.averaging = Averaging(
            *(store, self.weights, setup, self.results, self.trainings, self.lengths),
            *(self.controls, self._start, self.workers, self.say),
        )
        self.interpolation = Interpolation(
            store, self.weights, setup, self.trainings, self.lengths, self.say
        )
        if self._own(found[0]) is None:
            self.timing.must_have()
        chosen = store.meta("chosen")
        if chosen is None:
            chosen = self._choose(found)
            store.note("chosen", chosen)
        return self._finish(next(r for r in found if r.candidate.id == chosen["id"]), chosen)

    def _finalists(self) -> list[Result]:
        """Return the best candidates of the search, the one to deliver without a choice first.

        The best known member competes whatever its rank: what learns faster is ahead of it in short
        trainings.

        Raises:
            RunError: if no candidate has a score.
        """
        space = self.setup.space
        first = simplest(self.results)
        if first is None:
            raise RunError(self._nothing_found())
        own = key(space, first.candidate.arch)
        found = distinct(self.results, space, self._count)
        others = [each for each in found if key(space, each.candidate.arch) != own]
        found = [first, *others][: self._count]
        self.known = best_known(self.results, space)
        if self.known is not None and self.known[0] not in found:
            found.append(self.known[0])
        return found

    @property
    def _count(self) -> int:
        wanted = max(2, min(self.workers, MOST_FINALISTS))
        return self.setup.train.finalists or wanted

    @property
    def _continues(self) -> bool:
        return self.setup.deliver == "continue"

    @property
    def _is_short(self) -> bool:
        """Whether there is time for one training alone: measuring others would take it."""
        return self.timing.left < SHORT

    def _own(self, result: Result) -> Own | None:
        seen = self.trainings.known(f"finalist-{result.candidate.id}")
        return own_weights(self.setup, self.weights, result, seen)

    def _start(self, result: Result) -> dict[str, Any]:
        """Return the architecture and initial weights of a finalist or the winner."""
        arch, id = result.candidate.arch, result.candidate.id
        if not self._continues:
            return {"arch": arch}
        seen = self.trainings.known(f"finalist-{id}")
        state = self.weights.read(f"finalist-{id}" if seen else str(id))
        before = seen["total_epochs"] if seen else result.total_epochs
        return {"arch": arch, "state": state, "before": before}

    # -- the choice ------------------------------------------------------------------------------

    def _choose(self, found: list[Result]) -> Mapping[str, Any]:
        """Train the finalists longer and let validation decide, if there is time for it."""
        best, own = found[0], self._own(found[0])
        # If the search trained them at least as long as this would, its scores stand.
        stands: dict[str, Any] = {"id": best.candidate.id, "val": best.score, "all": {}}
        if "folds" in best.metrics:  # one validation part says less than they did
            said = self.setup.train.epochs is not None
            return stands if said else stands | {"epochs": best.epochs}
        if not best.epochs and not self._continues:  # found in closed form: nothing takes longer
            return stands
        packs = self.averaging.packs  # then a training is short, and its pace is known
        if packs and self.setup.train.epochs is None:
            stands["epochs"] = UNTRIED * best.epochs  # small data are known by heart some time
        if own is None and self._is_short and not packs:
            return stands
        if own is not None and not self._fits(best, own, times=CHOICE_AND_FINAL):
            return stands
        if self.setup.equal_seconds and self.setup.widens:
            return self._choose_thin(found, stands)
        if self.setup.equal_seconds:
            return self._choose_in_seconds(found, stands)
        slowest = None
        if self.lengths.unclocked is None:
            slowest = self.controls.slowest(found, self.lengths)
        finals = 1 + self.controls.count
        epochs = self.lengths.choice(slowest, finalists=len(found), finals=finals)
        if epochs <= best.epochs:
            return stands
        jobs = {f"finalist-{r.candidate.id}": r for r in found}
        self.say(f"final choice: {len(jobs)} finalists, {epochs:.3g} epochs each, by validation")
        done = self.trainings.run(
            [self.trainings.job(name, self._start(r), epochs) for name, r in jobs.items()]
        )
        return self._of_done(jobs, done, stands)

    def _choose_in_seconds(
        self, found: Sequence[Result], stands: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Train finalists and controls for equal seconds; validation decides between the finalists."""
        equal, controls = self.equal, self.controls.what(found[0])
        share = PACKED_SHARE if self.averaging.packs else CHOICE_SHARE
        length = equal.choice(found, len(found) + len(controls), share)
        jobs = {f"finalist-{r.candidate.id}": r for r in found}
        if equal.own(found[0].candidate.arch, length) <= found[0].epochs:
            self._trained_as_long(controls, found[0].candidate.budget.epochs)
            return stands
        trained = [
            self.trainings.job(name, self._start(r), equal.own(r.candidate.arch, length))
            for name, r in jobs.items()
        ]
        trained += self._as_long(controls, length)
        names = ", ".join([f"{len(jobs)} finalists", *controls])
        self.say(f"final choice: {names}, equally long in seconds, by validation")
        return self._of_done(jobs, self.trainings.run(trained), stands)

    def _choose_thin(self, found: Sequence[Result], stands: Mapping[str, Any]) -> Mapping[str, Any]:
        """Train the controls as thin and as long as the search's best; its own scores decide.

        Wide networks would see the data too seldom in the time of a choice to say which is best. The
        best known member is trained as well, where the search did not train it as long.
        """
        best = found[0]
        what = self._rivals(best) | self.controls.what(best)
        done = self._trained_as_long(what, best.candidate.budget.epochs)
        metric = self.setup.task.metric
        if KNOWN in done and self.known and done[KNOWN]["val"][metric] > best.value:
            return {"id": self.known[0].candidate.id, "val": done[KNOWN]["val"][metric], "all": {}}
        return stands

    def _rivals(self, best: Result) -> dict[str, dict[str, Any]]:
        """Return the best known member, where the search trained it less than its best candidate."""
        if self.known is None or rung(self.known[0].candidate) >= rung(best.candidate):
            return {}
        return {KNOWN: {"arch": self.known[0].candidate.arch, "size": self.controls.size}}

    def _trained_as_long(
        self, what: Mapping[str, Mapping[str, Any]], length: float
    ) -> dict[str, Numbers]:
        """Train controls as long in seconds as the search trained its best, if there is time for it."""
        one = self.equal.seconds(length)
        if not what or len(what) * one > CONTROLS_MOST * self.timing.left * self.workers:
            return {}
        self.say(f"controls: {', '.join(what)}, as long in seconds as the search's best")
        return self.trainings.run(self._as_long(what, length))

    def _as_long(self, what: Mapping[str, Mapping[str, Any]], length: float) -> list[Job]:
        """Return trainings that take as long as `length` of the usual network; test is read too."""
        jobs = []
        for name, each in what.items():
            own = {key: each.get(key) for key in ("space", "hyper", "size")}
            epochs = self.equal.own(each["arch"], length, **own)
            jobs.append(dataclasses.replace(self.trainings.job(name, each, epochs), test=True))
        return jobs

    def _of_done(
        self, jobs: Mapping[str, Result], done: Mapping[str, Numbers], stands: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return the choice among the finalists whose training succeeded; without any, the search's."""
        kept = [
            (result, numbers)
            for name, result in jobs.items()
            if (numbers := done.get(name)) is not None
            and not (numbers["cut"] and numbers["epochs"] < result.epochs)  # the search did more
        ]
        if kept:
            return self._decided(kept)
        if self._own(next(iter(jobs.values()))) is not None:
            return stands
        raise EvolventError("the training of every finalist failed; resume the run to try again")

    def _decided(self, trained: Sequence[tuple[Result, Numbers]]) -> dict[str, Any]:
        """Return the chosen finalist, with a limit on the epochs of its final training if there is one.

        Args:
            trained: finalists, in the search's order, with the numbers of their longer training.
        """
        kept = [(result, numbers["val"]) for result, numbers in trained]
        epochs = {result.candidate.id: numbers["epochs"] for result, numbers in trained}
        task = self.setup.task
        metric, best = task.metric, kept[0][0]
        first, longer = max(kept, key=lambda pair: pair[1][metric])
        told = {str(result.candidate.id): metrics[metric] for result, metrics in kept}
        choice = {"id": first.candidate.id, "val": longer[metric], "all": told}
        given = self.setup.train.epochs is not None
        measured = all({metric, "loss"} <= result.metrics.keys() for result, _ in kept)
        if self._continues or given or not (best.epochs and measured):
            return choice  # the search trained it otherwise, or does not say how it came out
        change = Change.of([(result.metrics, metrics) for result, metrics in kept], metric)
        tried = sum(result.scored for result in self.results)
        if change.is_worse(count=round(task.validation.effective), tried=tried):
            self.say(
                f"longer training was worse on validation: candidate {best.candidate.id} keeps the "
                f"{best.epochs:.3g} epochs of its search"
            )
            return choice | {"id": best.candidate.id, "val": best.score, "epochs": best.epochs}
        if change.rise <= 0 and change.loss >= 1:
            choice["epochs"] = epochs[choice["id"]]  # nothing says that still longer is better
        return choice

    # -- the final training ----------------------------------------------------------------------

    def _finish(self, winner: Result, chosen: Mapping[str, Any]) -> Finals:
        """Train winner and controls on all data, or keep the winner's own weights."""
        own = self._own(winner)
        self.timing.must = own is None
        self.averaging.settle(winner)
        self.interpolation.reserve(winner)
        epochs, what = self._planned(winner, own, chosen)
        done, kept = {}, NO_TIME
        if what:
            self.say(f"final training: {', '.join(what)}, {epochs:.3g} epochs each")
            jobs = [self._final(name, each, epochs, own) for name, each in what.items()]
            done = self.trainings.run(jobs)
            least = None if own is None else self._least_epochs(own)
            kept = _useless(done.get("winner"), own, self.setup.task.metric, least)
        done |= self._judged(winner)
        numbers, val = done.get("winner"), chosen["val"]
        if own is not None and kept:
            own = self._affordable(own, winner)
            numbers, val = self._tested(own, winner, kept), own.score
        if numbers is None:
            raise EvolventError(
                "the final training of the winner failed; resume the run to try again"
            )
        control, drawn = self.controls.random
        mine = own if kept else None
        name = "winner" if mine is None else mine.name
        size = self.setup.train.network.size if mine is None else mine.size
        return Finals(
            id=winner.candidate.id,
            arch=winner.candidate.arch,
            search_score=winner.score,
            val_score=val,
            finalists=chosen["all"],
            epochs=epochs,
            weights=name,
            size=size,
            winner=numbers,
            kept=kept,
            controls={name: done[name] for name in CONTROLS if name in done},
            random_id=control.candidate.id if drawn else None,
            random_of=max(1, drawn),
            random_won=self.controls.is_random(winner),
            known=None if self.known is None else self.known[1],
            known_won=self.known is not None and self._is_known(winner),
            ensemble=self.averaging.complete(winner, numbers, mine, epochs, val),
            ngrams=self.interpolation.complete(
                Member(name, winner.candidate.arch, size, candidate=winner.candidate.id),
                self._trained_controls(winner, done),
                numbers,
            ),
        )

    def _trained_controls(self, winner: Result, done: Mapping[str, Numbers]) -> list[Member]:
        """Return the controls that had a whole final training."""
        size = self.setup.train.network.size
        return [
            Member(name, what["arch"], what.get("size", size), what.get("space"))
            for name, what in self.controls.what(winner).items()
            if name in done and done[name]["val"] is None and not done[name]["cut"]
        ]

    def _temperature_of(self, own: Own, result: Result) -> float:
        """Return the temperature of own weights."""
        if not self.trainings.calibrates:
            return 1.0
        seen = self.trainings.known(own.name) or {}
        if "temperature" in seen:  # of its training for the choice
            return float(seen["temperature"])
        return temperature_of(self.setup, self.weights, own, result)

    def _is_known(self, winner: Result) -> bool:
        """Whether the winner is the best known member."""
        return self.known is not None and self.known[0].candidate.id == winner.candidate.id

    def _planned(
        self, winner: Result, own: Own | None, chosen: Mapping[str, Any]
    ) -> tuple[float, dict[str, dict[str, Any]]]:
        """Return the epochs of every final training, and what is trained; nothing without time.

        Settled once per run; only a delivery that was stopped, and has too little time left to do
        again what was lost, settles for fewer. Controls come after the winner: without time for them
        it is trained alone.

        Args:
            winner: of the choice.
            own: its own weights.
            chosen: the choice, which may limit the epochs.
        """
        what, least = {"winner": self._start(winner)}, self._least_epochs(own)
        most = chosen.get("epochs")
        if most is not None and own is not None and own.score < chosen["val"]:
            least = min(least, most)  # it was not these weights that were chosen
        packs = self.averaging.packs
        share = ALONE_SHARE if packs else 1.0
        if packs and own is None:
            # as long as what was chosen, before controls and others have time
            least = max(least, winner.epochs if most is None else most)
        begun = self.trainings.known("winner") is not None
        if own is not None and not begun and not self._fits(winner, own):
            return 0.0, {}
        judged = self.setup.equal_seconds and "folds" not in winner.metrics  # with the finalists
        alone = judged or (own is None and self._is_short and not packs)
        everything = what if alone else what | self.controls.what(winner)
        everything = self._without_slow_controls(winner, everything, share, most)
        epochs = self._epochs(winner, everything, share)
        if epochs < least:
            everything, epochs = what, self._epochs(winner, what, 1.0)
            epochs = min(epochs, least) if packs else epochs
        if own is not None and epochs < least:
            return 0.0, {}
        if packs and own is None and epochs < least and self._is_brief(winner, least):
            epochs = least
        epochs = max(epochs, LEAST_EPOCHS)
        self.store.note("final_epochs", epochs)
        allowed = epochs if most is None else max(most, least)
        return min(epochs, allowed), everything

    def _without_slow_controls(
        self,
        winner: Result,
        what: Mapping[str, dict[str, Any]],
        share: float,
        most: float | None,
    ) -> dict[str, dict[str, Any]]:
        """Leave out controls that take far more than their share of the winner's final training.

        All are trained for as many epochs. A control that is many times as slow as the winner would cut
        these to a fraction of what the winner should have.

        Args:
            winner: of the choice.
            what: is trained, by name.
            share: of the time, that the trainings may take.
            most: the longest training of the winner that is worth it; None has no limit. [epochs]
        """
        kept = dict(what)
        if self.seconds is None or self.store.meta("final_epochs") is not None:
            left_out = self.store.meta("slow_controls") or []
            return {name: each for name, each in kept.items() if name not in left_out}
        left_out = []
        paces = {name: self.controls.epoch(name, winner, self.lengths) for name in kept}
        slow = [name for name in kept if name in CONTROLS and paces[name] > SLOW * paces["winner"]]
        epochs = self._worth(winner, self._epochs(winner, kept, share), most)
        for name in sorted(slow, key=lambda name: -paces[name]):
            fewer = {other: each for other, each in kept.items() if other != name}
            longer = self._worth(winner, self._epochs(winner, fewer, share), most)
            if longer <= LONGER * epochs:
                break
            self.say(
                f"control {name} is left out: the final training would have {epochs:.3g} epochs"
            )
            kept, epochs = fewer, longer
            left_out.append(name)
        self.store.note("slow_controls", left_out)
        return kept

    def _worth(self, winner: Result, epochs: float, most: float | None) -> float:
        """Return the part of a training of the winner that is worth it. [epochs]"""
        hyper = self.setup.train.network.hyper
        own = with_own_training(hyper, self.setup.space, winner.candidate.arch)
        return min(
            worth_it(own, epochs, self.lengths.everything), math.inf if most is None else most
        )

    def _is_brief(self, winner: Result, epochs: float) -> bool:
        """Whether so long a training of the winner fits into the lateness that a training may have."""
        return epochs * self.lengths.epoch(winner) <= lateness(self.timing.total) / 4

    def _epochs(self, winner: Result, what: Mapping[str, Any], share: float) -> float:
        """Return the epochs of final trainings in a share of the time, from how fast finalists were."""
        known = self.store.meta("final_epochs")
        epochs = self.lengths.unclocked if known is None else float(known)
        if self.seconds is not None and self.setup.train.epochs is None:
            missing = [name for name in what if self.trainings.known(name) is None]
            paces = {name: self.controls.epoch(name, winner, self.lengths) for name in missing}
            if self.setup.equal_seconds:
                _, faster = self.equal.threads(winner)
                paces = {name: each / faster for name, each in paces.items()}
                if "winner" in paces and (epoch := self.equal.epoch(winner)) is not None:
                    paces["winner"] = epoch
            fitting = self.lengths.fitting(paces, CONTROLS, share)
            epochs = fitting if epochs is None else min(epochs, fitting)
        assert epochs is not None
        return epochs

    def _least_epochs(self, own: Own | None) -> float:
        """Return the training that own weights had, which a final one must reach. [epochs]"""
        if (said := self.setup.train.epochs) is not None:
            return float(said)  # it is the user's word how long
        if (
            own is None or self._continues or self.setup.widens
        ):  # another network: its score decides
            return LEAST_EPOCHS
        return own.total_epochs

    def _fits(self, winner: Result, own: Own, *, times: float = 1.0) -> bool:
        """Whether there is time to train the winner alone `times` as long as its own weights were."""
        if self.seconds is None:
            return True
        alone = {"winner": self.lengths.epoch(winner)}
        least = times * self._least_epochs(own)
        return self.lengths.fitting(alone) >= min(least, self.lengths.most)

    def _final(self, name: str, what: Mapping[str, Any], epochs: float, own: Own | None) -> Any:
        job = self.trainings.job(name, what, epochs)
        least = None
        if name == "winner" and own is not None:
            least = own.least(self.setup.task.validation.effective)
        known = self.store.meta("final_threads") if name == "winner" else None
        threads = 1 if known is None else int(known[0])
        return dataclasses.replace(job, everything=True, test=True, least=least, threads=threads)

    def _judged(self, winner: Result) -> dict[str, Numbers]:
        """Return the numbers of all that was trained as long as the finalists, to compare it.

        These are the controls, the winner as the choice trained it, and the best known member, of
        which only validation was read before: here test is.
        """
        if not self.setup.equal_seconds:
            return {}
        found = {name: self.trainings.known(name) for name in CONTROLS}
        if any(found.values()):
            found[BRIEFLY] = self._tested_briefly(BRIEFLY, winner)
            if self.known is not None and not self._is_known(winner):
                found[KNOWN] = self._tested_briefly(KNOWN, self.known[0])
        return {name: numbers for name, numbers in found.items() if numbers is not None}

    def _tested_briefly(self, name: str, result: Result) -> Numbers | None:
        """Return the numbers of a finalist's training for the choice, with its test scores."""
        known = self.trainings.known(name)
        if known is not None:
            return known
        if self.setup.widens:
            own = own_weights(self.setup, self.weights, result, None)
        elif (seen := self.trainings.known(f"finalist-{result.candidate.id}")) is not None:
            own = own_of_choice(self.setup, self.weights, result, seen)
        else:
            return None
        if own is None:
            return None
        known = tested(self.setup, self.weights, own, result, self._temperature_of(own, result))
        self.trainings.note(name, known)
        return known

    def _affordable(self, own: Own, winner: Result) -> Own:
        """Return own weights, without views where no time is left to read test in all of them."""
        known = self.trainings.known("own")
        views = own.size.views
        if known is not None:
            views = known.get("views", 1)
        elif self.seconds is not None and views > 1:
            needed = self.lengths.looking * self.lengths.epoch(winner)
            views = views if needed <= max(0.0, self.timing.left) else 1
        return dataclasses.replace(own, size=dataclasses.replace(own.size, views=views))

    def _tested(self, own: Own, winner: Result, why: str) -> Numbers:
        """Return the numbers of own weights, after a look at test."""
        self.say(f"candidate {winner.candidate.id} is delivered with its own weights: {why}")
        numbers = self.trainings.known("own")
        if numbers is None:
            temperature = self._temperature_of(own, winner)
            numbers = tested(self.setup, self.weights, own, winner, temperature)
            numbers |= {"views": own.size.views}
            self.trainings.note("own", numbers)
        return numbers

    def _nothing_found(self) -> str:
        """Say why there is nothing to deliver, as far as the results tell."""
        before, budget = self.store.spent("setup"), self.setup.budget.seconds
        if not self.results and budget is not None and before > 0.9 * budget:
            return no_time(before, budget)
        bad = [result for result in self.results if not result.ok]
        counts = Counter(result.status for result in bad)
        what = ", ".join(f"{count} {status}" for status, count in counts.items())
        last = f", the last because {bad[-1].reason}" if bad else ""
        return (
            f"no candidate of the search has a score ({what or 'none was tried'}{last}): start anew "
            "with a larger budget, other limits or other settings, and another --out"
        )


def _useless(
    numbers: Numbers | None, own: Own | None, metric: str, least: float | None = None
) -> str:
    """Return why a final training is not delivered; empty if it is, or if there is nothing else."""
    if own is None:
        return ""
    if numbers is None:
        return "the final training failed"
    if numbers["cut"]:
        return f"the budget cut the final training after {numbers['epochs']:.3g} epochs"
    shortened = numbers.get("shortened", False)
    least = own.total_epochs if least is None else least
    if shortened and numbers["total_epochs"] < least * (1 - ROUNDED):
        return (
            f"the final training came to {numbers['epochs']:.3g} epochs alone on this busy machine"
        )
    if numbers.get("useful", True):
        return ""
    score = numbers["seen"][metric]
    return f"the final training was worse, {score:.4f} on validation rows that it had learnt from"
