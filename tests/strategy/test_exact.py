"""EXACT: a steady state with any number of workers, as Desell 2017 describes it."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers_strategy import stormy

from evolvent.errors import SettingError
from evolvent.space import Move
from evolvent.space.filters import Filters, genome
from evolvent.strategy.exact import Exact
from evolvent.types import Budget, Candidate, Result, failed


class Numbers:
    """Numbers that a mutation moves one up or down, from 0; the mean of two is their child."""

    family = "toy"
    gives = frozenset({"start", "crossover"})

    def start(self, rng):
        return (0,)

    def sample(self, rng):
        return (rng.randrange(100, 200),)

    def mutate(self, arch, rng):
        step = rng.choice((-1, 1))
        return Move((arch[0] + step,), "up" if step > 0 else "down")

    def crossover(self, first, second, rng):
        return Move((first[0] * 1000 + second[0],), "crossover")


class Plain(Numbers):
    gives: frozenset[str] = frozenset()


class Pairs(Numbers):
    """Known by the first of two numbers: the second has no effect."""

    gives = frozenset({"canonical"})

    def canonical(self, arch):
        return arch[:1]


def small(space=None, **values) -> Any:
    return Exact(space or Numbers(), **({"population": 4, "epochs": 2.0} | values))


def tell(strategy, id, arch, score):
    strategy.tell(Result(Candidate(id, arch), score))


def filled(scores, **values):
    """A strategy whose members have these scores, the arch of each its id plus 10."""
    strategy = small(population=len(scores), **values)
    for id, score in enumerate(scores):
        tell(strategy, id, (10 + id,), score)
    strategy.asked = len(scores)
    return strategy


def ids(strategy):
    return {member.candidate.id for member in strategy.members.values()}


def drive(strategy, trials, *, slots=1, odds=0.0, seed=0, look=lambda strategy: None):
    return stormy(
        strategy,
        trials,
        lambda arch: float(arch[0] % 1000),
        slots=slots,
        odds=odds,
        seed=seed,
        look=look,
    )


# ---- who enters, who leaves ----------------------------------------------------------------------


def test_what_is_better_than_the_worst_enters_and_the_worst_leaves():
    strategy = filled([0.4, 0.2, 0.3])
    tell(strategy, 3, (99,), 0.25)
    assert ids(strategy) == {0, 2, 3}
    tell(strategy, 4, (98,), 0.1)
    assert ids(strategy) == {0, 2, 3}
    tell(strategy, 5, (97,), 0.9)
    assert ids(strategy) == {0, 2, 5}


def test_of_equals_the_newer_stays():
    strategy = filled([0.4, 0.2, 0.3])
    tell(strategy, 3, (99,), 0.2)
    assert ids(strategy) == {0, 2, 3}
    tell(strategy, 4, (98,), 0.2)
    assert ids(strategy) == {0, 2, 4}


def test_a_network_that_is_there_enters_only_in_the_place_of_its_like():
    strategy = filled([0.4, 0.2, 0.3])
    tell(strategy, 3, (10,), 0.35)
    assert ids(strategy) == {0, 1, 2}
    tell(strategy, 4, (10,), 0.4)
    assert ids(strategy) == {0, 1, 2}
    tell(strategy, 5, (10,), 0.5)
    assert ids(strategy) == {5, 1, 2}


def test_networks_are_known_as_the_space_knows_them():
    strategy = small(Pairs())
    tell(strategy, 0, (1, 1), 0.5)
    tell(strategy, 1, (1, 2), 0.4)
    tell(strategy, 2, (2, 1), 0.4)
    assert ids(strategy) == {0, 2}


def test_what_has_no_score_never_enters():
    strategy = small()
    for status in ("failed", "refused", "cut"):
        strategy.tell(Result(strategy.ask(), status=status, reason="toy"))
    assert not strategy.members
    assert not strategy.open


@settings(max_examples=40)
@given(
    population=st.integers(2, 12),
    slots=st.integers(1, 30),
    odds=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_with_any_workers_and_failures_it_neither_stalls_nor_grows_nor_loses_its_best(
    population, slots, odds, seed
):
    best = -1000.0

    def look(strategy):
        nonlocal best
        assert len(strategy.members) <= population
        now = max((member.value for member in strategy.members.values()), default=best)
        assert now >= best
        best = now
        needed = {id for child in strategy.open.values() for id in child.weights_from}
        assert strategy.alive() == ids(strategy) | needed

    strategy = small(population=population, inherit=True)
    told = drive(strategy, 60, slots=slots, odds=odds, seed=seed, look=look)
    assert len(told) == 60


# ---- children ------------------------------------------------------------------------------------


def test_any_member_may_breed_and_each_as_often():
    parents: Counter[int] = Counter()
    for seed in range(600):
        child = filled([0.1, 0.9, 0.5], seed=seed, crossover=0.0).ask()
        parents.update(child.parents)
    assert [parents[id] / 600 for id in range(3)] == pytest.approx([1 / 3] * 3, abs=0.07)


def test_one_child_in_five_has_two_parents_the_fitter_first():
    scores = [0.1, 0.9, 0.5]
    children = [filled(scores, seed=seed, inherit=True).ask() for seed in range(600)]
    crossed = [child for child in children if child.operator == "crossover"]
    assert len(crossed) / 600 == pytest.approx(0.2, abs=0.06)
    for child in crossed:
        first, second = child.parents
        assert scores[first] > scores[second]
        assert child.weights_from == (first, second)
        assert child.arch == ((10 + first) * 1000 + 10 + second,)
    assert {frozenset(child.parents) for child in crossed} == {
        frozenset(pair) for pair in ((0, 1), (0, 2), (1, 2))
    }


@pytest.mark.parametrize("mutations", [1, 3])
def test_a_mutant_has_as_many_changes_as_are_set(mutations):
    strategy = filled([0.1, 0.9], crossover=0.0, mutations=mutations)
    for _ in range(20):
        child = strategy.ask()
        names = child.operator.split("+")
        assert len(names) == mutations
        change = sum({"up": 1, "down": -1}[name] for name in names)
        assert child.arch == (10 + child.parents[0] + change,)


def test_the_paper_makes_three():
    assert len(filled([0.1, 0.9], crossover=0.0).ask().operator.split("+")) == 3


@pytest.mark.parametrize("inherit", [True, False])
def test_children_start_from_their_parents_weights_only_if_they_are_to(inherit):
    told = drive(small(inherit=inherit), 40, slots=3)
    for result in told:
        candidate = result.candidate
        assert candidate.weights_from == (candidate.parents if inherit else ())
        assert candidate.budget == Budget(epochs=2.0)
    assert any(result.candidate.parents for result in told)


def test_a_parent_that_left_is_alive_until_its_child_is_told():
    strategy = filled([0.1, 0.5], inherit=True, crossover=0.0)
    while (child := strategy.ask()).parents != (0,):
        strategy.tell(failed(child, "toy"))
    tell(strategy, 90, (99,), 0.9)
    assert ids(strategy) == {1, 90}
    assert strategy.alive() == {0, 1, 90}
    strategy.tell(failed(child, "toy"))
    assert strategy.alive() == {1, 90}


# ---- how it starts -------------------------------------------------------------------------------


def test_it_starts_from_the_simplest_and_from_its_mutants_until_something_has_a_score():
    strategy = small()
    first = [strategy.ask() for _ in range(9)]
    assert first[0].arch == (0,)
    assert first[0].operator == "start"
    assert all(each.operator.startswith("start+") for each in first[1:])
    assert not any(each.parents for each in first)
    strategy.tell(Result(first[3], 0.5))
    assert strategy.ask().parents == (3,)  # one member is enough, and the population grows


@pytest.mark.parametrize(("space", "start"), [(Plain(), "minimal"), (Numbers(), "random")])
def test_without_a_simplest_one_the_first_members_are_random(space, start):
    strategy = small(space, start=start)
    for _ in range(4):
        candidate = strategy.ask()
        assert (candidate.operator, candidate.parents) == ("sample", ())
        strategy.tell(Result(candidate, 0.5))
    assert strategy.ask().parents


def test_where_everything_fails_it_goes_on():
    strategy = small()
    for _ in range(50):
        strategy.tell(failed(strategy.ask(), "toy"))
    assert strategy.ask().operator.startswith("start+")


def test_a_space_without_crossover_is_only_mutated():
    told = drive(small(Plain()), 60)
    assert not any(result.candidate.operator == "crossover" for result in told)
    with pytest.raises(SettingError, match="this space has no crossover; set it to 0"):
        small(Plain(), crossover=0.1)


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [{"population": 1}, {"mutations": 0}, {"start": "maximal"}, {"crossover": 1.5}],
)
def test_settings_outside_their_rule_are_refused(values):
    with pytest.raises(SettingError, match="at least 2 members, at least 1 mutation"):
        small(**values)


@pytest.mark.parametrize(("horizon", "size"), [(1, 6), (100, 6), (200, 10), (1999, 99)])
def test_a_short_search_has_a_smaller_population_and_says_so(horizon, size):
    strategy = Exact(Numbers(), horizon=horizon)
    assert strategy.size == size
    assert f"population {size} instead of the paper's 100" in strategy.note


def test_a_long_search_has_the_papers_population_and_nothing_to_say():
    strategy = Exact(Numbers(), horizon=2000)
    assert (strategy.size, strategy.crossover, strategy.note) == (100, 0.2, "")


# ---- whether it works ----------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 5])
def test_the_population_gets_better(slots):
    strategy = small(crossover=0.0)
    drive(strategy, 300, slots=slots)
    assert min(member.value for member in strategy.members.values()) > 20


def test_filters_grow_from_linear_classifiers():
    space = Filters((1, 8, 8), 3)
    strategy: Any = Exact(space, population=5, inherit=True)
    for _ in range(60):
        candidate = strategy.ask()
        genes = genome(candidate.arch)
        assert space.problem(genes) == ""
        strategy.tell(Result(candidate, len(space.network(genes)[0]) / 100))
    assert (
        min(len(space.network(genome(m.candidate.arch))[0]) for m in strategy.members.values()) > 8
    )
