"""Searches on Ray: what is refused at once, and clusters that lose actors and nodes."""

import contextlib
import http.server
import os
import signal
import socket
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from tests.helpers import elsewhere
from tests.helpers_cli import PATIENCE, TINY, evolvent, start
from tests.helpers_elsewhere import asked, begun, gone, log, until
from tests.helpers_ray import SMALLEST, cluster, skipping, surroundings
from tests.helpers_remote import PACED, WIDTHS

import evolvent as ev
from evolvent.cli.cluster import place
from evolvent.errors import SettingError, UserError
from evolvent.execute import Cancelled, OutOfMemory, WorkerLost
from evolvent.execute.ray import actor, connection
from evolvent.execute.ray.place import Ray
from evolvent.execute.remote.data import Bundle, Cache
from evolvent.execute.remote.protocol import version
from evolvent.execute.worker import Job, Spec, evaluate_many, fit
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.space.plain import Plain
from evolvent.types import Candidate, Result

BEGINNING = 90.0  # [s] for an actor of a test that is not slow
PATIENT = pytest.mark.timeout(1800)  # three nodes on a busy core


@pytest.mark.parametrize("address", ["", "head", "ray://head:10001", "a:b", "http://x:1", "head:"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(SettingError, match=r"give local .* auto .* or HOST:PORT"):
        Ray(address)


def test_without_the_library_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"not installed: pip install 'evolvent\[cluster\]'"):
        Ray("auto")


class Silent(http.server.BaseHTTPRequestHandler):
    """Answers, and prints nothing."""

    def log_message(self, *args):
        pass


@pytest.fixture
def installed():
    pytest.importorskip("ray", reason="ray is not installed")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"cpus": 0.0}, "--cpus-per-candidate 0: give 1, 2"),
        ({"cpus": 1.5}, "--cpus-per-candidate 1.5: give 1, 2"),
        ({"gpus": -0.5}, "--gpus-per-candidate -0.5: give a fraction"),
        ({"gpus": 2.5}, "--gpus-per-candidate 2.5: give a fraction"),
    ],
)
def test_amounts_that_ray_cannot_give_are_refused(installed, given, line):
    with pytest.raises(SettingError, match=line):
        Ray("local", **given)


def test_a_share_of_a_gpu_and_the_device_go_together(installed):
    with pytest.raises(SettingError, match=r"0\.5 with --device cpu: give --device cuda too"):
        Ray("local", gpus=0.5).planned(device="cpu", workers=1)
    with pytest.raises(SettingError, match="0 with --device cuda: give a share"):
        Ray("local", gpus=0.0).planned(device="cuda", workers=1)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"ray": "auto", "serve": "9000"}, "--ray and --serve are two ways"),
        ({"cpus": 2.0}, "--cpus-per-candidate is what a Ray cluster is asked for"),
        ({"gpus": 0.5, "serve": "9000"}, "--gpus-per-candidate is what a Ray cluster"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(given, line):
    with pytest.raises(SettingError, match=line):
        place(**given)


def test_the_options_name_the_place(installed):
    assert place(ray="local", cpus=2.0, gpus=0.25) == Ray("local", 2.0, 0.25)
    assert place(ray="auto") == Ray("auto")


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "count"),
    [
        ({"CPU": 8.0}, 1.0, 0.0, 8),
        ({"CPU": 8.0}, 3.0, 0.0, 2),
        ({"CPU": 8.0, "GPU": 1.0}, 1.0, 0.25, 4),
        ({"CPU": 2.0, "GPU": 4.0}, 1.0, 0.1, 2),
        ({"CPU": 1.0}, 0.1, 0.0, 10),
        ({"CPU": 64.0}, 1.0, 1.0, 0),
        ({}, 1.0, 0.0, 0),
    ],
)
def test_the_room_of_a_node(resources, cpus, gpus, count):
    assert connection.fits(resources, cpus, gpus) == count


def test_an_address_that_does_not_answer_is_refused_in_seconds(installed):
    with socket.socket() as taken:  # bound and not listening: nobody else answers there
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(UserError, match=f"--ray {address}: .* does not answer"):
            connection.connect(address)
        assert time.monotonic() - began < 60


def test_another_server_at_the_address_is_no_cluster(installed):
    server = http.server.HTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(UserError, match="is not Ray: start a cluster"):
            connection.connect(f"127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_nothing_of_ray_is_imported_before_it_is_asked_for():
    code = (
        "import sys, evolvent.session, evolvent.cli.verbs; "
        "from evolvent.execute.ray import actor, place; "
        "print('ray' in sys.modules, 'evolvent.execute.ray.executor' in sys.modules)"
    )
    assert elsewhere(code) == "False False\n"


def test_an_actor_has_its_share_of_the_memory_and_the_cores_of_its_node(toy, tmp_path, monkeypatch):
    made = {}
    monkeypatch.setattr(actor, "LocalSlots", lambda factory, **more: made.update(more))
    monkeypatch.setattr(actor, "Cache", lambda: Cache(tmp_path))
    monkeypatch.setattr(actor, "_pieces", lambda objects: objects)
    bundle = Bundle(Spec(toy, "plain", "full"))
    arrays = {name: (blob.size, list(blob.chunks())) for name, blob in bundle.blobs.items()}
    order = actor.Order(version(), (), "cpu", 2.0, 0.0)
    worker = actor.Worker(order, bundle.head, arrays)
    worker._started({"CPU": 8.0, "memory": 1000.0})
    wanted = {"workers": 1, "memory": 250, "threads": 2, "fresh": False, "losses": 1}
    assert made == wanted
    assert not Cache(tmp_path).missing(bundle.head), "the data are there, whole"


def test_an_actor_of_another_version_says_so(toy, monkeypatch):
    order = actor.Order(version() | {"code": "0" * 16}, (), "cpu", 1.0, 0.0)
    with pytest.raises(UserError, match=r"it is evolvent .* install the same on every node"):
        actor.Worker(order, b"", {})._check_version()


def test_an_actor_runs_what_goes_wrong_and_goes_on(installed, toy, tmp_path):
    """One cluster of one core: every way in which a call ends."""
    import ray

    said: list[str] = []
    with surroundings(tmp_path), contextlib.ExitStack() as stack:
        with skipping():
            ray.init(
                "local",
                num_cpus=1,
                object_store_memory=SMALLEST,
                include_dashboard=False,
                log_to_driver=False,
            )
        stack.callback(ray.shutdown)
        spec = Spec(toy, WIDTHS, PACED, estimator_settings={"folder": str(tmp_path)})
        where = Ray("local")
        assert where.planned(device="cpu", workers=None) == 1
        executor = where.executor(spec, folder=None, say=said.append, workers=None)
        stack.callback(executor.shutdown)
        end = time.monotonic() + BEGINNING
        while said == [] and executor.workers and time.monotonic() < end:
            time.sleep(0.05)
        if not said:
            pytest.skip(f"no actor of Ray begins here within {BEGINNING:g} s")
        with executor:
            assert (executor.workers, len(said)) == (1, 1)
            assert said[0].startswith("worker ") and said[0].endswith("joined, one call at a time")
            first = executor.submit(evaluate_many, asked(0)).result(PATIENCE)[0]
            assert first.state is not None
            heir = executor.submit(evaluate_many, asked(1, states=[first.state] * 2))
            assert (state := heir.result(PATIENCE)[0].state) is not None
            assert state["sum"] == 1, "weights went there and came back"
            dies = executor.submit(evaluate_many, asked(2, 1, "die"))
            slow = executor.submit(evaluate_many, asked(4, 300), timeout=0.5)
            assert isinstance(lost := dies.exception(PATIENCE), WorkerLost)
            assert str(lost).startswith("lost 3 workers; the last was killed by signal 9")
            assert "stopped after 0.5 s" in str(slow.exception(PATIENCE))
            cancelled = executor.submit(evaluate_many, asked(5, 300))
            until(lambda: begun(tmp_path, 5))
            executor.cancel(cancelled)
            assert isinstance(cancelled.exception(PATIENCE), Cancelled)
            until(lambda: gone(begun(tmp_path, 5)[0][0]))
            assert executor.submit(evaluate_many, asked(6)).result(PATIENCE)
            open_call = executor.submit(evaluate_many, asked(7, 300))
        assert isinstance(open_call.exception(PATIENCE), Cancelled)
        with pytest.raises(RuntimeError, match="shut down"):
            executor.submit(evaluate_many, asked(8))
        assert ray.is_initialized(), "whoever made the connection ends it"
    assert [len(begun(tmp_path, id)) for id in (0, 1, 2, 6)] == [1, 1, 3, 1]


class Watching:
    """Keeps what a search tells, and acts when so many results have come."""

    def __init__(self, **actions):
        self.lines: list[str] = []
        self.told: list[int] = []
        self.actions = {int(name[1:]): action for name, action in actions.items()}

    def on_message(self, line):
        self.lines.append(line)

    def on_result(self, result):
        self.told.append(result.candidate.id)
        if action := self.actions.pop(len(self.told), None):
            action(self)

    def actors(self):
        """Pids of the actors that joined."""
        return [
            int(line.split()[1].rpartition(":")[2]) for line in self.lines if " joined, " in line
        ]


def rows(folder):
    """What was asked and told, counted; each result once."""
    events = log(folder)
    told = Counter(event.candidate.id for event in events if isinstance(event, Result))
    asked = Counter(event.id for event in events if isinstance(event, Candidate))
    return asked, told


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("home"), nodes=3) as made:
        yield made


@pytest.mark.slow
@PATIENT
def test_on_three_nodes_a_table_gives_the_same_winner_as_inline(three, tmp_path):
    settings: Any = {"strategy": "random", "budget": "60t", "seed": 3}
    here = ev.search("table:digits201", workers=0, out=tmp_path / "here", **settings)
    watch = Watching()
    there = ev.search(
        "table:digits201",
        where=Ray(three.address),
        out=tmp_path / "there",
        callbacks=[watch],
        **settings,
    )
    assert there.best.arch == here.best.arch
    assert there.best.score == here.best.score
    scores = [
        {
            event.candidate.id: event.score
            for event in log(tmp_path / name)
            if isinstance(event, Result)
        }
        for name in ("here", "there")
    ]
    assert scores[0] == scores[1]
    assert any("about 60 trials, 3 at a time" in line for line in watch.lines), "room was counted"


@pytest.mark.slow
@PATIENT
def test_a_comparison_on_three_nodes_is_that_of_this_process(three, tmp_path):
    asked: Any = {"strategies": ["random", "local"], "seeds": 6, "budget": "20t"}
    here = ev.compare("table:digits201", workers=0, **asked)
    there = ev.compare("table:digits201", where=Ray(three.address), out=tmp_path / "c", **asked)
    for name, traces in here.traces.items():
        for mine, theirs in zip(traces, there.traces[name], strict=True):
            assert replace(mine, seconds=0.0) == replace(theirs, seconds=0.0)


@pytest.mark.slow
@PATIENT
def test_an_actor_is_killed_a_node_leaves_one_joins_and_nothing_is_lost(three, tmp_path, capfd):
    def kill(watch):
        os.kill(watch.actors()[0], signal.SIGKILL)

    def leave(watch):
        three.remove_node(three.list_all_nodes()[-1], allow_graceful=False)

    def join(watch):
        three.add_node(num_cpus=1, object_store_memory=SMALLEST)

    watch = Watching(n4=kill, n10=leave, n14=join)
    marks = tmp_path / "marks"
    marks.mkdir()
    run = ev.search(
        "digits",
        space=WIDTHS,
        strategy="random",
        estimator=PACED,
        budget="60t",
        where=Ray(three.address),
        out=tmp_path / "run",
        settings={
            "estimator": {"folder": str(marks), "unit": 0.3},
            "train": {"epochs": 1, "controls": False},
        },
        callbacks=[watch],
    )
    asked, told = rows(tmp_path / "run")
    assert asked == told == Counter(range(60))
    assert {event.status for event in log(tmp_path / "run") if isinstance(event, Result)} == {"ok"}
    assert sorted(watch.told) == list(range(60))
    assert run.best.score == 0.09
    assert any("its process or its node died" in line for line in watch.lines)
    done = Counter(int(each.name.split("-")[0]) for each in marks.glob("*.done"))
    assert done.keys() == set(range(60))
    assert len(watch.actors()) >= 4, "others took the place of those that were lost"
    assert capfd.readouterr().out == "", "standard output is for results"


@pytest.mark.slow
@PATIENT
def test_the_late_answer_of_an_actor_that_was_frozen_is_refused(three, toy, tmp_path):
    from evolvent.execute.ray.executor import OnRay

    said: list[str] = []
    connection.connect(three.address)
    size, hyper = Size(1, 4, 2), Hyperparameters(batch=16)
    job = Job("plain", (4,), size, hyper, 1.0, seed=2, space=Plain())
    spec = Spec(toy, WIDTHS, PACED, estimator_settings={"folder": str(tmp_path)})
    with OnRay(spec, most=1, lease=8.0, say=said.append) as executor:
        frozen = int(said[-1].split()[1].rpartition(":")[2])
        future = executor.submit(evaluate_many, asked(1, 20))
        until(lambda: begun(tmp_path, 1))
        os.kill(frozen, signal.SIGSTOP)
        (evaluation,) = future.result(PATIENCE)
        assert evaluation.result.candidate.id == 1
        assert len(begun(tmp_path, 1)) == 2, "it was issued again"
        with contextlib.suppress(ProcessLookupError):
            os.kill(frozen, signal.SIGCONT)
        assert executor.submit(evaluate_many, asked(2)).result(PATIENCE)
        starves = executor.submit(evaluate_many, asked(3, 1, "raise"))
        assert isinstance(starves.exception(PATIENCE), OutOfMemory)
        assert executor.submit(fit, job).result(PATIENCE).numbers["seed"] == 2
        assert executor.workers == 1
    assert any("is lost: no word for 8 s" in line for line in said)


@pytest.mark.slow
@PATIENT
def test_a_coordinator_that_is_killed_goes_on_by_the_same_command(three, tmp_path):
    words = ["search", "digits", "--budget", "12t", "--out", tmp_path / "run", *TINY]
    words += ["--ray", three.address]
    coordinator = start(*words)
    try:
        assert coordinator.stderr is not None
        while "#2 " not in (line := coordinator.stderr.readline()):
            assert line, "it ended too early"
        coordinator.send_signal(signal.SIGKILL)
        coordinator.communicate(timeout=PATIENCE)
    finally:
        coordinator.kill()
        coordinator.wait()
    before = log(tmp_path / "run")
    done = evolvent(*words, patience=900)
    assert done.returncode == 0, done.stderr
    assert log(tmp_path / "run")[: len(before)] == before
    asked, told = rows(tmp_path / "run")
    assert asked == told == Counter(range(len(asked)))
    assert ev.Run(tmp_path / "run").status()["trials"] == 12


@pytest.mark.slow
@PATIENT
def test_a_local_cluster_ends_with_the_search_however_that_ends(installed, tmp_path):
    words = ["search", "digits", "--budget", "50t", "--out", tmp_path / "run", *TINY]
    with surroundings(tmp_path):
        coordinator = start(*words, "--ray", "local", "--workers", 1)
        assert coordinator.stderr is not None
        while "#1 " not in (line := coordinator.stderr.readline()):
            assert line, "it ended too early"
        coordinator.send_signal(signal.SIGKILL)
        coordinator.communicate(timeout=PATIENCE)
        coordinator = start("resume", tmp_path / "run", "--ray", "local")
        assert coordinator.stderr is not None
        while "#2 " not in (line := coordinator.stderr.readline()):
            assert line, "it ended too early"
        coordinator.send_signal(signal.SIGINT)
        _, told = coordinator.communicate(timeout=PATIENCE)
        assert coordinator.returncode == 130
        assert "everything is saved" in told
