"""What several tests share."""

import os
import subprocess
import sys


def elsewhere(code: str, **environment: str) -> str:
    """What a program prints in a fresh process, where text hashes differently."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "12345", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
