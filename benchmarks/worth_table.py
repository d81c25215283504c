"""The arithmetic of the table "is it worth it": differences between rows, and their uncertainty.

Two rows are compared on the same test images. An image counts by the share of a row's seeds that
read it right; the standard error of the mean difference over the images is that of a paired
comparison. It says nothing about the luck of the trainings, so there is a second one with both:
images and seeds as two crossed samples (two-way clustering, Cameron, Gelbach & Miller 2011: the
variance over images, plus that over the seeds, less what is counted in both). Where predictions are
missing, seeds alone are compared.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.worth_rows import KNOWN_ROWS, MEMBER, ROWS, first_ranked

Record = Mapping[str, Any]
Case = tuple[str, int, int]  # data, budget [s], cores
Rows = dict[str, list[Record]]
BEST_KNOWN = "best of the known"


@dataclass(frozen=True)
class Difference:
    """A mean difference of test scores, ours less theirs.

    Args:
        mean: of it.
        error: standard error, over the test images; over the seeds where predictions are missing;
            None where neither can be told.
        whole: standard error with the luck of the trainings; None where no row has two seeds.
        paired: whether it is over the test images.
    """

    mean: float
    error: float | None
    whole: float | None
    paired: bool

    def verdict(self, error: float | None) -> str:
        """Return ``better``, ``equal`` or ``worse``, by one standard error; empty without one."""
        if error is None:
            return ""
        return "better" if self.mean > error else "worse" if self.mean < -error else "equal"


def right(records: Sequence[Record]) -> np.ndarray | None:
    """Return whether each seed reads each test image right [seeds, images]; None if not known."""
    counts = {record["test_images"] for record in records}
    if len(counts) != 1 or any(record.get("wrong") is None for record in records):
        return None
    found = np.ones((len(records), counts.pop()))
    for row, record in zip(found, records, strict=True):
        row[record["wrong"]] = 0.0
    return found


def difference(ours: Sequence[Record], theirs: Sequence[Record]) -> Difference:
    """Return how much better one row is than another, from one record per seed of each."""
    pair = right(ours), right(theirs)
    if pair[0] is None or pair[1] is None or pair[0].shape[1] != pair[1].shape[1]:
        return _by_seeds(ours, theirs)
    here, there = pair[0], pair[1]
    apart = here.mean(axis=0) - there.mean(axis=0)
    images = float(apart.var(ddof=1)) / len(apart) if len(apart) > 1 else 0.0
    seeds = [part for each in (here, there) if (part := _of_training(each)) is not None]
    whole = math.sqrt(max(images, images + sum(seeds))) if seeds else None
    return Difference(float(apart.mean()), math.sqrt(images), whole, True)


def _of_training(found: np.ndarray) -> float | None:
    """Return the variance that seeds add to a row's mean [seeds, images]; None with one seed.

    It is the variance over the seeds, less that part of it which the images have already.
    """
    count, images = found.shape
    if count < 2 or images < 2:
        return None
    over = float(found.mean(axis=1).var(ddof=1)) / count
    rest = found - found.mean(axis=0) - found.mean(axis=1, keepdims=True) + found.mean()
    both = float((rest**2).sum()) / ((count - 1) * (images - 1)) / (count * images)
    return float(over - both)


def _by_seeds(ours: Sequence[Record], theirs: Sequence[Record]) -> Difference:
    """Return the difference of two rows by their scores, in pairs of equal seeds if there are two."""
    here, there = ({each["seed"]: each["test"] for each in rows} for rows in (ours, theirs))
    both = sorted(here.keys() & there.keys())
    if len(both) > 1:
        apart = [here[seed] - there[seed] for seed in both]
        error = statistics.stdev(apart) / math.sqrt(len(apart))
        return Difference(statistics.fmean(apart), error, error, False)
    mean = statistics.fmean(here.values()) - statistics.fmean(there.values())
    return Difference(mean, None, None, False)


# ---- rows ----------------------------------------------------------------------------------------


def gathered(records: Sequence[Record]) -> dict[Case, Rows]:
    """Return case -> row -> its records, one per seed; known members are in the rows that name them."""
    found: dict[Case, Rows] = defaultdict(lambda: defaultdict(list))
    networks = [record for record in records if record["outcome"] == "network"]
    ranked = {
        (record["data"], record["seconds"], record["cores"], record["seed"]): first_ranked(
            record["known"]
        )
        for record in networks
        if record["row"] == "delivered"
    }
    for record in sorted(networks, key=lambda record: record["seed"]):
        case = (record["data"], record["seconds"], record["cores"])
        name = record["row"].removeprefix(MEMBER)
        if name == record["row"]:
            found[case][name].append(record)
            continue
        if record["first"]:
            found[case]["known-first"].append(record)
        if ranked.get((*case, record["seed"])) == name:
            found[case]["known-ranked"].append(record)
    return {case: dict(rows) for case, rows in sorted(found.items())}


def with_best_known(rows: Rows) -> Rows:
    """Return the rows with the best of those of known members, by its mean on test, as one more.

    Test has chosen it, so it is what a search is held against at the hardest.
    """
    known = {name: rows[name] for name in KNOWN_ROWS if rows.get(name)}
    if not known:
        return rows
    best = max(known, key=lambda name: statistics.fmean(each["test"] for each in known[name]))
    return rows | {BEST_KNOWN: known[best]}


def in_order(rows: Rows) -> list[str]:
    """Return the names of rows as the table has them: those of `ROWS` first."""
    return [name for name in ROWS if name in rows] + sorted(rows.keys() - ROWS.keys())


# ---- the table -----------------------------------------------------------------------------------

HEAD = (
    "| row | seeds | test | sd | validation | epochs | delivered less this | error, with seeds | |",
    "| --- | --: | --: | --: | --: | --: | --: | --: | --- |",
)


def table(records: Sequence[Record]) -> str:
    """Return all that was measured as Markdown: one table per case, then counts over the cases."""
    cases = gathered(records)
    lines: list[str] = []
    for case, rows in cases.items():
        lines += [_title(case, rows), "", *HEAD, *_lines(rows), ""]
    return "\n".join([*lines, *_counts(cases), *_failures(records)])


def _title(case: Case, rows: Rows) -> str:
    data, seconds, cores = case
    images = next(iter(rows.values()))[0]["test_images"]
    word = "core" if cores == 1 else "cores"
    return f"**{data}**, {seconds:g} s, {cores} {word}, {images:,} test images"


def _lines(rows: Rows) -> list[str]:
    ours = rows.get("delivered")
    found = []
    for name in in_order(rows):
        records = rows[name]
        scores = [record["test"] for record in records]
        sd = f"{statistics.stdev(scores):.4f}" if len(scores) > 1 else "-"
        cells = [name, str(len(scores)), f"{statistics.fmean(scores):.4f}", sd]
        cells += [_mean(records, "validation", ".4f"), _mean(records, "epochs", ".1f")]
        apart = None if ours is None or name == "delivered" else difference(ours, records)
        cells += ["", "", ""] if apart is None else _apart(apart)
        found.append(f"| {' | '.join(cells)} |")
    return found


def _apart(apart: Difference) -> list[str]:
    errors = ", ".join("-" if e is None else f"{e:.4f}" for e in (apart.error, apart.whole))
    return [f"{apart.mean:+.4f}", errors, apart.verdict(apart.error)]


def _mean(records: Sequence[Record], name: str, form: str) -> str:
    values = [record[name] for record in records if record.get(name) is not None]
    return format(statistics.fmean(values), form) if values else "-"


def _counts(cases: Mapping[Case, Rows]) -> list[str]:
    """Return over how many cases what is delivered is not worse, and better, than each row."""
    apart: dict[str, list[Difference]] = defaultdict(list)
    for rows in map(with_best_known, cases.values()):
        if ours := rows.get("delivered"):
            for name in in_order(rows):
                if name != "delivered":
                    apart[name].append(difference(ours, rows[name]))
    if not apart:
        return []
    names = [name for name in (*ROWS, BEST_KNOWN) if name in apart]
    names += sorted(apart.keys() - set(names))
    lines = [
        "Beyond one standard error of the paired difference (in brackets: of that with the seeds):",
        "",
        "| delivered against | cases | not worse | better | mean difference |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name in names:
        told = apart[name]
        mean = statistics.fmean(each.mean for each in told)
        cells = [name, str(len(told)), _count(told, "worse"), _count(told, "better")]
        lines.append(f"| {' | '.join(cells)} | {mean:+.4f} |")
    return lines


def _count(told: Sequence[Difference], word: str) -> str:
    """Return how many verdicts are ``better``, or are known and not ``worse``: by either error."""

    def count(verdicts: Sequence[str]) -> int:
        if word == "better":
            return verdicts.count(word)
        return sum(verdict not in ("", word) for verdict in verdicts)

    first = count([each.verdict(each.error) for each in told])
    second = count([each.verdict(each.whole) for each in told])
    return f"{first} ({second})"


def _failures(records: Sequence[Record]) -> list[str]:
    """Return what went wrong: late ends, a busy machine, runs without a network."""
    late = [record["key"] for record in records if not record["in_time"]]
    without = [record["key"] for record in records if record["outcome"] != "network"]
    busy = [record["key"] for record in records if record["wait"]["others"] > BUSY]
    lines = []
    for what, keys in (
        ("ended late", late),
        ("gave no network", without),
        (f"ran while others kept more than {BUSY:g} of a processor busy", busy),
    ):
        if keys:
            lines.append(f"{len(keys)} of {len(records)} runs {what}: {', '.join(sorted(keys))}.")
    return ["", *lines] if lines else []


BUSY = 0.1  # [processors]
