"""Reading ARFF, the form of Weka and of OpenML's older sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .encodings import decoded
from .errors import Unreadable
from .raw import RawTable, unique_names

ATTRIBUTE = re.compile(
    r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s{]+)\s*(.*)", re.IGNORECASE
)
CELL = re.compile(r"\s*('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,\t]*?)\s*(?:[,\t]|$)")
SPARSE = re.compile(r"\s*(\d+)\s+(.*)", re.DOTALL)


def arff_table(
    file: Path,
    name: str,
    data: bytes,
    *,
    encoding: str | None = None,
    learnt: Mapping[str, Any] | None = None,
) -> RawTable:
    """Return the cells of an ARFF file, with dense or sparse rows; ``?`` is missing.

    Args:
        file: for messages.
        name: not used: the form is known.
        data: its content.
        encoding: of its text; None finds it.
        learnt: `RawTable.how` of the file before this one.

    Raises:
        Unreadable: if it is no ARFF file, or has rows of unequal length.
    """
    notes: list[str] = []
    learnt = learnt or {}
    known = encoding or (learnt.get("encoding") if learnt.get("said") else None)
    text, found = decoded(file, data, notes, encoding=known, learnt=learnt.get("encoding"))
    lines = iter(enumerate(text.splitlines(), start=1))
    attributes = arff_header(file, lines)
    rows = [arff_row(file, place, line, attributes) for place, line in arff_lines(lines)]
    if not rows:
        raise Unreadable(f"{str(file)!r} has no rows behind @data: add the data")
    names = unique_names([each for each, _ in attributes], notes)
    columns = zip(*rows, strict=True)
    how = {"encoding": found} | ({"said": True} if known else {})
    return RawTable(dict(zip(names, columns, strict=True)), False, notes, how)


def arff_lines(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the number and text of lines that are neither empty nor comments."""
    for place, line in lines:
        if line.strip() and not line.lstrip().startswith("%"):
            yield place, line.strip()


def arff_header(file: Path, lines: Iterator[tuple[int, str]]) -> list[tuple[str, str]]:
    """Return the name of every attribute, and its value where a sparse row leaves it out."""
    attributes = []
    for place, line in arff_lines(lines):
        word = line.split()[0].lower()
        if word == "@data":
            break
        if word == "@attribute" and (match := ATTRIBUTE.fullmatch(line)):
            attributes.append((arff_text(match[1]).strip(), arff_default(match[2])))
        elif word != "@relation":
            raise Unreadable(
                f"{str(file)!r}, line {place}: {line[:40]!r} is no line of an ARFF header: these "
                "are @relation, @attribute NAME TYPE and @data"
            )
    else:
        raise Unreadable(f"{str(file)!r} has no line @data: it is no ARFF file")
    if not attributes:
        raise Unreadable(f"{str(file)!r} has no @attribute: it is no ARFF file")
    return attributes


def arff_default(kind: str) -> str:
    """Return what a sparse row means by leaving out an attribute: zero, or the first of a list."""
    if not kind.startswith("{"):
        return "0"
    first = CELL.match(kind.strip("{} \t"))
    return arff_text(first[1]) if first else ""


def arff_text(cell: str) -> str:
    """Return a cell without its quotes."""
    if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", cell[1:-1])
    return cell.strip()


def arff_cells(line: str) -> list[str]:
    """Return the cells of a line."""
    if "'" not in line and '"' not in line:
        return [cell.strip() for cell in re.split(r"[,\t]", line)]
    cells, at = [], 0
    while match := CELL.match(line, at):
        cells.append(arff_text(match[1]))
        at = match.end()
        if at == len(line) and line[at - 1] not in ",\t":
            return cells
        if match.end() == match.start():
            break
    return [*cells, ""] if at == len(line) else []


def arff_row(file: Path, place: int, line: str, attributes: list[tuple[str, str]]) -> list[str]:
    """Return the cells of a row, dense or sparse."""
    if line.startswith("{"):
        cells = [default for _, default in attributes]
        for cell in filter(None, arff_sparse(line)):
            match = SPARSE.fullmatch(cell)
            if match is None or int(match[1]) >= len(cells):
                raise Unreadable(f"{str(file)!r}, line {place}: {cell[:40]!r} is no INDEX VALUE")
            cells[int(match[1])] = arff_text(match[2])
        return cells
    cells = arff_cells(line)
    if len(cells) == len(attributes) + 1 and cells[-1].startswith("{"):
        cells.pop()  # the weight of the row
    if len(cells) != len(attributes):
        raise Unreadable(
            f"{str(file)!r}, line {place}: {len(cells)} cells, there are {len(attributes)} "
            "attributes: complete the row, or quote the text that holds a comma"
        )
    return cells


def arff_sparse(line: str) -> list[str]:
    """Return the parts of a sparse row, each an index and a value."""
    inner = line[1 : line.rindex("}")] if "}" in line else line[1:]
    quoted = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
    return [part.strip() for part in re.findall(rf"(?:{quoted}|[^,'\"])+", inner)]
