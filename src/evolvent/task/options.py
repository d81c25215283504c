"""The settings that tasks take, and the options of the command line and of Python that set them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..errors import DataError, SettingError
from . import control, language, mackey_glass, own_split
from .asked import LISTS, missing_marks
from .files import existing
from .frames import is_table
from .memory import NAME, Given
from .metrics import check_metric, kind_of_metric
from .portable.forms import READ
from .portable.numerals import number
from .targets import names_of

Kind = Literal["classification", "regression", "multi-label"]
Texts = list[str | int | float] | str
Names = list[str] | str
Words = dict[str, str] | str
Whole = Annotated[int, Field(ge=0)]

SPLIT = {"seed": int, "validation": float, "fraction": float}
_FILES = {"validation": float | str, "test": str}  # a share of the rows, or the user's own parts
JUDGED = {"metric": str, "positive": str | int | float}
TOKENS = {
    "vocabulary": Annotated[int, Field(ge=10)],
    "length": Annotated[int, Field(ge=2, le=100_000)],
    "tokens": Literal["words", "all", "characters"],
}
_WHOLE = {"series": bool}
WINDOWS = {
    "window": Annotated[int, Field(ge=2)],
    "season": Annotated[int, Field(ge=2)],
    "windows": Literal["sequences", "lags"],
}
#: kind of name -> the settings that its reader takes (`--set task.name=value`).
SETTINGS: dict[str, dict[str, Any]] = {
    "control": {},
    "table": {"score": str, "test": str, "cost": str},
    "data": {
        **SPLIT,
        **JUDGED,
        "flip": bool,
        **_FILES,
        "size": int,
        "memory": Annotated[float, Field(gt=0)],
        "skip_broken": bool,
        **_WHOLE,
        "kind": Kind,
        "target": str,
    },
    "text": {**SPLIT, **JUDGED, **TOKENS},
    "generated": {
        **SPLIT,
        **JUDGED,
        **WINDOWS,
        **dict.fromkeys(("rows", "step", "tau"), Annotated[int, Field(ge=1)]),
    },
    "language": {
        "tokens": Literal["words", "characters"],
        "vocabulary": Annotated[int, Field(ge=10)],
        "minimum": Annotated[int, Field(ge=1)],
        "length": Annotated[int, Field(ge=2, le=1000)],
        "validation": float,
        "fraction": float,
        "test": str,
    },
    "frame": {
        **SPLIT,
        **JUDGED,
        **TOKENS,
        "target": Names,
        "labels_separator": str,
        "text": str,
        "texts": Texts,
        "kind": Kind,
        **_WHOLE,
        **WINDOWS,
        **_FILES,
        **dict.fromkeys(own_split.COLUMNS, str),
        "keep": str,
        "weight": str,
        "encoding": str,
        "sheet": str,
        **dict.fromkeys(LISTS, Texts),
        "decimal": Words,
        "dates": Words,
    },
}
TEXTS = {"imdb": "movie reviews, good or bad, 25,000 + 25,000 texts"}
COLUMNS = ("target", "labels_separator", "text", "kind")  # settings with an option of their own


def form_of(name: str | Given) -> str:
    """Return the form of data that a name stands for, a key of `SETTINGS`."""
    if isinstance(name, Given):
        return "frame" if name.table is not None else "data"
    if name == NAME:
        raise DataError(
            "the data of this run were handed over in memory and are not stored: call ev.search with "
            "them again, with the same settings and out"
        )
    if name in control.NAMES:
        return "control"
    if name in TEXTS:
        return "text"
    if name in mackey_glass.NAMES:
        return "generated"
    if name.startswith("table:"):
        return "table"
    if language.is_language(name):
        return "language"
    return "frame" if is_table(name) else "data"


def settings_of(name: str | Given) -> dict[str, Any]:
    """Return name -> type of the settings that the task `name` takes."""
    return SETTINGS[form_of(name)]


def names() -> dict[str, str]:
    """Return name -> description of every built-in and public task."""
    from .named import NAMES

    return NAMES | TEXTS | mackey_glass.NAMES | language.NAMES | control.NAMES


def with_columns(
    name: str | Given, settings: Mapping[str, Any], **columns: str | Sequence[str] | None
) -> dict[str, Any]:
    """Return the settings of a task with what options say of its columns.

    Args:
        name: of the task, or data in memory.
        settings: of it, as they were set by name.
        columns: ``target`` (one or several), ``labels_separator``, ``text``, ``kind``, ``weight``,
            ``encoding``, and the lists ``missing``, ``categorical``, ``numeric``, ``date``,
            ``ignore``; None is not said.

    Raises:
        SettingError: if the task is not a table of the user, a setting contradicts an option, or
            several columns are named where one is needed.
    """
    said: dict[str, Any] = {
        key: _plain(key, value) for key, value in columns.items() if value is not None
    }
    allowed = {"kind"} if form_of(name) == "data" else set()
    if allowed and isinstance(name, str) and Path(name).is_dir() and name not in names():
        allowed.add("target")  # of a folder whose table names its pictures
    if said.keys() - allowed and form_of(name) != "frame":
        option = next(key for key in said if key not in allowed).replace("_", "-")
        raise SettingError(f"--{option} is for tables: {_no_table(name)}")
    if isinstance(name, Given):
        if "encoding" in said:
            raise SettingError(f"encoding is for files of text, this is {name.name}: leave it out")
        said = _of_given(name, said)
    for key, value in said.items():
        if settings.get(key, value) != value:
            raise SettingError(f"--{key} {value} and task.{key}={settings[key]}: say it once")
    return dict(settings) | said


def _plain(option: str, value: str | Sequence[str]) -> str | list[str]:
    """Return the value of an option as a setting: one text, or a list of them."""
    if option == "target" and not isinstance(value, str):
        names = [str(each) for each in value]
        if not names:
            raise SettingError("--target names no column: give one or more")
        return names[0] if len(names) == 1 else names
    if option not in LISTS:
        if not isinstance(value, str):
            raise SettingError(f"--{option} {value!r}: there is one, give one name as text")
        return value
    given = [value] if isinstance(value, str) else [str(each) for each in value]
    return list(missing_marks(given)) if option == "missing" else given


def with_option(name: str, settings: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return the settings of a task with one that has an option of its own.

    Raises:
        SettingError: if the reader of the task has no such setting.
    """
    if key not in settings_of(name):
        raise SettingError(
            f"--{key.replace('_', '-')} is for folders of images, {name!r} is none: leave it out"
        )
    return dict(settings) | {key: value}


def with_series(
    name: str | Given, settings: Mapping[str, Any], **said: bool | int | None
) -> dict[str, Any]:
    """Return the settings of a task with what options say of series.

    Args:
        name: of the task, or data in memory.
        settings: of it.
        said: ``series``, and of forecasts ``window`` and ``season``; None or False is not
            said.

    Raises:
        SettingError: if they are not for such data, contradict a setting, or miss each other.
    """
    found = dict(settings)
    for key, value in said.items():
        if value is None or value is False:
            continue
        if key not in settings_of(name):
            raise SettingError(f"--{key} is for {_FOR[key]}: {_no_table(name)}")
        if found.get(key, value) != value:
            raise SettingError(f"--{key} {value} and task.{key}={found[key]}: say it once")
        found[key] = value
    given = [key for key in WINDOWS if key in found]
    if given and not is_forecast(name, found):
        raise SettingError(
            f"{given[0]} is for forecasts: say with --window N from how many rows one is made"
        )
    if given:
        wrong = [key for key in ("series", "text", "texts") if found.get(key)]
        if wrong or found.get("kind") == "classification":
            raise SettingError(
                f"--window and --{(*wrong, 'kind classification')[0]}: a forecast is of a quantity, "
                "from the rows before it: leave one of them out"
            )
    return found


_FOR = dict.fromkeys(WINDOWS, "tables") | {"series": "tables and .npz files"}


def is_series(name: str | Given, settings: Mapping[str, Any]) -> bool:
    """Whether a task that is no forecast is one of series."""
    from .series import is_ts

    return bool(settings.get("series")) or (isinstance(name, str) and is_ts(name))


def is_forecast(name: str | Given, settings: Mapping[str, Any]) -> bool:
    """Whether a task is to forecast a column of a table from the rows before."""
    return "window" in settings or form_of(name) == "generated"


def as_lags(name: str | Given, settings: Mapping[str, Any], kinds: Iterable[str]) -> dict[str, Any]:
    """Return the settings of a forecast with the form of its windows that a space reads.

    Args:
        name: of the task, or data in memory.
        settings: of it; what they say of the form stays.
        kinds: of data that the space is for.
    """
    tabular = "series" not in kinds and "numbers" in kinds
    if is_forecast(name, settings) and kind_of(name, settings) == "series" and tabular:
        return {"windows": "lags", **settings}
    return dict(settings)


def with_split(
    name: str | Given, settings: Mapping[str, Any], **said: Any
) -> tuple[str | Given, dict[str, Any]]:
    """Return the task and its settings with what the user says of its split.

    Args:
        name: of the task, or data in memory.
        settings: of it.
        said: ``groups``, ``time``, ``folds``: a column, or of data in memory its cells [N];
            ``validation``, ``test``: a file or folder, of data in memory such data too, and of
            ``validation`` a share of the rows. None is not said.

    Raises:
        SettingError: if the task cannot be split so, or a setting contradicts an option.
    """
    found = dict(settings)
    for key, value in said.items():
        if value is None:
            continue
        if key not in settings_of(name):
            raise SettingError(_cannot_split(name, key))
        if not isinstance(value, str | os.PathLike | int | float):
            if not isinstance(name, Given):
                raise SettingError(
                    f"{key}= is no text: the task is a file, name a file or a column"
                )
            if key in own_split.FILES:
                name = name.with_part(key, value)
                continue
            name, value = name.with_column(key, value)
        elif key in own_split.FILES:
            value = _part_named(name, key, value)
        if found.get(key, value) != value:
            raise SettingError(f"--{key} {value} and task.{key}={found[key]}: say it once")
        found[key] = value
    own_split_of(found)
    return name, found


def _cannot_split(name: str | Given, key: str) -> str:
    shown = name if isinstance(name, str) else name.name
    form = form_of(name)
    if key in own_split.COLUMNS and form == "data":
        return f"--{key} names a column, and {shown!r} are images: --validation and --test name folders"
    if key in own_split.COLUMNS and form == "language":
        return f"--{key} names a column, and {shown!r} is running text: --test names a file"
    return f"--{key} is for your own data: {shown!r} has parts of its own, leave it out"


def _part_named(name: str | Given, part: str, value: Any) -> str | float:
    """Return a share of the rows, or the whole path of a file or folder."""
    if isinstance(name, str) and form_of(name) == "data" and name in names():
        raise SettingError(_cannot_split(name, part))
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    share = part == "validation" and number(str(text))
    if share is not None and share is not False:
        return float(share)
    if not isinstance(text, str):
        raise SettingError(f"{part}={value!r}: name a file or a folder")
    return str(existing(text).absolute())


NO_WINDOWS = (
    "{0}{1} and --window: a forecast is validated on the last windows of its table, in the order of "
    "time: leave {0} out (--validation 0.3 is a share, --test FILE holds later rows)"
)


def own_split_of(settings: Mapping[str, Any]) -> own_split.OwnSplit:
    """Return the column that says how to split, where the settings allow one.

    Raises:
        SettingError: if they contradict each other.
    """
    own = own_split.OwnSplit.of(settings)
    said = own.by or ("validation" if "validation" in own_split.files_of(settings) else "")
    if said and "window" in settings:
        raise SettingError(NO_WINDOWS.format(f"--{said}", f" {settings[said]}"))
    return own


def with_metric(
    name: str | Given, settings: Mapping[str, Any], metric: str | None, positive: str | None
) -> dict[str, Any]:
    """Return the settings of a task with the metric that it is judged by, checked without its data.

    A metric is for classes or for quantities: of a table it says so, where nothing else does.

    Args:
        name: of the task, or data in memory.
        settings: of it.
        metric: its name, or None.
        positive: the class that counts as positive, or None.

    Raises:
        SettingError: if there is no such metric, it does not fit, or the task has no data.
    """
    said = dict(settings)
    for key, value in {"metric": metric, "positive": positive}.items():
        if value is not None:
            if said.get(key, value) != value:
                raise SettingError(f"--{key} {value} and task.{key}={said[key]}: say it once")
            said[key] = value
    asked = {key: str(said[key]) for key in JUDGED if key in said}
    if not asked:
        return said
    form = form_of(name)
    if not JUDGED.keys() <= SETTINGS[form].keys():
        shown = name if isinstance(name, str) else name.name
        raise SettingError(f"--{next(iter(asked))}: {shown!r} has a score of its own: leave it out")
    known: str | None = said.get("kind") or "classification"
    if form == "frame":
        known = said.get("kind") or kind_without_data(said)
    elif form == "generated":
        known = "regression"
    elif is_series(name, said):
        known = said.get("kind") or kind_of_metric(asked.get("metric", "accuracy"))
    check_metric(asked.get("metric"), asked.get("positive"), known)
    several = len(names_of(said.get("target", ""))) > 1
    kind = None if known is not None else kind_of_metric(asked["metric"])
    if kind is not None and not (several and kind == "classification"):  # labels have such, too
        said["kind"] = kind
    return said


def kind_without_data(settings: Mapping[str, Any]) -> str | None:
    """Return the kind of a target where the settings alone tell it."""
    if "labels_separator" in settings:
        return "multi-label"
    if "window" in settings:
        return "regression"
    return "classification" if "text" in settings else None


def kind_of(name: str | Given, settings: Mapping[str, Any]) -> str | None:
    """Return the kind of the task `name`, as its name and its settings tell without its data."""
    form = form_of(name)
    if is_series(name, settings) or is_forecast(name, settings):
        return "numbers" if settings.get("windows") == "lags" else "series"
    if form == "frame":
        return "text" if "text" in settings else "numbers"
    return {"data": "image"}.get(form, form)


def check_settings_of(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse the settings of a task that are wrong whatever its data are.

    Raises:
        SettingError: for a split outside its rule.
    """
    if SPLIT.keys() <= settings_of(name).keys():
        from .images import check_settings

        share, part = own_split.share_of(settings, 0.1), settings.get("fraction", 1.0)
        check_settings(settings.get("seed", 0), share, part, None)
    own_split_of(settings)


def _no_table(name: str | Given) -> str:
    """Say that a task is no table, and what to do."""
    if isinstance(name, str) and Path(name).suffix and Path(name).is_file():
        return f"{name!r} is none; {READ} are read: save it as one of these"
    return f"{name if isinstance(name, str) else name.name!r} is none: leave it out"


def _of_given(data: Given, said: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of data in memory: y is the target, and texts alone are the texts."""
    if data.target is None:
        return said
    if "target" in said:
        raise SettingError(f"target={said['target']!r} beside y: y is the target, leave target out")
    target = data.target if isinstance(data.target, str) else list(data.target)
    found: dict[str, Any] = {"target": target} | ({"text": data.text} if data.text else {})
    return found | said
