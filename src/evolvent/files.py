"""Files and folders that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import RunError


def write_atomically(file: Path, data: bytes | str) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part."""
    temporary = file.with_name(f".{file.name}.part")
    with temporary.open("wb") as stream:
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
