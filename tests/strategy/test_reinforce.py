"""REINFORCE: what Zoph & Le 2016 describe, and how it is scaled to short searches."""

import itertools
import random
from typing import Any

import pytest
import torch
from tests.helpers_strategy import Edges, answered, answers, driven, mean, right, share, third

from evolvent.errors import SettingError
from evolvent.space.cell201 import Cell201
from evolvent.space.listed import Listed
from evolvent.strategy.random import Random
from evolvent.strategy.reinforce import Reinforce
from evolvent.types import Budget, Result, stream


def drive(strategy, trials, score=right, slots=1, rng=None):
    return answers(driven(strategy, trials, lambda c: answered(c, score(c.arch)), slots, rng))


def log_probs(strategy, sequences):
    return strategy.controller.judge(strategy.controller.read(sequences))[0].sum(1)


# ---- that it learns ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_one_decision_that_matters_is_learnt_within_300_trials(seed):
    strategy = Reinforce(Edges(), horizon=300, seed=seed)
    drive(strategy, 300, third)
    assert share(strategy, lambda choices: choices[3] == 2) > 0.9


def test_places_of_one_name_learn_different_choices():
    last = [mean(drive(Reinforce(Edges(), horizon=300, seed=s), 300)[-30:]) for s in range(3)]
    assert min(last) > 0.6
    chance = mean(drive(Random(Edges()), 300))
    assert chance < 0.3


def test_with_many_in_flight_and_in_any_order_it_learns_as_well():
    rng = random.Random(0)
    told = drive(Reinforce(Edges(), horizon=300, seed=1), 300, slots=20, rng=rng)
    assert mean(told[-50:]) > mean(told[:50]) + 0.2


@pytest.mark.parametrize("status", ["failed", "refused"])
def test_it_learns_to_avoid_what_fails(status):
    strategy = Reinforce(Edges(), horizon=300, seed=0)
    for _ in range(300):
        candidate = strategy.ask()
        bad = candidate.arch[0] in (0, 1, 2)
        result = (
            Result(candidate, status=status) if bad else Result(candidate, right(candidate.arch))
        )
        strategy.tell(result)
    assert share(strategy, lambda choices: choices[0] in (0, 1, 2)) < 0.2


def test_failures_that_depend_on_nothing_do_not_stop_it():
    rng = random.Random(3)
    flaky = lambda arch: None if rng.random() < 0.5 else third(arch)  # noqa: E731
    strategy = Reinforce(Edges(), horizon=300, seed=2)
    drive(strategy, 300, flaky)
    assert share(strategy, lambda choices: choices[3] == 2) > 0.4


def test_a_cell_that_is_the_best_is_asked_again_and_again():
    space = Cell201()
    score = lambda arch: arch.count("nor_conv_3x3") / 6  # noqa: E731
    told = drive(Reinforce(space, horizon=300, seed=0), 300, score)
    assert len({result.candidate.arch for result in told[-20:]}) < 15


# ---- the gradient --------------------------------------------------------------------------------


def test_the_gradient_is_the_mean_over_the_batch_of_advantage_times_that_of_the_log_probability(
    monkeypatch,
):
    strategy = Reinforce(Edges(), batch=4, entropy=0.0, seed=1)
    seen: list[Any] = []
    monkeypatch.setattr(strategy.controller, "ascend", lambda *given: seen.append(given))
    rewards = [0.3, 0.9, 0.1, 0.6]
    archs = [result.candidate.arch for result in drive(strategy, 4, lambda arch: rewards.pop(0))]
    [(batch, objective)] = seen
    found = strategy.controller.gradient(batch, objective)

    # the baseline goes 0.3, 0.3, 0.36, 0.334, 0.3606: each is judged by those before it
    advantages = [0.0, 0.6, 0.1 - 0.36, 0.6 - 0.334]
    squares = sum(0.1 * 0.9 ** (3 - k) * a * a for k, a in enumerate(advantages))
    deviation = (squares / (1 - 0.9**4)) ** 0.5
    expected = {name: torch.zeros_like(weight) for name, weight in found.items()}
    for arch, advantage in zip(archs, advantages, strict=True):
        one = strategy.controller.read([arch])
        each = strategy.controller.gradient(one, lambda log_probs, _: log_probs.sum())
        for name, slope in each.items():
            expected[name] += slope * advantage / deviation / 4
    for name, slope in found.items():
        assert torch.allclose(slope, expected[name], rtol=1e-9, atol=1e-12), name


def test_the_baseline_starts_with_the_first_reward_and_owes_nothing_to_whom_it_judges():
    strategy = Reinforce(Edges(), batch=50)
    drive(strategy, 1, lambda arch: 0.8)
    assert strategy.baseline == 0.8
    assert strategy._told[0].advantage == 0.0
    drive(strategy, 1, lambda arch: 0.9)
    assert strategy._told[1].advantage == pytest.approx(0.1)
    assert strategy.baseline == pytest.approx(0.81)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_neither_the_unit_nor_the_zero_of_the_score_matters(factor):
    moved = lambda arch: factor * (right(arch) - 3)  # noqa: E731
    archs = [result.candidate.arch for result in drive(Reinforce(Edges(), seed=3), 60, moved)]
    same = [result.candidate.arch for result in drive(Reinforce(Edges(), seed=3), 60)]
    assert archs == same


def test_equal_scores_teach_nothing_but_to_explore():
    strategy = Reinforce(Edges(), batch=5, entropy=0.0, seed=0)
    drive(strategy, 5, lambda arch: 0.1)
    before = log_probs(strategy, [(0,) * 6, (1,) * 6])
    drive(strategy, 45, lambda arch: 0.1)
    assert torch.equal(log_probs(strategy, [(0,) * 6, (1,) * 6]), before)

    curious = Reinforce(Edges(), batch=5, entropy=1.0, spread=2.0, seed=0)
    sequences = [Edges().sample(random.Random(index)) for index in range(50)]
    curious.controller.read(sequences)
    narrow = curious.controller.judge(curious.controller.read(sequences))[1].sum()
    drive(curious, 50, lambda arch: 0.1)
    wide = curious.controller.judge(curious.controller.read(sequences))[1].sum()
    assert wide > narrow


def test_a_failure_counts_as_the_lowest_score_and_moves_no_average():
    strategy = Reinforce(Edges(), batch=50)
    drive(strategy, 3, lambda arch: None)
    assert strategy._told == [], "nothing is known yet to compare with"
    scores = [0.5, 0.2, 0.6]
    drive(strategy, 3, lambda arch: scores.pop(0))
    averages = strategy.baseline, strategy.square, strategy.share
    drive(strategy, 1, lambda arch: None)
    assert strategy.baseline is not None
    assert strategy._told[-1].advantage == pytest.approx(0.2 - strategy.baseline)
    assert (strategy.baseline, strategy.square, strategy.share) == averages


def test_what_the_end_of_the_budget_cut_says_nothing():
    strategy = Reinforce(Edges(), batch=2)
    drive(strategy, 1)
    strategy.tell(Result(strategy.ask(), status="cut"))
    assert len(strategy._told) == 1
    assert strategy._flying == {}


# ---- asking and telling --------------------------------------------------------------------------


def test_it_learns_when_a_batch_is_full_and_not_before():
    strategy = Reinforce(Edges(), batch=4)
    flying = [strategy.ask() for _ in range(12)]
    updates = []
    for candidate in reversed(flying):
        strategy.tell(Result(candidate, right(candidate.arch)))
        updates.append(strategy.controller.updates)
    assert updates == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_drawing_a_batch_ahead_is_drawing_one_after_another():
    strategy, other = Reinforce(Edges(), batch=5, seed=4), Reinforce(Edges(), batch=5, seed=4)
    asked = [strategy.ask().arch for _ in range(7)]
    single = [other.controller.sample([stream(4, "policy", id)])[0].choices for id in range(7)]
    assert asked == single


def test_what_was_drawn_before_it_learnt_is_not_asked_afterwards():
    strategy = Reinforce(Edges(), batch=4, lr=0.5)
    flying = [strategy.ask() for _ in range(6)]
    for candidate in flying[:4]:
        strategy.tell(Result(candidate, right(candidate.arch)))
    fresh = strategy.controller.sample([stream(0, "policy", 6)])[0]
    assert strategy.ask().arch == fresh.choices
    assert strategy._flying[6].log_probs == pytest.approx(fresh.log_probs)


def test_candidates_are_trials_of_the_given_length():
    candidate = Reinforce(Edges(), epochs=7.0).ask()
    assert (candidate.id, candidate.kind, candidate.budget) == (0, "trial", Budget(epochs=7.0))
    assert candidate.parents == candidate.weights_from == ()


@pytest.mark.parametrize("archs", [["ab"], ["aa", "ab"]])
def test_a_space_with_one_decision_or_none_is_no_dead_end(archs):
    told = drive(Reinforce(Listed(archs), horizon=20), 20, lambda arch: float(arch == "ab"))
    assert len(told) == 20


def test_only_listed_architectures_are_asked():
    listed = ["".join(word) for word in itertools.product("abc", repeat=4) if word[0] != word[1]]
    space = Listed(listed)
    told = drive(Reinforce(space, horizon=60), 60, lambda arch: arch.count("a"))
    assert {result.candidate.arch for result in told} <= set(listed)


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("horizon", "batch", "lr"),
    [(10, 2, 0.02), (100, 5, 0.02), (1000, 8, 0.008), (12_800, 8, 6.25e-4)],
)
def test_the_batch_and_the_learning_rate_follow_from_the_horizon(horizon, batch, lr):
    strategy = Reinforce(Edges(), horizon=horizon)
    assert strategy.batch == batch
    assert strategy.controller.lr == pytest.approx(lr)
    assert f"batch {batch}" in strategy.note
    assert Reinforce(Edges(), horizon=horizon, lr=0.1).note == ""


@pytest.mark.parametrize(
    "settings",
    [
        {"batch": 0},
        {"hidden": 0},
        {"layers": 0},
        {"lr": 0.0},
        {"spread": 0.0},
        {"entropy": -0.1},
        {"baseline": 1.0},
        {"baseline": -0.1},
    ],
)
def test_settings_outside_their_rule_are_refused(settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        Reinforce(Edges(), **settings)


def test_more_layers_and_units_learn_too():
    strategy = Reinforce(Edges(), layers=2, hidden=20, horizon=300, seed=0)
    drive(strategy, 300, third)
    assert share(strategy, lambda choices: choices[3] == 2) > 0.9
