"""Let three candidates in ten go wrong, each in another way, and compare the others with a run without.

    python -m benchmarks.faults [--trials 60] [--seed 0] [--workers 2] [--task digits]

Random search over cells, every candidate trained anew, seeded by its id: whether a candidate is asked,
and what it scores, does not depend on the others. Faults: an exception, a score that is no number, a
training that hangs beyond its time-out, a process that kills itself, more memory than there may be.
Checked: exactly as many trials as the budget has; every fault is a failed result that says why; every
other candidate has the score of the run without faults, to the last bit.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolvent.estimator import Evaluation
from evolvent.estimator.full import Full
from evolvent.run import Run
from evolvent.session import search
from evolvent.types import Candidate, State, stream

SHARE = 0.3  # of the candidates
TIMEOUT = 10.0  # [s]
HUGE = 1 << 42  # [bytes]
#: fault -> a part of the reason that the user must be told
REASONS = {
    "raise": "ZeroDivisionError: by design",
    "nan": "the score is nan",
    "hang": "stopped after",
    "kill": "killed by signal 9",
    "memory": "out of memory",
}


def fault_of(id: int) -> str | None:
    """Return the fault of the candidate with that id, or None."""
    rng = stream("fault", id)
    return rng.choice([*REASONS]) if rng.random() < SHARE else None


class Faulty(Full):
    """Trains as `Full` does, but for the candidates whose fate is another one."""

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Train a candidate, or let it go wrong."""
        fault = fault_of(candidate.id)
        match fault:
            case "raise":
                raise ZeroDivisionError("by design")
            case "hang":
                time.sleep(3600)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "memory":
                bytearray(HUGE)
        found = super().evaluate(candidate, inherited)
        if fault == "nan":
            return replace(found, result=replace(found.result, score=float("nan")))
        return found


def run(folder: Path, estimator: str, **given: Any) -> Run:
    """Search with an estimator; return the finished run.

    Args:
        folder: for the run.
        estimator: of the search.
        given: ``task``, ``trials``, ``seed`` and ``workers``, and ``timeout`` of a candidate. [s]
    """
    return search(
        given["task"],
        space="cell",
        strategy="random",
        estimator=estimator,
        budget=f"{given['trials']}t",
        workers=given["workers"],
        seed=given["seed"],
        out=folder,
        settings={
            "space": {"nodes": 2},
            "estimator": {
                "epochs": 0.2,
                "width": 4,
                "cells": 1,
                "precision": "float32",  # these two would follow from a measurement of each run
                "equal": "epochs",
                "timeout": given.get("timeout", TIMEOUT),
            },
            "train": {
                "epochs": 0.2,
                "finalists": 1,
                "controls": False,
                "onnx": False,
                "proof": False,
            },
        },
    )


def compared(folder: Path, **given: Any) -> Counter[str]:
    """Search with and without faults; return how often each was met.

    Args:
        folder: for both runs.
        given: as in `run`.

    Raises:
        AssertionError: if a fault is not told as what it was, or another score differs.
    """
    good = {row["id"]: row for row in run(folder / "without", "full", **given).candidates()}
    rows = run(folder / "with", "benchmarks.faults:Faulty", **given).candidates()
    counts: Counter[str] = Counter()
    assert [row["id"] for row in sorted(rows, key=lambda row: row["id"])] == [
        *range(given["trials"])
    ]
    for row in rows:
        fault, other = fault_of(row["id"]), good[row["id"]]
        counts[fault or "none"] += 1
        assert row["arch"] == other["arch"], f"candidate {row['id']} is another one"
        if fault is None:
            assert (row["status"], row["score"]) == ("ok", other["score"]), row
        else:
            assert row["status"] == "failed" and REASONS[fault] in row["reason"], row
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = compared(Path(folder), **vars(given))
    faults = ", ".join(
        f"{count} {name}" for name, count in sorted(counts.items()) if name != "none"
    )
    print(
        f"{given.trials} trials, as many as the budget has; {faults}: each a failed result with its "
        f"reason; the other {counts['none']} have the scores of the run without faults"
    )


if __name__ == "__main__":
    main()
