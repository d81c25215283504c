"""Every kind of task keeps the contract of a run, and its facts are as good as itself without data."""

import json

import pytest

from evolvent.errors import SettingError
from evolvent.network.build import Data
from evolvent.registry import make_space
from evolvent.space.listed import Listed
from evolvent.space.topology import Topology
from evolvent.task import AnyTask, NetworkTask, control, data_of, for_networks
from evolvent.task.tables import load_table
from evolvent.types import Facts

KINDS = ["toy", "digits201", *control.NAMES]


@pytest.fixture(params=KINDS)
def task(request, toy):
    kept: dict[str, AnyTask] = {"toy": toy, "digits201": load_table("digits201")}
    return kept.get(request.param) or control.load(request.param)


def test_a_task_says_what_a_run_needs(task):
    assert task.name and task.kind and task.metric and task.describe()
    assert isinstance(task.trainable, bool) and isinstance(task.charged, bool)
    assert all(isinstance(line, str) for line in task.note)
    assert len(task.fingerprint) == 16
    assert not (task.trainable and task.charged)


def test_facts_are_those_of_the_task_and_come_back_from_json(task):
    facts = task.facts
    assert (facts.kind, facts.metric, dict(facts.counts)) == (task.kind, task.metric, task.counts)
    for name in ("input_shape", "outputs", "vocabulary", "recurrent"):
        if hasattr(task, name):
            assert getattr(facts, name) == getattr(task, name), name
    plain = facts.to_json()
    assert Facts.from_json(json.loads(json.dumps(plain))) == facts
    assert Facts.from_json(plain | {"fingerprint": "x", "notes": ["y"]}) == facts
    assert "archs" not in plain


def test_what_has_no_data_is_refused_where_data_are_needed(task):
    if task.trainable:
        assert data_of(task) is task
        return
    with pytest.raises(SettingError, match="no data to train on"):
        data_of(task)


def test_networks_are_for_all_but_tables(task):
    if task.kind == "table":
        with pytest.raises(SettingError, match="no inputs for a network"):
            for_networks(task)
        return
    made: NetworkTask = for_networks(task)
    assert made is task
    facts: Data = made.facts
    assert (facts.input_shape, facts.outputs) == (made.input_shape, made.outputs)


def test_spaces_are_made_from_facts_alone(toy):
    table = load_table("digits201")
    assert make_space("listed", table.facts, {}).archs == Listed(table.archs).archs
    with pytest.raises(SettingError, match="read from a table"):
        make_space("listed", toy.facts, {})
    with pytest.raises(SettingError, match="shape of the inputs is not known"):
        make_space("filters", table.facts, {})
    blind = control.load("double-pole-no-velocity").facts
    assert Topology.of(Facts.from_json(blind.to_json())).recurrent
    assert make_space("chain", toy.facts, {}).input_shape == toy.input_shape
