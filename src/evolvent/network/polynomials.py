"""Polynomials that are fitted in closed form. Each class stands alone: `export` copies its source.

``closed_form`` states that `start` finds all parameters of a module from the training rows, once and
for all: a network of such modules alone is not trained by gradient (`fit.in_closed_form`).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PolynomialNode(nn.Module):
    """A polynomial of two numbers, fitted to the targets by least squares.

    Every output has coefficients of its own. Classes and labels are targets of 1 and -1.

    Args:
        outputs: of the network. [count]
        terms: such as ``"1 a b ab aa bb"``: the constant, either number, their product, their squares.
        labels: whether the targets are labels, 1 or 0.
    """

    closed_form = True

    def __init__(self, outputs: int, terms: str, labels: bool = False) -> None:
        super().__init__()
        self.terms, self.labels = terms.split(), labels
        self.weight = nn.Parameter(torch.zeros(outputs, len(self.terms)))

    def powers(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the terms, [B, 1 or outputs] each -> [B, 1 or outputs, terms]."""
        ab = a * b
        a, b = a.expand_as(ab), b.expand_as(ab)
        each = {"1": torch.ones_like(ab), "a": a, "b": b, "ab": ab, "aa": a * a, "bb": b * b}
        return torch.stack([each[term] for term in self.terms], 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """[B, 1 or outputs] each -> [B, outputs]."""
        powers = self.powers(a, b).expand(-1, len(self.weight), -1)
        return torch.einsum("bot,ot->bo", powers, self.weight)

    @torch.no_grad()
    def start(self, batches: Iterable[tuple[tuple[Tensor, Tensor], Tensor]]) -> None:
        """Set the coefficients from both numbers of the training rows, and the targets [N, ...]."""
        rows = [(*each, y) for each, y in batches]
        a, b, y = (torch.cat(column).cpu() for column in zip(*rows, strict=True))
        outputs = len(self.weight)
        wanted = y.reshape(len(y), -1).double()
        if not y.is_floating_point():
            wanted = 2.0 * F.one_hot(y, outputs).double() - 1
        elif self.labels:
            wanted = 2.0 * wanted - 1
        powers = self.powers(a.double(), b.double()).expand(-1, outputs, -1)
        for output in range(outputs):  # the driver bears terms that say the same
            how = {"driver": "gelsd"}
            found = torch.linalg.lstsq(powers[:, output], wanted[:, output : output + 1], **how)
            self.weight[output] = found.solution[:, 0].to(self.weight)


class FittedLogits(nn.Module):
    """Logits times the one factor that makes the training rows likeliest.

    Args:
        labels: whether the targets are labels, 1 or 0; else they are classes.
    """

    closed_form = True

    def __init__(self, labels: bool = False) -> None:
        super().__init__()
        self.labels = labels
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, outputs] -> [B, outputs]."""
        return x * self.factor

    @torch.no_grad()
    def start(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Choose the factor by the logits of the training rows [N, outputs], and the targets."""
        x, y = (torch.cat(column) for column in zip(*batches, strict=True))
        loss = F.binary_cross_entropy_with_logits if self.labels else F.cross_entropy
        factors = [0.25 * 1.25**power for power in range(24)]
        self.factor.fill_(min(factors, key=lambda each: float(loss(each * x, y))))


#: the operations of this module
POLYNOMIALS: tuple[type[nn.Module], ...] = (PolynomialNode, FittedLogits)
