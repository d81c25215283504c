"""The genetic algorithm of EDEN: generations, growing training, tournaments, operators."""

import random
import statistics

import pytest

from evolvent.errors import SettingError
from evolvent.space import Move
from evolvent.space.chain import Chain
from evolvent.space.graph import Graph
from evolvent.strategy.genetic import FIRST_EPOCHS, Genetic
from evolvent.strategy.random import Random
from evolvent.types import Candidate, Result, failed, stream


class Bits:
    """Twenty bits; the more are set, the better."""

    family = "toy"
    gives = frozenset({"crossover"})

    def sample(self, rng):
        return tuple(rng.randrange(2) for _ in range(20))

    def mutate(self, arch, rng):
        place = rng.randrange(20)
        return Move((*arch[:place], 1 - arch[place], *arch[place + 1 :]), "flip")

    def crossover(self, first, second, rng):
        place = rng.randrange(21)
        return Move((*first[:place], *second[place:]), "crossover")


def worth(candidate):
    return sum(candidate.arch) / 20


def small(**values):
    return Genetic(Bits(), **({"population": 10, "generations": 5, "epochs": 7.0} | values))


def generation(candidate):
    return candidate.note["generation"]


def drive(strategy, trials, *, slots=1, odds=0.0, score=worth, seed=0):
    """Let it search, `slots` candidates in flight, told in any order; return the results."""
    rng = stream(seed, "drive")
    flying: list[Candidate] = []
    told: list[Result] = []
    while len(told) < trials:
        while len(flying) < slots and (candidate := strategy.ask()) is not None:
            flying.append(candidate)
        assert flying, "it waits for nothing"
        candidate = flying.pop(rng.randrange(len(flying)))
        bad = rng.random() < odds
        told.append(failed(candidate, "toy") if bad else Result(candidate, score(candidate)))
        strategy.tell(told[-1])
    return told


def by_generation(told):
    found: dict[int, list[Result]] = {}
    for result in told:
        found.setdefault(generation(result.candidate), []).append(result)
    return found


# ---- generations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 3, 10, 40])
@pytest.mark.parametrize("odds", [0.0, 0.3])
def test_offspring_replace_the_population(slots, odds):
    found = by_generation(drive(small(), 60, slots=slots, odds=odds))
    assert [len(found[place]) for place in range(5)] == [10] * 5
    for place, results in list(found.items())[1:]:
        before = {result.candidate.id for result in found[place - 1] if result.ok}
        for result in results:
            assert result.candidate.parents
            assert set(result.candidate.parents) <= before


def test_it_waits_only_while_members_of_the_generation_are_out():
    strategy = small()
    first = [strategy.ask() for _ in range(10)]
    for candidate in first:
        assert strategy.ask() is None
        strategy.tell(Result(candidate, 0.5))
    assert strategy.ask() is not None


def test_a_generation_begins_when_the_last_of_it_has_failed():
    strategy = small()
    *others, last = [strategy.ask() for _ in range(10)]
    for candidate in others:
        strategy.tell(Result(candidate, 0.5))
    assert strategy.ask() is None
    strategy.tell(failed(last, "toy"))
    assert generation(strategy.ask()) == 1


@pytest.mark.parametrize("slots", [1, 8, 30])
def test_a_generation_of_failures_goes_on(slots):
    found = by_generation(drive(small(), 100, slots=slots, odds=0.9))
    assert [len(found[place]) for place in range(9)] == [10] * 9


def test_where_all_failed_the_next_generation_is_drawn_anew_at_its_length():
    strategy = small()
    for _ in range(10):
        strategy.tell(failed(strategy.ask(), "toy"))
    found = [strategy.ask() for _ in range(10)]
    assert strategy.ask() is None
    for candidate in found:
        assert (candidate.operator, candidate.parents) == ("sample", ())
        assert candidate.budget.epochs == strategy.length(1)
        assert generation(candidate) == 1


# ---- training length -----------------------------------------------------------------------------


def test_the_lengths_of_the_paper():
    """3 epochs in the first of ten generations, and one more in every further one."""
    strategy = small(generations=10, epochs=12.0)
    assert [strategy.length(place) for place in range(12)] == pytest.approx(
        [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 12]
    )


@pytest.mark.parametrize("generations", [1, 2, 5, 10])
@pytest.mark.parametrize("epochs", [0.5, 1.0, 30.0])
def test_lengths_grow_to_the_epochs_of_the_run_and_no_further(generations, epochs):
    strategy = small(generations=generations, epochs=epochs)
    lengths = [strategy.length(place) for place in range(generations + 5)]
    for place in range(generations):
        share = (FIRST_EPOCHS + place) / (2 + generations)
        assert lengths[place] == pytest.approx(share * epochs)
    assert lengths[generations - 1 :] == [epochs] * 6
    assert lengths == sorted(lengths)


def test_every_member_of_a_generation_trains_equally_long():
    strategy = small()
    for place, results in by_generation(drive(strategy, 70, slots=4)).items():
        assert {r.candidate.budget.epochs for r in results} == {strategy.length(place)}


def test_growth_can_be_switched_off():
    told = drive(small(growing=False), 40)
    assert {result.candidate.budget.epochs for result in told} == {7.0}


# ---- survivors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("survivors", [0, 1, 3, 9])
def test_survivors_are_the_best_trained_again_at_the_new_length(survivors):
    strategy = small(survivors=survivors)
    found = by_generation(drive(strategy, 60, slots=3))
    for place in range(1, 6):
        before = sorted(found[place - 1], key=lambda r: (-r.value, r.candidate.id))
        best = {(r.candidate.arch, (r.candidate.id,)) for r in before[:survivors]}
        again = [r.candidate for r in found[place] if r.candidate.operator == "survivor"]
        assert {(each.arch, each.parents) for each in again} == best
        assert {each.budget.epochs for each in again} <= {strategy.length(place)}
        assert len(again) == survivors


def test_a_score_of_a_shorter_training_is_never_compared():
    """The first generation looks best, the second worst: only the second breeds the third."""
    strategy = small()
    scores = {0: 1.0, 1: 0.1}
    drive(strategy, 20, score=lambda candidate: scores[generation(candidate)])
    parents = {parent for _ in range(10) for parent in strategy.ask().parents}
    assert parents <= set(range(10, 20))


def test_no_more_survive_than_there_are():
    strategy = small(survivors=5)
    for place in range(10):
        candidate = strategy.ask()
        strategy.tell(Result(candidate, 0.5) if place == 4 else failed(candidate, "toy"))
    found = [strategy.ask() for _ in range(10)]
    assert [each.operator for each in found] == ["survivor"] + ["flip"] * 9
    assert {each.parents for each in found} == {(4,)}


# ---- who breeds, and how -------------------------------------------------------------------------


def children(count=2000, members=10, **values):
    """The members of a large second generation, bred from a first with `members` scores."""
    strategy = small(population=count, survivors=0, **values)
    for place in range(count):
        candidate = strategy.ask()
        bad = place >= members
        result = failed(candidate, "toy") if bad else Result(candidate, 1 - place / members)
        strategy.tell(result)
    return [strategy.ask() for _ in range(count)]


@pytest.mark.parametrize("tournament", [1, 2, 3, 7])
def test_the_pressure_of_the_tournament(tournament):
    """The best of ten is a parent unless it is missed in every draw."""
    found = children(tournament=tournament)
    best = statistics.mean(child.parents == (0,) for child in found)
    assert best == pytest.approx(1 - 0.9**tournament, abs=0.04)
    worst = statistics.mean(child.parents == (9,) for child in found)
    assert worst == pytest.approx(0.1**tournament, abs=0.03)


def test_without_crossover_every_child_is_one_mutation_of_one_parent():
    archs = {r.candidate.id: r.candidate for r in drive(small(), 60)}
    for child in archs.values():
        if child.operator == "flip":
            (parent,) = child.parents
            changed = zip(child.arch, archs[parent].arch, strict=True)
            assert sum(a != b for a, b in changed) == 1
        else:
            assert child.operator in ("sample", "survivor")


@pytest.mark.parametrize("crossover", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("mutation", [0.0, 0.5, 1.0])
def test_the_rates_of_the_operators(crossover, mutation):
    found = children(crossover=crossover, mutation=mutation)
    shares = {
        operator: statistics.mean(child.operator == operator for child in found)
        for operator in ("flip", "crossover", "crossover+flip")
    }
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["flip"] == pytest.approx(1 - crossover, abs=0.04)
    assert shares["crossover"] == pytest.approx(crossover * (1 - mutation), abs=0.04)


def test_a_child_of_two_parents_names_both_once():
    found = children(crossover=1.0, mutation=0.0)
    assert {len(child.parents) for child in found} == {1, 2}
    assert all(len(set(child.parents)) == len(child.parents) for child in found)


@pytest.mark.parametrize("slots", [1, 6])
def test_it_searches_chains_with_crossover(slots):
    space = Chain((1, 8, 8), outputs=3)
    strategy = Genetic(space, crossover=0.5, population=8, horizon=80)
    told = drive(strategy, 80, slots=slots, score=lambda each: len(each.arch[1]) / 8)
    assert all(space.problem(result.candidate.arch[1]) == "" for result in told)
    assert {result.candidate.operator for result in told} >= {"crossover", "survivor", "add-layer"}
    depths = [statistics.mean(r.value for r in results) for results in by_generation(told).values()]
    assert depths[9] > depths[0]


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"population": 0}, "population=0: at least 1"),
        ({"generations": 0}, "generations=0: at least 1"),
        ({"tournament": 0}, "tournament=0: at least 1"),
        ({"crossover": 1.5}, "crossover=1.5: in 0..1"),
        ({"crossover": -0.1}, "crossover=-0.1: in 0..1"),
        ({"mutation": 2.0}, "mutation=2.0: in 0..1"),
        ({"survivors": 10}, "survivors=10: in 0..9"),
        ({"survivors": -1}, "survivors=-1: in 0..9"),
    ],
)
def test_settings_outside_their_rule_are_refused_with_a_reason(values, said):
    with pytest.raises(SettingError, match="^" + said.replace(".", r"\.")):
        small(**values)


def test_crossover_in_a_space_without_it_is_refused():
    with pytest.raises(SettingError, match="this space has no crossover"):
        Genetic(Graph(), crossover=0.2)
    Genetic(Graph(), crossover=0.0)


@pytest.mark.parametrize("horizon", [1, 8, 20, 50, 100, 1000, 10_000])
def test_a_horizon_has_room_for_its_generations(horizon):
    strategy = Genetic(Bits(), horizon=horizon)
    assert 4 <= strategy.size <= 100
    assert 1 <= strategy.generations <= 10
    assert strategy.generations == 1 or strategy.size * strategy.generations <= horizon
    if horizon >= 20:
        assert strategy.generations >= 3
    drive(strategy, min(horizon, 200))


def test_a_long_search_has_the_papers_generations():
    strategy = Genetic(Bits(), horizon=1000)
    assert strategy.generations == 10
    assert strategy.length(9) == strategy.epochs


# ---- whether it works ----------------------------------------------------------------------------


@pytest.mark.parametrize("crossover", [0.0, 0.5])
def test_it_beats_random_search_in_ten_of_ten_seeds(crossover):
    def best(strategy):
        return max(result.value for result in drive(strategy, 200))

    for seed in range(10):
        strategy = Genetic(Bits(), horizon=200, seed=seed, crossover=crossover)
        assert best(strategy) > best(Random(Bits(), seed=seed))


def test_the_same_seed_asks_the_same_whatever_the_order_of_tells():
    """Within a generation the order of results does not matter: breeding waits for the last."""
    asked = []
    for seed in range(3):
        strategy, rng = small(crossover=0.5, seed=1), random.Random(seed)
        archs = []
        for _ in range(4):
            members = [strategy.ask() for _ in range(10)]
            archs += [member.arch for member in members]
            rng.shuffle(members)
            for member in members:
                strategy.tell(Result(member, worth(member)))
        asked.append(archs)
    assert asked[0] == asked[1] == asked[2]
