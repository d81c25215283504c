"""What several tests share."""

import os
import subprocess
import sys
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
