"""Helpers of the checks of all three axes: rules, another process, JSON round trips."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ..types import Facts, freeze

_PROGRAM = """
import json, pickle, sys
sys.path[:] = json.loads(sys.argv[1])
call, args = pickle.load(sys.stdin.buffer)
print(json.dumps(call(*args)))
"""


#: small images, where nothing else is said of the data
IMAGES = Facts("image", "accuracy", input_shape=(2, 7, 6), outputs=3)


def facts_of(task: Any) -> Facts:
    """Return the facts of a task, or of images where there is none."""
    if task is None:
        return IMAGES
    found: Facts = task if isinstance(task, Facts) else task.facts
    return found


def require(condition: object, message: str) -> None:
    """Raise an `AssertionError` with `message` unless `condition` holds, also under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def run_rules(rules: Iterable[Callable[[Any], None]], case: Any) -> None:
    """Run every rule on `case`; the first one that is broken raises an `AssertionError`.

    Whatever else a part raises becomes one too, with the rule that met it.
    """
    for rule in rules:
        try:
            rule(case)
        except AssertionError as error:
            raise AssertionError(f"{case.name}: {error}") from error
        except Exception as error:
            what = (rule.__doc__ or rule.__name__).splitlines()[0]
            raise AssertionError(
                f"{case.name}: {type(error).__name__}: {error} (while checking: {what})"
            ) from error


def name_of(make: Any) -> str:
    """Return the name of a part for messages."""
    if inner := getattr(make, "func", None):  # of functools.partial
        return name_of(inner)
    return getattr(make, "__qualname__", type(make).__name__)


def from_json(value: Any) -> Any:
    """Return `value` after a round trip through JSON."""
    return freeze(json.loads(json.dumps(value)))


def elsewhere(call: Callable[..., Any], *args: Any) -> Any:
    """Return ``call(*args)`` of a fresh process, where text hashes differently.

    The answer comes back as JSON, so its tuples are lists.
    """
    try:
        sent = pickle.dumps((call, args))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AssertionError(
            f"it cannot be sent to another process ({error}): define it in a module that can be "
            "imported"
        ) from error
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "12345" else "12345"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)],
        input=sent,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise AssertionError(f"it fails in another process: {lines[-1]}")
    return json.loads(done.stdout.splitlines()[-1])
