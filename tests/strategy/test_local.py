"""Local search."""

import itertools
import json
import random

import pytest
from tests.helpers_strategy import answered, asks, best, driven

from evolvent.errors import SettingError
from evolvent.space.listed import Listed
from evolvent.strategy.local import LocalSearch
from evolvent.types import Candidate, Result, failed

SPACE = Listed(["".join(digits) for digits in itertools.product("01234", repeat=6)])


def bumpy(arch):
    """One large hill and small ones; the best is 444444."""
    digits = [int(digit) for digit in arch]
    return sum(digits) + 3.0 * (len(set(digits)) == 1) - 0.5 * (digits[0] != digits[5])


def drive(strategy, trials, score=bumpy, slots=1, rng=None):
    return driven(strategy, trials, lambda c: answered(c, score(c.arch)), slots, rng)


def test_it_beats_random_search_and_finds_the_top():
    found = [best(drive(LocalSearch(SPACE, seed=seed), 150)) for seed in range(10)]
    rng = random.Random(0)
    chance = [max(bumpy(SPACE.sample(rng)) for _ in range(150)) for _ in range(10)]
    assert sum(a > b for a, b in zip(found, chance, strict=True)) >= 9
    assert found.count(27.0) >= 5


def test_no_architecture_is_asked_twice_and_ids_count_up():
    candidates = asks(drive(LocalSearch(SPACE, seed=3), 400))
    assert len({candidate.arch for candidate in candidates}) == 400
    assert [candidate.id for candidate in candidates] == list(range(400))


def test_a_neighbour_comes_from_the_centre_and_the_centre_only_climbs():
    strategy = LocalSearch(SPACE, starts=3, seed=1)
    scores: dict[int, float] = {}
    for _ in range(60):
        candidate = strategy.ask()
        if candidate.parents:
            assert scores[candidate.parents[0]] == max(scores.values())
        scores[candidate.id] = bumpy(candidate.arch)
        strategy.tell(Result(candidate, score=scores[candidate.id]))


def test_a_seen_neighbourhood_without_a_better_one_starts_anew():
    strategy = LocalSearch(SPACE, starts=1, seed=0)
    start = strategy.ask()
    strategy.tell(Result(start, score=1.0))
    candidates = [strategy.ask() for _ in range(24)]
    assert {candidate.parents for candidate in candidates} == {(0,)}
    assert len({candidate.arch for candidate in candidates}) == 24
    assert strategy.ask().operator == "sample"  # the neighbours are still in flight
    assert strategy.centre is not None
    for candidate in candidates:
        strategy.tell(Result(candidate, score=0.5))
    strategy.tell(failed(Candidate(25), "toy"))
    assert strategy.ask().parents == ()
    assert strategy.centre is None


def test_a_late_result_of_an_earlier_climb_does_not_become_the_centre():
    strategy = LocalSearch(Listed(["00", "01", "10", "11"]), starts=1, seed=0)
    late = strategy.ask()
    strategy._now += 1  # as after a restart
    strategy.tell(Result(late, score=9.0))
    assert strategy.centre is None


def test_replay_gives_the_same_asks_after_json():
    events = drive(LocalSearch(SPACE, seed=5), 120, slots=4, rng=random.Random(1))
    again = LocalSearch(SPACE, seed=5)
    for event in events:
        if isinstance(event, Candidate):
            assert again.ask() == Candidate.from_json(json.loads(json.dumps(event.to_json())))
        else:
            again.tell(event)


@pytest.mark.parametrize("slots", [1, 7, 64])
def test_it_lives_under_failures_with_many_workers_in_any_order(slots):
    rng = random.Random(slots)
    flaky = lambda arch: None if rng.random() < 0.9 else bumpy(arch)  # noqa: E731
    events = drive(LocalSearch(SPACE, seed=0), 300, flaky, slots, rng)
    lost = {event.candidate.id for event in events if isinstance(event, Result) and not event.ok}
    assert not any(set(candidate.parents) & lost for candidate in asks(events))


def test_a_small_space_is_no_dead_end():
    events = drive(LocalSearch(Listed(["a", "b"]), patience=5), 30, score=lambda arch: 1.0)
    assert {candidate.arch for candidate in asks(events)} == {"a", "b"}


def test_settings_outside_their_rule_are_refused():
    with pytest.raises(SettingError):
        LocalSearch(SPACE, starts=0)
