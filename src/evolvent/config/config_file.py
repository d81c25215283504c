"""``config.yaml``: the setup of a run, written once and only read after that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import RunError
from ..files import write_atomically

FORMAT = 2  # of config.yaml and the log; runs of another one can be read, not continued
FILE = "config.yaml"
NEEDED = {"request", "seed", "data", "recipe", "budget", "space", "strategy", "estimator", "train"}


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a run's ``config.yaml``.

    Raises:
        RunError: if the file is missing, damaged, or not the config of a run.
    """
    file = folder / FILE
    if not file.is_file():
        raise RunError(f"{folder} is not a run: it holds no config.yaml; check the path")
    try:
        config = yaml.safe_load(file.read_text())
        if not isinstance(config, dict) or not NEEDED.issubset(config):
            raise RunError(
                f"{file} is not the config of a run: restore it, or choose another --out"
            )
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise RunError(
            f"{file} is damaged ({what}): restore it, or choose another --out"
        ) from error
    return config


def check_format(folder: Path) -> None:
    """Refuse to continue a run of another format.

    Raises:
        RunError: naming the version that wrote it.
    """
    config = read_config(folder)
    if (found := config.get("format", 1)) != FORMAT:
        version = config.get("versions", {}).get("evolvent", "an unknown version")
        raise RunError(
            f"{folder} was written by evolvent {version} (format {found}), this version continues "
            f"format {FORMAT}: `show` and `report` still read it; to go on, use that version"
        )


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.yaml``, whole or not at all."""
    write_atomically(folder / FILE, yaml.safe_dump(dict(config), sort_keys=False))
