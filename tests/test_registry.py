"""Names to classes, and combinations that are refused before anything is spent."""

import pytest
from tests.helpers import elsewhere

from evolvent import registry
from evolvent.errors import SettingError
from evolvent.estimator.full import Full
from evolvent.registry import AXES, check, check_kind, find
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.space.plain import Plain
from evolvent.strategy.random import Random

METHODS = {
    "space": ("sample", "mutate", "family"),
    "strategy": ("ask", "tell", "needs"),
    "estimator": ("evaluate", "gives", "needs", "kinds", "stateful"),
}
EVERY = [(axis, name) for axis, table in AXES.items() for name in table]


@pytest.mark.parametrize(("axis", "name"), EVERY, ids=lambda value: str(value))
def test_every_name_stands_for_a_class_that_keeps_the_contract(axis, name):
    found = find(axis, name)
    assert isinstance(found, type)
    for attribute in METHODS[axis]:
        assert hasattr(found, attribute), attribute


@pytest.mark.parametrize(("axis", "name"), EVERY, ids=lambda value: str(value))
def test_names_are_what_a_user_can_type(axis, name):
    assert name == name.lower().strip()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize("axis", AXES)
def test_an_unknown_name_is_refused_with_the_nearest_one(axis):
    name = next(iter(AXES[axis]))
    with pytest.raises(SettingError, match=f"unknown {axis} .*did you mean '{name}'"):
        find(axis, name[:-1] + "x")


def test_a_class_of_ones_own_needs_no_registration():
    assert find("space", "evolvent.space.cell201:Cell201") is Cell201


@pytest.mark.parametrize("name", ["no.such.module:Space", "evolvent.space.cell201:Nothing"])
def test_a_class_that_cannot_be_imported_is_refused(name):
    with pytest.raises(SettingError, match="cannot be imported"):
        find("space", name)


def test_importing_the_registry_loads_no_part():
    code = "import sys, evolvent.registry; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert elsewhere(code) == "False False\n"


# ---- what fits together --------------------------------------------------------------------------


class NeedsMixture(Random):
    needs = frozenset({"mixture"})


class NeedsTheImpossible(Random):
    needs = frozenset({"clairvoyance"})


class NeedsDecisions(Full):
    needs = frozenset({"decisions"})


def test_what_is_needed_and_given_is_accepted():
    check(Cell201(), NeedsMixture.needs, Full, ("cell201", "darts", "full"), "image")
    check(Cell201(), Random.needs, NeedsDecisions, ("cell201", "random", "mine"), "image")


def test_a_strategy_whose_needs_are_not_met_is_refused_with_what_is_missing_and_a_way_out():
    with pytest.raises(SettingError) as error:
        check(Plain(), NeedsMixture.needs, Full, ("plain", "darts", "full"), "image")
    message = str(error.value)
    assert message.startswith("darts needs mixture, which plain x full does not give: use one of")
    assert "cell201" in message
    assert "plain," not in message.partition("use")[2]


def test_an_estimator_may_need_something_of_the_space_too():
    with pytest.raises(SettingError, match="mine needs decisions, which plain x mine"):
        check(Plain(), Random.needs, NeedsDecisions, ("plain", "random", "mine"), "image")


def test_what_a_space_gives_may_depend_on_its_settings():
    check(Cell(), NeedsMixture.needs, Full, ("cell", "darts", "full"), "image")
    with pytest.raises(SettingError, match="needs mixture"):
        check(
            Cell(combine=("add", "concat")),
            NeedsMixture.needs,
            Full,
            ("cell", "darts", "full"),
            "image",
        )


def test_what_nothing_gives_leads_to_another_strategy():
    with pytest.raises(SettingError, match="use another strategy"):
        check(Cell201(), NeedsTheImpossible.needs, Full, ("cell201", "oracle", "full"), "image")


def test_an_estimator_for_other_kinds_of_tasks_is_refused_with_one_that_fits():
    with pytest.raises(SettingError) as error:
        check_kind("full", "table")
    message = str(error.value)
    assert message.startswith(
        "estimator full evaluates tasks of kind image, language, numbers, series, text, this one"
    )
    assert message.endswith("use table")


def test_every_axis_has_entries():
    assert all(registry.AXES.values())
