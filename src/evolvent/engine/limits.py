"""Hard limits on the network that will be delivered, checked before any training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.parts import network_settings
from ..errors import EvolventError
from ..network.build import build, plan
from ..network.cost import cost, latency
from ..space import Space
from ..task import AnyTask
from ..types import Candidate


class Limits:
    """What a delivered network may cost.

    Args:
        space: of the candidates.
        task: its shapes.
        config: resolved; its part ``train`` says how large the delivered network is.
        max_params: [count]
        max_flops: of one forward pass of one input. [count]
        max_latency_ms: of one forward pass of one input on this machine. [ms]
    """

    def __init__(
        self,
        space: Space,
        task: AnyTask,
        config: Mapping[str, Any],
        *,
        max_params: int | None = None,
        max_flops: int | None = None,
        max_latency_ms: float | None = None,
    ) -> None:
        self.space, self.facts = space, task.facts
        self.size = network_settings(config, "train")["size"]
        self.max_params, self.max_flops = max_params, max_flops
        self.max_latency_ms = max_latency_ms

    def reason(self, candidate: Candidate) -> str | None:
        """Return why `candidate` may not be trained, or None."""
        try:
            made = cost(plan(self.space, candidate.arch, self.facts, self.size), self.facts)
        except (EvolventError, RuntimeError) as error:  # torch's, for shapes that do not fit
            return f"it cannot be built: {error}"
        if self.max_params is not None and made.params > self.max_params:
            return f"it has {made.params:,} parameters, the limit is {self.max_params:,}"
        if self.max_flops is not None and made.flops > self.max_flops:
            return f"it takes {made.flops:,} FLOPs, the limit is {self.max_flops:,}"
        if self.max_latency_ms is not None:
            net = build(self.space, candidate.arch, self.facts, self.size)
            if (took := 1000 * latency(net, self.facts)) > self.max_latency_ms:
                return f"it takes {took:.2f} ms, the limit is {self.max_latency_ms:g} ms"
        return None
