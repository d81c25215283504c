"""Hard limits on the network that will be delivered, checked before any training."""

from __future__ import annotations

from ..config.setup import Draft
from ..errors import EvolventError
from ..network.build import build, plan
from ..network.cost import cost, latency
from ..types import Candidate


class Limits:
    """Limits on parameters, FLOPs and latency of a delivered network.

    Args:
        setup: its request has the limits, its final training the size of the network.
    """

    def __init__(self, setup: Draft) -> None:
        self.space, self.facts = setup.space, setup.facts
        self.size = setup.train.network.size
        self.request = setup.request

    def reason(self, candidate: Candidate) -> str | None:
        """Return why `candidate` may not be trained, or None."""
        limits = self.request
        try:
            made = cost(plan(self.space, candidate.arch, self.facts, self.size), self.facts)
        except (EvolventError, RuntimeError) as error:  # torch's, for shapes that do not fit
            return f"it cannot be built: {error}"
        if limits.max_params is not None and made.params > limits.max_params:
            return f"it has {made.params:,} parameters, the limit is {limits.max_params:,}"
        if limits.max_flops is not None and made.flops > limits.max_flops:
            return f"it takes {made.flops:,} FLOPs, the limit is {limits.max_flops:,}"
        if limits.max_latency_ms is not None:
            net = build(self.space, candidate.arch, self.facts, self.size)
            if (took := 1000 * latency(net, self.facts)) > limits.max_latency_ms:
                return f"it takes {took:.2f} ms, the limit is {limits.max_latency_ms:g} ms"
        return None
