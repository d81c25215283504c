"""Looking candidates up."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from evolvent.errors import CandidateFailed, SettingError
from evolvent.estimator.table import TableEstimator
from evolvent.space.listed import Listed
from evolvent.task.tables import Table
from evolvent.types import Budget, Candidate

COLUMNS = {
    "val_12ep": np.array([0.1, 0.2]),
    "val_200ep": np.array([0.5, np.nan]),
    "test": np.array([0.9, 0.8]),
    "seconds": np.array([7.0, 8.0]),
    "params": np.array([100.0, 200.0]),
    "latency": np.array([0.5, np.nan]),
}
TABLE = Table("toy", ("01", "10"), COLUMNS, "val_12ep", "test")
ONE = replace(TABLE, columns={"score": np.array([0.1, 0.2])} | COLUMNS, score="score")
SPACE = Listed(TABLE.archs)


def ask(estimator, arch="01", epochs=1.0):
    return estimator.evaluate(Candidate(3, arch, budget=Budget(epochs=epochs)), {}).result


def test_a_candidate_gets_its_row_and_never_the_test_column():
    evaluation = TableEstimator(SPACE, TABLE).evaluate(Candidate(3, "01"), {})
    result = evaluation.result
    assert evaluation.state is None
    assert (result.candidate.id, result.score, result.seconds) == (3, 0.1, 0.0)
    assert result.metrics == {"params": 100.0, "latency": 0.5}
    assert (result.params, result.flops) == (100, None)


def test_the_longest_measured_length_within_the_budget_decides():
    estimator = TableEstimator(SPACE, TABLE)
    asked = {epochs: ask(estimator, epochs=epochs) for epochs in (1.0, 12.0, 199.0, 200.0, 999.0)}
    assert [asked[e].score for e in asked] == [0.1, 0.1, 0.1, 0.5, 0.5]
    assert [asked[e].epochs for e in asked] == [12.0, 12.0, 12.0, 200.0, 200.0]


def test_a_cost_column_is_charged_and_said():
    estimator = TableEstimator(SPACE, replace(TABLE, cost="seconds", test=None))
    assert ask(estimator).seconds == 7.0
    assert estimator.gives == {"score", "seconds", "proxy"}
    assert TableEstimator(SPACE, TABLE).gives == {"score", "test", "proxy"}
    assert not estimator.stateful


def test_each_training_length_is_charged_its_own_column():
    seconds = {"seconds_12ep": np.array([1.0, 2.0]), "seconds_200ep": np.array([10.0, 20.0])}
    table = replace(TABLE, columns=COLUMNS | seconds, cost="seconds_200ep")
    estimator = TableEstimator(SPACE, table)
    assert [ask(estimator, epochs=e).seconds for e in (12.0, 200.0)] == [1.0, 10.0]


def step(estimator, arch="10"):
    return estimator.evaluate(Candidate(0, arch, kind="step"), {}).result


def test_a_step_is_answered_by_a_proxy_and_costs_nothing():
    estimator = TableEstimator(SPACE, replace(TABLE, cost="seconds"))
    result = step(estimator)
    assert (result.score, result.metrics) == (200.0, {"params": 200.0})
    assert (result.seconds, result.epochs, result.params) == (0.0, 0.0, None)
    assert step(TableEstimator(SPACE, TABLE, proxy="val_12ep")).score == 0.2
    assert step(TableEstimator(SPACE, TABLE, proxy="latency")).status == "failed"  # not measured


def test_flops_are_the_proxy_where_there_are_no_parameters():
    table = replace(TABLE, columns={"val_12ep": COLUMNS["val_12ep"], "flops": np.array([3.0, 4.0])})
    assert step(TableEstimator(SPACE, table)).score == 4.0


def test_a_table_without_a_proxy_is_refused_where_one_is_needed_and_fails_steps():
    bare = replace(TABLE, columns={"val_12ep": COLUMNS["val_12ep"]}, test=None)
    estimator = TableEstimator(SPACE, bare)
    assert estimator.gives == {"score"}
    with pytest.raises(CandidateFailed, match="no column that is a proxy"):
        step(estimator)
    with pytest.raises(SettingError, match=r"name one with --set estimator\.proxy=COLUMN"):
        TableEstimator.proxy_column(bare, None, needed=True)
    with pytest.raises(SettingError, match="'param': did you mean 'params'"):
        TableEstimator(SPACE, TABLE, proxy="param")


def test_a_table_of_one_length_answers_whatever_is_asked():
    assert ask(TableEstimator(SPACE, ONE), epochs=50.0).score == 0.1


def test_test_is_read_for_what_was_chosen():
    assert TableEstimator(SPACE, TABLE).test("10") == 0.8


def test_what_was_not_measured_is_a_failed_result_and_a_metric_left_out():
    result = ask(TableEstimator(SPACE, TABLE), "10", 200.0)
    assert result.status == "failed"
    assert result.metrics == {"params": 200.0}


def test_an_absent_architecture_fails_with_a_reason():
    with pytest.raises(CandidateFailed, match="'11' is not in table toy"):
        ask(TableEstimator(SPACE, TABLE), "11")


def test_an_architecture_of_another_space_is_looked_up_by_its_decisions():
    class Two(Listed):
        def encode(self, arch):
            return tuple(("zero", "one").index(name) for name in arch)

    estimator = TableEstimator(Two(["a", "b"]), TABLE)
    assert ask(estimator, ("one", "zero")).score == 0.2
    assert ask(estimator, "10").score == 0.2


def test_an_evaluation_needs_no_pandas():
    code = (
        "import sys, numpy as np; from types import SimpleNamespace as N;"
        "from evolvent.estimator.table import TableEstimator; from evolvent.types import Candidate;"
        "t = N(name='t', index={'a': 0}, columns={'s': np.ones(1)}, score='s', test=None, cost=None,"
        "      metrics={}, fidelities={}, costs={});"
        "assert TableEstimator(None, t).evaluate(Candidate(0, 'a'), {}).result.score == 1.0;"
        "assert not {'pandas', 'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
