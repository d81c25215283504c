"""What several tests share."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


def elsewhere(code: str, **environment: str) -> str:
    """What a program prints in a fresh process, where text hashes differently."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "12345", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """What is started here heeds interrupts, however the tests were started.

    A shell lets what it runs in the background ignore them, and whatever that starts in turn.
    """
    own = signal.signal(signal.SIGINT, signal.default_int_handler)  # handlers are not inherited
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, own)
