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

from ..types import Budget
from .common.gumbel import Gumbel
from .common.relaxation import Rows


class Gdas(Gumbel):
    """Gradient descent on samples of a Gumbel-softmax. Arguments: see `Gumbel`."""

    rounds = (
        Budget(train_batches=1, validation_batches=0),
        Budget(train_batches=0, validation_batches=1),
    )
    paper_steps = 97_500  # 250 epochs of 25,000 images, 64 at a time
    soft = False

    def sent(self, id: int, *, judged: bool = False) -> Rows:
        """Return the sample of step `id`: 1 for one operation of every row."""
        return self.drawn(id)
