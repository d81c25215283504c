"""Random search."""

from evolvent.space.cell201 import Cell201
from evolvent.strategy.random import Random
from evolvent.types import Budget, Result


def test_every_candidate_is_a_fresh_sample_of_equal_length():
    strategy = Random(Cell201(), epochs=2.5, seed=3)
    asked = [strategy.ask() for _ in range(50)]
    assert len({candidate.arch for candidate in asked}) > 45
    assert {candidate.budget for candidate in asked} == {Budget(epochs=2.5)}
    assert {(candidate.operator, candidate.parents) for candidate in asked} == {("sample", ())}


def test_what_it_is_told_changes_nothing():
    told, untold = Random(Cell201(), seed=1), Random(Cell201(), seed=1)
    for _ in range(20):
        candidate = told.ask()
        assert candidate == untold.ask()
        told.tell(Result(candidate, 1.0))


def test_a_longer_search_begins_like_a_shorter_one():
    short, long = Random(Cell201(), horizon=10), Random(Cell201(), horizon=1000)
    assert [short.ask() for _ in range(10)] == [long.ask() for _ in range(10)]
