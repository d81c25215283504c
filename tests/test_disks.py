"""Disks that are full, read only, or on the network: one line says so, and nothing is lost."""

import contextlib
import errno
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

import evolvent as ev
from evolvent import files
from evolvent.engine.store import Store
from evolvent.errors import RunError
from evolvent.files import is_shared, trouble, written
from evolvent.types import Candidate, Result

FEW = {"estimator": {"epochs": 0.2, "width": 2}, "train": {"epochs": 0.5, "finalists": 1}}


def test_a_full_disk_is_said_whatever_found_it():
    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        sqlite3.OperationalError("database or disk is full"),
    ):
        assert trouble(error) == "the disk is full"
        later = RuntimeError("cannot commit - no transaction is active")
        later.__context__ = error
        assert trouble(later) == "the disk is full"
    assert trouble(ValueError("full of errors")) == ""


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), written(tmp_path):
        (tmp_path / "nothing").read_text()
    with pytest.raises(PermissionError), written(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/data.csv")
    with pytest.raises(RunError, match="cannot be written"), written(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "run.lock"))


@pytest.mark.parametrize(
    ("path", "shared"),
    [("/home/u/run", True), ("/home", True), ("/homes/run", False), ("/home/u/fast/run", False)],
)
def test_network_file_systems_are_known_by_their_mounts(path, shared, tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/vda / ext4 rw 0 0\nserver:/h /home nfs4 rw 0 0\n/dev/vdb /home/u/fast xfs rw 0 0\n"
    )
    monkeypatch.setattr(files, "MOUNTS", mounts)
    assert is_shared(Path(path)) is shared


def test_on_a_network_file_system_the_log_does_without_wal_and_keeps_everything(
    tmp_path, monkeypatch
):
    store = Store(tmp_path / "run.db", write=True)
    assert store.wal
    store.asked(Candidate(0, (3,)))
    store.close()
    monkeypatch.setattr("evolvent.engine.store.is_shared", lambda path: True)
    store = Store(tmp_path / "run.db", write=True)
    assert not store.wal
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    store.told(Result(Candidate(0, (3,)), 0.5))
    reader = Store(tmp_path / "run.db")
    assert [event.score for event in reader.results()] == [0.5]
    reader.close()
    store.close()


def test_the_clock_of_the_day_may_jump(tmp_path, monkeypatch):
    """It only dates the rows: their order is that of their numbers."""
    store = Store(tmp_path / "run.db", write=True)
    for id, now in enumerate((2e9, 1e9, 3e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        store.asked(Candidate(id, (3,)))
    ids = [event.id if isinstance(event, Candidate) else None for event in store.events()]
    assert ids == [0, 1, 2]
    assert [row.candidate for row in store.log(after=1)] == [1, 2]
    store.close()


@contextlib.contextmanager
def mounted(place, *words):
    """A file system of its own, where this user may make one."""
    place.mkdir()
    done = subprocess.run(["mount", *words, place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def test_a_disk_that_fills_up_ends_a_search_with_a_line_and_it_goes_on_with_more_room(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(500_000))

        class Filling:
            def on_result(self, result):
                if result.candidate.id == 1:
                    with contextlib.suppress(OSError), ballast.open("ab") as stream:
                        while True:
                            stream.write(bytes(4096))
                            stream.flush()

        asked = {"budget": "4t", "workers": 0, "settings": FEW, "out": disk / "run"}
        with pytest.raises(RunError, match="run: the disk is full; everything that was told is"):
            ev.search("digits", callbacks=[Filling()], **asked)
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        run = ev.search("digits", **asked)
        assert [row["id"] for row in run.candidates()] == [0, 1, 2, 3]
        db = sqlite3.connect(disk / "run" / "run.db")
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()


def test_a_folder_that_became_read_only_is_said_in_a_line(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=64m", "tmpfs") as disk:
        store = Store(disk / "run.db", write=True)
        store.close()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(RunError, match="it cannot be written"), written(disk):
            Store(disk / "run.db", write=True)
        with pytest.raises(RunError, match="cannot be made"):
            ev.search("digits", budget="2t", out=disk / "new")
        reader = Store(disk / "run.db")
        assert reader.results() == []
        reader.close()
    assert os.listdir(tmp_path / "disk") == []
