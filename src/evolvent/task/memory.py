"""Data that a Python program hands over: data frames and arrays in place of a file.

ev.search(frame, target="price")   # pandas, polars, pyarrow, or a mapping of columns
ev.search((x, y))                  # arrays [N, F] or frames of numbers and words, images, texts
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, SettingError
from .frames import table_of
from .images import Images
from .portable.raw import RawTable
from .targets import names_of

if TYPE_CHECKING:
    import pandas as pd

NAME = "data in memory"
TEXT = "text"  # what a column of texts is called that came without a name
TAKEN = (
    "a name, a path, a data frame (pandas, polars, pyarrow, or a mapping of columns) with target=, or "
    "(x, y)"
)


@dataclass(frozen=True)
class Given:
    """Data in memory.

    Args:
        table: the cells of a table, or None.
        images: or images with their classes.
        target: the column of the table that was handed over as y, or several; None if target= names
            them.
        text: the column of the table that was handed over as texts.
        parts: ``validation`` and ``test`` -> data of the same kind that are these parts.
    """

    table: RawTable | None = None
    images: Images | None = None
    target: str | tuple[str, ...] | None = None
    text: str | None = None
    parts: Mapping[str, Given] = field(default_factory=dict)

    name = NAME

    @cached_property
    def digest(self) -> str:
        """A hash of the data."""
        found = hashlib.sha256()
        arrays: dict[str, np.ndarray] = {}
        if self.table is not None:
            arrays |= {name: np.asarray(cells) for name, cells in self.table.columns.items()}
        if self.images is not None:
            arrays |= {"x": self.images.x, "y": self.images.y}
        for name, array in arrays.items():
            found.update(f"{name} {array.dtype} {array.shape}".encode())
            text = array.dtype.kind in "OU"
            found.update(
                repr(array.tolist()).encode() if text else np.ascontiguousarray(array).data
            )
        for part, other in self.parts.items():
            found.update(f"{part} {other.digest}".encode())
        return found.hexdigest()[:16]

    def with_part(self, part: str, data: Any) -> Given:
        """Return the same with other data that are a part of it.

        Args:
            part: ``validation`` or ``test``.
            data: what `given` takes, of the same kind: a table with the same columns, or (x, y).

        Raises:
            SettingError: if they are of another kind.
            DataError: if they cannot be used as given.
        """
        other = given(data)
        if (other.table is None) != (self.table is None) or bool(other.target) != bool(self.target):
            raise SettingError(
                f"{part}= is of another kind than the task: hand both over as tables, or as (x, y)"
            )
        if other.table is not None and other.target and self.target:
            mine, theirs = names_of(self.target), names_of(other.target)
            if len(mine) != len(theirs):
                raise DataError(
                    f"the y of {part}= has {len(theirs)} targets, that of the task {len(mine)}: make "
                    "them alike"
                )
            columns = dict(other.table.columns)
            found = [columns.pop(name) for name in theirs]
            columns |= dict(zip(mine, found, strict=True))
            other = replace(other, table=other.table._replace(columns=columns))
        return replace(self, parts={**self.parts, part: other})

    def with_column(self, by: str, cells: Any) -> tuple[Given, str]:
        """Return the same with one more column, which says how its rows are split, and its name.

        Args:
            by: ``groups``, ``time`` or ``folds``.
            cells: one for every row [N].

        Raises:
            SettingError: if the data are no table, or the cells are not as many as the rows.
        """
        if self.table is None:
            raise SettingError(
                f"{by}= is for tables, these are images: hand the parts over instead"
            )
        rows = len(next(iter(self.table.columns.values()), ()))
        cells = _array(by, cells)
        if cells.shape != (rows,):
            raise SettingError(
                f"{by}= has shape {cells.shape}: one for each of {rows} rows is needed"
            )
        name = by
        while name in self.table.columns:
            name += "_"
        more = table_of(frame_of_array(cells).set_axis([name], axis=1), NAME).columns
        table = self.table._replace(columns={**self.table.columns, **more})
        return replace(self, table=table), name


def given(data: Any) -> Given:
    """Return what a program handed over as a task.

    Args:
        data: a data frame of pandas, polars or pyarrow, or a mapping of columns; or (x, y): x a data
            frame, an array of numbers [N, F] or [N], images [N, H, W] or [N, H, W, C], or texts [N]; y
            classes or quantities [N], or several targets per row
            [N, outputs].

    Raises:
        SettingError: if it is neither.
        DataError: if it cannot be used as given.
    """
    frame = pandas_frame(data)
    if frame is not None:
        return Given(table=table_of(frame, NAME))
    if isinstance(data, tuple | list) and len(data) == 2:
        return _pair(*data)
    raise SettingError(f"the task is {_described(data)}: give {TAKEN}")


def _described(data: Any) -> str:
    shape = getattr(data, "shape", None)
    if shape is not None:
        return f"an array of shape {tuple(shape)}, which has no targets"
    size = f" of {len(data)} elements" if isinstance(data, tuple | list) else ""
    return f"a {type(data).__name__}{size}"


def pandas_frame(data: Any) -> pd.DataFrame | None:
    """Return a data frame of pandas, polars or pyarrow, or a mapping of columns, as one of pandas.

    Returns:
        None if it is none of these.

    Raises:
        DataError: if the columns of a mapping differ in length.
    """
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return data  # type: ignore[no-any-return]
    if isinstance(data, Mapping) and not hasattr(data, "toarray"):  # scipy has a sparse dict
        return _columns(data)
    if hasattr(data, "collect"):  # a lazy frame of polars
        data = data.collect()
    if not (hasattr(data, "columns") and hasattr(data, "schema")):
        return None
    if hasattr(data, "to_dict"):  # of polars: unlike its to_pandas, this needs no pyarrow
        return _columns({column.name: _cells(column) for column in data.get_columns()})
    if hasattr(data, "to_pandas"):  # of pyarrow; a float does not hold every whole number
        return data.to_pandas(integer_object_nulls=True)  # type: ignore[no-any-return]
    return None


def _cells(column: Any) -> Any:
    """Return a column of polars as pandas takes it; whole numbers with gaps stay whole."""
    import pandas as pd

    cells = column.to_list()
    whole = column.dtype.is_integer() and column.null_count()
    return pd.Series(cells, dtype=object) if whole else cells


def _columns(data: Mapping[Any, Any]) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.DataFrame(dict(data))
    except ValueError as error:
        raise DataError(f"the columns do not make a table: {error}") from error


def _pair(x: Any, y: Any) -> Given:
    """Return inputs and targets as data."""
    target = _target(y)
    frame = pandas_frame(x)
    if frame is None:
        array = _array("x", x)
        if array.ndim in (3, 4):
            _check_lengths(array, target)
            if target.ndim > 1:
                raise DataError(
                    f"y has shape {target.shape}: images and series have one target each, [N] is needed"
                )
            return Given(images=Images(array, target))
        frame = frame_of_array(array)
    _check_lengths(frame, target)
    names = [_free(name, frame.columns) for name in target_names(y, target)]
    columns = dict(zip(names, target.reshape(len(target), -1).T, strict=True))
    joined = table_of(frame.reset_index(drop=True).assign(**columns), NAME)
    is_text = list(joined.columns) == [TEXT, *names] and pandas_frame(x) is None
    which = names[0] if target.ndim == 1 else tuple(names)
    return Given(table=joined, target=which, text=TEXT if is_text else None)


def target_names(y: Any, target: np.ndarray) -> list[str]:
    """Return the name of a target [N], or of several [N, outputs]: those of a data frame, or made."""
    if target.ndim == 1:
        return [str(getattr(y, "name", None) or "target")]
    columns = getattr(y, "column_names", getattr(y, "columns", None))  # of pyarrow, or of others
    if columns is not None:
        return [str(each) for each in columns]
    return [f"target{place}" for place in range(target.shape[1])]


def _free(name: str, taken: Any) -> str:
    while name in map(str, taken):
        name += "_"
    return name


def _array(what: str, data: Any) -> np.ndarray:
    """Return an array, a tensor, a sparse matrix or a list as an array."""
    if hasattr(data, "detach"):  # of torch
        data = data.detach().cpu().numpy()
    if hasattr(data, "toarray"):  # of scipy
        data = data.toarray()
    try:
        return np.asarray(data)
    except ValueError as error:  # rows of unequal length
        raise DataError(f"{what} is no array ({error}): its rows have equal length") from error


def _target(y: Any) -> np.ndarray:
    array = _array("y", y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or 0 in array.shape:
        raise DataError(
            f"y has shape {array.shape}: [N] is needed, or [N, outputs] of several targets"
        )
    if is_one_hot(array):
        raise DataError(
            f"y has shape {array.shape} and exactly one 1 in every row: of one-hot rows, take argmax(1)"
        )
    return array


def is_one_hot(y: np.ndarray) -> bool:
    """Whether rows [N, outputs] have exactly one 1 and else 0: classes that exclude each other."""
    if y.ndim != 2 or y.dtype.kind not in "biuf" or y.shape[1] < 2:
        return False
    return bool(np.isin(y, (0, 1)).all() and (y.astype(np.float64).sum(axis=1) == 1).all())


def _check_lengths(x: Any, y: Any) -> None:
    if len(x) != len(y):
        raise DataError(f"x has {len(x)} examples and y has {len(y)}: they belong together")


def frame_of_array(array: np.ndarray) -> pd.DataFrame:
    """Return an array [N, F] of numbers or words, or [N] of numbers or texts, as a data frame."""
    import pandas as pd

    if array.ndim not in (1, 2):
        raise DataError(
            f"x has shape {array.shape}: [N, F] are numbers, [N, H, W] or [N, H, W, C] images, [N] "
            "texts"
        )
    if array.ndim == 1 and array.dtype.kind in "UOT":
        return pd.DataFrame({TEXT: array})
    table = array.reshape(len(array), -1)
    names = [f"x{place}" for place in range(table.shape[1])]
    made = pd.DataFrame(table, columns=names)
    return made.infer_objects() if table.dtype.kind == "O" else made


# ---- labels that keep their type -----------------------------------------------------------------


def typed_labels(y: Any) -> Any:
    """Return labels as an array of the type that they were given in.

    numpy makes text of a list of texts and numbers and cuts zero characters off; objects that are all
    of one type, and columns of pandas that could miss a value, get the type of their cells.

    Args:
        y: labels [N] of any kind; of more dimensions, or of a kind that holds no labels, they are
            returned as given.

    Raises:
        DataError: if some are missing, or they are of several types.
    """
    frame = pandas_frame(y) if hasattr(y, "columns") else None
    if frame is not None and frame.shape[1] == 1:
        y = frame.iloc[:, 0]
    array = y
    if hasattr(y, "to_numpy") and not hasattr(
        y, "columns"
    ):  # a column of pandas, polars or pyarrow
        if hasattr(y, "isna"):
            _check_filled(y.isna())
        kind = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
        plain = kind is not None and kind.kind in "biuf"
        array = y.to_numpy(dtype=kind) if plain else y.to_numpy()
    if isinstance(array, np.ndarray) and (array.dtype.kind not in "OT" or array.ndim != 1):
        return array
    if not isinstance(array, list | tuple | np.ndarray) or any(np.ndim(cell) for cell in array):
        return y
    cells = list(array)
    _check_filled([cell is None or cell != cell for cell in cells])
    found = _of_one_type(cells)
    return _objects(cells) if isinstance(array, np.ndarray) and found.dtype.kind == "U" else found


def _check_filled(gaps: Any) -> None:
    rows = np.flatnonzero(np.asarray(gaps))
    if len(rows):
        raise DataError(
            f"y misses {len(rows)} labels, the first in row {rows[0]}: leave these rows out, or give "
            "them a label"
        )


def _of_one_type(cells: list[Any]) -> np.ndarray:
    """Return labels as an array of their type; texts that numpy would cut stay objects."""
    kinds = {_kind(cell): cell for cell in cells}
    if len(kinds) > 1:
        shown = " and ".join(f"{cell!r} ({type(cell).__name__})" for cell in kinds.values())
        raise DataError(f"y holds labels of several types, such as {shown}: make them all text")
    array = np.array(cells)
    if array.dtype.kind == "U" and array.tolist() != cells:  # numpy cuts zero characters off
        return _objects(cells)
    if array.dtype.kind == "f" and all(isinstance(cell, int) for cell in cells):
        # some need all 64 bits, and floats would merge them
        fit = min(cells) >= 0 and max(cells) < 2**64
        return np.array(cells, np.uint64) if fit else _objects(cells)
    return array


def _objects(cells: list[Any]) -> np.ndarray:
    found = np.empty(len(cells), object)
    found[:] = cells
    return found


def _kind(cell: Any) -> str:
    for kind, types in {
        "text": str,
        "truth": bool | np.bool_,
        "number": int | float | np.number,
    }.items():
        if isinstance(cell, types):
            return kind
    return type(cell).__name__
