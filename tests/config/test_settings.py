"""Budgets, ``--set`` and the settings of a part: what is taken, and what is refused."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest

from evolvent.config.settings import (
    RunBudget,
    differences,
    fields,
    grouped,
    parse_budget,
    parse_set,
    validated,
)
from evolvent.errors import SettingError

# ---- budgets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds", "trials"),
    [
        ("10m", 600.0, None),
        ("90s", 90.0, None),
        ("1.5h", 5400.0, None),
        ("2d", 172800.0, None),
        ("200t", None, 200),
        ("1h,500t", 3600.0, 500),
        ("500t, 1h", 3600.0, 500),
    ],
)
def test_a_budget_is_time_or_trials_or_both(text, seconds, trials):
    assert parse_budget(text) == RunBudget(seconds, trials)


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0m",
        "0t",
        "0.0h",
        "",
        "10",
        "m",
        "-5m",
        "1.5t",
        "ten minutes",
        "10m;5t",
        "10m,20m",
        "1t,2t",
    ],
)
def test_another_budget_is_refused_with_an_example(text):
    with pytest.raises(SettingError, match=r"\d+[mht]") as caught:
        parse_budget(text)
    assert repr(text) in str(caught.value)


# ---- part.name=value -----------------------------------------------------------------------------


def test_values_are_read_as_yaml():
    given = ["space.nodes=3", "train.augment=no", "space.operations=[a, b]", "task.name=x=y"]
    assert parse_set(given) == {
        "space": {"nodes": 3, "operations": ["a", "b"]},
        "train": {"augment": False},
        "task": {"name": "x=y"},
    }


def test_the_last_of_two_equal_names_counts():
    assert parse_set(["space.nodes=3", "space.nodes=4"]) == {"space": {"nodes": 4}}


@pytest.mark.parametrize(
    "text", ["nodes=3", "space.nodes", "space=3", "", ".x=1", "space.no des=1"]
)
def test_another_form_is_refused(text):
    with pytest.raises(SettingError, match=r"write part\.name=value"):
        parse_set([text])


def test_an_unknown_part_is_refused_with_the_nearest():
    with pytest.raises(SettingError, match="unknown part 'spce': did you mean 'space'"):
        parse_set(["spce.nodes=3"])


def test_a_value_that_is_no_yaml_is_refused():
    with pytest.raises(SettingError, match=r"space\.nodes=\[1.*cannot be read"):
        parse_set(["space.nodes=[1"])


# ---- the settings of a part ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Group:
    width: int = 4
    rate: float = 0.1


class Part:
    def __init__(self, space, *, group: Group = Group(), names: Sequence[str] = (), seed: int = 0):
        pass


class Child(Part):
    def __init__(self, space, *, depth: int = 3, **more: Any):
        super().__init__(space, **more)


class Untyped:
    def __init__(self, *, anything=1):
        pass


class Nothing:
    pass


def test_settings_are_keyword_arguments_with_groups_spelled_out():
    assert fields(Part, without=("seed",)) == {"width": int, "rate": float, "names": Sequence[str]}
    assert fields(Group) == {"width": int, "rate": float}
    assert fields(Nothing) == {}
    assert fields(Child) == fields(Part) | {"depth": int}


def test_an_argument_without_a_type_takes_anything():
    known = fields(Untyped)
    assert validated("space", {"anything": [1, "a"]}, known) == {"anything": [1, "a"]}


def test_what_a_part_is_given_is_no_group_of_settings():
    class Made:
        def __init__(self, group: Group, *, width: int = 1) -> None:
            """`group` is a fact, `width` a setting."""

    assert grouped(Made, {"width": 8}) == {"width": 8}


def test_groups_are_put_together_again():
    made = grouped(Part, {"width": 8, "names": ["a"]})
    assert made == {"group": Group(width=8), "names": ["a"]}
    assert grouped(Part, {"names": ["a"]}) == {"names": ["a"]}


@pytest.mark.parametrize(
    ("value", "kind", "taken"),
    [
        (3, int, 3),
        (3, float, 3.0),
        ("1e-3", float, 0.001),
        (None, int | None, None),
        (True, bool, True),
    ],
)
def test_values_of_the_right_type_are_taken(value, kind, taken):
    assert validated("train", {"x": value}, {"x": kind}) == {"x": taken}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *(("three", int), (2.5, int), (None, int), (3, str), ([1], float)),
        *((math.nan, float), (math.inf, float), (True, int), (False, float), ([1], Sequence[str])),
    ],
)
def test_values_of_another_type_are_refused_in_one_line(value, kind):
    with pytest.raises(SettingError, match=r"train\.x=") as caught:
        validated("train", {"x": value}, {"x": kind})
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(
        SettingError, match="unknown setting of space cell 'nods': did you mean 'nodes'"
    ):
        validated("space", {"nods": 3}, {"nodes": int, "output": str}, who="cell")


# ---- differences ---------------------------------------------------------------------------------


def test_differences_are_named_one_by_one():
    old = {"budget": "10m", "seed": 0, "set": {"space": {"nodes": 3, "zero": True}}}
    new = {"budget": "5m", "seed": 0, "set": {"space": {"nodes": 4, "zero": True}, "task": {}}}
    assert differences(old, new) == [
        "budget: 10m -> 5m",
        "set.space.nodes: 3 -> 4",
        "set.task: None -> {}",
    ]
    assert differences(old, old) == []
