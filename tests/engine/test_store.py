"""The event log: what was acknowledged is there, and nothing else is taken for it."""

import json
import multiprocessing
import os
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from evolvent.engine.store import SCHEMA, Memory, Store
from evolvent.engine.weights import Weights
from evolvent.errors import EvolventError, RunError
from evolvent.files import write_atomically
from evolvent.types import Budget, Candidate, Result, State, failed

FIRST = Candidate(0, arch=(("conv", 3, 0.1), ("pool",)), budget=Budget(epochs=1 / 3))
SECOND = Candidate(
    1,
    arch="01234",
    parents=(0,),
    operator="op",
    weights_from=(0,),
    budget=Budget(epochs=2.0),
    note={"generation": 3, "genes": ((1, 2), (3, 4))},
)
TOLD = Result(FIRST, 0.1 + 0.2, metrics={"loss": 1e-17}, seconds=0.1, params=7, seed=5, threads=2)
FIRST_TRIAL = replace(FIRST, id=1)
EVENTS = [FIRST, SECOND, failed(SECOND, "it was 'tried'"), TOLD]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


@pytest.fixture
def filled(path):
    """The path of a log with four events, closed."""
    record(path)
    return path


def record(path, events=EVENTS):
    store = Store(path, write=True)
    put(store, events)
    store.close()


def put(log, events):
    for event in events:
        log.asked(event) if isinstance(event, Candidate) else log.told(event)


def opened(path, write=False):
    store = Store(path, write=write)
    try:
        return list(store.events())
    finally:
        store.close()


# ---- the log -------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [False, True])
def test_what_was_recorded_comes_back_equal_and_in_its_order(filled, write):
    assert opened(filled, write) == EVENTS


def test_the_log_in_memory_gives_the_same():
    log = Memory()
    put(log, EVENTS)
    log.spend("search", 2.5)
    assert list(log.events()) == EVENTS
    assert (log.spent("search"), log.spent("deliver")) == (2.5, 0.0)


def test_results_come_in_the_order_of_telling(filled):
    store = Store(filled)
    assert [result.candidate.id for result in store.results()] == [1, 0]
    store.close()


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_a_log_is_read_a_few_rows_at_a_time_and_counted_without(path, page, monkeypatch):
    monkeypatch.setattr("evolvent.engine.store.PAGE", page)
    late = replace(FIRST, id=9)
    record(path, [*EVENTS, *step(5), late, *step(6), failed(late, "late")])
    with closing(Store(path)) as store:
        events = [*store.events()]
        kinds = [type(event) for event in events]
        assert events[:4] == EVENTS
        assert kinds[4:] == [Candidate, Result, Candidate, Candidate, Result, Result]
        assert [result.candidate.id for result in store.results()] == [1, 0, 9]
        assert [result.candidate.id for result in store.steps()] == [5, 6]
        assert store.count() == len(events)


def test_a_reader_holds_no_row_back_from_the_writer(path, monkeypatch):
    monkeypatch.setattr("evolvent.engine.store.PAGE", 2)
    with closing(Store(path, write=True)) as store, closing(Store(path)) as reader:
        put(store, EVENTS)
        events = reader.events()
        first = [next(events) for _ in range(2)]
        late = replace(FIRST, id=9)
        put(store, [late])
        assert [*first, *events] == [*EVENTS, late]


@pytest.mark.parametrize("event", [FIRST, replace(SECOND, id=0), TOLD, failed(FIRST, "again")])
def test_nothing_is_asked_or_told_twice(filled, event):
    store = Store(filled, write=True)
    with pytest.raises(EvolventError, match=r"candidate 0 was \w+ before"):
        put(store, [event])
    assert list(store.events()) == EVENTS
    store.close()


def test_notes_are_replaced_and_survive(filled):
    for value in ({"epochs": 1.5}, [1, "two", None]):
        store = Store(filled, write=True)
        store.note("plan", value)
        store.close()
    store = Store(filled)
    assert store.meta("plan") == [1, "two", None]
    assert store.meta("nothing") is None
    store.close()


def test_seconds_are_kept_per_phase(filled):
    store = Store(filled, write=True)
    store.spend("setup", 1.0)
    store.spend("search", 2.0)
    store.spend("search", 3.0)
    store.close()
    store = Store(filled)
    assert store.phases() == {"setup": 1.0, "search": 3.0}
    assert store.spent("deliver") == 0.0
    store.close()


# ---- steps ---------------------------------------------------------------------------------------


def step(id, *, weights=None):
    """A step, and its result."""
    rows = np.full((2, 3), 1 / 3)
    asked = Candidate(id, kind="step", mixture={"cell": rows}, budget=Budget(train_batches=1))
    slope = {"cell": np.arange(6, dtype=np.float32).reshape(2, 3) / 7}
    return asked, Result(asked, 0.5, metrics={"loss": 1.25}, gradient=slope, weights=weights)


def test_steps_come_back_in_their_place_with_their_gradient(path):
    record(path, [*step(0), FIRST_TRIAL, Result(FIRST_TRIAL, 0.5), *step(2)])
    store = Store(path)
    events = list(store.events())
    assert [event.id for event in events if isinstance(event, Candidate)] == [0, 1, 2]
    assert [type(event) for event in events] == 3 * [Candidate, Result]
    told = store.steps()
    assert [result.candidate.id for result in told] == [0, 2]
    first, second, wanted = ((r.gradient or {})["cell"] for r in (*told, step(0)[1]))
    assert np.array_equal(first, wanted)
    assert np.array_equal(second, wanted)
    assert [result.candidate.id for result in store.results()] == [1]  # never in a leaderboard
    assert events[0].to_json()["mixture"] != {}
    store.close()


def test_steps_are_written_together_and_before_any_trial(path):
    store, reader = Store(path, write=True), Store(path)
    for id in range(5):
        put(store, step(id))
    assert len(reader.steps()) <= 1  # those of the last moment wait
    put(store, [replace(FIRST, id=5)])
    assert len(reader.steps()) == 5
    reader.close()
    store.close()


def test_a_step_with_a_checkpoint_is_on_disk_when_it_is_told(path):
    store, reader = Store(path, write=True), Store(path)
    put(store, [*step(0), *step(1), *step(2, weights="2.safetensors")])
    assert [result.weights for result in reader.steps()] == [None, None, "2.safetensors"]
    reader.close()
    store.close()


def test_a_step_that_was_never_told_leaves_no_trace(path):
    record(path, [*step(0), step(1)[0]])
    assert [event.to_json() for event in opened(path)] == [event.to_json() for event in step(0)]


def test_what_is_undone_is_as_if_it_had_not_been_and_can_be_asked_again(path):
    trial = replace(FIRST, id=3)
    record(path, [*step(0), *step(1), *step(2), trial, Result(trial, 0.5), replace(FIRST, id=4)])
    store = Store(path, write=True)
    assert store.undo(after=1) == 2  # a step and a trial had been told
    assert [e.id for e in store.events() if isinstance(e, Candidate)] == [0, 1]
    put(store, [*step(2), trial, Result(trial, 0.25)])
    store.close()
    store = Store(path)
    assert [result.score for result in store.results()] == [0.25]
    assert [result.candidate.id for result in store.steps()] == [0, 1, 2]
    with pytest.raises(sqlite3.OperationalError):
        store.undo(after=0)
    store.close()


# ---- who may open it -----------------------------------------------------------------------------


def test_rows_as_they_are_stored_are_numbered_through_trials_and_steps(path):
    with closing(Store(path, write=True)) as store:
        put(store, [*EVENTS, *step(90)])
    with closing(Store(path)) as store:
        rows = store.log()
        assert [row.seq for row in rows] == list(range(1, len(EVENTS) + 2))
        assert rows[-1].kind == "step" and rows[-1].candidate == 90
        assert store.log(after=2, most=3) == rows[2:5]
        assert store.log(after=rows[-1].seq) == []
        first = rows[0]
        assert store.row("asked", first.candidate) == first.data
        assert store.row("told", 12345) is None
        asked = [row for row in rows if row.kind == "asked"]
        assert store.asked_trials() == asked and store.asked_trials(after=asked[0].seq) == asked[1:]


def test_trials_are_not_read_again_where_no_weights_are_shared(filled):
    with closing(Store(filled)) as store:
        assert store.log() and store.asked_trials() == []


def test_a_torn_row_is_refused_as_it_is_stored(filled):
    _with_a_torn_row(filled)
    with closing(Store(filled)) as store, pytest.raises(RunError, match="damaged"):
        store.log()


def test_a_second_writer_is_refused_and_the_first_goes_on(filled):
    first = Store(filled, write=True)
    with pytest.raises(RunError, match="in use by another process"):
        Store(filled, write=True)
    first.asked(Candidate(2))
    first.close()
    assert opened(filled, write=True) == [*EVENTS, Candidate(2)]


def _die_writing(path):
    store = Store(path, write=True)
    store.asked(Candidate(2))
    os._exit(9)


def test_a_writer_that_died_leaves_what_it_recorded_and_its_place(filled):
    process = multiprocessing.get_context("fork").Process(target=_die_writing, args=(filled,))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert opened(filled) == [*EVENTS, Candidate(2)]
    assert opened(filled, write=True) == [*EVENTS, Candidate(2)]


def test_a_reader_sees_every_event_as_soon_as_it_is_recorded(path):
    writer = Store(path, write=True)
    reader = Store(path)
    for count, event in enumerate(EVENTS, start=1):
        put(writer, [event])
        assert list(reader.events()) == EVENTS[:count] == opened(path)
    reader.close()
    writer.close()


def test_a_reader_cannot_write(filled):
    reader = Store(filled)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.asked(Candidate(2))
    reader.close()


def test_every_commit_reaches_the_disk(filled):
    store = Store(filled, write=True)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    store.close()


# ---- damage --------------------------------------------------------------------------------------


def _truncated(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _overwritten(path):
    data = bytearray(path.read_bytes())
    data[100:] = bytes(len(data) - 100)
    path.write_bytes(data)


def _foreign(path):
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE songs (title TEXT)")
    db.close()


def _without_a_row(path):
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM events WHERE kind = 'asked' AND candidate = 0")
    db.close()


def _with_a_torn_row(path):
    with sqlite3.connect(path) as db:
        db.execute("""UPDATE events SET data = '{"id": 0' WHERE kind = 'asked' AND candidate = 0""")
    db.close()


DAMAGE = {
    "truncated": _truncated,
    "overwritten": _overwritten,
    "foreign": _foreign,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a database\n" * 50),
    "row missing": _without_a_row,
    "row torn": _with_a_torn_row,
}


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_refused_in_one_line(filled, damage, write):
    damage(filled)
    with pytest.raises(RunError, match=r"run\.db is damaged .*restore it from a copy") as caught:
        opened(filled, write)
    assert "\n" not in str(caught.value)


def test_a_refused_file_is_not_held(filled):
    filled.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(RunError, match="damaged"):
            Store(filled, write=True)


def test_a_missing_file_is_refused_to_a_reader(path):
    with pytest.raises(RunError, match="does not exist"):
        Store(path)
    assert not path.exists()


def test_another_schema_is_refused(filled):
    with sqlite3.connect(filled) as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (json.dumps(SCHEMA + 1),))
    db.close()
    with pytest.raises(RunError, match=f"has schema {SCHEMA + 1}, this evolvent reads {SCHEMA}"):
        Store(filled)


def test_a_log_is_created_whole_or_not_at_all(path, monkeypatch):
    def crash(file, to):
        raise OSError("power cut")

    monkeypatch.setattr("evolvent.engine.store.move", crash)
    with pytest.raises(OSError, match="power cut"):
        Store(path, write=True)
    assert not path.exists()
    monkeypatch.undo()
    assert opened(path, write=True) == []


# ---- files ---------------------------------------------------------------------------------------


def test_a_file_holds_the_old_content_until_the_new_is_complete(tmp_path, monkeypatch):
    file = tmp_path / "card.json"
    write_atomically(file, "old")

    def crash(handle):
        assert file.read_text() == "old"
        raise OSError("power cut")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="power cut"):
        write_atomically(file, "new and longer")
    assert file.read_text() == "old"
    monkeypatch.undo()
    write_atomically(file, b"new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_weights_come_back_bit_for_bit(tmp_path):
    weights = Weights(tmp_path / "weights")
    assert not Weights(tmp_path / "weights").kept
    rng = np.random.default_rng(0)
    state: State = {
        "conv.weight": rng.standard_normal((2, 3)).astype(np.float32),
        "norm.count": np.array(7, np.int64),
    }
    assert weights.write("12", state) == "12.safetensors"
    assert weights.kept
    assert Weights(tmp_path / "weights").kept
    found = weights.read("12")
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    weights = Weights(tmp_path)
    weights.write("1", {"w": np.zeros(1)})
    (tmp_path / ".2.safetensors.part").write_bytes(b"half")
    weights.tidy()
    assert [file.name for file in tmp_path.iterdir()] == ["1.safetensors"]


def test_only_the_weights_that_are_named_are_kept(tmp_path):
    weights = Weights(tmp_path)
    for name in ("1", "2", "winner"):
        weights.write(name, {"w": np.zeros(1)})
    weights.keep_only({"2", "winner"})
    assert sorted(file.stem for file in tmp_path.iterdir()) == ["2", "winner"]
