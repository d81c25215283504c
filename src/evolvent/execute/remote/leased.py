"""Calls that are lent to workers elsewhere: as messages, and answers that are checked to be such.

Served workers and those of Ray have them in common; how the messages travel is theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, replace
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar

from ...errors import CandidateFailed
from ...estimator import Evaluation
from ...types import Result
from .. import Executor, OutOfMemory, TimedOut
from ..worker import Job, Outcome
from .leases import Call, Leases
from .protocol import CALLS, function
from .wire import ANSWERS, Malformed, class_of, is_number, is_plain, is_state, pack, unpack

T = TypeVar("T")
#: how a call failed, as workers say it -> the exception of its future; one that was lost is lent again
FAILURES: Mapping[str, type[CandidateFailed]] = {
    "error": CandidateFailed,
    "time": TimedOut,
    "memory": OutOfMemory,
}


class Leased(Executor):
    """Lends calls to workers, wherever they are.

    Args:
        lease: without a word after which a worker is lost. [s]
        say: is told of workers that come and go, from the thread that uses this executor.
    """

    def __init__(self, *, lease: float, say: Callable[[str], None]) -> None:
        self._say, self._lease = say, lease
        self._lines: SimpleQueue[str] = SimpleQueue()  # of another thread, to be said
        self.leases = Leases(seconds=lease, say=self._lines.put)
        self._failure: BaseException | None = None  # why nothing can run any more

    def __enter__(self) -> Self:
        """Wait for a worker."""
        began = time.monotonic()
        try:
            while not self.leases.slots:
                self._wait_on(time.monotonic() - began)
                time.sleep(0.05)
            self._tell()
        except BaseException:
            self.shutdown()
            raise
        return self

    def _wait_on(self, waited: float) -> None:
        """Look once while no worker is there; raise where none will come.

        Args:
            waited: for the first worker. [s]
        """
        raise NotImplementedError

    @property
    def workers(self) -> int:  # type: ignore[override]
        """Calls that the workers of this moment run at the same time, at least 1. [count]

        Whoever asks is told what happened meanwhile: no other thread calls anybody.
        """
        self._tell()
        return max(1, self.leases.slots)

    def _tell(self) -> None:
        with suppress(Empty):
            while True:
                self._say(self._lines.get_nowait())

    def submit(
        self, call: Callable[..., T], /, *args: Any, timeout: float | None = None
    ) -> Future[T]:
        """Run ``call(context, *args)`` in a worker, as `Executor` says.

        Raises:
            TypeError: for a call or an argument that cannot be sent.
        """
        name = call.__name__
        if name not in CALLS or function(name) is not call:
            raise TypeError(f"{call!r} cannot be sent: one of {', '.join(CALLS)}")
        value, named = VALUES[name], NAMED[name](*args)
        made = Call(pack([name, list(args)]), named, lambda data: value(data, *args), timeout)
        made.future.set_running_or_notify_cancel()  # from here on only `cancel` can stop it
        if not self.leases.submit(made):
            raise self._failure or RuntimeError("this executor is shut down: make a new one")
        self._wake()
        return made.future

    def cancel(self, future: Future[Any]) -> None:
        """Drop a call; its future gets `Cancelled`, and its worker ends it when it is next heard."""
        self.leases.cancel(future)
        self._wake()

    def _wake(self) -> None:
        """Let those that wait for news look again."""
        raise NotImplementedError


def _evaluations(data: bytes, asked: Any) -> list[Evaluation]:
    """Return the answer to `evaluate_many`, each with the candidate that was asked about."""
    found = unpack(data, ANSWERS)
    if not isinstance(found, list) or len(found) != len(asked):
        raise Malformed(f"not {len(asked)} evaluations")
    answers = []
    for each, (candidate, _) in zip(found, asked, strict=True):
        if not (isinstance(each, Evaluation) and is_state(each.state) and _fits(each.result)):
            raise Malformed("this is no evaluation")
        if each.result.candidate.id != candidate.id:
            raise Malformed(f"an answer for candidate {each.result.candidate.id}")
        answers.append(replace(each, result=replace(each.result, candidate=candidate)))
    return answers


def _fits(result: Any) -> bool:
    """Whether a result holds what a result holds, in values that can be stored."""
    if not isinstance(result, Result):
        return False
    numbers = (result.seconds, result.epochs, result.total_epochs, result.seed, result.threads)
    counts = (result.score, result.params, result.flops)
    return (
        all(is_number(each) for each in numbers)
        and all(each is None or is_number(each) for each in counts)
        and result.status in ("ok", "failed", "refused", "cut")
        and isinstance(result.reason, str)
        and isinstance(result.metrics, dict)
        and is_plain(result.metrics)
        and result.weights is None
        and is_state(result.gradient)
    )


def _outcome(data: bytes, job: Any) -> Outcome:
    """Return the answer to `fit`."""
    (found,) = _trained([unpack(data, ANSWERS)], [job])
    return found


def _outcomes(data: bytes, jobs: Any) -> list[Outcome]:
    """Return the answer to `fit_pack`, which leaves some out."""
    found = unpack(data, ANSWERS)
    if not isinstance(found, list):
        raise Malformed("these are no outcomes of trainings")
    return _trained(found, jobs)


def _trained(found: list[Any], jobs: Sequence[Job]) -> list[Outcome]:
    """Return outcomes that are such, each of another of the jobs."""
    seeds = [job.seed for job in jobs]
    for each in found:
        if not (isinstance(each, Outcome) and is_plain(each.numbers) and is_state(each.state)):
            raise Malformed("this is no outcome of a training")
        if not isinstance(each.numbers, dict) or each.numbers.get("seed") not in seeds:
            raise Malformed("this is the outcome of another training")
        seeds.remove(each.numbers["seed"])
    return found


def _traces(data: bytes, told: Any, seeds: Any) -> list[Any]:
    """Return the answer to `play`: one trace per seed."""
    found = unpack(data, ANSWERS)
    made = class_of("Trace")
    if not isinstance(found, list) or not all(isinstance(each, made) for each in found):
        raise Malformed("these are no traces of searches")
    if [each.seed for each in found] != list(seeds) or not is_plain(list(map(asdict, found))):
        raise Malformed("these are the traces of other searches")
    return found


def _candidates(asked: Any) -> str:
    ids = ", ".join(str(candidate.id) for candidate, _ in asked)
    return f"candidate{'s' if len(asked) > 1 else ''} {ids}"


VALUES: Mapping[str, Callable[..., Any]] = {
    "evaluate_many": _evaluations,
    "fit": _outcome,
    "fit_pack": _outcomes,
    "play": _traces,
}
NAMED: Mapping[str, Callable[..., str]] = {
    "evaluate_many": _candidates,
    "fit": lambda job: f"training {job.name}",
    "fit_pack": lambda jobs: f"training {len(jobs)} networks at once",
    "play": lambda told, seeds: f"{told['strategy']['name']}, {len(seeds)} searches",
}
