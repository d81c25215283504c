"""The versions that a result depends on."""

from __future__ import annotations

import os
import platform


def versions() -> dict[str, str]:
    """Return the versions that a result depends on, and the machine."""
    import numpy
    import torch

    from .. import __version__

    return {
        "evolvent": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
