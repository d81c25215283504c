"""Searches whose workers are elsewhere, as a user has them."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.helpers_cli import PATIENCE, TINY, evolvent, start
from tests.helpers_elsewhere import log
from tests.helpers_remote import TOKEN, started

import evolvent as ev
from evolvent.cli.cluster import place
from evolvent.errors import SettingError
from evolvent.execute.remote.place import Serve
from evolvent.types import Candidate, Result

FILE = Path("some.pem")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ((None, None, FILE, None), "--tls-cert and --tls-key belong together"),
        (("9000", None, None, FILE), "--tls-cert and --tls-key belong together"),
        ((None, None, FILE, FILE), "--tls-cert is for workers on other machines"),
        (("a:b", None, None, None), "give HOST:PORT"),
        (("9000", "short", None, None), "--token has 5 characters: at least 8"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(given, line):
    with pytest.raises(SettingError, match=line):
        place(*given)


def test_without_serve_a_search_runs_here_and_with_it_elsewhere():
    assert place(None, TOKEN, None, None) is None
    assert place("9000", None, FILE, FILE) == Serve("9000", None, (FILE, FILE))


def test_no_process_and_workers_elsewhere_exclude_each_other(tmp_path):
    with pytest.raises(SettingError, match="workers=0 is this process"):
        ev.search("digits", workers=0, where=Serve("9000"), out=tmp_path / "run")


def said_by(process):
    """The next line of its progress, empty at its end."""
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.mark.slow
def test_a_served_search_that_is_killed_goes_on_with_the_workers_that_wait_for_it(tmp_path):
    serve = ["--serve", "127.0.0.1:8791", "--token", TOKEN]
    words = ["search", "digits", "--budget", "12t", "--out", tmp_path / "run", *TINY, *serve]
    coordinator = start(*words, "--workers", 2)
    workers = [
        started("http://127.0.0.1:8791", "--cache", str(tmp_path / "cache")) for _ in range(2)
    ]
    try:
        while "#2 " not in (line := said_by(coordinator)):
            assert line, "it ended too early"
        coordinator.send_signal(signal.SIGKILL)
        coordinator.communicate(timeout=PATIENCE)
        before = log(tmp_path / "run")
        done = evolvent("resume", tmp_path / "run", *serve, patience=900)
        assert done.returncode == 0, done.stderr
        after = log(tmp_path / "run")
        assert after[: len(before)] == before
        told = Counter(event.candidate.id for event in after if isinstance(event, Result))
        asked = Counter(event.id for event in after if isinstance(event, Candidate))
        assert told == asked == Counter(range(len(asked)))
        assert ev.Run(tmp_path / "run").status()["trials"] == 12
        for each in workers:
            said, _ = each.communicate(timeout=PATIENCE)
            assert each.returncode == 0, said
            assert "joined again" in said
            assert said.endswith("ended: the search has ended\n")
    finally:
        for each in (*workers, coordinator):
            each.kill()
            each.wait()


@pytest.mark.slow
def test_control_c_ends_a_served_search_and_its_workers_with_a_word(tmp_path):
    serve = ["--serve", "127.0.0.1:8792", "--token", TOKEN]
    words = ["search", "digits", "--budget", "500t", "--out", tmp_path / "run", *TINY, *serve]
    coordinator = start(*words)
    worker = started("http://127.0.0.1:8792", "--cache", str(tmp_path / "cache"))
    try:
        while "#1 " not in (line := said_by(coordinator)):
            assert line, "it ended too early"
        coordinator.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, told = coordinator.communicate(timeout=PATIENCE)
        assert coordinator.returncode == 130
        assert "everything is saved" in told
        said, _ = worker.communicate(timeout=PATIENCE)
        assert worker.returncode == 0, said
        assert said.endswith("ended: the search has ended\n")
        assert time.monotonic() - began < 60
    finally:
        for each in (worker, coordinator):
            each.kill()
            each.wait()
