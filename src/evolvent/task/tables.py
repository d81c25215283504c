"""Tabular benchmarks: every architecture of a small space with its measured results.

A table comes from one of three places: a public benchmark under ``$EVOLVENT_DATA``, the package
itself, or a file that the user imported. evolvent stores a table as two plain files, NAME.csv.gz
(the columns) and NAME.json (their meaning). Accuracies are fractions, whatever the source used.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, unknown
from ..types import Facts

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = Path(__file__).parent.parent / "data"
_METRICS = ("params", "flops", "latency")  # the objectives of fronts


@dataclass(frozen=True)
class Table:
    """Architectures and their measured results.

    Args:
        name: how the user calls it.
        archs: the architectures [N], text, distinct.
        columns: name -> values [N] float64; NaN where something was not measured.
        score: the column a search sees: validation, higher is better, never NaN.
        test: the column read for the architecture that validation chose; None where there is none.
        cost: the column with the seconds that an evaluation took; None where there is none. [s]
        units: column -> unit, such as ``"fraction"``, ``"count"`` or ``"s"``.
    """

    name: str
    archs: tuple[str, ...]
    columns: Mapping[str, np.ndarray]
    score: str
    test: str | None = None
    cost: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    kind = "table"
    trainable = False
    charged = True

    def __len__(self) -> int:
        return len(self.archs)

    @property
    def note(self) -> tuple[str, ...]:
        """Notes for the user, one line each."""
        if self.test is not None:
            return ()
        return (
            "without a test column validation alone is reported, which flatters every strategy",
        )

    @property
    def metric(self) -> str:
        """The name of the score."""
        return self.score

    @property
    def counts(self) -> dict[str, int]:
        """Number of architectures. [count]"""
        return {"architectures": len(self)}

    @property
    def facts(self) -> Facts:
        """The facts that need no columns."""
        return Facts(self.kind, self.metric, counts=self.counts, archs=self.archs)

    def describe(self) -> str:
        """Return the size of the table and its columns in one line."""
        return f"{len(self):,} architectures, score {self.score}, test {self.test or 'none'}"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content: two runs can be compared if it is equal."""
        digest = hashlib.sha256(repr((self.archs, self.score, self.test, self.cost)).encode())
        for name in sorted(self.columns):
            digest.update(name.encode() + self.columns[name].tobytes())
        return digest.hexdigest()[:16]

    @property
    def epochs(self) -> float:
        """Training length of the score's column; 1 if its name has no length. [epochs]"""
        return next((e for e, name in self.fidelities.items() if name == self.score), 1.0)

    @property
    def costs(self) -> dict[float, str]:
        """Training length [epochs] -> column of its seconds, if the cost's name has a length."""
        return _lengths(self.cost, self.columns)

    def optimum(self, what: str) -> float:
        """Return the best ``val`` or ``test`` value that the table holds."""
        column = self.score if what == "val" or self.test is None else self.test
        return float(np.nanmax(self.columns[column]))

    @cached_property
    def index(self) -> dict[str, int]:
        """Architecture -> row."""
        return {arch: row for row, arch in enumerate(self.archs)}

    @property
    def fidelities(self) -> dict[float, str]:
        """Training length [epochs] -> column, if the score's name ends in a length as ``_12ep``."""
        return _lengths(self.score, self.columns)

    @property
    def metrics(self) -> dict[str, str]:
        """``params``, ``flops``, ``latency`` -> their column, of the score's data set, if any."""
        names = {metric: (f"{_prefix(self.score)}_{metric}", metric) for metric in _METRICS}
        return {
            metric: next(name for name in found if name in self.columns)
            for metric, found in names.items()
            if any(name in self.columns for name in found)
        }

    def best(self, column: str | None = None) -> int:
        """Return the row with the highest value of `column`, by default of the score."""
        return int(np.nanargmax(self.columns[column or self.score]))


def _lengths(name: str | None, columns: Iterable[str]) -> dict[float, str]:
    """Return training length -> column, of the columns named as `name` except for the length."""
    stem = re.fullmatch(r"(.+_)\d+ep", name or "")
    if stem is None:
        return {}
    found = (re.fullmatch(re.escape(stem[1]) + r"(\d+)ep", column) for column in columns)
    return dict(sorted((float(match[1]), match[0]) for match in found if match))


def home() -> Path:
    """Return the folder of imported tables: ``$EVOLVENT_HOME``, else the user's cache."""
    root = os.environ.get("EVOLVENT_HOME")
    return (Path(root) if root else Path.home() / ".cache" / "evolvent") / "tables"


def load_table(
    name: str, *, score: str | None = None, test: str | None = None, cost: str | None = None
) -> Table:
    """Return the table called `name`, with other columns chosen where they are given.

    Rows without the score are left out. When a public benchmark's score is changed and `test` is
    not given, test becomes the one of the same data set.

    Raises:
        SettingError: if there is no such table; the nearest name is suggested.
        DataError: if there is no such column (the nearest is suggested), or the file is unusable.
    """
    if name in _PUBLIC:
        table = _PUBLIC[name](score)
    else:
        folders = (SHIPPED, home())
        folder = next((folder for folder in folders if (folder / f"{name}.json").is_file()), None)
        if folder is None:
            raise unknown("table", name, names())
        table = _stored(folder, name)
    chosen = replace(
        table, score=score or table.score, test=test or table.test, cost=cost or table.cost
    )
    for column in (chosen.score, chosen.test, chosen.cost):
        if column is not None:
            _known(column, chosen.columns, f"table {name}")
    return _measured(chosen)


def names() -> list[str]:
    """Return the names of all tables: public, shipped and imported."""
    own = {path.stem for folder in (SHIPPED, home()) for path in folder.glob("*.json")}
    return sorted(own | set(_PUBLIC))


def import_table(
    file: str | Path,
    name: str,
    arch: str,
    score: str,
    test: str | None = None,
    cost: str | None = None,
    folder: Path | None = None,
    percent: Sequence[str] = (),
) -> Table:
    """Check a CSV or parquet file, keep a copy of it as the table `name`, and return the table.

    Every numeric column is kept. Columns of text other than `arch` are not.

    Args:
        file: ``.csv``, ``.csv.gz`` or ``.parquet``.
        name: how it will be called: letters, digits, ``_``, ``-`` and ``.``.
        arch: the column of architectures, read as text.
        score: the column a search sees; higher is better.
        test: the column read for the architecture that validation chose.
        cost: the column with the seconds of an evaluation. [s]
        folder: where the copy is kept; `home` by default.
        percent: columns to divide by 100.

    Raises:
        DataError: if the file, a column or a value cannot be used.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) or name in _PUBLIC:
        raise DataError(
            f"table name {name!r}: use letters, digits, '_', '-' and '.', "
            f"and none of {', '.join(_PUBLIC)}"
        )
    frame = _read(Path(file), text=(arch,))
    where = str(file)
    for column in (arch, score, test, cost, *percent):
        if column is not None:
            _known(column, frame.columns, where)
    archs = _archs(frame[arch], where, arch)
    columns = _numbers(frame.drop(columns=[arch]), percent)
    for column in (score, test, cost):
        if column is not None and column not in columns:
            raise DataError(f"{where}: column {column!r} holds text, numbers are needed")
    units = dict.fromkeys(percent, "fraction") | ({cost: "s"} if cost else {})
    table = Table(name, archs, columns, score, test, cost, units)
    _check(table, where)
    save_table(table, folder or home())
    return table


def save_table(table: Table, folder: Path) -> None:
    """Write `table` as two plain files, NAME.csv.gz and NAME.json, in `folder`."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame({"arch": table.archs} | dict(table.columns))
    # A fixed time stamp: equal tables are equal files.
    frame.to_csv(
        folder / f"{table.name}.csv.gz", index=False, compression={"method": "gzip", "mtime": 1}
    )
    meaning = {"score": table.score, "test": table.test, "cost": table.cost}
    text = json.dumps(meaning | {"units": dict(table.units)}, indent=1)
    (folder / f"{table.name}.json").write_text(text + "\n")


def _stored(folder: Path, name: str) -> Table:
    meaning = json.loads((folder / f"{name}.json").read_text())
    frame = _read(folder / f"{name}.csv.gz", text=("arch",))
    archs = _archs(frame["arch"], f"table {name}", "arch")
    return Table(name, archs, _numbers(frame.drop(columns=["arch"])), **meaning)


def _nasbench201(score: str | None) -> Table:
    """NAS-Bench-201 (Dong & Yang 2020): 15,625 cells, six digits, one per edge."""
    frame = _read(_public("nasbench201"), text=("ops",))
    percent = [name for name in frame.columns if re.search(r"_(val|test)_\d+ep", name)]
    columns = _numbers(frame.drop(columns=["ops"]), percent)
    units = {name: "fraction" if name in percent else "count" for name in columns}
    score = score or "cifar10_val_12ep"
    archs = _archs(frame["ops"], "nasbench201", "ops")
    return Table("nasbench201", archs, columns, score, f"{_prefix(score)}_test_200ep", units=units)


def _nasbench_graph(score: str | None) -> Table:
    """NAS-Bench-Graph (Qin et al. 2022): 26,206 cells, four nodes' inputs and operations.

    Parameters are in millions there; the unit of the latency, seconds, is not stated by the source.
    """
    frame = _read(_public("nasbench_graph"), text=("link", "ops"))
    texts = [
        f"{'|'.join(link)}|{ops}" for link, ops in zip(frame["link"], frame["ops"], strict=True)
    ]
    columns = _numbers(frame.drop(columns=["link", "ops"]))
    for name in columns:
        if name.endswith("_params"):
            columns[name] = np.round(columns[name] * 1e6)
    kinds = {"params": "count", "latency": "s", "valid": "fraction", "test": "fraction"}
    units = {name: kinds.get(name.rpartition("_")[2], "") for name in columns}
    score = score or "cora_valid"
    archs = _archs(texts, "nasbench_graph", "link and ops")
    return Table("nasbench_graph", archs, columns, score, f"{_prefix(score)}_test", units=units)


_PUBLIC: dict[str, Callable[[str | None], Table]] = {
    "nasbench201": _nasbench201,
    "nasbench_graph": _nasbench_graph,
}


def _public(name: str) -> Path:
    """Return the file of a public benchmark; folders may be named with ``-`` or ``_``."""
    root = os.environ.get("EVOLVENT_DATA")
    for folder in {name, name.replace("_", "-")}:
        path = Path(root or ".") / folder / f"{name}.csv.gz"
        if root and path.is_file():
            return path
    raise DataError(
        f"table {name} is read from $EVOLVENT_DATA/{name}/{name}.csv.gz, which is not there: "
        f"set EVOLVENT_DATA (now {root!r}) to the folder that holds it"
    )


def _prefix(score: str) -> str:
    """Return the data set's part of a column's name: ``cifar10`` of ``cifar10_val_12ep``."""
    return re.split(r"_(?:val|valid|test)(?:_|$)", score, maxsplit=1)[0]


def _read(path: Path, text: Sequence[str]) -> pd.DataFrame:
    """Return the file with the columns `text` as text: digits keep their leading zeros."""
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            for name in set(text) & set(frame.columns):
                frame[name] = frame[name].astype(str).where(frame[name].notna(), "")
            return frame
        # An architecture may be called "NA" or "null": only an empty field is missing.
        return pd.read_csv(
            path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=_NAN
        )
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except ImportError:
        raise DataError(f"{path}: parquet needs pyarrow: pip install 'evolvent[parquet]'") from None
    except (ValueError, OSError) as error:  # pandas raises these for damaged and empty files
        line = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as a table ({line})") from error


_NAN = ["", "nan", "NaN"]


def _known(
    column: str, columns: Sequence[str] | Mapping[str, object] | pd.Index, where: str
) -> None:
    if column not in columns:
        near = difflib.get_close_matches(column, list(columns), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(f"{where} has no column {column!r}: {hint}it has {', '.join(columns)}")


def _numbers(frame: pd.DataFrame, percent: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return the numeric columns of `frame` as float64 [N]."""
    columns = frame.select_dtypes(include=["number", "bool"])
    return {
        str(name): columns[name].to_numpy(dtype=np.float64, na_value=np.nan)
        / (100.0 if name in percent else 1.0)
        for name in columns
    }


def _archs(values: Sequence[str] | pd.Series, where: str, column: str) -> tuple[str, ...]:
    archs = tuple(str(value) for value in values)
    if len(archs) < 2:
        raise DataError(f"{where}: {len(archs)} architecture(s), a table needs at least 2 rows")
    empty = next((row for row, arch in enumerate(archs) if arch in _NAN), None)
    if empty is not None:
        raise DataError(f"{where}: column {column!r} is empty in data row {empty + 1}")
    if len(set(archs)) < len(archs):
        twice = next(arch for arch, count in Counter(archs).items() if count > 1)
        raise DataError(f"{where}: architecture {twice!r} is listed twice: keep one row of it")
    return archs


def _check(table: Table, where: str) -> None:
    """Raise DataError if a chosen column has a value that is not a finite number."""
    for column in (table.score, table.test, table.cost):
        if column is None:
            continue
        bad = np.flatnonzero(~np.isfinite(table.columns[column]))
        if len(bad):
            raise DataError(
                f"{where}: column {column!r} has no finite number in data row {bad[0] + 1} "
                f"({len(bad)} such rows): fill them or leave these architectures out"
            )


def _measured(table: Table) -> Table:
    """Return the table without the rows that have no score."""
    rows = np.flatnonzero(np.isfinite(table.columns[table.score]))
    if len(rows) < 2:
        raise DataError(f"table {table.name}: column {table.score!r} has {len(rows)} values")
    if len(rows) < len(table):
        columns = {name: values[rows] for name, values in table.columns.items()}
        table = replace(table, archs=tuple(table.archs[row] for row in rows), columns=columns)
    _check(table, f"table {table.name}")
    return table
