"""Whatever depends on the clock: how many trials, and how long each."""

import time
from collections import Counter

import pytest
import torch
from tests.helpers_resolve import resolved, settled

from evolvent.config import pacing
from evolvent.config.clock import DELIVERY_SHARE
from evolvent.config.defaults import EPOCHS, at_most
from evolvent.config.equal_time import pace
from evolvent.config.pacing import TRIALS_AIMED_AT, settle
from evolvent.config.parts import make_strategy
from evolvent.errors import CandidateFailed, SettingError
from evolvent.space.cell201 import Cell201
from evolvent.types import Candidate, Result


@pytest.fixture
def speed(monkeypatch):
    """Sets the pace that the measurement finds. [s per example]"""

    def of(seconds):
        monkeypatch.setattr(pacing, "pace", lambda *args, **options: seconds)

    return of


def test_a_budget_in_trials_measures_nothing(toy, monkeypatch):
    monkeypatch.delattr(pacing, "pace")
    found = settled(toy, budget="40t")
    assert found.schedule.epochs == at_most("trials", toy, 32)
    assert found.schedule.horizon == 40
    assert (found.budget.seconds, found.budget.trials) == (None, 40)
    assert found.schedule.search_seconds is None


def test_a_budget_that_is_over_before_the_search_is_refused(toy):
    draft = resolved(toy, budget="20s")
    with pytest.raises(SettingError, match=r"took 21 s of a budget of 20 s.*--budget 84s"):
        settle(draft, workers=1, before=21.0)


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("budget", [60.0, 600.0, 86400.0])
@pytest.mark.parametrize("seconds", [1e-6, 1e-4, 1e-1])
def test_a_budget_in_seconds_is_shared_out_among_about_fifty_trials(
    toy, speed, seconds, budget, workers
):
    speed(seconds)
    found = settled(toy, workers, budget=f"{budget}s")
    search = found.schedule.search_seconds
    assert search is not None
    # what measuring took here is no part of it
    assert search == pytest.approx((1 - DELIVERY_SHARE) * budget, rel=1e-3)
    epochs, horizon = found.schedule.epochs, found.schedule.horizon
    most = at_most("most", toy, 32)
    assert EPOCHS["least"] <= epochs <= most
    needed = horizon * max(epochs * seconds * len(toy.train), 0.02)
    if horizon > 4:  # fewer make no search
        assert needed <= search * workers
    if 0.1 < epochs < most:
        assert horizon == pytest.approx(TRIALS_AIMED_AT, abs=2)
    assert found.schedule.timeout >= 20


def test_what_the_user_sets_is_not_settled(toy, speed):
    speed(1e-4)
    mine = {"estimator": {"epochs": 3.0, "timeout": 7.0}, "strategy": {"horizon": 33}}
    for budget in ("10m", "20t"):
        found = settled(toy, budget=budget, set=mine)
        assert (found.schedule.epochs, found.schedule.timeout) == (3.0, 7.0)
        assert found.schedule.horizon == 33


@pytest.mark.parametrize("strategy", ["successive-halving", "hyperband", "asha", "learning-curve"])
@pytest.mark.parametrize("budget", ["30t", "2m", "10m"])
def test_a_search_in_rungs_has_rungs_however_short_it_is(toy, speed, strategy, budget):
    speed(1e-2)  # [s] so that an epoch takes seconds, and fifty trainings of an epoch do not fit
    found = settled(toy, budget=budget, strategy=strategy)
    epochs, horizon = found.schedule.epochs, found.schedule.horizon
    made = make_strategy(
        found.parts, found.space, found.facts, seed=0, epochs=epochs, horizon=horizon
    )
    asked: list[Candidate] = []
    for _ in range(horizon):
        candidate = made.ask()
        assert candidate is not None
        asked.append(candidate)
        made.tell(Result(candidate, score=-float(candidate.id)))
    known = {candidate.id: float(candidate.budget.epochs or 0) for candidate in asked}
    planned = Counter(known.values())
    assert len(planned) >= 3
    assert max(planned) == pytest.approx(epochs)
    before = sum(known[id] for candidate in asked for id in candidate.weights_from)
    whole = sum(known.values()) - before  # what was trained
    if found.schedule.search_seconds is not None:
        assert whole * 1e-2 * len(toy.train) <= found.schedule.search_seconds
        assert epochs > 3 * whole / horizon


def test_of_two_budgets_the_smaller_makes_the_horizon(toy, speed):
    speed(1e-5)
    assert settled(toy, budget="1h,30t").schedule.horizon == 30
    assert settled(toy, budget="1h,1000000t").schedule.horizon < 1000000


def test_the_number_of_trials_aimed_at_can_be_set(toy, speed):
    speed(0.1)
    few, many = (
        settled(toy, budget="10m", set={"estimator": {"aim": aim}}).schedule.epochs
        for aim in (10, 100)
    )
    assert few > 5 * many


def test_the_pace_is_measured_and_leaves_the_threads_alone(toy):
    torch.set_num_threads(2)
    try:
        network = resolved(toy).network
        arch = ("nor_conv_3x3",) * 6
        assert 0 < pace(Cell201(), arch, toy, size=network.size, hyper=network.hyper) < 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_architectures_that_cannot_be_trained_are_passed_over(toy, monkeypatch):
    paces = iter([None, 1e-4, None, 2e-4, 3e-4, 4e-4])

    def measured(*args, **options):
        if (found := next(paces)) is None:
            raise CandidateFailed("the training loss became nan")
        return found

    monkeypatch.setattr(pacing, "pace", measured)
    found = settled(toy, budget="10m")
    assert found.schedule.measured["seconds_per_epoch"] == pytest.approx(
        2e-4 * len(toy.train), abs=1e-4
    )


def test_a_space_of_which_nothing_can_be_trained_is_refused(toy, monkeypatch):
    def measured(*args, **options):
        raise CandidateFailed("the training loss became nan")

    monkeypatch.setattr(pacing, "pace", measured)
    with pytest.raises(SettingError, match="the last because the training loss became nan"):
        settled(toy, budget="10m")


def test_a_busy_machine_measures_fewer_networks(toy, monkeypatch):
    measured = []

    def slow(*args, **how):
        measured.append(1)
        time.sleep(0.05)
        return 1e-4

    monkeypatch.setattr(pacing, "pace", slow)
    settled(toy, budget="100s", space="cell201")
    assert len(measured) == 3
    measured.clear()
    monkeypatch.setattr(pacing, "TYPICAL_SHARE", 1e-6)
    settled(toy, budget="100s", space="cell201")
    assert len(measured) == 1
