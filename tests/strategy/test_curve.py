"""Stopping by learning curves."""

import itertools
import json
import random
from collections import Counter
from typing import Any

import pytest
from tests.helpers_strategy import answered, answers, asks, driven

from evolvent.errors import SettingError
from evolvent.space.listed import Listed
from evolvent.strategy.curve import LearningCurve, extrapolate
from evolvent.strategy.evolution import RegularizedEvolution
from evolvent.types import Candidate, Result

SPACE = Listed(["".join(digits) for digits in itertools.product("01234", repeat=6)])
RULES = ("median", "power-law")

every_rule = pytest.mark.parametrize("rule", RULES)


def skill(arch):
    return sum(int(digit) * (place + 1) for place, digit in enumerate(arch)) / 84


def learnt(candidate):
    """A power law towards the skill, and some luck."""
    luck = random.Random(f"{candidate.arch}/{candidate.budget.epochs}").gauss(0.0, 0.01)
    return skill(candidate.arch) - 0.3 * candidate.budget.epochs**-1.0 + luck


def make(rule="median", **settings):
    return LearningCurve(SPACE, **{"rule": rule, "epochs": 12.0, **settings})


def drive(strategy, trials, score=learnt, slots=1, rng=None):
    return driven(strategy, trials, lambda c: answered(c, score(c)), slots, rng)


# ---- extrapolation -------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.25, 0.5, 1.0, 2.0])
def test_a_power_law_is_continued_exactly(exponent):
    lengths = [1.0, 2.0, 4.0, 8.0]
    scores = [0.9 - 0.4 * length**-exponent for length in lengths]
    assert extrapolate(lengths[:3], scores[:3], 8.0) == pytest.approx(scores[3])
    assert extrapolate(lengths, scores, 50.0) == pytest.approx(0.9 - 0.4 * 50.0**-exponent)


def test_two_looks_fix_the_exponent_and_one_or_a_fall_is_taken_as_flat():
    assert extrapolate([1.0, 4.0], [0.5, 0.7], 16.0) == pytest.approx(0.9 - 0.4 * 16**-0.5)
    assert extrapolate([1.0], [0.5], 16.0) == 0.5
    assert extrapolate([1.0, 2.0, 3.0], [0.7, 0.6, 0.5], 16.0) == 0.5


# ---- who goes on ---------------------------------------------------------------------------------


def test_a_candidate_trains_on_from_its_own_weights_to_the_full_length():
    candidates = asks(drive(make(), 8))  # the first five are never stopped
    first, second = candidates[:4], candidates[4:]
    for chain in (first, second):
        assert [c.budget.epochs for c in chain] == [3.0, 6.0, 9.0, 12.0]
        assert len({c.arch for c in chain}) == 1
        assert [c.operator for c in chain] == ["sample", *["continue"] * 3]
        assert [c.weights_from for c in chain[1:]] == [(c.id,) for c in chain[:-1]]
        assert [c.parents for c in chain[1:]] == [(c.id,) for c in chain[:-1]]
    assert first[0].arch != second[0].arch


def test_who_is_below_the_median_of_the_others_at_a_look_stops():
    strategy: Any = make(looks=2, least=3)
    went_on = {}
    for value in (0.1, 0.5, 0.9, 0.49, 0.501, 0.51, 0.2, 0.6, 0.505):
        strategy.tell(Result(strategy.ask(), score=value))
        following = strategy.ask()
        went_on[value] = following.operator == "continue"
        strategy.tell(Result(following, status="refused", reason="only looked at"))
    # The medians of those before: -, -, -, 0.5, 0.495, 0.5, 0.5005, 0.5, 0.5005
    assert [value for value, goes in went_on.items() if not goes] == [0.49, 0.2]


def test_a_look_is_compared_with_that_look_alone():
    strategy: Any = make(looks=2, least=2)
    for scores in ((0.1, 0.9), (0.2, 0.8)):
        for score in scores:
            strategy.tell(Result(strategy.ask(), score=score))
    candidate = strategy.ask()
    strategy.tell(Result(candidate, score=0.3))  # far below what the others had in the end
    assert strategy.ask().parents == (candidate.id,)


def test_a_quantile_lets_fewer_go_on():
    def completed(quantile):
        events = drive(make(quantile=quantile), 400)
        return sum(c.budget.epochs == 12.0 for c in asks(events)) / len(asks(events))

    shares = [completed(quantile) for quantile in (0.0, 0.5, 0.9)]
    assert shares[0] > shares[1] > shares[2] > 0


def test_what_can_hardly_pass_the_best_stops_by_its_extrapolated_curve():
    strategy: Any = make("power-law", looks=4, least=3)
    for final in (0.80, 0.82, 0.78, 0.81):  # complete curves whose errors are small
        for length in (3.0, 6.0, 9.0, 12.0):
            strategy.tell(Result(strategy.ask(), score=final - 0.3 / length))
    poor = strategy.ask()
    strategy.tell(Result(poor, score=0.5 - 0.3 / 3.0))
    good = strategy.ask()
    assert good.parents == ()  # nobody goes on from the poor one
    strategy.tell(Result(good, score=0.9 - 0.3 / 3.0))
    assert strategy.ask().parents == (good.id,)


def test_no_curve_is_extrapolated_before_enough_were_completed():
    events = drive(make("power-law", least=5), 20, lambda c: 1.0 - c.id / 100)
    assert [c.budget.epochs for c in asks(events)] == [3.0, 6.0, 9.0, 12.0] * 5


@every_rule
def test_the_best_is_found_with_fewer_epochs_than_full_trainings_need(rule):
    def found(seed):
        events = drive(make(rule, seed=seed), 300)
        full = [c for c in asks(events) if c.budget.epochs == 12.0]
        chains = Counter(c.arch for c in asks(events))
        return max(skill(c.arch) for c in full), 3.0 * sum(chains.values())

    outcomes = [found(seed) for seed in range(10)]
    chance = [
        max(skill(SPACE.sample(random.Random(f"{seed}/{i}"))) for i in range(int(spent / 12)))
        for seed, (_, spent) in enumerate(outcomes)
    ]
    assert sum(best for best, _ in outcomes) > sum(chance)


def test_looks_may_be_where_a_table_has_lengths():
    events = drive(make(rungs=(12, 200)), 100)
    assert {c.budget.epochs for c in asks(events)} == {12.0, 200.0}


# ---- what may go wrong ---------------------------------------------------------------------------


@every_rule
@pytest.mark.parametrize("slots", [1, 7, 100])
def test_it_lives_under_failures_with_many_workers_in_any_order(rule, slots):
    rng = random.Random(slots)
    flaky = lambda c: None if rng.random() < 0.9 else learnt(c)  # noqa: E731
    events = drive(make(rule), 500, flaky, slots, rng)
    lost = {result.candidate.id for result in answers(events) if not result.ok}
    assert lost
    assert not any(set(candidate.parents) & lost for candidate in asks(events))


@every_rule
def test_no_one_is_continued_twice_and_every_length_follows_the_one_before(rule):
    events = drive(make(rule, seed=1), 400, slots=6, rng=random.Random(0))
    epochs = {c.id: c.budget.epochs for c in asks(events)}
    going = [c for c in asks(events) if c.operator == "continue"]
    assert max(Counter(c.parents for c in going).values()) == 1
    assert all(c.budget.epochs == epochs[c.parents[0]] + 3.0 for c in going)


@every_rule
def test_weights_are_kept_as_long_as_someone_goes_on_from_them_and_no_longer(rule):
    strategy, rng = make(rule, seed=2), random.Random(3)
    flying: list[Candidate] = []
    told: set[int] = set()
    for _ in range(400):
        while len(flying) < 5:
            flying.append(strategy.ask())
            assert set(flying[-1].weights_from) <= told
        assert {id for c in flying for id in c.weights_from} <= strategy.alive()
        candidate = flying.pop(rng.randrange(5))
        strategy.tell(Result(candidate, score=learnt(candidate)))
        told = (told | {candidate.id}) & strategy.alive()
    assert len(strategy.alive()) <= 5


def test_a_fresh_schedule_inherits_no_weights():
    strategy = make(continue_=False)
    assert not any(c.weights_from for c in asks(drive(strategy, 40)))
    assert strategy.alive() == frozenset()


def test_a_refused_candidate_counts_nowhere():
    strategy: Any = make(looks=2, least=2)
    for _ in range(5):
        strategy.tell(Result(strategy.ask(), status="refused", reason="too large"))
    assert strategy._scores == [[], []]
    assert strategy.ask().operator == "sample"


def test_a_sampler_proposes_and_learns_from_first_looks():
    def best(sampler):
        events = drive(make(sampler=sampler, seed=3), 600)
        return max(skill(c.arch) for c in asks(events)), events

    evolved, events = best(RegularizedEvolution(SPACE, population=20, sample=5))
    assert evolved > best(None)[0]
    first = {c.id for c in asks(events) if c.operator != "continue"}
    children = [c for c in asks(events) if c.id in first and c.parents]
    assert children
    assert all(c.budget.epochs == 3.0 and set(c.parents) <= first for c in children)


@every_rule
def test_replay_gives_the_same_asks_after_json(rule):
    events = drive(make(rule, seed=5), 200, slots=4, rng=random.Random(1))
    again = make(rule, seed=5)
    for event in events:
        if isinstance(event, Candidate):
            assert again.ask() == Candidate.from_json(json.loads(json.dumps(event.to_json())))
        else:
            again.tell(event)


@pytest.mark.parametrize(
    "settings",
    [
        {"rule": "mean"},
        {"looks": 1},
        {"least": 1},
        {"quantile": 1.5},
        {"chance": -0.1},
        {"rungs": (3, 1)},
        {"rungs": ()},
    ],
)
def test_settings_outside_their_rule_are_refused(settings):
    with pytest.raises(SettingError):
        make(**settings)
