"""Open a task by the user's name for it: a table, a public data set, or a path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from ..errors import DataError, SettingError
from . import AnyTask, Task, control, language, own_split
from .asked import LISTS, Asked, missing_marks
from .files import existing
from .frames import Frame, frame_of_table, is_table, read_frame
from .memory import NAME, Given
from .metrics import check_metric, judged, kind_of_metric
from .portable.forms import READ
from .portable.numerals import number
from .portable.unpacking import CELL_COST, PACKED, PACKINGS, plain_name
from .targets import check_targets, kind_of_several, names_of

Kind = Literal["classification", "regression", "multi-label"]
Texts = list[str | int | float] | str
Names = list[str] | str
Words = dict[str, str] | str
Whole = Annotated[int, Field(ge=0)]

_SPLIT = {"seed": int, "validation": float, "fraction": float}
_FILES = {"validation": float | str, "test": str}  # a share of the rows, or the user's own parts
_JUDGED = {"metric": str, "positive": str | int | float}
_TOKENS = {
    "vocabulary": Annotated[int, Field(ge=10)],
    "length": Annotated[int, Field(ge=2, le=100_000)],
    "tokens": Literal["words", "all", "characters"],
}
_WHOLE = {"series": bool}
_WINDOWS = {
    "window": Annotated[int, Field(ge=2)],
    "season": Annotated[int, Field(ge=2)],
    "windows": Literal["sequences", "lags"],
}
#: kind of name -> the settings that its reader takes (`--set task.name=value`).
SETTINGS: dict[str, dict[str, Any]] = {
    "control": {},
    "table": {"score": str, "test": str, "cost": str},
    "data": {
        **_SPLIT,
        **_JUDGED,
        "flip": bool,
        **_FILES,
        "size": int,
        "memory": Annotated[float, Field(gt=0)],
        "skip_broken": bool,
        **_WHOLE,
        "kind": Kind,
    },
    "text": {**_SPLIT, **_JUDGED, **_TOKENS},
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
        **_SPLIT,
        **_JUDGED,
        **_TOKENS,
        "target": Names,
        "labels_separator": str,
        "text": str,
        "texts": Texts,
        "kind": Kind,
        **_WHOLE,
        **_WINDOWS,
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
_REVIEWS = ("imdb_train.csv.gz", "imdb_test.csv.gz")
LARGE = 2**25  # a table whose memory is told before it is read [bytes]
COLUMNS = ("target", "labels_separator", "text", "kind")  # settings with an option of their own


def _form(name: str | Given) -> str:
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
    if name.startswith("table:"):
        return "table"
    if language.is_language(name):
        return "language"
    return "frame" if is_table(name) else "data"


def settings_of(name: str | Given) -> dict[str, Any]:
    """Return name -> type of the settings that the task `name` takes."""
    return SETTINGS[_form(name)]


def names() -> dict[str, str]:
    """Return name -> description of every built-in and public task."""
    from .named import NAMES

    return NAMES | TEXTS | language.NAMES | control.NAMES


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
    allowed = {"kind"} if _form(name) == "data" or _is_series(name, settings) else set()
    if said.keys() - allowed and _form(name) != "frame":
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
    given = [key for key in _WINDOWS if key in found]
    if given and "window" not in found:
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


_FOR = dict.fromkeys(_WINDOWS, "tables") | {"series": "tables and .npz files"}


def _is_series(name: str | Given, settings: Mapping[str, Any]) -> bool:
    """Whether a task that is no forecast is one of series."""
    from .series import is_ts

    return bool(settings.get("series")) or (isinstance(name, str) and is_ts(name))


def as_lags(name: str | Given, settings: Mapping[str, Any], kinds: Iterable[str]) -> dict[str, Any]:
    """Return the settings of a forecast with the form of its windows that a space reads.

    Args:
        name: of the task, or data in memory.
        settings: of it; what they say of the form stays.
        kinds: of data that the space is for.
    """
    tabular = "series" not in kinds and "numbers" in kinds
    if kind_of(name, settings) == "series" and "window" in settings and tabular:
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
    _own_split(found)
    return name, found


def _cannot_split(name: str | Given, key: str) -> str:
    shown = name if isinstance(name, str) else name.name
    form = _form(name)
    if key in own_split.COLUMNS and form == "data":
        return f"--{key} names a column, and {shown!r} are images: --validation and --test name folders"
    if key in own_split.COLUMNS and form == "language":
        return f"--{key} names a column, and {shown!r} is running text: --test names a file"
    return f"--{key} is for your own data: {shown!r} has parts of its own, leave it out"


def _part_named(name: str | Given, part: str, value: Any) -> str | float:
    """Return a share of the rows, or the whole path of a file or folder."""
    if isinstance(name, str) and _form(name) == "data" and name in names():
        raise SettingError(_cannot_split(name, part))
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    share = part == "validation" and number(str(text))
    if share is not None and share is not False:
        return float(share)
    if not isinstance(text, str):
        raise SettingError(f"{part}={value!r}: name a file or a folder")
    return str(existing(text).absolute())


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
    asked = {key: str(said[key]) for key in _JUDGED if key in said}
    if not asked:
        return said
    form = _form(name)
    if not _JUDGED.keys() <= SETTINGS[form].keys():
        shown = name if isinstance(name, str) else name.name
        raise SettingError(f"--{next(iter(asked))}: {shown!r} has a score of its own: leave it out")
    known: str | None = said.get("kind") or "classification"
    if form == "frame":
        known = said.get("kind") or _kind_without_data(said)
    elif _is_series(name, said):
        known = said.get("kind") or kind_of_metric(asked.get("metric", "accuracy"))
    check_metric(asked.get("metric"), asked.get("positive"), known)
    several = len(names_of(said.get("target", ""))) > 1
    kind = None if known is not None else kind_of_metric(asked["metric"])
    if kind is not None and not (several and kind == "classification"):  # labels have such, too
        said["kind"] = kind
    return said


def _kind_without_data(settings: Mapping[str, Any]) -> str | None:
    """Return the kind of a target where the settings alone tell it."""
    if "labels_separator" in settings:
        return "multi-label"
    if "window" in settings:
        return "regression"
    return "classification" if "text" in settings else None


def kind_of(name: str | Given, settings: Mapping[str, Any]) -> str | None:
    """Return the kind of the task `name`, as its name and its settings tell without its data."""
    form = _form(name)
    if _is_series(name, settings) or "window" in settings:
        return "numbers" if settings.get("windows") == "lags" else "series"
    if form == "frame":
        return "text" if "text" in settings else "numbers"
    return {"data": "image"}.get(form, form)


def check_settings_of(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse the settings of a task that are wrong whatever its data are.

    Raises:
        SettingError: for a split outside its rule.
    """
    if _SPLIT.keys() <= settings_of(name).keys():
        from .images import check_settings

        share, part = own_split.share_of(settings, 0.1), settings.get("fraction", 1.0)
        check_settings(settings.get("seed", 0), share, part, None)
    _own_split(settings)


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


def open_task(name: str | os.PathLike[str] | Given, settings: Mapping[str, Any]) -> AnyTask:
    """Return the task called `name`, or of data in memory, read and judged with `settings`."""
    given = dict(settings)
    metric, positive = (given.pop(key, None) for key in _JUDGED)
    task = _opened(name, given)
    if not task.trainable:
        return task
    return judged(cast(Task, task), metric, None if positive is None else str(positive))


def _opened(name: str | os.PathLike[str] | Given, settings: Mapping[str, Any]) -> AnyTask:
    if isinstance(name, Given):
        return _in_memory(name, settings)
    text = os.fspath(name)
    match _form(text):
        case "control":
            return control.load(text)
        case "table":
            from .tables import load_table

            return load_table(text.removeprefix("table:"), **settings)
        case "text":
            return _imdb(settings)
        case "language":
            return language.load(text, **settings)
        case "frame":
            return _from_frame(text, settings)
    if _is_series(text, settings):
        from .series import series_of_file

        return series_of_file(text, **_of_series(settings))
    from .named import load

    return load(text, **_of_images(text, settings))


# ---- the user's tables ---------------------------------------------------------------------------


def unnamed_kind(name: str | Given, settings: Mapping[str, Any]) -> bool:
    """Whether the kind of a table's target, a class or a quantity, must still be inferred."""
    if _form(name) != "frame" or "kind" in settings or _kind_without_data(settings):
        return False
    return len(names_of(settings.get("target", ""))) == 1


def frame_with_target(name: str | Given, settings: Mapping[str, Any]) -> tuple[Frame, str]:
    """Return the table at the path `name`, or in memory, and the name of its only target column.

    Raises:
        DataError, SettingError: as `frame_with_targets`; also for several targets.
    """
    frame, targets = frame_with_targets(name, settings)
    if not isinstance(targets, str):
        raise SettingError(f"targets {', '.join(targets)}: one is looked at, name one")
    return frame, targets


def frame_with_targets(
    name: str | Given, settings: Mapping[str, Any]
) -> tuple[Frame, str | list[str]]:
    """Return the table at the path `name`, or in memory, and the name of its target, or of several.

    Raises:
        DataError: if it cannot be read.
        SettingError: if no target is named.
    """
    if isinstance(name, Given) and name.table is None:
        raise SettingError(f"{name.name} are images, not a table")
    option = "target=" if isinstance(name, Given) else "--target"
    target = settings.get("target")
    frame = _frame(name, settings)
    if target is None:
        listed = ", ".join(list(frame.columns)[:12])
        running = isinstance(name, str) and plain_name(name).endswith(".txt")
        hint = f"; or search language:{name}, if it is running text" if running else ""
        raise SettingError(
            f"{frame.source!r} is a table: name the column to predict with {option}, one of {listed}"
            f"{hint}"
        )
    check_targets(frame, names_of(target))
    return frame, target


def memory_told(name: str | Given) -> str | None:
    """Return the memory that a large table takes, in a line to be told before; None of a small one."""
    if isinstance(name, Given) or _form(name) != "frame":
        return None
    file = Path(name)
    if not file.is_file():
        return None
    size = file.stat().st_size
    text = size * (PACKED if file.suffix.lower() in PACKINGS else 1)
    if text < LARGE:
        return None
    need = CELL_COST * text / 2**30
    return f"reading {file.name} ({size / 1e6:,.0f} MB) takes about {need:.1f} GiB of memory"


def _in_memory(data: Given, settings: Mapping[str, Any]) -> Task:
    """Return the task of data in memory."""
    from .images import image_task

    if data.images is None:
        return _from_frame(data, settings)
    files = own_split.files_of(settings)
    whole = _is_series(data, settings)
    unused = [
        each
        for each in ("size", "memory", *files)
        if each in settings and (each in files or not whole)
    ]
    if unused:
        raise SettingError(f"task.{unused[0]} is for files, these are data in memory: leave it out")
    parts: dict[str, Any] = {}
    for part, other in data.parts.items():
        assert other.images is not None  # `with_part` saw to it
        parts |= {f"x_{part}": other.images.x, f"y_{part}": other.images.y}
    given = {key: value for key, value in settings.items() if key != "validation" or not parts}
    if whole:
        from .series import series_of_arrays

        return series_of_arrays(data.name, replace(data.images, **parts), **_of_series(given))
    own = _of_images(data.name, given)
    return image_task(data.name, data.images.x, data.images.y, **parts, **own)


def _of_images(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that images have."""
    if "kind" in settings and name in names():
        raise SettingError(f"task.kind={settings['kind']}: {name!r} are images, which have classes")
    if settings.get("kind") == "multi-label":
        raise SettingError("task.kind=multi-label: images have one class or quantity each")
    return {key: value for key, value in settings.items() if key != "series"}


def _of_series(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that series in arrays have."""
    given = {key: value for key, value in settings.items() if key != "series"}
    unused = [key for key in given if key not in ("kind", *_SPLIT, *own_split.FILES)]
    if unused:
        raise SettingError(f"task.{unused[0]} is for images, these are series: leave it out")
    from .images import check_settings

    share = own_split.share_of(given, 0.2)
    check_settings(given.get("seed", 0), share, given.get("fraction", 1.0), None)
    return given


def _frame(name: str | Given, settings: Mapping[str, Any]) -> Frame:
    """Return the table at the path `name`, or in memory; the last one is kept until it is taken.

    To find out the kind of a target and then to search is to read a table twice: the second reading is
    free.
    """
    listed = ("target", "text", *own_split.COLUMNS)
    written = [each for key in listed for each in names_of(settings.get(key, ()))]
    written += _named(settings.get("texts", ()))
    own = own_split.OwnSplit.of(settings)
    asked = Asked.of(settings).without_ignored(own.column)
    stamp = (*_stamp(name), str(written), repr(asked), *(settings.get(key) for key in _READ))
    same = _KEPT.get("name") is name or (isinstance(name, str) and _KEPT.get("name") == name)
    if same and _KEPT["stamp"] == stamp:
        return cast(Frame, _KEPT["frame"])
    frame = _read(name, settings, asked, written)
    _KEPT.update(name=name, stamp=stamp, frame=frame)
    return frame


_KEPT: dict[str, Any] = {}
_READ = ("encoding", "sheet")  # settings of how a file is read


def _stamp(name: str | Given) -> tuple[int, ...]:
    """Return a value that changes where the file does."""
    if isinstance(name, Given):
        return ()
    try:
        told = Path(name).stat()
    except OSError:
        return ()  # read_frame says what is wrong
    return told.st_size, told.st_mtime_ns


def _read(
    name: str | Given, settings: Mapping[str, Any], asked: Asked, written: Sequence[str]
) -> Frame:
    """Return the table at the path `name`, or in memory."""
    if isinstance(name, Given) and name.table is not None:
        return frame_of_table(name.name, name.table, asked=asked, written=written)
    how: dict[str, Any] = {key: settings.get(key) for key in _READ}
    return read_frame(cast(str, name), **how, asked=asked, written=written)


def _from_frame(name: str | Given, settings: Mapping[str, Any]) -> Task:
    from .images import check_settings
    from .numbers import numbers_task
    from .text import text_task

    given = dict(settings)
    split = {key: given.pop(key) for key in _SPLIT if key in given}
    files = own_split.files_of(settings)
    if "validation" in files:
        del split["validation"]
    share = split.get("validation", 0.1)
    check_settings(split.get("seed", 0), share, split.get("fraction", 1.0), None)
    own = _own_split(settings)
    frame, target = frame_with_targets(name, settings)
    separator = given.pop("labels_separator", None)
    _KEPT.clear()
    for key in ("test", *own_split.COLUMNS, "keep"):
        given.pop(key, None)
    read = {key: given.pop(key, None) for key in _READ}
    kind, text = given.pop("kind", None), given.pop("text", None)
    weight = given.pop("weight", None)
    _check_weight(weight, {"target": target, "text": text}, frame)
    window = {key: given.pop(key) for key in _WINDOWS if key in given}
    single = _single(target, separator, settings)
    kind = _checked_kind(kind, frame, target, separator)
    if kind == "regression" or window:
        strange = [each for each in names_of(target) if frame.column(each).dtype.kind != "f"]
        frame = _with_numbers(name, frame, strange, settings) if strange else frame
    others, notes = _other_parts(name, files, frame, read)
    frame = replace(frame, note=(*frame.note, *notes))
    title = name.name if isinstance(name, Given) else name
    tokens = {key: given.pop(key) for key in _TOKENS if key in given}
    texts = _named(given.pop("texts", ()))
    both = [each for each in names_of(target) if each in (text, *texts)]
    if both:
        raise SettingError(f"--text {both[0]} and --target {both[0]}: two columns are needed")
    if text is not None:
        beside = f"--set task.texts={','.join(dict.fromkeys((*texts, text)))}, without --text"
        if kind == "regression":
            raise SettingError(
                f"--text and --kind regression: texts alone are sorted into classes; {beside}, reads "
                "texts beside the other columns, for quantities too"
            )
        if texts:
            raise SettingError(
                f"--text {text} reads that column alone: {beside}, reads all of them"
            )
        split |= {**others, "own": own}
        split |= {"target": single, "weight": weight}
        return text_task(title, frame, text=text, **split, **tokens)
    whole = given.pop("series", False)
    if weight is not None and (window or whole):
        raise SettingError(
            f"--weight {weight}: rows of series and of forecasts all weigh the same, leave it out"
        )
    if window:
        from .forecast import forecast_task

        form = window.pop("windows", "sequences")
        split |= {"target": single, "windows_as": form, **_later(others)}
        return forecast_task(title, frame, **window, **split)
    split |= {**others, "own": own}
    if tokens:
        raise SettingError(f"task.{next(iter(tokens))} is for texts: name their column with --text")
    if kind is None:
        raise SettingError(
            f"is {target!r} a class or a quantity? --kind classification or --kind regression"
        )
    if whole:
        from .series import series_of_table

        if texts:
            raise SettingError("task.texts and --series: series are of numbers, leave one out")
        return series_of_table(title, frame, target=single, kind=kind, **split)
    split |= {"target": target, "kind": kind, "separator": separator}
    return numbers_task(title, frame, texts=texts, weight=weight, **split)


def _named(columns: str | Sequence[str]) -> list[str]:
    """Return names of columns: a list, or one text with commas between."""
    return columns.split(",") if isinstance(columns, str) else [str(each) for each in columns]


def _check_weight(
    weight: str | None, others: Mapping[str, str | list[str] | None], frame: Frame
) -> None:
    """Refuse a column of weights that does not exist, or is another one of those that are named."""
    if weight is None:
        return
    for name, column in others.items():
        if weight in names_of(column or ()):
            raise SettingError(f"--weight {weight} and --{name} {weight}: two columns are needed")
    frame.column(weight)


def _own_split(settings: Mapping[str, Any]) -> own_split.OwnSplit:
    """Return the column that says how to split, where the settings allow one.

    Raises:
        SettingError: if they contradict each other.
    """
    own = own_split.OwnSplit.of(settings)
    said = own.by or ("validation" if "validation" in own_split.files_of(settings) else "")
    if said and "window" in settings:
        raise SettingError(_NO_WINDOWS.format(f"--{said}", f" {settings[said]}"))
    return own


_NO_WINDOWS = (
    "{0}{1} and --window: a forecast is validated on the last windows of its table, in the order of "
    "time: leave {0} out (--validation 0.3 is a share, --test FILE holds later rows)"
)


def _later(others: Mapping[str, Frame]) -> dict[str, Frame]:
    """Return the test part of a forecast, which has no other part of its own."""
    if "validating" in others:
        raise SettingError(_NO_WINDOWS.format("validation=", ""))
    return dict(others)


def _other_parts(
    name: str | Given, files: Mapping[str, str], frame: Frame, read: Mapping[str, Any]
) -> tuple[dict[str, Frame], list[str]]:
    """Return the tables of the parts that the user has apart, read as the training table is.

    Returns:
        Arguments of the makers of tasks, and what a user should know, one line each.
    """
    memory = name.parts if isinstance(name, Given) else {}
    found = {part: read_frame(file, **read, like=frame) for part, file in files.items()}
    for part, each in memory.items():
        if each.table is not None:
            found[part] = frame_of_table(f"{part}=", each.table, like=frame)
    notes = [line for each in found.values() for line in each.note if line.startswith(each.source)]
    for part, table in found.items():
        notes.append(f"{own_split.TOLD}{len(table):,} rows of {table.source!r} are the {part} part")
    arguments = {"validation": "validating", "test": "test"}
    return {arguments[part]: each for part, each in found.items()}, notes


def _checked_kind(
    kind: str | None, frame: Frame, target: str | list[str], separator: str | None
) -> str | None:
    """Return the kind of the targets, of several also where it is not said; None is not known.

    Raises:
        SettingError: if kind, number of targets and separator do not fit together.
    """
    if separator is not None:
        if not separator.strip() and separator != "\t":
            raise SettingError("--labels-separator: give a sign, such as ';'")
        if not isinstance(target, str):
            raise SettingError(
                "--labels-separator is for one --target, a column of lists of labels"
            )
        if kind not in (None, "multi-label"):
            raise SettingError(f"--labels-separator and --kind {kind}: lists are multi-label")
        return "multi-label"
    if isinstance(target, str):
        if kind == "multi-label":
            raise SettingError(
                f"--kind multi-label and one --target {target}: name several columns of two values, "
                "or say what stands between the labels of its cells, as in --labels-separator ';'"
            )
        return kind
    if kind == "classification":
        raise SettingError(
            f"--kind classification and targets {', '.join(target)}: several columns of two values are "
            "--kind multi-label; classes of more values are searched for one by one"
        )
    return kind or kind_of_several(frame, target)


def _single(target: str | list[str], separator: str | None, settings: Mapping[str, Any]) -> str:
    """Return the first target, which is the only one where one class or quantity is learnt.

    Raises:
        SettingError: saying so.
    """
    if isinstance(target, str) and separator is None and settings.get("kind") != "multi-label":
        return target
    for key, why in (
        ("text", "texts are sorted into classes"),
        ("series", "a series has one class or quantity"),
        ("window", "a forecast is of one quantity"),
    ):
        if settings.get(key):
            raise SettingError(f"--{key} with several targets or labels: {why}, name one --target")
    return names_of(target)[0]


def _with_numbers(
    name: str | Given, frame: Frame, targets: Sequence[str], settings: Mapping[str, Any]
) -> Frame:
    """Return the table with these targets read as numbers, if most of their cells are some."""
    asked = Asked.of(settings)
    if any(frame.about[each].conflict or asked.type_of(each) == "category" for each in targets):
        return frame
    try:
        numeric = replace(asked, numeric=(*asked.numeric, *targets))
        return _read(name, settings, numeric, targets)
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
    frames = [replace(f, columns={k: f.column(k) for k in kept}) for f in (train, test)]
    return text_task("imdb", frames[0], text="text", target="label", test=frames[1], **settings)
