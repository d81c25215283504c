"""The machine of a benchmark: what it is, and a command that is waited for on some of its cores."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PATIENCE = (3.0, 120.0)  # times the budget, and so many seconds: what waits longer hangs
SAID = 400  # characters of what a command said last that are kept
LOOK = 0.05  # between looks at whether a command has ended [s]
FEATURES = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


@dataclass(frozen=True)
class Wait:
    """What the wait for a command was like.

    Args:
        code: exit code; None if it hung and was killed.
        took: the whole wait, from the start of the process to its end. [s]
        processor: processor time of it and of its own processes. [s]
        others: processors that others kept busy meanwhile, on average. [count]
        load: average of the last minute before it began. [processes]
        said: the end of what it printed.
    """

    code: int | None
    took: float
    processor: float
    others: float
    load: float
    said: str


def watched(
    command: Sequence[str],
    *,
    cores: int,
    seconds: float,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Wait:
    """Run a command on so many cores, and wait for its end.

    Args:
        command: program and arguments.
        cores: that it may use; the first of this process's own. [count]
        seconds: how long it should take; it is killed after much longer. [s]
        log: file for what it prints.
        environment: variables beside this process's own.

    Raises:
        ValueError: if there are fewer cores.
    """
    mine = sorted(os.sched_getaffinity(0))
    if not 1 <= cores <= len(mine):
        raise ValueError(f"--cores {cores}: this process may use {len(mine)}")
    load, busy, start = os.getloadavg()[0], _busy(), time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(os.environ) | dict(environment or {}),
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, mine[:cores]),
        )
        code, processor = _waited(process, start + PATIENCE[0] * seconds + PATIENCE[1])
    took = time.monotonic() - start
    others = max(0.0, _busy() - busy - processor) / max(took, 1e-9)
    said = log.read_bytes()[-SAID:].decode("utf-8", "replace")
    return Wait(code, round(took, 2), round(processor, 2), round(others, 2), load, said)


def _waited(process: subprocess.Popen[bytes], end: float) -> tuple[int | None, float]:
    """Return exit code and processor seconds of a process, which is killed at `end`."""
    killed = False
    while True:
        id, status, used = os.wait4(process.pid, os.WNOHANG)
        if id:
            process.returncode = os.waitstatus_to_exitcode(status)
            return None if killed else process.returncode, used.ru_utime + used.ru_stime
        if time.monotonic() > end and not killed:
            killed = True
            os.killpg(process.pid, signal.SIGKILL)  # it began a session: these are its own
        time.sleep(LOOK)


def _busy() -> float:
    """Return the seconds that all processors have been busy since the machine started. [s]"""
    told = psutil.cpu_times()._asdict()
    return float(sum(told.get(name, 0.0) for name in ("user", "nice", "system", "irq", "softirq")))


def machine() -> dict[str, Any]:
    """Return model, fast instructions and cores of this machine, and the version of torch."""
    from importlib.metadata import version

    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    model = re.search(r"^model name\s*:\s*(.*)$", text, flags=re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.*)$", text, flags=re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "features": [name for name in FEATURES if name in known],
        "cores": len(os.sched_getaffinity(0)),
        "torch": version("torch"),
    }


def named(told: Mapping[str, Any]) -> str:
    """Return a `machine` in one line."""
    amx = "with AMX" if "amx_bf16" in told["features"] else "without AMX"
    return f"{told['cores']} cores of {told['cpu']} {amx}, torch {told['torch']}"
