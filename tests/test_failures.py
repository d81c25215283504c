"""Candidates that go wrong in every way there is cost themselves and nothing else."""

import time

import pytest
from tests.helpers_failures import SLOW

from evolvent import session

HERE = "tests.helpers_failures:"
TRIALS = 14


@pytest.fixture(scope="module")
def run(toy, tmp_path_factory):
    """A search with two slots in which every second candidate meets another end.

    The space's widths are the only thing that is trained: at the end, by the delivery.
    """
    folder = tmp_path_factory.mktemp("failures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "open_task", lambda name, settings: toy)
        patch.setattr(session, "settings_of", lambda name: {})
        patch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)
        start = time.monotonic()
        done = session.search(
            "toy",
            space=HERE + "Widths",
            strategy="random",
            estimator=HERE + "Misfortunes",
            budget=f"{TRIALS}t",
            workers=2,
            out=folder / "run",
            settings={
                "estimator": {"epochs": 1.0, "timeout": 3.0, "pause": 0.05},
                "train": {"epochs": 1.0, "stages": 1},
            },
        )
    assert time.monotonic() - start < SLOW / 2
    return done


@pytest.mark.parametrize(
    ("id", "reason"),
    [
        (1, "ZeroDivisionError: by design"),
        (3, "stopped after 3 s"),
        (5, "killed by signal 9"),
        (7, "out of memory"),
        (9, "exit code 3"),
        (11, "the score is nan"),
    ],
)
def test_each_is_a_failed_result_with_its_reason(run, id, reason):
    row = next(row for row in run.candidates() if row["id"] == id)
    assert (row["status"], row["score"]) == ("failed", None)
    assert reason in row["reason"]
    assert "\n" not in row["reason"]


def test_the_others_are_not_disturbed_and_every_slot_comes_back(run):
    """Six candidates took a slot down; with two slots the search would have stood still."""
    rows = run.candidates()
    assert [row["id"] for row in rows] == list(range(TRIALS))
    assert [row["id"] for row in rows if row["status"] == "failed"] == [1, 3, 5, 7, 9, 11]
    for row in rows:
        if row["status"] == "ok":
            assert row["score"] == row["arch"][0] / 100


def test_the_budget_counts_them_and_the_run_is_delivered(run):
    status = run.status()
    assert (status["state"], status["trials"], status["failed"]) == ("done", TRIALS, 6)
    best = max(row["score"] for row in run.candidates() if row["status"] == "ok")
    assert run.card["search_score"] == best


def test_what_hangs_costs_its_time_out_and_not_more(run):
    order = [result.candidate.id for result in run.results()]
    assert order.index(3) > order.index(4), "the other slot went on meanwhile"
