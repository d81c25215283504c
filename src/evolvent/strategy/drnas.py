"""DrNAS: the mixture is drawn from a Dirichlet distribution, whose concentrations are learnt.

Source: Chen, Wang, Cheng, Tang, Hsieh 2021, "DrNAS: Dirichlet Neural Architecture Search" (2006.10355),
algorithm 1: concentrations beta = ELU(logit) + 1; every step draws a mixture, of which all operations
are run, and the gradient goes through the sample (pathwise). The distance to a flat distribution
(beta = 1, logit 0) is held down by weight decay, the authors' L2 form of their regulariser. Progressive
learning (section 3.3) prunes the operations of every row half-way (`keep`); their 10 of 50 epochs in
which the weights learn alone are `warmup`. What is derived is the mean of the distribution.
What differs: the sample is Gamma variables over their sum, each with its implicit gradient (Figurnov,
Mohamed, Mnih 2018, 1805.08498), as unbiased as the one for a whole Dirichlet; the share of channels
that goes through operations is a setting of the supernet and stays as it is; otherwise as in
`relaxation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammainc, gammaincinv, gammaln

from ..types import Budget
from .common.relaxation import Relaxable, Relaxation, generator

LEAST = 1e-100  # of a Gamma variable, so that its logarithm is finite
APART = 1e-5  # of the concentrations between which a difference stands for a derivative, as a share


class DrNas(Relaxation):
    """Gradient descent on the concentrations of a Dirichlet distribution. Arguments: see `Relaxation`.

    Args:
        space: as there.
        keep: as there; in the second half of the search three of five operations are left.
        warmup: as there.
        more: as there.
    """

    rounds = (
        Budget(train_batches=1, validation_batches=0),
        Budget(train_batches=0, validation_batches=1),
    )
    paper_steps = 31_250  # 80 of 100 epochs of 25,000 images, 64 at a time

    def __init__(
        self,
        space: Relaxable,
        *,
        keep: tuple[float, ...] = (1.0, 0.6),
        warmup: float = 0.2,
        **more: Any,
    ) -> None:
        super().__init__(space, keep=keep, warmup=warmup, **more)

    def relaxed(self, name: str, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the sample [..., rows, columns] of step `id`, by one noise for all."""
        drawn = self._gammas(name, id, concentration(logits))
        return np.asarray(drawn / drawn.sum(-1, keepdims=True))

    def slope(self, name: str, gradient: np.ndarray, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the gradient by the logits, through the sample."""
        beta = concentration(logits)
        drawn = self._gammas(name, id, beta)
        total = drawn.sum(-1, keepdims=True)
        by_gammas = (gradient - (gradient * drawn).sum(-1, keepdims=True) / total) / total
        return np.asarray(by_gammas * _responses(beta, drawn) * np.exp(np.minimum(logits, 0)))

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Return the mean of the distribution [..., rows, columns]."""
        beta = concentration(logits)
        return np.asarray(beta / beta.sum(-1, keepdims=True))

    def _gammas(self, name: str, id: int, beta: np.ndarray) -> np.ndarray:
        """Return Gamma variables of step `id` with these concentrations, 0 where these are 0."""
        quantiles = generator(self.seed, "gamma", name, id).random(beta.shape[-2:])
        drawn = np.maximum(gammaincinv(np.where(beta > 0, beta, 1.0), quantiles), LEAST)
        return np.asarray(np.where(beta > 0, drawn, 0.0))


def concentration(logits: np.ndarray) -> np.ndarray:
    """Return ELU(logit) + 1: 1 for a logit of 0, 0 for minus infinity."""
    return np.asarray(np.where(logits > 0, logits + 1, np.exp(np.minimum(logits, 0))))


def _responses(beta: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the change of Gamma variables with their concentrations, at equal quantiles.

    It is the derivative of the distribution by the concentration, over minus the density.
    """
    used = drawn > LEAST
    beta, x = np.where(used, beta, 1.0), np.where(used, drawn, 1.0)
    apart = APART * beta
    by_beta = (gammainc(beta + apart, x) - gammainc(beta - apart, x)) / (2 * apart)
    density = np.exp((beta - 1) * np.log(x) - x - gammaln(beta))
    return np.asarray(np.where(used, -by_beta / density, 0.0))
