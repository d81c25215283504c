"""Memory of this machine and of processes: from /proc where there is one, else by psutil.

A worker on another machine has no psutil, and needs none on Linux.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

PROC = Path("/proc")


def available() -> int:
    """Return the memory that new processes may fill. [bytes]"""
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return int(_psutil().virtual_memory().available)


def resident(pid: int | None) -> int:
    """Return the resident memory of a process; 0 if it has just died. [bytes]"""
    if (PROC / "self/statm").exists():
        try:
            return int((PROC / f"{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0
    psutil = _psutil()
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _psutil() -> Any:
    return importlib.import_module("psutil")
