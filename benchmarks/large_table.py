"""A large table within a short budget: does the wait end in time, and what memory does it take?

    python benchmarks/large_table.py --out runs/large [--rows 300000] [--columns 42] [--budget 60]

Writes a CSV of numbers and categories (one with a tenth as many values as there are rows), searches it,
and prints the seconds from the start of the program to its end, the first trial, and the peak of the
memory of all its processes. The exit code is 1 if it ended later than the clock rule allows.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from evolvent.config.clock import lateness


def written(file: Path, rows: int, columns: int) -> None:
    """Write the table: a third of the columns are categories, the target is a noisy quantity's sign."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns))
    names = [f"c{index}" for index in range(columns)]
    many = rng.integers(0, max(2, rows // 10), rows)
    effect = rng.normal(size=many.max() + 1)
    y = x[:, 0] * x[:, 1] + x[:, 2] + effect[many] + rng.normal(size=rows) > 0
    texts = [[f"{value:.6g}" for value in x[:, index]] for index in range(columns)]
    for index in range(3, columns, 6):
        texts[index] = [f"kind {value}" for value in rng.integers(0, 9, rows)]
    texts[4] = [f"shop {value}" for value in many]
    with file.open("w") as out:
        out.write(",".join([*names, "bought"]) + "\n")
        for row, label in zip(zip(*texts, strict=True), y, strict=True):
            out.write(",".join(row) + (",yes\n" if label else ",no\n"))


def memory(process: psutil.Process) -> int:
    """Return the memory that a process and all below it hold for themselves. [bytes]"""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += each.memory_full_info().pss
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--columns", type=int, default=42)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / f"{given.rows}x{given.columns}.csv"
    if not file.is_file():
        written(file, given.rows, given.columns)
    command = [sys.executable, "-m", "evolvent.cli", "search", str(file), "--target", "bought"]
    command += ["--budget", f"{given.budget}s", "--workers", str(given.workers)]
    command += ["--out", str(given.out / f"run-{time.time():.0f}")]
    log = given.out / "said.txt"
    start, peak, first = time.monotonic(), 0, None
    with log.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, memory(watched))
            if first is None and " parameters " in log.read_text():
                first = time.monotonic() - start
            time.sleep(0.2)
    took = time.monotonic() - start
    print(log.read_text())
    told = "none" if first is None else f"{first:.1f} s"
    print(
        f"{file.stat().st_size / 1e6:.0f} MB, budget {given.budget} s: ended after {took:.1f} s, "
        f"first trial {told}, peak memory {peak / 2**30:.2f} GiB, load {psutil.getloadavg()[0]:.1f}"
    )
    sys.exit(bool(process.returncode or took > given.budget + lateness(given.budget)))


if __name__ == "__main__":
    main()
