"""The candidates of a run as rows of plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..types import Candidate, Result
from .store import Event


def rows(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """Yield every candidate of a log as plain values, in the order of asking."""
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, Candidate):
            found[event.id] = {
                "id": event.id,
                "kind": event.kind,
                "parent": event.parents[0] if event.parents else None,
                "parents": list(event.parents),
                "operator": event.operator,
                "budget": event.budget.epochs,
                "status": "running",
                "score": None,
                "params": None,
                "flops": None,
                "seconds": None,
                "reason": "",
                "arch": event.arch,
            }
        else:
            found[event.candidate.id] |= _told(event)
    yield from found.values()


def _told(result: Result) -> dict[str, Any]:
    return {
        "status": result.status,
        "score": result.score,
        "params": result.params,
        "flops": result.flops,
        "seconds": round(result.seconds, 4),
        "reason": result.reason,
        "seed": result.seed,
        "threads": result.threads,
    }
