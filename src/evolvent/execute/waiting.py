"""Waiting for calls: submit a few at a time, and take each answer as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import Any, TypeVar

from . import Executor

K = TypeVar("K")
T = TypeVar("T")
POLL = 1.0  # [s] between two ticks


def as_done(
    executor: Executor,
    call: Callable[..., T],
    jobs: Iterable[tuple[K, Sequence[Any]]],
    *,
    most: int | None = None,
    ahead: int = 1,
    tick: Callable[[], None] = lambda: None,
    until: float | None = None,
) -> Iterator[tuple[K, Future[T]]]:
    """Run ``call(context, *args)`` for every job, and yield name and future of each as it ends.

    The next job is submitted when those that ended have been taken, so that whoever takes them can
    keep each before more is done. Jobs may be made lazily: each is drawn when it is submitted. What
    still runs when the caller stops taking is the executor's to end.

    Args:
        executor: where they run.
        call: a function of a module, as `Executor.submit` wants it.
        jobs: name and arguments of each, in the order in which they are submitted.
        most: submitted at a time; None is `ahead` per worker of the moment. [count, >= 1]
        ahead: submitted per worker, so that none waits for its next. [count, >= 1]
        tick: is called whenever something ended, and about once a second while nothing does.
        until: `time.monotonic()` at which to stop: what runs then is cancelled, and yielded as such;
            what was not submitted is not yielded. [s]

    Raises:
        RuntimeError: if the executor was shut down.
    """
    left, running = iter(jobs), dict[Future[T], K]()
    cancelled = False
    while True:
        late = until is not None and time.monotonic() > until
        limit = ahead * executor.workers if most is None else most
        for name, args in islice(left, 0 if late else max(0, limit - len(running))):
            running[executor.submit(call, *args)] = name
        if not running:
            return
        if late and not cancelled:
            cancelled = True
            for future in running:
                executor.cancel(future)
        done, _ = wait(running, timeout=POLL, return_when=FIRST_COMPLETED)
        tick()
        for future in [each for each in running if each in done]:  # in the order of the jobs
            yield running.pop(future), future
