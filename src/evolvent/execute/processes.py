"""Calls that run in worker processes of this machine (`LocalSlots`).

::

    any thread          supervising thread                       worker process, one per slot
    submit, cancel -->  waiting jobs, slots, clock  -- call -->  call(context, *args)
    future         <--  retries, limits, kills      <- answer -

The supervising thread owns all state; other threads only send it commands. An attempt that is
given up is killed and its pipe closed, so that its answer cannot arrive late.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any, Literal, TypeVar

from ..errors import CandidateFailed, SettingError, UserError, is_out_of_memory
from . import (
    Cancelled,
    Executor,
    OutOfMemory,
    TimedOut,
    WorkerLost,
    described,
    guarded,
    pickled,
    warm,
)
from . import (
    memory as memory_of,
)

T = TypeVar("T")

LOSSES = 3  # [count] dead workers after which a call, or the start of workers, is given up
POLL = 0.25  # [s] between two checks of the memory and the time of running calls
SHARE = 0.8  # of the memory available at the start, for all workers together
NEVER_FILLED = 4 << 30  # [bytes] of address space that libraries may map and never fill
PR_SET_PDEATHSIG = 1  # of linux/prctl.h


@dataclass(eq=False)
class Call:
    """A submitted call."""

    data: bytes  # the pickled call and its arguments: the same for every attempt
    timeout: float | None  # [s] of one attempt
    future: Future[Any] = field(default_factory=Future)
    losses: int = 0  # [count] workers that died under it
    alone: bool = False  # it ran out of memory once: nothing else may run beside it


@dataclass(eq=False)
class Slot:
    """A live worker process: it starts, loads its context, then runs one job after another."""

    process: BaseProcess
    pipe: Connection
    state: Literal["starting", "loading", "ready"] = "starting"
    job: Call | None = None
    began: float = 0.0  # [s, monotonic] when the job was sent


class LocalSlots(Executor):
    """Runs calls in processes of this machine, which start as work arrives and are reused.

    A call that raises, exceeds its time or memory, or kills its worker disturbs no other call.
    A call whose worker died is tried anew, three times in all. A call that ran out of memory is tried
    once more, alone: as the only worker, after the running calls and before the waiting ones.
    A worker does not run the user's script again, and it dies with the coordinator, however the
    coordinator ends.

    Args:
        factory: picklable; makes the context, once per worker. If it raises, no further worker is
            started; once none is left, every call gets its exception.
        workers: most processes at the same time. [count, >= 1]
        memory: largest resident memory of one worker [bytes, >= 1]; by default an equal share of
            80 % of the memory available now. A call that runs alone may use all of those 80 %.
        threads: for the numerical libraries (OpenMP, MKL, OpenBLAS) of one worker. [count, >= 1]
        fresh: whether workers start fresh and not `warm`, which those that use a GPU must.
        losses: dead workers after which a call is given up. [count, >= 1]

    Raises:
        SettingError: if a number is outside its range.
    """

    def __init__(
        self,
        factory: Callable[[], Any],
        *,
        workers: int,
        memory: int | None = None,
        threads: int = 1,
        fresh: bool = False,
        losses: int = LOSSES,
    ) -> None:
        counts = {"workers": workers, "memory": memory, "threads": threads, "losses": losses}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise SettingError(f"{name}={value} must be at least 1")
        self._context = warm.context(fresh=fresh or threads > 1)  # a warm process has one thread
        if not fresh:
            warm.begin()
        everything = int(SHARE * memory_of.available())
        self.workers, self.threads, self.losses = workers, threads, losses
        self.memory = memory or everything // workers  # [bytes] of a worker among others
        self.memory_alone = max(self.memory, everything)  # [bytes] of one that runs alone
        self._factory = pickled((factory, ()))
        self._waiting: deque[Call] = deque()
        self._slots: list[Slot] = []
        self._failure: Exception | None = None  # why no further worker is started
        self._deaths = 0  # [count] of workers in a row that died before they were ready
        self._checked = 0.0  # [s, monotonic] when `_check` last looked
        self._commands: SimpleQueue[Call | Future[Any] | None] = SimpleQueue()
        self._bell, self._ring = self._context.Pipe(duplex=False)  # wakes the supervising thread
        self._lock, self._closed = threading.Lock(), False  # guard the two lines above
        self._thread = threading.Thread(target=self._supervise, name="evolvent-slots", daemon=True)
        self._thread.start()
        atexit.register(self.shutdown)  # before multiprocessing's own, which waits for workers

    def submit(
        self, call: Callable[..., T], /, *args: Any, timeout: float | None = None
    ) -> Future[T]:
        """Run ``call(context, *args)`` in a worker, as `Executor` says."""
        job = Call(pickled((call, args)), timeout)
        job.future.set_running_or_notify_cancel()  # from here on only `cancel` can stop it
        if not self._tell(job):
            raise RuntimeError("this executor is shut down: make a new one")
        return job.future

    def cancel(self, future: Future[Any]) -> None:
        """Kill the worker of a running call, or drop a waiting one; its future gets `Cancelled`."""
        self._tell(future)

    def shutdown(self) -> None:
        """Kill all workers; unfinished futures get `Cancelled`. A second time does nothing."""
        self._tell(None)
        self._thread.join()
        atexit.unregister(self.shutdown)

    def _tell(self, command: Call | Future[Any] | None) -> bool:
        """Queue a command: a job to run, a future to cancel, None to stop. False after `shutdown`."""
        with self._lock:
            if not self._closed:
                self._commands.put(command)
                self._ring.send_bytes(b"")
            return not self._closed

    # Only the supervising thread calls the methods below.

    def _supervise(self) -> None:
        try:
            while self._obey():
                self._assign()
                busy = any(slot.job for slot in self._slots)
                pipes = [slot.pipe for slot in self._slots]
                ready = wait([self._bell, *pipes], timeout=POLL if busy else None)
                for slot in self._slots[:]:
                    if slot.pipe in ready:
                        self._read(slot)
                self._check()
        finally:
            self._close()

    def _obey(self) -> bool:
        """Carry out the queued commands; return False if one of them is to stop."""
        while self._bell.poll():
            self._bell.recv_bytes()
        while not self._commands.empty():
            command = self._commands.get()
            if command is None:
                return False
            if isinstance(command, Call):
                self._waiting.append(command)
            else:
                self._drop(command)
        return True

    def _assign(self) -> None:
        """Give waiting jobs to idle workers, first come first served; start workers for the rest."""
        while self._waiting:
            job = self._waiting[0]
            running = [slot.job for slot in self._slots if slot.job]
            if running and (job.alone or running[0].alone):
                return
            idle = [slot for slot in self._slots if slot.state == "ready" and not slot.job]
            if job.alone:
                for other in [slot for slot in self._slots if slot is not (idle or self._slots)[0]]:
                    self._stop(other)  # idle workers hold memory too, also that of a GPU
            if not idle:
                self._start(1 if job.alone else len(self._waiting))
                return
            idle[0].job, idle[0].began = self._waiting.popleft(), time.monotonic()
            self._write(idle[0], job.data)

    def _start(self, wanted: int) -> None:
        """Start workers until `wanted` of them are starting or loading, as far as slots are free."""
        coming = sum(slot.state != "ready" for slot in self._slots)
        for _ in range(min(wanted - coming, self.workers - len(self._slots))):
            if self._failure:
                break
            try:
                self._slots.append(
                    _new_slot(self._context, self.threads, self.memory_alone + NEVER_FILLED)
                )
            except OSError as error:
                self._failure = WorkerLost(f"a worker process cannot be started: {error}")
        while self._failure and not self._slots and self._waiting:
            self._waiting.popleft().future.set_exception(self._failure)

    def _write(self, slot: Slot, data: bytes) -> None:
        """Send bytes to a worker that is reading, so that this takes no longer than the copy."""
        with contextlib.suppress(OSError):  # it died: the end of its pipe will say so
            slot.pipe.send_bytes(data)

    def _read(self, slot: Slot) -> None:
        """Take one message, or the end, from a worker's pipe."""
        try:
            data = slot.pipe.recv_bytes()
        except (EOFError, OSError):
            self._lose(slot)
            return
        if slot.state == "starting":  # the message only says that the worker is reading now
            slot.state = "loading"
            self._write(slot, self._factory)
            return
        loaded, answer = guarded(pickle.loads, data)
        ok, value = answer if loaded else (False, answer)
        if slot.job:
            job, slot.job = slot.job, None
            self._finish(slot, job, ok, value)
        elif ok:
            slot.state, self._deaths = "ready", 0
        else:
            self._stop(slot)
            self._failure = value

    def _finish(self, slot: Slot, job: Call, ok: bool, value: Any) -> None:
        """Pass on the answer to a call, unless it ran out of memory."""
        if ok:
            job.future.set_result(value)
        elif is_out_of_memory(value):
            self._stop(slot)  # a fresh process has no fragmented or cached memory, also on a GPU
            self._retry_alone(job, described(value))
        else:
            job.future.set_exception(value)

    def _lose(self, slot: Slot) -> None:
        """Clear up after a worker that died, and run its call again."""
        how, job = _ending(self._stop(slot)), slot.job
        if job is None:
            self._deaths += slot.state != "ready"
            if self._deaths >= LOSSES:
                text = f"{LOSSES} workers died before they were ready; the last {how}"
                self._failure = WorkerLost(text)
            return
        job.losses += 1
        if job.losses < self.losses:
            self._waiting.appendleft(job)
        else:
            lost = f"lost {job.losses} workers; the last" if job.losses > 1 else "its worker"
            job.future.set_exception(WorkerLost(f"{lost} {how}"))

    def _check(self) -> None:
        """At most every `POLL` seconds, check that running calls are alive, in time and in memory."""
        now = time.monotonic()
        if now - self._checked < POLL:
            return
        self._checked = now
        for slot in self._slots[:]:
            job = slot.job
            if job is None or slot.pipe.poll():  # its answer, or its end, is about to be read
                continue
            limit = self.memory_alone if job.alone else self.memory
            if not slot.process.is_alive():  # but a child process of it holds the pipe open
                self._lose(slot)
            elif job.timeout is not None and now - slot.began > job.timeout:
                self._stop(slot)
                text = f"stopped after {job.timeout:g} s: allow more time, or ask for less training"
                job.future.set_exception(TimedOut(text))
            elif (held := memory_of.resident(slot.process.pid)) > limit:
                self._stop(slot)
                self._retry_alone(job, f"it held {_gib(held)}")

    def _retry_alone(self, job: Call, reason: str) -> None:
        """Run a call that ran out of memory once more, without others; then give it up."""
        if not job.alone:
            job.alone = True
            self._waiting.appendleft(job)
            return
        job.future.set_exception(
            OutOfMemory(
                f"out of memory, also as the only worker with a limit of {_gib(self.memory_alone)} "
                f"({reason}): use smaller networks or smaller batches"
            )
        )

    def _drop(self, future: Future[Any]) -> None:
        """Cancel the call of a future, if it is still here."""
        for slot in self._slots[:]:
            if slot.job and slot.job.future is future:
                self._stop(slot)
                future.set_exception(Cancelled("cancelled while it ran"))
        for job in list(self._waiting):
            if job.future is future:
                self._waiting.remove(job)
                future.set_exception(Cancelled("cancelled before it ran"))

    def _stop(self, slot: Slot) -> int | None:
        """Kill a worker, free its slot, return its exit code; the caller settles its job."""
        self._slots.remove(slot)
        slot.pipe.close()
        slot.process.kill()
        slot.process.join(10)  # [s] no longer wait for a process that hangs in the kernel
        code = slot.process.exitcode
        if code is not None:
            slot.process.close()
        return code

    def _close(self) -> None:
        """Kill the workers and cancel the calls."""
        with self._lock:
            self._closed = True
            self._ring.close()
        self._bell.close()
        jobs = [slot.job for slot in self._slots if slot.job] + list(self._waiting)
        while not self._commands.empty():
            command = self._commands.get()
            jobs += [command] if isinstance(command, Call) else []
        for slot in self._slots[:]:
            self._stop(slot)
        for job in jobs:
            job.future.set_exception(Cancelled("the executor was shut down"))


def _new_slot(context: warm.Context, threads: int, data_limit: int) -> Slot:
    here, there = context.Pipe()
    with there, warm.without_main():
        process = context.Process(target=_work, args=(there, threads, data_limit))
        process.start()
    return Slot(process, here)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def _ending(code: int | None) -> str:
    """Describe the end of a process by its exit code."""
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    hint = ": if the machine ran out of memory, use fewer workers" if code == -9 else ""
    return f"was killed by signal {-code}{hint}"


# The functions below run in the worker process.


def _work(pipe: Connection, threads: int, data_limit: int) -> None:
    """Serve a pipe until it ends: make the context first, then answer calls."""
    for name in warm.THREAD_VARIABLES:  # before the factory imports libraries that read them
        os.environ[name] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the coordinator
    _die_with_coordinator()
    _limit_data(data_limit)
    with contextlib.suppress(EOFError, OSError):
        pipe.send_bytes(b"")
        ok, context = guarded(_perform, pipe.recv_bytes())
        pipe.send_bytes(_packed(ok, None if ok else context))
        while ok:
            pipe.send_bytes(_packed(*guarded(_perform, pipe.recv_bytes(), context)))


def _perform(data: bytes, *context: Any) -> Any:
    """Unpickle a function and its arguments, and call it."""
    try:
        call, args = pickle.loads(data)
    except (AttributeError, ImportError) as error:
        raise UserError(
            f"a worker process cannot load what it was sent ({error}): "
            "define it in a module that can be imported, not in the script or notebook itself"
        ) from error
    return call(*context, *args)


def _packed(ok: bool, value: Any) -> bytes:
    """Pickle an answer; one that cannot be pickled becomes a `CandidateFailed`."""
    if not ok:
        value.add_note("".join(["In the worker:\n", *traceback.format_exception(value)]))
    sendable, data = guarded(pickled, (ok, value))
    if sendable and (ok or guarded(pickle.loads, data)[0]):
        return bytes(data)
    error = data if ok else value
    return pickled((False, CandidateFailed(described(error))))


def _die_with_coordinator() -> None:
    """End this process when the coordinator ends, however that happens."""
    if sys.platform == "linux":
        # At once, even while a long computation holds the interpreter. The kernel sends the signal
        # when the thread that started this process ends: the supervising one, which outlives it, or
        # the warm server's, which ends with the coordinator.
        warm.let_go()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def follow() -> None:  # elsewhere, or if the coordinator ended before the line above
        if coordinator := multiprocessing.parent_process():
            coordinator.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _limit_data(size: int) -> None:
    """Let a huge allocation fail at once with a MemoryError, before the machine is out of memory.

    A limit on the address space (RLIMIT_AS) would not do: CUDA reserves far more than it uses.
    """
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ValueError):  # there is a lower limit already
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (size, hard))
