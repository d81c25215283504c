"""GDAS: one sampled architecture per step, and a gradient for all operations through the sample.

Source: Dong & Yang 2019, "Searching for a Robust Neural Architecture in Four GPU Hours" (1910.04465): a
Gumbel-softmax of temperature tau per row, of which only the largest entry is run (straight-through
estimator: the gradient is that of the soft sample); separate samples for the weights and for the
architecture; tau falls linearly. Adam as in DARTS. With the space's fixed reduction cell it is GDAS
(FRC).
What differs: tau falls with every step instead of every epoch, from 10 to 0.1 as in the authors' code
(the paper says 10 to 1); otherwise as in `relaxation`.
"""

from __future__ import annotations

import numpy as np

from ..errors import SettingError
from ..types import Budget, stream
from .common.relaxation import Relaxable, Relaxation, Rows, softmax


class Gdas(Relaxation):
    """Gradient descent on samples of a Gumbel-softmax. Arguments: see `Relaxation`, and

    Args:
        tau: temperature of the first step and of the last. [> 0, descending]
    """

    rounds = (
        Budget(train_batches=1, validation_batches=0),
        Budget(train_batches=0, validation_batches=1),
    )
    paper_steps = 97_500  # 250 epochs of 25,000 images, 64 at a time

    def __init__(
        self,
        space: Relaxable,
        *,
        tau: tuple[float, float] = (10.0, 0.1),
        lr: float | None = None,
        betas: tuple[float, float] = (0.5, 0.999),
        weight_decay: float = 1e-3,
        spread: float = 1e-3,
        warmup: float = 0.0,
        most_skips: int | None = None,
        batches: int = 100,
        epochs: float = 1.0,
        horizon: int = 50,
        seed: int = 0,
    ) -> None:
        super().__init__(
            space,
            lr=lr,
            betas=betas,
            weight_decay=weight_decay,
            spread=spread,
            warmup=warmup,
            most_skips=most_skips,
            batches=batches,
            horizon=horizon,
            seed=seed,
        )
        if not tau[0] >= tau[1] > 0:
            raise SettingError(f"tau={tau!r}: two temperatures above 0, descending")
        self.tau = tau

    def sent(self, id: int) -> Rows:
        """Return the sample of step `id`: 1 for one operation of every row."""
        hard = {}
        for name in self.groups:
            soft = self.relaxed(name, id, self.logits[name])
            hard[name] = np.eye(soft.shape[1])[soft.argmax(1)]
        return hard

    def relaxed(self, name: str, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the Gumbel-softmax [..., rows, columns] of step `id`, by one noise for all."""
        rng = np.random.default_rng(stream(self.seed, "gumbel", name, id).getrandbits(63))
        noise = -np.log(np.maximum(rng.exponential(size=logits.shape[-2:]), 1e-300))
        return softmax((logits + noise) / self.temperature(id))

    def temperature(self, id: int) -> float:
        """Return tau at step `id`."""
        last = max(1, self.horizon * (self.batches * len(self.rounds) + 1) - 1)
        first, end = self.tau
        return first - (first - end) * min(1.0, id / last)

    def slope(self, name: str, gradient: np.ndarray, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the gradient by the logits, through the soft sample instead of the hard one."""
        return super().slope(name, gradient, id, logits) / self.temperature(id)
