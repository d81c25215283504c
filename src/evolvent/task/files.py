"""Reading files of the user: existing paths, memory limits, and errors in one line."""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError

try:
    from lzma import LZMAError
except ImportError:  # a Python built without liblzma
    LZMAError = zlib.error  # type: ignore[misc,assignment]

LIMIT = 8 * 2**30  # largest size of one data set in memory [bytes]

# Errors that the standard library, numpy and Pillow raise on damaged files, found by fuzzing.
_DAMAGED: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    SyntaxError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    LZMAError,
    zipfile.BadZipFile,
    tokenize.TokenError,
)


def existing(path: str | os.PathLike[str]) -> Path:
    """Return `path`, with ``~`` replaced.

    Raises:
        DataError: if there is no such file or folder, or it may not be read.
    """
    try:
        if not os.fspath(path):
            raise FileNotFoundError  # and not the working folder, as Path("") would be
        found = Path(path).expanduser()
        found.stat()
        if found.is_dir():
            next(found.iterdir(), None)  # may it be listed?
    except (OSError, ValueError, RuntimeError) as error:
        reason = "no such file or folder" if isinstance(error, FileNotFoundError) else why(error)
        raise DataError(f"{str(path)!r} cannot be read: {reason}; check the path") from error
    return found


@contextmanager
def reading(file: Path, kind: str, advice: str, *also: type[Exception]) -> Iterator[None]:
    """Turn any error of a damaged file within the block into one line that names the file.

    Args:
        file: what is read within the block; anything but a regular file is refused at once.
        kind: what it should be, such as ``".npz file"``.
        advice: what the user can do about it.
        also: exceptions of the reader's own that mean damage.

    Raises:
        DataError: in place of any of these exceptions.
    """
    damage = _DAMAGED + also
    try:
        if not file.is_file():
            raise OSError("it is not a regular file")  # opening a pipe would wait for ever
        yield
    except damage as error:
        raise DataError(
            f"{str(file)!r} is not a readable {kind} ({why(error)}): {advice}"
        ) from error


def check_memory(
    file: Path, size: int, limit: int, advice: str = "make the images smaller or fewer"
) -> None:
    """Refuse a file of more than `limit` in memory. [bytes]

    Raises:
        DataError: if `size` is above `limit`.
    """
    if size > limit:
        raise DataError(
            f"{str(file)!r} would take {size / 2**30:,.1f} GiB in memory, at most "
            f"{limit / 2**30:,.1f} GiB are allowed: {advice}"
        )


def why(error: BaseException) -> str:
    """Return the reason of an error in one short line."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(reason.split())[:160] or type(error).__name__


def some(names: Sequence[object], most: int = 5) -> str:
    """Return the first few names, quoted, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
