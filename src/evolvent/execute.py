"""Where calls run: in this process (`Inline`), or elsewhere: `slots` has processes of this machine.

`Together` makes few calls of many.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, Self, TypeVar

from .errors import CandidateFailed, is_out_of_memory

T = TypeVar("T")


class WorkerLost(CandidateFailed):
    """The worker died in every attempt: killed by a signal, or ended by the call itself."""


class TimedOut(CandidateFailed):
    """The call took longer than its time-out."""


class OutOfMemory(CandidateFailed):
    """The call needs more memory than there is, also when nothing else runs."""


class Cancelled(CandidateFailed):
    """The call was cancelled, or its executor shut down before it ended."""


class Executor(Protocol):
    """Runs calls somewhere. Leaving it as a context manager shuts it down.

    Args:
        workers: how many calls run at the same time. [count]
    """

    workers: int

    def submit(
        self, call: Callable[..., T], /, *args: Any, timeout: float | None = None
    ) -> Future[T]:
        """Run ``call(context, *args)`` and return the future of its result.

        The future's exception is the call's own (if that cannot be pickled, a `CandidateFailed`
        with its type and text), `TimedOut`, `OutOfMemory`, `WorkerLost` or `Cancelled`. Its
        ``cancel()`` never succeeds: it could not stop what runs.

        Args:
            call: a function of a module, not of the script that is run: it is pickled by name.
            args: picklable values.
            timeout: longest duration, counted from the start of each attempt. [s, > 0]

        Raises:
            RuntimeError: after `shutdown`.
            Exception: whatever pickle raises for a call or an argument that it refuses.
        """
        ...

    def cancel(self, future: Future[Any]) -> None:
        """Kill what runs a call, or forget it if it waits: its future gets `Cancelled`, soon."""
        ...

    def shutdown(self) -> None:
        """Stop everything; unfinished futures get `Cancelled`. A second time does nothing."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()


class Inline(Executor):
    """Runs every call at once in this process: no time-out, no memory limit, no protection.

    Args:
        factory: makes the context, at the first submit; if it raises, so does every call.
    """

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.workers = 1
        self._factory = factory
        self._context: tuple[bool, Any] | None = None

    def submit(
        self, call: Callable[..., T], /, *args: Any, timeout: float | None = None
    ) -> Future[T]:
        """Run ``call(context, *args)`` and return a future that is done; `timeout` is ignored."""
        self._context = self._context or guarded(self._factory)
        ok, value = self._context
        if ok:
            ok, value = guarded(call, value, *args)
        future: Future[T] = Future()
        if ok:
            future.set_result(value)
        else:
            future.set_exception(
                OutOfMemory(described(value)) if is_out_of_memory(value) else value
            )
        return future

    def cancel(self, future: Future[Any]) -> None:
        """Do nothing: every future is done."""

    def shutdown(self) -> None:
        """Forget the context."""
        self._context = None


class Together:
    """Runs calls that wait at the same time as a few calls of many, one per worker.

    Args:
        executor: where they run.
        call: ``call(context, items)`` returns the answers to the items in their order.
        timeout: longest duration per item. [s, > 0]

    A call of many that fails as a whole (a lost worker, a time-out) is done again item by item, so
    that one item spoils no other.
    """

    def __init__(
        self, executor: Executor, call: Callable[..., list[Any]], *, timeout: float | None = None
    ) -> None:
        self._executor, self._call, self._timeout = executor, call, timeout
        self._waiting: list[tuple[Any, Future[Any]]] = []
        self._batches: dict[Future[Any], Future[list[Any]]] = {}

    def submit(self, item: Any) -> Future[Any]:
        """Let an item wait for `start`; return the future of its answer."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self._waiting.append((item, future))
        return future

    def start(self) -> None:
        """Run what waits, spread evenly over the workers."""
        waiting, self._waiting = self._waiting, []
        size = -(-len(waiting) // self._executor.workers)
        for first in range(0, len(waiting), max(1, size)):
            self._run(waiting[first : first + size])

    def cancel(self, future: Future[Any]) -> None:
        """Kill what runs an item and all that run with it: their futures get `Cancelled`, soon."""
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


def cores() -> int:
    """Return the cores that this process may use. [count]"""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pickled(value: Any) -> bytes:
    """Return a value as bytes that another process can read."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def described(error: BaseException) -> str:
    """Return the type of an error and what it says."""
    return f"{type(error).__name__}: {error}"


def guarded(call: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
    """Return (True, result) or (False, exception): what a call raises ends nothing but itself."""
    try:
        return True, call(*args)
    except SystemExit as error:  # it would end the coordinator when the future is read
        return False, CandidateFailed(f"SystemExit: {error}")
    except Exception as error:  # noqa: BLE001 - this is the guard
        return False, error
