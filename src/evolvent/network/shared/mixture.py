"""Mixture weights on a device: the second argument of a supernet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..plan import Term


class MixtureWeights:
    """Rows of operation weights on a device; the host knows which of them are 0.

    Args:
        weights: group -> [rows, columns].
        device: where to hold them.
        dtype: in which to compute.
        gradient: whether gradients by the weights can be computed.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        gradient: bool = False,
    ) -> None:
        values = {name: np.asarray(rows) for name, rows in weights.items()}
        self._hold(
            values,
            {
                name: torch.tensor(rows, device=device, dtype=dtype, requires_grad=gradient)
                for name, rows in values.items()
            },
        )

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> MixtureWeights:
        """Return the mixture of tensors [rows, columns] that may depend on others."""
        made = MixtureWeights.__new__(MixtureWeights)
        made._hold({name: t.detach().cpu().numpy() for name, t in tensors.items()}, dict(tensors))
        return made

    #: called with the term, the module and the input of every operation that is run
    observe: Callable[[Term, nn.Module, Tensor], None] | None = None

    def _hold(self, values: Mapping[str, np.ndarray], tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self._values = {name: rows.tolist() for name, rows in values.items()}
        # one node of the graph per group instead of one per entry
        self._gates = {name: tensor.reshape(-1).unbind() for name, tensor in tensors.items()}
        self._sums: dict[str, tuple[Tensor, ...]] = {}

    @property
    def differentiable(self) -> bool:
        """Whether gradients by the weights can be computed."""
        return any(tensor.requires_grad for tensor in self.tensors.values())

    def row(self, group: str) -> list[float]:
        """Return the weights of a group that is one row, on the host. [columns]"""
        (row,) = self._values[group]
        found: list[float] = row
        return found

    def active(self, term: Term) -> bool:
        """Whether the operation of `term` is run."""
        return term.op != "none" and self._values[term.group][term.row][term.column] != 0

    def idle(self, term: Term) -> bool:
        """Whether the weight of `term` is 0."""
        return bool(self._values[term.group][term.row][term.column] == 0)

    def passes(self, term: Term) -> bool:
        """Whether any weight of the row of `term` is not 0."""
        return any(self._values[term.group][term.row])

    def row_sum(self, term: Term) -> Tensor:
        """Return the sum of the weights of the row of `term` []."""
        if term.group not in self._sums:
            self._sums[term.group] = self.tensors[term.group].sum(1).unbind()
        return self._sums[term.group][term.row]

    def gate(self, term: Term) -> Tensor:
        """Return the weight of `term` []."""
        columns = self.tensors[term.group].shape[1]
        return self._gates[term.group][term.row * columns + term.column]
