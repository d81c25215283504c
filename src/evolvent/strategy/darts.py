"""DARTS: the architecture is a softmax over operations, learnt by gradient descent on the loss.

Source: Liu, Simonyan, Yang 2018, "DARTS: Differentiable Architecture Search" (1806.09055), algorithm 1:
the shared weights and the architecture learn in turn, a batch each; Adam with betas 0.5 and 0.999 and
weight decay 1e-3. Second order is a better estimate of the same gradient, and so an option of the
estimator (``estimator.unrolled``).
What differs: the weights learn first in every turn; the learning rate follows from the horizon (see
`relaxation`); the derived architecture is tried after every epoch, and the final training chooses among
the trials of the last epochs, not among four searches.
"""

from __future__ import annotations

import numpy as np

from ..types import Budget
from .common.relaxation import Relaxation, softmax


class Darts(Relaxation):
    """Gradient descent on the softmax of all operations at once. Arguments: see `Relaxation`."""

    rounds = (Budget(train_batches=1, validation_batches=1),)
    paper_steps = 19_500  # 50 epochs of 25,000 images, 64 at a time

    def relaxed(self, name: str, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the softmax of the logits."""
        return softmax(logits)
