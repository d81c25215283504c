"""Reading JSON: one object per line, or a list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .encodings import decoded
from .errors import Unreadable
from .raw import RawTable, unique_names


def json_table(
    file: Path,
    name: str,
    data: bytes,
    *,
    encoding: str | None = None,
    learnt: Mapping[str, Any] | None = None,
) -> RawTable:
    """Return the cells of a file of JSON objects, whose keys name the columns.

    Numbers, true and false stay as they are written; null, and a key that an object has not, are
    missing. Columns that hold lists or objects are left out, which is noted.

    Args:
        file: for messages.
        name: of the file without a packing, in lower case.
        data: its content.
        encoding: of its text; None finds it.
        learnt: `RawTable.how` of the file before this one.

    Raises:
        Unreadable: if it holds anything but objects.
    """
    notes: list[str] = []
    learnt = learnt or {}
    known = encoding or (learnt.get("encoding") if learnt.get("said") else None)
    text, found = decoded(file, data, notes, encoding=known, learnt=learnt.get("encoding"))
    rows = [*(objects_in(file, text) if name.endswith(".json") else objects_by_line(file, text))]
    given = list(dict.fromkeys(key for row in rows for key in row))
    columns: dict[str, Any] = {}
    left = []
    for key, column in zip(given, unique_names([key.strip() for key in given], notes), strict=True):
        cells = [json_cell(row.get(key)) for row in rows]
        if None in cells:
            notes.append(f"column {column!r} holds neither numbers nor text: it is left out")
            left.append(column)
        else:
            columns[column] = cells
    if not rows or not columns:
        raise Unreadable(
            f"{str(file)!r} has {len(rows)} rows and {len(columns)} columns: add the data"
        )
    how = {"encoding": found} | ({"said": True} if known else {})
    return RawTable(columns, False, notes, how, left)


def json_cell(value: Any) -> str | None:
    """Return a value of an object as a cell, or None if it is a list or an object."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def objects_by_line(file: Path, text: str) -> Iterator[dict[str, Any]]:
    """Yield the object of every line that is not empty."""
    for place, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield object_of(file, parsed(file, line, f", line {place}"), f", line {place}")


def objects_in(file: Path, text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list."""
    found = parsed(file, text, "")
    if not isinstance(found, list):
        raise Unreadable(
            f"{str(file)!r} is not a table: a .json file holds a list of objects, [{{...}}, ...], a "
            ".jsonl file one object per line"
        )
    for place, each in enumerate(found, start=1):
        yield object_of(file, each, f", element {place}")


def parsed(file: Path, text: str, where: str) -> Any:
    """Return what a JSON text says, numbers as they are written."""
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise Unreadable(
            f"{str(file)!r}{where} is not a table of JSON objects ({reason}): write one object "
            "per line"
        ) from error


def object_of(file: Path, value: Any, where: str) -> dict[str, Any]:
    """Return a value that is an object."""
    if not isinstance(value, dict):
        raise Unreadable(
            f"{str(file)!r}{where}: {str(value)[:40]!r} is no object: a row is written as "
            '{"name": value, ...}'
        )
    return value
