"""From bytes to text: the encoding of a file is found, or said."""

from __future__ import annotations

import re
from pathlib import Path

from .errors import Unreadable
from .unpacking import damaged

MARKS = (  # a byte-order mark -> what it marks; UTF-32's begins as UTF-16's does
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
CALLED = {  # as a user knows them
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 (little-endian)",
    "utf-16-be": "UTF-16 (big-endian)",
    "utf-32": "UTF-32",
    "gb18030": "GBK",
    "big5": "Big5",
    "shift_jis": "Shift-JIS",
    "euc_jp": "EUC-JP",
    "cp949": "EUC-KR",
    "cp1251": "Windows-1251 (Cyrillic)",
    "koi8-r": "KOI8-R (Cyrillic)",
    "cp1252": "Windows-1252",
}
LOOKED_AT = 2**20  # of a file, to tell its encoding [bytes]
MOSTLY_COMMON = 0.8  # of the signs of an East Asian text are among the common ones


def decoded(
    file: Path,
    data: bytes,
    notes: list[str],
    *,
    encoding: str | None = None,
    learnt: str | None = None,
) -> tuple[str, str]:
    """Return the text of a file and its encoding.

    A byte-order mark decides, then zero bytes (UTF-16), then whether it is UTF-8. Otherwise it is the
    encoding that was learnt, or told by which signs are common: GBK, Big5, Shift-JIS, EUC-JP, EUC-KR,
    Windows-1251, KOI8-R, else Windows-1252, of which Latin-1 is a part. What is neither UTF-8 nor as
    learnt is noted.

    Args:
        file: for messages.
        data: its bytes, unpacked.
        notes: is given a line where a user should know the encoding.
        encoding: said by the user, in Python's name; None finds it.
        learnt: of the files before this one.

    Raises:
        Unreadable: if there is no such encoding, or the bytes are not of it, or are no text.
    """
    if encoding is not None:
        return in_encoding(file, data, encoding), encoding
    for mark, name in MARKS:
        if data.startswith(mark):
            return strictly(file, data, name), "utf-8" if name == "utf-8-sig" else name
    if b"\x00" in data:
        return without_mark(file, data, notes)
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    if (text := mostly_utf8(file, data, notes)) is not None:
        return text, "utf-8"
    name = learnt if learnt and is_of(data, learnt) else guessed(data)
    if name != learnt:
        hint = "" if name == "cp1252" else "; --encoding NAME says another"
        notes.append(f"{file.name} is not UTF-8: it was read as {CALLED.get(name, name)}{hint}")
    return data.decode(name, errors="replace"), name


def in_encoding(file: Path, data: bytes, encoding: str) -> str:
    """Return the text of a file in the encoding that the user said."""
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except (LookupError, AttributeError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            line = data.count(b"\n", 0, error.start) + 1
            raise Unreadable(
                f"{str(file)!r} is not {encoding}: line {line} holds bytes that are none; give "
                "another --encoding, or leave it out to have it found"
            ) from error
        raise Unreadable(
            f"--encoding {encoding}: there is none of that name; some are utf-8, utf-16, gbk, big5, "
            "shift_jis, euc_kr, cp1251, cp1252, latin-1"
        ) from error


def strictly(file: Path, data: bytes, name: str) -> str:
    """Return the text of a file that is marked as of an encoding."""
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        raise damaged(file, error) from error


def without_mark(file: Path, data: bytes, notes: list[str]) -> tuple[str, str]:
    """Return the text of UTF-16 without a byte-order mark: every other byte of it is mostly zero."""
    half = max(1, len(data) // 2)
    even, odd = data[::2].count(0) / half, data[1::2].count(0) / half
    name = "utf-16-le" if odd > even else "utf-16-be"
    if max(even, odd) > 0.4 and min(even, odd) < 0.05 and is_of(data, name):
        notes.append(f"{file.name} was read as {CALLED[name]}: every other byte of it is zero")
        return data.decode(name), name
    raise Unreadable(f"{str(file)!r} holds zero bytes, so it is no text: write it anew as CSV")


def mostly_utf8(file: Path, data: bytes, notes: list[str]) -> str | None:
    """Return the text of a file that is UTF-8 but for a few bytes, or None."""
    text = data.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    good = len(re.findall(r"[\u0080-\ufffc\U00010000-\U0010ffff]", text))
    if good < 10 * bad:
        return None
    notes.append(f"{file.name} is UTF-8 but for {bad} places, which are read as \ufffd")
    return text


def is_of(data: bytes, name: str) -> bool:
    """Whether bytes are of an encoding."""
    try:
        data.decode(name)
    except (LookupError, UnicodeDecodeError):
        return False
    return True


def guessed(data: bytes) -> str:
    """Return the encoding of a text that is not UTF-8, by what is common in each."""
    sample = data[:LOOKED_AT]
    if len(data) > LOOKED_AT:
        sample = sample[: sample.rfind(b"\n") + 1]
    for name in ("gb18030", "big5", "shift_jis", "euc_jp", "cp949"):
        if is_of(sample, name) and is_common(sample, name):
            return name
    return cyrillic(sample) or "cp1252"


def two_byte_signs(sample: bytes) -> list[bytes]:
    """Return the signs of two bytes, the first of which is above 0x80."""
    return re.findall(rb"[\x81-\xfe][\x40-\xfe]", sample)


def is_common(sample: bytes, name: str) -> bool:
    """Whether most signs of a text in an East Asian encoding are among its common ones.

    The encodings share most of their codes; each puts its common signs elsewhere.
    """
    found = two_byte_signs(sample)
    if not found:
        return False
    first = [pair[0] for pair in found]
    low = sum(pair[1] < 0xA1 for pair in found) / len(found)  # never in EUC; often in Big5
    kana = share_within(first, 0xA4, 0xA5)
    late = share_within(first, 0xC9, 0xD7)  # common in Chinese, and behind all syllables of Korean
    if name == "gb18030":
        common = share_within(first, 0xB0, 0xD7) + share_within(first, 0xA1, 0xA3)
        return low < 0.1 and kana < 0.2 and common > MOSTLY_COMMON and not is_korean(first)
    if name == "cp949":
        return low < 0.1 and late < 0.1 and share_within(first, 0xB0, 0xC8) > MOSTLY_COMMON
    if name == "euc_jp":
        common = kana + share_within(first, 0xA1, 0xA3) + share_within(first, 0xB0, 0xCF)
        return low < 0.05 and kana >= 0.2 and common > MOSTLY_COMMON
    if name == "shift_jis":
        return (
            share_within(first, 0x81, 0x98) > MOSTLY_COMMON
            and share_within(first, 0x82, 0x83) > 0.1
        )
    return low > 0.1 and share_within(first, 0xA1, 0xC6) > MOSTLY_COMMON


def is_korean(first: list[int]) -> bool:
    """Whether the first bytes of signs are those of Korean syllables, and enough to tell."""
    return len(first) >= 20 and share_within(first, 0xB0, 0xC8) > 0.95


def share_within(codes: list[int], low: int, high: int) -> float:
    """Return the share of codes within these two."""
    return sum(low <= code <= high for code in codes) / len(codes)


def cyrillic(sample: bytes) -> str | None:
    """Return the encoding of a Cyrillic text, or None: whole words of it are above 0xC0."""
    high = len(re.findall(rb"[\xc0-\xff]", sample))
    words = re.findall(rb"[\xc0-\xff]{3,}", sample)
    inside = [code for word in words for code in word]
    if not inside or len(inside) < 0.7 * high:
        return None
    return "cp1251" if share_within(inside, 0xE0, 0xFF) > 0.5 else "koi8-r"
