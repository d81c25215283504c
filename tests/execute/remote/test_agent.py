"""Workers as processes: killed, frozen, interrupted, away from their coordinator."""

import contextlib
import os
import signal
import subprocess
from collections import Counter
from typing import Any

import psutil
import pytest
from tests.helpers_cli import PATIENCE
from tests.helpers_elsewhere import asked, begun, gone, until
from tests.helpers_remote import PACED, TOKEN, WIDTHS, started

from evolvent.execute import OutOfMemory, WorkerLost
from evolvent.execute.remote.coordinator import Served
from evolvent.execute.worker import Job, Spec, evaluate_many, fit
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.space.plain import Plain

LEASE = 60.0  # [s] long enough for a worker on a busy machine to say that it lives
SHORT = 10.0  # [s] after which a test waits for a worker to be lost


def serve(toy, folder, **more):
    spec = Spec(toy, WIDTHS, PACED, estimator_settings={"folder": str(folder)})
    settings: dict[str, Any] = {"port": 0, "token": TOKEN, "lease": LEASE} | more
    return Served(spec, **settings)


def worker_of(folder, id, workers):
    """The worker that runs a candidate, which is above the process that computes it."""
    process, _ = begun(folder, id)[-1]
    above = {each.pid for each in psutil.Process(process).parents()}
    return next(each for each in workers if each.pid in above)


@pytest.fixture
def crew():
    """Workers that a test starts; none outlives it."""
    workers: list[subprocess.Popen[str]] = []
    yield workers
    for each in workers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.pid, signal.SIGCONT)
            os.killpg(each.pid, signal.SIGKILL)
        each.communicate(timeout=PATIENCE)


@pytest.mark.slow
def test_of_four_workers_one_is_killed_one_frozen_and_woken_and_nothing_is_lost(
    toy, tmp_path, crew
):
    with contextlib.ExitStack() as stack:
        served = serve(toy, tmp_path, lease=SHORT)
        crew += [started(served.url, "--cache", str(tmp_path / "cache")) for _ in range(4)]
        stack.enter_context(served)
        until(lambda: served.workers == 4)
        first = served.submit(evaluate_many, asked(0)).result(PATIENCE)[0]
        killed, frozen = (served.submit(evaluate_many, asked(id, 30)) for id in (1, 2))
        until(lambda: begun(tmp_path, 1) and begun(tmp_path, 2))
        victim, sleeper = (worker_of(tmp_path, id, crew) for id in (1, 2))
        victim.kill()
        sleeper.send_signal(signal.SIGSTOP)
        others = [
            served.submit(evaluate_many, asked(id, states=[first.state])) for id in range(3, 23)
        ]
        for number, future in enumerate([killed, frozen, *others], start=1):
            (evaluation,) = future.result(PATIENCE)
            assert evaluation.result.candidate.id == number
            assert evaluation.state["sum"] == number, "weights went there and came back"
        assert [len(begun(tmp_path, id)) for id in (1, 2)] == [2, 2]
        assert gone(begun(tmp_path, 1)[0][0]), "the process that computed is gone with its worker"
        until(lambda: served.workers == 2)
        sleeper.send_signal(signal.SIGCONT)
        until(lambda: served.workers == 3)
        assert served.submit(evaluate_many, asked(30)).result(PATIENCE)
    for each in crew:
        if each is not victim:
            told, _ = each.communicate(timeout=PATIENCE)
            assert each.returncode == 0, told
            assert told.endswith("ended: the search has ended\n")
            if each is sleeper:
                assert "joined again" in told
                assert "candidate 2: " in told and "too late: somebody else has it" in told


def test_one_worker_of_two_slots_runs_what_goes_wrong_and_goes_on(toy, tmp_path, crew):
    said: list[str] = []
    served = serve(toy, tmp_path, say=said.append)
    words = ["--slots", "2", "--cache", str(tmp_path / "cache")]
    crew.append(started(served.url, *words))
    with served:
        assert served.workers == 2
        dies, starves = served.submit(evaluate_many, asked(1, 1, "die")), None
        starves = served.submit(evaluate_many, asked(2, 1, "raise"))
        good = served.submit(evaluate_many, asked(3))
        slow = served.submit(evaluate_many, asked(4, 300), timeout=1.0)
        job = Job(
            "plain", (4,), Size(1, 4, 2), Hyperparameters(batch=16), 1.0, seed=2, space=Plain()
        )
        trained = served.submit(fit, job)
        assert good.result(PATIENCE)[0].result.score == 0.01
        assert trained.result(PATIENCE).numbers["seed"] == 2
        assert isinstance(starves.exception(PATIENCE), OutOfMemory)
        assert "stopped after 1 s" in str(slow.exception(PATIENCE))
        lost = dies.exception(PATIENCE)
        assert isinstance(lost, WorkerLost)
        assert str(lost).startswith("lost 3 workers; the last was killed by signal 9")
        assert len(begun(tmp_path, 1)) == 3, "issued again twice"
        cancelled = served.submit(evaluate_many, asked(5, 300))
        until(lambda: begun(tmp_path, 5))
        served.cancel(cancelled)
        process, _ = begun(tmp_path, 5)[0]
        until(lambda: gone(process))
        running = served.submit(evaluate_many, asked(6, 300))
        until(lambda: begun(tmp_path, 6))
        crew[0].send_signal(signal.SIGINT)
        until(lambda: served.workers == 1 and any("left: interrupted" in line for line in said))
        assert not running.done(), "it waits for another worker"
    told, _ = crew[0].communicate(timeout=PATIENCE)
    assert (crew[0].returncode, told.splitlines()[-1][:11]) == (130, "interrupted")
    assert "candidate 5: no longer wanted" in told


def test_a_coordinator_that_comes_back_is_waited_for_and_given_what_was_computed_meanwhile(
    toy, tmp_path, crew
):
    served = serve(toy, tmp_path)
    port = int(served.url.rsplit(":", 1)[1])
    crew.append(started(served.url, "--cache", str(tmp_path / "cache")))
    with served:
        served.submit(evaluate_many, asked(7, 40))
        until(lambda: begun(tmp_path, 7))
        # it dies as a killed one does: without a word to anybody
        served._server.force_exit = served._server.should_exit = True
        served._thread.join()
        served._stopped = True
        served._socket.close()
    again = serve(toy, tmp_path, port=port)  # and is started again by the same command
    with again:
        future = again.submit(evaluate_many, asked(7, 40))
        assert future.result(PATIENCE)[0].result.candidate.id == 7
        assert len(begun(tmp_path, 7)) == 1, "it was not computed again"
    told, _ = crew[0].communicate(timeout=PATIENCE)
    assert crew[0].returncode == 0
    assert "joined again" in told and "too late" not in told


def test_a_worker_that_cannot_work_says_why_in_a_line(toy, tmp_path, crew):
    served = serve(toy, tmp_path)
    spec = Spec(toy, WIDTHS, "no_such_module:Estimator")
    broken = Served(spec, port=0, token=TOKEN, lease=LEASE)
    cases = {
        "the token is not that of this coordinator": started(served.url, token="another token"),
        "give the address and the token": started("ftp://127.0.0.1"),
        "the coordinator did not answer for 0 s": started("http://127.0.0.1:9", "--patience", "0"),
        "this worker cannot prepare the search": started(
            broken.url, "--cache", str(tmp_path / "c")
        ),
        "no/such/file": started(served.url.replace("http", "https"), "--ca", "no/such/file"),
    }
    crew += cases.values()
    for line, process in cases.items():
        told, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2
        assert told.splitlines()[-1].startswith("evolvent: ")
        assert line in told.splitlines()[-1]
    for each in (served, broken):
        each.shutdown()


def test_a_worker_needs_torch_numpy_and_safetensors_alone():
    from tests.helpers import elsewhere

    code = (
        "import sys, evolvent.execute.remote.agent, evolvent.execute.worker, evolvent.estimator.full;"
        "print(Counter(m.split('.')[0] for m in sys.modules))"
    )
    told = elsewhere(f"from collections import Counter; {code}")
    for name in (
        "psutil",
        "typer",
        "pydantic",
        "yaml",
        "starlette",
        "uvicorn",
        "sklearn",
        "pandas",
    ):
        assert f"'{name}'" not in told
    assert Counter([told.count("'torch'")]) == Counter([1])
