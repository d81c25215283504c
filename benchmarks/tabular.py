"""Searched networks beside scikit-learn's MLP and random forest, on tables of numbers.

    python benchmarks/tabular.py FOLDER [--sets iris wine] [--seconds 60] [--out tabular.jsonl]

Five folds, the same for all three: the search sees four of them, the fifth is its test file. All read
the table in the same way (`evolvent.task.numbers`: medians, standard scores, categories), learnt from
the fold's own training rows; scikit-learn's models have their defaults. Classification is scored by
accuracy, regression by R2. One line of JSON per set and fold; what the file holds is not done again.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor

import evolvent as ev
from evolvent.identification import identify_column
from evolvent.task.frames import Frame, read_frame
from evolvent.task.numbers import inputs, learnt, target_of, with_target

FOLDS = 5
REGRESSION = (MLPRegressor, RandomForestRegressor)
CLASSIFICATION = (MLPClassifier, RandomForestClassifier)


def write(frame: Frame, file: Path) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(frame.columns)
        for row in zip(*frame.columns.values(), strict=True):
            writer.writerow("" if cell != cell else cell for cell in row)  # NaN is not itself


def folds(frame: Frame, target: str, kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
    y, _, _ = target_of(frame, {}, target, kind, [])
    make = KFold if kind == "regression" else StratifiedKFold
    return list(make(FOLDS, shuffle=True, random_state=0).split(np.zeros(len(y)), y))


def controls(train: Frame, test: Frame, target: str, kind: str) -> dict[str, float]:
    """Return the test scores of scikit-learn's models with their defaults."""
    reading = learnt(train, target, [])
    y, others, _ = target_of(train, {"test": test}, target, kind, [])
    y_test = others["test"]
    if kind == "regression":  # as the searched networks have it
        mean, unit = y.mean(), y.std()
        y, y_test = (y - mean) / unit, (y_test - mean) / unit
    scores = {}
    for make in REGRESSION if kind == "regression" else CLASSIFICATION:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = make(random_state=0).fit(inputs(train, reading), y)
        scores[make.__name__] = float(model.score(inputs(test, reading), y_test))
    return scores


def searched(
    train: Frame, test: Frame, target: str, kind: str, seconds: float, workers: int | None
) -> dict[str, Any]:
    """Return the test score of a whole run of evolvent, delivered network and all."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "train.csv", Path(folder) / "test.csv"]
        for part, file in zip((train, test), files, strict=True):
            write(part, file)
        start = time.monotonic()
        run = ev.search(
            files[0],
            target=target,
            kind=kind,
            budget=f"{seconds:g}s",
            workers=workers,
            settings={"task": {"test": str(files[1])}},
            out=Path(folder) / "run",
        )
        wall = time.monotonic() - start
        card = run.card
    return {
        "evolvent": card["test_score"],
        "plain": card["controls"].get("plain", {}).get("test_score"),
        "params": card["params"],
        "trials": card["trials"],
        "wall": round(wall, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", default="target")
    parser.add_argument("--sets", nargs="*", help="names of files without their ending")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a search")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path, default=Path("tabular.jsonl"))
    asked = parser.parse_args()
    lines = asked.out.read_text().splitlines() if asked.out.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["set"], row["fold"]) for row in rows}
    for file in sorted(asked.folder.glob("*.csv*")):
        name = file.name.split(".")[0]
        if (asked.sets and name not in asked.sets) or all((name, f) in done for f in range(FOLDS)):
            continue
        frame = with_target(read_frame(file), asked.target, [])
        known = next((row["kind"] for row in rows if row["set"] == name), None)
        kind = known or identify_column(frame, asked.target).kind
        for fold, (own, other) in enumerate(folds(frame, asked.target, kind)):
            if (name, fold) in done:
                continue
            parts = frame.rows(own), frame.rows(other)
            row = {"set": name, "fold": fold, "kind": kind, "seconds": asked.seconds}
            row |= controls(*parts, asked.target, kind)
            row |= searched(*parts, asked.target, kind, asked.seconds, asked.workers)
            rows.append(row)
            with asked.out.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    report(rows)


def report(rows: list[dict[str, Any]]) -> None:
    print("| set | kind | searched | plain | MLP | random forest |")
    print("| --- | --- | --- | --- | --- | --- |")
    ahead = whole = 0
    for name in sorted({row["set"] for row in rows}):
        own = [row for row in rows if row["set"] == name]
        makes = REGRESSION if own[0]["kind"] == "regression" else CLASSIFICATION
        columns = ["evolvent", "plain", *(make.__name__ for make in makes)]
        values = [np.array([row[column] for row in own], float) for column in columns]
        cells = [
            f"{each.mean():.4f} +- {each.std(ddof=min(1, len(own) - 1)):.4f}" for each in values
        ]
        print(f"| {name} ({len(own)} folds) | {own[0]['kind']} | {' | '.join(cells)} |")
        whole += 1
        ahead += bool(values[0].mean() >= values[2].mean())
    print(f"\nThe searched network is at least as good as the MLP on {ahead} of {whole} sets.")


if __name__ == "__main__":
    main()
