"""Adam for tables of which a step touches some rows only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class WithLazyRows(torch.optim.Optimizer):
    """Another optimiser, and beside it lazy Adam for the weights whose gradients are sparse.

    Of these only the rows with a gradient are changed, their moments too, as in
    `torch.optim.SparseAdam`; weight decay is decoupled (Loshchilov & Hutter 2017, 1711.05101), and is
    that of the rows that are changed. The state and the groups of both stand side by side here.

    Args:
        rest: the optimiser of all other weights.
        tables: weights with sparse gradients.
        lr: learning rate.
        betas: of the moments.
        weight_decay: of the tables.
    """

    def __init__(
        self,
        rest: torch.optim.Optimizer,
        tables: list[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        group: dict[str, Any] = {"params": tables, "weight_decay": weight_decay}
        super().__init__([group], {"lr": lr, "betas": betas, "eps": 1e-8})
        self.own, self.rest = self.param_groups[0], rest
        rest.state = self.state
        self.param_groups.extend(rest.param_groups)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change every weight that has a gradient."""
        self.rest.step()
        for weight in self.own["params"]:
            if weight.grad is not None:
                self._change(weight, weight.grad.coalesce())

    def _change(self, weight: Tensor, gradient: Tensor) -> None:
        state, (first, second) = self.state[weight], self.own["betas"]
        if not state:
            state["step"] = torch.zeros((), device=weight.device)
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        rows, slope = gradient.indices()[0], gradient.values()
        mean = state["mean"][rows].lerp_(slope, 1 - first)
        square = state["square"][rows].lerp_(slope.square(), 1 - second)
        state["mean"][rows], state["square"][rows] = mean, square
        steps = float(state["step"])
        size = (square / (1 - second**steps)).sqrt_().add_(self.own["eps"])
        lr = self.own["lr"]
        old = weight[rows]
        weight[rows] = (
            old * (1 - lr * self.own["weight_decay"]) - lr / (1 - first**steps) * mean / size
        )


def lazy_tables(net: nn.Module) -> list[nn.Parameter]:
    """Return the weights of a network whose gradients are sparse."""
    return [
        weight
        for table in net.modules()
        if isinstance(table, nn.Embedding) and table.sparse
        for weight in table.parameters()
    ]
