"""A search that is interrupted twice, by somebody in a hurry."""

import signal
import time

import psutil
import pytest
from tests.helpers_cli import PATIENCE, TINY, evolvent, start


@pytest.mark.slow
def test_interrupted_twice_it_ends_without_a_traceback_and_goes_on_later(tmp_path):
    words = ["search", "digits", "--budget", "8t", "--out", tmp_path / "run", *TINY, "--workers", 2]
    process = start(*words)
    assert process.stderr is not None
    while "#1 " not in (line := process.stderr.readline()):
        assert line, "it ended too early"
    workers = psutil.Process(process.pid).children(recursive=True)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "everything is saved" in told
    assert "Traceback" not in told
    _, left = psutil.wait_procs(workers, timeout=30)
    assert not left
    done = evolvent("resume", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "8 trials" in done.stdout
