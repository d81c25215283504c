"""Equal seconds: what is measured, what is kept, and what follows from it."""

from typing import Any

import pytest
from tests.helpers_resolve import resolved, settled

from evolvent.config import equal_time
from evolvent.config.setup import Setup
from evolvent.engine.limits import Limits
from evolvent.network.paces import USUAL, work_of
from evolvent.types import Budget, Candidate

EQUAL = {"estimator": {"equal": "seconds", "epochs": 2.0}}
SMALL, BIG = ("skip_connect",) * 6, ("nor_conv_3x3",) * 6


@pytest.fixture
def slow(monkeypatch):
    """Trainings take the usual paces, ten times as long."""
    seen = []

    def pace(space, arch, task, *, size, hyper, device, steps):
        seen.append(arch)
        return 10 * USUAL.of(work_of(space, arch, task, size=size, hyper=hyper))

    monkeypatch.setattr(equal_time, "pace", pace)
    return seen


def test_a_budget_in_trials_measures_nothing(toy, slow):
    setup = settled(toy, budget="4t", space="cell201", set=EQUAL)
    assert not slow
    assert setup.paces == USUAL
    assert setup.schedule.slowest is None


def test_a_budget_in_seconds_measures_small_and_large_networks(toy, slow):
    setup = settled(toy, budget="10m", space="cell201", set=EQUAL)
    assert len(set(slow)) >= equal_time.FEWEST_PACED
    for name, value in USUAL.to_json().items():
        assert setup.paces.to_json()[name] == pytest.approx(10 * value, rel=0.01)
    again = Setup.from_json(setup.to_json()).on(toy)
    assert again.paces == setup.paces
    assert again.schedule == setup.schedule


def test_fast_networks_see_the_data_more_often(toy):
    setup = settled(toy, budget="4t", space="cell201", set=EQUAL)
    estimator = setup.context().estimator
    results = [
        estimator.evaluate(Candidate(id, arch, budget=Budget(epochs=2.0)), {}).result
        for id, arch in enumerate((SMALL, BIG))
    ]
    assert results[0].epochs > 2 * results[1].epochs
    assert {result.candidate.budget.epochs for result in results} == {2.0}, "one rung"


def test_networks_that_the_final_training_has_no_time_for_are_refused(toy):
    setup = settled(toy, budget="4t", space="cell201", set=EQUAL)
    network = setup.train.network
    work = work_of(setup.space, BIG, toy, size=network.size, hyper=network.hyper)
    pace = setup.paces.of(work)
    limits = Limits(setup, slowest=pace * 0.99)
    assert limits.any
    reason = limits.reason(Candidate(0, BIG))
    assert reason is not None
    assert "ms per example" in reason
    assert limits.reason(Candidate(0, SMALL)) is None
    assert Limits(setup, slowest=pace * 1.01).reason(Candidate(0, BIG)) is None
    assert not Limits(setup).any


def test_the_slowest_network_has_some_epochs_of_the_final_training(toy, slow):
    setup = settled(toy, budget="60m", space="cell201", set=EQUAL)
    examples = len(toy.train) + len(toy.validation)
    seconds = 3600 * 0.45 * equal_time.FINAL_PART
    steps = len(toy.train) // setup.network.hyper.batch
    wanted = equal_time.WANTED_STEPS / steps
    assert wanted > equal_time.WANTED_EPOCHS, "so few examples are seen more often"
    assert setup.schedule.slowest == pytest.approx(seconds / wanted / examples)


def test_a_usual_network_is_tried_however_short_the_budget_is(toy, slow):
    setup = settled(toy, budget="10s", space="cell201", set=EQUAL)
    assert setup.schedule.slowest == setup.parts.estimator.settings["pace"]["unit"]


def test_the_fastest_known_member_is_tried_however_short_the_budget_is(toy, slow):
    space = {"multiply_adds": [1000, 10_000_000]}
    given = EQUAL | {"space": space, "strategy": {"known": True}}
    setup = settled(toy, budget="10s", space="stages", strategy="asha", set=given)
    limits, members = Limits(setup, setup.schedule.slowest), setup.space.known(setup.facts)
    allowed = [limits.reason(Candidate(0, arch)) is None for arch in members.values()]
    assert any(allowed)
    assert not all(allowed)


def test_a_space_that_can_be_bounded_is(toy, slow, monkeypatch):
    monkeypatch.setattr(equal_time, "WANTED_STEPS", 200)
    free = resolved(toy, space="stages").space.bounds
    setup = settled(toy, budget="60s", space="stages", strategy="random", set=EQUAL)
    assert setup.space.bounds[1] < free[1]
    said = EQUAL | {"space": {"multiply_adds": [1000, 500_000]}}
    setup = settled(toy, budget="60s", space="stages", strategy="random", set=said)
    assert setup.space.bounds == (1000, 500_000), "the user's word holds"


def test_candidates_are_thinner_than_what_is_delivered(toy, slow, monkeypatch):
    monkeypatch.setattr(equal_time, "WANTED_STEPS", 0)
    setup = settled(toy, budget="60s", space="stages", strategy="random", set=EQUAL)
    assert setup.widens
    assert setup.train.network.size.widen == pytest.approx(8**0.5, abs=0.01)
    for arch in setup.space.known(toy.facts).values():
        thin = setup.space.cost(arch).multiply_adds
        wide = setup.space.cost(setup.space.widened(arch, 8**0.5)).multiply_adds
        assert thin <= setup.space.bounds[1]
        assert wide > 3 * thin
    said = EQUAL | {"train": {"widen": 1.0}}
    assert not settled(toy, budget="60s", space="stages", strategy="random", set=said).widens
    assert not settled(toy, budget="4t", space="stages", strategy="random", set=EQUAL).widens


def test_rungs_are_planned_by_their_mean_length(toy):
    whole = settled(toy, budget="60s", space="cell201", strategy="random")
    rungs = settled(
        toy, budget="60s", space="cell201", strategy="asha", set={"strategy": {"levels": 3}}
    )
    settings: dict[str, Any] = {"levels": 3, "continue_": False}
    anew = resolved(toy, strategy="asha", set={"strategy": settings})
    assert equal_time.mean_length(anew) == pytest.approx((9 + 3 * 3 + 9) / 13 / 9)
    settings["continue_"] = True  # a promoted one trains the difference alone
    longer = resolved(toy, strategy="asha", set={"strategy": settings})
    assert equal_time.mean_length(longer) == pytest.approx((9 + 3 * 2 + 6) / 13 / 9)
    assert rungs.schedule.horizon == pytest.approx(whole.schedule.horizon, rel=0.9)


@pytest.mark.parametrize("known", [False, True])
def test_known_members_leave_the_plan_of_the_rungs_as_it_is(toy, known):
    settings = {"strategy": {"levels": 3, "known": known, "continue_": False}}
    draft = resolved(toy, space="cell201", strategy="asha", set=settings)
    assert equal_time.mean_length(draft) == pytest.approx(27 / 117)
