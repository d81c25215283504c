"""Dates, times of day and durations, as seconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date

import numpy as np

DAY = 86400
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONE = r"(?:\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2}))?"
_CLOCK = (
    r"(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{2}(?:[.,]\d+)?))?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_AFTER = rf"(?:(?:\s*,\s*|\s+|T){_CLOCK}{_ZONE})?"
_YMD = r"(?P<y>\d{4})(?P<sep>[-/.])(?P<m>\d{1,2})(?:(?P=sep)(?P<d>\d{1,2}))?"
_COMPACT = r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})"
_TWO = r"(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)(?P<y>\d{4}|\d{2})"
_NAME = r"(?P<name>[A-Za-z]{3,9})\.?"
_WORDS = (
    rf"(?:[A-Za-z]{{3,9}},?\s+)?(?:(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\.?[\s-]+{_NAME}[\s,-]+"
    rf"|(?P<name2>[A-Za-z]{{3,9}})\.?\s+(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,?\s+)(?P<y>\d{{4}}|\d{{2}})"
)
_FORMS = {
    "ymd": re.compile(_YMD + _AFTER),
    "compact": re.compile(_COMPACT + _AFTER),
    "two": re.compile(_TWO + _AFTER),
    "words": re.compile(_WORDS + _AFTER),
}
_TIME = re.compile(
    r"(?P<sign>-)?(?:(?P<days>\d+)\s*days?,?\s+(?P<plus>\+)?)?(?P<h>\d{1,4}):(?P<min>[0-5]\d)"
    r"(?::(?P<s>[0-5]\d(?:[.,]\d+)?))?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_SPANS = {
    "d": DAY, "day": DAY, "days": DAY, "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600,
    "hours": 3600, "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60, "s": 1, "sec": 1,
    "secs": 1, "second": 1, "seconds": 1, "ms": 0.001, "w": 7 * DAY, "week": 7 * DAY, "weeks": 7 * DAY,
}  # fmt: skip
_AMOUNT = re.compile(r"(\d+(?:[.,]\d+)?)\s*([A-Za-z]+)")
_ISO_SPAN = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
ORDERS = {
    "ymd": "dates (year, month, day)",
    "dmy": "dates (day, month, year)",
    "mdy": "dates (month, day, year)",
    "words": "dates (with the month's name)",
    "compact": "dates (yyyymmdd)",
    "clock": "times (h:mm)",
    "duration": "durations",
}


def date_seconds(cell: str, order: str) -> float | None:
    """Return the seconds since 1970 of a date, or those of a time or duration; None if it is none.

    What has a zone is turned into UTC, what has none is taken as it stands.

    Args:
        cell: such as ``2024-01-31``, ``31.1.2024 12:30``, ``1:30:00``, ``90 min``.
        order: one of `ORDERS`.
    """
    cell = cell.strip()
    if order == "clock":
        return _clock(cell)
    if order == "duration":
        return _duration(cell)
    form = "two" if order in ("dmy", "mdy") else order
    found = _FORMS[form].fullmatch(cell)
    if found is None:
        return None
    part = found.groupdict()
    if form == "two":
        day, month = (part["a"], part["b"]) if order == "dmy" else (part["b"], part["a"])
    elif form == "words":
        day, month = part["d"] or part["d2"], _month(part["name"] or part["name2"])
    else:
        day, month = part["d"] or "1", part["m"]
    try:
        start = date(_year(part["y"]), int(month), int(day)).toordinal() - 719163
    except ValueError:
        return None
    time = _time_of_day(part) if part["h"] else 0.0
    return None if time is None else start * DAY + time - _offset(part["zone"])


def _year(text: str) -> int:
    year = int(text)
    return year if len(text) == 4 else year + (1900 if year >= 69 else 2000)


def _month(name: str) -> str:
    short = name[:3].lower()
    return str(MONTHS.index(short) + 1) if short in MONTHS else "0"


def _time_of_day(part: dict[str, str]) -> float | None:
    hour, minute = int(part["h"]), int(part["min"])
    second = float((part["s"] or "0").replace(",", "."))
    if part["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if part["half"] in "Pp" else 0)
    return 3600 * hour + 60 * minute + second if hour <= 24 and minute < 60 else None


def _offset(zone: str | None) -> float:
    if zone is None or zone in ("Z", "UTC", "GMT"):
        return 0.0
    hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
    return (-1 if zone[0] == "-" else 1) * (3600.0 * hours + 60 * minutes)


def _clock(cell: str) -> float | None:
    found = _TIME.fullmatch(cell)
    if found is None:
        return None
    if found["half"]:
        return _time_of_day(found.groupdict())
    second = float((found["s"] or "0").replace(",", "."))
    time = 3600 * int(found["h"]) + 60 * int(found["min"]) + second
    days = DAY * int(found["days"] or 0)
    if found["plus"] and found["sign"]:  # pandas writes an hour before zero as -1 days +23:00:00
        return time - days
    return -(days + time) if found["sign"] else days + time


def _duration(cell: str) -> float | None:
    if (clock := _clock(cell)) is not None:
        return clock
    if cell[:1] == "P" and len(cell) > 2 and (iso := _ISO_SPAN.fullmatch(cell)):
        factors = (DAY, 3600, 60, 1)
        return sum(float(n or 0) * f for n, f in zip(iso.groups(), factors, strict=True))
    sign, rest = (-1, cell[1:]) if cell.startswith("-") else (1, cell)
    found = _AMOUNT.findall(rest)
    left = _AMOUNT.sub("", rest).replace("and", "").strip(" ,")
    if not found or left or any(unit.lower() not in _SPANS for _, unit in found):
        return None
    return sign * sum(float(n.replace(",", ".")) * _SPANS[unit.lower()] for n, unit in found)


def orders_of(cells: Iterable[str]) -> dict[str, int]:
    """Return order -> number of the cells that can be read by it; a quick look at the first decides.

    Args:
        cells: filled, each another.
    """
    some = list(cells)
    likely = [o for o in ORDERS if any(date_seconds(c, o) is not None for c in some[:40])]
    return {o: sum(date_seconds(c, o) is not None for c in some) for o in likely}


def has_zone(cell: str) -> bool:
    """Whether a date names its time zone."""
    found = next((m for f in _FORMS.values() if (m := f.fullmatch(cell.strip()))), None)
    return bool(found and found["zone"])


def mapped(cells: Sequence[str] | np.ndarray, of: Callable[[str], float | None]) -> np.ndarray:
    """Return a number for every cell [N], NaN where `of` has none; each text is looked at once."""
    known = {}
    for cell in dict.fromkeys(cells):
        value = of(cell)
        known[cell] = np.nan if value is None else value
    return np.fromiter(map(known.__getitem__, cells), np.float64, len(cells))


def seconds_of(cells: Sequence[str] | np.ndarray, order: str) -> np.ndarray:
    """Return dates, times or durations in seconds [N] float64, NaN where a cell is empty or none."""
    return mapped(cells, lambda cell: date_seconds(cell, order) if cell else None)


def cycles_of(seconds: np.ndarray) -> dict[str, np.ndarray]:
    """Return what comes round of dates: month, weekday and time of day, as shares [N] of a round."""
    known = np.where(np.isnan(seconds), 0, seconds)
    days = np.floor(known / DAY).astype(np.int64)
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    return {"month": month / 12, "weekday": ((days + 3) % 7) / 7, "hour": known % DAY / DAY}
