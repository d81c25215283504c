"""What runs in a worker: the guard around an estimator, and trainings for the delivery."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.helpers import elsewhere

from evolvent.errors import CandidateFailed, SettingError
from evolvent.estimator import Evaluation
from evolvent.estimator.full import Full
from evolvent.execute.worker import Context, Job, Spec, evaluate, fit, peak_memory
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.types import Candidate, Result

ARCH = ("nor_conv_3x3", "none", "skip_connect", "none", "none", "nor_conv_1x1")
JOB = Job("x", "cell201", ARCH, Size(1, 4, 2), Hyperparameters(batch=16), epochs=4.0, seed=3)


@pytest.fixture(scope="module")
def context(toy):
    settings = {"size": Size(1, 4, 2), "hyper": Hyperparameters(batch=16)}
    return Spec(toy, "cell201", "full", estimator_settings=settings, seed=5)()


class Estimator(Full):
    """Answers what it is told to, right or wrong."""

    def __init__(self, answer):
        self.answer = answer

    def evaluate(self, candidate, inherited):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def guarded(context, answer, candidate=Candidate(4, ARCH)):
    context = Context(context.spec, context.space, Estimator(answer))
    return evaluate(context, candidate, {}).result


# ---- the guard -----------------------------------------------------------------------------------


def test_an_evaluation_passes_through(context):
    told = Result(Candidate(4, ARCH), 0.5, metrics={"loss": 1.0})
    assert guarded(context, Evaluation(told)) == told


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CandidateFailed("the loss became nan"), "the loss became nan"),
        (SettingError("lr=-1: above 0"), "lr=-1: above 0"),
        (KeyError("conv"), "KeyError: 'conv'"),
        (RuntimeError("size mismatch\n  at line 3"), "RuntimeError: size mismatch at line 3"),
        (AssertionError(), "AssertionError:"),
    ],
)
def test_whatever_goes_wrong_is_a_failed_result_with_its_reason(context, error, reason):
    result = guarded(context, error)
    assert (result.status, result.reason, result.candidate.id) == ("failed", reason, 4)


def test_a_reason_has_an_end(context):
    assert len(guarded(context, RuntimeError("long " * 10_000)).reason) == 500


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_running_out_of_memory_is_for_the_executor(context, error):
    with pytest.raises(type(error)):
        guarded(context, error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_what_ends_a_process_is_no_failure_of_a_candidate(context, error):
    with pytest.raises(type(error)):
        guarded(context, error)


@pytest.mark.parametrize(
    "answer",
    [
        *(None, 0.5, Result(Candidate(4, ARCH), 0.5)),
        Evaluation(Result(Candidate(5, ARCH), 0.5)),
        Evaluation(Result(Candidate(4, ARCH), 0.5, metrics={"matrix": np.eye(2)})),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_failure(context, answer):
    assert guarded(context, answer).status == "failed"


# ---- what is built -------------------------------------------------------------------------------


def test_a_worker_builds_its_parts_from_names(context):
    assert (context.estimator.seed, context.estimator.size.width) == (5, 4)
    assert context.space.family == "cell201"
    found = evaluate(context, Candidate(0, ARCH), {}).result
    assert found.ok


# ---- trainings -----------------------------------------------------------------------------------


def test_a_finalist_learns_from_the_training_part_alone(context, toy):
    numbers = fit(context, JOB).numbers
    assert numbers["examples"] == len(toy.train)
    assert numbers["val"]["accuracy"] >= 0
    assert numbers["test"] is None


def test_a_winner_learns_from_everything_and_reads_test(context, toy):
    numbers = fit(context, replace(JOB, everything=True, test=True)).numbers
    assert numbers["examples"] == len(toy.train) + len(toy.validation)
    assert numbers["val"] is None
    assert 0 <= numbers["test"]["accuracy"] <= 1


def test_equal_jobs_give_equal_networks_and_other_seeds_others(context):
    first, again, other = (fit(context, replace(JOB, seed=seed)) for seed in (3, 3, 4))
    for name, value in first.state.items():
        np.testing.assert_array_equal(value, again.state[name])
    assert any((value != other.state[name]).any() for name, value in first.state.items())


def test_a_training_may_continue_from_weights(context):
    done = fit(context, JOB)
    kept = fit(context, replace(JOB, epochs=0.0, state=done.state))
    for name, value in done.state.items():
        np.testing.assert_array_equal(value, kept.state[name])
    assert kept.numbers["val"] == done.numbers["val"]


def test_a_deadline_ends_a_training_and_is_told(context):
    numbers = fit(context, replace(JOB, epochs=1000.0, deadline=time.monotonic())).numbers
    assert numbers["cut"]
    assert numbers["epochs"] < 1000


def test_what_only_helps_a_training_is_in_no_state_and_in_no_count(context):
    helped = replace(JOB, size=replace(JOB.size, drop_path=0.2, auxiliary=0.4))
    one, same, plain = fit(context, helped), fit(context, helped), fit(context, JOB)
    assert one.numbers["params"] == plain.numbers["params"]
    assert one.state.keys() == plain.state.keys()
    assert any((value != plain.state[name]).any() for name, value in one.state.items())
    for name, value in one.state.items():
        np.testing.assert_array_equal(value, same.state[name])
    kept = fit(context, replace(helped, epochs=0.0, state=plain.state))
    for name, value in plain.state.items():
        np.testing.assert_array_equal(value, kept.state[name])
    assert kept.numbers["val"] == plain.numbers["val"]


def test_the_memory_and_the_threads_of_a_training_are_told(context):
    numbers = fit(context, JOB).numbers
    assert numbers["threads"] == torch.get_num_threads()
    assert 50 < numbers["peak_mib"] <= peak_memory()
    json.dumps(numbers)


def test_a_process_is_not_charged_for_the_memory_of_its_parent():
    held = np.ones(400 * 2**20, np.uint8)
    code = "from evolvent.execute.worker import peak_memory; print(peak_memory())"
    here = peak_memory()
    assert here is not None
    assert float(elsewhere(code)) < here - 100
    del held


def test_a_control_has_a_space_of_its_own(context):
    job = replace(JOB, space="plain", arch=(4,), test=True)
    assert fit(context, job).numbers["params"] > 0
