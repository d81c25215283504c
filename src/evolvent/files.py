"""Files and folders that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
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
