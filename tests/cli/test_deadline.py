"""A search that has nothing to deliver ends with its budget."""

import subprocess
import sys
import time

import pytest
from tests.helpers_cli import environment

from evolvent.cli.deadline import Deadline
from evolvent.types import Candidate, Result

PROGRAM = """
import sys, time
from evolvent.cli.deadline import Deadline
from evolvent.types import Candidate, Result
with Deadline(sys.argv[1], time.monotonic() - float(sys.argv[2])) as deadline:
    if len(sys.argv) > 3:
        deadline.on_result(Result(Candidate(0), float(sys.argv[3])))
    time.sleep(1.5)
print("done")
"""


def run(*words):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )


def test_without_a_score_the_program_ends_in_one_line():
    done = run("10s", "14")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("evolvent: the budget of 10 s is over and no time was left")


def test_it_does_not_leave_a_child_that_keeps_the_output_open():
    sleeping = "[sys.executable, '-c', 'import time; time.sleep(60)']"
    child = f"import subprocess, sys\nsubprocess.Popen({sleeping})\n"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", child + PROGRAM, "10s", "14"],
        capture_output=True,
        check=False,
        env=environment(),
        timeout=50,
    )
    assert done.returncode == 2
    assert time.monotonic() - began < 50


@pytest.mark.parametrize("words", [("10s", "12.5", "0.5"), ("10s", "0"), ("10t", "999")])
def test_with_one_or_in_time_or_without_a_clock_it_goes_on(words):
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_failed_candidate_is_nothing_to_deliver():
    with Deadline("9s", time.monotonic()) as deadline:
        deadline.on_result(Result(Candidate(0), status="failed"))
        assert deadline._timer is not None
        assert deadline._timer.is_alive()
        deadline.on_result(Result(Candidate(0), 0.5))
        deadline._timer.join(5)
        assert not deadline._timer.is_alive()
