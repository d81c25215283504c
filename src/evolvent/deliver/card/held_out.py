"""The part of a card about held-out rows: intervals of a quantity, and what columns are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN = 12  # columns in the table [count]


def of_interval(told: Mapping[str, Any] | None) -> list[str]:
    """Return the lines about prediction intervals; none without any."""
    if not told:
        return []
    if told.get("level") is None:
        return [f"No prediction intervals: {told['note']}."]
    if told["delivered"]:
        whose = "of this network, which did not learn from them"
    else:
        whose = (
            "of the same architecture, trained without them: the network above learnt from them "
            "too, so that its own errors there would be too small"
        )
    text = (
        f"Prediction intervals (`predict.py --interval {told['level']:g}`): split conformal, from the "
        f"errors on {told['rows']:,} validation rows {whose}. Their width at {told['level']:g} is "
        f"{told['width']:.4g}"
    )
    if caveat := told.get("caveat"):
        text += f" ({caveat})"
    if "coverage" not in told:
        return [text + "."]
    return [
        f"{text}; {100 * told['coverage']:.1f} % of {told['test_rows']:,} test rows lie within. That "
        "holds for rows like these, and on average over them, not for every kind of row."
    ]


def of_importance(told: Mapping[str, Any] | None) -> list[str]:
    """Return the lines about the importance of columns; none without any."""
    if not told or not told["columns"]:
        return []
    columns = list(told["columns"].items())
    lines = [
        f"What a column is worth: the fall of {told['metric']} on {told['rows']:,} validation rows "
        f"where its cells are permuted (mean and standard deviation of {told['repeats']}). Of columns "
        "that tell the same, each alone is worth little.",
        "",
        f"| column | fall of {told['metric']} | deviation |",
        "| --- | --: | --: |",
    ]
    for name, (mean, spread) in columns[:SHOWN]:
        deviation = "-" if spread is None else f"{spread:.4f}"
        lines.append(f"| {_cell(name)} | {mean:+.4f} | {deviation} |")
    rest = len(columns) - SHOWN
    more = [f"{rest} further columns are in card.json"] if rest > 0 else []
    if left := told["left_out"]:
        more.append(f"no time was left for {len(left)} columns")
    return [*lines, *(["", f"{'; '.join(more).capitalize()}."] if more else [])]


def _cell(name: str) -> str:
    return " ".join(name.split()).replace("|", "\\|")
