"""The controls of a delivery: networks that are trained as the winner is, to compare it with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..config.setup import Setup
from ..engine.store import Store
from ..network.build import Size, plan
from ..network.cost import Cost, cost
from ..network.fit import with_own_training
from ..network.plan import Plan
from ..ranking import distinct
from ..space import Space, key
from ..space.plain import Plain
from ..strategy.common.known import OPERATOR
from ..types import Arch, Candidate, Result, stream
from .selection import plain_width
from .timing import Lengths

RANDOM_CONTROL = 20  # the random control is the best of the first so many random candidates
SLOW = 3.0  # times as long as an epoch of the winner: a control that may be left out for it
BRIEFLY = "briefly"  # the winner itself, trained as long as controls of equal seconds
GRU = "gru"  # of as many parameters, beside the LSTM
KNOWN = "known"  # the best known member of a search that began with some, trained as long as they
USUAL = "usual"  # the plain network, by the training that a run has where no architecture sets it
#: the first only where the winner is continued
CONTROLS = ("retrained", "random", "plain", GRU, USUAL, KNOWN, BRIEFLY)


def best_known(results: Sequence[Result], space: Space) -> tuple[Result, str] | None:
    """Return the best trial of a known member, and the member's name; None where there was none.

    Args:
        results: of the search.
        space: of the search.
    """
    names = {
        key(space, result.candidate.arch): result.candidate.operator.removeprefix(f"{OPERATOR} ")
        for result in results
        if result.candidate.operator.startswith(f"{OPERATOR} ")
    }
    if not names:
        return None
    for result in distinct(results, space, len(results)):
        if name := names.get(key(space, result.candidate.arch)):
            return result, name
    return None


@dataclass(frozen=True)
class Controls:
    """The controls, trained beside the winner.

    Args:
        store: of the run.
        setup: of the run, with its data.
        results: of the search.
        like: the architecture whose size the plain control has.
    """

    store: Store
    setup: Setup
    results: Sequence[Result]
    like: Arch

    @cached_property
    def size(self) -> Size:
        """The size of the controls: of the candidates, where the winner alone is widened."""
        searched, final = self.setup.network.size, self.setup.train.network.size
        return replace(searched, views=final.views) if self.setup.widens else final

    @property
    def count(self) -> int:
        """The largest number of controls. [count]"""
        more = self.setup.equal_seconds + self.setup.facts.successive
        wanted = 2 + more if self.setup.train.controls else 0
        return wanted + (self.setup.deliver == "continue")

    @cached_property
    def random(self) -> tuple[Result, int]:
        """The best of the run's first random candidates, and how many these are.

        A search that asked for none gets a random architecture of its space, unseen by anybody.
        """
        told = sorted(self.results, key=lambda result: result.candidate.id)
        first = [r for r in told if r.ok and r.candidate.operator == "sample"][:RANDOM_CONTROL]
        if not first:  # of a warm start, the first that the proxy saw
            first = [r for r in self.store.steps() if r.candidate.operator == "proxy"][:1]
        if first:
            return max(first, key=lambda result: result.value), len(first)
        arch = self.setup.space.sample(stream(self.setup.request.seed, "deliver", "random"))
        return Result(Candidate(-1, arch), 0.0), 0

    @cached_property
    def best(self) -> Cost:
        """The size of the search's best, which the plain control has as well."""
        return cost(self._plan(self.like), self.setup.task)

    @cached_property
    def arch(self) -> Arch:
        """The plain control."""
        return (plain_width(self.setup.task, self.size, self.best),)

    @cached_property
    def gru(self) -> Arch:
        """The same of running text, with a GRU."""
        return (plain_width(self.setup.task, self.size, self.best, GRU), GRU)

    def plain(self, winner: Result) -> dict[str, Any]:
        """Return the plain control as a `Job` takes it, in all but its shape trained as the winner.

        That is with the hyperparameters that the winner's architecture sets, with its way to make one
        number of every channel, and with the views of the final training.
        """
        setup, arch = self.setup, winner.candidate.arch
        network = setup.train.network
        lines = [line for block in self._plan(arch).blocks for line in block.calls]
        head = "max" if any(line.op == "pool_max" for line in lines) else self.size.head
        return {
            "arch": self.arch,
            "space": Plain(),
            "size": replace(self.size, head=head),
            "hyper": with_own_training(network.hyper, setup.space, arch),
        }

    def _plan(self, arch: Arch) -> Plan:
        return plan(self.setup.space, arch, self.setup.task, self.size)

    def is_random(self, winner: Result) -> bool:
        """Whether the winner is itself the random control."""
        space = self.setup.space
        drawn, won = (key(space, r.candidate.arch) for r in (self.random[0], winner))
        return bool(drawn == won)

    def what(self, winner: Result) -> dict[str, dict[str, Any]]:
        """Return name -> what is trained, as a `Job` takes it."""
        found: dict[str, dict[str, Any]] = {}
        if self.setup.deliver == "continue":
            found["retrained"] = {"arch": winner.candidate.arch}
        # in equal seconds a random network that the search did not draw is not worth its time
        drawn = self.random[1] > 0 or not self.setup.equal_seconds
        if self.setup.train.controls and drawn and not self.is_random(winner):
            found["random"] = {"arch": self.random[0].candidate.arch, "size": self.size}
        if self.setup.train.controls:
            found["plain"] = plain = self.plain(winner)
            if self.setup.facts.successive:
                found[GRU] = plain | {"arch": self.gru}
            hyper = self.setup.train.network.hyper
            if self.setup.equal_seconds and plain["hyper"] != hyper:
                # what won, the shape or the training? The plain network by both trainings tells
                found[USUAL] = plain | {"hyper": hyper, "size": self.size}
        return found

    def epoch(self, name: str, winner: Result, lengths: Lengths) -> float:
        """Return the duration of an epoch of a final training, by its name. [s]"""
        if name == "plain":
            return lengths.measured(**self.plain(winner))
        if name == GRU:
            return lengths.measured(**self.plain(winner) | {"arch": self.gru})
        return lengths.epoch(self.random[0] if name == "random" else winner)

    def slowest(self, found: Sequence[Result], lengths: Lengths) -> float:
        """Return the duration of an epoch of the slowest of the finalists and the controls. [s]

        Controls that are slow beside all finalists may be left out (`SLOW`), and do not count.
        """
        own = max(lengths.epoch(result) for result in found)
        if not self.setup.train.controls:
            return own
        beside = (self.epoch(name, found[0], lengths) for name in ("random", "plain"))
        return max([own, *(each for each in beside if each <= SLOW * own)])
