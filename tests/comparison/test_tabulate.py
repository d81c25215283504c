"""Tables of one's own."""

import random

import numpy as np
import pytest

from evolvent.comparison.tabulate import build, every
from evolvent.errors import RunError, SettingError
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.task.tables import load_table

TINY = {"estimator": {"width": 2, "cells": 1, "stages": 1, "batch": 32}}


class Short(Cell201):
    """Two free edges, the rest fixed: 25 cells, fewer networks."""

    def decision(self, prefix):
        from evolvent.space import Decision

        if len(prefix) in (1, 2):
            return super().decision(prefix)
        return None if len(prefix) >= 6 else Decision("operation", "choice", 5, (1,))


def test_every_architecture_is_listed_once_in_the_order_of_its_choices():
    archs = every(Cell201())
    assert len(set(archs)) == 15_625
    space = Cell201()
    assert [space.encode(arch) for arch in archs] == sorted(space.encode(arch) for arch in archs)


@pytest.mark.slow
def test_a_space_that_is_too_large_is_no_table():
    with pytest.raises(SettingError, match="more than 1,000,000"):
        every(Cell(operations="enas", nodes=5))


def test_equal_networks_are_trained_once_and_the_build_goes_on(tmp_path, toy, monkeypatch):
    monkeypatch.setattr("evolvent.comparison.tabulate.open_task", lambda name, settings: toy)
    monkeypatch.setenv("EVOLVENT_HOME", str(tmp_path))
    monkeypatch.setattr("evolvent.registry.find", _finding_short)
    options = {
        "space": "short",
        "name": "mine",
        "epochs": (1, 2),
        "settings": TINY,
        "work": tmp_path / "work",
        "workers": 0,
    }
    lines: list[str] = []
    table = build("toy", say=lines.append, **options)
    distinct = len({Short().canonical(arch) for arch in every(Short())})
    assert lines[0] == f"25 architectures, {distinct} of them distinct"
    assert distinct < 25
    again = load_table("mine")
    assert again.archs == table.archs
    assert again.fidelities == {1.0: "val_1ep", 2.0: "val_2ep"}
    assert {"val_loss_1ep", "test_2ep", "seconds_2ep", "params", "flops"} <= set(again.columns)
    space, rows = Short(), again.index
    rng = random.Random(0)
    for arch in rng.sample(every(Short()), 10):
        mine = "".join(map(str, space.encode(arch)))
        for other in every(Short()):
            if space.canonical(other) == space.canonical(arch):
                theirs = "".join(map(str, space.encode(other)))
                for values in again.columns.values():
                    assert values[rows[mine]] == values[rows[theirs]]
    started: list[object] = []
    monkeypatch.setattr("evolvent.comparison.tabulate.measure", started.append)
    second = build("toy", **options)  # nothing is left to train
    assert not started
    assert np.array_equal(second.columns["val_2ep"], table.columns["val_2ep"])
    with pytest.raises(RunError, match="other settings"):
        build("toy", **(options | {"epochs": (1, 3)}))


def _finding_short(axis, name):
    from evolvent.estimator.full import Full
    from evolvent.strategy.random import Random

    return {"space": Short, "estimator": Full, "strategy": Random}[axis]


def test_the_shipped_table_holds_every_cell_and_tells_them_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVENT_HOME", str(tmp_path))
    table = load_table("digits201")
    space = Cell201()
    assert table.archs == tuple("".join(map(str, space.encode(arch))) for arch in every(space))
    assert (table.score, table.test, table.epochs) == ("val_8ep", "test_8ep", 8.0)
    assert table.fidelities == {2.0: "val_2ep", 8.0: "val_8ep"}
    values = np.array([table.columns[name] for name in sorted(table.columns)])
    assert np.isfinite(values).all()
    assert len(np.unique(values, axis=1).T) > 6_400, "distinct cells differ somewhere"
    best, worst = table.columns["val_8ep"].max(), table.columns["val_8ep"].min()
    assert best - worst >= 0.2
    short, long = table.columns["val_2ep"], table.columns["val_8ep"]
    assert np.corrcoef(short, long)[0, 1] > 0.6, "the short training says something"


def test_the_shipped_table_can_be_compared_on_offline(tmp_path, monkeypatch):
    from evolvent.comparison.paired import compare

    monkeypatch.setenv("EVOLVENT_HOME", str(tmp_path))
    monkeypatch.delenv("EVOLVENT_DATA", raising=False)
    told = compare(
        "table:digits201",
        strategies=["regularized-evolution"],
        seeds=30,
        budget="60t",
        settings={"regularized-evolution": {"population": 10, "sample": 3}},
        workers=0,
    ).to_json()
    assert told["strategies"]["regularized-evolution"]["ahead_of_random"]["lead"] > 0
