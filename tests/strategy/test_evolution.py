"""Regularized evolution: what Real et al. 2018 describe."""

import itertools
import statistics

import pytest

from evolvent.errors import SettingError
from evolvent.space import Move
from evolvent.space.cell201 import Cell201
from evolvent.strategy.evolution import RegularizedEvolution
from evolvent.strategy.random import Random
from evolvent.types import Budget, Result, failed


class Edges:
    """Twelve edges with one of five operations each; the toy of this test."""

    family = "toy"
    gives: frozenset[str] = frozenset()

    def sample(self, rng):
        return tuple(rng.randrange(5) for _ in range(12))

    def mutate(self, arch, rng):
        edge = rng.randrange(12)
        other = (arch[edge] + rng.randrange(1, 5)) % 5
        return Move((*arch[:edge], other, *arch[edge + 1 :]), "op")


def worth(arch):
    """Every edge has a best operation, and neighbours that agree help: the best is 1."""
    right = [operation == (3 * edge) % 5 for edge, operation in enumerate(arch)]
    pairs = sum(a and b for a, b in itertools.pairwise(right))
    return (sum(right) + pairs) / 23


def drive(strategy, trials, score=worth):
    told = []
    for _ in range(trials):
        candidate = strategy.ask()
        told.append(Result(candidate, score(candidate.arch)))
        strategy.tell(told[-1])
    return told


def small(**settings):
    settings = {"population": 10, "sample": 4, "epochs": 2.0} | settings
    return RegularizedEvolution(Edges(), **settings)


def ids(strategy):
    return [member.candidate.id for member in strategy.members]


# ---- who lives -----------------------------------------------------------------------------------


def test_the_oldest_leaves_even_if_it_is_the_best():
    strategy, left = small(), iter([1.0] + [0.0] * 30)
    drive(strategy, 10, lambda arch: next(left))
    assert ids(strategy)[0] == 0
    drive(strategy, 1, lambda arch: next(left))
    assert ids(strategy) == list(range(1, 11))


def test_oldest_means_told_first():
    strategy = small()
    asked = [strategy.ask() for _ in range(11)]
    for candidate in reversed(asked):
        strategy.tell(Result(candidate, 0.5))
    assert ids(strategy) == list(range(9, -1, -1))


def test_the_population_fills_with_samples_and_never_grows():
    strategy = small()
    told = drive(strategy, 40)
    assert [result.candidate.operator for result in told[:10]] == ["sample"] * 10
    assert all(result.candidate.parents for result in told[10:])
    assert len(strategy.members) == 10


def test_what_failed_is_no_member():
    strategy = small()
    for place in range(30):
        candidate = strategy.ask()
        strategy.tell(Result(candidate, 0.5) if place % 2 else failed(candidate, "toy"))
    assert all(member.ok for member in strategy.members)
    assert len(strategy.members) == 10


def test_without_aging_the_worst_of_the_tournament_leaves():
    strategy, killed = small(aging=False, replacement=False), []
    drive(strategy, 10)
    for _ in range(30):
        before = {member.candidate.id: member.value for member in strategy.members}
        candidate = strategy.ask()
        rivals = {id: before[id] for id in strategy.rivals[candidate.id]}
        strategy.tell(Result(candidate, worth(candidate.arch)))
        (gone,) = before.keys() - set(ids(strategy))
        killed.append(before[gone] == min(rivals.values()))
    assert all(killed)


def test_without_aging_the_best_stays():
    strategy = small(aging=False, replacement=False)
    told = drive(strategy, 60)
    best = max(told, key=lambda result: result.value)
    assert best.value == max(member.value for member in strategy.members)


# ---- who breeds ----------------------------------------------------------------------------------


def test_the_parent_is_the_best_of_a_tournament_of_the_given_size():
    strategy = small(sample=10, replacement=False)  # everybody: then it is the best of all
    drive(strategy, 10)
    for _ in range(20):
        best = max(member.value for member in strategy.members)
        equals = [m.candidate.id for m in strategy.members if m.value == best]
        candidate = strategy.ask()
        assert candidate.parents[0] in equals
        strategy.tell(Result(candidate, worth(candidate.arch)))


def test_a_tournament_of_one_is_chance():
    strategy = small(sample=1)
    drive(strategy, 10)
    parents = {strategy.ask().parents for _ in range(200)}
    assert len(parents) == 10


def test_with_replacement_a_member_may_be_drawn_twice():
    """Of S draws among P the best member is missed with (1 - 1/P)^S, not with 1 - S/P."""
    missed = {}
    for replacement in (True, False):
        strategy = small(sample=10, replacement=replacement)
        drive(strategy, 10)
        best = max(strategy.members, key=lambda member: member.value).candidate.id
        missed[replacement] = statistics.mean(
            strategy.ask().parents != (best,) for _ in range(2000)
        )
    assert missed[False] == 0
    assert missed[True] == pytest.approx((1 - 1 / 10) ** 10, abs=0.04)


def test_a_child_is_one_mutation_of_its_parent_and_carries_the_operator():
    told = {result.candidate.id: result.candidate for result in drive(small(identity=0), 60)}
    for child in list(told.values())[10:]:
        (parent,) = child.parents
        differ = sum(a != b for a, b in zip(child.arch, told[parent].arch, strict=True))
        assert (differ, child.operator) == (1, "op")


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 1.0])
def test_the_identity_rate_is_how_often_the_parent_is_trained_again(rate):
    strategy = small(identity=rate)
    archs = {result.candidate.id: result.candidate.arch for result in drive(strategy, 10)}
    children = [strategy.ask() for _ in range(2000)]
    same = [child for child in children if child.operator == "identity"]
    assert len(same) / len(children) == pytest.approx(rate, abs=0.03)
    assert all(child.arch == archs[child.parents[0]] for child in same)


def test_every_candidate_trains_for_the_same_length():
    assert {r.candidate.budget for r in drive(small(), 30)} == {Budget(epochs=2.0)}


# ---- how large -----------------------------------------------------------------------------------


def test_a_long_search_has_the_numbers_of_the_paper_and_nothing_to_say():
    strategy = RegularizedEvolution(Edges(), horizon=1000)
    assert (strategy.size, strategy.sample, strategy.identity) == (100, 25, 0.05)
    assert strategy.note == ""


@pytest.mark.parametrize(("horizon", "size"), [(30, 10), (100, 20), (500, 50), (3, 2)])
def test_a_short_search_has_a_smaller_population_and_says_so(horizon, size):
    strategy = RegularizedEvolution(Edges(), horizon=horizon)
    assert strategy.size == size
    assert 1 <= strategy.sample <= size
    assert f"population {size} instead of the paper's 100" in strategy.note


def test_what_the_user_sets_is_taken():
    strategy = RegularizedEvolution(Edges(), population=7, sample=3, horizon=30)
    assert (strategy.size, strategy.sample, strategy.note) == (7, 3, "")


@pytest.mark.parametrize(
    "settings",
    [{"population": 5, "sample": 6}, {"sample": 0}, {"population": 0}, {"identity": 1.5}],
)
def test_settings_outside_their_rule_are_refused(settings):
    with pytest.raises(SettingError):
        RegularizedEvolution(Edges(), **settings)


# ---- whether it works ----------------------------------------------------------------------------


def test_it_beats_random_search_in_ten_of_ten_seeds():
    def best(strategy):
        return max(result.value for result in drive(strategy, 300))

    wins = [
        best(RegularizedEvolution(Edges(), horizon=300, seed=seed))
        > best(Random(Edges(), seed=seed))
        for seed in range(10)
    ]
    assert sum(wins) == 10


def test_the_best_of_the_history_may_have_left_the_population():
    """The answer is the best of all trials: with noise the population forgets lucky ones."""
    strategy = RegularizedEvolution(Cell201(), population=5, sample=2, seed=1)
    values = iter([0.1, 0.9, *([0.2] * 30)])
    told = drive(strategy, 20, lambda arch: next(values))
    assert max(result.value for result in told) == 0.9
    assert max(member.value for member in strategy.members) == 0.2


def test_more_budget_lets_the_population_grow_to_what_it_allows():
    strategy = RegularizedEvolution(Edges(), horizon=30)
    drive(strategy, 30)
    assert (strategy.size, len(strategy.members)) == (10, 10)
    strategy.lengthen(300)
    asked = [strategy.ask() for _ in range(5)]
    assert all(candidate.parents for candidate in asked), "no random ones: the members breed"
    drive(strategy, 40)
    fresh = RegularizedEvolution(Edges(), horizon=300)
    assert (strategy.size, strategy.sample) == (fresh.size, fresh.sample) == (30, 7)
    assert len(strategy.members) == 30


def test_sizes_that_were_said_stay_with_more_budget():
    strategy = RegularizedEvolution(Edges(), population=10, sample=3, horizon=30)
    strategy.lengthen(3000)
    assert (strategy.size, strategy.sample) == (10, 3)
