"""Ten processes killed at random moments, and faults of every kind: short runs of the benchmarks."""

import subprocess
import sys

import pytest
from benchmarks.faults import REASONS, compared, fault_of
from tests.helpers import ROOT
from tests.helpers_cli import PATIENCE, environment

WAYS = ("local", "pull")  # in which workers are killed too
pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(sys.platform != "linux", reason="the script needs Linux's subreapers"),
]


@pytest.mark.parametrize("way", ["alone", *(pytest.param(w, marks=pytest.mark.slow) for w in WAYS)])
def test_of_ten_kills_nothing_is_lost_and_the_search_ends_as_if_there_were_none(way, tmp_path):
    words = ("--kills", "10", "--ways", way, "--trials", "16", "--seed", "3")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", *words, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * PATIENCE,
        cwd=ROOT,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("10 kills"), done.stdout
    assert way != "alone" or "'coordinator': 10" in last
    assert "none lost, none twice, budgets exact, logs whole, no orphan" in last
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_faults_cost_their_own_candidates_and_no_other(tmp_path):
    counts = compared(tmp_path, task="digits", trials=44, seed=0, workers=2, timeout=5.0)
    assert {*counts} == {"none", *{fault for id in range(44) if (fault := fault_of(id))}}
    assert len({*counts} & {*REASONS}) == 4
