"""Running text as tokens, words or characters, in segments that follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import Unreadable

END = "<eos>"  # the end of a line, where tokens are words
UNKNOWN = "<unk>"  # any token outside the vocabulary
IGNORED = -1  # a target that is no token: behind the end of a text
STREAMS = 16  # in which a text is scored side by side, at most [count]
LEAST_SEGMENTS = 8  # of a stream: the state is carried from one to the next [count]


def running_text(file: Path) -> str:
    """Return the text of a UTF-8 file.

    Raises:
        Unreadable: if it is empty, or no UTF-8 text.
        OSError: if it cannot be opened.
    """
    data = file.read_bytes()
    if b"\x00" in data:
        raise Unreadable(f"{str(file)!r} is no text: it has zero bytes; give a UTF-8 text file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"{str(file)!r} is not UTF-8 (byte {error.start:,}): convert it, for example with "
            "iconv -f LATIN1 -t UTF-8"
        ) from error
    if not text.strip():
        raise Unreadable(f"{str(file)!r} is empty: give a file with text")
    return text


def pieces(text: str, tokens: str) -> list[str]:
    """Return the tokens of a text.

    Args:
        text: to be read.
        tokens: ``words``, what stands between blanks, with `END` behind every line; or
            ``characters``.
    """
    if tokens == "characters":
        return list(text.replace("\r\n", "\n"))
    return [word for line in text.splitlines() for word in (*line.split(), END)]


def numbered(found: Sequence[str], reading: dict[str, Any]) -> np.ndarray:
    """Return the place of every token in the vocabulary [N] int64; others are `UNKNOWN`'s.

    Args:
        found: tokens.
        reading: with the vocabulary, ``words``, which holds `UNKNOWN`.
    """
    places = {word: place for place, word in enumerate(reading["words"])}
    unknown = places[UNKNOWN]
    return np.fromiter((places.get(word, unknown) for word in found), np.int64, len(found))


def beginning(reading: dict[str, Any]) -> int:
    """Return the token that stands before the first one of a text: the end of a line."""
    words: list[str] = reading["words"]
    first = "\n" if reading["tokens"] == "characters" else END
    return words.index(first if first in words else UNKNOWN)


def segments(ids: np.ndarray, length: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a text as inputs and targets [segments, length] int64: every token is a target once.

    Args:
        ids: tokens. [N]
        length: of a segment; the last one is filled up with targets that are `IGNORED`. [tokens]
        first: the input before the first token.
    """
    count = -(-len(ids) // length)
    x = np.full(count * length, first, np.int64)
    y = np.full(count * length, IGNORED, np.int64)
    x[1 : len(ids)], y[: len(ids)] = ids[:-1], ids
    return x.reshape(count, length), y.reshape(count, length)


def stream_rows(count: int, most: int = STREAMS) -> list[np.ndarray]:
    """Return the rows of every batch that goes through successive segments, in order.

    Row s of a batch continues row s of the batch before it; the last batches may have fewer rows.

    Args:
        count: segments. [count]
        most: streams side by side. [count]
    """
    streams = max(1, min(most, count // LEAST_SEGMENTS))
    each = -(-count // streams)
    starts = np.arange(streams) * each
    return [(starts + step)[starts + step < count] for step in range(each)]
