"""``precision=auto`` becomes a word when a run is settled, and stays it."""

import dataclasses

import pytest
from tests.conftest import make_toy
from tests.helpers_resolve import resolved, settled

from evolvent.config import pacing
from evolvent.config.defaults import suggested
from evolvent.config.setup import Setup

SMALL = {"estimator": {"epochs": 1.0, "width": 4}}


@pytest.fixture(scope="module")
def larger():
    return make_toy(size=16)


@pytest.fixture
def measured(monkeypatch):
    """Counts the measurements, which find bfloat16."""
    calls = []

    def find(*args, **options):
        calls.append(options["hyper"].precision)
        return "bfloat16"

    monkeypatch.setattr("evolvent.network.precision.faster_precision", find)
    return calls


def test_images_and_texts_ask_for_the_faster_one_but_tiny_images_do_not(larger, toy):
    known = {"precision": str}
    text = dataclasses.replace(larger, kind="text", input_shape=(9,))
    assert suggested(larger, known) == {"precision": "auto"}
    assert suggested(toy, known) == {"precision": "float32"}
    assert suggested(text, known) == {"precision": "auto"}


def test_it_is_measured_once_for_search_and_final_training(larger, measured):
    assert resolved(larger, set=SMALL).network.hyper.precision == "auto"
    setup = settled(larger, budget="3t", set=SMALL)
    assert measured == ["auto"]
    assert setup.network.hyper.precision == "bfloat16"
    assert setup.train.network.hyper.precision == "bfloat16"
    assert setup.to_json()["estimator"]["precision"] == "bfloat16"
    assert Setup.from_json(setup.to_json()).train.network.hyper.precision == "bfloat16"


def test_what_the_user_says_is_not_measured(larger, toy, measured):
    said = {"estimator": SMALL["estimator"] | {"precision": "float32"}}
    setup = settled(larger, budget="3t", set=said)
    assert setup.train.network.hyper.precision == "float32"
    settled(toy, budget="3t", set=SMALL)
    assert measured == []
    setup = settled(larger, budget="3t", set=said | {"train": {"precision": "auto"}})
    assert (setup.network.hyper.precision, setup.train.network.hyper.precision) == (
        "float32",
        "bfloat16",
    )


def test_the_time_that_it_takes_is_no_longer_the_searches(larger, monkeypatch):
    draft = resolved(larger, budget="100s", set=SMALL)
    word = draft.having(
        draft.parts.having("estimator", precision="float32"),
        draft.train.having(precision="float32"),
    )
    now = [0.0]

    def slow(draft):
        now[0] += 20.0
        return word

    monkeypatch.setattr("evolvent.config.pacing.time.monotonic", lambda: now[0])
    monkeypatch.setattr(pacing, "with_precision", slow)
    monkeypatch.setattr(pacing, "_typical_pace", lambda draft, search: 1e-4)
    share = pacing.settle(draft, workers=1).schedule.search_seconds
    monkeypatch.setattr(pacing, "with_precision", lambda draft: word)
    whole = pacing.settle(draft, workers=1).schedule.search_seconds
    assert whole is not None
    assert share == pytest.approx(0.8 * whole)
