"""The candidates of a run as rows."""

from evolvent.engine.listing import rows
from evolvent.types import Budget, Candidate, Result, failed


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
