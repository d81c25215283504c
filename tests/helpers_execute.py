"""Contexts and calls for the tests of executors: a worker imports them by name."""

import importlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from pathlib import Path


def nothing():
    return None


def number():
    return 42


def counted(folder):
    """Leave one file per context made, so that a test can count them."""
    (Path(folder) / f"context-{os.getpid()}").touch()


def broken():
    raise LookupError("no such data set")


def deadly():
    os._exit(5)


def slow():
    time.sleep(2)


def slow_but_the_first(folder):
    """Make the first worker ready at once, and any other much later."""
    if attempt(folder) > 1:
        time.sleep(60)


def same(context, value):
    return value


def given(context, *args):
    return (context, *args)


def worker(context):
    return os.getpid()


def rest(context, seconds):
    time.sleep(seconds)
    return os.getpid()


def fail(context, text):
    raise ValueError(text)


class Awkward(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, left, right):
        super().__init__(f"{left} and {right}")


def awkward(context):
    raise Awkward(1, 2)


def unsendable(context):
    return lambda: None


class Poison:
    """Pickles, but raises when it is loaded."""

    def __reduce__(self):
        return (int, ("poison",))


def poison(context):
    return Poison()


def leave(context, code):
    sys.exit(code)


def attempt(folder):
    """Count the attempts of a call: return which one this is."""
    count = len(list(Path(folder).glob("attempt*"))) + 1
    (Path(folder) / f"attempt{count}").touch()
    return count


def die(context, folder, lives, how):
    """Die in the first `lives` attempts; then return which attempt this is."""
    number = attempt(folder)
    if number <= lives:
        if how == "exit":
            os._exit(3)
        if how == "orphan":  # leaves a child that holds the pipe open
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
            child.start()
            (Path(folder) / "orphan").write_text(str(child.pid))
        os.kill(os.getpid(), signal.SIGSEGV if how == "segfault" else signal.SIGKILL)
    return number


def hold(context, size, folder, seconds):
    """Fill memory for a while; return which attempt this is, and how much was filled."""
    number = attempt(folder)
    filled = b"\1" * size
    time.sleep(seconds)
    return number, len(filled)


def starve(context, text, folder, times):
    """Run out of memory in the first attempts, as torch says it."""
    number = attempt(folder)
    if number <= times:
        raise RuntimeError(text)
    return number


def ask(context, size):
    return len(bytearray(size))


def data_limit(context):
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


def span(context, seconds):
    """Return when this started and ended."""
    start = time.monotonic()
    time.sleep(seconds)
    return start, time.monotonic()


def lonely(context, folder):
    """Run out of memory once; then return when it ran."""
    if attempt(folder) == 1:
        raise MemoryError
    return span(context, 0.5)


def torch_threads(context):
    import torch

    pools = importlib.import_module("threadpoolctl").threadpool_info()
    return torch.get_num_threads(), {pool["num_threads"] for pool in pools}


def interrupt(context):
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"


def announce(context, path):
    """Say which process this is, then compute without end in one call that keeps the interpreter."""
    Path(path).write_text(str(os.getpid()))
    sum(range(10**13))
