"""The store of a run: an event log in SQLite, and weights in files.

One writer (the coordinator), any number of readers. The log holds every candidate as it was asked for
and every result as it was told, in order; telling it again restores a strategy, so it is the only
state of a search. WAL and ``synchronous=FULL``: what was acknowledged survives a power cut.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

from .errors import EvolventError, RunError
from .types import Candidate, Result, State

SCHEMA = 1
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('asked', 'told')),
    candidate INTEGER NOT NULL,
    data TEXT NOT NULL,
    at REAL NOT NULL,           -- [s] since the epoch
    UNIQUE (kind, candidate)    -- nothing is asked or told twice
);
CREATE TABLE spent (phase TEXT PRIMARY KEY, seconds REAL NOT NULL);
"""
Event = Candidate | Result  # a candidate was asked for, a result was told


class Log(Protocol):
    """What the loop needs of a store."""

    def asked(self, candidate: Candidate) -> None:
        """Record a candidate before it is submitted."""

    def told(self, result: Result) -> None:
        """Record a result before it is told."""

    def together(self) -> AbstractContextManager[None]:
        """Record what is recorded within as one: after a power cut all of it is there, or none."""

    def events(self) -> Iterator[Event]:
        """Yield what was recorded, in its order."""

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
        """Yield what was recorded, in its order."""
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
            raise self._damaged(error) from error
        except BaseException:
            self.close()
            raise

    def _open(self, write: bool) -> None:
        self._db = _connect(self.path, "rw" if write else "ro")
        self._db.execute("PRAGMA busy_timeout = 10000")
        if write:
            # WAL needs shared memory, which network file systems lack: SQLite then answers with
            # the mode it stays in, and DELETE is slower but as safe.
            if self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
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
            self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- the log ---------------------------------------------------------------------------------

    def asked(self, candidate: Candidate) -> None:
        """Record a candidate before it is submitted."""
        self._append("asked", candidate.id, candidate.to_json())

    def told(self, result: Result) -> None:
        """Record a result before it is told."""
        self._append("told", result.candidate.id, result.to_json())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Record what is recorded within in one transaction: a thousand rows cost one flush.

        What was recorded before an error stays: it is what was asked and told.
        """
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    def _append(self, kind: str, candidate: int, data: dict[str, Any]) -> None:
        row = (kind, candidate, json.dumps(data), time.time())
        try:
            self._db.execute(
                "INSERT INTO events (kind, candidate, data, at) VALUES (?, ?, ?, ?)", row
            )
        except sqlite3.IntegrityError as error:
            raise EvolventError(
                f"candidate {candidate} was {kind} before: ids are unique"
            ) from error

    def events(self) -> Iterator[Event]:
        """Yield what was recorded, in its order.

        Raises:
            RunError: at a row that cannot be read.
        """
        candidates: dict[int, Candidate] = {}
        rows = self._db.execute("SELECT kind, candidate, data FROM events ORDER BY seq").fetchall()
        for kind, id, data in rows:
            event: Event
            try:
                if kind == "asked":
                    event = candidates[id] = Candidate.from_json(json.loads(data))
                else:
                    event = Result.from_json(json.loads(data), candidates[id])
            except (KeyError, TypeError, ValueError) as error:
                raise self._damaged(f"what was {kind} of candidate {id}: {error!r}") from error
            yield event

    def results(self) -> list[Result]:
        """Return every result, in the order in which they were told."""
        return [event for event in self.events() if isinstance(event, Result)]

    # -- the rest --------------------------------------------------------------------------------

    def meta(self, key: str) -> Any:
        """Return what was noted under `key`, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def note(self, key: str, value: Any) -> None:
        """Note a JSON-able value under `key`, in place of what was there."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def spent(self, phase: str) -> float:
        """Return the seconds that a phase has taken over all sessions. [s]"""
        row = self._db.execute("SELECT seconds FROM spent WHERE phase = ?", (phase,)).fetchone()
        return 0.0 if row is None else float(row[0])

    def spend(self, phase: str, seconds: float) -> None:
        """Set the seconds that a phase has taken over all sessions. [s]"""
        self._db.execute("INSERT OR REPLACE INTO spent VALUES (?, ?)", (phase, seconds))

    def phases(self) -> dict[str, float]:
        """Return phase -> seconds over all sessions. [s]"""
        return dict(self._db.execute("SELECT phase, seconds FROM spent ORDER BY rowid"))


class Weights:
    """The weights of candidates, one file each, whole or absent.

    Args:
        folder: where they are; created on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, state: State) -> str:
        """Write `state` so that a crash leaves the old file or the new one; return the file's name."""
        from safetensors.numpy import save

        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{name}.safetensors"
        write_atomically(file, save(state))
        return file.name

    @property
    def kept(self) -> bool:
        """Whether any were ever written."""
        return self.folder.is_dir()

    def read(self, name: str) -> State:
        """Return the state stored under `name`."""
        from safetensors.numpy import load_file

        state: State = load_file(self.folder / f"{name}.safetensors")
        return state

    def of(self, ids: Iterable[int]) -> dict[int, State]:
        """Return the states of `ids`, as far as they were kept: a table has none."""
        kept = [id for id in ids if (self.folder / f"{id}.safetensors").is_file()]
        return {id: self.read(str(id)) for id in kept}

    def keep_only(self, names: set[str]) -> None:
        """Delete every file whose name is not in `names`."""
        for file in self.folder.glob("*.safetensors"):
            if file.stem not in names:
                file.unlink()


def write_atomically(file: Path, data: bytes | str) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part."""
    temporary = file.with_name(f".{file.name}.part")
    with temporary.open("wb") as stream:
        stream.write(data.encode() if isinstance(data, str) else data)
        stream.flush()
        os.fsync(stream.fileno())
    _move(temporary, file)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)


def _create(path: Path) -> None:
    """Make an empty log beside `path` and move it there: a crash leaves all of it, or nothing."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    with closing(_connect(temporary, "rwc")) as db:
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(f"BEGIN; {TABLES} COMMIT;")
        db.execute("INSERT INTO meta VALUES ('schema', ?)", (json.dumps(SCHEMA),))
    _move(temporary, path)


def _move(file: Path, to: Path) -> None:
    """Put a whole file in its place, and let no power cut undo it."""
    file.replace(to)
    if os.name == "posix":
        folder = os.open(to.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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
        raise RunError(
            f"{path.parent} is in use by another process: wait for it, or choose another --out"
        ) from error
    return handle
