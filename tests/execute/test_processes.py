import importlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from concurrent.futures import FIRST_COMPLETED, wait
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.helpers import heeding_interrupts

from evolvent.errors import CandidateFailed, SettingError
from evolvent.execute import Cancelled, OutOfMemory, TimedOut, WorkerLost
from evolvent.execute.inline import Inline
from evolvent.execute.processes import LocalSlots

sys.path.insert(
    0, str(Path(__file__).parent.parent)
)  # workers get this path too, and import the calls
helpers = importlib.import_module("helpers_execute")

PATIENCE = 60  # [s] long enough for a busy machine; no test depends on it
MIB = 1 << 20


@pytest.fixture
def slots():
    """Two workers."""
    with LocalSlots(helpers.number, workers=2, memory=400 * MIB) as executor:
        yield executor


@pytest.fixture
def slot():
    """One worker."""
    with LocalSlots(helpers.number, workers=1, memory=400 * MIB) as executor:
        yield executor


def error_of(future):
    error = future.exception(PATIENCE)
    assert error is not None
    return error


def children():
    """Return the workers below this process, which are copies of its warm server."""
    found = psutil.Process().children(recursive=True)
    return {process.pid for process in found if is_worker(process)}


def is_worker(process):
    line = " ".join(process.cmdline())
    return "spawn_main" in line or ("forkserver" in line and is_server(process.parent()))


def is_server(process):
    return process is not None and "forkserver" in " ".join(process.cmdline())


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def all_ready(executor):
    """Start all workers."""
    futures = [executor.submit(helpers.rest, 0.1) for _ in range(executor.workers)]
    until(lambda: [slot.state for slot in executor._slots] == ["ready"] * executor.workers)
    wait(futures, timeout=PATIENCE)


def run_script(path, text, **options):
    path.write_text(textwrap.dedent(text))
    places = [str(Path(__file__).parent.parent), *sys.path]
    with heeding_interrupts():
        return subprocess.Popen(
            [sys.executable, str(path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )


# Both executors


@pytest.mark.parametrize("make", [Inline, partial(LocalSlots, workers=2)])
class TestBoth:
    def test_a_call_gets_the_context_and_its_arguments(self, make):
        with make(helpers.number) as executor:
            assert executor.submit(helpers.given, "a", [1]).result(PATIENCE) == (42, "a", [1])

    def test_an_exception_arrives_in_the_future(self, make):
        with make(helpers.number) as executor:
            error = error_of(executor.submit(helpers.fail, "too deep"))
        assert type(error) is ValueError
        assert str(error) == "too deep"

    def test_an_exit_of_the_call_does_not_end_the_coordinator(self, make):
        with make(helpers.number) as executor:
            error = error_of(executor.submit(helpers.leave, 3))
        assert type(error) is CandidateFailed
        assert str(error) == "SystemExit: 3"

    def test_a_factory_that_raises_fails_every_call_with_its_exception(self, make):
        with make(helpers.broken) as executor:
            for _ in range(3):
                error = error_of(executor.submit(helpers.same, 1))
                assert type(error) is LookupError
                assert str(error) == "no such data set"

    def test_running_out_of_memory_has_its_own_exception(self, make, tmp_path):
        text = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes"
        with make(helpers.number) as executor:
            error = error_of(executor.submit(helpers.starve, text, tmp_path, 9))
        assert type(error) is OutOfMemory
        assert "you tried to allocate 7 bytes" in str(error)

    def test_shutdown_may_be_repeated(self, make):
        executor = make(helpers.number)
        executor.submit(helpers.same, 1).result(PATIENCE)
        executor.shutdown()
        executor.shutdown()


def test_inline_runs_in_this_process_at_once():
    future = Inline(helpers.nothing).submit(helpers.worker)
    assert future.done()
    assert future.result() == os.getpid()


def test_inline_makes_its_context_at_the_first_submit_and_only_then(tmp_path):
    executor = Inline(partial(helpers.counted, tmp_path))
    assert not list(tmp_path.iterdir())
    executor.submit(helpers.same, 1)
    next(tmp_path.iterdir()).unlink()
    executor.submit(helpers.same, 1)
    assert not list(tmp_path.iterdir())


# Workers and what they are sent


def test_workers_start_as_work_arrives_and_are_reused(slots):
    assert not slots._slots
    pids = {slots.submit(helpers.worker).result(PATIENCE) for _ in range(5)}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_calls_run_side_by_side_up_to_the_number_of_workers(slots):
    all_ready(slots)
    spans = [slots.submit(helpers.span, 0.3) for _ in range(6)]
    times = sorted((t, d) for f in spans for t, d in zip(f.result(PATIENCE), (1, -1), strict=True))
    level, peak = 0, 0
    for _, change in times:
        level += change
        peak = max(peak, level)
    assert peak == 2


def test_the_factory_runs_once_per_worker(tmp_path):
    with LocalSlots(partial(helpers.counted, tmp_path), workers=1) as executor:
        for _ in range(5):
            executor.submit(helpers.same, 1).result(PATIENCE)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_first_of_several_futures_can_be_waited_for(slots):
    slow, fast = slots.submit(helpers.rest, 30), slots.submit(helpers.rest, 0)
    done, waiting = wait([slow, fast], timeout=PATIENCE, return_when=FIRST_COMPLETED)
    assert (done, waiting) == ({fast}, {slow})


def test_a_slow_start_of_one_worker_does_not_hold_up_another(tmp_path):
    with LocalSlots(partial(helpers.slow_but_the_first, tmp_path), workers=2) as executor:
        executor.submit(helpers.worker).result(PATIENCE)
        futures = [executor.submit(helpers.rest, 0.1) for _ in range(4)]
        wait(futures, timeout=30)
        until(lambda: len(list(tmp_path.iterdir())) == 2)  # the other one did start
        assert len({future.result(0) for future in futures}) == 1


def test_large_arrays_pass_in_both_directions(slot):
    weights = {f"layer{i}": np.random.default_rng(i).random((512, 1280)) for i in range(2)}
    back = slot.submit(helpers.same, weights).result(PATIENCE)
    assert sum(value.nbytes for value in back.values()) > 10_000_000
    assert all(np.array_equal(back[name], weights[name]) for name in weights)


def test_a_large_context_arrives():
    data = np.arange(5_000_000)
    with LocalSlots(partial(helpers.same, None, data), workers=1) as executor:
        (context,) = executor.submit(helpers.given).result(PATIENCE)
    assert np.array_equal(context, data)


def test_numerical_libraries_use_the_threads_they_are_given():
    before = dict(os.environ)
    with LocalSlots(helpers.nothing, workers=1, threads=1) as executor:
        assert executor.submit(helpers.torch_threads).result(PATIENCE) == (1, {1})
    assert dict(os.environ) == before


def test_the_worker_says_where_an_exception_was_raised(slot):
    error = error_of(slot.submit(helpers.fail, "too deep"))
    assert "in fail" in "".join(error.__notes__)


def test_an_exception_that_does_not_unpickle_arrives_as_text(slot):
    error = error_of(slot.submit(helpers.awkward))
    assert type(error) is CandidateFailed
    assert str(error) == "Awkward: 1 and 2"


def test_a_result_that_cannot_be_pickled_is_a_failed_call(slot):
    assert "lambda" in str(error_of(slot.submit(helpers.unsendable)))
    assert slot.submit(helpers.same, 1).result(PATIENCE) == 1


def test_a_result_that_does_not_unpickle_fails_only_its_own_call(slot):
    assert type(error_of(slot.submit(helpers.poison))) is ValueError
    assert slot.submit(helpers.same, 1).result(PATIENCE) == 1


def test_an_argument_that_cannot_be_pickled_is_refused_at_submit(slot):
    with pytest.raises(Exception, match="pickle"):
        slot.submit(helpers.same, threading.Lock())


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": 1, "memory": 0}, {"workers": -3}])
def test_a_number_outside_its_range_is_refused(wrong):
    with pytest.raises(SettingError, match="must be at least 1"):
        LocalSlots(helpers.nothing, **wrong)


# Workers that die


@pytest.mark.parametrize("how", ["exit", "kill", "segfault"])
def test_a_call_whose_worker_dies_twice_succeeds_in_the_third_attempt(slot, tmp_path, how):
    assert slot.submit(helpers.die, tmp_path, 2, how).result(PATIENCE) == 3


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("exit", "lost 3 workers; the last ended with exit code 3"),
        ("kill", "killed by signal 9: if the machine ran out of memory, use fewer workers"),
        ("segfault", "lost 3 workers; the last was killed by signal 11"),
    ],
)
def test_a_call_that_kills_three_workers_is_lost_with_the_reason(slot, tmp_path, how, reason):
    error = error_of(slot.submit(helpers.die, tmp_path, 9, how))
    assert type(error) is WorkerLost
    assert reason in str(error)
    assert len(list(tmp_path.iterdir())) == 3
    assert slot.submit(helpers.same, 1).result(PATIENCE) == 1  # the slot is back


def test_a_dying_worker_disturbs_no_other_call(slots, tmp_path):
    other = slots.submit(helpers.rest, 1.5)
    waiting = [slots.submit(helpers.same, i) for i in range(3)]
    assert type(error_of(slots.submit(helpers.die, tmp_path, 9, "kill"))) is WorkerLost
    assert isinstance(other.result(PATIENCE), int)
    assert [future.result(PATIENCE) for future in waiting] == [0, 1, 2]


def test_a_worker_killed_while_idle_is_replaced(slot):
    first = slot.submit(helpers.worker).result(PATIENCE)
    os.kill(first, signal.SIGKILL)
    assert slot.submit(helpers.worker).result(PATIENCE) != first


def test_a_dead_worker_is_noticed_though_its_child_holds_the_pipe(slot, tmp_path):
    assert slot.submit(helpers.die, tmp_path, 1, "orphan").result(30) == 2
    os.kill(int((tmp_path / "orphan").read_text()), signal.SIGKILL)  # it was still there


def test_workers_that_die_before_they_are_ready_are_not_started_for_ever():
    with LocalSlots(helpers.deadly, workers=2) as executor:
        futures = [executor.submit(helpers.same, i) for i in range(4)]
        for future in futures:
            error = error_of(future)
            assert type(error) is WorkerLost
            assert "died before they were ready; the last ended with exit code 5" in str(error)


# Time


def test_a_call_over_its_time_is_stopped_and_not_retried(slot, tmp_path):
    future = slot.submit(helpers.hold, 1, tmp_path, 60, timeout=0.5)
    error = error_of(future)
    assert type(error) is TimedOut
    assert "stopped after 0.5 s" in str(error)
    assert slot.submit(helpers.same, 1).result(PATIENCE) == 1  # the slot is back
    assert len(list(tmp_path.iterdir())) == 1


def test_neither_waiting_nor_the_start_of_a_worker_counts_as_time():
    with LocalSlots(helpers.slow, workers=1) as executor:
        futures = [executor.submit(helpers.rest, 0.4, timeout=1.6) for _ in range(4)]
        assert all(isinstance(future.result(PATIENCE), int) for future in futures)


def test_the_answer_of_a_stopped_call_never_reaches_the_next_one(slot):
    for _ in range(3):
        late = slot.submit(helpers.rest, 0.25, timeout=0.24)
        assert slot.submit(helpers.same, "mine").result(PATIENCE) == "mine"
        assert late.done()


# Memory


def test_a_call_over_its_memory_runs_again_alone_with_more(slot, tmp_path):
    assert slot.submit(helpers.hold, 600 * MIB, tmp_path, 1).result(PATIENCE) == (2, 600 * MIB)


def test_a_call_over_all_memory_is_out_of_memory(slot, tmp_path):
    slot.memory_alone = slot.memory
    error = error_of(slot.submit(helpers.hold, 600 * MIB, tmp_path, 30))
    assert type(error) is OutOfMemory
    assert "limit of 0.39 GiB" in str(error)
    assert len(list(tmp_path.iterdir())) == 2
    assert slot.submit(helpers.same, 1).result(PATIENCE) == 1  # the slot is back


@pytest.mark.parametrize("text", ["can't allocate memory", "CUDA out of memory.", "std::bad_alloc"])
def test_an_allocator_that_refuses_gets_a_second_attempt(slot, tmp_path, text):
    assert slot.submit(helpers.starve, text, tmp_path, 1).result(PATIENCE) == 2


def test_the_second_attempt_runs_alone(slots, tmp_path):
    all_ready(slots)
    before = slots.submit(helpers.span, 1.0)
    needy = slots.submit(helpers.lonely, tmp_path)
    after = [slots.submit(helpers.span, 0.1) for _ in range(4)]
    start, end = needy.result(PATIENCE)
    for other in [before, *after]:
        begin, finish = other.result(PATIENCE)
        assert finish <= start or end <= begin


def test_the_second_attempt_runs_in_the_only_worker(tmp_path):
    with LocalSlots(helpers.number, workers=3) as executor:
        all_ready(executor)
        assert len(children()) == 3
        executor.submit(helpers.lonely, tmp_path).result(PATIENCE)
        assert len(children()) == 1


def test_the_worker_of_a_call_out_of_memory_is_not_used_again(slot, tmp_path):
    before = slot.submit(helpers.worker).result(PATIENCE)
    slot.submit(helpers.lonely, tmp_path).result(PATIENCE)
    assert slot.submit(helpers.worker).result(PATIENCE) != before


def test_an_absurd_allocation_fails_before_the_machine_runs_dry(slot):
    error = error_of(slot.submit(helpers.ask, 500 << 30))
    assert type(error) is OutOfMemory
    assert "MemoryError" in str(error)
    assert slot.memory_alone < slot.submit(helpers.data_limit).result(PATIENCE) < 500 << 30


# Stopping


def test_a_running_call_is_cancelled_and_its_slot_comes_back(slot):
    future = slot.submit(helpers.rest, 60)
    until(lambda: any(s.job for s in slot._slots))
    slot.cancel(future)
    assert str(error_of(future)) == "cancelled while it ran"
    assert slot.submit(helpers.same, 1).result(PATIENCE) == 1


def test_a_waiting_call_is_cancelled_without_disturbing_the_running_one(slot):
    running, waiting = slot.submit(helpers.rest, 0.5), slot.submit(helpers.rest, 60)
    slot.cancel(waiting)
    assert type(error_of(waiting)) is Cancelled
    assert isinstance(running.result(PATIENCE), int)


def test_cancelling_what_is_done_changes_nothing(slot):
    future = slot.submit(helpers.same, 1)
    future.result(PATIENCE)
    slot.cancel(future)
    assert slot.submit(helpers.same, 2).result(PATIENCE) == 2
    assert future.result() == 1


def test_shutdown_cancels_what_is_unfinished_and_leaves_no_process():
    executor = LocalSlots(helpers.nothing, workers=2)
    futures = [executor.submit(helpers.rest, 60) for _ in range(4)]
    until(lambda: sum(s.job is not None for s in executor._slots) == 2)
    executor.shutdown()
    assert {type(future.exception(0)) for future in futures} == {Cancelled}
    assert not children()
    assert not executor._thread.is_alive()


def test_nothing_can_be_submitted_after_shutdown():
    executor = LocalSlots(helpers.nothing, workers=1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(helpers.same, 1)
    executor.cancel(Inline(helpers.nothing).submit(helpers.same, 1))  # has no effect


def test_no_pipe_stays_open():
    before = psutil.Process().num_fds()
    for _ in range(3):
        with LocalSlots(helpers.nothing, workers=2) as executor:
            executor.submit(helpers.same, 1).result(PATIENCE)
            executor.submit(helpers.rest, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert psutil.Process().num_fds() <= before + 1  # multiprocessing's tracker keeps one


def test_workers_ignore_ctrl_c(slot):
    assert slot.submit(helpers.interrupt).result(PATIENCE) == "still here"


# The user's script


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    script = run_script(
        tmp_path / "script.py",
        """
        import helpers_execute as helpers
        from evolvent.execute.processes import LocalSlots
        print("script")
        executor = LocalSlots(helpers.number, workers=2)
        futures = [executor.submit(helpers.given, i) for i in range(4)]
        print([future.result() for future in futures])
        """,  # and it does not shut down
    )
    out, err = script.communicate(timeout=PATIENCE)
    assert out.splitlines() == ["script", "[(42, 0), (42, 1), (42, 2), (42, 3)]"]
    assert err == ""
    assert script.returncode == 0


def test_a_function_of_the_script_itself_is_refused_with_advice(tmp_path):
    script = run_script(
        tmp_path / "script.py",
        """
        import helpers_execute as helpers
        from evolvent.execute.processes import LocalSlots
        def mine(context):
            return 1
        with LocalSlots(helpers.number, workers=1) as executor:
            print(executor.submit(mine).exception())
        """,
    )
    out, err = script.communicate(timeout=PATIENCE)
    assert "not in the script or notebook itself" in out
    assert err == ""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_computing_worker_dies_with_the_coordinator(tmp_path, end):
    note = tmp_path / "pid"
    script = run_script(
        tmp_path / "script.py",
        f"""
        import helpers_execute as helpers
        from evolvent.execute.processes import LocalSlots
        executor = LocalSlots(helpers.nothing, workers=1)
        executor.submit(helpers.announce, {str(note)!r}).result()
        """,
        start_new_session=True,
    )
    until(lambda: note.exists() and note.read_text())
    worker = psutil.Process(int(note.read_text()))
    os.killpg(script.pid, end) if end == signal.SIGINT else script.send_signal(end)
    _, err = script.communicate(timeout=PATIENCE)
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert err.count("KeyboardInterrupt") == (end == signal.SIGINT)
