"""What every registered strategy must do, whatever its method."""

import itertools
import json
import sys
from typing import Any

import numpy as np
import pytest
from tests.helpers import elsewhere

from evolvent.engine.loop import replay
from evolvent.engine.store import Memory
from evolvent.network.build import Size, plan
from evolvent.registry import STRATEGIES, find
from evolvent.space.blueprint import Blueprint
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.space.topology import Topology
from evolvent.strategy.common.phases import Phases
from evolvent.types import Candidate, Result, failed, stream

SPACES = (
    Cell201(),
    Cell(nodes=2),
    Cell(operations="nasnet", nodes=3, combine=("add", "concat")),
    Topology(),
    Blueprint((1, 8, 8)),
)
TRIALS, EPOCHS = 60, 9.0

#: Settings that make what takes long shorter; the contract is the same.
LIGHT: dict[str, dict[str, Any]] = {
    "nao": {"members": 1, "steps": 1, "starts": 20, "seeds": 3, "width": 8},
    "darts": {"batches": 2},
    "gdas": {"batches": 2},
}
PHASES = " in phases"  # of training shared weights


class Data:
    """What a network needs to know of a task."""

    outputs = 1

    def __init__(self, space):
        self.input_shape = space.input_shape


every_strategy = pytest.mark.parametrize(
    "name", [*STRATEGIES, *(f"{name}{PHASES}" for name in ("random", "reinforce", "nao"))]
)


def needs_of(name):
    """What a strategy needs of its space; the rest is for its estimator to give."""
    needs = find("strategy", name.removesuffix(PHASES)).needs
    needs |= Phases.needs if name.endswith(PHASES) else frozenset()
    return needs & frozenset().union(*(space.gives for space in SPACES))


def suitable(name):
    """The spaces that give what a strategy needs."""
    return [space for space in SPACES if needs_of(name) <= space.gives]


def make(name, space=None, seed=0):
    """The strategy as a run makes it."""
    space, base = space or suitable(name)[0], name.removesuffix(PHASES)

    def over(horizon):
        light = LIGHT.get(base, {})
        return find("strategy", base)(space, seed=seed, epochs=EPOCHS, horizon=horizon, **light)

    if name == base:
        return over(TRIALS)
    return Phases(over, space, rounds=10, scores=1, batches=2, reference=1, horizon=30, seed=seed)


def toy(candidate, space):
    """A score that depends on the decisions, and gets a little better with training."""
    if candidate.kind == "step":
        return toy_step(candidate)
    choices = _choices(space, candidate.arch)
    worth = [stream("toy", *place).random() for place in enumerate(choices)]
    score = sum(worth) / len(worth) * (1 - 0.1 / (1 + candidate.budget.epochs))
    return Result(
        candidate,
        score,
        metrics={"accuracy": score, "loss": 1 - score},
        seconds=candidate.budget.epochs,
        params=1000 + 100 * sum(choices),
        flops=10**6 + 10**4 * sum(choices),
        epochs=candidate.budget.epochs,
        total_epochs=candidate.budget.epochs,
    )


def toy_step(candidate):
    """A score that depends on the mixture, and the gradient of its negative."""
    slopes = {
        name: np.random.default_rng(len(name)).random(rows.shape).astype(np.float32)
        for name, rows in candidate.mixture.items()
    }
    score = sum(float((slopes[name] * rows).mean()) for name, rows in candidate.mixture.items())
    if candidate.budget.validation_batches == 0:
        return Result(candidate, metrics={"train_loss": 1 - score})
    return Result(candidate, score, gradient={name: -slope for name, slope in slopes.items()})


def _choices(space, arch):
    """Whole numbers that stand for an architecture: its decisions, or those of its genes."""
    if "decisions" in space.gives:
        return space.encode(arch)
    return [stream("gene", *gene).randrange(9) for gene in arch]


def drive(name, trials=TRIALS, *, slots=1, seed=0, chance=0, odds=None, space=None):
    """Let a strategy search; return the log.

    Args:
        name: of the strategy.
        trials: results to tell.
        slots: candidates in flight.
        seed: of the strategy.
        chance: seed of the order of telling, and of what goes wrong.
        odds: status -> probability of results that have no score.
        space: to search.
    """
    space = space or suitable(name)[0]
    strategy, rng, log = make(name, space, seed), stream(chance, "drive"), Memory()
    flying: list[Candidate] = []
    for _ in range(trials):
        while len(flying) < slots:
            candidate = strategy.ask()
            if candidate is None:
                assert strategy.ask() is None, "None changes nothing"
                break
            log.asked(candidate)
            flying.append(candidate)
        if not flying:
            assert strategy.ends, "it asks for nothing while nothing is open"
            break
        candidate = flying.pop(rng.randrange(len(flying)))
        result, fate = toy(candidate, space), rng.random()
        for status, probability in (odds or {}).items():
            if fate < probability and result.ok:
                result = Result(candidate, status=status, reason="toy")
            fate -= probability
        log.told(result)
        strategy.tell(result)
    return log


def asks(log):
    return [event for event in log.events() if isinstance(event, Candidate)]


def texts(log):
    return [json.dumps(candidate.to_json()) for candidate in asks(log)]


@every_strategy
def test_the_same_seed_gives_the_same_asks_in_another_process(name):
    code = (
        "import json; from tests.contracts.test_strategy import drive, texts; "
        f"print(json.dumps(texts(drive({name!r}, slots=3, odds={{'failed': 0.3}}))))"
    )
    path = ":".join(["src", *filter(None, sys.path)])
    there = json.loads(elsewhere(code, PYTHONPATH=path))
    assert there == texts(drive(name, slots=3, odds={"failed": 0.3}))


@every_strategy
def test_another_seed_gives_other_asks(name):
    assert texts(drive(name, seed=0)) != texts(drive(name, seed=1))


@every_strategy
@pytest.mark.parametrize("length", [1, 35, 2 * TRIALS])
def test_a_replayed_strategy_goes_on_as_if_nothing_had_happened(name, length):
    whole = drive(name, slots=3, odds={"failed": 0.2, "refused": 0.1})
    log = Memory()
    for event in itertools.islice(whole.events(), length):
        log.asked(event) if isinstance(event, Candidate) else log.told(event)
    again = make(name)
    open_ones, _ = replay(again, log)
    told = {event.candidate.id for event in log.events() if isinstance(event, Result)}
    assert {candidate.id for candidate in open_ones} == {c.id for c in asks(log)} - told
    for event in itertools.islice(whole.events(), length, None):
        if isinstance(event, Candidate):
            assert again.ask().to_json() == event.to_json()
        else:
            again.tell(event)


@every_strategy
def test_it_stays_alive_when_nine_of_ten_fail(name):
    for chance in range(3):
        log = drive(name, slots=2, chance=chance, odds={"failed": 0.9})
        assert sum(isinstance(event, Result) for event in log.events()) == TRIALS


@every_strategy
def test_it_stays_alive_when_everything_fails(name):
    assert len(asks(drive(name, odds={"failed": 1.0}))) == TRIALS


@every_strategy
def test_tells_may_come_in_any_order(name):
    for chance in range(3):
        assert len(asks(drive(name, slots=7, chance=chance))) >= TRIALS


@every_strategy
def test_more_may_be_open_than_its_population_has(name):
    log = drive(name, trials=TRIALS + 20, slots=TRIALS)  # the horizon: no population is larger
    assert sum(isinstance(event, Result) for event in log.events()) == TRIALS + 20


@every_strategy
def test_every_candidate_survives_json(name):
    for space in suitable(name):
        for candidate in asks(drive(name, trials=30, space=space)):
            there = json.loads(json.dumps(candidate.to_json()))
            assert Candidate.from_json(there).to_json() == candidate.to_json()
            hash(candidate.arch)


@every_strategy
def test_every_architecture_is_one_of_the_space(name):
    for space in suitable(name):
        for candidate in asks(drive(name, trials=30, space=space)):
            if candidate.mixture is not None:
                for rows in candidate.mixture.values():
                    assert (rows >= 0).all() and rows.sum() > 0
            elif "decisions" in space.gives:
                assert space.decode(space.encode(candidate.arch)) == candidate.arch
            else:
                assert plan(space, candidate.arch, Data(space), Size()).network.calls


@every_strategy
def test_ids_count_up_from_zero(name):
    ids = [candidate.id for candidate in asks(drive(name, slots=3, odds={"refused": 0.3}))]
    assert ids == list(range(len(ids)))


@every_strategy
def test_no_candidate_trains_longer_than_the_run_allows(name):
    budgets = [candidate.budget.epochs for candidate in asks(drive(name))]
    shares = hasattr(make(name), "train_batches")  # then the horizon counts epochs
    most = TRIALS if shares else EPOCHS
    assert all(0 <= epochs <= most for epochs in budgets)
    assert max(budgets) > 0


@every_strategy
def test_only_what_has_a_score_becomes_a_parent(name):
    scored: set[int] = set()
    log = drive(name, slots=3, odds={"failed": 0.2, "refused": 0.2, "cut": 0.2})
    for event in log.events():
        if isinstance(event, Result):
            scored |= {event.candidate.id} if event.ok else set()
        else:
            assert set(event.parents) | set(event.weights_from) <= scored


@every_strategy
def test_a_failure_costs_one_ask_and_nothing_else(name):
    """A strategy that waits for a candidate that failed would wait for ever."""
    strategy = make(name)
    for _ in range(TRIALS):
        candidate = strategy.ask()
        assert candidate is not None or strategy.ends
        if candidate is None:
            break
        strategy.tell(failed(candidate, "toy"))
