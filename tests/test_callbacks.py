"""Callbacks: told in order, and never able to end a search."""

from typing import Any

import pytest

from evolvent.callbacks import TensorBoard
from evolvent.engine.events import Events, Say
from evolvent.errors import SettingError
from evolvent.session import resume, search
from evolvent.types import Candidate, Result

OPTIONS: dict[str, Any] = {"strategy": "random", "budget": "6t", "workers": 0}


class Keeping:
    def __init__(self):
        self.told = []

    def on_start(self, run):
        self.told.append(("start", run.status()["state"]))

    def on_asked(self, candidate):
        self.told.append(("asked", candidate.id))

    def on_result(self, result):
        self.told.append(("result", result.candidate.id))

    def on_end(self, run):
        self.told.append(("end", run.status()["state"]))


class Broken:
    def on_asked(self, candidate):
        raise RuntimeError(f"no disk for {candidate.id}")

    def on_end(self, run):
        raise KeyError("end")


def test_a_search_tells_its_callbacks_in_order(tmp_path):
    keeping = Keeping()
    search("table:digits201", out=tmp_path / "run", callbacks=[keeping], **OPTIONS)
    told = [(what, id) for id in range(6) for what in ("asked", "result")]
    assert keeping.told == [("start", "new"), *told, ("end", "done")]


def test_an_exception_in_one_is_said_once_and_ends_nothing(tmp_path):
    lines: list[str] = []
    keeping = Keeping()
    run = search(
        "table:digits201",
        out=tmp_path / "run",
        callbacks=[Broken(), keeping, Say(lines.append)],
        **OPTIONS,
    )
    assert run.status()["trials"] == 6 and len(keeping.told) == 14
    said = [line for line in lines if line.startswith("callback")]
    assert said == [
        "callback Broken.on_asked failed, the search goes on: RuntimeError('no disk for 0')"
    ]
    plain = search("table:digits201", out=tmp_path / "plain", **OPTIONS)
    assert [row["score"] for row in plain.candidates()] == [
        row["score"] for row in run.candidates()
    ]


def test_what_interrupts_a_search_is_not_swallowed():
    class Interrupting:
        def on_result(self, result):
            raise KeyboardInterrupt

    events = Events([Interrupting()])
    with pytest.raises(KeyboardInterrupt):
        events.told(Result(Candidate(0), 0.5))


def test_a_continued_search_tells_only_what_is_new(tmp_path):
    class Stop:
        def on_result(self, result):
            if result.candidate.id == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search("table:digits201", out=tmp_path / "run", callbacks=[Stop()], **OPTIONS)
    keeping = Keeping()
    resume(tmp_path / "run", workers=0, callbacks=[keeping])
    assert [id for what, id in keeping.told if what == "result"] == [3, 4, 5]
    assert keeping.told[0] == ("start", "searching")


def test_an_object_without_any_of_the_methods_is_refused(tmp_path):
    with pytest.raises(SettingError, match="on_result"):
        search("table:digits201", out=tmp_path / "run", callbacks=[object()], **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_every_number(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = search("table:digits201", out=tmp_path / "run", callbacks=[TensorBoard()], **OPTIONS)
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    scores = {e.step: e.value for e in events.Scalars("candidate/score")}
    assert scores == pytest.approx({row["id"]: row["score"] for row in run.candidates()})
    best = [e.value for e in events.Scalars("best/score")]
    assert best == sorted(best) and best[-1] == pytest.approx(max(scores.values()))


def test_tensorboard_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingError, match=r"pip install evolvent\[tensorboard\]"):
        TensorBoard()
