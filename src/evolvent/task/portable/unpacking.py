"""Packed files: ``.gz``, ``.bz2``, ``.xz`` and ``.zip`` around a table."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from .errors import Unreadable

try:
    from lzma import LZMAError
except ImportError:  # a Python built without liblzma
    LZMAError = zlib.error  # type: ignore[misc,assignment]

DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
    LZMAError,
)
PACKINGS = (".gz", ".bz2", ".xz", ".zip")
CHUNK = 2**24  # read at a time [bytes]
CELL_COST = 15  # times its text: what a cell takes in memory, at most and about
PACKED = 5  # times its packed size: the text of a packed table, about


def plain_name(name: str) -> str:
    """Return the name of a file in lower case, without the suffix of a packing."""
    lower = name.lower()
    packing = next((each for each in PACKINGS if lower.endswith(each)), "")
    return lower.removesuffix(packing)


def content(file: Path, suffixes: Iterable[str], limit: int | None) -> tuple[str, bytes]:
    """Return the name, in lower case and without a packing, and the bytes of a file, unpacked.

    Args:
        file: plain or packed; a ``.zip`` holds one table.
        suffixes: of the tables that a ``.zip`` may hold.
        limit: how much it may take in memory; None is no limit. [bytes]

    Raises:
        Unreadable: if it is damaged or too large, or a ``.zip`` without a table or with several.
        OSError: if it cannot be opened.
    """
    packing = file.suffix.lower()
    name = plain_name(file.name)
    with file.open("rb") as stream:
        if packing not in PACKINGS:
            return name, b"".join(blocks(file, stream, limit))
        try:
            if packing == ".zip":
                return zipped(file, stream, suffixes, limit)
            return name, b"".join(blocks(file, unpacking_stream(stream, packing), limit))
        except DAMAGE as error:
            raise damaged(file, error) from error


def unpacking_stream(stream: IO[bytes], packing: str) -> Any:
    """Return a stream of what a packed stream holds."""
    if packing == ".gz":
        return gzip.open(stream)
    # Python may be built without these two, so they are imported where they are needed.
    if packing == ".bz2":
        import bz2

        return bz2.open(stream)
    import lzma

    return lzma.open(stream)


def zipped(
    file: Path, stream: IO[bytes], suffixes: Iterable[str], limit: int | None
) -> tuple[str, bytes]:
    """Return the name and the bytes of the one table in a ``.zip``."""
    with zipfile.ZipFile(stream) as archive:
        names = [
            info.filename
            for info in archive.infolist()
            if not info.is_dir() and not info.filename.startswith("__MACOSX/")
        ]
        tables = [name for name in names if plain_name(name).endswith(tuple(suffixes))]
        if len(tables) != 1:
            held = ", ".join(map(repr, (tables or names)[:5])) or "nothing"
            found = f"{len(tables)} tables" if tables else "no table"
            raise Unreadable(
                f"{str(file)!r} holds {found} ({held}): a .zip is read if it holds one; unpack it"
            )
        with archive.open(tables[0]) as member:
            packing = Path(tables[0]).suffix.lower()
            if packing in PACKINGS:
                raise Unreadable(f"{str(file)!r} holds {tables[0]!r}, packed twice: unpack it")
            return tables[0].lower(), b"".join(blocks(file, member, limit))


def blocks(file: Path, stream: Any, limit: int | None) -> Iterator[bytes]:
    """Yield the bytes of a stream, never more than allowed."""
    size = 0
    while block := stream.read(CHUNK):
        size += len(block)
        if limit is not None and CELL_COST * size > limit:
            raise Unreadable(
                f"{str(file)!r} would take {CELL_COST * size / 2**30:,.1f} GiB in memory or "
                f"more, at most {limit / 2**30:,.1f} GiB are allowed: leave rows or columns out"
            )
        yield block


def damaged(file: Path, error: Exception) -> Unreadable:
    """Return the error for a file whose bytes are not what they should be."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return Unreadable(f"{str(file)!r} is not a readable table ({reason}): write it anew as CSV")
