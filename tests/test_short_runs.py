"""Some of the hundred short searches of the benchmark: safe, and in time."""

from pathlib import Path

import pytest
from benchmarks.short_runs import Case, drawn, line, played

CASES = [
    Case("digits", "plain-cells", 20, 1, 0),
    Case("few", "random", 20, 0, 1),
    Case("table", "dense", 20, 2, 2),
    Case("digits", "exact", 30, 1, 3),
    Case("digits", "darts", 30, 0, 4),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.data}-{case.recipe}")
def test_a_short_run_is_safe_and_in_time(case: Case, tmp_path: Path) -> None:
    told = played(case, tmp_path / "run")
    assert told["in_time"], line(0, case, told)
    assert told["outcome"] in ("network", "nothing"), told
    assert told.get("safe", True), told


def test_cases_are_drawn_the_same_every_time() -> None:
    cases = [drawn(0, index) for index in range(100)]
    assert cases == [drawn(0, index) for index in range(100)]
    assert {case.busy for case in cases} == set(range(5))
    assert all(10 <= case.seconds <= 60 for case in cases)
    assert len({case.data for case in cases}) == 3
