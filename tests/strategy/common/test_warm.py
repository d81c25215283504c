"""Warm start of any strategy by a proxy."""

import itertools
import json
import random

import pytest
from tests.helpers import elsewhere

from evolvent.engine.evaluators import InMemory
from evolvent.engine.loop import Search
from evolvent.engine.store import Memory
from evolvent.errors import SettingError
from evolvent.execute.worker import Spec
from evolvent.network.build import Size
from evolvent.space.cell201 import Cell201
from evolvent.space.listed import Listed
from evolvent.strategy.bayes import Bayes
from evolvent.strategy.common.warm import Warm
from evolvent.strategy.evolution import RegularizedEvolution
from evolvent.strategy.hyperband import Hyperband
from evolvent.strategy.local import LocalSearch
from evolvent.strategy.pareto import Pareto
from evolvent.strategy.random import Random
from evolvent.types import Candidate, Result, failed

SPACE = Listed(["".join(digits) for digits in itertools.product("01234", repeat=6)])
STRATEGIES = {
    "random": Random,
    "regularized-evolution": RegularizedEvolution,
    "local": LocalSearch,
    "pareto": Pareto,
    "bayes": Bayes,
    "hyperband": Hyperband,
}


def proxy(arch):
    return float(sum(int(digit) for digit in arch))


def truth(arch):
    """The proxy and something that it does not see."""
    return proxy(arch) - 3.0 * (arch[0] == arch[5])


def warm(make=RegularizedEvolution, count=50, space=SPACE, seed=0, **settings):
    return Warm(lambda s: make(s, seed=seed, **settings), space, count=count, seed=seed)


def answer(candidate):
    value = proxy if candidate.kind == "step" else truth
    return Result(candidate, value(candidate.arch), params=int(proxy(candidate.arch)))


def drive(strategy, trials, slots=1, rng=None, answer=answer):
    """Run until so many trials were asked; return all candidates and results in their order."""
    events: list[Candidate | Result] = []
    flying: list[Candidate] = []
    used = 0
    while used < trials or flying:
        while len(flying) < slots and used < trials and (asked := strategy.ask()) is not None:
            used += asked.kind == "trial"
            flying.append(asked)
            events.append(asked)
        assert flying, "it waits while nothing runs"
        result = answer(flying.pop(rng.randrange(len(flying)) if rng else 0))
        strategy.tell(result)
        events.append(result)
    return events


def asks(events, kind):
    return [e for e in events if isinstance(e, Candidate) and e.kind == kind]


def test_first_the_proxy_then_the_best_by_it_in_order():
    events = drive(warm(Random, count=30), 30)
    steps, trials = asks(events, "step"), asks(events, "trial")
    assert events.index(trials[0]) == 60  # 30 asked and told before
    assert len({step.arch for step in steps}) == 30
    assert [step.id for step in steps] == list(range(30))
    assert [trial.id for trial in trials] == list(range(30, 60))
    ranked = sorted(steps, key=lambda step: (-proxy(step.arch), step.id))
    assert [trial.arch for trial in trials] == [step.arch for step in ranked]
    assert [trial.parents for trial in trials] == [(step.id,) for step in ranked]
    assert {trial.operator for trial in trials} == {"warm"}


def test_a_step_says_what_it_does_and_that_it_is_no_random_control():
    step = warm().ask()
    assert (step.kind, step.operator, step.parents, step.note) == ("step", "proxy", (), None)
    assert (step.budget.train_batches, step.budget.validation_batches) == (0, 0)


def test_evolution_begins_with_the_best_of_the_proxy():
    events = drive(warm(count=100, population=10, sample=3), 60)
    top = sorted((proxy(step.arch) for step in asks(events, "step")), reverse=True)[:10]
    trials = asks(events, "trial")
    assert [proxy(trial.arch) for trial in trials[:10]] == top
    assert {trial.operator for trial in trials[:10]} == {"warm"}
    born = [trial for trial in trials if trial.operator not in ("warm", "sample")]
    assert len(born) > 40
    ids = {trial.id for trial in trials}
    assert all(set(trial.parents) <= ids for trial in born)


@pytest.mark.parametrize("name", STRATEGIES)
def test_any_strategy_that_samples_can_be_warmed(name):
    make = STRATEGIES[name]
    settings = {"epochs": 9.0} if name == "hyperband" else {}
    events = drive(warm(make, count=40, **settings), 60)
    trials = asks(events, "trial")
    top = {step.arch for step in sorted(asks(events, "step"), key=lambda s: -proxy(s.arch))[:10]}
    assert {trial.arch for trial in trials[:2]} <= top
    assert len({candidate.id for candidate in events if isinstance(candidate, Candidate)}) == 100


def test_when_they_are_used_up_the_space_is_sampled():
    trials = asks(drive(warm(Random, count=5), 12), "trial")
    assert [trial.operator for trial in trials] == ["warm"] * 5 + ["sample"] * 7
    assert not any(trial.parents for trial in trials[5:])


def test_the_inner_strategy_is_told_what_it_asked_for():
    told = []

    class Listening(Random):
        def tell(self, result):
            told.append(result.candidate)

    trials = asks(drive(warm(Listening, count=5), 8), "trial")
    assert [candidate.id for candidate in told] == list(range(8))
    assert [candidate.arch for candidate in told] == [trial.arch for trial in trials]
    assert {candidate.operator for candidate in told} == {"sample"}


def test_a_warm_start_finds_more_where_the_proxy_tells_something():
    def best(strategy):
        return max(e.value for e in drive(strategy, 40) if isinstance(e, Result))

    cold = [best(RegularizedEvolution(SPACE, seed=seed, horizon=40)) for seed in range(10)]
    hot = []
    for seed in range(10):
        results = drive(warm(count=200, seed=seed, horizon=40), 40)
        hot.append(
            max(e.value for e in results if isinstance(e, Result) and e.candidate.kind == "trial")
        )
    assert sum(a >= b for a, b in zip(hot, cold, strict=True)) >= 9 and sum(hot) > sum(cold)


def test_many_workers_and_any_order():
    events = drive(warm(count=30, population=8, sample=3), 80, slots=12, rng=random.Random(1))
    first = next(i for i, e in enumerate(events) if isinstance(e, Candidate) and e.kind == "trial")
    told = [e for e in events[:first] if isinstance(e, Result)]
    assert len(told) == 30  # nobody starts before the last of the proxy is known
    assert len({e.id for e in events if isinstance(e, Candidate)}) == 110


def test_a_longer_horizon_reaches_the_inner_strategy():
    strategy = warm(horizon=30)
    strategy.lengthen(300)
    assert strategy.inner.size == RegularizedEvolution(SPACE, horizon=300).size
    assert not hasattr(warm(Random), "lengthen")


def test_waiting_changes_nothing():
    strategy = warm(Random, count=2)
    steps = [strategy.ask(), strategy.ask()]
    assert [strategy.ask() for _ in range(3)] == [None] * 3
    for step in steps:
        strategy.tell(answer(step))
    assert strategy.ask().kind == "trial"


def test_failures_of_the_proxy_leave_the_rest():
    def often(candidate):
        if candidate.kind == "step" and candidate.id % 10:
            return failed(candidate, "toy")
        return answer(candidate)

    trials = asks(drive(warm(Random, count=50), 8, answer=often), "trial")
    assert [trial.operator for trial in trials] == ["warm"] * 5 + ["sample"] * 3


def test_if_the_proxy_always_fails_the_search_goes_on():
    trials = asks(drive(warm(count=20), 30, answer=lambda c: failed(c, "toy")), "trial")
    assert len(trials) == 30 and {trial.operator for trial in trials} == {"sample"}


def test_refused_ones_are_replaced():
    def limited(candidate):
        if candidate.kind == "step" and proxy(candidate.arch) > 12:
            return Result(candidate, status="refused", reason="too large")
        return answer(candidate)

    events = drive(warm(Random, count=20), 20, answer=limited)
    assert len(asks(events, "step")) > 20
    trials = asks(events, "trial")
    assert {t.operator for t in trials} == {"warm"}
    assert max(proxy(t.arch) for t in trials) <= 12


def test_a_small_space_ends_the_proxy_early_and_equal_networks_are_scored_once():
    events = drive(warm(Random, count=100, space=Listed(["000000", "000001", "000012"])), 5)
    assert len(asks(events, "step")) == 3

    space = Cell201()
    strategy = warm(Random, count=300, space=space)
    seen = []
    for _ in range(300):
        step = strategy.ask()
        seen.append(space.canonical(step.arch))
        strategy.tell(Result(step, 0.0))
    assert len(set(seen)) == 300


def test_what_the_inner_strategy_declares_is_passed_on():
    plain = warm(Random)
    assert plain.needs == {"proxy"} and plain.ends is False
    assert not hasattr(plain, "alive") and not hasattr(plain, "objectives")
    assert warm(Bayes).needs == {"proxy"} | Bayes.needs
    assert warm(Pareto).objectives == ("params",)
    assert "scored by a proxy" in plain.note and "population" in warm().note


def test_weights_are_inherited_from_and_kept_for_trials_by_the_ids_of_the_run():
    strategy = warm(Hyperband, count=20, epochs=9.0)
    events = drive(strategy, 60)
    ids = {trial.id for trial in asks(events, "trial")}
    inherited = {id for trial in asks(events, "trial") for id in trial.weights_from}
    assert inherited and inherited <= ids
    assert strategy.alive() and strategy.alive() <= ids


def test_a_strategy_that_does_not_sample_is_refused():
    class Fixed(Random):
        def ask(self):
            self.asked += 1
            return Candidate(self.asked - 1, "000000")

    with pytest.raises(SettingError, match="no effect on Fixed"):
        warm(Fixed)


def test_a_count_below_one_is_refused():
    with pytest.raises(SettingError, match="warm=0 must be at least 1"):
        warm(count=0)


CODE = """
import json
from tests.strategy.common.test_warm import asks, drive, warm
print(json.dumps([e.to_json() for k in ("step", "trial") for e in asks(drive(warm(count=15), 40), k)]))
"""


def test_the_same_seed_gives_the_same_candidates_in_another_process():
    events = drive(warm(count=15), 40)
    here = [e.to_json() for kind in ("step", "trial") for e in asks(events, kind)]
    assert json.loads(elsewhere(CODE)) == json.loads(json.dumps(here))


def test_the_log_is_replayed_and_goes_on_as_if_nothing_had_happened():
    events = drive(warm(count=15, population=6, sample=2), 40)
    for length in (7, 30, 31, 60):
        strategy = warm(count=15, population=6, sample=2)
        for event in events[:length]:
            if isinstance(event, Result):
                strategy.tell(event)
            else:
                assert strategy.ask() == event
        rest = events[length] if isinstance(events[length], Candidate) else None
        if rest is not None:
            assert strategy.ask() == rest


def test_the_loop_runs_it_with_a_cascade_and_counts_trials_only(toy):
    space = Cell201()
    size = Size(cells=1, width=4, stages=2)
    context = Spec(toy, "cell201", "cascade", {}, {"proxy": "snip", "size": size})()
    log = Memory()
    for budget in (3, 6):  # the second search replays the first and goes on
        strategy = warm(Random, count=8, space=space, epochs=0.2)
        Search(InMemory(context), trials=budget).run(strategy, log)
    results = [event for event in log.events() if isinstance(event, Result)]
    steps = [result for result in results if result.candidate.kind == "step"]
    trials = [result for result in results if result.candidate.kind == "trial"]
    assert (len(steps), len(trials)) == (8, 6)
    assert all("accuracy" in result.metrics for result in trials)
    best = max((result for result in steps if result.ok), key=lambda result: result.value)
    assert trials[0].candidate.arch == best.candidate.arch
