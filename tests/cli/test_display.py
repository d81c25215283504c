"""Progress: on stderr, one line per event, or a live line on a terminal."""

from types import SimpleNamespace

import pytest

from evolvent.cli.display import Display
from evolvent.config.settings import RunBudget
from evolvent.types import Budget, Candidate, Result, failed


def told(id, score, **more):
    return Result(Candidate(id, **more), score, seconds=1.25, params=12345)


def test_elsewhere_than_on_a_terminal_every_event_is_a_line(capsys):
    with Display(live=False) as display:
        display.on_message("digits: 1,797 images")
        display.on_result(told(0, 0.5))
        display.on_result(told(1, 0.25, parents=(0,), operator="op"))
        display.on_result(failed(Candidate(2), "out of memory"))
        display.on_result(Result(Candidate(3), status="refused", reason="too large"))
        display.on_result(told(4, 0.75))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 6
    assert lines[0] == "digits: 1,797 images"
    assert "#0" in lines[1]
    assert "0.5000" in lines[1]
    assert "12,345 parameters" in lines[1]
    assert "op of 0" in lines[2]
    assert "failed: out of memory" in lines[3]
    assert "refused: too large" in lines[4]
    assert [line.endswith("best so far") for line in lines[1:]] == [True, False, False, False, True]


def test_a_better_score_of_a_shorter_training_is_not_the_best(capsys):
    """As the leaderboard has it: the rung of training comes before the score."""
    with Display(live=False) as display:
        for id, score, epochs in ((0, 0.95, 1.0), (1, 0.93, 9.0), (2, 0.94, 1.0)):
            display.on_result(told(id, score, budget=Budget(epochs=epochs)))
    lines = capsys.readouterr().err.splitlines()
    assert [line.endswith("best so far") for line in lines] == [True, True, False]
    assert display.best is not None
    assert display.best.candidate.id == 1


def test_only_trials_are_counted():
    display = Display(live=False)
    for result in (told(0, 0.5), failed(Candidate(1), "x"), Result(Candidate(2), status="cut")):
        display.on_result(result)
    assert (display.trials, display.failed) == (2, 1)


@pytest.mark.parametrize("line", ["plain", "[/a/path]: with brackets", "[bold]not a style[/]: x"])
def test_a_live_line_takes_any_text(capsys, line):
    with Display(live=True) as display:
        display.on_message(line)
        display.on_result(told(0, 0.5))
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert "0.5000" in err


def test_the_terminal_is_given_back_after_an_error(capsys):
    display = Display(live=True)
    with pytest.raises(KeyboardInterrupt), display:
        raise KeyboardInterrupt
    assert not display._status._live.is_started


def test_a_budget_in_trials_keeps_an_estimate_on_the_screen(capsys, monkeypatch):
    """Six trials of a minute, and a delivery of five trainings of four minutes: 26 minutes in all."""
    now = [1000.0]
    monkeypatch.setattr("evolvent.cli.display.time.monotonic", lambda: now[0])
    setup = SimpleNamespace(
        budget=RunBudget(None, 6),
        parts=SimpleNamespace(stateful=False),
        schedule=SimpleNamespace(epochs=5.0),
        deliver="retrain",
    )
    shown = Display(live=False)
    shown.on_start(SimpleNamespace(setup=setup))
    for id in range(2):
        now[0] += 60.0
        shown.on_result(Result(Candidate(id), 0.5))
    said = [line for line in capsys.readouterr().err.splitlines() if "to go" in line]
    assert said == ["about 25 min to go, final training included"]  # once, while it holds
    now[0] += 600.0
    shown.on_result(Result(Candidate(2), 0.5))
    assert "about 1.5 h to go" in capsys.readouterr().err


def test_a_budget_of_time_needs_no_estimate(capsys):
    shown = Display(live=False)
    shown.on_start(SimpleNamespace(setup=SimpleNamespace(budget=RunBudget(60.0, 6))))
    shown.on_result(Result(Candidate(0), 0.5))
    assert "to go" not in capsys.readouterr().err
