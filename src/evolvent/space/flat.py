"""Spaces whose architectures are one tuple of genes, every gene with a list of alternatives."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from ..errors import InvalidArchitecture
from ..types import Arch
from . import Decision, Move

TRIES = 60  # draws of a network that keeps the limits


class Flat:
    """The part that such spaces share. Each says which genes matter, and which networks it has.

    Genes that have no effect have their first value; `normal` brings an architecture to this form.
    Moves change genes that have an effect, and keep to what `_fits`.

    Attributes:
        names: of the genes, in the order of an architecture.
        order: of the decisions; a gene stands behind those that decide whether it matters.
        unordered: genes whose values have no order: any one is next to any other.
        recipe: genes that are hyperparameters of the training, by name.
        lr: learning rate where the gene ``rate`` is 1.
        usual: gene -> the value that it has where a move makes it matter, and in hand-made members.
        values: gene -> its alternatives, in their order.
    """

    names: ClassVar[tuple[str, ...]]
    order: ClassVar[tuple[str, ...]]
    unordered: ClassVar[Collection[str]]
    recipe: ClassVar[tuple[str, ...]]
    lr: ClassVar[float]
    usual: ClassVar[Mapping[str, Any]]
    values: dict[str, tuple[Any, ...]]

    def _counts(self, name: str, chosen: Mapping[str, Any]) -> bool:
        """Whether a gene has an effect, given those before it in the order of the decisions."""
        raise NotImplementedError

    def _fits(self, arch: Arch) -> bool:
        """Whether an architecture is a network that keeps the limits."""
        raise NotImplementedError

    def members(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the genes of the hand-made members by name, as far as they differ from the usual."""
        raise NotImplementedError

    # -- what is valid ---------------------------------------------------------------------------

    def _of_this_space(self, arch: Arch) -> Arch:
        """Return the `normal` form of an architecture that someone wrote.

        Raises:
            InvalidArchitecture: naming the gene that is not of this space.
        """
        if not isinstance(arch, tuple) or len(arch) != len(self.names):
            raise InvalidArchitecture(f"{arch!r} is not ({', '.join(self.names)})")
        for name, value in self._named(arch).items():
            if value not in self.values[name]:
                options = ", ".join(map(str, self.values[name]))
                raise InvalidArchitecture(f"{name} {value!r} is not of this space: {options}")
        return self.normal(arch)

    def normal(self, arch: Arch) -> Arch:
        """Return `arch` with the first value for every gene that has no effect."""
        chosen = self._named(arch)
        for name in self.names:
            if not self._counts(name, chosen):
                chosen[name] = self.values[name][0]
        return tuple(chosen.values())

    def canonical(self, arch: Arch) -> Arch:
        """Return the `normal` form, which is equal for equal networks with equal trainings."""
        return self.normal(arch)

    def _named(self, arch: Arch) -> dict[str, Any]:
        """Return the genes of an architecture by name."""
        return dict(zip(self.names, arch, strict=True))

    # -- sample and move -------------------------------------------------------------------------

    def sample(self, rng: random.Random) -> Arch:
        """Return a hand-made member of which about a third of the genes are drawn anew."""
        members = [*self.members().values()]
        for _ in range(TRIES):
            base = {**self.usual, **rng.choice(members)}
            drawn = {
                name: rng.choice(options) if rng.random() < 1 / 3 else nearest(base[name], options)
                for name, options in self.values.items()
            }
            made = self._alive(tuple(drawn[name] for name in self.names), rng)
            if self._fits(made):
                return made
        return self.decode(self._first())

    def _alive(self, arch: Arch, rng: random.Random) -> Arch:
        """Return the `normal` form of a draw; a space may mend one that is no network."""
        return self.normal(arch)

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Change one gene that has an effect; on a scale, by one step."""
        before = self.normal(arch)
        for _ in range(20 * TRIES):
            name = rng.choice(self.names)
            chosen = self._named(before)
            if not self._counts(name, chosen):
                continue
            chosen[name] = self._near(name, chosen[name], rng)
            after = self._with_usual(before, tuple(chosen.values()))
            if after != before and self._fits(after):
                return Move(after, name)
        return self._other_rate(before, rng)

    def _with_usual(self, before: Arch, after: Arch) -> Arch:
        """Return the `normal` form of `after`; genes without an effect before are the usual ones."""
        old, new = self._named(before), self._named(after)
        for name in self.names:
            if self._counts(name, new) and not self._counts(name, old):
                new[name] = nearest(self.usual[name], self.values[name])
        return self.normal(tuple(new.values()))

    def _other_rate(self, arch: Arch, rng: random.Random) -> Move:
        """Change the learning rate, which keeps every limit."""
        genes = self._named(arch)
        genes["rate"] = self._near("rate", genes["rate"], rng)
        return Move(tuple(genes.values()), "rate")

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Move:
        """Take every gene from either parent."""
        for _ in range(TRIES):
            child = self.normal(tuple(rng.choice(pair) for pair in zip(first, second, strict=True)))
            if self._fits(child):
                return Move(child, "crossover")
        return Move(self.normal(first), "crossover")

    def training(self, arch: Arch) -> Mapping[str, Any]:
        """Return the genes of the recipe by the names of the training's hyperparameters."""
        genes = self._named(arch)
        return {name: genes[name] for name in self.recipe} | {"lr": self.lr * genes["rate"]}

    def _near(self, name: str, value: Any, rng: random.Random) -> Any:
        """Return another value of a gene: a neighbour on a scale, any other one else."""
        options = self.values[name]
        place = options.index(value)
        places = [at for at in range(len(options)) if at != place]
        if name not in self.unordered:
            places = [at for at in places if abs(at - place) == 1]
        return options[rng.choice(places)] if places else value

    # -- decisions -------------------------------------------------------------------------------

    def decision(self, prefix: Sequence[int]) -> Decision | None:
        """Every gene in its order; one without an effect has its first value alone."""
        if len(prefix) >= len(self.order):
            return None
        name = self.order[len(prefix)]
        legal = self._legal(name, self._chosen(prefix))
        return Decision(name, "choice", len(self.values[name]), legal)

    def _legal(self, name: str, chosen: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the places of the values with which some network keeps the limits."""
        return tuple(
            at
            for at, value in enumerate(self.values[name])
            if (at == 0 or self._counts(name, chosen)) and self._possible({**chosen, name: value})
        )

    def _possible(self, chosen: Mapping[str, Any]) -> bool:
        """Whether some network with these genes keeps the limits."""
        raise NotImplementedError

    def encode(self, arch: Arch) -> tuple[int, ...]:
        """Return the choices that make up the `normal` form of `arch`."""
        genes = self._named(self.normal(arch))
        return tuple(self.values[name].index(genes[name]) for name in self.order)

    def decode(self, choices: Sequence[int]) -> Arch:
        """Return the architecture of a complete sequence of choices."""
        chosen = self._chosen(choices)
        return self.normal(tuple(chosen[name] for name in self.names))

    def equivalents(self, choices: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """Return `choices`: no two networks of different choices are the same."""
        return tuple(choices)

    def _chosen(self, choices: Sequence[int]) -> dict[str, Any]:
        """Return the genes of a sequence of choices that may be incomplete."""
        names = self.order[: len(choices)]
        return {name: self.values[name][at] for name, at in zip(names, choices, strict=True)}

    def _first(self) -> tuple[int, ...]:
        """Return the sequence of the first legal choices."""
        choices: tuple[int, ...] = ()
        while (decision := self.decision(choices)) is not None:
            choices += (decision.legal[0],)
        return choices


def nearest(wished: Any, options: Sequence[Any]) -> Any:
    """Return the option that is closest to a number; of texts the wished one, else the first."""
    if isinstance(wished, str):
        return wished if wished in options else options[0]
    return min(options, key=lambda option: abs(option - wished))
