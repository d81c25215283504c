"""The page of a comparison: curves with bands, a table with intervals, and the command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

from .figures import curves, tradeoff
from .reading import set_options


def body(told: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Return a comparison as HTML; every name is escaped.

    Args:
        told: the comparison as from `Comparison.to_json`.
        plan: the ``config.yaml`` of its folder.
    """
    what = "test" if told["tests_on"] == "test" else "validation"
    names = sorted(told["strategies"], key=lambda name: -_value(told, name)["mean"])
    lines = [told[key] for key in ("warning", "note") if key in told]
    title = f"The result on {what}, {told['seeds']} paired seeds"
    panels = [
        _panel("Curves", curves(told, page=True)),
        _panel("What was chosen, against its cost", tradeoff(told, page=True)),
        _panel("Differences", _tests(told)),
        _panel("How to reproduce it", f"<pre>{escape(_command(told, plan))}</pre>"),
    ]
    return (
        f"<header><div class='title'><div><h1>Comparison on {escape(str(told['task']))}</h1>"
        f"<p class='soft'>{escape(told['space'])} × {escape(told['estimator']['name'])}, "
        f"{escape(str(told['budget']))} each</p></div></div></header>"
        f"{_panel(title, _table(told, names), *lines)}<div class='below'>{''.join(panels)}</div>"
    )


def _panel(title: str, content: str, *lines: str) -> str:
    if not content:
        return ""
    said = "".join(f"<p class='soft'>{escape(line)}</p>" for line in lines)
    return f"<section class='panel'><h2>{escape(title)}</h2>{content}{said}</section>"


def _value(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = told["strategies"][name][
        "test" if told["tests_on"] == "test" else "val"
    ]
    return found


def _table(told: Mapping[str, Any], names: list[str]) -> str:
    heads = (
        "strategy",
        "mean",
        "95 % interval",
        "IQM",
        "std",
        "against random",
        "ahead from trial",
    )
    rows = []
    for name in names:
        row, value = told["strategies"][name], _value(told, name)
        low, high = value["ci95"]
        ahead = row.get("ahead_of_random")
        lead = (
            f"{ahead['lead']:+.4f} ({ahead['ci95'][0]:+.4f} to {ahead['ci95'][1]:+.4f})"
            if ahead
            else ""
        )
        since = "" if not ahead else ahead["from_trial"] or "not by its interval"
        cells = (
            f"{value['mean']:.4f}",
            f"{low:.4f} to {high:.4f}",
            f"{value['iqm']:.4f}",
            f"{value['std']:.4f}",
            lead,
            since,
        )
        rows.append(
            f"<tr><td>{escape(name)}</td>"
            + "".join(f"<td class='n'>{escape(str(cell))}</td>" for cell in cells)
            + "</tr>"
        )
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return (
        f"<div class='scroll'><table class='numbers'><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _tests(told: Mapping[str, Any]) -> str:
    rows = [
        f"<li>{escape(pair['first'])} against {escape(pair['second'])}: {pair['difference']:+.4f}, "
        f"wins {pair['wins']:.0%} of the seeds, p = {pair['p_holm']:.2g}</li>"
        for pair in told["tests"]
    ]
    if not rows:
        return ""
    said = "Paired Wilcoxon tests, corrected for their number by Holm's method."
    return f"<ul class='reasons'>{''.join(rows)}</ul><p class='soft'>{said}</p>"


def _command(told: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    request = plan["request"]
    words = ["evolvent", "compare", request["task"], "--strategies", ",".join(plan["strategies"])]
    words += ["--seeds", str(told["seeds"]), "--budget", str(request["budget"])]
    for name in ("recipe", "space", "estimator"):
        words += [f"--{name}", request[name]] if request[name] else []
    return shlex.join(words + set_options(plan["settings"]))
