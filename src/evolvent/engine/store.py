"""The store of a run: an event log in SQLite, and weights in files.

One writer (the coordinator), any number of readers. The log holds every candidate as it was asked for
and every result as it was told, in order; telling it again restores a strategy, so it is the only
state of a search. WAL and ``synchronous=FULL``: what was acknowledged survives a power cut.

Steps, of which a search with shared weights has thousands, are kept in a table of their own and
written together several times a second: a search that loses its last steps goes back to its last
checkpoint anyway. What comes after a checkpoint is then undone: it stays, marked, and is asked again.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..errors import EvolventError, RunError
from ..files import is_shared, move, trouble
from ..types import Candidate, Result, State

SCHEMA = 2
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,    -- through events and steps
    kind TEXT NOT NULL CHECK (kind IN ('asked', 'told')),
    candidate INTEGER NOT NULL,
    data TEXT NOT NULL,
    at REAL NOT NULL,           -- [s] since the epoch
    undone INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX once ON events (kind, candidate) WHERE undone = 0;  -- asked once, told once
CREATE TABLE steps (
    seq INTEGER PRIMARY KEY,
    candidate INTEGER NOT NULL,
    asked TEXT NOT NULL,
    told TEXT NOT NULL,
    gradient BLOB,              -- safetensors, float32
    at REAL NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX step_once ON steps (candidate) WHERE undone = 0;
CREATE TABLE spent (phase TEXT PRIMARY KEY, seconds REAL NOT NULL);
"""
Event = Candidate | Result  # a candidate was asked for, a result was told
#: notes of the search and the run; all others are the delivery's, which every stretch has anew
OF_THE_SEARCH = ("schema", "checkpoint", "rewinds", "solved", "tested", "stretch")
PAGE = 2000  # rows of the log that are read at a time [count]
BUFFER = 0.5  # [s] for which told steps may wait for a transaction


class LogRow(NamedTuple):
    """A row of the log as it is stored.

    Args:
        seq: its number, ascending. [count from 1]
        at: when it was recorded. [s since the epoch]
        kind: ``asked`` or ``told`` of a trial, or ``step``.
        candidate: its id.
        data: of the candidate or the result, as JSON has it; of a step, its result.
    """

    seq: int
    at: float
    kind: str
    candidate: int
    data: dict[str, Any]


class Log(Protocol):
    """The part of a store that the loop needs."""

    def asked(self, candidate: Candidate) -> None:
        """Record a candidate before it is submitted."""

    def told(self, result: Result) -> None:
        """Record a result before it is told."""

    def together(self) -> AbstractContextManager[None]:
        """Group records: after a power cut all of a group are there, or none."""

    def events(self) -> Iterator[Event]:
        """Yield candidates and results in the order in which they were recorded."""

    def spent(self, phase: str) -> float:
        """Return the seconds that a phase has taken over all sessions. [s]"""

    def spend(self, phase: str, seconds: float) -> None:
        """Set the seconds that a phase has taken over all sessions. [s]"""


class Memory:
    """A log that lives and dies with the process, for comparisons on tables."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._spent: dict[str, float] = {}

    def asked(self, candidate: Candidate) -> None:
        """Record a candidate."""
        self._events.append(candidate)

    def told(self, result: Result) -> None:
        """Record a result."""
        self._events.append(result)

    def together(self) -> AbstractContextManager[None]:
        """Do nothing: there is nothing to cut."""
        return nullcontext()

    def events(self) -> Iterator[Event]:
        """Yield candidates and results in the order in which they were recorded."""
        yield from list(self._events)

    def spent(self, phase: str) -> float:
        """Return the seconds of a phase. [s]"""
        return self._spent.get(phase, 0.0)

    def spend(self, phase: str, seconds: float) -> None:
        """Set the seconds of a phase. [s]"""
        self._spent[phase] = seconds


class Store:
    """The SQLite log of a run folder.

    Args:
        path: of ``run.db``; created, whole or not at all, if it does not exist and `write` is set.
        write: open as the one writer; otherwise read only, also while a search runs.

    Raises:
        RunError: if the file is missing, damaged, of another version, or has a writer already.
    """

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.path, self._lock = path, None
        self.wal = True  # whether readers and the writer never wait for each other
        if not write and not path.is_file():
            raise RunError(f"{path} does not exist: a run folder holds a run.db; check the path")
        if write:
            self._lock = _lock(path.with_name("run.lock"))
        try:
            if write and not path.exists():
                _create(path)
            self._open(write)
            self._check()
        except sqlite3.DatabaseError as error:
            self.close()
            if what := trouble(error):
                raise RunError(
                    f"{path}: {what}: mend that, or copy the folder to where it can be written"
                ) from error
            raise self._damaged(error) from error
        except BaseException:
            self.close()
            raise

    def _open(self, write: bool) -> None:
        self._db = _connect(self.path, "rw" if write else "ro")
        self._asked_steps: dict[int, str] = {}  # asked, not told
        self._told_steps: list[tuple[Any, ...]] = []  # rows to be written
        self._written = time.monotonic()
        self._db.execute("PRAGMA busy_timeout = 10000")
        if write:
            # WAL needs memory that all who read share, which machines do not: DELETE is slower but
            # as safe. Where there is no such memory, SQLite answers with the mode it stays in.
            mode = "DELETE" if is_shared(self.path) else "WAL"
            self.wal = self._db.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0] == "wal"
            if not self.wal:
                self._db.execute("PRAGMA journal_mode = DELETE")
            self._db.execute("PRAGMA synchronous = FULL")

    def _damaged(self, what: object) -> RunError:
        return RunError(
            f"{self.path} is damaged ({what}): restore it from a copy, "
            "or start anew with another --out"
        )

    def _check(self) -> None:
        answer = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise sqlite3.DatabaseError(answer)
        if (found := self.meta("schema")) != SCHEMA:
            raise RunError(
                f"{self.path} has schema {found}, this evolvent reads {SCHEMA}: "
                "use the version that wrote it"
            )

    def close(self) -> None:
        """Close the file and let another writer in."""
        with suppress(AttributeError):
            self._flush()
            self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- the log ---------------------------------------------------------------------------------

    def asked(self, candidate: Candidate) -> None:
        """Record a candidate before it is submitted."""
        if candidate.kind == "step":
            self._asked_steps[candidate.id] = json.dumps(candidate.to_json())
        else:
            self._append("asked", candidate.id, candidate.to_json())

    def told(self, result: Result) -> None:
        """Record a result before it is told; one with a checkpoint is on disk when this returns."""
        id = result.candidate.id
        if result.candidate.kind != "step":
            self._append("told", id, result.to_json())
            return
        asked, told = self._asked_steps.pop(id), json.dumps(result.to_json())
        gradient = None if result.gradient is None else _packed(result.gradient)
        self._told_steps.append((self._next(), id, asked, told, gradient, time.time()))
        if result.weights or time.monotonic() - self._written > BUFFER:
            self._flush()

    def _next(self) -> int:
        """Return the next place in the log."""
        if not hasattr(self, "_last"):
            rows = [
                self._db.execute(f"SELECT max(seq) FROM {table}") for table in ("events", "steps")
            ]
            self._last = max(row.fetchone()[0] or 0 for row in rows)
        self._last += 1
        return self._last

    def _flush(self) -> None:
        """Write the steps that wait, in one transaction."""
        self._written = time.monotonic()
        if not self._told_steps:
            return
        rows, self._told_steps = self._told_steps, []
        with nullcontext() if self._db.in_transaction else self.together():
            self._db.executemany(
                "INSERT INTO steps (seq, candidate, asked, told, gradient, at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Group records in one transaction: a thousand rows cost one flush.

        Records before an error stay: they were asked and told.
        """
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    def _append(self, kind: str, candidate: int, data: dict[str, Any]) -> None:
        self._flush()
        row = (self._next(), kind, candidate, json.dumps(data), time.time())
        try:
            self._db.execute(
                "INSERT INTO events (seq, kind, candidate, data, at) VALUES (?, ?, ?, ?, ?)", row
            )
        except sqlite3.IntegrityError as error:
            raise EvolventError(
                f"candidate {candidate} was {kind} before: ids are unique"
            ) from error

    def events(self) -> Iterator[Event]:
        """Yield candidates and results in the order in which they were recorded.

        Raises:
            RunError: at a row that cannot be read.
        """
        self._flush()
        yield from self._events(
            "SELECT seq, kind, candidate, data, NULL, NULL FROM events "
            "WHERE undone = 0 AND seq > :after "
            "UNION ALL SELECT seq, 'step', candidate, asked, told, gradient FROM steps "
            "WHERE undone = 0 AND seq > :after ORDER BY seq LIMIT :most"
        )

    def _events(self, query: str) -> Iterator[Event]:
        """Yield the events of a query, which is asked for a few thousand rows at a time.

        So that memory does not grow with the log, nor a long read keep a writer's file from shrinking.
        """
        candidates: dict[int, Candidate] = {}  # asked, not told
        for _, kind, id, data, told, gradient in self._pages(query):
            try:
                if kind == "told":
                    event: Event = Result.from_json(json.loads(data), candidates.pop(id))
                else:
                    event = asked = candidates[id] = Candidate.from_json(json.loads(data))
                if kind == "step":
                    yield event
                    event = Result.from_json(json.loads(told), asked, _unpacked(gradient))
                    del candidates[id]
            except (KeyError, TypeError, ValueError) as error:
                raise self._damaged(f"what was {kind} of candidate {id}: {error!r}") from error
            yield event

    def _pages(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, of which the first column ascends."""
        after = 0
        while rows := self._db.execute(query, {"after": after, "most": PAGE}).fetchall():
            yield from rows
            after = rows[-1][0]

    def log(self, after: int = 0, most: int = -1) -> list[LogRow]:
        """Return the rows behind `after`, in their order, as they are stored: for pages.

        Args:
            after: number of the last row that is known already.
            most: how many at a time; -1 is all. [count]

        Raises:
            RunError: at a row that cannot be read.
        """
        rows = self._db.execute(
            "SELECT seq, at, kind, candidate, data FROM events WHERE undone = 0 AND seq > :after "
            "UNION ALL "
            "SELECT seq, at, 'step', candidate, told FROM steps WHERE undone = 0 AND seq > :after "
            "ORDER BY seq LIMIT :most",
            {"after": after, "most": most},
        )
        return self._rows(rows)

    def asked_trials(self, after: int = 0) -> list[LogRow]:
        """Return the trials that were asked for behind row `after`; none without shared weights."""
        rows = self._db.execute(
            "SELECT seq, at, kind, candidate, data FROM events WHERE undone = 0 AND kind = 'asked' "
            "AND seq > ? AND EXISTS (SELECT 1 FROM steps) ORDER BY seq",
            (after,),
        )
        return self._rows(rows)

    def row(self, kind: str, candidate: int) -> dict[str, Any] | None:
        """Return the row that was ``asked`` or ``told`` of a candidate, as stored, or None."""
        found = self._db.execute(
            "SELECT data FROM events WHERE undone = 0 AND kind = ? AND candidate = ?",
            (kind, candidate),
        ).fetchone()
        return None if found is None else self._read(kind, candidate, found[0])

    def _rows(self, rows: Iterable[tuple[int, float, str, int, str]]) -> list[LogRow]:
        return [
            LogRow(seq, at, kind, id, self._read(kind, id, data))
            for seq, at, kind, id, data in rows
        ]

    def _read(self, kind: str, candidate: int, data: str) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise self._damaged(f"what was {kind} of candidate {candidate}: {error!r}") from error

    def results(self) -> list[Result]:
        """Return the result of every trial, in the order in which they were told."""
        events = self._events(
            "SELECT seq, kind, candidate, data, NULL, NULL FROM events "
            "WHERE undone = 0 AND seq > :after ORDER BY seq LIMIT :most"
        )
        return [event for event in events if isinstance(event, Result)]

    def steps(self) -> list[Result]:
        """Return the result of every step, in the order in which they were told."""
        self._flush()
        query = (
            "SELECT seq, 'step', candidate, asked, told, gradient FROM steps "
            "WHERE undone = 0 AND seq > :after ORDER BY seq LIMIT :most"
        )
        return [event for event in self._events(query) if isinstance(event, Result)]

    def undo(self, *, after: int) -> int:
        """Mark everything after candidate `after` as undone; return the number of results undone.

        It is as if it had not been, but the seconds that it took stay counted.
        """
        self._flush()
        self._asked_steps.clear()
        with self.together():
            count = 0
            for table, told in (("events", " AND kind = 'told'"), ("steps", "")):
                where = f"FROM {table} WHERE undone = 0 AND candidate > ?"
                row = self._db.execute(f"SELECT count(*) {where}{told}", (after,)).fetchone()
                count += row[0]
                self._db.execute(
                    f"UPDATE {table} SET undone = 1 WHERE undone = 0 AND candidate > ?", (after,)
                )
        return count

    def count(self) -> int:
        """Return the number of events. [count]"""
        self._flush()
        counted = (
            "SELECT (SELECT count(*) FROM events WHERE undone = 0) + "
            "2 * (SELECT count(*) FROM steps WHERE undone = 0)"  # a step's row is both of its events
        )
        return int(self._db.execute(counted).fetchone()[0])

    # -- the rest --------------------------------------------------------------------------------

    def meta(self, key: str) -> Any:
        """Return the value noted under `key`, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def note(self, key: str, value: Any) -> None:
        """Note a JSON-able value under `key`, in place of what was there."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def delivered(self, stretch: int | None = None) -> bool:
        """Whether the run's folder holds what the last stretch of its budget delivered.

        Args:
            stretch: number of the last one, 0 is the first; None is the last that began. [count]
        """
        if not (self.path.parent / "best" / "card.json").is_file():
            return False
        now = self.meta("stretch") or 0
        if now != (now if stretch is None else stretch):
            return False
        return now == 0 or self.meta("state") == "done"

    def begin_stretch(self, stretch: int, *, tested: int) -> None:
        """Begin a further stretch, unless it has begun: what earlier ones delivered is no longer known.

        Args:
            stretch: its number. [count from 1]
            tested: how often test was read before it. [count]
        """
        if (self.meta("stretch") or 0) >= stretch:
            return
        with self.together():
            self.forget(but=OF_THE_SEARCH)
            self.note("tested", tested)
            self.note("stretch", stretch)

    def notes(self, prefix: str) -> dict[str, Any]:
        """Return key -> value of what is noted under keys that begin so."""
        rows = self._db.execute("SELECT key, value FROM meta ORDER BY key")
        return {key: json.loads(value) for key, value in rows if key.startswith(prefix)}

    def forget(self, *, but: Iterable[str]) -> None:
        """Remove every note but those under some keys; the log stays as it is."""
        rows = [(key,) for key in self.notes("") if key not in {*but}]
        self._db.executemany("DELETE FROM meta WHERE key = ?", rows)

    def spent(self, phase: str) -> float:
        """Return the seconds that a phase has taken over all sessions. [s]"""
        row = self._db.execute("SELECT seconds FROM spent WHERE phase = ?", (phase,)).fetchone()
        return 0.0 if row is None else float(row[0])

    def spend(self, phase: str, seconds: float) -> None:
        """Set the seconds that a phase has taken over all sessions; steps that wait go with it. [s]"""
        with nullcontext() if self._db.in_transaction else self.together():
            self._flush()
            self._db.execute("INSERT OR REPLACE INTO spent VALUES (?, ?)", (phase, seconds))

    def phases(self) -> dict[str, float]:
        """Return phase -> seconds over all sessions. [s]"""
        return dict(self._db.execute("SELECT phase, seconds FROM spent ORDER BY rowid"))


def _packed(gradient: Mapping[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return save(dict(gradient))


def _unpacked(data: bytes | None) -> State | None:
    from safetensors.numpy import load

    found: State | None = None if data is None else load(data)
    return found


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    if mode == "ro" and _is_frozen(path):
        uri += "&immutable=1"
    return sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)


def _is_frozen(path: Path) -> bool:
    """Whether a log is complete, and on a disk that cannot be written: readers can lock nothing."""
    wal = path.with_name(f"{path.name}-wal")
    if not hasattr(os, "statvfs") or (wal.exists() and wal.stat().st_size):
        return False
    return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY) and path.exists()


def _create(path: Path) -> None:
    """Make an empty log beside `path` and move it there: a crash leaves all of it, or nothing."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    with closing(_connect(temporary, "rwc")) as db:
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(f"BEGIN; {TABLES} COMMIT;")
        db.execute("INSERT INTO meta VALUES ('schema', ?)", (json.dumps(SCHEMA),))
    move(temporary, path)


def _lock(path: Path) -> int | None:
    """Take the writer's lock, which the system gives back when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - other systems rely on SQLite's own locks
        return None
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in (errno.ENOLCK, errno.ENOTSUP):  # SQLite's own locks must do
            return None
        raise RunError(
            f"{path.parent} is in use by another process: wait for it, or choose another --out"
        ) from error
    return handle
