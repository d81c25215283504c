"""A search on 10 to 10,000 workers, in discrete events: real strategies, loop and log, virtual time.

    python benchmarks/simulate.py [--workers 10,100,1000] [--strategies random,asha,...] [--each 20]
    python benchmarks/simulate.py --quality [--seeds 5] [--trials 1000]

A training takes a log-normal time (median 60 s, sigma 1) for the full length, less for a shorter one;
5 % fail on the way; one worker in a hundred is five times slower. Workers leave after four hours on
average, and others come ten minutes later; half of them say goodbye, the others are missed 30 s later,
and their candidate is issued again. Scores are those of the table. What the coordinator does (tell,
ask, commit, submit) is measured, and takes that long on the virtual clock too: meanwhile workers wait.

Prints the use of the workers, which is the share of the time they were there for in which they
trained, until the last candidate was asked for; the same without what was lost with a worker; the
coordinator's share of the time, its results per second and the growth of its memory; and the traffic
if children inherit weights of four bytes per parameter. ``--quality`` prints what asynchrony costs:
the best score after as many trials on more and more workers.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import statistics
import tempfile
import time
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.coordinator import memory, setup_for

from evolvent.engine.loop import Search
from evolvent.engine.store import Log, Memory, Store
from evolvent.errors import CandidateFailed
from evolvent.estimator import Evaluation
from evolvent.execute.worker import evaluate
from evolvent.task.opening import open_task
from evolvent.types import Candidate, Result, stream

MEDIAN, SIGMA = 60.0, 1.0  # [s] of a full training, and the deviation of its logarithm
FAILING = 0.05  # share of the candidates
SLOW, SLOWNESS = 0.01, 5.0  # share of the workers, and how many times longer they take
STAY, AWAY = 4 * 3600.0, 600.0  # [s] for which a worker is there, and until another one comes
MISSED = 30.0  # [s] after which a worker that said nothing is missed
LATENCY = 0.1  # [s] from an answer to the next candidate, besides the coordinator's own time
BYTES = 4  # per parameter
ASYNCHRONOUS = "random,regularized-evolution,exact,local,asha,learning-curve"
GENERATIONS = (
    "genetic,tournament,successive-halving,hyperband"  # that wait for a population or rung
)
AS_LARGE = ("genetic", "tournament")  # their population is as large as the cluster here


@dataclass(eq=False)
class Worker:
    """A worker while it is there: since when, its slowness, and the call that it runs."""

    since: float
    slowness: float
    call: Call | None = None
    began: float = 0.0


@dataclass(eq=False)
class Call:
    """A candidate under way."""

    candidate: Candidate
    future: Future[Evaluation]
    seconds: float  # that a usual worker takes [s]
    issued: bool = False  # to a worker, which may have left since


class Cluster:
    """Workers on a virtual clock, as the loop sees them: an `Evaluator`.

    Args:
        context: scores candidates.
        workers: that are there at the beginning. [count]
        full: the full training length. [epochs]
        seed: of durations, failures, and the coming and going of workers.
    """

    def __init__(self, context: Any, *, workers: int, full: float, seed: int = 0) -> None:
        self.context, self.full, self.seed = context, full, seed
        self.now = self.busy = self.lost = self.present = self.coordinating = 0.0  # [s]
        # busy, lost, present when the last candidate was first given to a worker [worker-seconds]
        self.at_last = (0.0, 0.0, 1.0)
        self.answers = self.departures = 0
        self.down = self.up = 0  # [bytes]
        self.rng = stream(seed, "cluster")
        self.free: list[Worker] = []
        self.there: dict[int, Worker] = {}
        self.queue: list[Call] = []
        self.events: list[tuple[float, int, str, Any]] = []
        self.number = itertools.count()
        for _ in range(workers):
            self._come()
        self._left = time.perf_counter()

    # -- what the loop calls ---------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """Workers that are there. [count]"""
        return len(self.there)

    def submit(self, candidate: Candidate) -> Future[Evaluation]:
        """Queue a candidate."""
        rng = stream(self.seed, "duration", candidate.id)
        share = candidate.budget.epochs / self.full if self.full else 1.0
        seconds = share * rng.lognormvariate(math.log(MEDIAN), SIGMA)
        call = Call(candidate, Future(), seconds)
        self.queue.append(call)
        return call.future

    def start(self) -> None:
        """Let the coordinator's own time pass, then all that happens until the next answer."""
        spent = time.perf_counter() - self._left
        self.coordinating += spent
        due, answered = self.now + spent, self.answers
        while self.events and (self.events[0][0] <= due or self.answers == answered):
            if self.events[0][0] > due:
                self._pass(due)
                self._assign()
                due = max(due, self.events[0][0])
            self._happen()
        self._pass(max(self.now, due))
        self._assign()
        self._left = time.perf_counter()

    def cancel(self, future: Future[Evaluation]) -> None:
        """Do nothing: the budget is in trials, so nothing is cut."""

    def keep(self, evaluation: Evaluation) -> Result:
        """Return the result; there are no weights."""
        return evaluation.result

    # -- what happens ----------------------------------------------------------------------------

    def _later(self, seconds: float, what: str, whom: Any) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.number), what, whom))

    def _pass(self, until: float) -> None:
        """Let time pass."""
        seconds = until - self.now
        self.present += seconds * len(self.there)
        self.busy += seconds * (len(self.there) - len(self.free))
        self.now = until

    def _happen(self) -> None:
        """Let the next event happen."""
        when, _, what, whom = heapq.heappop(self.events)
        self._pass(max(self.now, when))
        if what == "come":
            self._come()
        elif what == "leave":
            self._leave(whom)
        elif what == "missed":
            self.queue.insert(0, whom)
        else:
            worker, call = whom
            if worker.call is call:  # else it left meanwhile
                self._answer(worker, call)

    def _come(self) -> None:
        worker = Worker(self.now, SLOWNESS if self.rng.random() < SLOW else 1.0)
        self.there[id(worker)] = worker
        self.free.append(worker)
        self._later(self.rng.expovariate(1 / STAY), "leave", worker)

    def _leave(self, worker: Worker) -> None:
        del self.there[id(worker)]
        self.departures += 1
        if worker.call is None:
            self.free.remove(worker)
        else:
            self.lost += self.now - worker.began
            silent = self.rng.random() < 0.5
            self._later(MISSED if silent else 0.0, "missed", worker.call)
            worker.call = None
        self._later(self.rng.expovariate(1 / AWAY), "come", None)

    def _assign(self) -> None:
        """Give what waits to whoever is free."""
        while self.queue and self.free:
            call, worker = self.queue.pop(0), self.free.pop()
            worker.call, worker.began = call, self.now
            rng = stream(self.seed, "failure", call.candidate.id)
            part = rng.random() if rng.random() < FAILING else 1.0
            self._later(LATENCY + part * worker.slowness * call.seconds, "answer", (worker, call))
            if not call.issued:
                call.issued = True
                self.at_last = (self.busy, self.lost, self.present)

    def _answer(self, worker: Worker, call: Call) -> None:
        worker.call = None
        self.free.append(worker)
        self.busy -= LATENCY  # it waited for its candidate then
        self.answers += 1
        rng = stream(self.seed, "failure", call.candidate.id)
        rng.random()
        evaluation = evaluate(self.context, call.candidate, {})
        size = BYTES * (evaluation.result.params or 0)
        self.up += size
        self.down += size * bool(call.candidate.weights_from or call.candidate.parents)
        if rng.random() < FAILING:
            call.future.set_exception(CandidateFailed("it failed on the way"))
        else:
            call.future.set_result(evaluation)


def simulated(
    task: Any, strategy: str, *, workers: int, trials: int, seed: int, log: Log, **settings: Any
) -> Cluster:
    """Search on so many workers until the trials are used; return the cluster as it then is."""
    own = {"strategy": settings} if settings else {}
    setup = setup_for(task, strategy, trials, seed, **own)
    cluster = Cluster(
        setup.context(), workers=workers, full=max(task.fidelities, default=1.0), seed=seed
    )
    Search(cluster, trials=trials).run(setup.strategy(), log)
    return cluster


def line(task: Any, strategy: str, workers: int, trials: int, seed: int) -> str:
    """Return the line of one simulation."""
    settings = {"population": max(20, workers)} if strategy in AS_LARGE else {}
    before = memory()
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Store(Path(folder) / "run.db", write=True)) as log,
    ):
        done = simulated(
            task, strategy, workers=workers, trials=trials, seed=seed, log=log, **settings
        )
    busy, lost, present = done.at_last
    return (
        f"{strategy:22} {workers:7,} {trials:8,} {busy / present:7.1%} {(busy - lost) / present:7.1%} "
        f"{done.now / 3600:7.2f} {done.coordinating / done.now:8.2%} "
        f"{done.answers / done.coordinating:9,.0f} {(memory() - before) / done.answers:9,.0f} "
        f"{done.departures:7,} {(done.down + done.up) / done.answers / 1000:9.1f} "
        f"{(done.down + done.up) / done.now / 1e6:9.3f}"
    )


def quality(task: Any, strategy: str, workers: int, trials: int, seeds: int) -> str:
    """Return a line: the best score after so many trials, as its distance from the table's best."""
    gaps, hours = [], []
    for seed in range(seeds):
        log = Memory()
        done = simulated(task, strategy, workers=workers, trials=trials, seed=seed, log=log)
        full = [
            event.value
            for event in log.events()
            if isinstance(event, Result) and event.ok and event.epochs >= task.epochs
        ]
        gaps.append(100 * (task.optimum("val") - max(full)))
        hours.append(done.now / 3600)
    spread = statistics.stdev(gaps) if len(gaps) > 1 else 0.0
    return (
        f"{strategy:22} {workers:7,} {trials:8,} {statistics.fmean(gaps):8.3f} +- {spread:.3f} "
        f"{statistics.fmean(hours):9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", default="table:digits201")
    parser.add_argument("--workers", default="10,100,1000")
    parser.add_argument("--strategies", default=f"{ASYNCHRONOUS},{GENERATIONS}")
    parser.add_argument("--each", type=int, default=20, help="trials per worker")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=1000, help="of --quality")
    given = parser.parse_args()
    task = open_task(given.table, {})
    counts = [int(count) for count in given.workers.split(",")]
    if given.quality:
        print(f"{'strategy':22} {'workers':>7} {'trials':>8} points below the best {'hours':>9}")
    else:
        print(
            f"{'strategy':22} {'workers':>7} {'trials':>8} {'use':>7} {'useful':>7} {'hours':>7} "
            f"{'coord.':>8} {'per s':>9} {'bytes':>9} {'left':>7} {'kB each':>9} {'MB/s':>9}"
        )
    for strategy in given.strategies.split(","):
        for workers in counts:
            if given.quality:
                said = quality(task, strategy, workers, given.trials, given.seeds)
            else:
                said = line(task, strategy, workers, given.each * workers, given.seed)
            print(said, flush=True)


if __name__ == "__main__":
    main()
