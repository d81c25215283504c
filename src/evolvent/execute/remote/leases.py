"""Leases: calls wait, are lent to a worker, and come back, once each.

A lease has a fencing token that no other lease has, in this coordinator or in an earlier one. It ends
with its answer, or when nothing was heard of it for a while by this process's monotonic clock: no clock
of a worker counts. What comes for a lease that has ended is refused, and is no error.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .. import Cancelled, TimedOut, WorkerLost

LOSSES = 3  # [count] lost workers after which a call is given up: it is issued again twice
PATIENCE = 2.0  # times a lease: how much longer than its time-out a call may take, sending included


@dataclass(eq=False)
class Call:
    """A submitted call.

    Args:
        data: its name and arguments as a message, the same for every worker.
        name: in words.
        value: returns the result of an answer; raises `Malformed` where that is none to this call.
        timeout: of one attempt. [s]
    """

    data: bytes
    name: str
    value: Callable[[bytes], Any]
    timeout: float | None = None
    future: Future[Any] = field(default_factory=Future)
    losses: int = 0

    @cached_property
    def digest(self) -> str:
        """Hash of the message, by which a worker that has the call already knows it."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(eq=False)
class Lease:
    """A call that a worker runs.

    Args:
        fence: its token.
        call: what is run.
        worker: the worker's id.
        began: when it was given. [s, monotonic]
        heard: when the worker last said that it runs. [s, monotonic]
    """

    fence: str
    call: Call
    worker: str
    began: float
    heard: float


@dataclass(eq=False)
class Worker:
    """A worker that joined.

    Args:
        name: host and process, for messages.
        slots: calls that it runs at the same time. [count]
        heard: when it last asked for anything. [s, monotonic]
        ready: whether it is prepared: it has the data, and has asked for a call.
    """

    name: str
    slots: int
    heard: float
    ready: bool = False


Settled = list[tuple[Future[Any], BaseException]]


class Leases:
    """The calls of a coordinator. Its methods may be called from any thread.

    Args:
        seconds: without a word after which a worker is lost. [s]
        clock: monotonic. [s]
        say: is told of workers that come and go.
    """

    def __init__(
        self,
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.seconds, self.say = seconds, say
        self._clock = clock
        self._own = secrets.token_hex(4)  # of this coordinator: its fences begin so
        self._count = 0
        self._waiting: deque[Call] = deque()
        self._leases: dict[str, Lease] = {}
        self._workers: dict[str, Worker] = {}
        self._swept = clock()
        self._began: float | None = None  # when the first call came [s, monotonic]
        self._lock = threading.RLock()
        self.over = ""  # why nothing is leased any more

    @property
    def slots(self) -> int:
        """Calls that the workers of this moment run at the same time. [count]"""
        with self._lock:
            return sum(worker.slots for worker in self._workers.values() if worker.ready)

    def submit(self, call: Call) -> bool:
        """Let a call wait for a worker; False if all is over."""
        with self._lock:
            if not self.over:
                self._began = self._clock() if self._began is None else self._began
                self._waiting.append(call)
            return not self.over

    def join(self, name: str, slots: int, *, ready: bool = False) -> str:
        """Take a new worker; return its id.

        Args:
            name: of the worker, for messages.
            slots: calls that it runs at the same time. [count]
            ready: whether it is prepared: it worked for an earlier coordinator of this search.
        """
        with self._lock:
            id = secrets.token_hex(8)
            self._workers[id] = worker = Worker(name, slots, self._clock())
            if ready:
                self._count_on(worker)
        return id

    def _count_on(self, worker: Worker) -> None:
        """Count a worker among those that run calls, and say so."""
        if not worker.ready:
            worker.ready = True
            some = f"{worker.slots} calls at a time" if worker.slots > 1 else "one call at a time"
            self.say(f"worker {worker.name} joined, {some}")

    def hear(self, worker: str) -> bool:
        """Note that a worker lives; False if it is not known, or was lost: it must join anew."""
        with self._lock:
            known = self._workers.get(worker)
            if known is not None:
                known.heard = self._clock()
            return known is not None

    def knows(self, worker: str) -> bool:
        """Whether a worker joined and was not lost since."""
        with self._lock:
            return worker in self._workers

    def take(self, worker: str) -> Lease | None:
        """Lease the first waiting call to a worker; None if none waits."""
        with self._lock:
            known = self._workers.get(worker)
            if known is None:
                return None
            self._count_on(known)
            return self._give(self._waiting.popleft(), worker) if self._waiting else None

    def _give(self, call: Call, worker: str) -> Lease:
        self._count += 1
        now = self._clock()
        lease = Lease(f"{self._own}-{self._count}", call, worker, now, now)
        self._leases[lease.fence] = lease
        return lease

    def beat(self, worker: str, held: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """Note that a worker runs leases; return those that it no longer holds, and new fences.

        Args:
            worker: its id.
            held: fence -> digest of the call, of each lease that it believes to hold.

        Returns:
            The fences that have ended, and old -> new fence of calls of an earlier coordinator that
            wait here again: they go on.
        """
        ended, moved = [], {}
        with self._lock:
            for fence, digest in held.items():
                lease = self._leases.get(fence)
                if lease is not None and lease.worker == worker:
                    lease.heard = self._clock()
                elif adopted := self.adopt(worker, fence, digest):
                    moved[fence] = adopted.fence
                elif not self.is_early(fence):
                    ended.append(fence)
        return ended, moved

    def adopt(self, worker: str, fence: str, digest: str) -> Lease | None:
        """Lease a waiting call to the worker that runs it already, for an earlier coordinator."""
        with self._lock:
            if self._is_own(fence) or worker not in self._workers:
                return None
            for call in self._waiting:
                if call.digest == digest:
                    self._waiting.remove(call)
                    return self._give(call, worker)
        return None

    def is_early(self, fence: str) -> bool:
        """Whether a lease of an earlier coordinator may still turn out to be wanted here."""
        if self._is_own(fence):
            return False
        return self._began is None or self._clock() - self._began < self.seconds

    def _is_own(self, fence: str) -> bool:
        return fence.startswith(f"{self._own}-")

    def holds(self, worker: str, fence: str) -> Lease | None:
        """Return a lease that a worker holds, or None."""
        with self._lock:
            lease = self._leases.get(fence)
            return lease if lease is not None and lease.worker == worker else None

    def settle(self, lease: Lease, value: Any) -> bool:
        """End a lease with the value of its call, or an exception; False if it has ended before."""
        with self._lock:
            if self._leases.pop(lease.fence, None) is None:
                return False
        if isinstance(value, BaseException):
            lease.call.future.set_exception(value)
        else:
            lease.call.future.set_result(value)
        return True

    def lose(self, lease: Lease, how: str) -> bool:
        """End a lease whose worker came to grief: its call is issued again, or given up."""
        with self._lock:
            if self._leases.pop(lease.fence, None) is None:
                return False
            settled = self._again(lease, how)
        _settle(settled)
        return True

    def _again(self, lease: Lease, how: str) -> Settled:
        call = lease.call
        call.losses += 1
        if call.losses >= LOSSES:
            return [(call.future, WorkerLost(f"lost {LOSSES} workers; the last {how}"))]
        self._waiting.appendleft(call)
        return []

    def leave(self, worker: str, why: str) -> None:
        """Take leave of a worker; what it ran waits again, and that is no loss."""
        with self._lock:
            known = self._workers.pop(worker, None)
            for lease in [each for each in self._leases.values() if each.worker == worker]:
                del self._leases[lease.fence]
                self._waiting.appendleft(lease.call)
        if known is not None:
            self.say(f"worker {known.name} left: {why}")  # one that never was ready says why, too

    def sweep(self) -> bool:
        """End the leases and drop the workers of which nothing was heard for too long.

        Where this process itself stood still, nothing could be heard: that time does not count.

        Returns:
            Whether calls wait now that did not before.
        """
        settled: Settled = []
        lines = []
        with self._lock:
            now = self._clock()
            still = now - self._swept
            self._swept = now
            if still > self.seconds / 2:
                for held in self._leases.values():
                    held.heard += still
                for known in self._workers.values():
                    known.heard += still
            before = len(self._waiting)
            for lease in list(self._leases.values()):
                settled += self._judged(lease, now)
            more = len(self._waiting) > before
            for id, worker in list(self._workers.items()):
                if now - worker.heard > self.seconds:
                    del self._workers[id]
                    if not worker.ready:
                        continue
                    lines.append(f"worker {worker.name} is lost: no word for {self.seconds:g} s")
        _settle(settled)
        for line in lines:
            self.say(line)
        return more

    def _judged(self, lease: Lease, now: float) -> Settled:
        """End a lease that is too old."""
        call = lease.call
        if now - lease.heard > self.seconds:
            del self._leases[lease.fence]
            return self._again(lease, f"said nothing for {self.seconds:g} s")
        longest = PATIENCE * self.seconds
        if call.timeout is not None and now - lease.began > call.timeout + longest:
            del self._leases[lease.fence]
            text = f"stopped after {call.timeout:g} s: allow more time, or ask for less training"
            return [(call.future, TimedOut(text))]
        return []

    def cancel(self, future: Future[Any]) -> None:
        """Drop the call of a future, if it is here; its worker is told when it is next heard of."""
        with self._lock:
            found = [call for call in self._waiting if call.future is future]
            for call in found:
                self._waiting.remove(call)
            held = [each for each in self._leases.values() if each.call.future is future]
            for lease in held:
                del self._leases[lease.fence]
        if found:
            future.set_exception(Cancelled("cancelled before it ran"))
        elif held:
            future.set_exception(Cancelled("cancelled while it ran"))

    def end(self, why: str, error: BaseException | None = None) -> None:
        """Lease nothing any more, and end all calls.

        Args:
            why: in words, for workers.
            error: of the calls' futures; None is `Cancelled`.
        """
        error = error or Cancelled("the executor was shut down")
        with self._lock:
            self.over = self.over or why
            calls = [lease.call for lease in self._leases.values()] + list(self._waiting)
            self._leases.clear()
            self._waiting.clear()
        _settle([(call.future, error) for call in calls])

    @property
    def known(self) -> int:
        """Workers that joined, prepared or not. [count]"""
        with self._lock:
            return len(self._workers)

    def forget(self, worker: str) -> None:
        """Drop a worker that was told that all is over."""
        with self._lock:
            self._workers.pop(worker, None)


def _settle(settled: Settled) -> None:
    """Give futures their exceptions, outside the lock: whoever waits for them may submit at once."""
    for future, error in settled:
        future.set_exception(error)
