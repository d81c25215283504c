"""The portfolio of winners: how it is built, and what it is held against."""

import pytest
from benchmarks.portfolio import (
    Found,
    brought,
    left_out,
    nearest,
    portfolio,
    regrets,
    runs_in,
    table,
    winners,
)
from benchmarks.worth_rows import Data

import evolvent
from evolvent.space.stages import Stages
from evolvent.types import stream

COLOUR, GREY = Stages((3, 32, 32), 10, True), Stages((1, 8, 8), 10, False)


def test_an_architecture_of_the_same_images_stays_as_it_is():
    for index in range(20):
        arch = COLOUR.sample(stream("test", index))
        assert brought(COLOUR, arch) == arch


def test_an_architecture_of_other_images_becomes_one_of_these():
    for index in range(20):
        arch = brought(GREY, COLOUR.sample(stream("test", index)))
        assert arch is not None
        assert GREY.checked(arch) == arch
        assert arch[4][6] == "none"  # these images must not be mirrored


def test_what_is_too_costly_becomes_thinner():
    arch = ("conv3", ((128, 3, "plain", 2, 3, 0, "max-pool"),) * 2, "max", "relu", MODERN)
    small = Stages((3, 32, 32), 10, True, multiply_adds=(1, 60_000_000))
    made = brought(small, arch)
    assert made is not None
    assert made[1][0][0] < 128
    assert small.cost(made).multiply_adds <= 60_000_000
    assert all(type(value) in (int, str) for row in made[1] for value in row)
    assert brought(Stages((3, 32, 32), 10, True, multiply_adds=(1, 2_000_000)), arch) is None


MODERN = ("muon", 1.0, 5e-4, 0.2, 1.0, 2, "alternate", 0.0, 0.25)


def test_the_nearest_alternative_is_taken():
    assert nearest(0.625, (1.0, 0.8)) == 0.8
    assert type(nearest(32.0, (16, 32))) is int
    assert nearest("random", ("none",)) == "none"
    assert nearest("random", ("none", "random")) == "random"


def test_a_regret_is_nothing_for_the_best_and_one_for_the_median():
    assert regrets({"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.1, "e": 0.85}) == pytest.approx(
        {"a": 0.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 0.5}
    )
    assert set(regrets({"a": 0.5, "b": 0.5}).values()) == {0.0}


#: `one` is good everywhere, `two` and `three` are each the best of a set, `four` of none
SCORES = {
    "first": {"one": 0.88, "two": 0.90, "three": 0.5, "four": 0.4, "five": 0.3},
    "second": {"one": 0.78, "two": 0.5, "three": 0.80, "four": 0.4, "five": 0.3},
}


def test_a_portfolio_begins_with_what_is_good_everywhere_and_adds_what_differs():
    names = ["five", "four", "three", "two", "one"]
    found = portfolio(SCORES, names, 3)
    assert found[0] == "one"
    assert set(found[1:]) == {"two", "three"}
    assert len(portfolio(SCORES, names, 99)) == len(set(portfolio(SCORES, names, 99))) == 5


def test_what_has_no_score_on_a_set_is_as_bad_as_the_median_there():
    scores = {"first": dict(SCORES["first"]), "second": dict(SCORES["second"])}
    del scores["second"]["one"]
    assert portfolio(scores, ["one", "three", "two"], 1) != ["one"]


def test_what_was_found_on_a_set_is_no_help_there():
    found = [Found("hand", None, None), Found("own", (), "first"), Found("other", (), "second")]
    measured = {
        "first": {
            "hand": {"validation": 0.7, "test": 0.71},
            "own": {"validation": 0.9, "test": 0.91},
            "other": {"validation": 0.6, "test": 0.61},
        },
        "second": {
            "hand": {"validation": 0.7, "test": 0.72},
            "own": {"validation": 0.8, "test": 0.82},
            "other": {"validation": 0.9, "test": 0.92},
        },
    }
    rows = left_out(measured, found, 5)
    assert [row["portfolio"] for row in rows] == [0.61, 0.82]
    assert [row["known"] for row in rows] == [0.71, 0.72]
    assert "| first | 0.6100 | 0.7100 | 0.6100 | 0.7100 |" in table(rows)


@pytest.mark.slow
def test_winners_are_collected_from_runs(tmp_path):
    run = evolvent.search(
        "digits", recipe="stages", budget="2t", out=tmp_path / "runs" / "one", workers=0,
        settings={"estimator": {"epochs": 0.5}, "train": {"epochs": 0.5}},
    )  # fmt: skip
    (tmp_path / "runs" / "empty").mkdir()
    folders = runs_in([tmp_path / "runs"])
    assert folders == runs_in([tmp_path / "runs" / "one"])
    (found,) = winners([*folders, *folders], [Data("the digits", "digits")])
    assert found.on == "the digits"
    assert brought(GREY, found.arch) is not None
    assert run.best.arch == run.card["arch"]
