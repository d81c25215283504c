"""What a run says of itself."""

import pytest

from evolvent.deliver.card import rows, text
from evolvent.types import Budget, Candidate, Result, failed

CARD = {
    "task": "/data/cats.npz",
    "recipe": "amoebanet",
    "search_seconds": 61.0,
    "trials": 30,
    "seed": 0,
    "train_epochs": 12.5,
    "total_epochs": 12.5,
    "train_examples": 1438,
    "train_seconds": 33.0,
    "metric": "accuracy",
    "val_score": 0.9876,
    "params": 12345,
    "test_score": 0.9765,
    "controls": {
        "random": {"best_of_first_random": 20, "params": 54321, "test_score": 0.9},
        "plain": {"params": 12000, "test_score": 0.95},
    },
    "random_is_the_winner": False,
    "flops": 1000000,
    "parity_max_abs_diff": 1.2e-7,
}


def trial(id, **more):
    return Candidate(id, ("conv",), budget=Budget(epochs=1.0), **more)


def test_every_candidate_is_a_row_whatever_became_of_it():
    first, second, third = trial(0), trial(1, parents=(0,), operator="op"), trial(2)
    log = [
        first,
        second,
        Result(first, 0.5, seconds=1.5, params=7),
        third,
        failed(second, "by design"),
    ]
    found = list(rows(log))
    assert [(row["id"], row["status"], row["score"]) for row in found] == [
        (0, "ok", 0.5),
        (1, "failed", None),
        (2, "running", None),
    ]
    assert (found[1]["parent"], found[1]["operator"], found[1]["reason"]) == (0, "op", "by design")


def test_the_page_has_the_figures_and_what_they_rest_on():
    page = text(CARD)
    for figure in (
        "12,345",
        "0.9765",
        "0.9876",
        "54,321",
        "0.9000",
        "0.9500",
        "1.2e-07",
        "cats.npz",
    ):
        assert figure in page
    assert "best of the first 20 random candidates" in page
    assert "test was read once" in page


@pytest.mark.parametrize("winner", [True, False])
def test_the_page_says_when_chance_won(winner):
    said = "The winner is itself the best of the first random candidates" in text(
        CARD | {"random_is_the_winner": winner}
    )
    assert said == winner


def test_the_page_says_when_there_are_no_test_data():
    assert "no test data" in text(CARD | {"test_score": None})
