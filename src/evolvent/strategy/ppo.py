"""Proximal policy optimisation: several passes over a batch, with clipped changes of the policy.

Sources: Zoph et al. 2017, "Learning Transferable Architectures" (1707.07012), appendix A: one layer of
100 units, batches of 20, baseline decay 0.95; the clipped objective is Schulman et al. 2017
(1707.06347), equation 7, with their clip 0.2: a decision whose probability has moved by more than the
clip in the direction of its advantage has no gradient any more.
What differs: as in `reinforce`, the learning rate and the batch follow from the horizon, rewards are in
units of their running deviation, and the bonus for entropy weighs more than the paper's 1e-5, which
was for 20,000 candidates. There is no critic: one reward comes at the end, as in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import SettingError
from .reinforce import Reinforce, Searched


class PPO(Reinforce):
    """REINFORCE that uses every batch several times, with a clipped ratio of probabilities.

    The ratio compares each decision's probability now with that when it was asked, so it also
    corrects for candidates drawn by an older controller. Failures count as in `Reinforce`.

    Args:
        space: gives the decisions to make.
        batch: finished candidates per update; None is a twentieth of the horizon, at least 2 and at
            most the paper's 20. [count, >= 1]
        passes: steps of Adam per batch. [count, >= 1]
        clip: distance of the ratio of probabilities from 1, beyond which it has no gradient. [> 0]
        lr: learning rate of Adam; None lets the steps of the whole horizon add up to 1, but is at
            most 0.7 divided by the units; the paper has 3.5e-4. [> 0]
        entropy: weight of the entropy of the decisions [nat] beside rewards in units of their
            deviation; the larger, the longer it explores. [>= 0]
        baseline: decay of the moving averages of the reward and of its squared deviation. [0..1)
        hidden: units per layer of the LSTM. [count, >= 1]
        layers: of the LSTM. [count, >= 1]
        spread: initial weights are uniform between -spread and spread. [> 0]
        epochs: training length of every candidate. [epochs]
        horizon: trials that the search is planned for. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    paper_batch = 20

    def __init__(
        self,
        space: Searched,
        *,
        batch: int | None = None,
        passes: int = 4,
        clip: float = 0.2,
        lr: float | None = None,
        entropy: float = 0.05,
        baseline: float = 0.95,
        hidden: int = 100,
        layers: int = 1,
        spread: float = 0.1,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        if passes < 1 or clip <= 0:
            raise SettingError(f"passes={passes} must be at least 1, clip={clip} above 0")
        self.passes, self.clip = passes, clip
        super().__init__(
            space,
            batch=batch,
            lr=lr,
            entropy=entropy,
            baseline=baseline,
            hidden=hidden,
            layers=layers,
            spread=spread,
            epochs=epochs,
            horizon=horizon,
            seed=seed,
        )

    def _gain(self, log_probs: Tensor, before: Tensor, advantages: Tensor) -> Tensor:
        ratio = (log_probs - before).exp()
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        return torch.minimum(ratio * advantages, clipped * advantages)
