"""How many results a second the coordinator takes, what one costs, and how long a resume takes.

    python benchmarks/coordinator.py [--results 100000] [--flight 1000] [--batch 100] [--folder DIR]

A search as the command line runs it (`Runner`: strategy, loop, events, durable SQLite log), on a
table, with an executor that looks candidates up in this process: no time is spent on training. As
soon as `flight` candidates are out, `batch` of them are answered at once; that is one transaction,
which holds their results and the candidates that follow. Prints at 1,000, 3,000, 10,000, ... results
what the last of them cost and what memory the process has gained since 1,000; then the time of a
resume, which reads the whole log and tells it to a fresh strategy.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolvent.config.pacing import settle
from evolvent.config.request import Request
from evolvent.config.resolve import resolve
from evolvent.config.setup import Setup
from evolvent.engine.events import Events
from evolvent.engine.runner import Runner
from evolvent.engine.store import Store
from evolvent.execute import Executor
from evolvent.task.opening import open_task

PAGE = os.sysconf("SC_PAGE_SIZE")


class Lookup(Executor):
    """Answers the oldest `batch` calls as soon as `workers` of them are out, and all at the end.

    Args:
        context: of a worker.
        workers: calls that are out at the same time. [count]
        batch: calls that are answered at once. [count, 1..workers]
        total: calls that will come. [count]
    """

    def __init__(self, context: Any, *, workers: int, batch: int, total: int) -> None:
        self.context, self.workers, self.batch = context, workers, batch
        self.left = total  # calls that are still to come
        self.out: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(
        self, call: Callable[..., Any], /, *args: Any, timeout: float | None = None
    ) -> Future[Any]:
        """Take a call; answer the oldest if the number in flight is reached."""
        future: Future[Any] = Future()
        self.out.append((future, call, args))
        self.left -= 1
        full = self.batch if len(self.out) >= self.workers else 0
        answered = len(self.out) if not self.left else full
        for each, function, given in self.out[:answered]:
            each.set_result(function(self.context, *given))
        del self.out[:answered]
        return future

    def cancel(self, future: Future[Any]) -> None:
        """Do nothing: the budget is in trials, so nothing is cut."""

    def shutdown(self) -> None:
        """Do nothing: there are no processes."""


def setup_for(task: Any, method: str, trials: int, seed: int = 0, **settings: Any) -> Setup:
    """Return the setup of a search over an opened task, as a session makes it.

    Args:
        task: opened, or the name of one.
        method: the strategy.
        trials: its budget. [count]
        seed: of the search.
        settings: part -> name -> value.
    """
    name = task if isinstance(task, str) else task.name
    opened = open_task(task, {}) if isinstance(task, str) else task
    space, estimator = settings.pop("space", None), settings.pop("estimator", None)
    request = Request(
        name,
        None,
        space,
        method,
        estimator,
        f"{trials}t",
        seed,
        None,
        None,
        None,
        "cpu",
        settings,
    )
    return settle(resolve(request, opened), workers=1)


def marks() -> Iterator[int]:
    """Yield 1,000, 3,000, 10,000, 30,000, ... [count]"""
    step = 1000
    while True:
        yield from (step, 3 * step)
        step *= 10


def memory() -> int:
    """Return the resident memory of this process. [bytes]"""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@dataclass
class Progress:
    """Listens to a search; prints what the results since the last mark cost."""

    every: Iterator[int] = field(default_factory=marks)
    count: int = 0
    last: int = 0
    base: int = 0  # [bytes] of memory at the first mark
    largest: float = 0.0  # [bytes] per result since the first mark, at the last one
    costs: list[float] = field(default_factory=list)  # [s] per result between two marks

    def __post_init__(self) -> None:
        self.next = next(self.every)
        self.wall, self.busy = time.perf_counter(), time.process_time()

    def on_result(self, result: object) -> None:
        """Count a result."""
        self.count += 1
        if self.count == self.next:
            self.mark()

    def mark(self) -> None:
        """Print a line, and begin the next stretch."""
        wall, busy, taken = time.perf_counter(), time.process_time(), self.count - self.last
        if not taken:
            return
        gc.collect()
        held, more = memory(), ""
        if not self.base:
            self.base = held
        else:
            self.largest = (held - self.base) / (self.count - 1000)
            more = f"{self.largest:12,.0f}"
        self.costs.append((busy - self.busy) / taken)
        print(
            f"{self.count:10,} {taken / (wall - self.wall):11,.0f} "
            f"{1000 * (wall - self.wall) / taken:12.4f} {1000 * self.costs[-1]:12.4f} "
            f"{held / 2**20:9.1f} {more}",
            flush=True,
        )
        self.last, self.next = self.count, next(self.every)
        self.wall, self.busy = time.perf_counter(), time.process_time()


def searched(setup: Setup, folder: Path, *, results: int, flight: int, batch: int) -> Progress:
    """Run a search of so many results from its beginning; print its progress."""
    print(f"{'results':>10} {'a second':>11} {'ms wall':>12} {'ms busy':>12} {'MiB':>9} bytes each")
    store, progress = Store(folder / "run.db", write=True), Progress()
    executor = Lookup(setup.context(), workers=flight, batch=batch, total=results)
    began = time.perf_counter()
    try:
        Runner(store, folder, setup, Events([progress])).run(executor)
        progress.mark()
    finally:
        store.close()
    took = time.perf_counter() - began
    print(f"in all {results / took:,.0f} results a second; the log has", end=" ")
    print(f"{(folder / 'run.db').stat().st_size / results:,.0f} bytes per result")
    return progress


def resumed(setup: Setup, folder: Path) -> float:
    """Resume the search, of which nothing is left to do; return how long that takes. [s]"""
    before, began = memory(), time.perf_counter()
    store = Store(folder / "run.db", write=True)
    try:
        store.note("state", "searching")
        executor = Lookup(setup.context(), workers=1, batch=1, total=0)
        Runner(store, folder, setup).run(executor)
    finally:
        store.close()
    took = time.perf_counter() - began
    print(f"resume: {took:.1f} s, {(memory() - before) / 2**20:.1f} MiB more")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", default="table:digits201")
    parser.add_argument("--strategy", default="regularized-evolution")
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--flight", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: temporary")
    given = parser.parse_args()
    flight, batch = given.flight, min(given.batch, given.flight)
    setup = setup_for(given.table, given.strategy, given.results)
    folder = Path(tempfile.mkdtemp(prefix="coordinator-", dir=given.folder))
    print(
        f"{given.strategy} on {given.table}: {given.results:,} results, {flight:,} in flight, "
        f"{batch} per transaction, log in {folder}"
    )
    try:
        searched(setup, folder, results=given.results, flight=flight, batch=batch)
        resumed(setup, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
