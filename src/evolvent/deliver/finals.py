"""After the search: final training of the best few, controls, one look at test, the card.

The finalists are the best distinct architectures at the highest budget. They are trained longer, and
validation decides between them; the winner and the controls then train on training and validation
data together, by the same recipe, and only then is test read, once. What is done is noted in the
store, so that a killed delivery goes on where it was.

A run that delivers by ``continue`` starts finalists and winner from the weights that the search left
them, and trains the winner's architecture from scratch as well, as one more control.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ..config.defaults import MOST_FINALISTS, at_most
from ..config.pacing import pace
from ..config.setup import Setup
from ..engine.store import Store
from ..engine.weights import Weights
from ..errors import CandidateFailed, EvolventError, RunError
from ..execute import Executor
from ..execute.waiting import as_done
from ..execute.worker import Job, Outcome, fit
from ..network.build import plan
from ..network.cost import Cost, cost
from ..ranking import distinct
from ..space import Space, key
from ..space.plain import Plain
from ..types import Arch, Candidate, Result, stream
from .selection import (
    CONTROL_SHARE,
    Change,
    makespan,
    plain_width,
    planned_seconds,
)

RANDOM_CONTROL = 20  # the random control is the best of the first so many random candidates
CONTROLS = ("retrained", "random", "plain")  # the first only where the winner is continued
EXPORT_SECONDS = 10.0  # kept free for the export and its proof; a tenth of a short budget
LATENESS = 0.05  # of the whole budget: what the plan may be late
LEAST_SHARE = 0.15  # of the whole budget: what a delivery gets that is resumed too late


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

    def run(self) -> dict[str, Any]:
        """Train finalists, winner and controls; return their numbers for the card.

        Raises:
            RunError: if no candidate of the search can be trained.
        """
        self.start = time.monotonic()
        self.task, self.space = self.setup.task, self.setup.space
        self.network = self.setup.train.network
        self.total = float(self.setup.budget.seconds or 0)
        if self.seconds is not None:
            self.seconds = max(self.seconds, LEAST_SHARE * self.total)
        self.results = self.store.results()  # of the search; reading them takes a while
        found = distinct(self.results, self.space, self._count)
        if not found:
            raise RunError(_nothing_found(self.results))
        control, drawn = self._random_control()
        width = self._plain_width(found[0].candidate.arch)
        chosen = self.store.meta("chosen")
        if chosen is None:
            chosen = self._choose(found, self._choice_epochs([*found, control], len(found), width))
            self.store.note("chosen", chosen)
        winner = next(result for result in found if result.candidate.id == chosen["id"])
        best = winner.candidate.arch
        what: dict[str, dict[str, Any]] = {"winner": {"arch": best} | self._continued(winner)}
        paces = {"winner": lambda: self._pace(winner)}
        if self._continues:
            what["retrained"] = {"arch": best}
            paces["retrained"] = paces["winner"]
        random_won = key(self.space, control.candidate.arch) == key(self.space, best)
        if self._controls and not random_won:
            what["random"] = {"arch": control.candidate.arch}
            paces["random"] = lambda: self._pace(control)
        if self._controls:
            what["plain"] = {"arch": (width,), "space": Plain()}
            paces["plain"] = lambda: self._plain_pace(width)
        epochs = min(self._final_epochs(paces), chosen.get("epochs", math.inf))
        jobs = [self._final(name, which, epochs) for name, which in what.items()]
        self.say(f"final training: {', '.join(job.name for job in jobs)}, {epochs:.3g} epochs each")
        done = self._fit(jobs)
        if "winner" not in done:
            raise EvolventError(
                "the final training of the winner failed; resume the run to try again"
            )
        return {
            "id": winner.candidate.id,
            "arch": winner.candidate.arch,
            "search_score": winner.score,
            "val_score": chosen["val"],
            "finalists": chosen["all"],
            "epochs": epochs,
            "winner": done["winner"],
            "controls": {name: done[name] for name in CONTROLS if name in done},
            "random_control": {
                "id": control.candidate.id if drawn else None,
                "best_of_first_random": max(1, drawn),
                "is_the_winner": random_won,
            },
            "plain_width": width,
        }

    # -- who -------------------------------------------------------------------------------------

    @property
    def _count(self) -> int:
        wanted = max(2, min(self.workers, MOST_FINALISTS))
        return self.setup.train.finalists or wanted

    @property
    def _tried(self) -> int:
        """Candidates of the search that have a score. [count]"""
        return sum(result.scored for result in self.results)

    @property
    def _controls(self) -> bool:
        return self.setup.train.controls

    @property
    def _continues(self) -> bool:
        return self.setup.deliver == "continue"

    def _continued(self, result: Result) -> dict[str, Any]:
        """Return the weights that a finalist or the winner goes on from, where the run delivers so."""
        if not self._continues:
            return {}
        id = result.candidate.id
        seen = self.store.meta(f"trained/finalist-{id}")
        state = self.weights.read(f"finalist-{id}" if seen else str(id))
        return {"state": state, "before": seen["total_epochs"] if seen else result.total_epochs}

    def _random_control(self) -> tuple[Result, int]:
        """Return the best of the run's first random candidates, and how many these are.

        A search that asked for none gets a random architecture of its space, unseen by anybody.
        """
        told = sorted(self.results, key=lambda result: result.candidate.id)
        first = [r for r in told if r.ok and r.candidate.operator == "sample"][:RANDOM_CONTROL]
        if not first:  # of a warm start, the first that the proxy saw
            first = [r for r in self.store.steps() if r.candidate.operator == "proxy"][:1]
        if first:
            return max(first, key=lambda result: result.value), len(first)
        arch = self.space.sample(stream(self.setup.request.seed, "deliver", "random"))
        return Result(Candidate(-1, arch), 0.0), 0

    def _cost(self, arch: Arch) -> Cost:
        return cost(plan(self.space, arch, self.task, self.network.size), self.task)

    # -- how long --------------------------------------------------------------------------------

    def _choice_epochs(self, rivals: list[Result], finalists: int, width: int) -> float:
        """Return the epochs of the finalists' training, half of what the final one may become.

        Args:
            rivals: finalists and random control.
            finalists: how many are trained for the choice. [count]
            width: of the plain control. [channels]
        """
        known = self.store.meta("choice_epochs")
        if known is None:
            known = self._unclocked_epochs
            if known is None:
                paces = [self._pace(r) for r in rivals]
                slowest = max([*paces, self._plain_pace(width)] if self._controls else paces)
                known = 0.9 * self._planned_seconds(finalists) / (slowest * self._everything)
            known = round(min(max(known, 0.05), self._most) / 2, 3)
            self.store.note("choice_epochs", known)
        return float(known)

    def _planned_seconds(self, count: int) -> float:
        assert self.seconds is not None
        trainings = 1 + (len(CONTROLS) - 1 if self._controls else 0) + self._continues
        finals, choice = (math.ceil(n / self.workers) for n in (trainings, count))
        return planned_seconds(
            self.seconds - self._export_seconds,
            rounds=finals + choice / 2,
            budget=self.total,
            workers=self.workers,
        )

    def _final_epochs(self, paces: Mapping[str, Callable[[], float]]) -> float:
        """Return the epochs of every final training, from how fast the finalists were.

        Settled once per run; only a delivery that was stopped, and has too little time left to do
        again what was lost, settles for fewer.
        """
        known = self.store.meta("final_epochs")
        epochs = self._unclocked_epochs if known is None else float(known)
        if self.seconds is not None and self.setup.train.epochs is None:
            missing = [name for name in paces if self.store.meta(f"trained/{name}") is None]
            epoch = {name: paces[name]() * self._everything for name in missing}
            left = self.seconds - (time.monotonic() - self.start) - self._export_seconds
            fitting = (
                0.92 * max(0.0, left) / max(makespan(list(epoch.values()), self.workers), 1e-9)
            )
            controls = sum(seconds for name, seconds in epoch.items() if name in CONTROLS)
            allowed = CONTROL_SHARE * self.total * self.workers / max(controls, 1e-9)
            fitting = min(max(min(fitting, allowed), 0.05), self._most)
            fitting = math.floor(100 * fitting) / 100
            epochs = fitting if epochs is None else min(epochs, fitting)
        assert epochs is not None
        self.store.note("final_epochs", epochs)
        return epochs

    @property
    def _unclocked_epochs(self) -> float | None:
        """The epochs of the final training, where the user or the lack of a clock decides."""
        if (epochs := self.setup.train.epochs) is not None:
            return float(epochs)
        return None if self.seconds is not None else 4 * self.setup.schedule.epochs

    @property
    def _most(self) -> float:
        """The longest final training. [epochs]"""
        return at_most("final", self.task, self.network.hyper.batch)

    @property
    def _everything(self) -> int:
        """Examples of the final training. [count]"""
        return len(self.task.train) + len(self.task.validation)

    @property
    def _export_seconds(self) -> float:
        return min(EXPORT_SECONDS, 0.1 * self.total)

    @property
    def _device(self) -> str:
        return self.setup.request.device

    def _pace(self, result: Result) -> float:
        """Return the seconds per example of a candidate at the final size, as last measured."""
        if (seen := self.store.meta(f"trained/finalist-{result.candidate.id}")) is not None:
            return float(seen["train_seconds"] / max(1e-9, seen["epochs"] * seen["examples"]))
        proxy = self.setup.network.size
        arch, seconds = result.candidate.arch, result.metrics.get("train_seconds")
        if seconds is None or not result.epochs:  # it was not trained, or its estimator did not say
            return self._measured(self.space, arch)
        scale = 1.0
        if proxy != self.network.size:
            before = cost(plan(self.space, arch, self.task, proxy), self.task).flops
            scale = self._cost(arch).flops / max(1, before)
        return float(seconds) / (result.epochs * len(self.task.train)) * scale

    def _plain_width(self, like: Arch) -> int:
        if not self._controls:
            return 0
        return plain_width(self.task, self.network.size, self._cost(like))

    def _plain_pace(self, width: int) -> float:
        return self._measured(Plain(), (width,))

    def _measured(self, space: Space, arch: Arch) -> float:
        """Return the seconds per example of an architecture at the final size, measured now."""
        size, hyper = self.network.size, self.network.hyper
        return pace(space, arch, self.task, device=self._device, size=size, hyper=hyper)

    @property
    def _deadline(self) -> float | None:
        """When a training must stop wherever it is: the plan has slack, the promise has less."""
        if self.seconds is None:
            return None
        return self.start + self.seconds + LATENESS * self.total - self._export_seconds / 2

    # -- training --------------------------------------------------------------------------------

    def _job(self, name: str, what: Mapping[str, Any], epochs: float) -> Job:
        seed = stream(self.setup.request.seed, "deliver", name).getrandbits(31)
        return Job(
            name=name,
            size=self.network.size,
            hyper=self.network.hyper,
            epochs=epochs,
            seed=seed,
            deadline=self._deadline,
            **what,
        )

    def _final(self, name: str, what: Mapping[str, Any], epochs: float) -> Job:
        return dataclasses.replace(self._job(name, what, epochs), everything=True, test=True)

    def _choose(self, found: list[Result], epochs: float) -> dict[str, Any]:
        """Train the finalists longer and let validation decide."""
        if epochs <= found[0].epochs:
            # The search trained them at least as long as this would: its scores stand.
            best = found[0]
            return {"id": best.candidate.id, "val": best.score, "all": {}}
        jobs = {
            f"finalist-{result.candidate.id}": self._job(
                f"finalist-{result.candidate.id}",
                {"arch": result.candidate.arch} | self._continued(result),
                epochs,
            )
            for result in found
        }
        self.say(f"final choice: {len(jobs)} finalists, {epochs:.3g} epochs each, by validation")
        done = self._fit(list(jobs.values()))
        kept = [(r, d["val"]) for r in found if (d := done.get(f"finalist-{r.candidate.id}"))]
        if not kept:
            raise EvolventError(
                "the training of every finalist failed; resume the run to try again"
            )
        return self._decided(kept, epochs)

    def _decided(
        self, kept: Sequence[tuple[Result, Mapping[str, float]]], epochs: float
    ) -> dict[str, Any]:
        """Return the chosen finalist, with a limit on the epochs of its final training if there is one.

        Args:
            kept: finalists, in the search's order, with their validation metrics after longer training.
            epochs: of that. [epochs]
        """
        metric, best = self.task.metric, kept[0][0]
        first, longer = max(kept, key=lambda pair: pair[1][metric])
        told = {str(result.candidate.id): metrics[metric] for result, metrics in kept}
        choice = {"id": first.candidate.id, "val": longer[metric], "all": told}
        given = self.setup.train.epochs is not None
        measured = all({metric, "loss"} <= result.metrics.keys() for result, _ in kept)
        if self._continues or given or not (best.epochs and measured):
            return choice  # the search trained it otherwise, or does not say how it came out
        change = Change.of([(result.metrics, metrics) for result, metrics in kept], metric)
        if change.is_worse(count=len(self.task.validation), tried=self._tried):
            self.say(
                f"longer training was worse on validation: candidate {best.candidate.id} keeps the "
                f"{best.epochs:.3g} epochs of its search"
            )
            return choice | {"id": best.candidate.id, "val": best.score, "epochs": best.epochs}
        if change.rise <= 0 and change.loss >= 1:
            choice["epochs"] = epochs  # nothing says that still longer is better
        return choice

    def _fit(self, jobs: list[Job]) -> dict[str, dict[str, Any]]:
        """Run jobs that are not done yet; return name -> numbers of those that succeeded."""
        known = {job.name: self.store.meta(f"trained/{job.name}") for job in jobs}
        done = {name: numbers for name, numbers in known.items() if numbers is not None}
        left = [(job.name, (job,)) for job in jobs if job.name not in done]
        for name, future in as_done(self.executor, fit, left, most=self.workers, tick=self.tick):
            if numbers := self._kept(name, future):
                done[name] = numbers
        return done

    def _kept(self, name: str, future: Future[Outcome]) -> dict[str, Any] | None:
        try:
            outcome = future.result()
        except CandidateFailed as error:
            self.say(f"{name} failed: {error}")
            return None
        self.weights.write(name, outcome.state)
        self.store.note(f"trained/{name}", outcome.numbers)
        self._report(name, outcome.numbers)
        return outcome.numbers

    def _report(self, name: str, numbers: Mapping[str, Any]) -> None:
        metric = self.task.metric
        shown = [
            f"{part} {metric} {numbers[key][metric]:.4f}"
            for part, key in (("validation", "val"), ("test", "test"))
            if numbers[key]
        ]
        cut = "; cut by the budget" if numbers["cut"] else ""
        self.say(f"{name}: {', '.join(shown)} ({numbers['seconds']:.1f} s{cut})")


def _nothing_found(results: list[Result]) -> str:
    """Say why there is nothing to deliver, as far as the results tell."""
    bad = [result for result in results if not result.ok]
    counts = Counter(result.status for result in bad)
    what = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none was tried"
    last = f", the last because {bad[-1].reason}" if bad else ""
    return (
        f"no candidate of the search has a score ({what}{last}): start anew with a larger budget, "
        "other limits or other settings, and another --out"
    )
