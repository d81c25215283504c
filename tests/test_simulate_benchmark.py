"""The simulated cluster: nothing is lost, and time is what the durations say."""

from collections import Counter

import pytest
from benchmarks.simulate import SLOWNESS, line, quality, simulated

from evolvent.engine.store import Memory
from evolvent.task.opening import open_task
from evolvent.types import Candidate, Result


@pytest.fixture(scope="module")
def task():
    return open_task("table:digits201", {})


def test_every_candidate_is_answered_once_though_workers_leave(task, monkeypatch):
    monkeypatch.setattr("benchmarks.simulate.STAY", 300.0)
    log = Memory()
    done = simulated(task, "random", workers=30, trials=200, seed=1, log=log)
    assert done.departures > 30
    assert done.lost > 0
    events = list(log.events())
    asked = Counter(event.id for event in events if isinstance(event, Candidate))
    told = Counter(event.candidate.id for event in events if isinstance(event, Result))
    assert asked == told == Counter(range(200))
    failures = sum(event.status == "failed" for event in events if isinstance(event, Result))
    assert 2 <= failures <= 20  # a twentieth


def test_scores_do_not_depend_on_the_workers(task):
    def scores(workers):
        log = Memory()
        simulated(task, "random", workers=workers, trials=60, seed=0, log=log)
        found = (event for event in log.events() if isinstance(event, Result))
        return {each.candidate.id: (each.candidate.arch, each.score) for each in found}

    assert scores(1) == scores(17)


def test_one_worker_is_busy_all_the_time_and_a_barrier_is_seen(task, monkeypatch):
    monkeypatch.setattr("benchmarks.simulate.STAY", 1e9)
    one = simulated(task, "random", workers=1, trials=20, seed=0, log=Memory())
    busy, lost, present = one.at_last
    assert busy / present > 0.99
    assert lost == 0
    assert 20 * 20 < one.now < 20 * 300 * SLOWNESS
    free = simulated(task, "random", workers=40, trials=200, seed=0, log=Memory())
    bound = simulated(task, "genetic", workers=40, trials=200, seed=0, log=Memory(), population=40)
    assert free.at_last[0] / free.at_last[2] > bound.at_last[0] / bound.at_last[2] + 0.2
    assert one.up > 0


def test_the_lines_that_it_prints(task):
    said = line(task, "regularized-evolution", 5, 40, 0).split()
    assert said[:3] == ["regularized-evolution", "5", "40"]
    assert float(said[3].rstrip("%")) > 80
    assert quality(task, "random", 4, 30, 2).split()[:3] == ["random", "4", "30"]
