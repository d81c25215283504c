"""Regularized evolution: mutate the best of a random few, retire the oldest.

Source: Real et al. 2018, "Regularized Evolution for Image Classifier Architecture Search"
(1802.01548), algorithm 1; P = 100, S = 25, identity 0.05 as there. The winner is the best of the
whole history, not of the last population.
What differs: results may be told in any order, so that many workers run at once; "oldest" means told
first, which is the order of finished training, as in the paper. A mutation never draws the current
value; only the identity rate repeats the parent's architecture. With a short horizon the paper's P
would leave no budget to evolve with, so P shrinks with it (`note` says so).
"""

from __future__ import annotations

from collections import deque

from ..errors import SettingError
from ..space import Move, Space
from ..types import Budget, Candidate, Result, stream
from .common.breeding import population_of

PAPER_POPULATION, PAPER_SAMPLE = 100, 25


class RegularizedEvolution:
    """Steady-state evolution in which age, not score, decides which member leaves.

    Args:
        space: samples and mutates architectures; this strategy does not depend on their form.
        population: living members P; None is the paper's 100, or what the horizon allows. [count]
        sample: tournament size S; None is the paper's 25, or a quarter of P. [count, 1..P]
        identity: probability of training the parent's architecture again. [0..1]
        replacement: whether a tournament may draw a member twice, as the paper's does.
        aging: False removes the worst of each tournament instead: the paper's control.
        inherit: whether children start from their parent's weights; the paper's do not.
        epochs: training length of every candidate. [epochs]
        horizon: trials that the search is planned for. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: if `sample` is outside 1..population, or `identity` outside 0..1.
    """

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        population: int | None = None,
        sample: int | None = None,
        identity: float = 0.05,
        replacement: bool = True,
        aging: bool = True,
        inherit: bool = False,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        self.note = ""
        self._scaled = (population is None, sample is None)
        if population is None:
            population, self.note = _population(horizon)
        if sample is None:
            sample = _sample(population)
        if not 1 <= sample <= population:
            raise SettingError(
                f"sample={sample} must lie in 1..population={population}: "
                "lower sample or raise population"
            )
        if not 0 <= identity <= 1:
            raise SettingError(f"identity={identity} must lie in 0..1: it is a probability")
        self.space, self.budget, self.seed = space, Budget(epochs=epochs), seed
        self.size, self.sample, self.identity = population, sample, identity
        self.first = population  # asks that are random
        self.replacement, self.aging, self.inherit = replacement, aging, inherit
        self.members: deque[Result] = deque()  # oldest first
        self.rivals: dict[int, list[int]] = {}  # candidate in flight -> the ids of its tournament
        self.parents: dict[int, int] = {}  # candidate in flight -> the id whose weights it inherits
        self.asked = 0  # also the id of the next candidate

    def ask(self) -> Candidate:
        """Return a new candidate: random for the first P asks, then a child of a tournament."""
        rng = stream(self.seed, "evolution", self.asked)
        id, self.asked = self.asked, self.asked + 1
        if self._scaled[0] and getattr(self.space, "founders_wait", False):
            self.first = max(self.first, id + 1)  # known members all belong to the population
            self.size = max(self.size, self.first)
        if id < self.first or not self.members:
            return Candidate(id, self.space.sample(rng), budget=self.budget)
        count = min(self.sample, len(self.members))
        rivals = (
            [self.members[rng.randrange(len(self.members))] for _ in range(count)]
            if self.replacement
            else rng.sample(self.members, count)
        )
        best = max(rivals, key=lambda result: result.value)
        parent = best.candidate
        move = Move(parent.arch, "identity")
        if rng.random() >= self.identity:
            move = self.space.mutate(parent.arch, rng)
        if not self.aging:
            self.rivals[id] = [rival.candidate.id for rival in rivals]
        if self.inherit:
            self.parents[id] = parent.id
        return Candidate(
            id,
            move.arch,
            parents=(parent.id,),
            operator=move.operator,
            weights_from=(parent.id,) if self.inherit else (),
            budget=self.budget,
        )

    def tell(self, result: Result) -> None:
        """Admit a result and retire a member; a failed one only uses up its ask."""
        rivals = self.rivals.pop(result.candidate.id, [])
        self.parents.pop(result.candidate.id, None)
        if not result.ok:
            return
        self.members.append(result)
        if len(self.members) > self.size:
            self._retire(rivals)

    def alive(self) -> frozenset[int]:
        """Return the ids that may still breed, or whose children are in flight."""
        members = (member.candidate.id for member in self.members)
        return frozenset((*members, *self.parents.values()))

    def lengthen(self, horizon: int) -> None:
        """Let the population grow to what a longer horizon allows; it fills with the next results."""
        population, sample = self._scaled
        if population:
            self.size = max(self.size, _population(horizon)[0])
        if population and sample:
            self.sample = _sample(self.size)

    def _retire(self, rivals: list[int]) -> None:
        if self.aging:
            self.members.popleft()
            return
        # Other tournaments may have removed all rivals meanwhile; then the worst member goes.
        living = [member for member in self.members if member.candidate.id in rivals]
        self.members.remove(min(living or self.members, key=lambda member: member.value))


def _population(horizon: int) -> tuple[int, str]:
    """Return the population that a horizon allows, and a note if that is less than the paper's."""
    allowed = min(max(20, horizon // 10), max(2, horizon // 3))
    return population_of(PAPER_POPULATION, allowed, horizon)


def _sample(population: int) -> int:
    return min(PAPER_SAMPLE, max(2, population // 4))
