"""A generational genetic algorithm whose training length grows with the generation: EDEN.

Source: Dufourq & Bassett 2017, "EDEN: Evolutionary Deep Networks for Efficient Machine Learning"
(1709.09161): offspring replace the population, parents are chosen by tournament, and every generation
trains an epoch longer, 13 in the tenth. The paper's population, tournament size and rates of the
operators are not known to us; here they are settings.
What differs: lengths are shares of the run's epochs, in the paper's proportion (3, 4, 5, ...), because
a run on two cores cannot always afford whole epochs. The best of a generation may survive. It is then
trained again at the new length beside its children, so that fitness is only compared between equal
training lengths.
"""

from __future__ import annotations

from ..errors import SettingError
from ..space import Space
from ..space.capabilities import crossover
from ..types import Arch, Budget, Candidate, Result, stream

PAPER_GENERATIONS = 10
FIRST_EPOCHS = 3  # of the paper's first generation; every further one trains one epoch longer


class Genetic:
    """Generations of tournaments, crossover and mutation.

    Args:
        space: samples and mutates architectures; this strategy does not depend on their form.
        population: members of a generation; None follows from the horizon. [count]
        generations: over which the training length grows; None is the paper's 10, or fewer where the
            horizon does not allow them. [count]
        tournament: members drawn to choose one parent. [count]
        crossover: probability that a child has two parents, before its mutation; needs a space with
            crossover. [0..1]
        mutation: probability that a child of two parents is mutated as well. [0..1]
        survivors: best members that are trained again in the next generation; 0 replaces all. [count]
        growing: whether the training length grows; False trains every generation for `epochs`.
        epochs: training length of the last generation. [epochs]
        horizon: trials that the search is planned for. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: for a setting out of its range, or `crossover` in a space that has none.
    """

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        population: int | None = None,
        generations: int | None = None,
        tournament: int = 3,
        crossover: float = 0.0,
        mutation: float = 0.5,
        survivors: int = 1,
        growing: bool = True,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        if population is None:
            population = max(4, min(100, horizon // PAPER_GENERATIONS, round(horizon**0.5)))
            population = max(population, min(12, horizon // 4))
        if generations is None:
            generations = max(1, min(PAPER_GENERATIONS, horizon // max(1, population)))
        for name, value, low, high in (
            ("population", population, 1, None),
            ("generations", generations, 1, None),
            ("tournament", tournament, 1, None),
            ("crossover", crossover, 0, 1),
            ("mutation", mutation, 0, 1),
            ("survivors", survivors, 0, population - 1),
        ):
            if value < low or (high is not None and value > high):
                rule = f"at least {low}" if high is None else f"in {low}..{high}"
                raise SettingError(f"{name}={value}: {rule}")
        if crossover and "crossover" not in space.gives:
            raise SettingError(f"crossover={crossover}: this space has no crossover; set it to 0")
        self.space, self.epochs, self.seed = space, epochs, seed
        self.size, self.generations, self.tournament = population, generations, tournament
        self.crossover, self.mutation = crossover, mutation
        self.survivors, self.growing = survivors, growing
        self.asked = 0  # also the id of the next candidate
        self.generation = 0
        self.queue: list[
            tuple[Arch, tuple[int, ...], str]
        ] = []  # of this generation, not asked yet
        self.open: set[int] = set()  # asked, not told
        self.told: list[Result] = []  # of this generation
        self.missing = population  # members of the first generation that are not drawn yet

    def ask(self) -> Candidate | None:
        """Return the next member of the generation; None while its last members train."""
        if not self.queue and not self.missing:
            if self.open:
                return None
            self._breed()
        id, self.asked = self.asked, self.asked + 1
        if self.queue:
            arch, parents, operator = self.queue.pop(0)
        else:
            self.missing -= 1
            arch = self.space.sample(stream(self.seed, "genetic", "sample", id))
            parents, operator = (), "sample"
        self.open.add(id)
        return Candidate(
            id,
            arch,
            parents=parents,
            operator=operator,
            budget=Budget(epochs=self.length(self.generation)),
            note={"generation": self.generation},
        )

    def tell(self, result: Result) -> None:
        """Take a result; one without a score leaves its generation one member smaller."""
        self.open.discard(result.candidate.id)
        if result.ok:
            self.told.append(result)

    def length(self, generation: int) -> float:
        """Return the training length of a generation. [epochs]"""
        if not self.growing:
            return self.epochs
        last = FIRST_EPOCHS + self.generations - 1
        return self.epochs * min(1.0, (FIRST_EPOCHS + generation) / last)

    def _breed(self) -> None:
        """Fill the next generation: the survivors again, then children."""
        members = sorted(self.told, key=lambda result: (-result.value, result.candidate.id))
        self.told = []
        self.generation += 1
        if not members:  # everything failed: nothing to breed from
            self.missing = self.size
            return
        kept = [
            (m.candidate.arch, (m.candidate.id,), "survivor") for m in members[: self.survivors]
        ]
        children = [self._child(members, place) for place in range(self.size - len(kept))]
        self.queue = kept + children

    def _child(self, members: list[Result], place: int) -> tuple[Arch, tuple[int, ...], str]:
        rng = stream(self.seed, "genetic", self.generation, place)

        def parent() -> Candidate:
            # members are sorted, so the smallest of some random places wins the tournament
            return members[
                min(rng.randrange(len(members)) for _ in range(self.tournament))
            ].candidate

        mother = parent()
        if rng.random() >= self.crossover:
            move = self.space.mutate(mother.arch, rng)
            return move.arch, (mother.id,), move.operator
        father = parent()
        move = crossover(self.space).crossover(mother.arch, father.arch, rng)
        operator = move.operator
        if rng.random() < self.mutation:
            move = self.space.mutate(move.arch, rng)
            operator = f"{operator}+{move.operator}"
        return move.arch, tuple(dict.fromkeys((mother.id, father.id))), operator
