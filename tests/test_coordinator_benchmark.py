"""The benchmark of the coordinator measures a whole search, and its resume repeats nothing."""

from benchmarks.coordinator import Progress, marks, resumed, searched, setup_for

from evolvent.engine.store import Store
from evolvent.types import Candidate


def test_all_results_are_there_once_and_a_resume_asks_for_nothing_more(tmp_path, capsys):
    setup = setup_for("table:digits201", "regularized-evolution", 230)
    progress = searched(setup, tmp_path, results=230, flight=30, batch=7)
    assert (progress.count, len(progress.costs)) == (230, 1)
    store = Store(tmp_path / "run.db")
    before = list(store.events())
    assert [event.id for event in before if isinstance(event, Candidate)] == list(range(230))
    assert len(before) == 460
    assert resumed(setup, tmp_path) > 0
    assert list(store.events()) == before
    store.close()
    said = capsys.readouterr().out
    assert "230" in said and "results a second" in said and "resume:" in said


def test_costs_are_taken_between_marks():
    every = marks()
    assert [next(every) for _ in range(6)] == [1000, 3000, 10_000, 30_000, 100_000, 300_000]
    progress = Progress(iter([2, 4, 8]))
    for _ in range(5):
        progress.on_result(None)
    assert len(progress.costs) == 2
