"""The request of the user, before anything is decided."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Request:
    """One request of the user; equal requests continue one run.

    Args:
        task: a name or a path.
        recipe: a name, or None for the default of the kind of task.
        space: in place of the recipe's.
        strategy: in place of the recipe's.
        estimator: in place of the recipe's.
        budget: such as ``10m``, ``200t``, ``1h,500t``.
        seed: of the search.
        max_params: of the delivered network. [count]
        max_flops: of the delivered network, for one input. [count]
        max_latency_ms: of the delivered network, one input, on this machine. [ms]
        device: where to train.
        set: part -> name -> value.
    """

    task: str
    recipe: str | None = None
    space: str | None = None
    strategy: str | None = None
    estimator: str | None = None
    budget: str = "10m"
    seed: int = 0
    max_params: int | None = None
    max_flops: int | None = None
    max_latency_ms: float | None = None
    device: str = "cpu"
    set: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def limits(self) -> dict[str, float]:
        """Limits on the delivered network that were given, by name."""
        names = ("max_params", "max_flops", "max_latency_ms")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def said(self, part: str) -> dict[str, Any]:
        """Return the settings of a part that the user gave."""
        return dict(self.set.get(part, {}))

    def to_json(self) -> dict[str, Any]:
        """Return it as it comes back from a file: lists for tuples."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Request:
        """Return the request that `to_json` wrote; what another version wrote beside it is left out."""
        known = {field.name for field in dataclasses.fields(Request)}
        return Request(**{name: value for name, value in data.items() if name in known})
