"""Jobs are submitted a few at a time, and each answer is taken as it comes."""

from concurrent.futures import Future
from typing import Any

import pytest
import tests.helpers_execute as calls

from evolvent.execute import waiting
from evolvent.execute.inline import Inline
from evolvent.execute.processes import LocalSlots
from evolvent.execute.waiting import as_done


class Desk:
    """An executor whose jobs end in the order that it is told, one a tick."""

    def __init__(self, workers, order):
        self.workers, self.order = workers, list(order)
        self.open: dict[int, Future] = {}
        self.sizes: list[int] = []
        self.submitted: list[int] = []

    def submit(self, call, number, timeout=None):
        self.open[number] = Future()
        self.submitted.append(number)
        self.sizes.append(len(self.open))
        return self.open[number]

    def tick(self):
        number = next((each for each in self.order if each in self.open), None)
        if number is not None:
            self.open.pop(number).set_result(10 * number)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(waiting, "POLL", 0.001)


def jobs(count):
    return [(f"job {number}", (number,)) for number in range(count)]


@pytest.mark.parametrize(("workers", "most"), [(1, None), (2, None), (9, None), (1, 3)])
def test_every_job_is_answered_and_never_too_many_run(workers, most, impatient):
    desk: Any = Desk(workers, order=[4, 1, 0, 3, 2])
    found = [
        (name, future.result())
        for name, future in as_done(desk, calls.same, jobs(5), most=most, tick=desk.tick)
    ]
    assert sorted(found) == [(f"job {number}", 10 * number) for number in range(5)]
    assert max(desk.sizes) == min(5, most or workers)
    assert desk.submitted == [0, 1, 2, 3, 4]


def test_answers_come_as_jobs_end(impatient):
    desk: Any = Desk(3, order=[2, 0, 1])
    found = [name for name, _ in as_done(desk, calls.same, jobs(3), tick=desk.tick)]
    assert found == ["job 2", "job 0", "job 1"]


def test_an_answer_is_taken_before_the_next_job_begins():
    seen = []

    def lazily():
        for number in range(3):
            seen.append(f"start {number}")
            yield number, (number,)

    for name, future in as_done(Inline(calls.nothing), calls.same, lazily()):
        seen.append(f"took {name}")
        assert future.result() == name
    assert seen == ["start 0", "took 0", "start 1", "took 1", "start 2", "took 2"]


def test_a_job_that_fails_ends_no_other():
    found = dict(as_done(Inline(calls.nothing), calls.fail, [(1, ("toy",)), (2, ("other",))]))
    assert [str(found[name].exception()) for name in (1, 2)] == ["toy", "other"]


def test_without_a_job_nothing_is_waited_for():
    ticks: list[int] = []
    assert list(as_done(Inline(calls.nothing), calls.same, [], tick=lambda: ticks.append(1))) == []
    assert ticks == []


def test_it_works_with_processes():
    with LocalSlots(calls.nothing, workers=2) as executor:
        found = {name: future.result() for name, future in as_done(executor, calls.same, jobs(5))}
    assert found == {f"job {number}": number for number in range(5)}


def test_workers_that_come_meanwhile_get_jobs_and_each_may_have_some_ahead(impatient):
    desk: Any = Desk(1, order=range(20))
    for name, _ in as_done(desk, calls.same, jobs(20), ahead=2, tick=desk.tick):
        desk.workers = 3 if name == "job 1" else desk.workers
    assert desk.sizes[:2] == [1, 2]
    assert 2 < max(desk.sizes) <= 6
