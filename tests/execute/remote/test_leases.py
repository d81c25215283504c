"""Who runs what, by a clock that the test turns."""

import random
from collections import Counter

import pytest

from evolvent.execute import Cancelled, TimedOut, WorkerLost
from evolvent.execute.remote.leases import LOSSES, Call, Lease, Leases


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(clock):
    return Leases(seconds=10, clock=clock, say=lambda line: None)


def call(name="a", timeout=None):
    made = Call(name.encode(), name, lambda data: data, timeout)
    made.future.set_running_or_notify_cancel()
    return made


def passes(leases, clock, seconds, *alive):
    """Let time pass while some workers keep saying that they live."""
    for _ in range(int(seconds)):
        clock.now += 1
        for worker, fences in alive:
            leases.hear(worker)
            leases.beat(worker, dict.fromkeys(fences, ""))
        leases.sweep()


def test_a_call_goes_to_one_worker_and_its_answer_comes_once(leases):
    first, second = leases.join("one", 1), leases.join("two", 1)
    assert leases.submit(one := call())
    lease = leases.take(first)
    assert leases.take(second) is None
    assert leases.holds(second, lease.fence) is None
    assert leases.settle(lease, "found") is True
    assert leases.settle(lease, "again") is False
    assert one.future.result(0) == "found"


def test_a_worker_that_is_silent_too_long_loses_its_call_to_another(leases, clock):
    first, second = leases.join("one", 1), leases.join("two", 1)
    leases.submit(one := call())
    old = leases.take(first)
    passes(leases, clock, 11, (second, []))
    new = leases.take(second)
    assert new.call is one
    assert new.fence != old.fence
    assert not leases.hear(first), "it must join anew"
    assert leases.settle(old, "late") is False
    assert leases.holds(first, old.fence) is None
    assert leases.beat(first, {old.fence: one.digest}) == ([old.fence], {})
    assert leases.settle(new, "right") is True
    assert one.future.result(0) == "right"


def test_a_worker_that_says_it_lives_keeps_its_call(leases, clock):
    worker = leases.join("one", 1)
    leases.submit(call())
    lease = leases.take(worker)
    passes(leases, clock, 100, (worker, [lease.fence]))
    assert leases.holds(worker, lease.fence) is lease


def test_a_call_that_loses_workers_is_issued_again_twice(leases, clock):
    leases.submit(one := call())
    for _ in range(LOSSES):
        lease = leases.take(leases.join("one", 1))
        passes(leases, clock, 11)
        assert leases.settle(lease, "late") is False
    with pytest.raises(WorkerLost, match="lost 3 workers; the last said nothing for 10 s"):
        one.future.result(0)


def test_a_worker_that_takes_leave_costs_its_call_nothing(leases):
    leases.submit(one := call())
    for _ in range(2 * LOSSES):
        worker = leases.join("one", 1)
        assert leases.take(worker).call is one
        leases.leave(worker, "interrupted")
    assert not one.future.done()


def test_time_in_which_the_coordinator_stood_still_counts_against_nobody(leases, clock):
    worker = leases.join("one", 1)
    leases.submit(call())
    lease = leases.take(worker)
    leases.sweep()
    clock.now += 1000  # it was stopped, or the machine slept
    leases.sweep()
    assert leases.holds(worker, lease.fence) is lease
    assert leases.hear(worker)


def test_what_takes_much_longer_than_its_time_out_is_given_up(leases, clock):
    worker = leases.join("one", 1)
    leases.submit(one := call(timeout=5))
    lease = leases.take(worker)
    passes(leases, clock, 30, (worker, [lease.fence]))
    with pytest.raises(TimedOut, match="stopped after 5 s"):
        one.future.result(0)


def test_cancelled_calls_are_dropped_and_their_worker_is_told(leases):
    worker = leases.join("one", 1)
    runs, waits = call("runs"), call("waits")
    leases.submit(runs)
    leases.submit(waits)
    lease = leases.take(worker)
    for each in (runs, waits):
        leases.cancel(each.future)
        with pytest.raises(Cancelled):
            each.future.result(0)
    assert leases.beat(worker, {lease.fence: runs.digest}) == ([lease.fence], {})
    assert leases.take(worker) is None


def test_after_a_restart_a_worker_goes_on_with_what_it_runs(leases, clock):
    """The same call is submitted again: by its digest it is known, and nothing is trained twice."""
    worker = leases.join("one", 1)
    digest = call("a").digest
    assert leases.beat(worker, {"before-1": digest}) == ([], {}), "it may yet be asked for"
    leases.submit(one := call("a"))
    ended, moved = leases.beat(worker, {"before-1": digest})
    assert not ended
    lease = leases.holds(worker, moved["before-1"])
    assert lease.call is one
    clock.now += 11
    assert leases.beat(worker, {"before-2": "of something else"}) == (["before-2"], {})


def test_until_something_is_submitted_no_call_of_before_a_restart_is_given_up(leases, clock):
    worker = leases.join("one", 1, ready=True)
    assert leases.slots == 1, "it is counted on at once, however long it trains"
    clock.now += 1000
    assert leases.beat(worker, {"before-1": "d"}) == ([], {})
    leases.submit(call("of another"))
    clock.now += 11
    assert leases.beat(worker, {"before-1": "d"}) == (["before-1"], {})


def test_an_old_lease_of_this_coordinator_is_never_taken_up_again(leases, clock):
    worker = leases.join("one", 1)
    leases.submit(one := call())
    lease = leases.take(worker)
    leases.lose(lease, "died")
    assert leases.adopt(worker, lease.fence, one.digest) is None


def test_at_the_end_all_is_cancelled_and_nothing_is_taken(leases):
    worker = leases.join("one", 1)
    runs, waits = call(), call()
    leases.submit(runs)
    leases.submit(waits)
    leases.take(worker)
    leases.end("the search has ended")
    for each in (runs, waits):
        with pytest.raises(Cancelled):
            each.future.result(0)
    assert leases.submit(call()) is False
    assert leases.take(worker) is None


def test_whatever_workers_do_every_call_ends_once_and_none_is_lost(leases, clock):
    """A thousand calls among workers that answer, answer late or twice, fall silent, leave, return."""
    rng = random.Random(0)
    calls = [call(str(number)) for number in range(1000)]
    answers: Counter[str] = Counter()
    held: list[tuple[str, Lease]] = []
    workers: list[str] = []
    late = 0
    todo = list(calls)
    for _ in range(200_000):
        if all(each.future.done() for each in calls):
            break
        clock.now += rng.random()
        while todo and rng.random() < 0.5:
            leases.submit(todo.pop())
        if len(workers) < 8:
            workers.append(leases.join("w", 1))
        worker = rng.choice(workers)
        match rng.choice(["take", "take", "answer", "answer", "beat", "leave", "again", "sweep"]):
            case "take":
                if leases.hear(worker) and (lease := leases.take(worker)):
                    held.append((worker, lease))
            case "answer" if held:
                worker, lease = held.pop(rng.randrange(len(held)))
                if leases.settle(lease, lease.call.name):
                    answers[lease.call.name] += 1
                else:
                    late += 1
            case "beat":
                mine = {lease.fence: "" for owner, lease in held if owner == worker}
                leases.hear(worker)
                leases.beat(worker, mine)
            case "leave" if rng.random() < 0.1:
                leases.leave(worker, "")
                workers.remove(worker)
            case "again" if held:
                worker, lease = rng.choice(held)
                if leases.settle(lease, lease.call.name):
                    answers[lease.call.name] += 1
            case "sweep":
                leases.sweep()
                workers = [each for each in workers if leases.hear(each)]
    assert late > 50
    assert max(answers.values()) == 1
    gave_up = [each for each in calls if each.future.exception(0) is not None]
    assert len(answers) + len(gave_up) == len(calls)
    assert all(isinstance(each.future.exception(), WorkerLost) for each in gave_up)
    assert all(each.future.result() == each.name for each in calls if each not in gave_up)
