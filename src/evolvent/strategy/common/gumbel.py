"""Samples of a Gumbel-softmax whose temperature falls, as the base of strategies that draw by it.

Sources: Jang, Gu, Poole 2016 (1611.01144), Maddison, Mnih, Teh 2016 (1611.00712). The temperature falls
linearly with every step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import SettingError
from .relaxation import Relaxable, Relaxation, Rows, generator, of_softmax, softmax


class Gumbel(Relaxation):
    """Logits with Gumbel noise, whose softmax stands for a sample. Arguments: see `Relaxation`, and

    Args:
        space: as there.
        tau: temperature of the first step and of the last. [> 0, descending]
        more: as there.
    """

    def __init__(
        self, space: Relaxable, *, tau: tuple[float, float] = (10.0, 0.1), **more: Any
    ) -> None:
        if not tau[0] >= tau[1] > 0:
            raise SettingError(f"tau={tau!r}: two temperatures above 0, descending")
        self.tau = tau
        super().__init__(space, **more)

    def temperature(self, id: int) -> float:
        """Return tau at step `id`."""
        first, end = self.tau
        return first - (first - end) * min(1.0, id / self.last)

    def relaxed(self, name: str, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the Gumbel-softmax [..., rows, columns] of step `id`, by one noise for all."""
        rng = generator(self.seed, "gumbel", name, id)
        noise = -np.log(np.maximum(rng.exponential(size=logits.shape[-2:]), 1e-300))
        return softmax((logits + noise) / self.temperature(id))

    def slope(self, name: str, gradient: np.ndarray, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the gradient by the logits, through the soft sample."""
        return of_softmax(self.relaxed(name, id, logits), gradient) / self.temperature(id)

    def drawn(self, id: int) -> Rows:
        """Return the sample of step `id`: 1 for the largest entry of every row."""
        soft = {name: self.relaxed(name, id, self.logits[name]) for name in self.groups}
        return {name: np.eye(rows.shape[1])[rows.argmax(1)] for name, rows in soft.items()}
