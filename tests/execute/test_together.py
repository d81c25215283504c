"""Calls that wait at the same time run as a few of many; one that fails spoils no other."""

from concurrent.futures import Future

import pytest

from evolvent.errors import CandidateFailed
from evolvent.execute import Cancelled, TimedOut, WorkerLost
from evolvent.execute.inline import Inline
from evolvent.execute.together import Together


class Desk:
    """An executor that keeps its calls until it is told to answer them."""

    def __init__(self, workers=2):
        self.workers, self.calls, self.cancelled = workers, [], []

    def submit(self, call, items, timeout=None):
        future: Future = Future()
        self.calls.append((future, call, items, timeout))
        return future

    def cancel(self, future):
        self.cancelled.append(future)

    def answer(self, place=0, error=None):
        future, call, items, _ = self.calls.pop(place)
        if error is None:
            future.set_result(call(None, items))
        else:
            future.set_exception(error)


def doubled(context, items):
    return [2 * item for item in items]


def start(desk, items, timeout=None):
    together = Together(desk, doubled, timeout=timeout)
    futures = [together.submit(item) for item in items]
    return together, futures


def test_nothing_runs_before_the_start():
    desk = Desk()
    together, futures = start(desk, [1, 2, 3])
    assert desk.calls == []
    together.start()
    assert [items for _, _, items, _ in desk.calls] == [[1, 2], [3]]
    desk.answer(1)
    desk.answer(0)
    assert [future.result() for future in futures] == [2, 4, 6]
    together.start()
    assert desk.calls == []


@pytest.mark.parametrize(("workers", "count"), [(1, 5), (2, 5), (3, 2), (4, 4), (2, 1), (3, 7)])
def test_what_waits_is_spread_evenly(workers, count):
    desk = Desk(workers)
    together, _ = start(desk, range(count))
    together.start()
    sizes = [len(items) for _, _, items, _ in desk.calls]
    assert sum(sizes) == count
    assert len(sizes) <= workers
    assert max(sizes) == -(-count // workers)


def test_each_has_its_share_of_time():
    desk = Desk(1)
    together, _ = start(desk, [1, 2, 3], timeout=10.0)
    together.start()
    assert desk.calls[0][3] == 30.0


@pytest.mark.parametrize("error", [WorkerLost("it died"), TimedOut("too slow")])
def test_what_fails_together_is_done_again_one_by_one(error):
    desk = Desk(1)
    together, futures = start(desk, [1, 2, 3])
    together.start()
    desk.answer(error=error)
    assert [items for _, _, items, _ in desk.calls] == [[1], [2], [3]]
    desk.answer()
    desk.answer(error=error)
    desk.answer()
    assert (futures[0].result(), futures[2].result()) == (2, 6)
    assert futures[1].exception() is error


@pytest.mark.parametrize("error", [Cancelled("stop"), RuntimeError("not the fault of an item")])
def test_what_is_cancelled_or_broken_is_not_done_again(error):
    desk = Desk(1)
    together, futures = start(desk, [1, 2])
    together.start()
    desk.answer(error=error)
    assert desk.calls == []
    assert [future.exception() for future in futures] == [error, error]


def test_cancelling_one_cancels_those_that_run_with_it():
    desk = Desk(1)
    together, futures = start(desk, [1, 2])
    together.start()
    running = desk.calls[0][0]
    together.cancel(futures[1])
    assert desk.cancelled == [running]
    desk.answer(error=Cancelled("stop"))
    together.cancel(futures[1])  # too late: nothing to do
    assert desk.cancelled == [running]


def test_it_works_in_this_process_too():
    together, futures = start(Inline(lambda: None), [3, 4])
    together.start()
    assert [future.result() for future in futures] == [6, 8]


def failing(context, items):
    if len(items) > 1 or items[0] == 2:
        raise CandidateFailed("toy")
    return items


def test_a_failure_in_this_process_falls_on_its_item_alone():
    together = Together(Inline(lambda: None), failing)
    futures = [together.submit(item) for item in (1, 2, 3)]
    together.start()
    assert [future.exception() is None for future in futures] == [True, False, True]
