"""Random search: every candidate drawn anew from the space. The control of every comparison.

Source: Bergstra & Bengio 2012; as a control for architecture search, Li & Talwalkar 2019 (1902.07638).
"""

from __future__ import annotations

from ..space import Space
from ..types import Budget, Candidate, Result, stream


class Random:
    """Independent samples; nothing is learnt from results.

    Args:
        space: is sampled.
        epochs: training length of every candidate. [epochs]
        horizon: not used: there is no schedule. [trials]
        seed: same seed, same candidates.
    """

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(
        self, space: Space, *, epochs: float = 1.0, horizon: int = 100, seed: int = 0
    ) -> None:
        self.space, self.budget, self.seed = space, Budget(epochs=epochs), seed
        self.asked = 0

    def ask(self) -> Candidate:
        """Return the next sample."""
        arch = self.space.sample(stream(self.seed, "random", self.asked))
        self.asked += 1
        return Candidate(self.asked - 1, arch, budget=self.budget)

    def tell(self, result: Result) -> None:
        """Ignore the result."""
