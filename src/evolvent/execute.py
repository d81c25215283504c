"""Where calls run: in this process (`Inline`), or in processes of this machine (`LocalSlots`).

::

    any thread          supervising thread                       worker process, one per slot
    submit, cancel -->  waiting jobs, slots, clock  -- call -->  call(context, *args)
    future         <--  retries, limits, kills      <- answer -

The supervising thread owns all state; other threads only leave it commands. An attempt that is
given up is killed and its pipe closed, so that a late answer of it has no way in.
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
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from types import ModuleType
from typing import Any, Literal, Protocol, Self, TypeVar

import psutil

from .errors import CandidateFailed, SettingError, UserError, is_out_of_memory

T = TypeVar("T")

LOSSES = 3  # [count] dead workers after which a call, or the start of workers, is given up
POLL = 0.25  # [s] between two looks at the memory and the time of what runs
SHARE = 0.8  # of the memory available at the start: what all workers together may hold
SLACK = 4 << 30  # [bytes] of address space that libraries may map and never fill
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PR_SET_PDEATHSIG = 1  # of linux/prctl.h

_spawn = multiprocessing.get_context("spawn")
_hiding = threading.Lock()


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
        self._context = self._context or _guarded(self._factory)
        ok, value = self._context
        if ok:
            ok, value = _guarded(call, value, *args)
        future: Future[T] = Future()
        if ok:
            future.set_result(value)
        else:
            future.set_exception(OutOfMemory(_text(value)) if is_out_of_memory(value) else value)
        return future

    def cancel(self, future: Future[Any]) -> None:
        """Do nothing: every future is done."""

    def shutdown(self) -> None:
        """Forget the context."""
        self._context = None


@dataclass(eq=False)
class Job:
    """A submitted call."""

    data: bytes  # the pickled call and its arguments: the same for every attempt
    timeout: float | None  # [s] of one attempt
    future: Future[Any] = field(default_factory=Future)
    losses: int = 0  # [count] workers that died under it
    alone: bool = False  # it ran out of memory once: nothing else may run beside it


@dataclass(eq=False)
class Slot:
    """A living worker: it starts, loads its context, and is ready for one job after the other."""

    process: SpawnProcess
    pipe: Connection
    state: Literal["starting", "loading", "ready"] = "starting"
    job: Job | None = None
    began: float = 0.0  # [s, monotonic] when the job was sent


class LocalSlots(Executor):
    """Runs calls in processes of this machine, which start as work arrives and are reused.

    A call that raises, runs over its time or memory, or kills its worker disturbs no other call.
    One that loses its worker is tried three times; one that runs out of memory twice, the second
    time alone: after all that run, before all that wait, as the only worker. A worker does not run
    the user's script again, and it dies with the coordinator, however that ends.

    Args:
        factory: picklable; makes the context, once per worker. If it raises, no further worker is
            started; once none is left, every call gets its exception.
        workers: at most so many processes. [count, >= 1]
        memory: that one worker may hold, resident [bytes, >= 1]; by default its share of 80 % of
            what is available now. A call that runs alone may have all of that.
        threads: for the numerical libraries (OpenMP, MKL, OpenBLAS) of one worker. [count, >= 1]

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
    ) -> None:
        for name, value in {"workers": workers, "memory": memory, "threads": threads}.items():
            if value is not None and value < 1:
                raise SettingError(f"{name}={value} must be at least 1")
        everything = int(SHARE * psutil.virtual_memory().available)
        self.workers, self.threads = workers, threads
        self.memory = memory or everything // workers  # [bytes] of a worker among others
        self.memory_alone = max(self.memory, everything)  # [bytes] of one that runs alone
        self._factory = _pickled((factory, ()))
        self._waiting: deque[Job] = deque()
        self._slots: list[Slot] = []
        self._failure: Exception | None = None  # why no further worker is started
        self._deaths = 0  # [count] of workers in a row that died before they were ready
        self._checked = 0.0  # [s, monotonic] when `_check` last looked
        self._commands: SimpleQueue[Job | Future[Any] | None] = SimpleQueue()
        self._bell, self._ring = _spawn.Pipe(duplex=False)  # wakes the supervising thread
        self._lock, self._closed = threading.Lock(), False  # of the two lines above
        self._thread = threading.Thread(target=self._supervise, name="evolvent-slots", daemon=True)
        self._thread.start()
        atexit.register(self.shutdown)  # before multiprocessing's own, which waits for workers

    def submit(
        self, call: Callable[..., T], /, *args: Any, timeout: float | None = None
    ) -> Future[T]:
        """Run ``call(context, *args)`` in a worker, as `Executor` says."""
        job = Job(_pickled((call, args)), timeout)
        job.future.set_running_or_notify_cancel()  # from here on only `cancel` can stop it
        if not self._tell(job):
            raise RuntimeError("this executor is shut down: make a new one")
        return job.future

    def cancel(self, future: Future[Any]) -> None:
        """Kill what runs a call, or forget it if it waits: its future gets `Cancelled`, soon."""
        self._tell(future)

    def shutdown(self) -> None:
        """Kill all workers; unfinished futures get `Cancelled`. A second time does nothing."""
        self._tell(None)
        self._thread.join()
        atexit.unregister(self.shutdown)

    def _tell(self, command: Job | Future[Any] | None) -> bool:
        """Leave a command: a job to run, a future to cancel, None to stop. False if too late."""
        with self._lock:
            if not self._closed:
                self._commands.put(command)
                self._ring.send_bytes(b"")
            return not self._closed

    # What follows is run by the supervising thread only.

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
        """Take in the commands; return False when told to stop."""
        while self._bell.poll():
            self._bell.recv_bytes()
        while not self._commands.empty():
            command = self._commands.get()
            if command is None:
                return False
            if isinstance(command, Job):
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
        """Start workers until `wanted` are about to be ready, as far as there are slots."""
        coming = sum(slot.state != "ready" for slot in self._slots)
        for _ in range(min(wanted - coming, self.workers - len(self._slots))):
            if self._failure:
                break
            try:
                self._slots.append(_new_slot(self.threads, self.memory_alone + SLACK))
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
        if slot.state == "starting":  # the message says no more than that it is reading now
            slot.state = "loading"
            self._write(slot, self._factory)
            return
        loaded, answer = _guarded(pickle.loads, data)
        ok, value = answer if loaded else (False, answer)
        if slot.job:
            job, slot.job = slot.job, None
            self._finish(slot, job, ok, value)
        elif ok:
            slot.state, self._deaths = "ready", 0
        else:
            self._stop(slot)
            self._failure = value

    def _finish(self, slot: Slot, job: Job, ok: bool, value: Any) -> None:
        """Pass on the answer to a call, unless it ran out of memory."""
        if ok:
            job.future.set_result(value)
        elif is_out_of_memory(value):
            self._stop(slot)  # a fresh process has no fragments and no cache, also on a GPU
            self._retry_alone(job, _text(value))
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
        if job.losses < LOSSES:
            self._waiting.appendleft(job)
        else:
            job.future.set_exception(WorkerLost(f"lost {LOSSES} workers; the last {how}"))

    def _check(self) -> None:
        """Every now and then: is what runs alive, within its time, within its memory?"""
        now = time.monotonic()
        if now - self._checked < POLL:
            return
        self._checked = now
        for slot in self._slots[:]:
            job = slot.job
            if job is None or slot.pipe.poll():  # its answer, or its end, is about to be read
                continue
            limit = self.memory_alone if job.alone else self.memory
            if not slot.process.is_alive():  # and a child of its own holds the pipe open
                self._lose(slot)
            elif job.timeout is not None and now - slot.began > job.timeout:
                self._stop(slot)
                text = f"stopped after {job.timeout:g} s: allow more time, or ask for less training"
                job.future.set_exception(TimedOut(text))
            elif (held := _resident(slot.process)) > limit:
                self._stop(slot)
                self._retry_alone(job, f"it held {_gib(held)}")

    def _retry_alone(self, job: Job, reason: str) -> None:
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
        """Kill a worker, free its slot, return its exit code; its job is the caller's to settle."""
        self._slots.remove(slot)
        slot.pipe.close()
        slot.process.kill()
        slot.process.join(10)  # [s] a process that hangs in the kernel is left to itself
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
            jobs += [command] if isinstance(command, Job) else []
        for slot in self._slots[:]:
            self._stop(slot)
        for job in jobs:
            job.future.set_exception(Cancelled("the executor was shut down"))


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


def _new_slot(threads: int, data_limit: int) -> Slot:
    here, there = _spawn.Pipe()
    with there, _without_main():
        process = _spawn.Process(target=_work, args=(there, threads, data_limit))
        process.start()
    return Slot(process, here)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the user's script from spawn, which would run it again in the worker.

    Scripts and notebooks then need no ``if __name__ == "__main__"``. A stand-in takes the place of
    the whole module, so that code of the script that runs meanwhile keeps its globals.
    """
    with _hiding:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _resident(process: SpawnProcess) -> int:
    """Return what a process holds in memory; 0 if it has just died [bytes]."""
    try:
        return int(psutil.Process(process.pid).memory_info().rss)
    except psutil.Error:
        return 0


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def _ending(code: int | None) -> str:
    """Say how a process ended."""
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    hint = ": if the machine ran out of memory, use fewer workers" if code == -9 else ""
    return f"was killed by signal {-code}{hint}"


def _guarded(call: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
    """Return (True, result) or (False, exception): what a call raises ends nothing but itself."""
    try:
        return True, call(*args)
    except SystemExit as error:  # it would end the coordinator when the future is read
        return False, CandidateFailed(f"SystemExit: {error}")
    except Exception as error:  # noqa: BLE001 - this is the guard
        return False, error


# What a worker runs.


def _work(pipe: Connection, threads: int, data_limit: int) -> None:
    """Serve a pipe until it ends: make the context first, then answer calls."""
    for name in THREAD_VARIABLES:  # before the factory imports what reads them
        os.environ[name] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the coordinator
    _die_with_coordinator()
    _limit_data(data_limit)
    with contextlib.suppress(EOFError, OSError):
        pipe.send_bytes(b"")
        ok, context = _guarded(_perform, pipe.recv_bytes())
        pipe.send_bytes(_packed(ok, None if ok else context))
        while ok:
            pipe.send_bytes(_packed(*_guarded(_perform, pipe.recv_bytes(), context)))


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
    """Pickle an answer; one that cannot travel becomes a `CandidateFailed` that can."""
    if not ok:
        value.add_note("".join(["In the worker:\n", *traceback.format_exception(value)]))
    sendable, data = _guarded(_pickled, (ok, value))
    if sendable and (ok or _guarded(pickle.loads, data)[0]):
        return bytes(data)
    error = data if ok else value
    return _pickled((False, CandidateFailed(_text(error))))


def _die_with_coordinator() -> None:
    """End this process when the coordinator ends, however that happens."""
    if sys.platform == "linux":
        # At once, even while a long computation holds the interpreter. The signal comes when the
        # thread ends that started this process: the supervising one, which lives as long as we may.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def follow() -> None:  # elsewhere, or if the coordinator ended before the line above
        if coordinator := multiprocessing.parent_process():
            coordinator.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _limit_data(size: int) -> None:
    """Let an absurd allocation fail at once with a MemoryError, before the machine runs dry.

    The address space as a whole (RLIMIT_AS) says nothing: CUDA reserves far more than it uses.
    """
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ValueError):  # there is a lower limit already
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (size, hard))
