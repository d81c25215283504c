"""Neural architecture search for one machine and your own data.

    import evolvent as ev
    run = ev.search("digits", budget="2m")
    net = run.best.load()                      # a plain torch.nn.Module

Importing this package does not import torch: names are loaded when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from .comparison.paired import compare
    from .errors import EvolventError, UserError
    from .run import Run
    from .session import resume, search
    from .types import Budget, Candidate, Result

_HOME = {
    "search": "session",
    "resume": "session",
    "compare": "comparison.paired",
    "Run": "run",
    "Candidate": "types",
    "Result": "types",
    "Budget": "types",
    "EvolventError": "errors",
    "UserError": "errors",
}
__all__ = [
    "Budget",
    "Candidate",
    "EvolventError",
    "Result",
    "Run",
    "UserError",
    "compare",
    "resume",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
