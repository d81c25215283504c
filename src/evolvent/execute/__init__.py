"""Executors: their contract, and the ways in which a call can fail.

`inline` runs calls in this process, `processes` in worker processes of this machine, `remote` in
workers anywhere that come and ask for them, `ray` in actors of a Ray cluster; `together` runs calls in
batches; `worker` holds the functions that a worker runs.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from ..errors import CandidateFailed, SettingError

T = TypeVar("T")


class WorkerLost(CandidateFailed):
    """The worker died in every attempt: killed by a signal, or ended by the call itself."""


class TimedOut(CandidateFailed):
    """The call took longer than its time-out."""


class OutOfMemory(CandidateFailed):
    """The call ran out of memory, also when it ran alone."""


class Cancelled(CandidateFailed):
    """The call was cancelled, or its executor shut down before it ended."""


class Executor(Protocol):
    """Runs calls, here or elsewhere. Leaving it as a context manager shuts it down.

    Args:
        workers: how many calls run at the same time; may change where workers come and go. [count]
    """

    workers: int

    def submit(
        self, call: Callable[..., T], /, *args: Any, timeout: float | None = None
    ) -> Future[T]:
        """Run ``call(context, *args)`` and return the future of its result.

        The future's exception is the call's own (if that cannot be pickled, a `CandidateFailed`
        with its type and text), `TimedOut`, `OutOfMemory`, `WorkerLost` or `Cancelled`. The
        future's own ``cancel()`` never succeeds, since it cannot stop a running call.

        Args:
            call: a function of an importable module, not of the script: it is pickled by name.
            args: picklable values.
            timeout: longest duration, counted from the start of each attempt. [s, > 0]

        Raises:
            RuntimeError: after `shutdown`.
            Exception: pickle's own, for a call or an argument that cannot be pickled.
        """
        ...

    def cancel(self, future: Future[Any]) -> None:
        """Kill the worker of a running call, or drop a waiting one; its future gets `Cancelled`."""
        ...

    def shutdown(self) -> None:
        """Stop everything; unfinished futures get `Cancelled`. A second time does nothing."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()


class Place(Protocol):
    """A choice of the user where the calls of a run run, in place of processes of this machine."""

    def planned(self, *, device: str, workers: int | None) -> int | None:
        """Return the calls at a time that there will be; None if only the user knows. [count]

        It is asked before anything else is done, so that what cannot be is refused at once.

        Args:
            device: of the search.
            workers: that the user asked for; None are as many as there are. [count]

        Raises:
            UserError: if it cannot be.
        """
        ...

    def executor(
        self, spec: Any, *, folder: Path | None, say: Callable[[str], None], workers: int | None
    ) -> Executor:
        """Return the executor of a run, which is used as a context manager.

        Args:
            spec: makes the context of a worker, when it is called.
            folder: of the run; None is none.
            say: is told what happens, in lines, from the thread that uses the executor.
            workers: as in `planned`. [count]

        Raises:
            UserError: if it cannot be.
        """
        ...

    def release(self) -> None:
        """Let go of what `planned` took hold of; a second time does nothing."""
        ...


def check_elsewhere(workers: int | None) -> None:
    """Refuse a count of workers that leaves none, where a place has the calls run elsewhere.

    Raises:
        SettingError: saying so.
    """
    if workers == 0:
        raise SettingError("workers=0 is this process, without workers elsewhere: leave one out")


def cores() -> int:
    """Return the cores that this process may use. [count]"""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pickled(value: Any) -> bytes:
    """Return a value as bytes that another process can read."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def described(error: BaseException) -> str:
    """Return an error as text: its type and its message."""
    return f"{type(error).__name__}: {error}"


def guarded(call: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
    """Run a call; return (True, result) or (False, exception)."""
    try:
        return True, call(*args)
    except SystemExit as error:  # it would end the coordinator when the future is read
        return False, CandidateFailed(f"SystemExit: {error}")
    except Exception as error:  # noqa: BLE001 - this is the guard
        return False, error
