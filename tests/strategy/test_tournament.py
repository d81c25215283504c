"""Pairwise tournaments: what Real et al. 2017 describe, with any number of workers."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers_strategy import stormy

from evolvent.errors import SettingError
from evolvent.space import Move
from evolvent.space.graph import Graph
from evolvent.strategy.tournament import Tournament
from evolvent.types import Budget, Result, failed


class Numbers:
    """Numbers that a mutation moves one up or down, from 0; the higher the better."""

    family = "toy"
    gives = frozenset({"start"})

    def start(self, rng):
        return (0,)

    def sample(self, rng):
        return (rng.randrange(10, 20),)

    def mutate(self, arch, rng):
        step = rng.choice((-1, 1))
        return Move((arch[0] + step,), "up" if step > 0 else "down")


class Startless(Numbers):
    gives = frozenset()


def small(space=None, **values):
    return Tournament(space or Numbers(), **({"population": 6, "epochs": 2.0} | values))


def filled(scores, **values):
    """A strategy whose first members have these scores."""
    strategy = small(population=len(scores), **values)
    for candidate in [strategy.ask() for _ in scores]:
        strategy.tell(Result(candidate, scores[candidate.id]))
    return strategy


def drive(strategy, trials, *, slots=1, odds=0.0, seed=0, look=lambda strategy: None):
    return stormy(
        strategy, trials, lambda arch: float(arch[0]), slots=slots, odds=odds, seed=seed, look=look
    )


# ---- who dies ------------------------------------------------------------------------------------


def test_the_worse_of_the_pair_is_gone_at_once_and_the_better_stays_and_breeds():
    for seed in range(20):
        strategy = filled([0.1, 0.5, 0.9, 0.3], seed=seed)
        before = {id: member.value for id, member in strategy.members.items()}
        child = strategy.ask()
        (dead,) = before.keys() - strategy.members.keys()
        (parent,) = child.parents
        assert parent in strategy.members
        assert before[dead] < before[parent]


def test_every_pair_is_equally_likely():
    """The dead is the worst in half of the pairs of four, the best never."""
    dead: Counter[int] = Counter()
    for seed in range(1200):
        strategy = filled([0.1, 0.2, 0.3, 0.4], seed=seed)
        strategy.ask()
        dead.update({0, 1, 2, 3} - strategy.members.keys())
    assert [dead[id] / 1200 for id in range(4)] == pytest.approx([1 / 2, 1 / 3, 1 / 6, 0], abs=0.04)


def test_of_equals_either_dies():
    dead: Counter[int] = Counter()
    for seed in range(200):
        strategy = filled([0.5, 0.5], seed=seed)
        strategy.ask()
        dead.update({0, 1} - strategy.members.keys())
    assert min(dead.values()) > 60


@pytest.mark.parametrize("slots", [1, 4])
def test_only_living_members_breed(slots):
    strategy = small()
    drive(strategy, 6)
    flying: list[Any] = []
    for _ in range(200):
        before = set(strategy.members)
        flying.append(strategy.ask())
        assert flying[-1].parents
        assert set(flying[-1].parents) <= before & strategy.members.keys()
        if len(flying) == slots:
            child = flying.pop(0)
            strategy.tell(Result(child, float(child.arch[0])))


# ---- how many live -------------------------------------------------------------------------------


@pytest.mark.parametrize("population", [2, 3, 6, 20])
@pytest.mark.parametrize("slots", [1, 2, 5, 8, 40])
def test_members_and_children_in_flight_are_always_the_population(population, slots):
    def look(strategy):
        if strategy.asked >= population:
            assert len(strategy.members) + len(strategy.open) == population

    strategy = small(population=population)
    drive(strategy, 10 * population, slots=slots, look=look)


@settings(max_examples=60)
@given(
    population=st.integers(2, 12),
    slots=st.integers(1, 15),
    odds=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_failures_neither_let_it_grow_nor_die_out(population, slots, odds, seed):
    before = asked = 0

    def look(strategy):
        nonlocal before, asked
        now = len(strategy.members) + len(strategy.open)
        assert now <= population
        if strategy.asked > asked:  # a place that a failure left is filled by the next ask
            assert now == min(population, before + 1)
        before, asked = now, strategy.asked

    strategy = small(population=population)
    assert len(drive(strategy, 60, slots=slots, odds=odds, seed=seed, look=look)) == 60


def test_two_with_eight_workers_go_on():
    strategy = small(population=2)
    told = drive(strategy, 100, slots=8, odds=0.5)
    assert len(told) == 100
    assert len(strategy.members) + len(strategy.open) <= 2


def test_it_waits_only_while_there_is_no_pair():
    strategy = small(population=3)
    first = [strategy.ask() for _ in range(3)]
    assert strategy.ask() is None
    strategy.tell(Result(first[0], 0.1))
    assert strategy.ask() is None
    strategy.tell(Result(first[1], 0.2))
    child = strategy.ask()
    assert child.parents == (1,)
    assert strategy.ask() is None
    strategy.tell(failed(first[2], "toy"))
    strategy.tell(failed(child, "toy"))
    assert strategy.ask().parents == (1,)  # the only one left breeds, and lives
    assert set(strategy.members) == {1}


def test_where_everything_failed_it_starts_anew():
    strategy = small(population=3)
    for _ in range(5):
        candidate = strategy.ask()
        assert (candidate.operator, candidate.parents) == ("start", ())
        strategy.tell(failed(candidate, "toy"))


# ---- whose weights are kept ----------------------------------------------------------------------


@settings(max_examples=40)
@given(
    population=st.integers(2, 8),
    slots=st.integers(1, 10),
    odds=st.sampled_from([0.0, 0.3, 0.9]),
    seed=st.integers(0, 10**6),
)
def test_members_and_parents_of_what_is_in_flight_are_alive(population, slots, odds, seed):
    def look(strategy):
        needed = {id for child in strategy.open.values() for id in child.weights_from}
        assert strategy.alive() == strategy.members.keys() | needed

    strategy = small(population=population, inherit=True)
    drive(strategy, 60, slots=slots, odds=odds, seed=seed, look=look)


def test_a_parent_that_died_is_alive_until_its_child_is_told():
    for seed in range(
        50
    ):  # in a third of the seeds the first pair is (0, 1); then 1 breeds and dies
        strategy = filled([0.1, 0.2, 0.3], inherit=True, seed=seed)
        children: list[Any] = [strategy.ask(), strategy.ask()]
        if children[0].weights_from == (1,):
            break
    assert set(strategy.members) == {2}
    assert strategy.alive() == {1, 2}
    for child in children:
        strategy.tell(Result(child, 0.9))
    assert strategy.alive() == {2, 3, 4}


@pytest.mark.parametrize("inherit", [True, False])
def test_children_start_from_their_parents_weights_only_if_they_are_to(inherit):
    told = drive(small(inherit=inherit), 40, slots=3)
    for result in told:
        candidate = result.candidate
        assert candidate.weights_from == (candidate.parents if inherit else ())
    assert any(result.candidate.parents for result in told)


# ---- how it starts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "start", "operator", "archs"),
    [
        (Numbers(), "minimal", "start", {0}),
        (Numbers(), "random", "sample", set(range(10, 20))),
        (Startless(), "minimal", "sample", set(range(10, 20))),
        (Startless(), "random", "sample", set(range(10, 20))),
    ],
)
def test_all_start_from_the_simplest_where_the_space_has_one(space, start, operator, archs):
    strategy = small(space, start=start, population=200)
    first = [strategy.ask() for _ in range(200)]
    assert {each.operator for each in first} == {operator}
    assert {each.arch[0] for each in first} == archs
    assert not any(each.parents or each.weights_from for each in first)


def test_graphs_start_as_linear_classifiers_that_are_no_relatives():
    strategy: Any = Tournament(Graph((1, 8, 8)), population=20)
    first = [strategy.ask().arch for _ in range(20)]
    assert {arch[2:] for arch in first} == {((), ())}
    assert len({arch[1] for arch in first}) == 20


# ---- children ------------------------------------------------------------------------------------


def test_a_child_is_one_mutation_of_its_parent():
    told = {result.candidate.id: result.candidate for result in drive(small(), 60)}
    for child in list(told.values())[6:]:
        (parent,) = child.parents
        step = child.arch[0] - told[parent].arch[0]
        assert step == {"up": 1, "down": -1}[child.operator]


def test_five_mutations_leave_a_plateau():
    told = {r.candidate.id: r.candidate for r in drive(small(mutations=5), 60)}
    for child in list(told.values())[6:]:
        names = child.operator.split("+")
        assert len(names) == 5
        (parent,) = child.parents
        step = sum({"up": 1, "down": -1}[name] for name in names)
        assert child.arch[0] - told[parent].arch[0] == step


def test_every_candidate_trains_for_the_same_length():
    assert {r.candidate.budget for r in drive(small(), 30)} == {Budget(epochs=2.0)}


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [{"population": 1}, {"population": 0}, {"mutations": 0}, {"start": "maximal"}]
)
def test_settings_outside_their_rule_are_refused(values):
    with pytest.raises(SettingError, match="at least 2 members, at least 1 mutation"):
        small(**values)


@pytest.mark.parametrize(("horizon", "size"), [(1, 6), (100, 6), (200, 10), (19_999, 999)])
def test_a_short_search_has_a_smaller_population_and_says_so(horizon, size):
    strategy = Tournament(Numbers(), horizon=horizon)
    assert strategy.size == size
    assert f"population {size} instead of the paper's 1000" in strategy.note


def test_a_long_search_has_the_papers_population_and_nothing_to_say():
    strategy = Tournament(Numbers(), horizon=20_000)
    assert (strategy.size, strategy.note) == (1000, "")
    assert small(population=7).note == ""


# ---- whether it works ----------------------------------------------------------------------------


def test_the_population_gets_better():
    strategy = small()
    drive(strategy, 300, slots=3)
    assert min(member.value for member in strategy.members.values()) > 10


def test_without_noise_the_best_of_all_never_dies():
    strategy = small()
    told = drive(strategy, 200)
    best = max(result.value for result in told)
    assert best == max(member.value for member in strategy.members.values())
