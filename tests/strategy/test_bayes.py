"""Bayesian optimisation."""

import itertools
import json
import random

import numpy as np
import pytest
from tests.helpers_strategy import answered, asks, best, driven, rugged

from evolvent.errors import SettingError
from evolvent.space import Decision, Move
from evolvent.space.listed import Listed
from evolvent.strategy.bayes import (
    Bayes,
    Codes,
    Surrogate,
    differences,
    improvement,
    learn,
    stretch,
)
from evolvent.types import Candidate, Result

SPACE = Listed(["".join(digits) for digits in itertools.product("01234", repeat=5)])


def drive(strategy, trials, score=rugged, slots=1, rng=None):
    return driven(strategy, trials, lambda c: answered(c, score(c.arch)), slots, rng)


def test_it_finds_the_top_where_random_search_does_not():
    top = max(map(rugged, SPACE.archs))
    found = [best(drive(Bayes(SPACE, seed=seed), 60)) for seed in range(5)]
    rng = random.Random(0)
    chance = [max(rugged(SPACE.sample(rng)) for _ in range(60)) for _ in range(5)]
    assert found.count(top) >= 3
    assert all(a > b for a, b in zip(found, chance, strict=True))


def test_nothing_is_asked_twice_and_ids_count_up():
    candidates = asks(drive(Bayes(SPACE, seed=1), 60, slots=5))
    assert len({candidate.arch for candidate in candidates}) == len(candidates)
    assert [candidate.id for candidate in candidates] == list(range(len(candidates)))


def test_a_small_space_is_searched_completely_and_is_no_dead_end():
    space = Listed(["".join(digits) for digits in itertools.product("01", repeat=4)])
    candidates = asks(drive(Bayes(space, initial=4), 20, score=lambda arch: arch.count("1")))
    assert len({candidate.arch for candidate in candidates[:16]}) == 16
    assert len(candidates) == 20


def coded(places, options=8):
    """Decisions that all share one vocabulary, as the strategy codes them."""
    places = np.array(places)
    counts = [[np.count_nonzero(row == option) for option in range(options)] for row in places]
    return Codes(places, np.array(counts, dtype=float))


def test_the_surrogate_interpolates_and_is_unsure_far_away():
    known = [[0, 0, 0], [1, 1, 1], [0, 1, 0]]
    target = np.array([1.0, -1.5, 0.5])
    surrogate = Surrogate(coded(known), target, np.ones(4), 1e-6)
    mean, deviation = surrogate.predict(coded([*known, [7, 7, 7]]))
    assert mean[:3] == pytest.approx(target, abs=1e-4)
    assert np.all(deviation[:3] < 0.01)
    assert deviation[3] > 0.9 * np.sqrt(surrogate.amplitude)


def test_what_is_in_flight_lowers_the_deviation_and_leaves_the_mean():
    rng = np.random.default_rng(0)
    known, target = rng.integers(3, size=(12, 4)), rng.normal(size=12)
    flying, others = np.array([[3, 3, 0, 0]]), coded(rng.integers(4, size=(30, 4)))
    before = Surrogate(coded(known), target, np.ones(5), 1e-6)
    after = before.believe(coded(np.concatenate([known, flying])))
    assert after.predict(others)[0] == pytest.approx(before.predict(others)[0], abs=1e-6)
    assert np.all(after.predict(others)[1] <= before.predict(others)[1] + 1e-9)
    assert after.predict(coded(flying))[1] < 0.01


def test_learning_tells_the_decision_that_matters_from_those_that_do_not():
    places = np.random.default_rng(1).integers(4, size=(60, 4))
    weights, noise = learn(coded(places), stretch(places[:, 2].astype(float)), None)
    assert weights[2] > 5 * np.delete(weights, 2).max()
    assert noise < 0.1


def test_learning_tells_that_only_the_counts_matter():
    places = np.random.default_rng(1).integers(3, size=(60, 5))
    weights, _ = learn(coded(places), stretch((places == 2).sum(axis=1).astype(float)), None)
    assert weights[-1] > 5 * weights[:-1].max()


def test_the_kernel_sees_which_decisions_differ_and_how_many_options_were_exchanged():
    found = differences(coded([[0, 1, 2]]), coded([[0, 2, 2], [2, 1, 0], [0, 1, 2]]))
    assert found[:3, 0].tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert found[3, 0].tolist() == [1.0, 0.0, 0.0]


def test_decisions_of_equal_name_share_their_counts():
    strategy = Bayes(Listed(["0a0", "1b0", "0b1", "1a1"]))
    codes = strategy._codes(["0a0", "1b0", "0b1"])
    assert codes.places.tolist() == [[0, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert codes.counts.tolist() == [[2, 0, 1, 0], [1, 1, 0, 1], [1, 1, 0, 1]]


def test_stretch_keeps_the_order_and_widens_the_top():
    scores = np.array([0.1, 0.5, 0.89, 0.90, 0.92, 0.93])
    values = stretch(scores)
    assert np.all(np.diff(values) > 0)
    slopes = np.diff(values) / np.diff(scores)
    assert np.all(np.diff(slopes) > 0)
    assert stretch(np.ones(4)).tolist() == [0.0] * 4
    assert np.isfinite(stretch(np.array([0.0, 1.0, 1.0, 1.0]))).all()


def test_expected_improvement_against_sampling():
    mean, deviation = np.array([0.0, 1.0, -3.0]), np.array([1.0, 0.1, 0.5])
    draws = mean + deviation * np.random.default_rng(0).normal(size=(200_000, 3))
    sampled = np.maximum(draws - 0.5, 0.0).mean(axis=0)
    assert improvement(mean, deviation, 0.5) == pytest.approx(sampled, abs=0.003)


def test_decisions_of_different_length_are_compared_too():
    class Words:
        family, gives = "words", frozenset({"decisions"})

        def sample(self, rng):
            return tuple(rng.randrange(3) for _ in range(rng.randint(1, 5)))

        def mutate(self, arch, rng):
            cut = rng.randrange(len(arch))
            return Move((*arch[:cut], rng.randrange(3), *arch[cut + 1 :]), "op")

        def decision(self, prefix):
            return Decision("d", "choice", 3, (0, 1, 2))

        def encode(self, arch):
            return arch

    assert best(drive(Bayes(Words(), seed=0), 60, score=sum)) == 10


def test_only_some_results_are_remembered_in_a_long_run():
    strategy = Bayes(SPACE, initial=5, memory=20)
    events = drive(strategy, 60)
    known = strategy._remembered()
    told = [event for event in events if isinstance(event, Result)]
    assert len(known) == len({result.candidate.id for result in known}) == 20
    assert max(told, key=lambda result: result.value) in known
    assert known[-10:] == told[-10:]


def test_replay_gives_the_same_asks_after_json():
    events = drive(Bayes(SPACE, seed=5), 40, slots=4, rng=random.Random(1))
    again = Bayes(SPACE, seed=5)
    for event in events:
        if isinstance(event, Candidate):
            assert again.ask() == Candidate.from_json(json.loads(json.dumps(event.to_json())))
        else:
            again.tell(event)


@pytest.mark.parametrize("slots", [1, 20])
def test_it_lives_under_failures_with_many_workers_in_any_order(slots):
    rng = random.Random(slots)
    flaky = lambda arch: None if rng.random() < 0.9 else rugged(arch)  # noqa: E731
    events = drive(Bayes(SPACE, seed=0), 70, flaky, slots, rng)
    lost = {event.candidate.id for event in events if isinstance(event, Result) and not event.ok}
    assert not any(set(candidate.parents) & lost for candidate in asks(events))


def test_equal_scores_are_no_dead_end():
    assert len(asks(drive(Bayes(SPACE, seed=0), 30, score=lambda arch: 0.5))) == 30


def test_settings_outside_their_rule_are_refused():
    with pytest.raises(SettingError):
        Bayes(SPACE, initial=1)
    with pytest.raises(SettingError):
        Bayes(SPACE, initial=10, memory=15)
