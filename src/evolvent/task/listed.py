"""The reader of pictures that a table names: a folder with a ``metadata.csv``.

The form is that of image folders on public hubs: the column ``file_name`` names a picture by its path
from the folder of the table, any other column is what is learnt of it, a class or a quantity.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, SettingError
from .files import LIMIT, some
from .folders import PARTS, by_part, check_size, folders_in, in_rows, is_picture, walk
from .frames import Frame, missing, read_frame
from .images import Images

TABLE = "metadata.csv"
FILE = "file_name"  # the column of the pictures
MOST_CLASSES = 100  # whole numbers of more values need a word whether they are classes


@dataclass(frozen=True)
class Listing:
    """The words of a user on a table that names pictures.

    Args:
        target: the column to predict; None is the only one beside `FILE`.
        kind: ``classification`` or ``regression``; None is not said.
    """

    target: str | None = None
    kind: str | None = None


def listed(root: Path) -> dict[str, Path]:
    """Return part -> the folder that holds its table; empty where no table names pictures."""
    if (root / TABLE).is_file():
        return {"training": root}
    folders = {each.name.lower(): each for each in folders_in(root, root, [])}
    if "train" not in folders or not (folders["train"] / TABLE).is_file():
        return {}
    return by_part(root, {name: each for name, each in folders.items() if name in PARTS})


def has_classes(folder: Path) -> bool:
    """Whether a folder holds several sub-folders of pictures, whose names may be classes."""
    filled = (any(map(is_picture, walk(each))) for each in folders_in(folder, folder, []))
    return sum(filled) > 1


def read_listed(
    root: Path,
    size: int | tuple[int, int] | None = None,
    *,
    listing: Listing = Listing(),
    limit: int = LIMIT,
    memory: int | None = None,
    skip_broken: bool = False,
) -> Images:
    """Return the pictures that a table names, with what it says of each.

    The folder, or each of ``train/``, ``val/`` and ``test/`` in it, holds a `TABLE`. The pictures are
    read by the rules of `folders.read_folder`.

    Args:
        root: the folder.
        size: see `folders.read_folder`, as the three that follow.
        listing: what the user says of the table.
        limit: see there.
        memory: see there.
        skip_broken: see there.

    Raises:
        SettingError: if `size` breaks its rule, or several columns could be meant.
        DataError: if a table or a picture is missing, or cannot be read.
    """
    target = check_size(size)
    notes: list[str] = []
    tables = {part: _table(folder) for part, folder in listed(root).items()}
    name = _target(tables["training"], listing.target)
    named = {part: _named(table, name, notes) for part, table in tables.items()}
    kind = listing.kind or _kind(named["training"], name, notes)
    found = {
        part: list(zip(_files(table, notes), _values(table, name, kind), strict=True))
        for part, table in named.items()
    }
    how: Any = {"limit": limit, "memory": memory, "skip_broken": skip_broken}
    return replace(in_rows(root, found, target, notes, **how), target=name)


def _table(folder: Path) -> Frame:
    """Return the table of a folder, with a column of the pictures."""
    file = folder / TABLE
    if not file.is_file():
        raise DataError(f"{str(folder)!r} holds no {TABLE}, as the other parts do: add it")
    frame = read_frame(file)
    if FILE not in frame.columns:
        raise DataError(
            f"{str(file)!r} has no column {FILE!r} with the paths of the pictures: it has "
            f"{some(list(frame.columns), 12)}"
        )
    return frame


def _target(frame: Frame, said: str | None) -> str:
    """Return the name of the column to predict."""
    others = [name for name in frame.columns if name != FILE]
    if said is not None:
        frame.column(said)
        if said == FILE:
            raise SettingError(f"--target {FILE}: the pictures are no target, name another column")
        return said
    if len(others) != 1:
        raise SettingError(
            f"{frame.source!r}: name the column to predict with --target, one of "
            f"{some(others, 12) or 'those that you add'}"
        )
    return others[0]


def _named(frame: Frame, target: str, notes: list[str]) -> Frame:
    """Return the rows that name a picture and have a target."""
    gone = missing(frame.column(target))
    if gone.all():
        raise DataError(f"{frame.source!r}: no row has {target!r}")
    if gone.any():
        notes.append(f"{frame.source!r}: {int(gone.sum())} rows without {target!r} are left out")
    return frame.rows(~gone)


def _kind(frame: Frame, target: str, notes: list[str]) -> str:
    """Return the kind of a target where it is plain, and note what was taken for granted."""
    column = frame.column(target)
    if column.dtype.kind != "f":
        return "classification"
    values = np.unique(column)
    if (values == np.round(values)).all() and len(values) <= MOST_CLASSES:
        notes.append(
            f"{target!r} holds {len(values)} whole numbers, which are read as classes: --kind "
            "regression if they are a quantity"
        )
        return "classification"
    raise SettingError(
        f"is {target!r} of {frame.source!r} a class or a quantity? It holds {len(values)} different "
        "numbers: --kind classification or --kind regression"
    )


def _values(frame: Frame, target: str, kind: str) -> np.ndarray:
    """Return the targets [N]: classes as they are written, or numbers."""
    if kind == "classification":
        return frame.labels(target)
    column = frame.column(target)
    if column.dtype.kind != "f":
        raise DataError(
            f"{frame.source!r}: {target!r} holds text such as {some(column[:1].tolist())}, a quantity "
            "is a number: --kind classification"
        )
    return column


def _files(frame: Frame, notes: list[str]) -> list[Path]:
    """Return the pictures that a table names, all of which are there."""
    source, names = frame.source, frame.labels(FILE).tolist()
    folder = Path(source).parent
    bounds = folder.resolve()
    pairs = [(name, folder / name) for name in names]
    if outside := [name for name, file in pairs if not file.resolve().is_relative_to(bounds)]:
        raise DataError(f"{source!r} names {some(outside)}, which lies outside its folder")
    if gone := [name for name, file in pairs if not file.is_file()]:
        raise DataError(
            f"{source!r} names {len(gone)} files that are not there ({some(gone)}): paths begin at the "
            "folder of the table"
        )
    if strange := [name for name, file in pairs if not is_picture(file)]:
        raise DataError(f"{source!r} names {some(strange)}, by their names no pictures")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{source!r} names {some(twice)} more than once: one row per picture")
    below = sum(map(is_picture, walk(folder)))
    if more := below - len(pairs):
        notes.append(f"{more} images below {folder.name!r} are not in {TABLE}: not read")
    return [file for _, file in pairs]
