"""Hard limits on the network that will be delivered, checked before any training.

The user's: parameters, FLOPs and latency. And the clock's, where candidates are trained for equal
seconds: what the final training could not show the data often enough is not worth a candidate.
"""

from __future__ import annotations

from ..config.request import Request
from ..config.setup import Draft
from ..errors import EvolventError
from ..network.build import Assembled, Data, plan
from ..network.cost import cost, latency
from ..network.paces import work_of
from ..network.plan import Plan
from ..types import Arch, Candidate


def beyond(request: Request, made: Plan, data: Data) -> str | None:
    """Return the user's limit that a network breaks, in words, or None.

    Latency is measured now, and only where there is a limit on it.

    Args:
        request: of the user.
        made: the plan of the network, as it is delivered.
        data: shapes of inputs and outputs.
    """
    found = cost(made, data)
    if request.max_params is not None and found.params > request.max_params:
        return f"{found.params:,} parameters, the limit is {request.max_params:,}"
    if request.max_flops is not None and found.flops > request.max_flops:
        return f"{found.flops:,} FLOPs, the limit is {request.max_flops:,}"
    if request.max_latency_ms is not None:
        took = 1000 * latency(Assembled(made), data)
        if took > request.max_latency_ms:
            return f"{took:.2f} ms, the limit is {request.max_latency_ms:g} ms"
    return None


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
        try:
            return self._of_size(candidate.arch) or self._of_time(candidate.arch)
        except (EvolventError, RuntimeError) as error:  # torch's, for shapes that do not fit
            return f"it cannot be built: {error}"

    def _of_size(self, arch: Arch) -> str | None:
        """Return the limit of the user's that a network breaks, or None."""
        if not self.request.limits:
            return None
        broken = beyond(self.request, plan(self.space, arch, self.facts, self.size), self.facts)
        return broken and f"it needs {broken}"

    def _of_time(self, arch: Arch) -> str | None:
        """Return the reason if the final training has no time for a network, or None."""
        if self.slowest is None or self.paces is None:
            return None
        work = work_of(self.space, arch, self.facts, size=self.size, hyper=self.hyper)
        pace = self.paces.of(work)
        if pace <= self.slowest:
            return None
        return (
            f"its training takes {1e3 * pace:.2f} ms per example, the final training has time for "
            f"{1e3 * self.slowest:.2f} ms"
        )
