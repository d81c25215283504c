"""CoDeepNEAT: modules and the blueprints that assemble them, evolved in two populations.

Source: Miikkulainen et al. 2017, "Evolving Deep Neural Networks" (1703.00548), section 3: a network is
assembled from a blueprint and, for every species of modules that its nodes point to, one module of that
species. The fitness of a blueprint, and of a module, is the mean over the networks that held it; both
populations evolve as in NEAT. In the paper 25 blueprints and 45 modules make 100 networks per
generation, for 72 generations.

Where the paper is silent: modules are drawn evenly, those in the fewest networks of the generation
first. A part that no network held keeps its fitness; a child keeps that of its first parent. A network
that fails counts as the worst of its generation; one cut off by the budget does not count; a generation
without any score is assembled anew. The distance thresholds are those that give the wanted numbers of
species. A blueprint that points to an extinct species is pointed to the nearest one at once. With a
short horizon the populations shrink (`note` says so).
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np

from ..errors import SettingError
from ..space import Move, PartSpace, Space
from ..space.capabilities import parts
from ..types import Budget, Candidate, Result, stream
from .common.population import Breeding, Population
from .common.species import Member

PAPER_NETWORKS, PAPER_BLUEPRINTS, PAPER_MODULES = 100, 25, 45
GENERATIONS = 12  # minimum number of generations of a horizon
LEAST_NETWORKS, LEAST_BLUEPRINTS, LEAST_MODULES = 6, 10, 6  # blueprints: not more than networks
STARTS = ("minimal", "random")


class CoDeepNEAT:
    """Coevolution of modules and of the blueprints that assemble them.

    Args:
        space: gives ``parts``; this strategy does not depend on their form.
        networks: assembled per generation; None is the paper's 100, or what the horizon allows.
            [count]
        blueprints: size of their population; None is 25 for every 100 networks, but at least 10 if
            there are as many networks. [count, >= 2]
        modules: size of their population; None is 45 for every 100 networks, but at least 6.
            [count, >= 2]
        blueprint_species: maximum species of blueprints; at most half as many as members. [count]
        module_species: maximum species of modules; at most half as many as members. A network has at
            most one module of each. [count]
        survival: share of a species that may breed. (0..1]
        elites: best members of a species that survive unchanged, if it has as many children. [count]
        crossover: probability that a child has two parents. [0..1]
        mutations: per child. [count]
        stagnation: generations without a fitter member after which a species has no children.
        start: ``minimal`` parts, as in NEAT, or ``random`` ones.
        epochs: training length of every candidate. [epochs]
        horizon: trials that the search is planned for. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: for a setting out of its range.
    """

    needs = frozenset({"parts"})
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        networks: int | None = None,
        blueprints: int | None = None,
        modules: int | None = None,
        blueprint_species: int = 2,
        module_species: int = 4,
        survival: float = 0.3,
        elites: int = 1,
        crossover: float = 0.2,
        mutations: int = 2,
        stagnation: int = 15,
        start: str = "minimal",
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        self.note = ""
        if networks is None:
            networks = min(PAPER_NETWORKS, max(LEAST_NETWORKS, horizon // GENERATIONS))
            if networks < PAPER_NETWORKS:
                self.note = (
                    f"{networks} networks per generation instead of the paper's {PAPER_NETWORKS}: "
                    f"{horizon} trials would be few generations"
                )
        if blueprints is None:
            in_proportion = round(networks * PAPER_BLUEPRINTS / PAPER_NETWORKS)
            blueprints = max(2, in_proportion, min(networks, LEAST_BLUEPRINTS))
        if modules is None:
            modules = max(round(networks * PAPER_MODULES / PAPER_NETWORKS), LEAST_MODULES)
        for name, value, low, high in (
            ("networks", networks, 1, math.inf),
            ("blueprints", blueprints, 2, math.inf),
            ("modules", modules, 2, math.inf),
            ("blueprint_species", blueprint_species, 1, math.inf),
            ("module_species", module_species, 1, math.inf),
            ("survival", survival, 0, 1),
            ("elites", elites, 0, math.inf),
            ("crossover", crossover, 0, 1),
            ("mutations", mutations, 1, math.inf),
            ("stagnation", stagnation, 1, math.inf),
        ):
            if not low <= value <= high:
                raise SettingError(f"{name}={value}: from {low} to {high}")
        if start not in STARTS:
            raise SettingError(f"start={start!r}: one of {', '.join(STARTS)}")
        self.space = parts(space)
        self.networks, self.budget, self.seed = networks, Budget(epochs=epochs), seed
        self.breeding = Breeding(survival, elites, crossover, mutations, stagnation)
        self.generation, self.asked = 0, 0  # `asked` is also the id of the next candidate
        rng = stream(seed, "codeepneat", "start")
        self.modules = Population(
            self._first(self.space.modules, modules, start, rng),
            min(module_species, modules // 2),
            self.space.modules,
        )
        self.blueprints = Population(
            self._first(self._pointing, blueprints, start, rng),
            min(blueprint_species, blueprints // 2),
            self._pointing,
        )
        self.told: list[Result] = []  # of this generation
        self.waiting = self._assembled()  # of this generation, not asked yet

    def ask(self) -> Candidate | None:
        """Return the next network of the generation; None while results of it are missing."""
        if not self.waiting:
            return None
        self.asked += 1
        return self.waiting.pop(0)

    def tell(self, result: Result) -> None:
        """Take a result; with the last of a generation, both populations breed."""
        self.told.append(result)
        if len(self.told) < self.networks:
            return
        if any(told.ok for told in self.told):
            self._credit()
            self.generation += 1
            self._breed()
        self.told = []
        self.waiting = self._assembled()

    # -- one generation after the other ----------------------------------------------------------

    @property
    def _pointing(self) -> PartSpace:
        """The operators of blueprints that point to the current species of modules."""
        return self.space.blueprints(self.modules.kinds)

    def _first(
        self, operators: PartSpace, count: int, start: str, rng: random.Random
    ) -> list[Move]:
        make = operators.start if start == "minimal" else operators.sample
        operator = "start" if start == "minimal" else "sample"
        return [Move(make(rng), operator) for _ in range(count)]

    def _assembled(self) -> list[Candidate]:
        """Return the networks of this generation: blueprints in turn, modules drawn evenly."""
        rng = stream(self.seed, "codeepneat", "assemble", self.asked)
        blueprints, held = self.blueprints.members, Counter[int]()
        species = {each.name: each.members for each in self.modules.species}
        found = []
        for place in range(self.networks):
            blueprint = blueprints[place % len(blueprints)]
            chosen: dict[int, Member] = {}
            for kind in self.space.pointed_to(blueprint.arch):
                least = min(held[module.id] for module in species[kind])
                rarest = [module for module in species[kind] if held[module.id] == least]
                chosen[kind] = rng.choice(rarest)
                held[chosen[kind].id] += 1
            arch = self.space.assemble(
                blueprint.arch, {kind: module.arch for kind, module in chosen.items()}
            )
            found.append(
                Candidate(
                    self.asked + place,
                    arch,
                    parents=blueprint.note.networks,
                    operator=blueprint.note.operator,
                    budget=self.budget,
                    note={
                        "generation": self.generation,
                        "blueprint": blueprint.id,
                        "modules": {str(kind): module.id for kind, module in chosen.items()},
                    },
                )
            )
        return found

    def _credit(self) -> None:
        """Set the fitness of blueprints and modules from the networks that held them."""
        blueprints: dict[int, list[Result]] = defaultdict(list)
        modules: dict[int, list[Result]] = defaultdict(list)
        for result in sorted(self.told, key=lambda told: told.candidate.id):
            if result.status == "cut":
                continue
            held = result.candidate.note
            blueprints[held["blueprint"]].append(result)
            for module in held["modules"].values():
                modules[module].append(result)
        self.blueprints.credit(blueprints, self.generation)
        self.modules.credit(modules, self.generation)

    def _breed(self) -> None:
        """Breed the modules, point the blueprints to the new species, then breed the blueprints."""
        rng = stream(self.seed, "codeepneat", "breed", self.generation)
        before = {species.name: species.representative for species in self.modules.species}
        self.modules.breed(self.space.modules, self.breeding, self.generation, rng)
        species = {each.name: each.representative for each in self.modules.species}
        far, names = self.space.modules.alignment(list(species.values())), list(species)
        every = np.arange(len(names))
        nearest = {
            name: min(zip(far(before[name], every), names, strict=True))[1]
            for name in before.keys() - species.keys()
        }
        for each in self.blueprints.species:
            each.members = [
                replace(member, arch=self.space.pointed(member.arch, nearest))
                for member in each.members
            ]
        self.blueprints.breed(self._pointing, self.breeding, self.generation, rng)
