"""Processes that start warm: forked from a server that has imported torch already.

A fresh process needs seconds to import torch, several on a busy machine, and a search starts many: its
workers, others in the place of those that were lost or ran out of time, the proof of an export. On
Linux the server imports torch once, runs none of it, and every process is a copy of it. It knows
nothing of evolvent and of the user's script. Elsewhere, and for a GPU, which no copy could use, a
process starts fresh.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, SpawnContext
from types import ModuleType
from typing import Any

IMPORTED = ("numpy", "torch", "torch._dynamo", "safetensors.torch")  # what every training imports
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: How glibc, where it is, allocates in a worker: by huge pages, and memory up to that size [bytes] is
#: kept for the next step of a training, which would otherwise get it anew, page by page. Read when a
#: program starts; what the user says of the same stands.
TUNABLES = "GLIBC_TUNABLES"
KEPT = 256 << 20
ALLOCATION = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {"hugetlb": 1, "mmap_threshold": KEPT, "trim_threshold": KEPT}.items()
)

Context = ForkServerContext | SpawnContext

_hiding = threading.Lock()

PROGRAM = """
try:
    scope = {}
    exec(source, scope)
    told = True, scope["main"](*arguments)
except BaseException as error:
    told = False, f"{type(error).__name__}: {error}"
pipe.send(told)
"""


class Failed(Exception):
    """A program that was run `alone` raised; the text says what."""


def context(*, fresh: bool = False) -> Context:
    """Return the way to make processes here, as `multiprocessing` has them.

    Args:
        fresh: whether they must not be copies of a warm one, which could use no GPU.
    """
    return get_context("spawn") if fresh or sys.platform != "linux" else get_context("forkserver")


def begin() -> None:
    """Let the server begin to import, if there is one and it does not run yet; return at once."""
    if sys.platform != "linux":
        return
    from multiprocessing import forkserver

    context().set_forkserver_preload([*IMPORTED])
    threads = dict.fromkeys(THREAD_VARIABLES, "1")  # a copy has one thread: there are no others
    with _hiding, _variables(threads | _allocation()):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # that is for this process
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            _end_with_program()


def _allocation() -> dict[str, str]:
    """Return the variable by which a program that starts allocates memory as a worker shall."""
    said = os.environ.get(TUNABLES)
    return {TUNABLES: f"{ALLOCATION}:{said}" if said else ALLOCATION}  # the last one counts


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment for programs that start meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@functools.cache
def _end_with_program() -> None:
    """Have the server ended at the exit, once: after the executors, which came later, have ended."""
    atexit.register(_end)


def _end() -> None:
    """End the server: by itself it first finishes its imports, or takes apart what it imported.

    Whoever reads what this program prints would wait for that.
    """
    from multiprocessing import forkserver

    pid = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def let_go() -> None:
    """Let the server end with the process that began it, though this copy of it still runs."""
    from multiprocessing import forkserver

    server = getattr(forkserver, "_forkserver", None)
    alive = getattr(server, "_forkserver_alive_fd", None)
    if server is not None and alive is not None:
        server._forkserver_alive_fd = None
        os.close(alive)


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Hide the user's script from a process that starts, which would run it again.

    Scripts and notebooks then need no ``if __name__ == "__main__"``. The whole module is replaced
    for a moment, so that code of the script that runs meanwhile keeps its globals. The process
    allocates memory as a worker shall.
    """
    with _hiding, _variables(_allocation()):
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def alone(source: str, arguments: Sequence[Any], *, patience: float | None = None) -> Any:
    """Run ``main(*arguments)`` of a program in a process that has torch alone; return its answer.

    Args:
        source: of the program; it defines ``main``.
        arguments: plain values, and so is what it returns.
        patience: how long it may take; None is as long as it needs. [s]

    Raises:
        Failed: if it raises, or its process ends.
        TimeoutError: if it takes longer than `patience`.
    """
    begin()
    here, there = context().Pipe()
    scope = {"pipe": there, "source": source, "arguments": tuple(arguments)}
    with here:
        with there, without_main():
            process = context().Process(target=exec, args=(PROGRAM, scope))
            process.start()
        try:
            if not here.poll(patience):
                raise TimeoutError
            ok, told = here.recv()
        except EOFError:
            process.join()
            raise Failed(f"its process ended with exit code {process.exitcode}") from None
        finally:
            process.kill()
            process.join()
    if not ok:
        raise Failed(told)
    return told
