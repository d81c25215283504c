"""Several targets per row: the measures of each, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from ...task.metrics import THRESHOLD

MOST = 30  # targets that are told one by one


def by_target(told: Mapping[str, float]) -> str:
    """Return the measures of every target on test; ``""`` if there is one target.

    Args:
        told: the metrics of the network on test: of each target they are called ``r2:NAME``.
    """
    names = [key.partition(":")[2] for key in told if key.startswith("r2:")]
    if names:
        each = [
            f"{name} r2 {told[f'r2:{name}']:.4f} (rmse {told[f'rmse:{name}']:.4g}, mae "
            f"{told[f'mae:{name}']:.4g})"
            for name in names[:MOST]
        ]
        return f"By target on test: {'; '.join(each)}{_more(names)}."
    if "subset-accuracy" not in told:
        return ""
    names = [key.partition(":")[2] for key in told if key.startswith("f1:")]
    each = [f"{name} {told[f'f1:{name}']:.4f}" for name in names[:MOST]]
    text = (
        f"A label is told where its probability is above {THRESHOLD:g}: so f1 is {told['f1']:.4f} on "
        f"test, the mean of the labels, and the labels of {told['subset-accuracy']:.1%} of the rows "
        "are all right."
    )
    return f"{text} F1 by label: {'; '.join(each)}{_more(names)}." if each else text


def _more(names: list[str]) -> str:
    return f"; and {len(names) - MOST} more" if len(names) > MOST else ""
