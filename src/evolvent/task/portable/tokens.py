"""From texts to words, and from words to tokens."""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .ragged import Ragged

TAG = r"<[^<>]{1,200}>"
#: a tag as HTML has it: what stands between a heart, <3, and a later > is text
STRICT_TAG = r"</?[a-zA-Z!?][^<>]{0,200}>"
WORD = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:'[^\W_]+)*"
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2

HASHES = 2**31 - 1  # tokens are below it
LONGEST = 20_000  # of a text, of which all tokens are read [tokens]
#: scripts that are written without blanks: Chinese, Japanese, Thai, Lao, Burmese, Khmer; and Korean,
#: whose words have many endings
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
#: signs within words that Python counts among neither letters nor digits: accents, vowel signs
ACCENTS = r"\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_RUN = re.compile(f"([{UNSPACED}]+)")
_LETTER = f"(?:[^\\W_]|[{ACCENTS}])"
#: a number, a word, or any other sign that is not blank: punctuation, an emoji
_ASCII = re.compile(r"\d+(?:[.,]\d+)+|[a-z0-9]+(?:'[a-z0-9]+)*|[^\sa-z0-9]")
_ANY = re.compile(rf"\d+(?:[.,]\d+)+|{_LETTER}+(?:['’]{_LETTER}+)*|[^\s\ufe0e\ufe0f\u200b-\u200d]")
_BEGIN, _END = "\x02", "\x03"  # of a text that is read by its characters


def words(text: str) -> list[str]:
    """Return the words of a text, in their order."""
    return re.findall(WORD, re.sub(TAG, " ", text.lower()))


def pieces(text: str) -> list[str]:
    """Return all of a text in its order: words, numbers, signs of punctuation, emoji; in lower case.

    HTML tags are left out. A run of a script without blanks is read as its pairs of neighbouring
    characters, of which two or three in a row are three or four characters.
    """
    if "<" in text:
        text = re.sub(STRICT_TAG, " ", text)
    if "&" in text:
        text = html.unescape(text)
    text = text.lower()
    if text.isascii():
        return _ASCII.findall(text)
    found: list[str] = []
    for place, part in enumerate(_RUN.split(text)):
        found += _pairs(part) if place % 2 else _ANY.findall(part)
    return found


def characters(text: str) -> list[str]:
    """Return the pairs of neighbouring characters of a text, its begin and its end among them."""
    return _pairs(f"{_BEGIN}{' '.join(text.lower().split())}{_END}") if text.strip() else []


def _pairs(text: str) -> list[str]:
    return [text] if len(text) == 1 else [text[at : at + 2] for at in range(len(text) - 1)]


#: value of ``tokens`` in a reading -> the words of a text
READERS = {"words": words, "all": pieces, "characters": characters}


def read_texts(texts: Iterable[str], reading: Mapping[str, Any]) -> Any:
    """Return texts as tokens, as `reading` says; see `as_tokens`."""
    return as_tokens(map(READERS[reading.get("tokens", "words")], texts), reading)


def as_tokens(texts: Iterable[list[str]], reading: Mapping[str, Any]) -> Any:
    """Return texts that are split already as tokens: an array [N, T] int32, or `Ragged` rows.

    Where all tokens of a text are read, each has its own length; see `all_tokens`. Else every text has
    as many tokens; see `tokens`.
    """
    if reading.get("tokens", "words") == "words":
        return tokens(texts, reading)
    return all_tokens(texts, reading["words"])


def all_tokens(texts: Iterable[list[str]], known: Iterable[str]) -> Ragged:
    """Return texts as tokens, each as long as it is, but for texts of more than `LONGEST` tokens.

    A known word has a token of its own, any other one a hash of its letters (CRC-32), which lies above
    those. Of a text that is too long the first third and the last two thirds of `LONGEST` are kept.

    Args:
        texts: their words.
        known: the words that have a token of their own, the first one `FIRST_WORD`.
    """
    token = {word: place for place, word in enumerate(known, start=FIRST_WORD)}
    least = FIRST_WORD + len(token)
    head = LONGEST // 3
    rows = []
    for text in texts:
        if len(text) > LONGEST:
            text = text[:head] + text[len(text) - LONGEST + head :]
        row = []
        for word in text:
            if (found := token.get(word)) is None:
                code = zlib.crc32(word.encode("utf-8", "surrogatepass"))
                found = token[word] = least + code % (HASHES - least)
            row.append(found)
        rows.append(np.array(row, np.int32))
    return Ragged.of(rows)


def tokens(texts: Iterable[list[str]], reading: Mapping[str, Any]) -> np.ndarray:
    """Return texts as tokens [N, T] int32, as `reading` says.

    Of a text that is too long the first third and the last two thirds of the length are kept: what
    it says is mostly told at its end, what it is about at its start.
    """
    token = {word: place for place, word in enumerate(reading["words"], start=FIRST_WORD)}
    length = reading["length"]
    head = length // 3
    rows = []
    for text in texts:
        kept = text if len(text) <= length else text[:head] + text[len(text) - length + head :]
        row = np.full(length, PADDING, np.int32)
        row[: len(kept)] = [token.get(word, UNKNOWN) for word in kept]
        rows.append(row)
    return np.stack(rows)


def strange_texts(found: Any) -> dict[str, np.ndarray]:
    """Return what texts may lack -> the mask of those that lack it [N], from their tokens.

    Where all tokens of a text are read, a network may know any of them.
    """
    if isinstance(found, Ragged):
        return {"hold no word": found.lengths == 0}
    empty = (found == PADDING).all(1)
    return {
        "hold no word": empty,
        "hold no word that the network knows": ~empty & (found <= UNKNOWN).all(1),
    }
