"""Hard limits on the network that will be delivered, checked before any training.

The user's: parameters, FLOPs and latency. And the clock's, where candidates are trained for equal
seconds: what the final training could not show the data often enough is not worth a candidate.
"""

from __future__ import annotations

from ..config.setup import Draft
from ..errors import EvolventError
from ..network.build import build, plan
from ..network.cost import cost, latency
from ..network.fit import with_own_training
from ..network.paces import work_of
from ..types import Candidate


class Limits:
    """Limits on parameters, FLOPs and latency of a delivered network.

    Args:
        setup: its request has the limits, its final training the size of the network.
        slowest: training per example that there is time for; None is no limit. [s]
    """

    def __init__(self, setup: Draft, slowest: float | None = None) -> None:
        self.space, self.facts = setup.space, setup.facts
        self.size = setup.train.network.size
        self.request = setup.request
        self.slowest, self.paces = slowest, setup.paces
        self.hyper = setup.train.network.hyper

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return self.slowest is not None or bool(self.request.limits)

    def reason(self, candidate: Candidate) -> str | None:
        """Return why `candidate` may not be trained, or None."""
        limits = self.request
        try:
            planned = plan(self.space, candidate.arch, self.facts, self.size)
            made = cost(planned, self.facts)
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
        if self.slowest is not None and self.paces is not None:
            hyper = with_own_training(self.hyper, self.space, candidate.arch)
            pace = self.paces.of(work_of(planned, self.facts, hyper))
            if pace > self.slowest:
                return (
                    f"its training takes {1e3 * pace:.2f} ms per example, the final training has time "
                    f"for {1e3 * self.slowest:.2f} ms"
                )
        return None
