"""Terms of coordinator and agent: version, limits, intervals, and the calls that are sent.

Every request is a POST with ``Authorization: Bearer TOKEN``. Small bodies are JSON, calls and answers
messages (`wire`).

=============================  ====================================================================
``/join``                      version, name, slots -> id, lease, spec; 409 with a line: another version
``/spec``, ``/data/SHA256``    the spec of the search, and the arrays that it names
``/lease``                     worker -> a call with its fence, or 204 after a while
``/beat``                      worker, held fences -> ended fences, moved fences
``/answer``                    the answer of a call -> whether it was taken
``/failed``                    fence, how, reason -> whether it was taken
``/leave``                     worker, reason
=============================  ====================================================================

401: the token is wrong. 404: the worker must join (again). 410: all is over. 413: too large. 425: ask
again in a second. 400: malformed. The body of each is one line.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

PROTOCOL = 1
PORT = 8777
MOST_JSON = 1 << 20  # [bytes] of a body that is JSON
MOST_MESSAGE = 1 << 30  # [bytes] of a call or an answer: weights are most of it
MOST_REASON = 2000  # [characters]
LEASE = 30.0  # [s] without a word, after which a worker is lost
BEATS = 6  # [count] in a lease
HELD = 10.0  # [s] that a request for a call is held open while none waits
FENCE, DIGEST, WORKER = "x-evolvent-fence", "x-evolvent-digest", "x-evolvent-worker"
TIMEOUT, NOW, NAME = "x-evolvent-timeout", "x-evolvent-now", "x-evolvent-name"
#: names of the functions that can be called on another machine -> their modules
CALLS: Mapping[str, str] = {
    "evaluate_many": "execute.worker",
    "fit": "execute.worker",
    "fit_pack": "execute.packs",
    "play": "comparison.play",
}


@cache
def code() -> str:
    """Return a hash of this package's sources: equal versions compute equal results."""
    found = hashlib.sha256()
    root = Path(__file__).parents[2]
    for file in sorted(root.rglob("*.py")):
        found.update(f"{file.relative_to(root).as_posix()}\n".encode())
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def version() -> dict[str, Any]:
    """Return the versions and sources that must be equal on both sides."""
    package = importlib.import_module(__package__.partition(".")[0])
    return {"evolvent": package.__version__, "code": code(), "protocol": PROTOCOL}


def described(told: Mapping[str, Any]) -> str:
    """Return a version in words, whoever told it."""
    name, digest = str(told.get("evolvent"))[:40], str(told.get("code"))[:16]
    return f"evolvent {name} (sources {digest}, protocol {str(told.get('protocol'))[:8]})"


def function(name: str) -> Callable[..., Any]:
    """Return a function of `CALLS`; only now is what it needs imported.

    Raises:
        KeyError: if that name is not among them.
    """
    root = __package__.partition(".")[0]
    found: Callable[..., Any] = getattr(importlib.import_module(f"{root}.{CALLS[name]}"), name)
    return found


def calls() -> Mapping[str, Callable[..., Any]]:
    """Return the functions that can be called on another machine, by name."""
    return MappingProxyType({name: function(name) for name in CALLS})
