"""Open a task by the user's name for it: a table, a public data set, or a path."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from ..errors import DataError, SettingError
from . import AnyTask, Task, control
from .asked import LISTS, Asked, missing_marks
from .frames import Frame, is_table, read_frame
from .portable.csv_reader import CELL_COST

Kind = Literal["classification", "regression"]
Texts = list[str | int | float] | str
Words = dict[str, str] | str
Whole = Annotated[int, Field(ge=0)]

_SPLIT = {"seed": int, "validation": float, "fraction": float}
_TOKENS = {
    "vocabulary": Annotated[int, Field(ge=10)],
    "length": Annotated[int, Field(ge=2, le=100_000)],
}
#: kind of name -> the settings that its reader takes (`--set task.name=value`).
SETTINGS: dict[str, dict[str, Any]] = {
    "control": {},
    "table": {"score": str, "test": str, "cost": str},
    "data": {**_SPLIT, "flip": bool, "size": int, "memory": Annotated[float, Field(gt=0)]},
    "text": {**_SPLIT, **_TOKENS},
    "frame": {
        **_SPLIT,
        **_TOKENS,
        "target": str,
        "text": str,
        "kind": Kind,
        "test": str,
        **dict.fromkeys(LISTS, Texts),
        "decimal": Words,
        "dates": Words,
    },
}
TEXTS = {"imdb": "movie reviews, good or bad, 25,000 + 25,000 texts"}
_REVIEWS = ("imdb_train.csv.gz", "imdb_test.csv.gz")
LARGE = 2**25  # a table whose memory is told before it is read [bytes]
COLUMNS = ("target", "text", "kind")  # settings with an option of their own


def _form(name: str) -> str:
    if name in control.NAMES:
        return "control"
    if name in TEXTS:
        return "text"
    if name.startswith("table:"):
        return "table"
    return "frame" if is_table(name) else "data"


def settings_of(name: str) -> dict[str, Any]:
    """Return name -> type of the settings that the task `name` takes."""
    return SETTINGS[_form(name)]


def names() -> dict[str, str]:
    """Return name -> description of every built-in and public task."""
    from .named import NAMES

    return NAMES | TEXTS | control.NAMES


def with_columns(
    name: str, settings: Mapping[str, Any], **columns: str | Sequence[str] | None
) -> dict[str, Any]:
    """Return the settings of a task with what options say of its columns.

    Args:
        name: of the task.
        settings: of it, as they were set by name.
        columns: ``target``, ``text``, ``kind``, and the lists ``missing``, ``categorical``,
            ``numeric``, ``date``, ``ignore``; None is not said.

    Raises:
        SettingError: if the task is not a table of the user, or a setting contradicts an option.
    """
    said = {key: _plain(key, value) for key, value in columns.items() if value is not None}
    if said and _form(name) != "frame":
        raise SettingError(
            f"--{next(iter(said))} is for tables (.csv, .parquet), {name!r} is none: leave it out"
        )
    for key, value in said.items():
        if settings.get(key, value) != value:
            raise SettingError(f"--{key} {value} and task.{key}={settings[key]}: say it once")
    return dict(settings) | said


def _plain(option: str, value: str | Sequence[str]) -> str | list[str]:
    """Return the value of an option as a setting: one text, or a list of them."""
    if option not in LISTS:
        return str(value)
    given = [value] if isinstance(value, str) else list(value)
    return list(missing_marks(given)) if option == "missing" else given


def open_task(name: str | os.PathLike[str], settings: Mapping[str, Any]) -> AnyTask:
    """Return the task called `name`, read with `settings`."""
    text = os.fspath(name)
    match _form(text):
        case "control":
            return control.load(text)
        case "table":
            from .tables import load_table

            return load_table(text.removeprefix("table:"), **settings)
        case "text":
            return _imdb(settings)
        case "frame":
            return _from_frame(text, settings)
    from .named import load

    return load(text, **settings)


# ---- the user's tables ---------------------------------------------------------------------------


def unnamed_kind(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether the kind of a table's target, a class or a quantity, must still be inferred."""
    return _form(name) == "frame" and not ("kind" in settings or "text" in settings)


def frame_with_target(name: str, settings: Mapping[str, Any]) -> tuple[Frame, str]:
    """Return the table at the path `name`, and the name of its target column.

    Raises:
        DataError: if it cannot be read.
        SettingError: if no target is named.
    """
    target = settings.get("target")
    frame = _frame(name, settings)
    if target is None:
        listed = ", ".join(list(frame.columns)[:12])
        raise SettingError(
            f"{name!r} is a table: name the column to predict with --target, one of {listed}"
        )
    frame.column(target)
    return frame, target


def memory_told(name: str) -> str | None:
    """Return what reading a large table takes in memory, to be told before; None of a small one."""
    file = Path(name)
    if _form(name) != "frame" or not file.is_file() or file.stat().st_size < LARGE:
        return None
    size = file.stat().st_size
    need = CELL_COST * size / 2**30
    return f"reading {file.name} ({size / 1e6:,.0f} MB) takes about {need:.1f} GiB of memory"


def _frame(name: str, settings: Mapping[str, Any]) -> Frame:
    """Return the table at the path `name`; the one that was read last is kept until it is taken.

    To find out the kind of a target and then to search is to read a file twice: the second reading is
    free.
    """
    written = [settings[key] for key in ("target", "text") if key in settings]
    asked = Asked.of(settings)
    try:
        told = Path(name).stat()
        stamp = (told.st_size, told.st_mtime_ns, str(written), repr(asked))
    except OSError:
        stamp = None  # read_frame says what is wrong
    if _KEPT.get("name") == (name, stamp):
        return cast(Frame, _KEPT["frame"])
    frame = read_frame(name, asked=asked, written=written)
    _KEPT.update(name=(name, stamp), frame=frame)
    return frame


_KEPT: dict[str, Any] = {}


def _from_frame(name: str, settings: Mapping[str, Any]) -> Task:
    from .images import check_settings
    from .numbers import numbers_task
    from .text import text_task

    given = dict(settings)
    split = {key: given.pop(key) for key in _SPLIT if key in given}
    share = split.get("validation", 0.1)
    check_settings(split.get("seed", 0), share, split.get("fraction", 1.0), None)
    frame, target = frame_with_target(name, settings)
    _KEPT.clear()
    test = given.pop("test", None)
    kind, text = given.pop("kind", None), given.pop("text", None)
    if kind == "regression" and frame.column(target).dtype.kind != "f":
        frame = _with_numbers(name, frame, target, settings)
    other = None if test is None else read_frame(test, like=frame)
    tokens = {key: given.pop(key) for key in _TOKENS if key in given}
    if text is not None:
        if kind == "regression":
            raise SettingError("--text and --kind regression: texts are sorted into classes")
        if text == target:
            raise SettingError(f"--text {text} and --target {target}: two columns are needed")
        return text_task(name, frame, text=text, target=target, test=other, **split, **tokens)
    if tokens:
        raise SettingError(f"task.{next(iter(tokens))} is for texts: name their column with --text")
    if kind is None:
        raise SettingError(
            f"is {target!r} a class or a quantity? --kind classification or --kind regression"
        )
    return numbers_task(name, frame, target=target, kind=kind, test=other, **split)


def _with_numbers(name: str, frame: Frame, target: str, settings: Mapping[str, Any]) -> Frame:
    """Return the table with its target read as numbers, if most of its cells are some."""
    asked = Asked.of(settings)
    if frame.about[target].conflict or asked.type_of(target) == "category":
        return frame
    try:
        return read_frame(
            name, asked=replace(asked, numeric=(*asked.numeric, target)), written=[target]
        )
    except DataError:
        return frame  # whose target is refused as text


def _imdb(settings: Mapping[str, Any]) -> Task:
    """Return the task of IMDB's reviews (Maas et al. 2011); class 1 is a good review."""
    from .fetching import OWN, fetch
    from .images import check_settings
    from .text import text_task

    share, part = settings.get("validation", 0.1), settings.get("fraction", 1.0)
    check_settings(settings.get("seed", 0), share, part, None)
    wanted = f"the files {' and '.join(_REVIEWS)}, with columns text and label,"
    folder = Path(os.environ.get(OWN) or ".").expanduser() / "imdb"
    if not (os.environ.get(OWN) and folder.is_dir()):
        folder = fetch("imdb", wanted)
    for file in _REVIEWS:
        if not (folder / file).is_file():
            raise DataError(f"{str(folder)!r} has no {file}: put {wanted} there")
    train = read_frame(folder / _REVIEWS[0])
    test = read_frame(folder / _REVIEWS[1], like=train)
    kept = ("text", "label")
    frames = [
        Frame(f.source, {k: f.column(k) for k in kept}, f.note, f.about, f.written)
        for f in (train, test)
    ]
    return text_task("imdb", frames[0], text="text", target="label", test=frames[1], **settings)
