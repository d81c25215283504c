"""More budget for a run: a further stretch after those before, replayed like them.

What was settled stays: the epochs of a candidate, so that all trials can be compared, and the strategy
with all that it knows. It is told the longer horizon where the stretch begins (`strategy.lengthen`), a
place in the log that ``config.yaml`` keeps. On shared weights there is no further stretch: their
learning rate has come down to nothing by a schedule that ends with the first horizon.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..errors import SettingError
from .settings import RunBudget, parse_budget
from .setup import Setup, Stretch

LEAST = 0.15  # of the whole budget: what the delivery keeps of the seconds that are added


def more_budget(setup: Setup, text: str) -> RunBudget | None:
    """Return the budget `text` of a run from now on, or None if the run has that already.

    Args:
        setup: of the run.
        text: such as ``60t``: of the whole run, what it had so far included.

    Raises:
        SettingError: if it is of another kind, or less, or the run cannot be given more.
    """
    now, wanted, known = setup.budget, parse_budget(text), setup.budgets[-1]
    if wanted == now:
        return None
    pairs = ((now.seconds, wanted.seconds), (now.trials, wanted.trials))
    if any((old is None) != (new is None) for old, new in pairs):
        raise SettingError(
            f"budget {text}: this run has {known}, and takes more of the same: name the same units"
        )
    if any(old is not None and new is not None and new < old for old, new in pairs):
        raise SettingError(
            f"budget {text}: this run has {known}, and a budget is of the whole run: give more than "
            "that"
        )
    if setup.parts.stateful:
        raise SettingError(
            f"budget {text}: the shared weights of this run learn by a schedule that ends with "
            f"{known}: start anew with --budget {text} and another --out"
        )
    return wanted


def stretched(
    setup: Setup,
    text: str,
    *,
    events: int,
    spent: Mapping[str, float],
    charged: bool = False,
) -> Setup:
    """Return the setup of a run that is given more budget.

    Seconds that are added are divided between search and delivery as the first ones were, but the
    delivery gets at least `LEAST` of the whole budget.

    Args:
        setup: of the run so far, with its data.
        text: the budget of the whole run.
        events: of the log so far. [count]
        spent: phase -> seconds so far. [s]
        charged: whether the clock is what a table says.

    Raises:
        SettingError: as `more_budget`, and if the seconds would be over before anything is tried.
    """
    wanted = more_budget(setup, text)
    if wanted is None:
        return setup
    schedule, before = setup.schedule, setup.budget
    search = schedule.search_seconds
    horizon = wanted.trials
    if wanted.seconds is not None and before.seconds is not None and search is not None:
        ratio = wanted.seconds / before.seconds
        planned = max(1, round(_last_horizon(setup) * ratio))
        horizon = planned if horizon is None else min(planned, horizon)
        search *= ratio
        if not charged:
            search = _search_seconds(setup, wanted.seconds, spent)
    stretch = Stretch(text, horizon or _last_horizon(setup), events)
    return dataclasses.replace(
        setup,
        budget=wanted,
        schedule=dataclasses.replace(schedule, search_seconds=search),
        stretches=(*setup.stretches, stretch),
    )


def _last_horizon(setup: Setup) -> int:
    return setup.stretches[-1].horizon if setup.stretches else setup.schedule.horizon


def _search_seconds(setup: Setup, wanted: float, spent: Mapping[str, float]) -> float:
    """Return the seconds of the search over all stretches. [s]"""
    assert setup.budget.seconds is not None
    assert setup.schedule.search_seconds is not None
    share = setup.schedule.search_seconds / setup.budget.seconds
    least = LEAST if setup.task.trainable else 0.0
    gone = sum(spent.values())
    added = min(share * (wanted - gone), (1 - least) * wanted - gone)
    if added <= 0:
        raise SettingError(
            f"budget {wanted:g}s: {gone:.0f} s are spent already, so nothing would be left to search "
            f"with: give more than {gone / (1 - least):.0f}s"
        )
    return spent.get("search", 0.0) + added
