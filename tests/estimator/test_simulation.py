"""Simulation: a generation in one call, each network as if it were alone."""

import pytest

from evolvent.errors import SettingError
from evolvent.estimator.simulation import Simulation
from evolvent.execute.worker import Spec, evaluate, evaluate_many
from evolvent.registry import check, check_kind
from evolvent.space.cell201 import Cell201
from evolvent.space.topology import Topology
from evolvent.task.control import load
from evolvent.types import Candidate, Result, stream

XOR, POLES, BLIND = load("xor"), load("double-pole"), load("double-pole-no-velocity")


def candidates(space, count):
    found = []
    for id in range(count):
        draw = stream("arch", id)
        arch = space.mutate(space.mutate(space.start(draw), draw).arch, draw).arch
        found.append(Candidate(id, arch))
    return found


def plain(evaluation):
    told = evaluation.result.to_json()
    return {name: value for name, value in told.items() if name != "seconds"}


@pytest.mark.parametrize("task", [XOR, POLES, BLIND], ids=["xor", "poles", "blind"])
def test_many_in_one_call_are_scored_as_each_is_alone(task):
    space = Topology.of(task.facts)
    estimator = Simulation(space, task)
    asked = candidates(space, 12)
    together = estimator.evaluate_many([(each, {}) for each in asked])
    assert [each.result.candidate for each in together] == asked
    assert [plain(each) for each in together] == [plain(estimator.evaluate(c, {})) for c in asked]
    for each in together:
        result = each.result
        assert result.score == result.metrics[task.metric]
        assert result.params == sum(gene[3] for gene in result.candidate.arch)
        assert result.seconds > 0
        assert (result.epochs, each.state) == (0.0, None)


def test_none_at_all_are_none():
    assert Simulation(Topology.of(XOR.facts), XOR).evaluate_many([]) == []


def test_it_says_what_is_solved_and_what_a_closer_look_must_tell():
    candidate = Candidate(0, ())
    xor, blind = (
        Simulation(Topology.of(XOR.facts), XOR),
        Simulation(Topology.of(BLIND.facts), BLIND),
    )
    assert xor.solved(Result(candidate, 5.0, metrics={"right": 4.0})) is True
    assert xor.solved(Result(candidate, 9.0, metrics={"right": 3.0})) is False
    assert blind.solved(Result(candidate, 0.9, metrics={"steps": 1000.0})) is None
    falls = Result(Candidate(0, (("bias", "y0", 0.0, True),)), 0.9)
    assert blind.confirmed(falls) is False


def test_test_is_given_where_there_is_something_that_was_not_scored():
    assert "test" not in Simulation(Topology.of(XOR.facts), XOR).gives
    poles = Simulation(Topology.of(POLES.facts), POLES)
    assert "test" in poles.gives
    assert 0 <= poles.test((("bias", "y0", 0.0, True),)) < 0.1


def test_a_bad_candidate_in_the_middle_spoils_no_other():
    context = Spec(XOR, "topology", "simulation")()
    good = candidates(context.space, 4)
    bad = Candidate(99, (("x0", "y7", 1.0, True),))  # an output that there is not
    asked: list[tuple[Candidate, dict]] = [(each, {}) for each in (*good[:2], bad, *good[2:])]
    results = [each.result for each in evaluate_many(context, asked)]
    assert [result.status for result in results] == ["ok", "ok", "failed", "ok", "ok"]
    assert "KeyError" in results[2].reason
    assert results[3].score == evaluate(context, good[2], {}).result.score


def test_spaces_without_weights_and_tasks_without_a_world_are_refused():
    names = ("cell201", "neat", "simulation")
    with pytest.raises(
        SettingError, match=r"simulation needs weighted.*use one of the spaces topology"
    ):
        check(Cell201(), frozenset(), Simulation, names, "control")
    with pytest.raises(SettingError, match="evaluates tasks of kind control"):
        check_kind("simulation", "image")
    with pytest.raises(SettingError, match="use simulation"):
        check_kind("full", "control")
