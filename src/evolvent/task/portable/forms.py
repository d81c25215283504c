"""The forms of a table's file: one reader for each, chosen by the file's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .arff import arff_table
from .arrow import arrow_table
from .csv_reader import TABBED, TEXTS, csv_table
from .errors import Unreadable
from .excel import WORKBOOKS, excel_table
from .json_lines import json_table
from .raw import RawTable
from .unpacking import content, plain_name

SEPARATED = (".csv", *TABBED, ".psv", *TEXTS)
JSON = (".jsonl", ".ndjson", ".json")
ARROW = (".parquet", ".feather", ".arrow")
SUFFIXES = (*SEPARATED, *JSON, ".arff", *ARROW, *WORKBOOKS)
READ = (
    ".csv, .tsv, .txt, .jsonl, .json, .arff, .parquet, .feather, .xlsx, .xls and .ods, plain or packed "
    "(.gz, .bz2, .xz, .zip)"
)


def is_table_name(name: str) -> bool:
    """Whether a file is named like a table; any ``.zip`` is, for the name does not tell."""
    return plain_name(name).endswith(SUFFIXES) or name.lower().endswith(".zip")


def read_table(
    file: Path,
    *,
    limit: int | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    learnt: Mapping[str, Any] | None = None,
) -> RawTable:
    """Return the cells of a file of any form, plain or packed.

    Args:
        file: to read.
        limit: how much it may take in memory; None is no limit. [bytes]
        encoding: of a file of text; None finds it.
        sheet: of a workbook; None is the one that was learnt, else the first that holds data.
        learnt: `RawTable.how` of the file before this one.

    Raises:
        Unreadable: if it is of another form, or damaged, or too large.
        OSError: if it cannot be opened.
    """
    if not is_table_name(file.name):
        raise Unreadable(f"{str(file)!r} is not a table: these are read: {READ}")
    name, data = content(file, SUFFIXES, limit)
    is_text = name.endswith((*SEPARATED, *JSON, ".arff"))
    if encoding is not None and not is_text:
        raise Unreadable(
            f"--encoding {encoding} is for files of text, {str(file)!r} says its own: leave it out"
        )
    if name.endswith(ARROW):
        return arrow_table(file, name, data, limit=limit)
    if name.endswith(WORKBOOKS):
        return excel_table(file, data, sheet=sheet or (learnt or {}).get("sheet"), limit=limit)
    reader = json_table if name.endswith(JSON) else csv_table
    if name.endswith(".arff"):
        reader = arff_table
    return reader(file, name, data, encoding=encoding, learnt=learnt)
