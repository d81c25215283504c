"""The lengths of a delivery whose trainings are equally long in seconds."""

import pytest
from tests.helpers_resolve import settled

from evolvent.deliver import equal as module
from evolvent.deliver.controls import best_known
from evolvent.deliver.equal import Equal
from evolvent.deliver.timing import Lengths, Timing
from evolvent.engine.store import Store
from evolvent.space.cell201 import Cell201
from evolvent.types import Budget, Candidate, Result

SMALL, BIG = ("skip_connect",) * 6, ("nor_conv_3x3",) * 6


@pytest.fixture
def equal(toy, tmp_path):
    stores = []

    def make(seconds=200.0, workers=2, name="run"):
        setup = settled(
            toy,
            budget="4t",
            space="cell201",
            set={"estimator": {"equal": "seconds", "epochs": 2.0}},
        )
        (tmp_path / name).mkdir()
        store = Store(tmp_path / name / "run.db", write=True)
        stores.append(store)
        timing = Timing(seconds, 600.0, cold=False)
        return Equal(store, setup, workers, timing, Lengths(store, setup, workers, timing))

    yield make
    for store in stores:
        store.close()


def result(equal, arch, slower=1.0):
    """A result whose training took so many times what the paces foretell."""
    seconds = equal._foretold(arch, equal.setup.space) * 2 * len(equal.setup.task.train) * slower
    candidate = Candidate(0, arch, budget=Budget(epochs=2.0))
    return Result(candidate, 0.9, epochs=2.0, metrics={"train_seconds": seconds})


def test_own_epochs_take_equally_long(equal):
    made = equal()
    small, big = (made.own(arch, 1.0) for arch in (SMALL, BIG))
    paces = [made._foretold(arch, made.setup.space) for arch in (SMALL, BIG)]
    assert small * paces[0] == pytest.approx(big * paces[1], rel=0.02)


def test_the_choice_has_its_share_of_the_time_and_is_settled_once(equal):
    made = equal()
    length = made.choice([result(made, BIG)], 4)
    epoch = made.setup.parts.estimator.settings["pace"]["unit"] * len(made.setup.task.train)
    assert length * epoch * 4 == pytest.approx(module.CHOICE_SHARE * made.timing.left * 2, rel=0.05)
    made.timing.seconds = 50.0
    assert made.choice([result(made, BIG)], 4) == length


def test_a_machine_that_became_slower_gets_a_shorter_choice(equal):
    made, busy = equal(), equal(name="busy")
    usual = made.choice([result(made, BIG)], 4)
    assert busy.choice([result(busy, BIG, slower=2.0)], 4) == pytest.approx(usual / 2, rel=0.05)


@pytest.mark.parametrize(("two", "expected"), [(0.5, (2, 2.0)), (0.9, (1, 1.0))])
def test_all_cores_train_the_winner_where_that_is_faster(equal, monkeypatch, two, expected):
    made = equal()
    asked = []

    def pace(*args, threads, **how):
        asked.append(threads)
        return {1: 1.0, 2: two}[threads]

    monkeypatch.setattr(module, "pace", pace)
    assert made.threads(result(made, BIG)) == expected
    assert made.threads(result(made, BIG)) == expected
    assert asked == [1, 2], "measured once"


def test_a_short_training_measures_nothing(equal, monkeypatch):
    monkeypatch.setattr(module, "pace", None)
    assert equal(seconds=20.0).threads(None) == (1, 1.0)


def test_a_single_worker_measures_its_one_thread(equal, monkeypatch):
    monkeypatch.setattr(module, "pace", lambda *args, threads, **options: 0.5 * threads)
    one = equal(workers=1, name="one")
    assert one.threads(trial(0, SMALL)) == (1, 1.0)
    assert one.epoch(trial(0, SMALL)) == 0.5 * one.lengths.everything


def trial(id, arch, operator="mutate", epochs=1.0, score=0.5):
    candidate = Candidate(id, arch, operator=operator, budget=Budget(epochs=epochs))
    return Result(candidate, score, epochs=epochs)


def test_the_best_known_member_is_the_one_that_came_furthest():
    space = Cell201()
    results = [
        trial(0, SMALL, "known thin", score=0.9),
        trial(1, BIG, "known wide", score=0.7),
        trial(2, BIG, "promote", epochs=3.0, score=0.6),
        trial(3, ("nor_conv_1x1",) * 6, epochs=3.0, score=0.8),
    ]
    assert best_known(results, space) == (results[2], "wide")
    assert best_known(results[:2], space) == (results[0], "thin")
    assert best_known(results[2:], space) is None
