"""What a page is told of a run: rows, steps, details; and that reading never disturbs a search."""

import base64
import gzip
import json
import subprocess
import sys
from typing import Any

import pytest
from tests.report.helpers import HOSTILE, deliver, fill, make_run, results

from evolvent.config.request import Request
from evolvent.engine.store import Store
from evolvent.errors import RunError
from evolvent.report import reading as module
from evolvent.report.reading import FIELDS, command, read, reading
from evolvent.space.cell import Cell
from evolvent.types import Budget, Candidate, Result, stream


@pytest.fixture
def run(tmp_path):
    folder = make_run(tmp_path / "run")
    fill(folder, results(40))
    return folder


def rows_of(data):
    return {row[0]: dict(zip(FIELDS, row, strict=True)) for row in data["rows"]}


def unpacked(data):
    """The details of a whole page, as its script reads them."""
    found = []
    for chunk in data["chunks"]:
        whole = json.loads(gzip.decompress(base64.b64decode(chunk)))
        for row in whole["rows"]:
            if row and row["drawing"]:
                for part in ("nodes", "edges"):
                    row["drawing"][part] = [whole[part][place] for place in row["drawing"][part]]
            found.append(row)
    return found


def test_there_is_a_row_per_candidate_with_what_came_of_it(run):
    told = dict(results(40))
    rows = rows_of(read(run))
    assert list(rows) == list(range(40))
    for candidate, result in told.items():
        row = rows[candidate.id]
        assert row["status"] == result.status and row["score"] == result.score
        assert row["parents"] == list(candidate.parents) and row["operator"] == candidate.operator
        assert row["params"] == result.params and row["epochs"] == 2
        assert row["inherits"] == list(candidate.weights_from)
        assert set(row["metrics"]) == ({"loss", "train_seconds"} if result.ok else set())
    assert rows[22]["status"] == "failed" and rows[22]["reason"] == "out of memory: 8 GB"


def test_what_is_asked_and_not_told_is_running(run):
    fill(run, [(Candidate(40, "x", budget=Budget(1.0)), None)])
    row = rows_of(read(run))[40]
    assert row["status"] == "running" and row["score"] is None


def test_news_go_on_behind_the_last_row_and_lose_nothing(run):
    with reading(run) as reader:
        whole = rows_of(reader.news())
        seq = 0
        found: dict[int, Any] = {}
        while (news := reader.news(seq, 7))["seq"] > seq:
            seq = news["seq"]
            found |= rows_of(news)
        assert found == whole and seq == 80
        assert reader.news(seq)["rows"] == []
    with reading(run) as later:  # another reader, which has not seen what was asked
        assert rows_of(later.news(79)) == {39: whole[39]}


def test_a_reader_sees_what_a_writer_adds_and_does_not_stop_it(run):
    store = Store(run / "run.db", write=True)
    with reading(run) as reader:
        seq = reader.news()["seq"]
        candidate = Candidate(40, "x")
        store.asked(candidate)
        store.told(Result(candidate, 0.5))
        assert rows_of(reader.news(seq))[40]["score"] == 0.5
    store.close()


def test_reading_writes_nothing_into_the_log(run):
    before = (run / "run.db").read_bytes()
    read(run)
    assert (run / "run.db").read_bytes() == before
    names = {file.name for file in run.iterdir()}
    assert names <= {"config.yaml", "run.db", "run.lock", "run.db-wal", "run.db-shm"}


def test_reading_needs_no_torch(run):
    code = f"""
import sys
from evolvent.report.files import write
write({str(run)!r})
print([name for name in ("torch", "sklearn", "scipy", "pandas") if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_details_have_the_curve_the_drawing_and_the_whole_reason(run):
    details = unpacked(read(run))
    told = dict(results(40))
    with reading(run) as reader:
        for candidate, result in told.items():
            one = details[candidate.id]
            assert one == json.loads(json.dumps(reader.details(candidate.id)))
            assert one["arch"] == json.loads(json.dumps(candidate.arch))
            assert len(one["drawing"]["nodes"]) == 2 * (5 * 3 + 3)
            if result.ok:
                assert one["curves"]["curve"][0] == [
                    0,
                    pytest.approx(result.metrics["curve"][0][1], rel=1e-3),
                ]
        assert reader.details(99) is None


def test_long_curves_are_thinned_and_keep_their_ends(run, monkeypatch):
    monkeypatch.setattr(module, "ALL_POINTS", 400)
    whole = read(run)
    curve = unpacked(whole)[0]["curves"]["curve"]
    assert len(curve) == 12 and curve[0][0] == 0 and curve[-1][0] == 2.9


def sharing(folder, count=6):
    """A run on shared weights: steps, and after every two of them the derived architecture."""
    space = {"name": "cell", "operations": "darts", "nodes": 2, "distinct": True}
    made = Cell(operations="darts", nodes=2, distinct=True)
    pairs = []
    for id in range(0, count, 3):
        rng = stream(0, "sharing", id)
        for step in (id, id + 1):
            c = Candidate(step, kind="step", budget=Budget(train_batches=1))
            pairs.append((c, Result(c, 0.1 * step, metrics={"loss": 2.0 - step}, seconds=0.25)))
        rows = {group.name: [[1 / 8] * 8] * len(group.rows) for group in made.groups()}
        note = {"epoch": 1 + id // 3, "begun": 1.0, "entropy": 0.05, "skips": 0.25, "mixture": rows}
        c = Candidate(id + 2, made.sample(rng), operator="derive", note=note)
        pairs.append((c, Result(c, 0.5)))
    strategy = {"name": "darts", "horizon": 50}
    fill(make_run(folder, space=space, strategy=strategy), pairs)
    return folder


def test_steps_stand_apart_from_candidates_beside_what_is_noted_of_trials(tmp_path):
    data = read(sharing(tmp_path / "run"))
    assert list(rows_of(data)) == [2, 5]
    steps = {step["index"]: step for step in data["steps"]}
    assert steps[3] == {"index": 3, "seconds": 0.25, "metrics": {"score": 0.3, "loss": -1}}
    assert steps[5]["metrics"] == {"entropy": 0.05, "skips": 0.25}
    assert [one["id"] for one in unpacked(data) if one] == [2, 5]


def test_alarms_and_the_mixture_come_from_the_notes_of_trials(run, tmp_path):
    assert not read(run)["state"]["shared"]
    assert read(run)["state"]["alarms"] == read(run)["state"]["mixture"] == []
    with reading(sharing(tmp_path / "shared")) as reader:
        state = reader.state()
        (alarm,) = state["alarms"]
        assert state["shared"]
        assert alarm["candidate"] == 2 and alarm["name"] == "entropy" and alarm["advice"]
        normal, reduction = state["mixture"]
        assert (normal["group"], reduction["group"]) == ("normal", "reduction")
        assert normal["rows"][0] == "0>2" and normal["columns"][0] == "none"
        assert len(normal["values"]) == len(normal["rows"]) == 5
        assert reader.state() == state


def test_what_was_undone_is_not_shown(tmp_path):
    folder = sharing(tmp_path / "run")
    store = Store(folder / "run.db", write=True)
    store.undo(after=2)
    store.close()
    data = read(folder)
    assert list(rows_of(data)) == [2] and [step["index"] for step in data["steps"]] == [0, 1, 2]


def test_many_steps_are_thinned_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STEPS", 10)
    data = read(sharing(tmp_path / "run", count=90))
    assert 5 <= len(data["steps"]) <= 10 and data["steps"][0]["index"] == 0


def test_a_delivered_run_is_done(run):
    assert read(run)["state"]["state"] == "searching"
    deliver(run, 7)
    state = read(run)["state"]
    assert state["state"] == "done" and state["card"]["candidate"] == 7
    assert state["phases"] == {"setup": 2.0, "search": 100.0}


@pytest.mark.parametrize("space", [{"name": "no.such:Space"}, {"name": "os:system"}, {"name": "x"}])
def test_what_cannot_be_drawn_says_why_and_nothing_foreign_is_called(tmp_path, space, monkeypatch):
    called = []
    monkeypatch.setattr("os.system", lambda **settings: called.append(settings))
    folder = make_run(tmp_path / "run", space=space | {"command": "echo"})
    fill(folder, [(c := Candidate(0, "x"), Result(c, 0.5))])
    (one,) = unpacked(read(folder))
    assert one["drawing"] is None and space["name"] in one["undrawn"]
    assert called == []
    with reading(folder) as reader, pytest.raises(RunError, match="cannot be drawn"):
        reader.drawing(0)


def test_a_list_is_drawn_by_what_was_tried(tmp_path):
    folder = make_run(tmp_path / "run", space={"name": "listed"})
    archs = ["a|b", "a|c", HOSTILE.replace("|", "")[:50] + "|c"]
    fill(folder, [(c := Candidate(i, arch), Result(c, 0.5)) for i, arch in enumerate(archs)])
    labels = [[node[1] for node in one["drawing"]["nodes"]] for one in unpacked(read(folder))]
    assert labels[0] == ["field 1: a", "field 2: b"]
    assert labels[2][0].startswith("field 1: </script>")


def test_a_run_that_does_not_say_the_shape_of_its_inputs_says_why_it_is_not_drawn(tmp_path):
    folder = make_run(tmp_path / "run", space={"name": "chain"}, data={"kind": "image"})
    fill(folder, [(c := Candidate(0, (("l0", "dense"),)), Result(c, 0.5))])
    (one,) = unpacked(read(folder))
    assert one["drawing"] is None and "of an earlier version" in one["undrawn"]


def test_the_command_line_makes_the_same_request_again(run):
    with reading(run) as reader:
        words = reader.head()["command"]
    assert words == (
        "evolvent search digits --recipe amoebanet --budget 200t --seed 3 --set space.nodes=5"
    )
    said = {"space": {"operations": ["a", "b"]}}
    request = Request("my data.csv", device="cuda", set=said)
    assert command(request) == (
        "evolvent search 'my data.csv' --device cuda --set 'space.operations=[\"a\", \"b\"]'"
    )


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run"):
        read(tmp_path)
