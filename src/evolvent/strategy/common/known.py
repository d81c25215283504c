"""Any strategy from known members: hand-made architectures are tried before anything else, in order.

Evolution that begins with a ResNet-18 improved on it on all of eight unseen data sets, and was better
on average than evolution from scratch (Ericsson et al. 2024, "einspace", 2405.20838).

How: the other strategy searches the same space, but its first samples are the known members, best
first. So they are its first population, or its first candidates at the shortest training, it learns
from their results as from any other, and needs no change. Where a strategy that trains at full length
stops sampling before all of them were asked, or never samples (controllers), the rest are asked here,
at full length, and their results are not told to it: it could not know whose they are. What such a
strategy never asks is counted out of its horizon.

A candidate of this kind has the operator ``"known NAME"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

from ...errors import SettingError
from ...space import Space
from ...types import Arch, Budget, Candidate, Result
from .. import Inheriting, Strategy, lengthen
from .warm import BestFirst

OPERATOR = "known"


class Known:
    """Asks for known members, then for what another strategy asks for.

    Args:
        make: (space, horizon) -> the other strategy.
        space: of the members.
        members: name -> architecture, the best first.
        epochs: training length of a member that is asked here. [epochs]
        horizon: trials of the whole search. [trials]

    Raises:
        SettingError: if there are no members.
    """

    needs = frozenset({"known"})

    def __init__(
        self,
        make: Callable[[Space, int], Strategy],
        space: Space,
        members: Mapping[str, Arch],
        *,
        epochs: float = 1.0,
        horizon: int = 100,
    ) -> None:
        if not members:
            raise SettingError(
                "strategy.known=true, and this space has no known member for these data: leave it out"
            )
        probe = BestFirst(space)
        first = make(probe, horizon).ask()
        samples = probe.samples > 0
        length = first.budget.epochs if first is not None else 0.0
        self._outside = 0 if samples else len(members)  # trials that the other one never asks for
        #: whether those that it does not sample are asked here
        self._complete = not samples or length >= epochs
        self._budget = Budget(epochs=epochs)
        self._left = dict(members)  # not asked yet
        self._names = {arch: name for name, arch in members.items()}
        self._queue = BestFirst(space, whole=True)
        self._queue.queue.extend(members.values() if samples else ())
        self.inner = make(self._queue, max(1, horizon - self._outside))
        self.needs = self.inner.needs | self.needs
        self.ends = self.inner.ends
        line = f"begins with {len(members)} known members: {', '.join(members)}"
        lines = (line, getattr(self.inner, "note", ""))
        self.note = "; ".join(line for line in lines if line)
        if hasattr(self.inner, "alive"):
            self.alive = self._alive
        for name in ("objectives", "reads", "together", "mean_length"):
            if hasattr(self.inner, name):
                setattr(self, name, getattr(self.inner, name))
        self._held: Candidate | None = None  # asked by the other one, while the rest go first
        self._flying: dict[int, Candidate | None] = {}  # in flight -> as the other one asked it
        self._outer: dict[int, int] = {}  # its id -> ours
        self._asked = 0  # also the id of the next candidate

    def ask(self) -> Candidate | None:
        """Return the next known member, or a candidate of the other strategy."""
        if self._outside and self._left:
            return self._own()
        asked, self._held = self._held or self.inner.ask(), None
        if asked is None:
            return self._own() if self._complete and self._left else None
        name = self._names.get(asked.arch) if asked.operator == "sample" else None
        if name in self._left:
            del self._left[name]
            return self._passed(asked, f"{OPERATOR} {name}")
        if self._complete and self._left:
            self._held = asked
            return self._own()
        return self._passed(asked, asked.operator)

    def tell(self, result: Result) -> None:
        """Tell the other strategy the result of what it asked for."""
        asked = self._flying.pop(result.candidate.id)
        if asked is not None:
            self.inner.tell(replace(result, candidate=asked))

    def lengthen(self, horizon: int) -> None:
        """Tell the other strategy of a longer horizon."""
        lengthen(self.inner, max(1, horizon - self._outside))

    def _own(self) -> Candidate:
        """Return the next known member as a candidate of which the other strategy does not know."""
        name = next(iter(self._left))
        arch = self._left.pop(name)
        if arch in self._queue.queue:
            self._queue.queue.remove(arch)
        return self._asking(
            Candidate(self._asked, arch, operator=f"{OPERATOR} {name}", budget=self._budget), None
        )

    def _passed(self, asked: Candidate, operator: str) -> Candidate:
        """Return a candidate of the other strategy with our ids."""
        self._outer[asked.id] = self._asked
        candidate = replace(
            asked,
            id=self._asked,
            operator=operator,
            parents=tuple(self._outer[id] for id in asked.parents),
            weights_from=tuple(self._outer[id] for id in asked.weights_from),
        )
        return self._asking(candidate, asked)

    def _asking(self, candidate: Candidate, asked: Candidate | None) -> Candidate:
        self._flying[self._asked] = asked
        self._asked += 1
        return candidate

    def _alive(self) -> frozenset[int]:
        alive = cast(Inheriting, self.inner).alive()
        return frozenset(self._outer[id] for id in alive if id in self._outer)
