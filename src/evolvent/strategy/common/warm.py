"""Warm start of any strategy: many architectures are scored by a cheap proxy, the best go first.

Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021 (2101.08134), section 4:
N random architectures are scored without training; the best start the search.

How: the N are asked as steps, which use no trial; an estimator that gives ``proxy`` scores them in
seconds. Then the other strategy begins on the same space, but its samples are the N, best first, until
they are used up: the first P of regularized evolution are the best P of N, random search goes through
all N by rank. The other strategy needs no change. One that never samples its space would gain nothing,
and is refused.

What differs from the paper: the size of the first population is the strategy's own, not a setting;
equal networks are scored once, as far as the space can tell.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from ...errors import SettingError
from ...space import Move, Space, key
from ...types import Arch, Budget, Candidate, Result, stream
from .. import Inheriting, Strategy

_TRIES = 100  # samples in a row without a new architecture: then the space has no more


class Warm:
    """Scores `count` architectures by a proxy, then runs another strategy that begins with the best.

    Args:
        make: space -> the other strategy.
        space: is sampled for the proxy.
        count: architectures to score by the proxy; fewer if the space has no more. [count, >= 1]
        seed: same seed and same tells in, same asks out.

    Raises:
        SettingError: if `count` is below 1, or the strategy does not begin by sampling its space.
    """

    needs = frozenset({"proxy"})

    def __init__(
        self, make: Callable[[Space], Strategy], space: Space, *, count: int, seed: int = 0
    ) -> None:
        if count < 1:
            raise SettingError(f"warm={count} must be at least 1, or 0 for no warm start")
        probe = BestFirst(space)
        another = make(probe)
        another.ask()
        if not probe.samples:
            raise SettingError(
                f"warm={count} has no effect on {type(another).__name__}, which does not begin with "
                "samples of the space: leave it at 0, or use one such as regularized-evolution"
            )
        self.space, self.count, self.seed = space, count, seed
        self.best_first = BestFirst(space)
        self.inner = make(self.best_first)
        self.needs = self.inner.needs | self.needs
        self.ends = self.inner.ends
        lines = (
            f"{count} architectures are scored by a proxy first",
            getattr(self.inner, "note", ""),
        )
        self.note = "; ".join(line for line in lines if line)
        if hasattr(self.inner, "alive"):
            self.alive = self._alive
        for name in ("objectives", "reads", "lengthen"):
            if hasattr(self.inner, name):
                setattr(self, name, getattr(self.inner, name))
        self._seen: set[Any] = set()
        self._steps: set[int] = set()  # in flight
        self._taken = 0  # steps asked and not refused
        self._scored: list[Result] = []
        self._from: dict[Arch, int] = {}  # architecture -> the step that scored it
        self._flying: dict[int, Candidate] = {}  # trial in flight -> as the inner strategy asked it
        self._offset: int | None = None  # of inner ids; None until the inner strategy begins
        self._asked = 0

    def ask(self) -> Candidate | None:
        """Return a step for the proxy; after the last result, a candidate of the other strategy."""
        if self._offset is None:
            if self._taken < self.count and (arch := self._new()) is not None:
                return self._step(arch)
            if self._steps:
                return None
            self._begin()
        asked = self.inner.ask()
        if asked is None:
            return None
        candidate = replace(
            asked,
            id=self._outer(asked.id),
            parents=tuple(map(self._outer, asked.parents)),
            weights_from=tuple(map(self._outer, asked.weights_from)),
        )
        if asked.operator == "sample" and asked.arch in self._from:
            candidate = replace(candidate, operator="warm", parents=(self._from[asked.arch],))
        self._flying[candidate.id] = asked
        return candidate

    def tell(self, result: Result) -> None:
        """Keep the result of a step; tell any other to the other strategy."""
        id = result.candidate.id
        if id not in self._steps:
            self.inner.tell(replace(result, candidate=self._flying.pop(id)))
            return
        self._steps.remove(id)
        self._taken -= result.status == "refused"
        if result.ok:
            self._scored.append(result)

    def _new(self) -> Arch | None:
        rng = stream(self.seed, "warm", self._asked)
        for _ in range(_TRIES):
            arch = self.space.sample(rng)
            if key(self.space, arch) not in self._seen:
                return arch
        return None

    def _step(self, arch: Arch) -> Candidate:
        id, self._asked = self._asked, self._asked + 1
        self._seen.add(key(self.space, arch))
        self._steps.add(id)
        self._taken += 1
        budget = Budget(train_batches=0, validation_batches=0)
        return Candidate(id, arch, kind="step", operator="proxy", budget=budget)

    def _begin(self) -> None:
        self._offset = self._asked
        ranked = sorted(self._scored, key=lambda result: (-result.value, result.candidate.id))
        self._from = {result.candidate.arch: result.candidate.id for result in ranked}
        self.best_first.queue.extend(self._from)

    def _outer(self, id: int) -> int:
        """Return the run's id of an inner candidate: inner ids are counted after the steps."""
        return id + (self._offset or 0)

    def _alive(self) -> frozenset[int]:
        return frozenset(map(self._outer, cast(Inheriting, self.inner).alive()))


class BestFirst:
    """The space, but its first samples are those of `queue`, in order.

    Samples depend on the number drawn before; replay still holds, since the strategy that draws them
    is replayed too.

    Args:
        space: samples what follows.
        whole: whether all of the queue should be tried before anything is bred (`founders_wait`).
    """

    def __init__(self, space: Space, *, whole: bool = False) -> None:
        self.space, self.family, self.gives = space, space.family, space.gives
        self.whole = whole
        self.queue: deque[Arch] = deque()
        self.samples = 0

    @property
    def founders_wait(self) -> bool:
        """Whether samples are left that should be tried before anything is bred."""
        return self.whole and bool(self.queue)

    def sample(self, rng: random.Random) -> Arch:
        """Return the next of the queue, or a sample of the space."""
        self.samples += 1
        return self.queue.popleft() if self.queue else self.space.sample(rng)

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Return a neighbour in the space."""
        return self.space.mutate(arch, rng)

    def __getattr__(self, name: str) -> Any:
        if name == "space":  # not set yet: while it is copied
            raise AttributeError(name)
        return getattr(self.space, name)
