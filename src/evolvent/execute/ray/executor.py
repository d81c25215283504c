"""The coordinator's side: an executor whose workers are actors of a Ray cluster.

::

    any thread          supervising thread                       an actor, wherever there is room
    submit, cancel -->  leases, actors, clock       -- call -->  LocalSlots -> call(context, *args)
    future         <--  retries, losses             <- answer -

The supervising thread alone starts, asks and ends actors. What Ray tells from a thread of its own is
put into a queue. Ray itself retries nothing: a retry is a new lease, with a fence of its own.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError

from ...errors import EvolventError, UserError
from ..remote.data import Blob, Bundle
from ..remote.leased import FAILURES, Leased
from ..remote.leases import LOSSES, Lease
from ..remote.protocol import BEATS, LEASE, version
from ..remote.wire import Malformed
from ..worker import Spec
from .actor import Answer, Order, Worker
from .connection import close, room

TICK = 0.25  # [s] between two looks at the leases, at most
LOOK = 2.0  # [s] between two looks for nodes that have joined
AT_ONCE = 8  # [count] requests that an actor answers: a call, and words about it
PIECE = 64 << 20  # [bytes] of an object that holds data
SILENCE = 10.0  # [s] without an actor after which it is said what is waited for
LONGEST = 60.0  # [s] until an actor is tried anew where actors cannot begin
ENDING = 10.0  # [s] that an actor has to end a call which nobody wants any more


@dataclass(eq=False)
class Actor:
    """An actor of this search.

    Args:
        handle: Ray's.
        id: in the leases; none until it has begun.
        name: in words.
        lease: of the call that it runs.
        unwanted: since when nobody wants that any more. [s, monotonic]
        asked: when it was last asked whether it lives. [s, monotonic]
        silent: whether it has not answered that yet.
    """

    handle: Any
    id: str = ""
    name: str = ""
    lease: Lease | None = None
    unwanted: float | None = None
    asked: float = 0.0
    silent: bool = False


class OnRay(Leased):
    """Runs calls in actors of the Ray cluster that this process is connected to.

    As a context manager it first waits for an actor. As many are asked for as the cluster's nodes have
    room for, or `most`; those for which there is no room yet begin when a node joins. What a lost actor
    ran is issued again, at most twice, and its late answer is refused.

    Args:
        spec: of the workers.
        cpus: of each. [count]
        gpus: of each. [count]
        most: actors; None are as many as there is room for. [count]
        lease: without a word after which an actor is lost. [s]
        say: is told of actors that begin and end.

    Raises:
        UserError: if the task cannot be sent.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        cpus: float = 1.0,
        gpus: float = 0.0,
        most: int | None = None,
        lease: float = LEASE,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(lease=lease, say=say)
        self._cpus, self._gpus, self._most = cpus, gpus, most
        bundle = Bundle(spec)
        device = spec.device.partition(":")[0]  # Ray shows an actor its own GPUs alone
        order = Order(version(), tuple(sys.path), device, cpus, gpus)
        arrays = {name: (blob.size, _put(blob)) for name, blob in bundle.blobs.items()}
        make = ray.remote(Worker).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=AT_ONCE,
        )
        head = ray.put(bundle.head)
        self._make: Callable[[], Any] = lambda: make.remote(order, head, arrays)
        self._actors: list[Actor] = []
        self._news: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._looked = self._tried = -LONGEST
        self._failures = 0  # [count] of actors in a row that could not begin
        self._problem = ""  # of the last one of these
        self._stopping = False
        self._told = False  # what is waited for
        self._thread = threading.Thread(target=self._supervise, name="evolvent-ray", daemon=True)
        self._thread.start()

    def _wait_on(self, waited: float) -> None:
        self._tell()
        if self._failure is not None:
            raise self._failure
        if self._problem and (self._failures >= LOSSES or not self._actors):
            raise UserError(f"no actor of Ray can work: {self._problem}")
        if waited > SILENCE and not self._told:
            self._told = True
            self._say(
                f"waiting for a node with {self._cpus:g} CPUs and {self._gpus:g} GPUs free, and for "
                "an actor to begin on it"
            )

    def shutdown(self) -> None:
        """End the actors; unfinished futures get `Cancelled`. A second time does nothing."""
        if not self._stopping:
            self._stopping = True
            self._wake()
            self._thread.join()
            self._tell()
            close()

    def _wake(self) -> None:
        self._news.put(lambda: None)

    # Only the supervising thread calls the methods below.

    def _supervise(self) -> None:
        try:
            while not self._stopping:
                self._hear()
                self._look()
                self.leases.sweep()
                for actor in list(self._actors):
                    self._check(actor)
                self._assign()
        except Exception as error:  # noqa: BLE001 - it must not end silently
            self._failure = EvolventError(
                f"the connection to Ray failed ({type(error).__name__}: {error}): everything is "
                "saved, evolvent resume goes on"
            )
            self._failure.__cause__ = error
        finally:
            for actor in self._actors:
                _kill(actor)
            self.leases.end("the search has ended", self._failure)

    def _hear(self) -> None:
        """Take the news; wait a little for the first."""
        with contextlib.suppress(Empty):
            self._news.get(timeout=TICK)()
            while True:
                self._news.get_nowait()()

    def _later(self, reference: Any, then: Callable[[Future[Any]], None]) -> None:
        """Have the supervising thread call ``then(future)`` once Ray has an answer."""
        future = reference.future()
        future.add_done_callback(lambda done: self._news.put(partial(then, done)))

    def _look(self) -> None:
        """Ask Ray for actors, as many as there is room for."""
        now = time.monotonic()
        pause = min(LONGEST, 2.0**self._failures) if self._failures else 0.0
        if now - self._looked < LOOK or now - self._tried < pause:
            return
        self._looked = now
        wanted = self._most or max(1, room(self._cpus, self._gpus))
        for _ in range(wanted - len(self._actors)):
            self._tried = now
            actor = Actor(self._make())
            self._actors.append(actor)
            self._later(actor.handle.begin.remote(), partial(self._begun, actor))

    def _begun(self, actor: Actor, answer: Future[tuple[str, str]]) -> None:
        """Count on an actor that has begun, or give it up."""
        error = answer.exception()
        if error is None:
            actor.name, problem = answer.result()
        else:
            problem = _in_words(error)
        if problem:
            self._actors.remove(actor)
            _kill(actor)
            self._failures, self._problem = self._failures + 1, problem
            self._lines.put(f"worker {actor.name or 'of Ray'} cannot begin: {problem}")
            return
        self._failures, self._problem = 0, ""
        actor.id = self.leases.join(actor.name, 1, ready=True)
        actor.asked = time.monotonic()

    def _check(self, actor: Actor) -> None:
        """Ask an actor whether it lives; end one that is silent, or does not let go of a call."""
        now = time.monotonic()
        if not actor.id:
            return
        if not self.leases.knows(actor.id):  # it was silent for too long: its call waits again
            self._end(actor)
            return
        if not actor.silent and now - actor.asked > self._lease / BEATS:
            actor.asked, actor.silent = now, True
            self._later(actor.handle.beat.remote(), partial(self._beaten, actor))
        lease = actor.lease
        if lease is None or self.leases.holds(actor.id, lease.fence) is not None:
            return
        if actor.unwanted is None:
            actor.unwanted = now
            actor.handle.cancel.remote(lease.fence)
        elif now - actor.unwanted > ENDING:
            self._lose(actor, "did not let go of a call")

    def _beaten(self, actor: Actor, answer: Future[None]) -> None:
        """Note that an actor lives, and runs what it has."""
        actor.silent = False
        if answer.exception() is None and self.leases.hear(actor.id) and actor.lease is not None:
            self.leases.beat(actor.id, {actor.lease.fence: ""})

    def _assign(self) -> None:
        """Lend waiting calls to actors that are free."""
        for actor in self._actors:
            if not actor.id or actor.lease is not None:
                continue
            lease = self.leases.take(actor.id)
            if lease is None:
                return
            actor.lease, actor.unwanted = lease, None
            run = actor.handle.run
            sent = run.remote(lease.fence, lease.call.data, time.monotonic(), lease.call.timeout)
            self._later(sent, partial(self._answered, actor, lease))

    def _answered(self, actor: Actor, lease: Lease, answer: Future[Answer]) -> None:
        """Take the answer of a call; whether that is still wanted is the lease's to say."""
        error = answer.exception()
        if error is not None:
            self._lose(actor, _in_words(error))
            return
        actor.lease = None
        told = answer.result()
        if isinstance(told, bytes):
            try:
                self.leases.settle(lease, lease.call.value(told))
            except Malformed as wrong:
                self.leases.lose(lease, f"gave no answer that can be read: {wrong}")
        elif told[0] in FAILURES:
            self.leases.settle(lease, FAILURES[told[0]](told[1]))
        else:  # lost, or cancelled, when the lease has ended
            self.leases.lose(lease, told[1])

    def _lose(self, actor: Actor, how: str) -> None:
        """Give up an actor that came to grief; its call is issued again."""
        if actor.lease is not None:
            self.leases.lose(actor.lease, how)
        self.leases.leave(actor.id, how)
        self._end(actor)

    def _end(self, actor: Actor) -> None:
        if actor in self._actors:
            self._actors.remove(actor)
            _kill(actor)
            self._looked = -LONGEST  # another may take its place at once


def _kill(actor: Actor) -> None:
    with contextlib.suppress(RayError, ValueError):  # it is dead already
        ray.kill(actor.handle)


def _put(blob: Blob) -> list[Any]:
    """Put an array into the object store, in pieces; return their references."""
    return [ray.put(np.frombuffer(piece, np.uint8)) for piece in _collected(blob)]


def _collected(blob: Blob) -> Iterator[bytes]:
    """Yield the bytes of an array in large pieces."""
    parts: list[Any] = []
    size = 0
    for chunk in blob.chunks():
        parts.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _in_words(error: BaseException) -> str:
    """Return Ray's words about an actor as one line."""
    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return "does not answer"
    if isinstance(error, ray.exceptions.RayActorError) and "creation task" not in str(error):
        return "its process or its node died"
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
