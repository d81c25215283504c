"""More budget for a run: what it may be, and what follows from it."""

import dataclasses
from typing import Any

import pytest
from tests.helpers_resolve import settled

from evolvent.config.settings import RunBudget
from evolvent.config.setup import Setup
from evolvent.config.stretches import LEAST, more_budget, stretched
from evolvent.errors import SettingError


@pytest.fixture
def of_trials(toy):
    return settled(toy, budget="40t")


@pytest.fixture
def of_seconds(of_trials):
    schedule = dataclasses.replace(of_trials.schedule, search_seconds=330.0, horizon=50)
    request = dataclasses.replace(of_trials.request, budget="10m")
    return dataclasses.replace(
        of_trials, schedule=schedule, budget=RunBudget(seconds=600.0), request=request
    )


def test_more_trials_lengthen_the_horizon_where_the_log_ends(of_trials):
    found = stretched(of_trials, "60t", events=80, spent={})
    assert found.budget == RunBudget(trials=60)
    assert found.schedule == of_trials.schedule
    assert (found.budgets, found.horizons) == (("40t", "60t"), ((80, 60),))
    further = stretched(found, "100t", events=120, spent={})
    assert (further.budgets[-1], further.horizons) == ("100t", ((80, 60), (120, 100)))


def test_it_comes_back_from_json_as_it_was(of_trials):
    found = stretched(of_trials, "60t", events=80, spent={})
    plain = found.to_json()
    again = Setup.from_json(plain)
    assert again.to_json() == plain
    assert (again.budget, again.horizons, again.budgets) == (
        found.budget,
        found.horizons,
        found.budgets,
    )
    assert "stretches" not in of_trials.to_json()


def test_seconds_that_are_added_are_divided_as_the_first_were(of_seconds):
    spent = {"setup": 5.0, "search": 330.0, "deliver": 265.0}
    found = stretched(of_seconds, "20m", events=99, spent=spent)
    assert found.schedule.search_seconds == pytest.approx(330 + 0.55 * 600)
    assert found.budget == RunBudget(seconds=1200.0)
    assert found.horizons == ((99, 100),)


def test_the_delivery_keeps_its_least_share_of_the_whole(of_seconds):
    spent = {"search": 330.0, "deliver": 270.0}
    found = stretched(of_seconds, "12m", events=99, spent=spent)
    assert found.schedule.search_seconds == pytest.approx(330 + 120 - LEAST * 720)


def test_seconds_that_would_leave_no_search_are_refused_with_the_least(of_seconds):
    spent = {"search": 330.0, "deliver": 270.0}
    with pytest.raises(SettingError, match=r"600 s are spent already.*more than 706s"):
        stretched(of_seconds, "11m", events=99, spent=spent)
    found = stretched(of_seconds, "710s", events=99, spent=spent)
    assert (found.schedule.search_seconds or 0) > 330


def test_a_table_charges_the_whole_budget(of_seconds):
    schedule = dataclasses.replace(of_seconds.schedule, search_seconds=600.0)
    table = dataclasses.replace(of_seconds, schedule=schedule)
    found = stretched(table, "20m", events=9, spent={"search": 0.1}, charged=True)
    assert found.schedule.search_seconds == 1200.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30t", "this run has 40t, and a budget is of the whole run"),
        ("10m", "this run has 40t, and takes more of the same"),
        ("1h,60t", "takes more of the same"),
        ("soon", "such as 10m"),
    ],
)
def test_what_is_less_or_of_other_units_is_refused(of_trials, text, message):
    with pytest.raises(SettingError, match=message):
        more_budget(of_trials, text)


def test_the_budget_that_a_run_has_is_no_more(of_trials):
    assert more_budget(of_trials, "40t") is None
    assert stretched(of_trials, "40t", events=9, spent={}) is of_trials


def test_shared_weights_are_refused(toy):
    found: Any = settled(toy, budget="4t", recipe="random-ws")
    with pytest.raises(SettingError, match="shared weights of this run learn by a schedule"):
        more_budget(found, "8t")
