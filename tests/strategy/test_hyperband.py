"""Successive halving, Hyperband and ASHA."""

import itertools
import json
import random
from collections import Counter
from typing import Any

import pytest
from tests.helpers_strategy import answered, asks, driven

from evolvent.errors import SettingError
from evolvent.space.listed import Listed
from evolvent.strategy.asha import Asha
from evolvent.strategy.common.rungs import ladder
from evolvent.strategy.hyperband import Hyperband, SuccessiveHalving, brackets
from evolvent.types import Budget, Candidate, Result

SPACE = Listed(["".join(digits) for digits in itertools.product("01234", repeat=6)])
R81: dict[str, Any] = {"epochs": 81.0, "eta": 3.0, "horizon": 400}
BOTH = [SuccessiveHalving, Hyperband]
ALL = [*BOTH, Asha]


def skill(arch):
    return sum(int(digit) * (place + 1) for place, digit in enumerate(arch))


def learnt(candidate):
    """Longer training shows skill with less noise; a short one depends on luck too."""
    luck = random.Random(candidate.arch + str(candidate.budget.epochs)).random()
    return skill(candidate.arch) + 20.0 * luck / candidate.budget.epochs


def drive(strategy, trials, score=learnt, slots=1, rng=None):
    return driven(strategy, trials, lambda c: answered(c, score(c)), slots, rng, waits=True)


def test_brackets_equal_the_definition():
    assert ladder(81, 1, None) == ([1, 3, 9, 27, 81], 3)
    assert brackets([1, 3, 9, 27, 81], 3) == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_lengths_end_at_the_full_one_and_may_be_given():
    assert ladder(300, 1, 4)[0] == [300 / 256, 300 / 64, 300 / 16, 75, 300]
    assert ladder(0.5, None, 3)[0] == pytest.approx([0.5 / 27, 0.5 / 9, 0.5 / 3, 0.5])
    assert ladder(27, None, 3)[0] == ladder(27, 1, 3)[0] == [1, 3, 9, 27]
    assert ladder(200, 12, 200 / 12)[0] == pytest.approx([12, 200])
    assert ladder(1, None, None, (12, 200)) == ([12.0, 200.0], 200 / 12)
    assert ladder(1, None, 4, (12, 200)) == ([12.0, 200.0], 4)
    assert Asha(SPACE, epochs=300, eta=4, horizon=400).steps == [1, 4, 16, 64, 300]


@pytest.mark.parametrize(
    ("horizon", "count"), [(4, 2), (12, 2), (13, 3), (39, 3), (40, 4), (1000, 5)]
)
def test_there_are_as_many_rungs_as_trials_reach_the_top_of(horizon, count):
    lengths = ladder(81, None, 3, horizon=horizon)[0]
    assert lengths == pytest.approx([81 / 3**step for step in range(count - 1, -1, -1)])
    assert ladder(81, 1, 3, horizon=horizon)[0] == [1, 3, 9, 27, 81]  # what the user asks for
    strategy = SuccessiveHalving(SPACE, epochs=81.0, horizon=horizon)
    assert max(c.budget.epochs for c in asks(drive(strategy, horizon))) == 81


def test_hyperband_with_one_worker_asks_its_brackets_in_order():
    epochs = [c.budget.epochs for c in asks(drive(Hyperband(SPACE, **R81), 206 + 81))]
    sizes = [(n, r) for bracket in brackets([1, 3, 9, 27, 81], 3) for n, r in bracket]
    assert epochs[:206] == [r for n, r in sizes for _ in range(n)]
    assert epochs[206:] == [1.0] * 81  # and again from the first bracket


def test_successive_halving_promotes_the_best_of_each_rung_by_that_rung_alone():
    events = drive(SuccessiveHalving(SPACE, **R81), 121)
    candidates = asks(events)
    scores = {e.candidate.id: e.value for e in events if isinstance(e, Result)}
    ends = list(itertools.accumulate((81, 27, 9, 3, 1), initial=0))
    rungs = [candidates[a:b] for a, b in itertools.pairwise(ends)]
    for lower, upper in itertools.pairwise(rungs):
        best = sorted((c.id for c in lower), key=lambda id: -scores[id])[: len(upper)]
        assert [c.parents for c in upper] == [(id,) for id in best]
        assert [c.weights_from for c in upper] == [(id,) for id in best]
        assert [c.arch for c in upper] == [candidates[id].arch for id in best]
        assert {c.operator for c in upper} == {"promote"}
    assert [rung[0].budget.epochs for rung in rungs] == [1, 3, 9, 27, 81]
    assert [c.id for c in candidates] == list(range(121))


@pytest.mark.parametrize("method", ALL)
def test_a_fresh_schedule_inherits_no_weights(method):
    strategy = method(SPACE, continue_=False, **R81)
    candidates = asks(drive(strategy, 150))
    assert any(c.operator == "promote" for c in candidates)
    assert not any(c.weights_from for c in candidates)
    assert strategy.alive() == frozenset()


def test_asha_promotes_from_the_top_rung_down_as_soon_as_a_third_allows():
    strategy: Any = Asha(SPACE, epochs=9.0, minimum=1.0)
    steps = []
    for _ in range(14):
        candidate = strategy.ask()
        steps.append((candidate.budget.epochs, candidate.parents))
        strategy.tell(Result(candidate, score=-float(candidate.id)))
    assert steps == [
        (1.0, ()), (1.0, ()), (1.0, ()), (3.0, (0,)),
        (1.0, ()), (1.0, ()), (1.0, ()), (3.0, (1,)),
        (1.0, ()), (1.0, ()), (1.0, ()), (3.0, (2,)),
        (9.0, (3,)), (1.0, ()),
    ]  # fmt: skip


def test_asha_promotes_a_later_and_better_one_though_the_share_is_used_up():
    strategy: Any = Asha(SPACE, epochs=3.0, minimum=1.0)
    for score in (1.0, 2.0, 3.0, 0.0, 4.0):
        strategy.tell(Result(strategy.ask(), score=score))
    assert strategy.ask().parents == (4,)  # 4 results, the best one of them not promoted yet


def test_asha_rungs_hold_the_shares_of_the_definition():
    strategy = Asha(SPACE, **R81)
    drive(strategy, 400)
    sizes = [len(rung) for rung in strategy._rungs]
    assert all(low // 3 <= up <= low // 2 for low, up in itertools.pairwise(sizes))
    assert 240 < sizes[0] < 267


def test_asha_promotes_whom_sorting_every_rung_anew_would_promote():
    """Algorithm 2 word for word, over a history in which a tenth fails or is refused."""
    strategy: Any = Asha(SPACE, epochs=27.0, minimum=1.0)
    rng = random.Random(4)
    flying: list[Candidate] = []
    promoted: set[int] = set()
    rungs: dict[float, list[Result]] = {float(length): [] for length in (1, 3, 9, 27)}

    def expected():
        for length in (9.0, 3.0, 1.0):
            rung = rungs[length]
            scored = sorted((r for r in rung if r.ok), key=lambda r: (-r.value, r.candidate.id))
            for result in scored[: len(rung) // 3]:
                if result.candidate.id not in promoted:
                    return result.candidate.id
        return None

    for _ in range(600):
        while len(flying) < 4:
            wanted, candidate = expected(), strategy.ask()
            assert candidate.parents == (() if wanted is None else (wanted,))
            promoted.update(candidate.parents)
            flying.append(candidate)
        candidate = flying.pop(rng.randrange(4))
        result = Result(candidate, round(rng.random(), 2))  # with ties
        if rng.random() < 0.1:
            refused = rng.random() < 0.5
            result = Result(candidate, status="refused" if refused else "failed", reason="design")
        strategy.tell(result)
        if result.status != "refused":
            rungs[candidate.budget.epochs].append(result)
    assert all(len(rung) > 10 for rung in rungs.values())


@pytest.mark.parametrize("method", ALL)
def test_no_one_is_promoted_twice_and_only_from_the_rung_below(method):
    events = drive(method(SPACE, seed=1, **R81), 400, slots=6, rng=random.Random(0))
    epochs = {c.id: c.budget.epochs for c in asks(events)}
    promoted = [c for c in asks(events) if c.operator == "promote"]
    assert max(Counter(c.parents for c in promoted).values()) == 1
    assert all(c.budget.epochs == pytest.approx(3 * epochs[c.parents[0]]) for c in promoted)


@pytest.mark.parametrize("method", ALL)
def test_the_best_is_found_with_fewer_epochs_than_full_trainings_need(method):
    def found(seed):
        events = drive(method(SPACE, seed=seed, **R81), 300)
        full = [c for c in asks(events) if c.budget.epochs == 81]
        spent = sum(c.budget.epochs for c in asks(events))
        return max(skill(c.arch) for c in full), spent

    outcomes = [found(seed) for seed in range(10)]
    chance = [
        max(skill(SPACE.sample(random.Random(f"{seed}/{i}"))) for i in range(int(spent / 81)))
        for seed, (_, spent) in enumerate(outcomes)
    ]
    assert sum(skill for skill, _ in outcomes) > sum(chance) + 10


@pytest.mark.parametrize("method", ALL)
def test_weights_are_kept_as_long_as_someone_may_go_on_from_them(method):
    strategy, rng = method(SPACE, seed=2, **R81), random.Random(3)
    flying: list[Candidate] = []
    told: set[int] = set()
    for _ in range(400):
        while len(flying) < 5:
            flying.append(strategy.ask())
            assert set(flying[-1].weights_from) <= told
        assert {id for c in flying for id in c.weights_from} <= strategy.alive()
        candidate = flying.pop(rng.randrange(5))
        keep = strategy.alive()
        strategy.tell(Result(candidate, score=learnt(candidate)))
        told = (told & keep) | {candidate.id}
    assert strategy.alive() <= told


@pytest.mark.parametrize("method", ALL)
def test_replay_gives_the_same_asks_after_json(method):
    events = drive(method(SPACE, seed=5, **R81), 200, slots=4, rng=random.Random(1))
    again = method(SPACE, seed=5, **R81)
    for event in events:
        if isinstance(event, Candidate):
            assert again.ask() == Candidate.from_json(json.loads(json.dumps(event.to_json())))
        else:
            again.tell(event)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("slots", [1, 7, 200])
def test_it_lives_under_failures_with_many_workers_in_any_order(method, slots):
    rng = random.Random(slots)
    flaky = lambda c: None if rng.random() < 0.9 else learnt(c)  # noqa: E731
    events = drive(method(SPACE, **R81), 500, flaky, slots, rng)
    lost = {event.candidate.id for event in events if isinstance(event, Result) and not event.ok}
    assert not any(set(candidate.parents) & lost for candidate in asks(events))


@pytest.mark.parametrize("method", BOTH)
def test_a_waiting_rung_lets_the_next_bracket_start(method):
    strategy = method(SPACE, epochs=3.0, minimum=1.0)
    first = [strategy.ask() for _ in range(3)]
    strategy.tell(Result(first[0], score=1.0))
    assert strategy.ask().operator == "sample"
    for candidate in first[1:]:
        strategy.tell(Result(candidate, score=0.0))
    assert strategy.ask().parents == (0,)


@pytest.mark.parametrize("method", ALL)
def test_a_refused_candidate_leaves_its_place_to_another(method):
    strategy = method(SPACE, epochs=3.0, minimum=1.0)
    refused = strategy.ask()
    strategy.tell(Result(refused, status="refused", reason="too large"))
    for _ in range(3):
        candidate = strategy.ask()
        assert candidate.operator == "sample"
        strategy.tell(Result(candidate, score=float(candidate.id)))
    assert strategy.ask().parents == (3,)


class Inner:
    """Proposes children of the last result, and makes its caller wait when told to."""

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(self):
        self.asked, self.told, self.wait = 0, [], False

    def ask(self):
        if self.wait:
            return None
        self.asked += 1
        parents = (self.told[-1].candidate.id,) if self.told else ()
        return Candidate(self.asked - 1, "000000", parents=parents, operator="inner", note={"n": 1})

    def tell(self, result):
        self.told.append(result)


@pytest.mark.parametrize("method", BOTH)
def test_an_inner_strategy_proposes_and_is_told_the_lowest_rung_only(method):
    inner = Inner()
    strategy = method(SPACE, epochs=3.0, minimum=1.0, sampler=inner)
    events = drive(strategy, 4)
    assert [c.operator for c in asks(events)] == ["inner", "inner", "inner", "promote"]
    assert [c.parents for c in asks(events)][:3] == [(), (0,), (1,)]
    assert [r.candidate.id for r in inner.told] == [0, 1, 2]
    assert {r.candidate.note["n"] for r in inner.told} == {1}
    nested = strategy.ask()
    assert (nested.id, nested.parents) == (4, (2,))  # the inner third is the outer third


@pytest.mark.parametrize("method", ALL)
def test_waiting_for_the_inner_strategy_changes_nothing(method):
    inner = Inner()
    strategy, other = method(SPACE, sampler=inner, **R81), method(SPACE, sampler=Inner(), **R81)
    inner.wait = True
    assert strategy.ask() is None
    assert strategy.ask() is None
    inner.wait = False
    assert strategy.ask() == other.ask()


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    "settings",
    [
        {"eta": 1.0},
        {"minimum": 0.0},
        {"minimum": 9.0, "epochs": 3.0},
        {"rungs": (3, 1)},
        {"rungs": ()},
        {"rungs": (3,)},
        {"eta": 28.0},
        {"minimum": 1.0, "epochs": 2.0},
    ],
)
def test_settings_outside_their_rule_are_refused(method, settings):
    with pytest.raises(SettingError):
        method(SPACE, **settings)


def test_a_rung_needs_a_place():
    with pytest.raises(SettingError):
        SuccessiveHalving(SPACE, size=0)


def test_budgets_are_totals():
    assert asks(drive(Asha(SPACE, epochs=3.0, minimum=1.0), 5))[3].budget == Budget(epochs=3.0)
