"""Runs of a strategy by hand, and the toys of several."""

from collections.abc import Callable
from random import Random
from typing import Any

from evolvent.space import Decision, Move
from evolvent.types import Candidate, Result, failed, stream


def answered(candidate: Candidate, value: float | None) -> Result:
    """The result of a candidate with this score; it failed if there is none."""
    return failed(candidate, "toy") if value is None else Result(candidate, score=value)


def driven(
    strategy: Any,
    trials: int,
    answer: Callable[[Candidate], Result],
    slots: int = 1,
    rng: Random | None = None,
    *,
    waits: bool = False,
) -> list[Any]:
    """Run with `slots` in flight, told in random order if `rng` is given; return all events.

    Only one that `waits` may ask for nothing while something is in flight.
    """
    events: list[Any] = []
    flying: list[Candidate] = []
    for _ in range(trials):
        while len(flying) < slots:
            candidate = strategy.ask()
            if candidate is None:
                assert waits
                break
            flying.append(candidate)
            events.append(candidate)
        result = answer(flying.pop(rng.randrange(len(flying)) if rng else 0))
        strategy.tell(result)
        events.append(result)
    return events


def stormy(
    strategy: Any,
    trials: int,
    score: Callable[[Any], float],
    *,
    slots: int,
    odds: float,
    seed: int,
    look: Callable[[Any], None],
) -> list[Result]:
    """Let it search, told in any order and with failures; `look` is called after every ask and tell."""
    rng = stream(seed, "drive")
    flying: list[Candidate] = []
    told: list[Result] = []
    while len(told) < trials:
        while len(flying) < slots and (candidate := strategy.ask()) is not None:
            flying.append(candidate)
            look(strategy)
        assert flying, "it waits for nothing"
        candidate = flying.pop(rng.randrange(len(flying)))
        bad = rng.random() < odds
        told.append(answered(candidate, None if bad else score(candidate.arch)))
        strategy.tell(told[-1])
        look(strategy)
    return told


def asks(events: list[Any]) -> list[Candidate]:
    return [event for event in events if isinstance(event, Candidate)]


def answers(events: list[Any]) -> list[Result]:
    return [event for event in events if isinstance(event, Result)]


def best(events: list[Any]) -> float:
    return max(result.value for result in answers(events))


def mean(results: list[Result]) -> float:
    return sum(result.value for result in results) / len(results)


def rugged(arch: str) -> float:
    """Single digits, a pair that must fit, and a threshold; the best is 44043."""
    a, b, c, d, e = map(int, arch)
    return a + b - 1.5 * (c - d) % 5 + (d == 4) + 2.0 * (a == b == 4) + (e == 3) * 1.5


# ---- of policies ---------------------------------------------------------------------------------


class Edges:
    """Some edges with one of five operations each."""

    family = "toy"
    gives = frozenset({"decisions"})

    def __init__(self, edges=6):
        self.edges = edges

    def sample(self, rng):
        return tuple(rng.randrange(5) for _ in range(self.edges))

    def mutate(self, arch, rng):
        return Move(self.sample(rng), "sample")

    def decision(self, prefix):
        if len(prefix) == self.edges:
            return None
        return Decision("operation", "choice", 5, tuple(range(5)))

    def encode(self, arch):
        return arch

    def decode(self, choices):
        return tuple(choices)

    def equivalents(self, choices, rng):
        return tuple(choices)


def third(arch):
    """Only one decision matters."""
    return 0.5 + 0.1 * (arch[3] == 2)


def right(arch):
    """Every edge has a best operation of its own."""
    return sum(operation == (3 * edge) % 5 for edge, operation in enumerate(arch)) / len(arch)


def share(strategy, condition, number=300):
    """How often the policy now draws what fulfils a condition."""
    paths = strategy.controller.sample([stream("share", index) for index in range(number)])
    return sum(condition(path.choices) for path in paths) / number
