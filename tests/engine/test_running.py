"""Candidates under evaluation: those that are done are found, in their order, and no other."""

import threading
import time
from concurrent.futures import Future

from evolvent.engine.running import Running
from evolvent.estimator import Evaluation
from evolvent.types import Candidate, Result


def running(count):
    """So many candidates, and the futures of their evaluations."""
    found, futures = Running(), []
    for id in range(count):
        futures.append(Future[Evaluation]())
        found.add(futures[-1], Candidate(id))
    return found, futures


def answer(future, id):
    future.set_result(Evaluation(Result(Candidate(id), 1.0)))


def ids(ended):
    return [candidate.id for _, candidate in ended]


def test_all_that_are_done_come_at_once_in_the_order_of_their_ids():
    found, futures = running(5)
    for id in (4, 1, 2):
        answer(futures[id], id)
    assert ids(found.done(0.0)) == [1, 2, 4]
    assert len(found) == 2
    assert found.done(0.0) == []
    assert ids(found.rest()) == [0, 3]
    assert not found


def test_one_that_was_done_before_it_was_taken_is_found():
    found, future = Running(), Future[Evaluation]()
    answer(future, 7)
    found.add(future, Candidate(7))
    assert found.done(0.0) == [(future, Candidate(7))]


def test_an_answer_from_elsewhere_ends_the_wait():
    found, futures = running(2)
    threading.Timer(0.05, answer, (futures[1], 1)).start()
    start = time.monotonic()
    assert ids(found.done(30.0)) == [1]
    assert time.monotonic() - start < 10
    start = time.monotonic()
    assert found.done(0.05) == []
    assert time.monotonic() - start >= 0.05


def test_a_late_answer_of_one_that_was_given_up_is_passed_over():
    found, futures = running(2)
    found.rest()
    answer(futures[0], 0)
    found.add(late := Future[Evaluation](), Candidate(2))
    answer(late, 2)
    assert ids(found.done(0.0)) == [2]
