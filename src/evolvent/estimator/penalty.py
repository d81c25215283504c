"""What a mixture costs beyond a limit, as a penalty on its score, and the penalty's gradient.

The limit is for the network that will be delivered: the derived architecture is checked against it
when it is tried, and a penalty during the search keeps the mixture near it. Expected costs as in
ProxylessNAS (Cai, Zhu, Han 2018, 1812.00332) section 3.3, but only what lies above the limit counts.
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
    """Weight times the share by which the expected cost of a mixture exceeds a limit.

    A mixture of more operations than an architecture has (a softmax on every edge, of which two per
    node are kept) counts as many of them as an architecture has.

    Args:
        space: with the capability ``mixture``.
        data: shapes.
        size: of the network that will be delivered.
        max_params: its limit of trainable numbers, or None. [count]
        max_flops: its limit of FLOPs for one input, or None. [count]
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
        """Return the penalty of a mixture, and its gradient by the mixture."""
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
