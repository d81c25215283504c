"""Batches: items that wait at the same time are evaluated together, one batch per worker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ..errors import CandidateFailed
from . import Cancelled, Executor


class Together:
    """Evaluates items that wait at the same time in batches, one call per worker.

    Args:
        executor: runs the batches.
        call: ``call(context, items)`` returns the answers to the items in their order.
        timeout: longest duration per item. [s, > 0]

    A batch that fails as a whole (a lost worker, a time-out) is run again item by item, so that one
    bad item does not fail the others.
    """

    def __init__(
        self, executor: Executor, call: Callable[..., list[Any]], *, timeout: float | None = None
    ) -> None:
        self._executor, self._call, self._timeout = executor, call, timeout
        self._waiting: list[tuple[Any, Future[Any]]] = []
        self._batches: dict[Future[Any], Future[list[Any]]] = {}

    def submit(self, item: Any) -> Future[Any]:
        """Queue an item for `start`; return the future of its answer."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self._waiting.append((item, future))
        return future

    def start(self) -> None:
        """Run the queued items, spread evenly over the workers."""
        waiting, self._waiting = self._waiting, []
        size = -(-len(waiting) // self._executor.workers)
        for first in range(0, len(waiting), max(1, size)):
            self._run(waiting[first : first + size])

    def cancel(self, future: Future[Any]) -> None:
        """Cancel the whole batch of an item; the futures of all its items get `Cancelled`."""
        if (batch := self._batches.get(future)) is not None:
            self._executor.cancel(batch)

    def _run(self, calls: list[tuple[Any, Future[Any]]]) -> None:
        timeout = None if self._timeout is None else self._timeout * len(calls)
        batch = self._executor.submit(self._call, [item for item, _ in calls], timeout=timeout)
        for _, future in calls:
            self._batches[future] = batch
        batch.add_done_callback(lambda done: self._scatter(calls, done))

    def _scatter(self, calls: list[tuple[Any, Future[Any]]], batch: Future[list[Any]]) -> None:
        error = batch.exception()
        if (
            len(calls) > 1
            and isinstance(error, CandidateFailed)
            and not isinstance(error, Cancelled)
        ):
            for each in calls:
                self._run([each])
            return
        for place, (_, future) in enumerate(calls):
            self._batches.pop(future, None)
            if error is None:
                future.set_result(batch.result()[place])
            else:
                future.set_exception(error)
