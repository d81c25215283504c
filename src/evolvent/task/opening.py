"""From what the user calls a task to the task: a table, a named data set, or a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from . import Task, control

#: kind of name -> the settings that its reader takes (`--set task.name=value`).
SETTINGS: dict[str, dict[str, Any]] = {
    "control": {},
    "table": {"score": str, "test": str, "cost": str},
    "data": {
        "seed": int,
        "validation": float,
        "fraction": float,
        "flip": bool,
        "size": int,
    },
}


def settings_of(name: str) -> dict[str, Any]:
    """Return name -> type of the settings that the task `name` takes."""
    if name in control.NAMES:
        return SETTINGS["control"]
    return SETTINGS["table" if name.startswith("table:") else "data"]


def names() -> dict[str, str]:
    """Return every built-in and public task by name, and what it is."""
    from .named import NAMES

    return NAMES | control.NAMES


def open_task(name: str | os.PathLike[str], settings: Mapping[str, Any]) -> Task:
    """Return the task that the user means by `name`, read with `settings`."""
    text = os.fspath(name)
    if text in control.NAMES:
        return control.load(text)  # type: ignore[return-value]
    if text.startswith("table:"):
        from .tables import load_table

        return load_table(text.removeprefix("table:"), **settings)  # type: ignore[return-value]
    from .named import load

    return load(text, **settings)
