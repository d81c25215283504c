"""Open a task by the user's name for it: a table, a public data set, or a path."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..errors import DataError, SettingError
from . import AnyTask, Task, control, language, mackey_glass, own_split
from .asked import Asked
from .frames import Frame, frame_of_table, read_frame
from .memory import Given
from .metrics import judged
from .options import (
    JUDGED,
    NO_WINDOWS,
    SPLIT,
    TOKENS,
    WINDOWS,
    form_of,
    is_series,
    kind_without_data,
    names,
    own_split_of,
)
from .portable.unpacking import CELL_COST, PACKED, PACKINGS, plain_name
from .targets import check_targets, kind_of_several, names_of

_REVIEWS = ("imdb_train.csv.gz", "imdb_test.csv.gz")
LARGE = 2**25  # a table whose memory is told before it is read [bytes]


def open_task(name: str | os.PathLike[str] | Given, settings: Mapping[str, Any]) -> AnyTask:
    """Return the task called `name`, or of data in memory, read and judged with `settings`."""
    given = dict(settings)
    metric, positive = (given.pop(key, None) for key in JUDGED)
    task = _opened(name, given)
    if not task.trainable:
        return task
    return judged(cast(Task, task), metric, None if positive is None else str(positive))


def _opened(name: str | os.PathLike[str] | Given, settings: Mapping[str, Any]) -> AnyTask:
    if isinstance(name, Given):
        return _in_memory(name, settings)
    text = os.fspath(name)
    match form_of(text):
        case "control":
            return control.load(text)
        case "table":
            from .tables import load_table

            return load_table(text.removeprefix("table:"), **settings)
        case "text":
            return _imdb(settings)
        case "generated":
            return mackey_glass.load(**settings)
        case "language":
            return language.load(text, **settings)
        case "frame":
            return _from_frame(text, settings)
    if is_series(text, settings):
        from .series import series_of_file

        return series_of_file(text, **_of_series(settings))
    from .named import load

    return load(text, **_of_images(text, settings))


# ---- the user's tables ---------------------------------------------------------------------------


def unnamed_kind(name: str | Given, settings: Mapping[str, Any]) -> bool:
    """Whether the kind of a table's target, a class or a quantity, must still be inferred."""
    if form_of(name) != "frame" or "kind" in settings or kind_without_data(settings):
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
    if isinstance(name, Given) or form_of(name) != "frame":
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
    whole = is_series(data, settings)
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
    unused = [key for key in given if key not in ("kind", *SPLIT, *own_split.FILES)]
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
    split = {key: given.pop(key) for key in SPLIT if key in given}
    files = own_split.files_of(settings)
    if "validation" in files:
        del split["validation"]
    share = split.get("validation", 0.1)
    check_settings(split.get("seed", 0), share, split.get("fraction", 1.0), None)
    own = own_split_of(settings)
    frame, target = frame_with_targets(name, settings)
    separator = given.pop("labels_separator", None)
    _KEPT.clear()
    for key in ("test", *own_split.COLUMNS, "keep"):
        given.pop(key, None)
    read = {key: given.pop(key, None) for key in _READ}
    kind, text = given.pop("kind", None), given.pop("text", None)
    weight = given.pop("weight", None)
    _check_weight(weight, {"target": target, "text": text}, frame)
    window = {key: given.pop(key) for key in WINDOWS if key in given}
    single = _single(target, separator, settings)
    kind = _checked_kind(kind, frame, target, separator)
    if kind == "regression" or window:
        strange = [each for each in names_of(target) if frame.column(each).dtype.kind != "f"]
        frame = _with_numbers(name, frame, strange, settings) if strange else frame
    others, notes = _other_parts(name, files, frame, read)
    frame = replace(frame, note=(*frame.note, *notes))
    title = name.name if isinstance(name, Given) else name
    tokens = {key: given.pop(key) for key in TOKENS if key in given}
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


def _later(others: Mapping[str, Frame]) -> dict[str, Frame]:
    """Return the test part of a forecast, which has no other part of its own."""
    if "validating" in others:
        raise SettingError(NO_WINDOWS.format("validation=", ""))
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
