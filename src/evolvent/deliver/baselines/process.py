"""A process of its own that fits baselines, within limits of processor seconds and memory."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import psutil

from .fitting import NAMES, Rows

ONE = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")  # libraries that have threads
MEMORY = 0.5  # of what is free at the start: the most that the process may hold
PATIENCE = 3.0  # wall seconds per processor second that are waited for on a busy machine
LOOK = 0.05  # between two looks at the process [s]


@dataclass(frozen=True)
class Fitted:
    """The outputs of a baseline, or the reason for which it has none.

    Args:
        validation: its outputs for the validation rows, when it had learnt from the training rows
            alone [N, outputs] float64; None if it was left out.
        test: its outputs for the test rows, when it had learnt from both; None without test rows or
            time.
        seconds: of fitting on the training rows and answering, of one core. [s]
        left_out: why it has no outputs; empty if it has.
    """

    validation: np.ndarray | None = None
    test: np.ndarray | None = None
    seconds: float | None = None
    left_out: str = ""


def fitted(rows: Rows, limit: float) -> dict[str, Fitted]:
    """Fit all baselines of a kind of data; return name -> what it came to, in the order of fitting.

    Args:
        rows: of the task.
        limit: processor seconds for all of them, with one thread. [s]
    """
    with tempfile.TemporaryDirectory(prefix="evolvent-") as place:
        folder = Path(place)
        end = _run(folder, pickle.dumps(rows, protocol=5), limit)
        return {name: _outcome(folder, name, end) for name in NAMES[rows.kind]}


def _run(folder: Path, rows: bytes, limit: float) -> str:
    """Run the process to its end or its limits; return why it ended before, in a few words.

    The rows go through a pipe, which nobody else can write to, as a file could be written to.
    """
    threads = {f"{each}_NUM_THREADS": "1" for each in ONE}
    command = [sys.executable, "-m", "evolvent.deliver.baselines.fitting", str(folder)]
    paths = os.pathsep.join(each for each in sys.path if each)
    with (folder / "errors").open("w") as errors:
        started = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **threads, "PYTHONPATH": paths},
        )
        sending = threading.Thread(target=_send, args=(started.stdin, rows), daemon=True)
        sending.start()
        try:
            end = _watched(started, limit)
        finally:
            if started.poll() is None:
                started.kill()
            started.wait()
            sending.join()  # it ends at once when nobody reads any more
    if end or started.returncode == 0:
        return end
    lines = (folder / "errors").read_text(errors="replace").strip().splitlines()
    return (
        f"its process ended with code {started.returncode} ({(lines or ['no reason'])[-1][:160]})"
    )


def _send(pipe: IO[bytes] | None, rows: bytes) -> None:
    """Write rows to a process, which may end before it has read them."""
    assert pipe is not None
    with contextlib.suppress(OSError), pipe:
        pipe.write(rows)


def _watched(started: subprocess.Popen[bytes], limit: float) -> str:
    """Wait for the end of a process or for one of its limits, which is returned in words."""
    most = MEMORY * psutil.virtual_memory().available
    began = time.monotonic()
    for used, held in _looks(started):
        if used > limit:
            return f"not done within {limit:.3g} s of one core, a tenth of the budget"
        if time.monotonic() - began > PATIENCE * limit:
            return f"the busy machine gave it {used:.3g} s of one core in {PATIENCE * limit:.3g} s"
        if held > most:
            return "it needs more than half of the free memory"
    return ""


def _looks(started: subprocess.Popen[bytes]) -> Iterator[tuple[float, int]]:
    """Yield processor seconds [s] and memory [bytes] of a process while it runs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        seen = psutil.Process(started.pid)
        while started.poll() is None:
            times = seen.cpu_times()
            yield times.user + times.system, seen.memory_info().rss
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(LOOK)


def _outcome(folder: Path, name: str, end: str) -> Fitted:
    file = folder / f"{name}.json"
    told = json.loads(file.read_text()) if file.is_file() else {}
    parts = [folder / f"{name}.{part}.npy" for part in ("validation", "test")]
    validation, test = (np.load(part) if part.is_file() else None for part in parts)
    if "failure" in told or validation is None or "seconds" not in told:
        return Fitted(left_out=told.get("failure") or end or "it gave no answer")
    return Fitted(validation, test, told["seconds"])
