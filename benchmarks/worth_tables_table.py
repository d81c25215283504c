"""The arithmetic of `worth_tables`: means, paired differences, ranks, and counts of "not worse"."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

#: what one row is held against: the best of each group, by its mean over the folds
GROUPS = {
    "the best of scikit-learn": ("mlp", "forest", "extra-trees", "boosting"),
    "the best of RealMLP and TabM": ("realmlp", "tabm"),
    "the plain control": ("plain",),
    "the recipe dense": ("dense",),
}
OURS = "tabular"
NETWORKS = (OURS, "plain", "mlp", "realmlp", "tabm")

Scores = Mapping[str, Mapping[int, float]]  # row -> fold -> score


def scores_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[int, float]]]:
    """Return set -> row -> fold -> score; the plain control of our runs is a row of its own."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for each in rows:
        own = found.setdefault(each["set"], {})
        own.setdefault(each["row"], {})[each["fold"]] = each["score"]
        if each["row"] == OURS and each.get("plain") is not None:
            own.setdefault("plain", {})[each["fold"]] = each["plain"]
    return dict(sorted(found.items()))


def difference(
    ours: Mapping[int, float], theirs: Mapping[int, float]
) -> tuple[float, float | None] | None:
    """Return the mean paired difference of two rows and its standard error, over the folds of both.

    None without a fold of both; the error is None with a single one.
    """
    apart = [ours[fold] - theirs[fold] for fold in sorted(ours.keys() & theirs.keys())]
    if not apart:
        return None
    error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else None
    return statistics.fmean(apart), error


def best_of(scores: Scores, names: Sequence[str]) -> str | None:
    """Return the row of the highest mean among some: test chose it, so it is the hardest rival."""
    there = [name for name in names if scores.get(name)]
    return max(there, key=lambda name: statistics.fmean(scores[name].values()), default=None)


def ranks(scores: Scores, names: Sequence[str]) -> dict[str, float]:
    """Return the rank of each row by its mean, 1 for the best; equal ones share the mean of theirs."""
    means = {name: round(statistics.fmean(scores[name].values()), 9) for name in names}
    return {
        name: 1 + sum(m > mean for m in means.values()) + (list(means.values()).count(mean) - 1) / 2
        for name, mean in means.items()
    }


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables of a sweep as text: scores, differences from the best rivals, ranks."""
    if not rows:
        return "nothing was measured yet"
    found = scores_of(rows)
    names = sorted({name for scores in found.values() for name in scores}, key=_place)
    parts = [_means(found, names)]
    if any(OURS in scores for scores in found.values()):
        parts += [_differences(found, label, group) for label, group in GROUPS.items()]
    parts += [_ranks(found, "all rows", names)]
    networks = [name for name in NETWORKS if name in names]
    parts += [_ranks(found, "the networks", networks), _seconds(rows, names)]
    return "\n\n".join(part for part in parts if part)


def _place(name: str) -> tuple[int, str]:
    rivals = [each for group in GROUPS.values() for each in group]
    order = [OURS, "tabular-ensemble", "plain", "dense", *rivals]
    return (order.index(name) if name in order else len(order), name)


def _means(found: Mapping[str, Scores], names: Sequence[str]) -> str:
    lines = [f"| set | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for name, scores in found.items():
        cells = [_mean(scores.get(each, {})) for each in names]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "Mean over the folds +- standard deviation (count):\n\n" + "\n".join(lines)


def _mean(scores: Mapping[int, float]) -> str:
    values = list(scores.values())
    if not values:
        return ""
    spread = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread} ({len(values)})"


def _differences(found: Mapping[str, Scores], label: str, group: Sequence[str]) -> str:
    lines, counts = [], {"better": 0, "equal": 0, "worse": 0}
    for name, scores in found.items():
        rival = best_of(scores, group)
        if rival is None or OURS not in scores:
            continue
        apart = difference(scores[OURS], scores[rival])
        if apart is None:
            continue
        mean, error = apart
        word = "" if error is None else verdict(mean, error)
        if word:
            counts[word] += 1
        of = "" if error is None else f" +- {error:.4f}"
        lines.append(f"| {name} | {rival} | {mean:+.4f}{of} | {word} |")
    if not lines:
        return ""
    whole, fine = sum(counts.values()), counts["better"] + counts["equal"]
    head = f"{OURS} less {label} (mean paired difference +- standard error):"
    table = ["| set | rival | difference | |", "| --- | --- | --- | --- |", *lines]
    told = ", ".join(f"{word} {count}" for word, count in counts.items())
    return "\n".join([head, "", *table, "", f"Not worse on {fine} of {whole} sets: {told}."])


def verdict(mean: float, error: float) -> str:
    """Return ``better``, ``equal`` or ``worse``, by one standard error."""
    return "better" if mean > error else "worse" if mean < -error else "equal"


def _ranks(found: Mapping[str, Scores], label: str, names: Sequence[str]) -> str:
    """Return the mean ranks over the sets that have every row."""
    whole = [scores for scores in found.values() if all(scores.get(name) for name in names)]
    if not whole or len(names) < 2:
        return ""
    placed = [ranks(scores, names) for scores in whole]
    means = {name: statistics.fmean(each[name] for each in placed) for name in names}
    told = ", ".join(
        f"{name} {mean:.2f}" for name, mean in sorted(means.items(), key=lambda p: p[1])
    )
    return f"Mean rank of {label} over {len(whole)} sets: {told}."


def _seconds(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    told = []
    for name in names:
        own = [each["processor"] for each in rows if each["row"] == name]
        if own:
            told.append(f"{name} {statistics.median(own):.1f} ({max(own):.1f})")
    return f"Processor seconds, median (most): {', '.join(told)}."
