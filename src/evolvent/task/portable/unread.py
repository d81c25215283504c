"""The cells of a new file that the form of their column could not read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .columns import Unread, as_texts, is_filled
from .numerals import INFINITE
from .raw import Cells, as_written

SHOWN = 5  # known categories in a line [count]


@dataclass(frozen=True)
class Misread:
    """Cells of one column that its form could not read.

    Args:
        column: its name.
        what: ``numbers``, ``dates`` or ``categories``.
        count: how many cells.
        rows: of how many.
        example: the first of them, as written.
        row: where that one stands, the first row below the header being 1.
        known: of categories, those that the network has seen.
    """

    column: str
    what: str
    count: int
    rows: int
    example: str
    row: int
    known: tuple[str, ...] = ()


def misread(cells: Cells, found: Unread, form: Mapping[str, Any]) -> Misread | None:
    """Return the cells of a column that could not be read, or None if all could.

    Odd cells that the training data held too are no news: ``odd`` of the form names them, and ``seen``
    the categories without an input of their own.

    Args:
        cells: as written [N], or an array of numbers.
        found: what `read_column` returned for them.
        form: of the column, with its name.
    """
    kind = form["type"]
    if kind == "text":  # every text can be read
        return None
    if kind == "category":
        seen = form.get("seen", None if form["rare"] else ())
        if (
            form.get("hashed") or seen is None
        ):  # what was seen is not listed: nothing is known as new
            return None
        known = {"", *form["categories"], *seen}
        cells = as_texts(cells, form["marks"]).tolist()
        odd = set(cells) - known
    else:
        if isinstance(cells, np.ndarray) and kind == "number":
            return _infinite_numbers(cells, form)
        odd = set(found.foreign.unread) | _infinite_texts(as_written(cells))
        odd -= set(form.get("odd", ()))
    if not odd:
        return None
    written = as_written(cells)
    filled = is_filled(written, frozenset(form["marks"]))
    at = [row for row, cell in enumerate(written) if filled[row] and cell in odd]
    return Misread(
        form["name"],
        {"number": "numbers", "date": "dates", "category": "categories"}[kind],
        len(at),
        len(written),
        written[at[0]],
        at[0] + 1,
        tuple(filter(None, form["categories"])) if kind == "category" else (),
    )


def _infinite_texts(cells: Sequence[str]) -> set[str]:
    """Return the different cells that are infinite numbers, which are taken as missing."""
    return {cell for cell in set(cells) if INFINITE.fullmatch(cell.strip())}


def _infinite_numbers(cells: np.ndarray, form: Mapping[str, Any]) -> Misread | None:
    """Return the infinite numbers of an array, or None if there are none, or were before."""
    at = np.flatnonzero(np.isinf(cells.astype(np.float64)))
    if not len(at) or form.get("infinite"):
        return None
    first = int(at[0])
    return Misread(form["name"], "numbers", len(at), len(cells), str(cells[first]), first + 1)


def misread_lines(found: Iterable[Misread]) -> list[str]:
    """Return one line for each column that was not read whole."""
    return [_misread_line(each) for each in found]


def _misread_line(found: Misread) -> str:
    what = f"column {found.column!r}: {found.count:,} of {found.rows:,} cells"
    example = repr(found.example[:40])
    if found.what != "categories":
        return (
            f"{what} could not be read as {found.what}, such as {example} (row {found.row}): "
            "taken as missing"
        )
    alike = _bare(found.example)
    meant = next((each for each in found.known if _bare(each) == alike), None)
    hint = f"; is {meant!r} meant?" if meant is not None else ""
    names = ", ".join(repr(each[:40]) for each in found.known[:SHOWN])
    more = f" and {len(found.known) - SHOWN} more" if len(found.known) > SHOWN else ""
    return (
        f"{what} hold categories that the network has not seen, such as {example} "
        f"(known: {names}{more}{hint})"
    )


def _bare(text: str) -> str:
    return "".join(text.split()).casefold()
