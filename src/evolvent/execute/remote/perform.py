"""Calls that came as messages: run in a process of their own, their failures in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import CandidateFailed
from .. import Cancelled, OutOfMemory, TimedOut, WorkerLost, described
from .protocol import MOST_REASON, function
from .wire import pack, unpack

if TYPE_CHECKING:  # the process that asks for calls needs no torch
    from ..worker import Context

HOW: Mapping[type[Exception], str] = {
    Cancelled: "",
    WorkerLost: "lost",
    TimedOut: "time",
    OutOfMemory: "memory",
}


def failure(error: Exception) -> tuple[str, str]:
    """Return the kind of a failure, in one word (none if it was cancelled), and its reason."""
    how = HOW.get(type(error), "error")
    own = isinstance(error, CandidateFailed)
    reason = " ".join((str(error) if own else described(error)).split())[:MOST_REASON]
    return how, reason.removeprefix("its worker ") if how == "lost" else reason


# The functions below run in the process of a call.


def prepare(context: Context) -> None:
    """Do nothing: the context is made by now."""


def perform(context: Context, data: bytes, shift: float) -> bytes:
    """Run a call that came as a message; return its answer as one.

    Args:
        context: of this worker.
        data: the message.
        shift: of this machine's clock against the coordinator's. [s]
    """
    name, args = unpack(data)
    value = function(name)(context, *(_here(each, shift) for each in args))
    return pack(value)


def _here(value: Any, shift: float) -> Any:
    """Return an argument with its deadlines by this machine's clock."""
    from ..worker import Job

    if isinstance(value, list | tuple):
        return type(value)(_here(each, shift) for each in value)
    if isinstance(value, Job) and value.deadline is not None:
        return replace(value, deadline=value.deadline + shift)
    return value
