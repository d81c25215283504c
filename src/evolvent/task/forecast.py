"""Forecasts: a table whose rows are in the order of time becomes windows and the values after them.

A window is a number of rows in a row: its target and the other columns, up to the last row, are what a
network sees, the target of the next rows is what it learns. Parts follow each other in time, so that
every forecast is of values later than all that was learnt from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataError, SettingError
from . import Part, Task
from .division import Windows
from .files import some
from .frames import Frame
from .mixed import is_text
from .numbers import (
    MOST_FEATURES,
    check_quantity,
    learnt_columns,
    same_columns,
    tell_gaps,
)
from .portable.dates import seconds_of
from .portable.windows import carried, channels, windows
from .scales import clipped, scale_of
from .source import Answers
from .splitting import LEAST, TEST_SHARE, Parts
from .targets import measured

LAST, SEASONAL = "last-value", "seasonal-naive"  # forecasts by rule, controls of every network
LEAST_ECHO = 0.2  # autocorrelation of a season, at least
MOST_SEASONS = 3  # a season must go so often into the training rows, at least


def forecast_task(
    name: str,
    frame: Frame,
    *,
    target: str,
    window: int,
    horizon: int = 1,
    season: int | None = None,
    windows_as: str = "sequences",
    test: Frame | None = None,
    seed: int = 0,
    validation: float = 0.2,
    fraction: float = 1.0,
) -> Task:
    """Return the task of forecasting one column of a table from the rows before.

    Args:
        name: how the user called the data.
        frame: the table, its rows in the order of time and at equal distances.
        target: the column to forecast.
        window: rows that a forecast is made from. [count, >= 2]
        horizon: rows that are forecast. [count, >= 1]
        season: rows after which the target comes round; None finds it by autocorrelation. [count]
        windows_as: ``sequences`` [C, window], or ``lags``, the same in one row [C * window].
        test: a table of the same columns, later in time, whose windows are the test part; None takes
            the last ones of the table.
        seed: is stored; the split is that of time.
        validation: share of the windows to validate on, of those that are not test. (0..0.5]
        fraction: share of the training windows to keep, the latest. (0..1]

    Raises:
        DataError: if the table cannot be used.
        SettingError: for numbers outside these rules.
    """
    _check_numbers(window, horizon, season)
    notes = list(frame.note)
    for each in (frame, *([] if test is None else [test])):
        check_quantity(each, target)
        _check_order(each, target)
    test = None if test is None else same_columns(test, frame)
    tell_gaps(frame, target, notes)
    first = _first_known(frame, target)
    ends = _ends(frame.column(target), first, window, horizon)
    parts = _in_time(ends, horizon, validation, fraction, test is None, window)
    stop = int(parts["training"][-1]) + horizon + 1  # rows that training knows
    seen = frame.rows(np.arange(first, stop))
    about = _learnt(seen, target, notes)
    about |= {"window": window, "horizon": horizon, "lags": windows_as == "lags"}
    found = season or season_of(carried(seen.column(target)))
    about |= {"season": found} if found else {}
    about |= {"file": dict(frame.how)} if frame.how else {}
    made = _Windows(about, _values(frame, about), frame.column(target))
    _check_size(len(made.values), frame, window)  # before windows take their memory
    given = {key: made.part(rows) for key, rows in parts.items()}
    answers = {key: made.answers(rows) for key, rows in parts.items()}
    if test is not None:
        later = _Windows(about, _values(test, about), test.column(target))
        rows = _ends(test.column(target), _first_known(test, target), window, horizon)
        if not len(rows):
            raise DataError(
                f"{test.source!r} has {len(test)} rows: a window of {window} and the {horizon} after "
                "it are needed"
            )
        given["test"], answers["test"] = later.part(rows), later.answers(rows)
    notes.append(_told(parts, found, season))
    return Task(
        name=name,
        kind="numbers" if about["lags"] else "series",
        input_shape=given["training"].x.shape[1:],
        outputs=horizon,
        classes=(),
        train=given["training"],
        validation=given["validation"],
        test=given.get("test"),
        ahead=horizon,
        seed=seed,
        note=tuple(notes),
        reading=about,
        source=Answers(_by_rule(answers)),
        division=Windows(steps=horizon),
        unit=about["target_unit"],
        **measured("regression"),
    )


def _check_numbers(window: int, horizon: int, season: int | None) -> None:
    for option, value, least in (
        ("window", window, 2),
        ("horizon", horizon, 1),
        ("season", season or 2, 2),
    ):
        if value < least:
            raise SettingError(f"--{option} {value}: at least {least} rows")


def _check_order(frame: Frame, target: str) -> None:
    """Refuse rows that go back in time, where a column of dates tells."""
    back = ""
    for name, about in frame.about.items():
        form = about.form
        if name == target or form["type"] != "date" or form["order"] in ("clock", "duration"):
            continue
        seconds = seconds_of(frame.column(name), form["order"])
        known = seconds[~np.isnan(seconds)]
        steps = np.flatnonzero(np.diff(known) < 0)
        if not len(steps):
            return
        back = back or (
            f"{frame.source!r}: the rows go back in time at data row {steps[0] + 2} of column "
            f"{name!r}: sort them by time, the oldest first; if it is no time of the rows, leave it "
            f"out with --ignore {name}"
        )
    if back:
        raise DataError(back)


def _first_known(frame: Frame, target: str) -> int:
    """Return the first row with a target."""
    known = np.flatnonzero(~np.isnan(frame.column(target)))
    if not len(known):
        raise DataError(f"{frame.source!r}: column {target!r} is empty: it should hold the target")
    return int(known[0])


def _ends(values: np.ndarray, first: int, window: int, horizon: int) -> np.ndarray:
    """Return the last rows of the windows whose next `horizon` targets are known."""
    ends = np.arange(first + window - 1, len(values) - horizon)
    if not len(ends):
        return ends
    known = np.all([~np.isnan(values[ends + step]) for step in range(1, horizon + 1)], axis=0)
    return ends[known]


def _in_time(
    ends: np.ndarray, horizon: int, validation: float, fraction: float, test: bool, window: int
) -> Parts:
    """Return part -> the last rows of its windows; a value is forecast in one part alone."""
    if len(ends) < LEAST:
        raise DataError(
            f"a window of {window} rows and the {horizon} after it fit {len(ends)} times into the "
            f"rows with a target, at least {LEAST} are needed: add rows, or lower --window"
        )
    parts: Parts = {}
    rest = ends
    for name, share in (("test", TEST_SHARE if test else 0.0), ("validation", validation)):
        if not share:
            continue
        take = min(len(rest) - 1, max(1, round(len(rest) * share)))
        parts[name], rest = rest[-take:], rest[:-take]
        rest = rest[rest + horizon <= parts[name][0]]  # whose targets are not of the later part
    if not len(rest):
        raise DataError(
            f"no window is left to train on: add rows, or lower --window ({window}) or --horizon "
            f"({horizon})"
        )
    keep = max(1, round(len(rest) * fraction))
    return {"training": rest[-keep:], **parts}


def _learnt(seen: Frame, target: str, notes: list[str]) -> dict[str, Any]:
    """Return scales and forms of the columns by the training rows; see `portable.windows`."""
    seen = _without_texts(seen, target, notes)
    about = seen.about.get(target)
    form = {"type": "number", "marks": []} if about is None else dict(about.form)
    scale = scale_of(carried(seen.column(target)), target, notes)
    return {
        "kind": "forecast",
        "task": "regression",
        "target": target,
        "form": {**form, "name": target},
        "target_mean": scale["mean"],
        "target_unit": scale["unit"],
        "low": _finite(scale["low"]),
        "high": _finite(scale["high"]),
        **learnt_columns(seen, target, notes),
    }


def _without_texts(seen: Frame, target: str, notes: list[str]) -> Frame:
    """Return the table without columns of free text, which is noted."""
    texts = [
        name
        for name, column in seen.columns.items()
        if name != target and column.dtype.kind == "O" and _is_free(seen, name)
    ]
    if not texts:
        return seen
    notes.append(f"columns of free text are left out of windows: {some(texts)}")
    return dataclasses.replace(
        seen, columns={name: each for name, each in seen.columns.items() if name not in texts}
    )


def _is_free(seen: Frame, name: str) -> bool:
    about = seen.about.get(name)
    return (about is None or about.form["type"] == "category") and is_text(seen.column(name))


def _finite(bound: float) -> float:
    """Return a bound that JSON can say."""
    return float(np.clip(bound, -1e300, 1e300))


def _values(frame: Frame, about: Mapping[str, Any]) -> np.ndarray:
    names = [about["target"], *(each["name"] for each in about["columns"])]
    return channels({name: frame.column(name) for name in names}, about)


@dataclasses.dataclass(frozen=True)
class _Windows:
    """The windows of one table.

    Args:
        about: the task's `reading`.
        values: its channels [C, N].
        target: [N] float64, NaN where it is missing.
    """

    about: Mapping[str, Any]
    values: np.ndarray
    target: np.ndarray

    def part(self, ends: np.ndarray) -> Part:
        """Return the windows that end with these rows, and the values after them."""
        x = windows(self.values, ends, self.about["window"])
        y = clipped(self._after(ends), self._scale)
        if self.about["lags"]:
            x = x.reshape(len(x), -1)
        return Part(x, y[:, 0] if y.shape[1] == 1 else y)

    def answers(self, ends: np.ndarray) -> dict[str, np.ndarray]:
        """Return the forecasts by rule, as outputs of a network [W, horizon]."""
        own, steps = self.values[0].astype(np.float64), np.arange(1, self.about["horizon"] + 1)
        last = np.repeat(own[ends][:, None], len(steps), axis=1)
        found = {LAST: last}
        if season := self.about.get("season"):
            rows = ends[:, None] + steps - season * -(-steps // season)
            found[SEASONAL] = np.where(rows >= 0, own[np.maximum(rows, 0)], last)
        return found

    @property
    def _scale(self) -> dict[str, float]:
        about = self.about
        scale = {"mean": about["target_mean"], "unit": about["target_unit"]}
        return scale | {"low": about["low"], "high": about["high"]}

    def _after(self, ends: np.ndarray) -> np.ndarray:
        rows = ends[:, None] + np.arange(1, self.about["horizon"] + 1)
        return np.asarray(self.target[rows])


def _by_rule(answers: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    """Return rule -> part -> forecasts."""
    rules = next(iter(answers.values()))
    return {rule: {part: each[rule] for part, each in answers.items()} for rule in rules}


def _check_size(channels: int, frame: Frame, window: int) -> None:
    inputs = channels * window
    if inputs > MOST_FEATURES:
        raise DataError(
            f"{frame.source!r}: {channels} channels in windows of {window} rows are {inputs:,} "
            f"inputs, {MOST_FEATURES:,} are allowed: lower --window, or leave columns out with --ignore"
        )


def _told(parts: Parts, season: int | None, said: int | None) -> str:
    """Return the line about the split and the season."""
    spans = [
        f"{name} forecasts data rows {parts[name][0] + 2:,} to {parts[name][-1] + 2:,}"
        for name in ("training", "validation", "test")
        if name in parts
    ]
    if season is None:
        tail = "no season was found (--season ROWS names one)"
    else:
        tail = f"a season is {season} rows" + ("" if said else ", by autocorrelation")
    return f"rows are taken in the order of time: {', '.join(spans)}; {tail}"


def season_of(values: np.ndarray) -> int | None:
    """Return the rows after which a series comes round, by its autocorrelation; None if there is none.

    That is the lag of the highest peak, of the series without its straight trend, if it is above what
    chance makes of noise.

    Args:
        values: [N], without gaps.
    """
    count = len(values)
    most = count // MOST_SEASONS
    if most < 3:
        return None
    places = np.arange(count, dtype=np.float64)
    level = np.polyfit(places - places.mean(), values, 1)
    rest = values - np.polyval(level, places - places.mean())
    power = np.abs(np.fft.rfft(rest, 2 * count)) ** 2
    echo = np.fft.irfft(power)[: most + 2]
    if not echo[0] > 0:
        return None
    echo = echo / echo[0]
    inner = echo[1:-1]
    peaks = np.flatnonzero((inner > echo[:-2]) & (inner >= echo[2:])) + 1
    peaks = peaks[peaks >= 2]
    if not len(peaks):
        return None
    best = int(peaks[np.argmax(echo[peaks])])
    return best if echo[best] > max(LEAST_ECHO, 3 / np.sqrt(count)) else None
