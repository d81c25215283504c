"""The command line as a user has it: another process."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers import ROOT, heeding_interrupts

PATIENCE = 240.0  # [s] long enough for a busy machine; no test depends on it
TINY = (
    *("--set", "estimator.epochs=3", "--set", "estimator.width=4"),
    *("--set", "train.epochs=8", "--set", "train.finalists=2", "--set", "train.onnx=false"),
)


def environment(**more: str) -> dict[str, str]:
    """The environment in which the package and its tests can be imported from anywhere."""
    path = [str(ROOT / "src"), str(ROOT), *(str(Path(place).absolute()) for place in sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "COLUMNS": "200", **more}


def command(*words: object) -> list[str]:
    """The words of a command."""
    return [sys.executable, "-m", "evolvent.cli", *map(str, words)]


def evolvent(
    *words: object, cwd: Path | None = None, patience: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, or for so many seconds at most."""
    return subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        check=False,
        timeout=patience,
        cwd=cwd,
        env=environment(),
    )


def start(*words: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Begin a command; its progress can be read from stderr, its group interrupted alone."""
    with heeding_interrupts():
        return subprocess.Popen(
            command(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=environment(),
            start_new_session=True,
        )
