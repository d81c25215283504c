"""Tables: what a search of a minute delivers, beside what a user would take in its place.

    python -m benchmarks.worth_tables FOLDER --out runs/tables.jsonl
        [--sets phoneme wine] [--rows tabular,dense,mlp,...] [--folds 5] [--repeats 2] [--first 1]
        [--seconds 60] [--processor] [--pytabkit PYTHON] [--table]

Every set of FOLDER (a CSV file with a column ``target``) is divided into five folds, which are the same
for all rows of the table; sets of fewer than 1,000 rows are divided twice. A row learns from four
fifths of the rows and is scored on the last: accuracy, or R2. Searches have ``--seconds`` on one core;
the others have their defaults and as long as they take. scikit-learn's models read the table as the
search does (`evolvent.task.numbers`, learnt from the fold's own rows). RealMLP and TabM are those of
pytabkit, with the defaults of their papers (``--pytabkit`` names the Python of an environment that has
it). One process and one core; one line of JSON per set, fold and row. What the file holds is not done
again, so that a sweep goes on where it was stopped, and all of a fold's rows follow each other, so that
a busy hour disturbs all of them. ``--processor`` lets the clock of a search show processor seconds:
what others do on the machine takes nothing from it. ``--first N`` takes the first N folds of every
set, ``--table`` prints the tables of what is there.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.tabular import write
from benchmarks.worth_tables_table import tables

import evolvent as ev
from evolvent.identification import identify_column
from evolvent.task.frames import Frame, read_frame
from evolvent.task.numbers import inputs, learnt, target_of, with_target

TARGET = "target"
SMALL = 1000  # rows, below which a set is divided repeatedly
#: row -> settings of the search beside the recipe of that name
SEARCHED: dict[str, tuple[str, dict[str, Any]]] = {
    "tabular": ("tabular", {}),
    "tabular-ensemble": ("tabular", {"ensemble": True}),
    "dense": ("dense", {}),
}
#: row -> scikit-learn's classifier and regressor
SKLEARN: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mlp": (MLPClassifier, MLPRegressor),
    "forest": (RandomForestClassifier, RandomForestRegressor),
    "extra-trees": (ExtraTreesClassifier, ExtraTreesRegressor),
    "boosting": (HistGradientBoostingClassifier, HistGradientBoostingRegressor),
}
PYTABKIT = ("realmlp", "tabm")
ROWS = (*SEARCHED, *SKLEARN, *PYTABKIT)
DEFAULT_ROWS = ("tabular", "dense", *SKLEARN, *PYTABKIT)


def folds(
    y: np.ndarray, kind: str, count: int, repeats: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows to learn from and to score on, of `count` folds and again in other orders."""
    make = KFold if kind == "regression" else StratifiedKFold
    for repeat in range(repeats if len(y) < SMALL else 1):
        yield from make(count, shuffle=True, random_state=repeat).split(np.zeros(len(y)), y)


def score(kind: str, y: np.ndarray, said: np.ndarray) -> float:
    """Return accuracy, or R2."""
    return float((r2_score if kind == "regression" else accuracy_score)(y, said))


def searched(
    row: str, files: Sequence[Path], kind: str, seconds: float, workers: int
) -> dict[str, Any]:
    """Return the outcome of a whole run of evolvent on one core, delivered network and all."""
    recipe, train = SEARCHED[row]
    run = ev.search(
        files[0],
        target=TARGET,
        kind=kind,
        recipe=recipe,
        budget=f"{seconds:g}s",
        workers=workers,
        settings={"task": {"test": str(files[1])}} | ({"train": train} if train else {}),
        out=files[0].parent / row,
    )
    card = run.card
    plain = card["controls"].get("plain") or {}
    return {
        "score": card["test_score"],
        "plain": plain.get("test_score"),
        "params": card["params"],
        "trials": card["trials"],
        "arch": card["arch"],
        "epochs": card["total_epochs"],
    }


def fitted(row: str, train: Frame, test: Frame, kind: str) -> dict[str, Any]:
    """Return the outcome of a model of scikit-learn with its defaults."""
    reading = learnt(train, TARGET, [])
    y, others, _ = target_of(train, {"test": test}, TARGET, kind, [])
    y_test = others["test"]
    mean, unit = (y.mean(), y.std()) if kind == "regression" else (0, 1)
    model = SKLEARN[row][kind == "regression"](random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs(train, reading), (y - mean) / unit if kind == "regression" else y)
    said = model.predict(inputs(test, reading))
    return {"score": score(kind, y_test, said * unit + mean if kind == "regression" else said)}


def of_pytabkit(row: str, files: Sequence[Path], kind: str, python: str) -> dict[str, Any]:
    """Return the outcome of a network of pytabkit, in an environment of its own."""
    script = str(Path(__file__).parent / "worth_tables_pytabkit.py")
    words = [python, script, row, kind, *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{row}: {done.stderr[-600:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def played(
    row: str, frame: Frame, fold: Any, kind: str, given: argparse.Namespace
) -> dict[str, Any]:
    """Return the outcome of a row on a fold, with the seconds that it took."""
    train, test = (frame.rows(rows) for rows in fold)
    wall, processor = time.perf_counter(), _processor()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "train.csv", Path(folder) / "test.csv"]
        for part, file in zip((train, test), files, strict=True):
            write(part, file)
        if row in SEARCHED:
            found = searched(row, files, kind, given.seconds, 0 if given.processor else 1)
        elif row in SKLEARN:
            found = fitted(row, train, test, kind)
        else:
            found = of_pytabkit(row, files, kind, given.pytabkit)
    took = {"wall": time.perf_counter() - wall, "processor": _processor() - processor}
    return found | {name: round(value, 2) for name, value in took.items()}


def _processor() -> float:
    """Return the processor seconds of this process and of those that it has waited for."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + waited.ru_utime + waited.ru_stime


def sweep(given: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Do what is missing, and add it to `rows` and to the file."""
    done = {(each["set"], each["fold"], each["row"]) for each in rows}
    for file in sorted(given.folder.glob("*.csv*")):
        name = file.name.split(".")[0]
        if given.sets and name not in given.sets:
            continue
        frame = with_target(read_frame(file), TARGET, [])
        known = next((each["kind"] for each in rows if each["set"] == name), None)
        kind = known or identify_column(frame, TARGET).kind
        y, _, _ = target_of(frame, {}, TARGET, kind, [])
        for at, fold in enumerate(folds(y, kind, given.folds, given.repeats)):
            if given.first and at >= given.first:
                break
            for row in given.rows:
                if (name, at, row) in done:
                    continue
                found = played(row, frame, fold, kind, given)
                head = {"set": name, "fold": at, "row": row, "kind": kind, "seconds": given.seconds}
                rows.append(head | found)
                with given.out.open("a") as stream:
                    stream.write(json.dumps(rows[-1]) + "\n")
                said = f"{found['score']:.4f} in {found['wall']:.1f} s"
                print(f"{name:16} fold {at:2} {row:16} {said}", flush=True)


def asked_for() -> argparse.Namespace:
    """Return what the command line says, checked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", help="names of files without their ending")
    parser.add_argument("--rows", default=",".join(DEFAULT_ROWS), help=f"of {','.join(ROWS)}")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2, help="of the folds of small sets")
    parser.add_argument("--first", type=int, help="folds of every set; all without it")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a search")
    parser.add_argument("--processor", action="store_true", help="count processor seconds")
    parser.add_argument("--pytabkit", help="Python of an environment that has pytabkit")
    parser.add_argument("--out", type=Path, default=Path("tables.jsonl"))
    parser.add_argument("--table", action="store_true", help="print the tables of what is there")
    given = parser.parse_args()
    given.rows = [row for row in given.rows.split(",") if row]
    if unknown := [row for row in given.rows if row not in ROWS]:
        parser.error(f"--rows {unknown[0]}: take of {', '.join(ROWS)}")
    if given.pytabkit is None and not given.table:
        left_out = [row for row in given.rows if row in PYTABKIT]
        given.rows = [row for row in given.rows if row not in PYTABKIT]
        for row in left_out:
            print(f"{row} is left out: give the Python of an environment by --pytabkit PYTHON")
    return given


def main() -> None:
    given = asked_for()
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    rows = [json.loads(line) for line in lines]
    if other := {row["seconds"] for row in rows} - {given.seconds}:
        raise SystemExit(f"{given.out} holds runs of {other} s: name another file by --out")
    if given.processor:
        vars(time)["monotonic"] = _processor  # the clock of a search
    if not given.table:
        sweep(given, rows)
    print(tables(rows))


if __name__ == "__main__":
    main()
