"""Local search: hill climbing by single mutations, with a restart where no neighbour is better.

Source: White, Nolen & Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI 2021
(2005.02960): on tables this plain method is close to the best. Here the first better neighbour is
taken (their "query until lower"), which suits many workers: none waits for a whole neighbourhood.

What differs: neighbours are drawn by the space's mutation and not listed, so that any space will do;
no architecture is asked twice, and a neighbourhood counts as seen after `patience` draws in a row
without a new one. Results may come in any order: one that beats the current centre becomes the centre.
"""

from __future__ import annotations

import random
from typing import Any

from ..errors import SettingError
from ..space import Space, key
from ..types import Arch, Budget, Candidate, Result, stream


class LocalSearch:
    """Hill climbing with random restarts.

    Args:
        space: samples and mutates architectures.
        starts: random architectures per climb; the best of them is the first centre. [count, >= 1]
        patience: draws in a row without a new neighbour after which a neighbourhood counts as
            seen. [count, >= 1]
        epochs: training length of every candidate. [epochs]
        horizon: trials of the run; unused, there is no schedule.
        seed: same seed and same tells in, same asks out.

    Raises:
        SettingError: if `starts` or `patience` is below 1.
    """

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        starts: int = 10,
        patience: int = 100,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        if starts < 1 or patience < 1:
            raise SettingError(f"starts={starts} and patience={patience} must be at least 1")
        self.space, self.starts, self.patience = space, starts, patience
        self.epochs, self.seed = epochs, seed
        self.centre: Result | None = None
        self._seen: set[Any] = set()  # every architecture asked, in all climbs
        self._climb: dict[int, int] = {}  # id in flight -> its climb
        self._now = 0  # the current climb
        self._started = 0  # starts of the current climb
        self._asked = 0

    def ask(self) -> Candidate:
        """Return a start, a new neighbour of the centre or, if none is left, a random architecture."""
        rng = stream(self.seed, "local", self._asked)
        if self._started < self.starts:
            return self._start(rng)
        if self.centre is not None:
            arch = self.centre.candidate.arch
            for _ in range(self.patience):
                move = self.space.mutate(arch, rng)
                if key(self.space, move.arch) not in self._seen:
                    return self._candidate(move.arch, move.operator, (self.centre.candidate.id,))
        if self._now in self._climb.values():
            # The last neighbours, or starts, are still in flight: no worker idles meanwhile.
            return self._start(rng)
        self._now, self._started, self.centre = self._now + 1, 0, None
        return self._start(rng)

    def tell(self, result: Result) -> None:
        """Take a result; the best of the current climb is its centre."""
        climb = self._climb.pop(result.candidate.id)
        best = -float("inf") if self.centre is None else self.centre.value
        if climb == self._now and result.ok and result.value > best:
            self.centre = result

    def _start(self, rng: random.Random) -> Candidate:
        self._started += 1
        arch = self.space.sample(rng)
        for _ in range(self.patience):
            if key(self.space, arch) not in self._seen:
                break
            arch = self.space.sample(rng)
        return self._candidate(arch, "sample", ())

    def _candidate(self, arch: Arch, operator: str, parents: tuple[int, ...]) -> Candidate:
        id, self._asked = self._asked, self._asked + 1
        self._seen.add(key(self.space, arch))
        self._climb[id] = self._now
        return Candidate(
            id, arch, parents=parents, operator=operator, budget=Budget(epochs=self.epochs)
        )
