"""Texts and their classes: words become tokens, by a vocabulary of the training part.

A task has its texts in one of two forms. With ``tokens="words"`` the words of a text are its runs of
letters and digits in lower case, without HTML tags; in scripts that are written without blanks every
sign is a word. Texts have equal lengths, the first token pads short ones, the second stands for any
word outside the vocabulary. With ``tokens="all"`` a text is all of its words, numbers, signs of
punctuation and emoji, however many there are, a word outside the vocabulary is a hash of its letters,
and scripts without blanks are read as pairs of characters; so are short codes (``"characters"``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from ..errors import DataError
from . import Part, Task
from .copies import hashes_of_texts, told_copies
from .files import some
from .frames import Frame, with_labels
from .mixed import are_codes as are_codes
from .numbers import target_of, with_target
from .own_split import Divided, File, OwnSplit, divide, files_given, stacked
from .portable.columns import CATEGORIES
from .portable.raw import as_written
from .portable.tokens import FIRST_WORD, READERS, as_tokens, strange_texts
from .source import Source
from .targets import measured
from .weighting import taken_out_of_all, weighted

LEAST_COUNT = 2  # of a word that has a token of its own [times]
VOCABULARY = 10_000
LENGTH = 256


def text_task(
    name: str,
    frame: Frame,
    *,
    text: str,
    target: str,
    test: Frame | None = None,
    validating: Frame | None = None,
    own: OwnSplit = OwnSplit(),
    seed: int = 0,
    validation: float = 0.1,
    fraction: float = 1.0,
    vocabulary: int = VOCABULARY,
    length: int = LENGTH,
    tokens: str = "words",
    note: Iterable[str] = (),
    weight: str | None = None,
) -> Task:
    """Return the task of classifying texts.

    Args:
        name: how the user called the data.
        frame: the table.
        text: the column of texts.
        target: the column of classes, text or numbers.
        test: a table of the same columns, whose rows are the test part; None splits it off.
        validating: another, whose rows are the validation part; None splits it off.
        own: the column that says how the rows are split.
        seed: of the split between training and validation.
        validation: share of the rows to validate on, of those that are not test. (0..0.5]
        fraction: share of the remaining training rows to keep. (0..1]
        vocabulary: most tokens; the most frequent words have one each. [count]
        length: tokens of every text; of a longer one, the first and the last. [count]
        tokens: ``words``, ``all``, or ``characters``, which ``all`` chooses itself where the texts are
            short codes; see the module.
        note: further lines for the user.
        weight: the column of the weights of rows; None is 1 of every row.

    Raises:
        DataError: if the table cannot be used.
    """
    notes = [*frame.note, *note]
    others = files_given(validation=validating, test=test)
    frame = with_labels(frame, target, notes)
    others = {part: with_labels(each, target, [], like=frame) for part, each in others.items()}
    frame = with_target(frame, target, notes)
    others = {part: with_target(each, target, notes) for part, each in others.items()}
    files = {p: File.of(each, own, p) for p, each in ({"training": frame} | others).items()}
    frame, others, weights = taken_out_of_all(own.without(frame), others, weight, notes)
    y, more, about = target_of(frame, others, target, "classification", notes)
    classes = tuple(about["classes"])
    y = np.concatenate([y, *more.values()])
    divided = divide(
        *(y, files, own),
        classes=classes,
        seed=seed,
        validation=validation,
        fraction=fraction,
        test=True,
        notes=notes,
    )
    if others:
        _tell_unused(frame, text, target, notes)
        frame = stacked(frame, list(others.values()), [text, target])
    task = prepared_texts(
        name,
        frame,
        y,
        text=text,
        target=target,
        classes=classes,
        divided=divided,
        notes=notes,
        seed=seed,
        vocabulary=vocabulary,
        length=length,
        tokens=tokens,
    )
    if weights is None or weight is None:
        return task
    return weighted(task, {k: weights[rows] for k, rows in divided.parts.items()}, weight)


def _tell_unused(frame: Frame, text: str, target: str, notes: list[str]) -> None:
    others = [each for each in frame.columns if each not in (text, target)]
    if others:
        notes.append(f"columns beside {text!r} and {target!r} are not used: {some(others)}")


def prepared_texts(
    name: str,
    frame: Frame,
    y: np.ndarray,
    *,
    text: str,
    target: str,
    classes: tuple[str, ...],
    divided: Divided,
    notes: list[str],
    seed: int,
    vocabulary: int = VOCABULARY,
    length: int = LENGTH,
    tokens: str = "words",
) -> Task:
    """Return the task of classifying texts whose classes are known and whose rows are in parts.

    Args:
        name: how the user called the data.
        frame: the table, with or without its target.
        y: classes [N] int64.
        text: the column of texts.
        target: the name of the target.
        classes: their names.
        divided: the rows of ``training``, ``validation`` and maybe ``test``.
        notes: what a user should know; gets a line for whatever else there is.
        seed: of the split.
        vocabulary: most tokens; the most frequent words have one each. [count]
        length: tokens of every text; of a longer one, the first and the last. [count]
        tokens: ``words``, ``all`` or ``characters``, as of `text_task`.

    Raises:
        DataError: if there are too few words.
    """
    parts = divided.parts
    _tell_unused(frame, text, target, notes)
    raw = texts_of(frame, text)
    if tokens == "all" and are_codes([raw[row] for row in parts["training"]]):
        tokens = "characters"
        notes.append(f"column {text!r}: short codes, which are read by their characters")
    read = READERS[tokens]
    texts = {row: read(raw[row]) for row in parts["training"].tolist()}  # others are read once
    known = frequent(texts.values(), vocabulary)
    hashed = tokens != "words" and any(map(read, raw))  # what occurs once has a token too
    if not (known or hashed):
        raise DataError(
            f"{frame.source!r}: column {text!r} has no word that occurs {LEAST_COUNT} times: more "
            "text is needed"
        )
    reading = {
        "kind": "text",
        "task": "classification",
        "text": text,
        "marks": list(_marks_of(frame, text)),
        "target": target,
        "classes": list(classes),
        "words": known,
        "length": length,
    }
    reading |= {} if tokens == "words" else {"tokens": tokens}
    reading |= {"file": dict(frame.how)} if frame.how else {}
    made = {
        key: Part(
            as_tokens((texts.get(row) or read(raw[row]) for row in rows.tolist()), reading), y[rows]
        )
        for key, rows in parts.items()
    }
    masks = [strange_texts(part.x).items() for part in made.values()]
    strange = sorted({what for part in masks for what, mask in part if mask.any()})
    reading |= {"strange": strange} if strange else {}  # `predict.py` says nothing of such texts
    notes += told_copies(hashes_of_texts(raw), parts)
    return Task(
        name=name,
        kind="text",
        input_shape=(length,),
        outputs=len(classes),
        classes=classes,
        train=made["training"],
        validation=made["validation"],
        test=made.get("test"),
        vocabulary=FIRST_WORD + len(known),
        any_length=tokens != "words",
        seed=seed,
        note=tuple(notes),
        reading=reading,
        source=Source(frame, parts),
        division=divided.division,
        **measured("classification"),
    )


def texts_of(frame: Frame, column: str) -> list[str]:
    """Return a column as texts; numbers are texts too."""
    values = frame.written.get(column, frame.column(column))
    marks = frozenset(_marks_of(frame, column))
    return ["" if each.strip() in marks else each for each in as_written(values)]


def _marks_of(frame: Frame, column: str) -> Iterable[str]:
    """Return the texts of a column that are missing, so empty texts."""
    about = frame.about.get(column)
    return CATEGORIES["marks"] if about is None else about.form["marks"]


def frequent(texts: Iterable[list[str]], vocabulary: int) -> list[str]:
    """Return the words that get a token, the most frequent first; equal ones by the alphabet."""
    counts = Counter(word for text in texts for word in text)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, count in ranked if count >= LEAST_COUNT][: vocabulary - FIRST_WORD]
