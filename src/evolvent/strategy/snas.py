"""SNAS: samples of a concrete distribution, with a gradient through the sample.

Source: Xie, Zheng, Liu, Lin 2018, "SNAS: Stochastic Neural Architecture Search" (1812.09926): a
Gumbel-softmax per row whose temperature falls; all operations are run, by the soft sample, and the
gradient goes through it (``concrete``). Two further gradients of the hard sample, in which one
operation per row is chosen: ``straight-through`` is that of the soft sample of the same noise;
``reinmax`` (Liu, Dong, Liu, Yu, Gao 2023, "Bridging Discrete and Backpropagation: Straight-Through and
Beyond", 2304.08612, algorithm 2 at temperature 1) is accurate to the second order.
What differs: the weights and the architecture learn from different data and samples, where SNAS has one
loss for both, and its penalty of resources is left to the limits of a run. The operations that a hard
sample leaves out are run for the architecture's gradient, at a weight that changes no output: GDAS,
which does not run them, has the gradient of a number in their place. Otherwise as in `relaxation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import SettingError
from ..types import Budget
from .common.gumbel import Gumbel
from .common.relaxation import Relaxable, Rows, of_softmax, softmax

GRADIENTS = ("concrete", "straight-through", "reinmax")
UNHEARD = 1e-12  # weight of an operation that is run and changes no output in single precision


class Snas(Gumbel):
    """Gradient descent on samples of a concrete distribution. Arguments: see `Relaxation`, and

    Args:
        space: as there.
        gradient: ``concrete``, ``straight-through`` or ``reinmax``.
        tau: temperature of the first step and of the last; ``reinmax`` has none. [> 0, descending]
        more: as there.
    """

    rounds = (
        Budget(train_batches=1, validation_batches=0),
        Budget(train_batches=0, validation_batches=1),
    )
    paper_steps = 58_500  # 150 epochs of 25,000 images, 64 at a time

    def __init__(
        self,
        space: Relaxable,
        *,
        gradient: str = "concrete",
        tau: tuple[float, float] = (1.0, 0.03),
        **more: Any,
    ) -> None:
        if gradient not in GRADIENTS:
            raise SettingError(f"gradient={gradient!r}: one of {', '.join(GRADIENTS)}")
        self.gradient = gradient
        self.soft = gradient == "concrete"
        super().__init__(space, tau=tau, **more)

    def sent(self, id: int, *, judged: bool = False) -> Rows:
        """Return the sample of step `id`; where it is judged, all operations that are left are run."""
        if self.soft:
            return super().sent(id)
        hard = self.drawn(id)
        if not judged:
            return hard
        left = {name: np.isfinite(self.logits[name]) for name in self.groups}
        return {name: np.maximum(own, UNHEARD * left[name]) for name, own in hard.items()}

    def slope(self, name: str, gradient: np.ndarray, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the gradient by the logits, through the sample."""
        if self.gradient != "reinmax":
            return super().slope(name, gradient, id, logits)
        rows = softmax(logits)
        noisy = self.relaxed(name, id, logits)
        chosen = noisy == noisy.max(-1, keepdims=True)
        between = (rows + chosen) / 2
        return 2 * of_softmax(between, gradient) - of_softmax(rows, gradient) / 2
