"""Files and folders that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from .errors import RunError


def write_atomically(file: Path, data: bytes | str, *, mode: int = 0o666) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part.

    Args:
        file: to write.
        data: its content.
        mode: who may read and write it, if it is new, as far as the user's umask lets them.
    """
    temporary = file.with_name(f".{file.name}.part")
    with open(temporary, "wb", opener=partial(os.open, mode=mode)) as stream:
        stream.write(data.encode() if isinstance(data, str) else data)
        stream.flush()
        os.fsync(stream.fileno())
    move(temporary, file)


FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, getattr(errno, "ESTALE", errno.EIO)}
#: file systems that other machines can write to at the same time, as /proc/mounts names them
SHARED = frozenset({"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.juicefs"}) | {
    *("fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "pvfs2"),
    *("smb3", "smbfs"),
}
MOUNTS = Path("/proc/mounts")


def trouble(error: BaseException | None) -> str:
    """Return the fault of the disk, in words, if an error says one; else ""."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return "the disk is full"
        if isinstance(error, sqlite3.OperationalError):
            if "is full" in str(error):
                return "the disk is full"
            if "readonly" in str(error) or "I/O error" in str(error) or "unable to" in str(error):
                return f"it cannot be written ({error})"
        error = error.__cause__ or error.__context__
    return ""


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """Turn the errors of a disk on which a run cannot be written any more into one line.

    Raises:
        RunError: in place of them.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        what = trouble(error)
        if not what and _is_closed(error, folder):
            what = f"it cannot be written ({error.args[1]})"
        if not what:
            raise
        raise RunError(
            f"{folder}: {what}; everything that was told is saved: mend that, and repeat the command"
        ) from error


def _is_closed(error: BaseException, folder: Path) -> bool:
    """Whether an error says that something in a folder cannot be written."""
    if not isinstance(error, OSError) or error.errno not in CLOSED:
        return False
    name = error.filename
    return isinstance(name, str) and Path(name).absolute().is_relative_to(folder.absolute())


def is_shared(path: Path) -> bool:
    """Return whether a path is on a file system that other machines can write to, as far as known."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return False
    mounts = [line.split()[1:3] for line in lines if len(line.split()) > 2]
    place = path.absolute().resolve()
    found = [
        (len(at), kind)
        for at, kind in mounts
        if place.is_relative_to(at.replace("\\040", " ").replace("\\011", "\t"))
    ]
    return bool(found) and max(found, key=lambda each: each[0])[1] in SHARED


def move(file: Path, to: Path) -> None:
    """Put a whole file in its place, and let no power cut undo it."""
    file.replace(to)
    if os.name == "posix":
        folder = os.open(to.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def replace_folder(new: Path, old: Path) -> None:
    """Put a whole folder in the place of another; `restore_folder` undoes what a crash left half."""
    aside = _aside(old)
    if old.exists():
        shutil.rmtree(aside, ignore_errors=True)
        old.rename(aside)
    move(new, old)
    shutil.rmtree(aside, ignore_errors=True)


def restore_folder(old: Path) -> None:
    """Put back a folder that a crash left aside, between the two steps of `replace_folder`."""
    aside = _aside(old)
    if aside.exists() and not old.exists():
        move(aside, old)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def check_new_folder(folder: Path, option: str = "--out") -> None:
    """Refuse a folder that cannot be made, before anything is spent on what it is to hold.

    Nothing is left behind: what is made to find out is removed again.

    Raises:
        RunError: if it cannot be made, or nothing can be written there.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    made: list[Path] = []
    try:
        for each in reversed(missing):
            each.mkdir()
            made.append(each)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunError(
            f"{folder} cannot be made ({error.strerror}): choose another {option}"
        ) from error
    finally:
        for each in reversed(made):
            with suppress(OSError):  # somebody else may have begun to use it
                each.rmdir()


def new_folder(folder: Path, option: str = "--to") -> None:
    """Make a folder.

    Raises:
        RunError: if it holds files already, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise RunError(
            f"{folder} cannot be made ({error.strerror}): choose another {option}"
        ) from error
    if taken:
        raise RunError(
            f"{folder} holds files already, nothing is overwritten: choose another {option}"
        )
