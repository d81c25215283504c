"""NEAT: generations, species, who breeds and how."""

from collections import Counter

import pytest

from evolvent.errors import SettingError
from evolvent.network.families.topology import Many
from evolvent.space.topology import Topology
from evolvent.strategy.neat import NEAT
from evolvent.task.control import load
from evolvent.types import Result, failed, stream

SPACE = Topology()


def generation(strategy):
    asked = []
    while (candidate := strategy.ask()) is not None:
        asked.append(candidate)
    return asked


def tell(strategy, asked, score):
    for candidate in asked:
        strategy.tell(Result(candidate, score(candidate)))


def play(strategy, generations, score):
    """Play generations; return the asks of each."""
    found = []
    for _ in range(generations):
        found.append(generation(strategy))
        tell(strategy, found[-1], score)
    return found


def size(candidate):
    return float(len(candidate.arch))


def noise(candidate):
    return stream("noise", candidate.id).random()


def test_a_generation_is_asked_whole_and_the_next_waits_for_its_last_result():
    strategy = NEAT(SPACE, population=12)
    asked = generation(strategy)
    assert len(asked) == 12
    assert {candidate.operator for candidate in asked} == {"start"}
    tell(strategy, asked[:-1], size)
    assert strategy.ask() is None
    tell(strategy, asked[-1:], size)
    (child, *_) = generation(strategy)
    assert child.parents


def test_every_generation_has_exactly_the_population():
    for population in (2, 7, 150):
        strategy = NEAT(SPACE, population=population, threshold=0.5)
        assert [len(asked) for asked in play(strategy, 6, noise)] == [population] * 6


def test_tells_in_another_order_give_the_same_children():
    one, other = NEAT(SPACE, population=20, seed=3), NEAT(SPACE, population=20, seed=3)
    for _ in range(5):
        asked = generation(one)
        assert generation(other) == asked
        tell(one, asked, noise)
        tell(other, asked[::-1], noise)


def test_parents_are_the_best_fifth_of_their_species():
    strategy = NEAT(SPACE, population=30, threshold=1e9, interspecies=0.0)
    first, second = play(strategy, 2, noise)
    best = sorted(first, key=noise, reverse=True)[:7]
    assert {id for child in second for id in child.parents} <= {each.id for each in best}


def test_the_champion_is_copied_in_species_with_more_than_five_members():
    for population, copies in ((6, 1), (5, 0)):
        strategy = NEAT(SPACE, population=population, threshold=1e9)
        first, second = play(strategy, 2, noise)
        champion = max(first, key=noise)
        copied = [child for child in second if child.operator == "champion"]
        assert len(copied) == copies
        assert all(child.arch == champion.arch for child in copied)


def test_a_quarter_of_the_children_has_one_parent():
    strategy = NEAT(SPACE, population=600, threshold=1e9)
    second = play(strategy, 2, noise)[1]
    single = sum(len(child.parents) == 1 for child in second) / len(second)
    # both parents are the same in one of 121 draws, and the champion has one
    assert single == pytest.approx(0.25 + 0.75 / 121, abs=0.05)
    assert all(
        len(c.parents) == 1
        for c in play(NEAT(SPACE, population=50, mutation_only=1.0), 2, noise)[1]
    )


def test_the_fitter_parent_comes_first():
    strategy = NEAT(SPACE, population=40, threshold=1e9)
    first, second = play(strategy, 2, noise)
    scores = {candidate.id: noise(candidate) for candidate in first}
    pairs = [child.parents for child in second if len(child.parents) == 2]
    assert pairs
    assert all(scores[fitter] > scores[other] for fitter, other in pairs)


def test_mates_come_from_another_species_as_often_as_the_setting_says():
    def strangers(rate):
        strategy = NEAT(SPACE, population=100, threshold=0.2, interspecies=rate)
        asked = generation(strategy)
        tell(strategy, asked, noise)
        home = {m.id: at for at, s in enumerate(strategy.species) for m in s.members}
        assert len(strategy.species) > 2
        pairs = [child.parents for child in generation(strategy) if len(child.parents) == 2]
        return sum(home[a] != home[b] for a, b in pairs) / len(pairs)

    assert strangers(0.0) == 0.0
    assert strangers(1.0) == 1.0


def test_a_species_without_progress_has_no_children_unless_it_has_the_best():
    strategy = NEAT(SPACE, population=60, threshold=0.5, stagnation=1, plateau=10**6)
    play(strategy, 4, lambda candidate: 1.0)
    breeding = [species for species, _ in strategy.families]
    best = max(strategy.species, key=lambda species: species.members[0].value)
    assert all(s is best or s.improved == strategy.generation for s in breeding)
    assert len({id(species) for species in breeding}) < len(strategy.species)
    strategy = NEAT(SPACE, population=60, threshold=0.5, stagnation=100, plateau=10**6)
    play(strategy, 4, lambda candidate: 1.0)
    assert len({id(species) for species, _ in strategy.families}) > 3


def test_after_a_plateau_two_species_breed_for_one_generation():
    strategy = NEAT(SPACE, population=60, threshold=0.5, stagnation=10**6, plateau=3)
    counts = []
    for _ in range(7):
        play(strategy, 1, lambda candidate: 1.0)
        counts.append(len({id(species) for species, _ in strategy.families}))
    assert counts[3] == 2  # three generations after the first, whose score was the best ever
    assert counts[2] > 2
    assert counts[5] > 2


@pytest.mark.parametrize("score", [lambda c: -1.0 - noise(c), lambda c: 0.0, lambda c: -3.0])
def test_scores_below_zero_and_equal_scores_keep_it_going(score):
    assert len(play(NEAT(SPACE, population=20), 30, score)[-1]) == 20


def test_a_generation_of_failures_is_asked_for_again_from_the_parents_before_it():
    strategy = NEAT(SPACE, population=20)
    first = play(strategy, 1, noise)[0]
    for _ in range(3):
        asked = generation(strategy)
        for candidate in asked:
            strategy.tell(failed(candidate, "toy"))
        assert {id for child in asked for id in child.parents} <= {each.id for each in first}
    assert len(generation(strategy)) == 20


def test_nine_of_ten_failures_end_nothing():
    strategy = NEAT(SPACE, population=30)
    for _ in range(20):
        for candidate in generation(strategy):
            bad = stream("bad", candidate.id).random() < 0.9
            strategy.tell(failed(candidate, "toy") if bad else Result(candidate, size(candidate)))
    assert strategy.species


def test_it_solves_xor():
    """In the paper 100 of 100 runs do, after 32 generations on average and 90 at most."""
    task = load("xor")
    space = Topology.of(task.facts)
    strategy = NEAT(space, population=150, seed=5)
    for _ in range(120):
        asked = generation(strategy)
        found = task.score(Many(space, [candidate.arch for candidate in asked]))
        if any(task.solved(metrics) for metrics in found):
            break
        for candidate, metrics in zip(asked, found, strict=True):
            strategy.tell(Result(candidate, metrics["fitness"]))
    assert any(task.solved(metrics) for metrics in found)
    made = Counter(candidate.operator.split("+")[0] for candidate in asked)
    assert min(made["crossover"], made["weights"]) > 20


def test_a_short_horizon_shrinks_the_population_and_says_so():
    assert (NEAT(SPACE, horizon=5000).size, NEAT(SPACE, horizon=5000).note) == (150, "")
    assert NEAT(SPACE, horizon=400).size == 20
    assert "20 instead of the paper's 150" in NEAT(SPACE, horizon=400).note


def test_random_starts_are_an_option():
    asked = generation(NEAT(SPACE, population=20, start="random"))
    assert {candidate.operator for candidate in asked} == {"sample"}
    assert len({len(candidate.arch) for candidate in asked}) > 1


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"population": 1}, "population=1"),
        ({"start": "x"}, "'x'"),
        ({"survival": 2.0}, "survival=2"),
    ],
)
def test_settings_outside_their_range_are_refused(wrong, named):
    with pytest.raises(SettingError, match=named):
        NEAT(SPACE, **wrong)
