"""The rules of every strategy, checked by hand on scores that cost nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..contract import check_contract
from ..engine.loop import replay
from ..engine.store import Memory
from ..errors import ReplayError, SettingError
from ..space import Space
from ..strategy import Strategy, lengthen
from ..types import Candidate, Result, failed, stream
from .common import elsewhere, name_of, require, run_rules

TRIALS, EPOCHS = 60, 9.0


@dataclass(frozen=True)
class StrategyCase:
    """A strategy to check.

    Args:
        name: for messages.
        make: the class, or anything called like it: ``make(space, seed=..., epochs=..., horizon=...)``.
        spaces: that give what it needs; the first one is searched by most rules.
        settings: further keyword arguments.
        seeded: whether its seed decides what it asks for.
    """

    name: str
    make: Callable[..., Strategy]
    spaces: tuple[Any, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = True

    def fresh(self, space: Any = None, seed: int = 0) -> Strategy:
        """Return the strategy as a run makes it."""
        at = space or self.spaces[0]
        return self.make(at, seed=seed, epochs=EPOCHS, horizon=TRIALS, **self.settings)


def check_strategy(
    make: Callable[..., Strategy],
    *,
    space: Space | None = None,
    settings: Mapping[str, Any] | None = None,
    seeded: bool = True,
) -> None:
    """Check a strategy against its contract.

    Args:
        make: the class, or anything that is called like one.
        space: to search; None is every kind of space of the package that gives what it needs.
        settings: further keyword arguments, such as a smaller population.
        seeded: False for one that lists a space in a fixed order, whatever its seed.

    Raises:
        AssertionError: for the first rule that is broken, with what to do.
    """
    given = () if space is None else (space,)
    run_rules(
        STRATEGY_RULES, strategy_case(make, spaces=given, settings=settings or {}, seeded=seeded)
    )


def strategy_case(
    make: Callable[..., Strategy],
    *,
    spaces: Sequence[Any] = (),
    settings: Mapping[str, Any] | None = None,
    seeded: bool = True,
) -> StrategyCase:
    """Return the case that `STRATEGY_RULES` check; the arguments are those of `check_strategy`.

    Args:
        make: as there.
        spaces: to search.
        settings: as there.
        seeded: as there.

    Raises:
        AssertionError: if it is no strategy at all, or no space of the package gives what it needs.
    """
    name = name_of(make)
    try:
        check_contract("strategy", name, make)
    except SettingError as error:
        raise AssertionError(str(error)) from error
    needs: frozenset[str] = make.needs  # type: ignore[attr-defined]
    known = _spaces()
    needs &= frozenset().union(*(each.gives for each in known))  # the rest is for its estimator
    fitting = tuple(spaces) or tuple(each for each in known if needs <= each.gives)
    require(fitting, f"{name}: no space of the package gives all of {sorted(needs)}: give space=")
    return StrategyCase(name, make, fitting, settings or {}, seeded)


def _spaces() -> tuple[Any, ...]:
    """Return small spaces of every kind that strategies need."""
    from ..space.blueprint import Blueprint
    from ..space.cell import Cell
    from ..space.cell201 import Cell201
    from ..space.topology import Topology

    return (
        Cell201(),
        Cell(nodes=2),
        Cell(operations="nasnet", nodes=3, combine=("add", "concat")),
        Topology(),
        Blueprint((1, 8, 8)),
    )


# ---- a search without an estimator ---------------------------------------------------------------


def toy(candidate: Candidate, space: Any) -> Result:
    """Return a score that depends on the decisions, and gets a little better with training."""
    if candidate.mixture is not None:
        return _toy_step(candidate)
    choices = _choices(space, candidate.arch)
    worth = [stream("toy", *place).random() for place in enumerate(choices)]
    score = sum(worth) / max(1, len(worth)) * (1 - 0.1 / (1 + candidate.budget.epochs))
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


def _toy_step(candidate: Candidate) -> Result:
    """Return a score that depends on the mixture, and the gradient of its negative."""
    assert candidate.mixture is not None
    slopes = {
        name: np.random.default_rng(len(name)).random(rows.shape).astype(np.float32)
        for name, rows in candidate.mixture.items()
    }
    score = sum(float((slopes[name] * rows).mean()) for name, rows in candidate.mixture.items())
    if candidate.budget.validation_batches == 0:
        return Result(candidate, metrics={"train_loss": 1 - score})
    return Result(candidate, score, gradient={name: -slope for name, slope in slopes.items()})


def _choices(space: Any, arch: Any) -> tuple[int, ...]:
    """Return whole numbers that stand for an architecture: its decisions, or those of its genes."""
    if "decisions" in space.gives:
        found: tuple[int, ...] = space.encode(arch)
        return found
    genes = arch if isinstance(arch, tuple) else (arch,)
    return tuple(stream("gene", json.dumps(gene)).randrange(9) for gene in genes)


def drive(
    case: StrategyCase,
    trials: int = TRIALS,
    *,
    slots: int = 1,
    seed: int = 0,
    chance: int = 0,
    odds: Mapping[str, float] | None = None,
    space: Any = None,
) -> Memory:
    """Let a strategy search; return the log.

    Args:
        case: of the strategy.
        trials: results to tell. [count]
        slots: candidates in flight. [count]
        seed: of the strategy.
        chance: seed of the order of telling, and of what goes wrong.
        odds: status -> probability of results that have no score.
        space: to search; None is the first of the case.
    """
    space = space or case.spaces[0]
    strategy, rng, log = case.fresh(space, seed), stream(chance, "drive"), Memory()
    flying: list[Candidate] = []
    for _ in range(trials):
        while len(flying) < slots:
            candidate = strategy.ask()
            if candidate is None:
                require(strategy.ask() is None, "ask returned None, and then something: None waits")
                break
            require(
                isinstance(candidate, Candidate), f"ask returned {candidate!r}, not a Candidate"
            )
            log.asked(candidate)
            flying.append(candidate)
        if not flying:
            require(
                strategy.ends,
                "ask returned None while nothing was open, and it does not declare ends = True: it "
                "would wait for ever",
            )
            break
        candidate = flying.pop(rng.randrange(len(flying)))
        result, fate = toy(candidate, space), rng.random()
        for status, probability in (odds or {}).items():
            if fate < probability and result.ok:
                result = Result(candidate, status=status, reason="toy")  # type: ignore[arg-type]
            fate -= probability
        log.told(result)
        strategy.tell(result)
    return log


def asks(log: Memory) -> list[Candidate]:
    """Return the asked candidates, in their order."""
    return [event for event in log.events() if isinstance(event, Candidate)]


def texts(log: Memory) -> list[str]:
    """Return the asked candidates as texts, equal for equal candidates."""
    return [json.dumps(candidate.to_json()) for candidate in asks(log)]


def _told(log: Memory) -> int:
    return sum(isinstance(event, Result) for event in log.events())


# ---- rules ---------------------------------------------------------------------------------------


def is_the_same_in_another_process(case: StrategyCase) -> None:
    """The same seed gives the same asks in another process."""
    there = elsewhere(_texts_of, case)
    require(
        there == _texts_of(case),
        "the same seed gave other candidates in another process: draw from types.stream(seed, "
        "purpose, index), sort what comes from a set, and use no hash of a text",
    )


def _texts_of(case: StrategyCase) -> list[str]:
    return texts(drive(case, slots=3, odds={"failed": 0.3}))


def another_seed_asks_for_others(case: StrategyCase) -> None:
    """Another seed gives other asks."""
    if case.seeded:
        require(
            texts(drive(case, seed=0)) != texts(drive(case, seed=1)),
            "seeds 0 and 1 gave the same candidates: draw from types.stream(seed, purpose, index)",
        )


def resumes_by_replay(case: StrategyCase) -> None:
    """A fresh strategy that is told a log goes on as if nothing had happened."""
    whole = drive(case, slots=3, odds={"failed": 0.2, "refused": 0.1})
    for length in (1, 35, 2 * TRIALS):
        log = Memory()
        for event in itertools.islice(whole.events(), length):
            log.asked(event) if isinstance(event, Candidate) else log.told(event)
        again = case.fresh()
        try:
            open_ones, _ = replay(again, log)
        except ReplayError as error:
            raise AssertionError(f"it cannot be resumed: {error}") from error
        told = {event.candidate.id for event in log.events() if isinstance(event, Result)}
        waiting = {candidate.id for candidate in open_ones}
        require(waiting == {c.id for c in asks(log)} - told, "what was open is lost by a replay")
        for event in itertools.islice(whole.events(), length, None):
            if isinstance(event, Candidate):
                asked = again.ask()
                require(
                    asked is not None and asked.to_json() == event.to_json(),
                    f"after a replay of {length} events it asks for {asked!r} instead of {event!r}: "
                    "what ask returns may depend on the seed and on what was told, and on nothing "
                    "else",
                )
            else:
                again.tell(event)


def stays_alive_when_nine_of_ten_fail(case: StrategyCase) -> None:
    """It goes on when nine of ten candidates fail."""
    for chance in range(3):
        log = drive(case, slots=2, chance=chance, odds={"failed": 0.9})
        require(
            _told(log) == TRIALS or case.fresh().ends,
            f"it asked for {_told(log)} of {TRIALS} candidates when nine of ten failed",
        )


def stays_alive_when_everything_fails(case: StrategyCase) -> None:
    """It goes on when every candidate fails."""
    count = len(asks(drive(case, odds={"failed": 1.0})))
    require(
        count == TRIALS or case.fresh().ends,
        f"it asked for {count} of {TRIALS} candidates when all failed",
    )


def takes_tells_in_any_order(case: StrategyCase) -> None:
    """Results may come in any order."""
    for chance in range(3):
        count = len(asks(drive(case, slots=7, chance=chance)))
        require(
            count >= TRIALS or case.fresh().ends,
            f"with seven in flight it asked for {count} of {TRIALS} candidates",
        )


def more_may_be_open_than_its_population(case: StrategyCase) -> None:
    """More candidates may be in flight than its population has, and more told than its horizon."""
    log = drive(case, trials=TRIALS + 20, slots=TRIALS)  # the horizon: no population is larger
    require(
        _told(log) == TRIALS + 20 or case.fresh().ends,
        f"with {TRIALS} in flight it was told {_told(log)} of {TRIALS + 20} results",
    )


def candidates_survive_json(case: StrategyCase) -> None:
    """Every candidate can be stored and read again."""
    for space in case.spaces:
        for candidate in asks(drive(case, trials=30, space=space)):
            there = json.loads(json.dumps(candidate.to_json()))
            require(
                Candidate.from_json(there).to_json() == candidate.to_json(),
                f"{candidate!r} comes back from JSON as another one: its note is to be plain JSON",
            )
            hash(candidate.arch)


def architectures_are_of_the_space(case: StrategyCase) -> None:
    """Every architecture is one of the space, every mixture has no weight below 0."""
    for space in case.spaces:
        for candidate in asks(drive(case, trials=30, space=space)):
            if candidate.mixture is not None:
                for rows in candidate.mixture.values():
                    require((rows >= 0).all() and rows.sum() > 0, "a mixture is below 0 or empty")
            elif "decisions" in space.gives:
                back = space.decode(space.encode(candidate.arch))
                require(back == candidate.arch, f"{candidate.arch!r} is none of the space")
            else:
                _require_network(space, candidate.arch)


def _require_network(space: Any, arch: Any) -> None:
    from ..network.build import Size, plan
    from .common import IMAGES

    shape = getattr(space, "input_shape", IMAGES.input_shape)
    data = replace(IMAGES, input_shape=shape, outputs=1)
    require(plan(space, arch, data, Size()).network.calls, f"{arch!r} has no network")


def ids_count_up_from_zero(case: StrategyCase) -> None:
    """Ids count up from zero, in the order of asking."""
    ids = [candidate.id for candidate in asks(drive(case, slots=3, odds={"refused": 0.3}))]
    require(ids == list(range(len(ids))), f"ids are {ids[:10]}...: count up from 0 with every ask")


def trains_no_longer_than_it_may(case: StrategyCase) -> None:
    """No candidate trains longer than the run allows, and some train at all."""
    budgets = [candidate.budget.epochs for candidate in asks(drive(case))]
    shares = hasattr(case.fresh(), "train_batches")  # then the horizon counts epochs
    most = TRIALS if shares else EPOCHS
    require(
        all(0 <= epochs <= most for epochs in budgets) and max(budgets) > 0,
        f"budgets are {min(budgets):g} to {max(budgets):g} epochs, and the run allows {most:g}: give "
        "candidates Budget(epochs=epochs) or less",
    )


def only_what_has_a_score_becomes_a_parent(case: StrategyCase) -> None:
    """Only candidates that were told with a score become parents, or pass their weights on."""
    scored: set[int] = set()
    log = drive(case, slots=3, odds={"failed": 0.2, "refused": 0.2, "cut": 0.2})
    for event in log.events():
        if isinstance(event, Result):
            scored |= {event.candidate.id} if event.ok else set()
        else:
            unknown = (set(event.parents) | set(event.weights_from)) - scored
            require(not unknown, f"candidate {event.id} descends from {unknown}, without a score")


def a_failure_costs_one_ask(case: StrategyCase) -> None:
    """A failure costs one ask and nothing else: waiting for what failed would last for ever."""
    strategy = case.fresh()
    for _ in range(TRIALS):
        candidate = strategy.ask()
        if candidate is None:
            require(strategy.ends, "it waits for a candidate that failed")
            break
        strategy.tell(failed(candidate, "toy"))


def goes_on_with_more_budget(case: StrategyCase) -> None:
    """A run that is given more budget goes on, and can be resumed after that."""
    strategy, log = case.fresh(), Memory()
    if hasattr(strategy, "train_batches"):
        return  # shared weights learn to the end of their schedule
    _searched(strategy, log, case.spaces[0], TRIALS)
    since = sum(1 for _ in log.events())
    lengthen(strategy, 2 * TRIALS)
    _searched(strategy, log, case.spaces[0], TRIALS // 2)
    count = len(asks(log))
    require(
        count == TRIALS + TRIALS // 2 or strategy.ends,
        f"with more budget it asked for {count} of {TRIALS + TRIALS // 2} candidates",
    )
    again = case.fresh()
    try:
        replay(again, log, ((since, 2 * TRIALS),))
    except ReplayError as error:
        raise AssertionError(f"with more budget it cannot be resumed: {error}") from error
    ours, theirs = (json.dumps(c.to_json()) if (c := s.ask()) else "" for s in (strategy, again))
    require(ours == theirs, f"with more budget and after a replay it asks for {theirs}, not {ours}")


def _searched(strategy: Strategy, log: Memory, space: Any, trials: int) -> None:
    """Let a strategy search with one candidate at a time."""
    for _ in range(trials):
        candidate = strategy.ask()
        if candidate is None:
            return
        result = toy(candidate, space)
        log.asked(candidate)
        log.told(result)
        strategy.tell(result)


STRATEGY_RULES: tuple[Callable[[StrategyCase], None], ...] = (
    ids_count_up_from_zero,
    candidates_survive_json,
    architectures_are_of_the_space,
    trains_no_longer_than_it_may,
    only_what_has_a_score_becomes_a_parent,
    a_failure_costs_one_ask,
    stays_alive_when_nine_of_ten_fail,
    stays_alive_when_everything_fails,
    takes_tells_in_any_order,
    more_may_be_open_than_its_population,
    another_seed_asks_for_others,
    is_the_same_in_another_process,
    resumes_by_replay,
    goes_on_with_more_budget,
)
