"""Values that travel: JSON and back, and what a result may be."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import elsewhere

from evolvent.types import Budget, Candidate, Result, failed, freeze, stream

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text()
archs = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12)
plain = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
ids = st.lists(st.integers(0), max_size=3).map(tuple)
budgets = st.builds(
    Budget,
    epochs=st.floats(0, 1e6),
    train_batches=st.none() | st.integers(0),
    validation_batches=st.none() | st.integers(0),
)
candidates = st.builds(
    Candidate,
    id=st.integers(0),
    arch=archs,
    kind=st.sampled_from(["trial", "step"]),
    parents=ids,
    operator=st.text(),
    weights_from=ids,
    budget=budgets,
    note=plain.map(freeze),
)
results = st.builds(
    Result,
    candidate=candidates,
    score=st.none() | st.floats(),
    status=st.sampled_from(["ok", "failed", "refused", "cut"]),
    reason=st.text(),
    metrics=st.dictionaries(st.text(), plain, max_size=3),
    seconds=st.floats(0, 1e9),
    params=st.none() | st.integers(0),
    flops=st.none() | st.integers(0),
    epochs=st.floats(0, 1e6),
    weights=st.none() | st.text(),
    seed=st.integers(0),
)


def through_json(value):
    return json.loads(json.dumps(value))


@given(candidates)
def test_a_candidate_survives_json(candidate):
    assert Candidate.from_json(through_json(candidate.to_json())) == candidate


@given(results)
def test_a_result_survives_json_beside_its_candidate(result):
    data = through_json(result.to_json())
    assert data["candidate"] == result.candidate.id
    assert Result.from_json(data, result.candidate) == result


def test_of_a_mixture_json_keeps_what_tells_it_from_others():
    rows = np.array([[0.25, 0.75], [1.0, 0.0]])
    asked = Candidate(3, kind="step", mixture={"normal": rows, "reduction": rows})
    texts = [
        through_json(
            dataclasses.replace(asked, mixture={"normal": own, "reduction": rows}).to_json()
        )
        for own in (rows, rows.copy(), np.nextafter(rows, 2), rows.T)
    ]
    assert texts[0] == texts[1] == through_json(asked.to_json())
    assert texts[0] != texts[2] and texts[0] != texts[3]
    assert Candidate.from_json(texts[0]).mixture == texts[0]["mixture"]


def test_a_gradient_travels_beside_json():
    gradient = {"normal": np.ones((2, 3), np.float32)}
    result = Result(Candidate(0, kind="step"), 0.5, gradient=gradient)
    data = through_json(result.to_json())
    assert data["gradient"] is None
    assert Result.from_json(data, result.candidate, gradient).gradient is gradient


def test_only_a_step_may_have_no_score():
    assert Result(Candidate(0, kind="step")).ok
    assert not Result(Candidate(0, kind="step"), math.nan).ok
    assert not Result(Candidate(0)).ok


@given(archs)
def test_freeze_undoes_what_json_does_to_tuples(arch):
    assert freeze(through_json(arch)) == arch
    assert hash(freeze(through_json(arch))) == hash(arch)


@given(plain)
def test_freeze_leaves_no_list_and_changes_nothing_the_second_time(value):
    once = freeze(value)
    assert "[" not in repr(strip_text(once))
    assert freeze(once) == once


def strip_text(value):
    if isinstance(value, dict):
        return {0: tuple(strip_text(item) for item in value.values())}
    if isinstance(value, tuple | list):
        return type(value)(strip_text(item) for item in value)
    return None if isinstance(value, str) else value


def test_values_cannot_be_changed():
    for value, name in (
        (Budget(), "epochs"),
        (Candidate(0), "id"),
        (Result(Candidate(0)), "score"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, 1)


# ---- streams of random numbers -------------------------------------------------------------------


def test_a_stream_is_the_same_in_every_process():
    code = "from evolvent.types import stream; print([stream(n, 'a').random() for n in range(5)])"
    assert json.loads(elsewhere(code)) == [stream(n, "a").random() for n in range(5)]


def test_a_stream_is_the_same_in_every_version():
    assert stream(3, "train", 7).random() == 0.5365582583150447


def test_other_keys_give_other_streams():
    keys = [(seed, purpose, index) for seed in range(9) for purpose in "ab" for index in range(20)]
    assert len({stream(*key).random() for key in keys}) == len(keys)


# ---- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, None])
def test_a_score_that_is_no_finite_number_is_a_failure_with_a_reason(score):
    result = Result(Candidate(0), score)
    assert (result.ok, result.status, result.score, result.value) == (
        False,
        "failed",
        None,
        -math.inf,
    )
    assert str(score) in result.reason


@pytest.mark.parametrize("score", [0.0, -3.5, 1e300, 1])
def test_a_finite_score_is_kept(score):
    result = Result(Candidate(0), score)
    assert (result.ok, result.score, result.value, result.reason) == (True, score, score, "")


@pytest.mark.parametrize("status", ["failed", "refused", "cut"])
def test_a_result_that_is_not_ok_has_no_score(status):
    result = Result(Candidate(0), 0.9, status, "because")
    assert (result.score, result.value, result.reason) == (None, -math.inf, "because")


def test_a_failed_result_carries_reason_and_seconds():
    result = failed(Candidate(4), "out of memory", seconds=2.5)
    assert (result.candidate.id, result.status) == (4, "failed")
    assert (result.reason, result.seconds) == ("out of memory", 2.5)
