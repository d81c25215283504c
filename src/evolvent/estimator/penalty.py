"""Penalty on the score of a mixture whose expected cost exceeds a limit, with its gradient.

The limit applies to the delivered network: the derived architecture is checked against it when it
becomes a trial, and a penalty during the search keeps the mixture near it. Expected costs as in
ProxylessNAS (Cai, Zhu, Han 2018, 1812.00332) section 3.3, but only the excess over the limit counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..network.build import Data, Size
from ..network.cost import mixed_cost
from ..space import Space
from ..space.capabilities import mixture
from ..types import stream

Rows = Mapping[str, np.ndarray]  # group -> [rows, columns]


class Penalty:
    """Weight times the relative excess of a mixture's expected cost over a limit.

    A mixture may hold more operations than an architecture (a softmax on every edge, of which two per
    node are kept). Its cost is then scaled down to the number of operations of an architecture.

    Args:
        space: with the capability ``mixture``.
        data: gives the shapes of input and output.
        size: of the delivered network.
        max_params: its maximum number of trainable parameters, or None. [count]
        max_flops: its maximum FLOPs for one input, or None. [count]
        weight: of the penalty, in units of the score. [>= 0]
    """

    def __init__(
        self,
        space: Space,
        data: Data,
        size: Size,
        *,
        max_params: int | None,
        max_flops: int | None,
        weight: float,
    ) -> None:
        cost = mixed_cost(space, data, size)
        self.weight = weight
        self.limits = [
            (limit, base, rows)
            for limit, base, rows in (
                (max_params, cost.base.params, cost.params),
                (max_flops, cost.base.flops, cost.flops),
            )
            if limit is not None
        ]
        arch = space.sample(stream("penalty"))
        one_hot = mixture(space).one_hot(arch)
        self.operations = {name: float(rows.sum()) for name, rows in one_hot.items()}

    def __call__(self, rows: Rows) -> tuple[float, dict[str, np.ndarray]]:
        """Return the penalty of a mixture, and its gradient with respect to the mixture."""
        shares = {
            name: min(1.0, self.operations[name] / max(1e-12, float(own.sum())))
            for name, own in rows.items()
        }
        penalty = 0.0
        gradient = {name: np.zeros(own.shape) for name, own in rows.items()}
        for limit, base, costs in self.limits:
            total = base + sum(shares[n] * float((costs[n] * own).sum()) for n, own in rows.items())
            if total > limit:
                penalty += self.weight * (total / limit - 1)
                for name, slope in gradient.items():
                    slope += self.weight * shares[name] * costs[name] / limit
        return penalty, gradient
