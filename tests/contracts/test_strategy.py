"""What every registered strategy must do, whatever its method.

The rules themselves are in `evolvent.testing`, for strategies of anyone.
"""

import functools
from typing import Any

import pytest

from evolvent.contract import check_contract
from evolvent.registry import STRATEGIES, find
from evolvent.space.capabilities import known
from evolvent.strategy.common.known import Known
from evolvent.strategy.common.phases import Phases
from evolvent.testing import STRATEGY_RULES, strategy_case
from evolvent.testing.strategies import TRIALS, asks, drive
from evolvent.types import Facts, Result

#: Settings that make what takes long shorter; the contract is the same.
LIGHT: dict[str, dict[str, Any]] = {
    "nao": {
        **{"members": 1, "steps": 1, "starts": 8, "seeds": 3, "width": 8, "beam": 2},
        **{"initial": 36, "batch": 6},
    },
    "bayes": {"initial": 20},
    "darts": {"batches": 2},
    "gdas": {"batches": 2},
    "drnas": {"batches": 2},
    "pc-darts": {"batches": 2},
    "p-darts": {"batches": 2},
    "snas": {"batches": 2},
    "darts-pt": {"batches": 2},
}
PHASES = " in phases"  # of training shared weights
KNOWN = " from known members"
FACTS = Facts("image", "accuracy", (3, 32, 32), 10)


class InPhases:
    """A strategy in phases of training, made as it is itself."""

    ends = Phases.ends

    def __init__(self, name):
        self.make = functools.partial(find("strategy", name), **LIGHT.get(name, {}))
        self.needs = find("strategy", name).needs | Phases.needs

    def __call__(self, space, *, seed, epochs, horizon):
        def over(count):
            return self.make(space, seed=seed, epochs=epochs, horizon=count)

        return Phases(
            over, space, rounds=10, scores=1, batches=2, reference=1, horizon=30, seed=seed
        )


class FromKnown:
    """A strategy that begins with known members, made as it is itself."""

    def __init__(self, name):
        self.make = functools.partial(find("strategy", name), **LIGHT.get(name, {}))
        self.needs = find("strategy", name).needs | Known.needs
        self.ends = find("strategy", name).ends

    def __call__(self, space, *, seed, epochs, horizon):
        def over(samples, trials):
            return self.make(samples, seed=seed, epochs=epochs, horizon=trials)

        members = known(space).known(FACTS)
        return Known(over, space, members, epochs=epochs, horizon=horizon)


#: one that samples, breeds, is taught, trains in rungs, waits for generations, and a front
FROM_KNOWN = (
    "random",
    "regularized-evolution",
    "genetic",
    "pareto",
    "local",
    "bayes",
    "reinforce",
    "nao",
    "hyperband",
    "asha",
)
NAMES = [
    *STRATEGIES,
    *(f"{name}{PHASES}" for name in ("random", "reinforce", "nao")),
    *(f"{name}{KNOWN}" for name in FROM_KNOWN),
]
#: that take seconds; without known members they are among the quick tests
LONG = {f"nao{PHASES}", *(f"{name}{KNOWN}" for name in ("nao", "bayes", "pareto", "local"))}
every_strategy = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in NAMES]
)


@functools.cache
def case_of(name):
    if name.endswith(PHASES):
        return strategy_case(InPhases(name.removesuffix(PHASES)))
    if name.endswith(KNOWN):
        return strategy_case(FromKnown(name.removesuffix(KNOWN)))
    return strategy_case(find("strategy", name), settings=LIGHT.get(name))


@every_strategy
@pytest.mark.parametrize("rule", STRATEGY_RULES, ids=lambda rule: rule.__name__)
def test_it_keeps(name, rule):
    rule(case_of(name))


@every_strategy
def test_its_spaces_give_what_it_needs(name):
    case = case_of(name)
    needs = case.make.needs & frozenset().union(*(space.gives for space in case.spaces))
    assert all(needs <= space.gives for space in case.spaces)


@every_strategy
def test_none_of_ours_ends_early_whatever_fails(name):
    """One that may end, because its space may, still has trials enough here."""
    case = case_of(name)
    for chance in range(3):
        log = drive(case, slots=2, chance=chance, odds={"failed": 0.9})
        assert sum(isinstance(event, Result) for event in log.events()) == TRIALS
        assert len(asks(drive(case, slots=7, chance=chance))) >= TRIALS
    assert len(asks(drive(case, odds={"failed": 1.0}))) == TRIALS
    log = drive(case, trials=TRIALS + 20, slots=TRIALS)
    assert sum(isinstance(event, Result) for event in log.events()) == TRIALS + 20


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_passes_what_is_asked_of_parts_from_outside(name):
    check_contract("strategy", name, find("strategy", name))
