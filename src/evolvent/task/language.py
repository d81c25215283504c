"""Language modelling: to foretell every token of a running text from those before it.

The vocabulary is that of the whole training text, also where only a part of it is learnt from, so that
perplexities of different parts can be compared. Perplexities of different vocabularies cannot.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, SettingError
from . import Part, Task
from .division import Windows
from .fetching import OWN
from .files import existing, why
from .portable.errors import Unreadable
from .portable.running import (
    END,
    UNKNOWN,
    beginning,
    numbered,
    pieces,
    running_text,
    segments,
)

PREFIX = "language:"
NAMES = {"ptb": "Penn Treebank, words, 930,000 + 74,000 + 82,000 tokens; from EVOLVENT_DATA"}
METRIC = "neg-cross-entropy"  # the mean log-likelihood of a token [nats]
VOCABULARY = 10_000
LENGTH = 35
SHARE = 0.1  # of a text without a test file of its own: the test part, at its end
MOSTLY = 0.5  # share of a part outside the vocabulary, which is told
LEAST = 20  # segments of the training part [count]
_PTB = ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")


def is_language(name: str) -> bool:
    """Whether `name` stands for a task of language modelling: a name of `NAMES`, or a prefix."""
    return name in NAMES or name.startswith(PREFIX)


def load(
    name: str,
    *,
    tokens: str = "words",
    vocabulary: int = VOCABULARY,
    minimum: int | None = None,
    length: int = LENGTH,
    validation: float = 0.1,
    fraction: float = 1.0,
    test: str | None = None,
) -> Task:
    """Return the task of foretelling a text.

    Args:
        name: ``language:FILE``, or a name of `NAMES`.
        tokens: ``words``, what stands between blanks, or ``characters``.
        vocabulary: most tokens, the unknown one among them. [count]
        minimum: how often a token must occur to have a number of its own; None is twice, and once in
            a set that has its unknown words marked. [count]
        length: of a segment, through which gradients go back. [tokens]
        validation: share of a text that is validated on, behind the training part. (0..0.5]
        fraction: share of the training part to learn from, its beginning. (0..1]
        test: a file whose text is the test part; None is the last tenth of the text.

    Raises:
        DataError: if a text cannot be used.
        SettingError: for a setting outside its rule.
    """
    _check(validation, fraction)
    if name in NAMES:
        if test is not None:
            raise SettingError(f"task.test: {name} has a test part of its own: leave it out")
        texts = [pieces(_read(file), tokens) for file in _public(name)]
        lines: list[str] = []
        minimum = 1 if minimum is None else minimum
    else:
        found = pieces(_read(name.removeprefix(PREFIX)), tokens)
        other = None if test is None else pieces(_read(test), tokens)
        texts = _split(found, validation, other)
        lines = ["the parts follow each other in the text: training, validation, test"]
        minimum = 2 if minimum is None else minimum
    known = vocabulary_of(texts[0], vocabulary, minimum)
    if len(known) < 4:
        raise DataError(
            f"{name!r}: the training text has {len(known)} tokens that occur {minimum} times: more "
            "text is needed, or task.minimum=1"
        )
    return _task(name, texts, known, tokens, length, fraction, lines)


def vocabulary_of(found: Sequence[str], most: int, minimum: int) -> list[str]:
    """Return the tokens that get a number, the most frequent first; `UNKNOWN` is one of them.

    Args:
        found: tokens of the whole training text.
        most: size of the vocabulary. [count]
        minimum: how often a token must occur. [count]
    """
    counts = Counter(found)
    counts.pop(UNKNOWN, None)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [word for word, count in ranked if count >= minimum or word == END]
    return [UNKNOWN, *kept[: most - 1]]


def _check(validation: float, fraction: float) -> None:
    for key, value, most in (("validation", validation, 0.5), ("fraction", fraction, 1.0)):
        if not 0 < value <= most:
            raise SettingError(f"{key}={value!r}: above 0 and at most {most:g}")


def _read(name: str | os.PathLike[str]) -> str:
    path = existing(name)
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder: name a text file in it")
    try:
        return running_text(path)
    except Unreadable as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {why(error)}") from error


def _public(name: str) -> list[Path]:
    """Return the three files of a public set in the user's own folder of data sets."""
    wanted = f"the files {', '.join(_PTB)}"
    if not os.environ.get(OWN):
        raise DataError(
            f"{name!r} is licensed and not fetched: put {wanted} into a folder {name}, and set {OWN} "
            "to the folder above it"
        )
    folder = Path(os.environ[OWN]).expanduser() / name
    files = [folder / file for file in _PTB]
    for file in files:
        if not file.is_file():
            raise DataError(f"{str(folder)!r} has no {file.name}: put {wanted} there")
    return files


def _split(found: list[str], validation: float, test: list[str] | None) -> list[list[str]]:
    """Return training, validation and test part of a text, in its order."""
    end = len(found) if test is not None else len(found) - round(SHARE * len(found))
    middle = end - round(validation * end)
    return [found[:middle], found[middle:end], found[end:] if test is None else test]


def _task(
    name: str,
    texts: Sequence[Sequence[str]],
    known: list[str],
    tokens: str,
    length: int,
    fraction: float,
    lines: list[str],
) -> Task:
    reading: dict[str, Any] = {
        "kind": "language",
        "tokens": tokens,
        "words": known,
        "length": length,
    }
    learnt = texts[0][: max(1, round(fraction * len(texts[0])))]
    ids = [numbered(each, reading) for each in (learnt, *texts[1:])]
    if len(ids[0]) < LEAST * length or min(map(len, ids[1:])) < length:
        told = ", ".join(f"{len(each):,}" for each in ids)
        raise DataError(
            f"{name!r}: {told} tokens to learn from, to validate and to test: at least "
            f"{LEAST * length:,}, {length} and {length} are needed: give more text, or a smaller "
            "task.length"
        )
    first = beginning(reading)
    train, validation, test = (Part(*segments(each, length, first)) for each in ids)
    counts = [len(each) for each in ids]
    strange = [float((each == known.index(UNKNOWN)).mean()) for each in ids]
    shares = ", ".join(f"{share:.1%}" for share in strange)
    lines = [
        *lines,
        f"the vocabulary has {len(known):,} {tokens}; outside it are {shares} of training, validation "
        "and test: perplexities of other vocabularies cannot be compared with these",
    ]
    if max(strange[1:]) > MOSTLY:
        lines.append(
            "most of what is validated or tested on is outside the vocabulary, so that scores say how "
            f"often {UNKNOWN} comes: is it the language of the training part?"
        )
    if fraction < 1:
        lines.append(
            f"learnt from the first {len(learnt):,} of {len(texts[0]):,} tokens; the vocabulary is "
            "that of all"
        )
    return Task(
        name=name,
        kind="language",
        input_shape=(length,),
        outputs=len(known),
        classes=(),
        train=train,
        validation=validation,
        test=test,
        loss="next-token",
        metric=METRIC,
        vocabulary=len(known),
        successive=True,
        division=Windows(),  # segments follow each other: the last ones are held out
        told=f"{counts[0]:,} training, {counts[1]:,} validation, {counts[2]:,} test tokens, "
        f"in segments of {length}, a vocabulary of {len(known):,}",
        note=tuple(lines),
        reading=reading,
    )


def tokens_of(part: Part) -> np.ndarray:
    """Return the tokens of a part in their order [N] int64, without what fills the last segment."""
    found: np.ndarray = part.y[part.y >= 0]
    return found
