"""Exceptions: one tree, and messages that say what to do."""

import inspect

import pytest

from evolvent import errors
from evolvent.errors import EvolventError, ReplayError, SettingError, UserError, unknown

CLASSES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if each.__module__ == errors.__name__
]


@pytest.mark.parametrize("name", ["SettingError", "DataError", "RunError"])
def test_wrong_input_is_a_user_error(name):
    assert issubclass(getattr(errors, name), UserError)


@pytest.mark.parametrize("name", ["InvalidArchitecture", "CandidateFailed", "ReplayError"])
def test_what_is_not_the_users_fault_is_no_user_error(name):
    assert not issubclass(getattr(errors, name), UserError)
    assert issubclass(getattr(errors, name), EvolventError)


def test_the_tree_in_the_docstring_names_every_exception():
    for each in CLASSES:
        assert issubclass(each, EvolventError)
        assert each.__name__ in str(errors.__doc__)


def test_no_exception_of_ours_hides_behind_one_of_pythons():
    assert {base for each in CLASSES for base in each.__bases__} <= {Exception, *CLASSES}
    assert ReplayError.__mro__[1:3] == (EvolventError, Exception)


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("evolutoin", "evolution"), ("rndom", "random"), ("bays", "bayes"), ("EVOLUTION", None)],
)
def test_an_unknown_name_is_told_the_nearest_one(given, nearest):
    error = unknown("strategy", given, ["random", "evolution", "bayes"])
    assert isinstance(error, SettingError)
    assert (f"did you mean {nearest!r}?" in str(error)) == (nearest is not None)


def test_every_known_name_is_listed_in_order():
    message = str(unknown("space", "zzz", iter(["b", "a", "c"])))
    assert message == "unknown space 'zzz': known: a, b, c"


def test_nothing_known_is_said():
    assert str(unknown("space", "x", [])) == "unknown space 'x': known: none"
