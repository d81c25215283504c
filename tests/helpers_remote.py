"""Parts for the tests of workers elsewhere, which import them by name, and such workers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tests.helpers import heeding_interrupts
from tests.helpers_cli import environment
from tests.helpers_failures import Scored

from evolvent.estimator import Evaluation

TOKEN = "token of the tests"
WIDTHS, PACED = "tests.helpers_failures:Widths", "tests.helpers_remote:Paced"


class Paced(Scored):
    """Takes as many units of time as a width says; notes who began in a folder; inherits a sum."""

    def __init__(
        self,
        space,
        task,
        *,
        seed: int = 0,
        device: str = "cpu",
        folder: str = "",
        unit: float = 0.1,
    ):
        super().__init__(space, task, seed=seed)
        self.folder, self.unit = Path(folder), unit

    def evaluate(self, candidate, inherited):
        mark = self.folder / f"{candidate.id}-{os.getpid()}-{os.getppid()}"
        mark.touch()
        if candidate.note == "die":
            os.kill(os.getpid(), 9)
        if candidate.note == "raise":
            raise MemoryError("out of memory, by design")
        time.sleep(candidate.arch[0] * self.unit)
        mark.with_suffix(".done").touch()
        evaluation = super().evaluate(candidate, inherited)
        total = sum(state["sum"] for state in inherited.values()) + np.float32(candidate.id)
        return Evaluation(evaluation.result, {"sum": np.asarray(total, np.float32)})


def started(url, *words, token=TOKEN, cwd=None, module="evolvent.execute.remote"):
    """A worker that has just begun."""
    with heeding_interrupts():
        return subprocess.Popen(
            [sys.executable, "-m", module, url, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=environment(EVOLVENT_TOKEN=token, OMP_NUM_THREADS="1"),
            start_new_session=True,
        )
