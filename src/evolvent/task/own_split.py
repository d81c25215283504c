"""The user's own split of a table: files that are parts, and columns of groups, of time, of folds.

A column that says how to split is no input of the network, unless the user keeps it: what it says of
new rows (another patient, a later day) was never learnt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import DataError, SettingError
from .division import INDEPENDENT, Division, Folds, Given, Groups, Times
from .files import some
from .frames import Frame
from .portable.dates import seconds_of
from .portable.numerals import number
from .splitting import Parts, thinned, three_parts
from .targets import names_of

COLUMNS = ("groups", "time", "folds")  # settings that name a column
FILES = ("validation", "test")  # settings that may name a file
ORDER = ("training", "validation", "test")
TOLD = "split: "  # how the line begins that tells of the user's split
NAMES = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class OwnSplit:
    """The column that says how to split, if there is one.

    Args:
        by: ``groups``, ``time`` or ``folds``; empty without a column.
        column: its name.
        kept: whether it stays an input.
        alone: whether it was handed over by itself, and never was one.
    """

    by: str = ""
    column: str = ""
    kept: bool = False
    alone: bool = False

    @staticmethod
    def of(settings: Mapping[str, Any]) -> OwnSplit:
        """Return the split that the settings of a task ask for.

        Raises:
            SettingError: if they contradict each other.
        """
        said = {by: str(settings[by]) for by in COLUMNS if settings.get(by) is not None}
        if len(said) > 1:
            raise SettingError(
                f"{' and '.join(f'--{by} {column}' for by, column in said.items())}: one column says "
                "how rows are split, name one"
            )
        kept = settings.get("keep")
        if not said:
            if kept is not None:
                raise SettingError(
                    f"task.keep={kept}: it keeps the column of --groups, --time or --folds as an "
                    "input, name one of these, or leave it out"
                )
            return OwnSplit()
        ((by, column),) = said.items()
        for other in ("target", "text", "weight"):
            if column in names_of(settings.get(other) or ()):
                raise SettingError(
                    f"--{by} {column} and --{other} {column}: two columns are needed"
                )
        if by == "folds" and _is_file(settings.get("validation")):
            raise SettingError(
                f"--folds {column} and --validation {settings['validation']}: each says which rows "
                "validate, leave one out"
            )
        if kept is not None and kept != column:
            raise SettingError(
                f"task.keep={kept}: it keeps the column of --{by}, which is {column}"
            )
        return OwnSplit(by, column, kept is not None)

    def needed(self, part: str) -> bool:
        """Whether the file of a part must have the column: folds are those of the training file."""
        return bool(self.by) and (self.by != "folds" or part == "training")

    def without(self, frame: Frame) -> Frame:
        """Return a table without the column, unless it stays an input."""
        if not self.by or self.kept or self.column not in frame.columns:
            return frame
        return replace(
            frame,
            columns={k: v for k, v in frame.columns.items() if k != self.column},
            about={k: v for k, v in frame.about.items() if k != self.column},
            written={k: v for k, v in frame.written.items() if k != self.column},
        )


def files_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return part -> the file that the settings of a task name for it."""
    said = {part: settings[part] for part in FILES if settings.get(part) is not None}
    return {part: str(each) for part, each in said.items() if part == "test" or _is_file(each)}


def _is_file(validation: Any) -> bool:
    return validation is not None and not isinstance(validation, int | float)


def share_of(settings: Mapping[str, Any], usual: float) -> float:
    """Return the share of the rows to validate on, whether or not there is a file of them."""
    said = settings.get("validation", usual)
    return usual if _is_file(said) else float(said)


# ---- what the column says ------------------------------------------------------------------------


@dataclass(frozen=True)
class Keys:
    """The cells of the column, so that they can be compared.

    Args:
        values: groups and folds as int, float or text [N] object, None where one is missing; times
            [N] float64, NaN where one is missing.
        shown: the cells, for messages [N] object.
    """

    values: np.ndarray
    shown: np.ndarray


def keys_of(frame: Frame, own: OwnSplit) -> Keys:
    """Return the keys of every row of a table, by the column.

    Raises:
        DataError: if there is no such column, or one of time holds no times.
    """
    frame.column(own.column)
    shown = frame.labels(own.column)
    if own.by == "time":
        return Keys(_times(frame, own.column), shown)
    about = frame.about.get(own.column)
    marks = set(about.form.get("marks", ())) if about is not None else set()
    values = np.empty(len(shown), object)
    values[:] = [_label(cell, marks) for cell in shown.tolist()]
    return Keys(values, shown)


def _label(cell: str, marks: set[str]) -> int | float | str | None:
    """Return a cell as a label: 7, 7.0 and 07 are one, and so are texts that differ by blanks."""
    text = cell.strip()
    if not text or text in marks:
        return None
    if re.fullmatch(r"[0-9]+", text):
        return int(text)
    found = number(text)
    if found is None or found != found:
        return text
    return int(found) if float(found).is_integer() else float(found)


def _times(frame: Frame, name: str) -> np.ndarray:
    """Return a column of numbers or dates as numbers that grow with time [N] float64."""
    column, about = frame.column(name), frame.about.get(name)
    if about is not None and about.conflict:
        raise DataError(f"{frame.source!r}: {about.conflict}")
    if column.dtype.kind == "f":
        return np.where(np.isfinite(column), column, np.nan)
    if about is not None and about.form.get("type") == "date":
        return np.asarray(seconds_of(column, about.form["order"]), np.float64)
    filled = [each for each in column.tolist() if each]
    raise DataError(
        f"{frame.source!r}: column {name!r} holds neither numbers nor dates, such as "
        f"{str((filled or [''])[0])[:40]!r}: --time needs times that can be ordered"
    )


# ---- tables of several files ---------------------------------------------------------------------


def files_given(**parts: Frame | None) -> dict[str, Frame]:
    """Return the parts that have a table of their own."""
    return {part: each for part, each in parts.items() if each is not None}


def stacked(frame: Frame, others: Sequence[Frame], names: Sequence[str]) -> Frame:
    """Return the rows of a table and then those of others, with the columns `names` of each."""
    if not others:
        return frame
    every = (frame, *others)
    written = {
        name: np.concatenate([each.labels(name) for each in every])
        for name in names
        if name in frame.written
    }
    return replace(
        frame,
        columns={name: np.concatenate([each.column(name) for each in every]) for name in names},
        about={name: frame.about[name] for name in names if name in frame.about},
        written=written,
    )


@dataclass(frozen=True)
class File:
    """The rows of one file, or of one table in memory.

    Args:
        source: its name, for messages.
        rows: that have a target. [count]
        keys: what the column of the split says of them; None if it says nothing.
        own: that column.
    """

    source: str
    rows: int
    keys: Keys | None = None
    own: OwnSplit = OwnSplit()

    @staticmethod
    def of(frame: Frame, own: OwnSplit, part: str) -> File:
        """Return the file of a table, with the keys that its part needs."""
        keys = keys_of(frame, own) if own.needed(part) else None
        return File(frame.source, len(frame), keys, own)


@dataclass(frozen=True)
class Divided:
    """The rows of all files, one after another, in parts.

    Args:
        parts: part -> row numbers.
        division: what may be apart among the training rows and then the validation rows.
    """

    parts: Parts
    division: Division


def divide(
    y: np.ndarray,
    files: Mapping[str, File],
    own: OwnSplit,
    *,
    classes: Sequence[str],
    spread: bool | None = None,
    seed: int,
    validation: float,
    fraction: float,
    test: bool,
    notes: list[str],
) -> Divided:
    """Divide the rows of all files as the user said; what nobody said is left to chance.

    Args:
        y: of the rows of all files, in their order: classes [N] int64 or quantities [N].
        files: part -> file; ``training`` is the first, from which missing parts are split off.
        own: the column that says how.
        classes: names of the classes; none of a quantity.
        spread: whether every part gets its share of the values of `y`, though they are no classes;
            None is that they are.
        seed: of the split between training and validation.
        validation: share of the rows that are not test, without a file of its own. (0..0.5]
        fraction: share of the training part to keep. (0..1]
        test: whether a test part is wanted.
        notes: gets the line that tells what was done.

    Raises:
        DataError: if the files contradict the column, or it does not allow a split.
    """
    rows = _rows(files)
    alike = bool(classes) if spread is None else spread
    how: dict[str, Any] = {"classes": alike, "seed": seed, "fraction": fraction}
    how["validation"] = None if "validation" in files else validation
    how["test"] = test and "test" not in files
    fixed = {part: each for part, each in rows.items() if part != "training"}
    if own.by == "folds":
        parts, division = _by_folds(y, files["training"], own, how, notes)
        parts |= fixed
    elif own.by:
        division, known = _bound(files, own, notes)
        mine = rows["training"][known[rows["training"]]]
        parts = three_parts(y, division=division, rows=mine, **how)
        parts |= {part: each[known[each]] for part, each in fixed.items()}
        _check_apart(parts, division, files, notes)
    else:
        division = Given() if "validation" in files else INDEPENDENT
        parts = three_parts(y, rows=rows["training"], **how) | fixed
    parts = {part: parts[part] for part in ORDER if part in parts}
    _check_parts(y, parts, classes, own, notes)
    notes += _told(parts, division, files, own)
    learnt = np.concatenate([parts["training"], parts["validation"]])
    return Divided(parts, division.taken(learnt))


def _rows(files: Mapping[str, File]) -> Parts:
    """Return part -> the row numbers of its file."""
    rows, start = {}, 0
    for part, file in files.items():
        rows[part] = np.arange(start, start := start + file.rows)
    return rows


def _bound(
    files: Mapping[str, File], own: OwnSplit, notes: list[str]
) -> tuple[Division, np.ndarray]:
    """Return the division by groups or time, and the rows that it can place [N] bool."""
    told = [file.keys for file in files.values() if file.keys is not None]
    values = np.concatenate([each.values for each in told])
    if own.by == "time":
        known = ~np.isnan(values)
        if not known.all():
            notes.append(f"{int((~known).sum())} rows without {own.column!r} are left out: --time")
        places = np.unique(values[known], return_inverse=True)[1]
        codes = np.full(len(values), -1)
        codes[known] = places
        return Times(own.column, codes), known
    unknown = sum(each is None for each in values.tolist())
    if unknown:
        notes.append(f"{unknown} rows without {own.column!r} count as one group")
    names: dict[Any, int] = {None: -1}
    codes = np.array([names.setdefault(each, len(names)) for each in values.tolist()], np.int64)
    return Groups(own.column, codes), np.ones(len(values), bool)


def bound_rows(frame: Frame, own: OwnSplit) -> tuple[Frame, Division]:
    """Return a single table without the column, and the division that it says; folds are groups here.

    Raises:
        DataError: if the column cannot be used.
    """
    if not own.by:
        return frame, INDEPENDENT
    by = own if own.by == "time" else replace(own, by="groups")
    division, known = _bound({"training": File.of(frame, by, "training")}, by, [])
    rows = np.flatnonzero(known)
    return own.without(frame.rows(rows)), division.taken(rows)


def _check_apart(
    parts: Parts, division: Division, files: Mapping[str, File], notes: list[str]
) -> None:
    """Refuse files that contradict the column: a group in two parts, or a part before another."""
    given = [part for part in ORDER if part in parts]
    for at, later in enumerate(given):
        for earlier in given[:at]:
            one, other = (division.codes[parts[part]] for part in (earlier, later))
            sources = [_source(part, files) for part in (earlier, later)]
            if division.bound is not None:
                both = np.setdiff1d(np.intersect1d(one, other), [-1])
                if len(both):
                    raise DataError(
                        f"{len(both)} groups of {division.column!r} are in {sources[0]} and in "
                        f"{sources[1]}, such as {_shown(files, division, both[0])!r}: no group may be "
                        "on two sides; leave them out of one of them"
                    )
            elif len(one) and len(other) and other.min() < one.max():
                begins, ends = (_shown(files, division, code) for code in (other.min(), one.max()))
                raise DataError(
                    f"by {division.column!r}, {sources[1]} begins at {begins!r}, before {sources[0]} "
                    f"ends at {ends!r}: every part comes after the one before it; mend the files, or "
                    "leave --time out"
                )


def _source(part: str, files: Mapping[str, File]) -> str:
    return repr(files[part].source) if part in files else f"the {part} rows"


def _shown(files: Mapping[str, File], division: Division, code: int) -> str:
    """Return a cell of the column as it is written, by its code."""
    shown = [each.keys.shown for each in files.values() if each.keys is not None]
    return str(np.concatenate(shown)[int((division.codes == code).argmax())])


def _check_parts(
    y: np.ndarray, parts: Parts, classes: Sequence[str], own: OwnSplit, notes: list[str]
) -> None:
    """Refuse empty parts, and tell the classes that no training row has."""
    for part, rows in parts.items():
        if not len(rows):
            raise DataError(f"the {part} part has no rows: give some with a target")
    if not classes:
        return
    counts = np.bincount(y[parts["training"]], minlength=len(classes))
    missing = [classes[index] for index in np.flatnonzero(counts == 0).tolist()]
    if len(classes) - len(missing) < 2:
        raise DataError(
            f"the training part holds one class only by --{own.by} {own.column}: at least 2 are needed"
        )
    if missing:
        notes.append(f"classes without a training row are never answered: {some(missing)}")


# ---- folds ---------------------------------------------------------------------------------------


def _by_folds(
    y: np.ndarray, file: File, own: OwnSplit, how: Mapping[str, Any], notes: list[str]
) -> tuple[Parts, Division]:
    """Return the parts of the training file by a column of folds, or of names of parts."""
    assert file.keys is not None
    labels = file.keys.values.tolist()
    unknown = sum(each is None for each in labels)
    if unknown:
        raise DataError(
            f"{file.source!r}: {unknown} rows have no {own.column!r}: every row needs a fold"
        )
    called = [NAMES.get(str(each).lower()) for each in labels]
    parts = {
        part: np.array([at for at, each in enumerate(called) if each == part], np.int64)
        for part in ORDER
    }
    if len(parts["test"]) and not how["test"]:
        raise DataError(
            f"{file.source!r}: {own.column!r} names test rows, and there is a test file: one of them"
        )
    tested = {"test": parts["test"]} if len(parts["test"]) else {}
    folds = [at for at, each in enumerate(called) if each is None]
    named = len(parts["training"]) + len(parts["validation"])
    if folds and named:
        both = some(sorted({str(labels[at]) for at in folds}))
        raise DataError(
            f"{file.source!r}: {own.column!r} names parts (train, validation) and folds ({both}): "
            "folds beside test alone"
        )
    if folds:
        found, division = _numbered(np.array(folds), labels, file, own)
    elif len(parts["validation"]):
        found, division = {part: parts[part] for part in ORDER[:2]}, Given()
    else:
        rest = three_parts(y, rows=parts["training"], **{**how, "test": False, "fraction": 1.0})
        found, division = rest, INDEPENDENT
    training = thinned(y, found["training"], how["fraction"], how["seed"], how["classes"])
    return found | tested | {"training": training}, division


def _numbered(
    rows: np.ndarray, labels: Sequence[Any], file: File, own: OwnSplit
) -> tuple[Parts, Division]:
    """Return the rows of all folds but the last, those of the last, and the folds."""
    found_labels = {labels[at] for at in rows.tolist()}
    values = sorted(found_labels, key=lambda each: (isinstance(each, str), each))
    if len(values) < 2:
        raise DataError(
            f"{file.source!r}: {own.column!r} has one fold, {values[0]!r}: at least 2 are needed"
        )
    place = {each: at for at, each in enumerate(values)}
    codes = np.full(file.rows, -1)
    codes[rows] = [place[labels[at]] for at in rows.tolist()]
    last = codes == len(values) - 1
    found = {"training": np.flatnonzero((codes >= 0) & ~last), "validation": np.flatnonzero(last)}
    return found, Folds(own.column, codes)


# ---- what is told --------------------------------------------------------------------------------


def _told(parts: Parts, division: Division, files: Mapping[str, File], own: OwnSplit) -> list[str]:
    """Return the line about a column that says how to split; none without one."""
    if not own.by:
        return []
    how = {"groups": _told_groups, "time": _told_times, "folds": _told_folds}
    stays = f"{own.column!r} stays an input"
    no = f"{own.column!r} is no input (--set task.keep={own.column} makes it one)"
    said = how[own.by](parts, division, files, own)
    stands = "" if own.alone else f"; {stays if own.kept else no}"
    return [f"{TOLD}{said}{stands}"]


def _told_groups(parts: Parts, division: Division, files: Mapping[str, File], own: OwnSplit) -> str:
    counts = [f"{len(np.unique(division.codes[rows]))} {part}" for part, rows in parts.items()]
    return f"no group of {own.column!r} is in two parts ({', '.join(counts)} groups)"


def _told_times(parts: Parts, division: Division, files: Mapping[str, File], own: OwnSplit) -> str:
    spans = []
    for part, rows in parts.items():
        codes = division.codes[rows]
        first, last = (_shown(files, division, code) for code in (codes.min(), codes.max()))
        spans.append(f"{part} {first} to {last}")
    return f"in the order of {own.column!r}: {', '.join(spans)}"


def _told_folds(parts: Parts, division: Division, files: Mapping[str, File], own: OwnSplit) -> str:
    tested = "" if "test" in parts else ", there is no test part (--test FILE, or rows called test)"
    if division.by != "folds":
        chance = (
            "" if division.kept_in_order else ", which of the others validate is left to chance"
        )
        return f"the parts that {own.column!r} names{chance}{tested}"
    rows = parts["validation"]
    keys = files["training"].keys
    last = "" if keys is None or not len(rows) else str(keys.shown[rows[0]])
    count = len(np.unique(division.codes[division.codes >= 0]))
    return (
        f"the {count} folds of {own.column!r}: {last!r}, the last, validates; where networks are "
        f"judged on folds, each is held out in turn{tested}"
    )
