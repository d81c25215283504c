"""What every registered estimator keeps, on small tasks of every kind that it is for.

The rules themselves are in `evolvent.testing`, for estimators of anyone.
"""

import functools
from typing import Any

import pytest

from evolvent.contract import check_contract, kinds_of
from evolvent.execute.worker import Context, Spec, evaluate
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.registry import ESTIMATORS, find
from evolvent.space.cell import Cell
from evolvent.testing import ESTIMATOR_RULES, estimator_case
from evolvent.testing.tasks import KINDS
from evolvent.types import Candidate

SMALL: dict[str, Any] = {"size": Size(cells=1, width=4, stages=2)}
TRAINED = SMALL | {"hyper": Hyperparameters(lr=0.1, batch=16)}
CELL = Cell(nodes=2, distinct=True)
#: name -> label -> keyword arguments, and the spaces of kinds where it is not the one that suits them
SETTINGS: dict[str, dict[str, tuple[dict[str, Any], Any]]] = {
    "full": {"": (TRAINED, None), "keep": (TRAINED | {"keep": True}, None)},
    "inherit": {"": (TRAINED, None)},
    "packed": {
        "": (TRAINED, None),
        "folds": (TRAINED | {"folds": 3, "repeats": 1}, None),
        "none": (TRAINED | {"folds": 0}, None),
    },
    "shared": {
        "": (TRAINED, {"image": CELL}),
        "gradient": (TRAINED | {"gradient": True}, {"image": CELL}),
    },
    "zerocost": {"": (SMALL, None)},
    "cascade": {"": (TRAINED, None), "keep": (TRAINED | {"keep": True}, None)},
}
CASES = {
    "-".join(filter(None, (name, kind, label))): (name, kind, settings, (spaces or {}).get(kind))
    for name in ESTIMATORS
    for kind in KINDS
    if kind in kinds_of("estimator", find("estimator", name))
    for label, (settings, spaces) in SETTINGS.get(name, {"": ({}, None)}).items()
}
every_estimator = pytest.mark.parametrize("case", CASES)


@functools.cache
def case_of(case):
    name, kind, settings, space = CASES[case]
    return estimator_case(find("estimator", name), kind=kind, settings=settings, space=space)


@every_estimator
@pytest.mark.parametrize("rule", ESTIMATOR_RULES, ids=lambda rule: rule.__name__)
def test_it_keeps(case, rule):
    rule(case_of(case))


@every_estimator
def test_an_architecture_of_no_space_is_never_scored(case):
    made = case_of(case)
    context = Context(Spec(made.task, "", ""), made.space, made.fresh())
    result = evaluate(context, Candidate(5, ("no", "such", "architecture")), {}).result
    assert result.status == "failed"
    assert result.reason


@pytest.mark.parametrize("name", ["full", "inherit", "shared", "zerocost", "cascade"])
def test_test_data_of_a_task_that_was_read_never_count(name, toy, poisoned):
    _, _, settings, space = CASES[f"{name}-image"]
    found = []
    for task in (toy, poisoned):
        made = estimator_case(find("estimator", name), task=task, settings=settings, space=space)
        result = made.fresh().evaluate(made.candidate(), {}).result
        found.append((result.score, result.metrics.get("loss")))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_passes_what_is_asked_of_parts_from_outside(name):
    check_contract("estimator", name, find("estimator", name))
