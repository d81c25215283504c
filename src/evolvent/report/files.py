"""Pages written to files: of a run, of a comparison, or of a folder of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from ..config.config_file import read_config
from ..config.setup import Setup
from ..errors import RunError
from ..files import write_atomically
from .comparison import body
from .page import page
from .pictures import FORMS
from .reading import Reader, read, reading

NAME = "report.html"  # in the folder of the run or comparison


def write(folder: Path, setup: Setup | None = None) -> Path:
    """Write the page of a run or a comparison into its folder; for a folder of them, all and a list.

    Args:
        folder: of a run, of a comparison, or one that holds such folders.
        setup: of the run, where it is at hand.

    Returns:
        The file to open.

    Raises:
        RunError: if the folder holds no run or comparison, or it cannot be read.
    """
    folder = Path(folder)
    kind = kind_of(folder)
    if kind == "run":
        data = read(folder, setup)
        text = page(data, title=f"{data['title']} · {data['name']}")
    elif kind == "comparison":
        text = comparison(folder)
    else:
        rows = index(folder)
        for row in rows:
            write(folder / row["name"])
        text = page(
            None,
            title=folder.resolve().name,
            body=listed(rows, lambda name: f"{quote(name)}/{NAME}"),
        )
    file = folder / NAME
    write_atomically(file, text)
    return file


def picture(folder: Path, candidate: int | None, form: str) -> str:
    """Return the drawing of a candidate as text in one of `FORMS`.

    Args:
        folder: of the run.
        candidate: its id; None is the delivered one.
        form: ``svg``, ``mermaid`` or ``dot``.

    Raises:
        RunError: if there is no such candidate, or it cannot be drawn.
    """
    with reading(folder) as reader:
        if candidate is None:
            card = reader.state()["card"]
            if card is None:
                raise RunError(f"{folder} has not delivered yet: give the id of a candidate")
            candidate = card["candidate"]
        drawing = reader.drawing(candidate)
    return FORMS[form](drawing)


def kind_of(folder: Path) -> str:
    """Return the kind of a folder: ``run``, ``comparison``, or ``folder`` of runs and comparisons.

    Raises:
        RunError: if it is none of these.
    """
    if (folder / "comparison.json").is_file():
        return "comparison"
    if (folder / "config.yaml").is_file():
        return "run"
    if folder.is_dir() and found(folder):
        return "folder"
    raise RunError(
        f"{folder} is neither a run, nor a comparison, nor a folder of them: check the path"
    )


def found(folder: Path) -> dict[str, Path]:
    """Return name -> path of the runs and comparisons directly within a folder, sorted."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    return {
        path.name: path for path in inside if (path / "comparison.json").is_file() or _is_run(path)
    }


def _is_run(folder: Path) -> bool:
    try:
        read_config(folder)
    except RunError:  # a comparison that is not finished has a config of its own
        return False
    return (folder / "run.db").is_file()


def comparison(folder: Path) -> str:
    """Return the page of a comparison."""
    told = json.loads((folder / "comparison.json").read_text())
    plan = yaml.safe_load((folder / "config.yaml").read_text())
    return page(None, title=f"comparison on {told['task']}", body=body(told, plan))


def index(folder: Path) -> list[dict[str, Any]]:
    """Return a row per run and comparison within a folder; an unreadable one states the reason."""
    rows = []
    for name, path in found(folder).items():
        row: dict[str, Any] = {
            "name": name,
            "what": "",
            "state": "",
            "score": None,
            "candidates": None,
        }
        if (path / "comparison.json").is_file():
            told = json.loads((path / "comparison.json").read_text())
            row |= {"what": f"comparison on {told['task']}", "state": f"{told['seeds']} seeds"}
        else:
            try:
                with reading(path) as reader:
                    row |= _row(reader)
            except RunError as error:
                row["state"] = str(error)
        rows.append(row)
    return rows


def _row(reader: Reader) -> dict[str, Any]:
    setup, best = reader.setup, reader.best()
    return {
        "what": f"{setup.recipe} on {Path(setup.request.task).name}",
        "state": reader.state()["state"],
        "candidates": sum(row[1] == "ok" for row in reader.news()["rows"]),
        "score": None if best is None else best.score,
    }


def listed(rows: list[dict[str, Any]], link: Callable[[str], str]) -> str:
    """Return a list of runs as HTML.

    Args:
        rows: from `index`.
        link: returns the address of a name.
    """
    return (
        "<h1>Searches</h1><section class='panel'><div class='scroll'><table><thead><tr>"
        "<th>folder</th><th>search</th><th>best validation score</th><th>scored candidates</th>"
        f"<th>state</th></tr></thead><tbody>{''.join(_line(row, link) for row in rows)}</tbody>"
        "</table></div></section>"
    )


def _line(row: Mapping[str, Any], link: Callable[[str], str]) -> str:
    score = "" if row["score"] is None else f"{row['score']:.4f}"
    count = "" if row["candidates"] is None else f"{row['candidates']:,}"
    return (
        f"<tr><td><a href='{escape(link(row['name']))}'>{escape(row['name'])}</a></td>"
        f"<td>{escape(row['what'])}</td><td class='n'>{score}</td><td class='n'>{count}</td>"
        f"<td>{escape(row['state'])}</td></tr>"
    )
