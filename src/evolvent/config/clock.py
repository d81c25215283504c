"""The clock rule: a run in seconds ends within its budget, or a little later, on a busy machine too.

Everything that a user waits for counts: the start of the program, reading, the search, the final
training, export, the page. What a step of these takes depends on what else the machine does, so the
time that a fresh process takes to start is measured in every run, and the end is planned by it.
"""

from __future__ import annotations

from .settings import RunBudget
from .setup import Draft

LATE_SHARE, LATE_SECONDS = 0.03, 5.0  # beyond the budget: a share, or so many seconds if it is more
DELIVERY_SHARE = 0.45  # of a budget in seconds: final training, controls and export; `train.share`
AS_IS_SHARE = 0.85  # of a budget in seconds: the search, where the winner is delivered as it is
CLOSING_SECONDS, CLOSING_SHARE = 10.0, 0.1  # for export, card and page: the smaller of the two
STARTED = 1.0  # of the start of a process: what its slowness adds to that
UNKNOWN_START = 0.3  # of what came before the search: the start of a process, if none was seen


def lateness(budget: float) -> float:
    """Return the allowed overrun of a budget. [s]"""
    return max(LATE_SHARE * budget, LATE_SECONDS)


def closing(start: float, budget: float) -> float:
    """Return the time to keep free for export, card and page. [s]

    Args:
        start: that a fresh process with torch took to start on this machine, as it is now. [s]
        budget: of the whole run. [s]
    """
    return min(CLOSING_SECONDS, CLOSING_SHARE * budget) + min(STARTED * start, budget / 4)


def no_time(before: float, budget: float) -> str:
    """Return the line for a budget that is over before a candidate could begin.

    Args:
        before: what went by: the start, reading, preparing. [s]
        budget: of the whole run. [s]
    """
    return (
        f"reading the data and preparing took {before:.0f} s of a budget of {budget:g} s, so no time "
        f"was left for a candidate: start anew with --budget {round(4 * before)}s and another --out"
    )


def search_share(draft: Draft) -> float:
    """Return the share of a budget in seconds that the search has.

    An estimator may say what its deliveries need (``delivery(rows, settings, division)``).
    """
    if not draft.task.trainable:
        return AS_IS_SHARE
    share, estimator = draft.train.share, draft.parts.estimator
    if share is None and hasattr(estimator.make, "delivery"):
        rows = len(draft.task.train) + len(draft.task.validation)
        share = estimator.make.delivery(rows, estimator.settings, draft.task.division)
    return 1 - float(DELIVERY_SHARE if share is None else share)


def search_seconds(draft: Draft, budget: RunBudget, before: float) -> float | None:
    """Return the seconds of a budget that the search has; None without a time.

    Args:
        draft: of the run.
        budget: of the whole run.
        before: what went by before the search could start. [s]
    """
    if budget.seconds is None:
        return None
    return max(0.0, budget.seconds - before) * search_share(draft)
