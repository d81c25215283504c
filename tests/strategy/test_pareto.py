"""NSGA-II."""

import itertools
import json
import random
from typing import Any

import moocore
import numpy as np
import pytest
from tests.helpers_strategy import driven

from evolvent.errors import SettingError
from evolvent.space.listed import Listed
from evolvent.strategy.pareto import Pareto, costs, crowding, guess
from evolvent.types import Candidate, Result, failed

SPACE = Listed(["".join(digits) for digits in itertools.product("01234", repeat=6)])
TOY: dict[str, Any] = {"minimise": ("latency",), "population": 20, "horizon": 200}


def answer(candidate):
    """Two objectives in conflict: each digit adds score, and latency that grows faster."""
    digits = np.array([int(digit) for digit in candidate.arch])
    latency = float((digits**2 * [1, 2, 3, 1, 2, 3]).sum())
    return Result(
        candidate, score=float((digits * [3, 2, 1, 3, 2, 1]).sum()), metrics={"latency": latency}
    )


def drive(strategy, trials, reply=answer, slots=1, rng=None):
    return driven(strategy, trials, reply, slots, rng)


def volume(results):
    points = np.array([(-r.value, r.metrics["latency"]) for r in results])
    return moocore.hypervolume(points, ref=[0.0, 200.0])


def test_its_front_beats_that_of_random_search_on_every_seed():
    for seed in range(5):
        found = [e for e in drive(Pareto(SPACE, seed=seed, **TOY), 200) if isinstance(e, Result)]
        rng = random.Random(seed)
        chance = [answer(Candidate(i, SPACE.sample(rng))) for i in range(200)]
        assert volume(found) > volume(chance)


def test_crowding_distance_on_a_worked_example():
    points = np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0], [2.0, 1.0]])
    assert crowding(points).tolist() == [np.inf, 2 / 4 + 3 / 4, np.inf, 3 / 4 + 2 / 4]
    assert crowding(np.ones((3, 2))).tolist() == [np.inf, 0.0, np.inf]
    assert crowding(np.ones((1, 2))).tolist() == [np.inf]


def test_a_guess_is_right_where_every_decision_adds_its_part():
    codes = np.random.default_rng(0).integers(4, size=(80, 5))
    points = np.stack([codes.sum(axis=1), (codes == 2) @ [1, 2, 3, 4, 5]], axis=1).astype(float)
    assert guess(codes.tolist(), points[:60]) == pytest.approx(points[60:], abs=1.5)
    ragged = [(0, 1), (1, 1, 0), (1,), (0, 1)]
    assert guess(ragged, np.array([[0.0], [1.0], [1.0]]))[0, 0] < 0.5


def test_choosing_among_proposals_helps():
    def reached(seed, proposals):
        events = drive(Pareto(SPACE, seed=seed, proposals=proposals, **TOY), 120)
        return volume([event for event in events if isinstance(event, Result)])

    volumes = [[reached(seed, proposals) for seed in range(5)] for proposals in (1, 16)]
    assert sum(volumes[1]) > sum(volumes[0])


def test_the_most_dominated_and_then_the_most_crowded_member_leaves():
    strategy = Pareto(SPACE, minimise=("params",), population=10, horizon=40)
    points = [(i, i) for i in range(1, 11)]  # a front: more score, more parameters
    for id, (score, params) in enumerate([*points, (0, 5)]):
        strategy.tell(Result(Candidate(id, "000000"), score=score, params=params))
    assert [m.candidate.id for m in strategy.members] == list(range(10))  # 10 was dominated
    strategy.tell(Result(Candidate(11, "000000"), score=5.1, metrics={"params": 5.1}))
    gone = set(range(12)) - {m.candidate.id for m in strategy.members}
    assert gone - {10} <= {4, 5, 11}  # the ends stay, of a close pair one goes


def test_the_population_is_the_same_in_whatever_order_results_arrive():
    results = [answer(Candidate(id, SPACE.archs[id * 97])) for id in range(15)]
    members = []
    for order in (results, results[::-1]):
        strategy = Pareto(SPACE, **TOY)
        for result in order:
            strategy.tell(result)
        members.append(strategy.members)
    assert members[0] == members[1]


def test_children_have_two_parents_or_one_and_no_architecture_comes_twice():
    events = drive(Pareto(SPACE, seed=2, **TOY), 300)
    candidates = [event for event in events if isinstance(event, Candidate)]
    assert len({candidate.arch for candidate in candidates}) == 300
    assert [candidate.id for candidate in candidates] == list(range(300))
    assert {len(c.parents) for c in candidates[:20]} == {0}
    assert {len(c.parents) for c in candidates[20:]} == {0, 1, 2}


def test_a_space_without_crossover_is_only_mutated():
    class Plain:
        family = "listed"
        gives: frozenset[str] = frozenset()
        sample, mutate = SPACE.sample, SPACE.mutate

    events = drive(Pareto(Plain(), seed=2, **TOY), 100)
    assert {e.operator for e in events if isinstance(e, Candidate)} == {"sample", "substitute"}


def test_metrics_come_by_name_and_a_missing_one_keeps_out_of_the_population():
    result = Result(Candidate(0, "000000"), score=1.0, params=5, metrics={"latency": 2})
    assert costs(result, ("latency", "params", "flops")) == (2.0, 5.0, float("inf"))
    strategy = Pareto(SPACE, minimise="flops")
    strategy.tell(result)
    assert strategy.members == []
    assert strategy.objectives == ("flops",)


def test_replay_gives_the_same_asks_after_json():
    events = drive(Pareto(SPACE, seed=5, **TOY), 120, slots=4, rng=random.Random(1))
    again = Pareto(SPACE, seed=5, **TOY)
    for event in events:
        if isinstance(event, Candidate):
            assert again.ask() == Candidate.from_json(json.loads(json.dumps(event.to_json())))
        else:
            again.tell(event)


@pytest.mark.parametrize("slots", [1, 7, 64])
def test_it_lives_under_failures_with_many_workers_in_any_order(slots):
    rng = random.Random(slots)
    flaky = lambda c: failed(c, "toy") if rng.random() < 0.9 else answer(c)  # noqa: E731
    events = drive(Pareto(SPACE, seed=0, **TOY), 300, flaky, slots, rng)
    lost = {event.candidate.id for event in events if isinstance(event, Result) and not event.ok}
    asked = [event for event in events if isinstance(event, Candidate)]
    assert not any(set(candidate.parents) & lost for candidate in asked)


@pytest.mark.parametrize(
    "settings",
    [
        {"population": 1},
        {"proposals": 0},
        {"minimise": ()},
        {"crossover": 1.5},
        {"mutation": -0.1},
    ],
)
def test_settings_outside_their_rule_are_refused(settings):
    with pytest.raises(SettingError):
        Pareto(SPACE, **settings)
