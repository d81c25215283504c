"""Calls that run in this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from ..errors import is_out_of_memory
from . import Executor, OutOfMemory, described, guarded

T = TypeVar("T")


class Inline(Executor):
    """Runs every call immediately in this process: no time-out, no memory limit, no isolation.

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
