"""Simulated annealing."""

import itertools
import json
import math
import random

import pytest
from tests.helpers_strategy import answered, asks, best, driven

from evolvent.errors import SettingError
from evolvent.space.listed import Listed
from evolvent.strategy.annealing import Annealing
from evolvent.types import Candidate, Result, failed

SPACE = Listed(["".join(digits) for digits in itertools.product("01234", repeat=6)])


def bumpy(arch):
    """One large hill and small ones; the best is 444444."""
    digits = [int(digit) for digit in arch]
    return sum(digits) + 3.0 * (len(set(digits)) == 1) - 0.5 * (digits[0] != digits[5])


def drive(strategy, trials, score=bumpy, slots=1, rng=None):
    return driven(strategy, trials, lambda c: answered(c, score(c.arch)), slots, rng)


def energies(strategy, trials, rise, at):
    """Shares of neighbours that become the state, each worse by `rise`, at a temperature of `at`."""
    taken = 0
    strategy.hottest, strategy.end, strategy.stretch = at, 1.0, 0
    first = strategy.ask()
    strategy.tell(Result(first, score=0.0))
    for _ in range(trials):
        strategy.state, strategy.scored = Result(first, score=0.0), {}
        worse = strategy.ask()
        strategy.tell(Result(worse, score=-rise))
        taken += strategy.state.candidate is worse
    return taken / trials


def test_it_beats_random_search():
    found = [best(drive(Annealing(SPACE, seed=seed, horizon=150), 150)) for seed in range(10)]
    rng = random.Random(0)
    chance = [max(bumpy(SPACE.sample(rng)) for _ in range(150)) for _ in range(10)]
    assert sum(a > b for a, b in zip(found, chance, strict=True)) >= 9


def test_it_leaves_a_small_hill_that_climbing_does_not():
    """A path of states with a valley between two hills: only worse steps lead to the higher one."""
    heights = [0, 3, 2, 1, 2, 9]

    class Path:
        family = "listed"
        gives: frozenset[str] = frozenset()

        def sample(self, rng):
            return 1

        def mutate(self, arch, rng):
            from evolvent.space import Move

            return Move(min(5, max(0, arch + rng.choice((-1, 1)))), "step")

    hot = [
        best(drive(Annealing(Path(), temperature=2.0, end=0.5, seed=seed), 40, heights.__getitem__))
        for seed in range(10)
    ]
    cold = Annealing(Path(), temperature=1e-6, seed=0)
    assert best(drive(cold, 40, heights.__getitem__)) == 3
    assert hot.count(9) >= 8


@pytest.mark.parametrize(("rise", "at"), [(1.0, 1.0), (2.0, 1.0), (1.0, 4.0)])
def test_a_worse_neighbour_is_taken_as_often_as_metropolis_says(rise, at):
    share = energies(Annealing(SPACE, seed=3), 600, rise, at)
    assert share == pytest.approx(math.exp(-rise / at), abs=0.06)
    assert energies(Annealing(SPACE, seed=3), 20, -1.0, at) == 1.0  # a better one always


def test_the_temperature_is_measured_and_falls_geometrically():
    strategy = Annealing(SPACE, horizon=100, accept=0.25, end=0.01, seed=1)
    assert strategy.temperature == math.inf
    drive(strategy, 10)
    rises = strategy.rises
    assert 0 < len(rises) < 10 and min(rises) > 0
    first = strategy.temperature
    assert first == pytest.approx(sum(rises) / len(rises) / math.log(4))
    drive(strategy, 45)
    assert strategy.temperature == pytest.approx(0.1 * first)
    drive(strategy, 60)
    assert strategy.temperature == pytest.approx(0.01 * first)


def test_after_the_first_stretch_it_begins_from_its_best():
    strategy = Annealing(SPACE, horizon=100, seed=5)
    told = drive(strategy, 10)
    assert strategy.state is not None and strategy.state.score == best(told)


def test_more_horizon_is_a_second_annealing_from_the_best():
    strategy = Annealing(SPACE, horizon=60, seed=2)
    told = drive(strategy, 60)
    first, cold = strategy.hottest, strategy.temperature
    assert first is not None and cold == pytest.approx(0.1 * first)
    strategy.lengthen(120)
    assert strategy.temperature == first
    assert strategy.state is not None and strategy.state.score == best(told)
    drive(strategy, 60)
    assert strategy.temperature == pytest.approx(cold)


def test_what_was_scored_is_not_asked_again():
    candidates = asks(drive(Annealing(SPACE, seed=3, horizon=300), 300))
    assert len({candidate.arch for candidate in candidates}) >= 298  # a random one may be known
    few = Listed(["00", "01", "10", "11"])
    assert len(asks(drive(Annealing(few, seed=0), 30, lambda arch: 0.0))) == 30  # nothing is new


def test_another_metric_can_be_the_energy():
    strategy = Annealing(SPACE, energy="loss", horizon=150, seed=0)
    assert strategy.reads == ("loss",)

    def answer(candidate):
        return Result(candidate, score=0.5, metrics={"loss": 30 - bumpy(candidate.arch)})

    told = driven(strategy, 150, answer)
    losses = [each.metrics["loss"] for each in told if isinstance(each, Result)]
    assert strategy.best is not None and strategy.best.metrics["loss"] == min(losses) <= 8


def test_failures_and_late_answers_do_not_move_it():
    strategy = Annealing(SPACE, seed=0)
    strategy.tell(failed(strategy.ask(), "toy"))
    assert strategy.state is None and strategy.ask().operator == "sample"
    drive(Annealing(SPACE, seed=4), 200, lambda arch: bumpy(arch) if "0" in arch else None, 5)


def test_replay_gives_the_same_asks():
    events = drive(Annealing(SPACE, seed=6), 80, slots=3, rng=random.Random(1))
    again = Annealing(SPACE, seed=6)
    for event in events:
        if isinstance(event, Candidate):
            assert json.dumps(again.ask().to_json()) == json.dumps(event.to_json())
        else:
            again.tell(event)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"accept": 1.0}, "accept=1.0"),
        ({"end": 0.0}, "end=0.0"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"patience": 0}, "patience=0"),
        ({"start": "warm"}, "minimal, random"),
    ],
)
def test_settings_outside_their_rule_are_refused(settings, said):
    with pytest.raises(SettingError, match=said):
        Annealing(SPACE, **settings)
