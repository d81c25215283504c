"""The Mackey-Glass series, generated on the spot: a chaotic one that networks have long been tried on.

Source: Mackey & Glass, "Oscillation and chaos in physiological control systems", Science 197 (1977):
dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t); with tau = 17 it is mildly chaotic. Identified
by Lapedes & Farber (1987) and by Tenorio & Lee (1988). The usual task stands here by default: x(t + 6)
from x(t), x(t - 6), x(t - 12) and x(t - 18), so a row of the table is 6 units of time after the one
before, and a window has 4 of them.

It is integrated by Runge-Kutta of fourth order in steps of 0.1, from x = 1.2 at and before time 0;
delayed values between steps are cubic. The first 1,200 units are left out. Only sums, products and
quotients are taken, which every machine rounds alike: the series is the same everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import SettingError
from . import Task
from .forecast import forecast_task
from .frames import Frame

NAME = "mackey-glass"
NAMES = {NAME: "a chaotic series, generated: x(t + 6) from 4 values 6 units of time apart"}
STEP = 0.1  # of the integration [units of time]
PER_UNIT = 10  # steps [count]
START = 1.2
LEFT_OUT = 1200  # at the beginning [units of time]
ROWS, APART, TAU, WINDOW = 1000, 6, 17, 4
MOST = 5_000_000  # steps of the integration, some seconds [count]


def load(
    *,
    rows: int = ROWS,
    step: int = APART,
    tau: int = TAU,
    window: int = WINDOW,
    windows: str = "sequences",
    season: int | None = None,
    **split: Any,
) -> Task:
    """Return the task of forecasting the next row of the series.

    Args:
        rows: of the series. [count]
        step: between two rows. [units of time, >= 1]
        tau: the delay. [units of time, >= 1]
        window: rows that a forecast is made from. [count, >= 2]
        windows: ``sequences`` or ``lags``, as `forecast_task` has them.
        season: as it has it.
        split: ``seed``, ``validation`` and ``fraction``, as it has them.

    Raises:
        SettingError: for numbers outside their rules.
        DataError: if the rows are too few.
    """
    if min(rows, step, tau) < 1 or (LEFT_OUT + rows * step) * PER_UNIT > MOST:
        most = MOST // PER_UNIT - LEFT_OUT
        raise SettingError(
            f"task.rows={rows}, task.step={step}, task.tau={tau}: at least 1 each, and rows times "
            f"step at most {most:,}"
        )
    note = (
        f"generated: tau {tau}, a row every {step} units of time, integrated in steps of {STEP}",
    )
    frame = Frame(NAME, {"x": series(rows, step, tau)}, note)
    return forecast_task(
        NAME,
        frame,
        target="x",
        window=window,
        windows_as=windows,
        season=season,
        **split,
    )


def series(rows: int, step: int, tau: int) -> np.ndarray:
    """Return the series [rows] float64; the arguments are those of `load`."""
    delay, every = tau * PER_UNIT, step * PER_UNIT
    count = LEFT_OUT * PER_UNIT + (rows - 1) * every + 1
    values, slopes = [START] * (delay + 1), [0.0] * (delay + 1)
    slopes[-1] = _slope(START, START)
    for at in range(delay, delay + count - 1):
        x, early, late = values[at], values[at - delay], values[at - delay + 1]
        between = (early + late) / 2 + STEP / 8 * (slopes[at - delay] - slopes[at - delay + 1])
        first = slopes[at]
        second = _slope(x + STEP / 2 * first, between)
        third = _slope(x + STEP / 2 * second, between)
        fourth = _slope(x + STEP * third, late)
        x += STEP / 6 * (first + 2 * second + 2 * third + fourth)
        values.append(x)
        slopes.append(_slope(x, late))
    return np.array(values[delay + LEFT_OUT * PER_UNIT :: every])


def _slope(x: float, delayed: float) -> float:
    square = delayed * delayed
    fourth = square * square
    return 0.2 * delayed / (1 + fourth * fourth * square) - 0.1 * x
