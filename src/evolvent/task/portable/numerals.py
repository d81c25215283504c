"""Numbers as people write them: decimal and thousands signs, currencies, units, parentheses."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

BLANKS = " \u00a0\u2009\u202f"
CURRENCY = r"(?:US|AU|CA|NZ|HK|[ACRS])?[$€£¥₹₽₩₺₫₪฿₴₦¢]|kr\.?|Kč|zł|Rs\.?|Fr\.?"
CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|RUB|TRY|KRW"
UNITS_TEXT = (
    "% ‰ ° °C °F kg g mg t lb lbs oz km m cm mm mi ft m² m2 m³ km² sqm sqft l L ml cl h min s ms hp "
    "PS kW kWh W V mph km/h kmh Hz kHz MHz GHz kB KB MB GB TB px pcs cc CC bhp kmpl mpg Nm bar psi "
    "rpm kcal kJ J"
)
UNITS = frozenset(re.findall(r"\S+", UNITS_TEXT))
_NUMERAL = re.compile(
    rf"(?P<open>\()?[{BLANKS}]*(?P<sign>[+\-−])?[{BLANKS}]*(?P<prefix>{CURRENCY}|{CODES})?[{BLANKS}]*"
    rf"(?P<inner>[+\-−])?(?P<body>[0-9][0-9.,'’{BLANKS}]*(?<=[0-9.])|[.,][0-9]+)"
    rf"(?P<power>[eE][+-]?[0-9]+)?(?P<gap>[{BLANKS}]*)(?P<suffix>(?:[%‰°]|{CURRENCY}|[^\W0-9_])[^\s(),_0-9]{{0,9}}[23]?)?"
    rf"(?P<close>\))?(?P<tail>-)?"
)
_TIDY = str.maketrans({"\u00a0": " ", "\u2009": " ", "\u202f": " ", "’": "'"})
_OTHER = {".": ",", ",": "."}
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


class Numeral(NamedTuple):
    """One number as written, taken apart.

    Args:
        negative: by its sign or by parentheses.
        body: its digits, with decimal and thousands signs.
        power: its exponent, such as ``e5``, or ``""``.
        prefix: a currency before it.
        suffix: a unit, a currency or a percent sign behind it.
        apart: whether a blank stands before the suffix.
    """

    negative: bool
    body: str
    power: str
    prefix: str
    suffix: str
    apart: bool


def numeral(cell: str) -> Numeral | None:
    """Return the number that a cell holds, taken apart, or None if it is none."""
    found = _NUMERAL.fullmatch(cell.strip())
    if found is None or (found["open"] is None) != (found["close"] is None):
        return None
    signs = [found[each] for each in ("sign", "inner", "tail") if found[each]]
    if len(signs) > (0 if found["open"] else 1):
        return None
    negative = bool(found["open"]) or (bool(signs) and signs[0] != "+")
    return Numeral(
        negative,
        found["body"].translate(_TIDY),
        found["power"] or "",
        found["prefix"] or "",
        found["suffix"] or "",
        bool(found["gap"]),
    )


def digits(body: str, decimal: str) -> str | None:
    """Return the body of a number as Python writes it, or None if `decimal` cannot be its sign.

    Thousands signs (the other sign of point and comma, a blank, an apostrophe) stand before groups of
    three digits, or of two and three as in India, and never behind a leading zero.
    """
    whole, _, fraction = body.partition(decimal)
    if fraction and not fraction.isdigit():
        return None
    marks = set(whole) - set("0123456789")
    if not marks:
        return f"{whole or '0'}.{fraction or '0'}"
    if len(marks) > 1 or whole[0] in "0" or decimal in marks:
        return None
    first, *groups = whole.split(marks.pop())
    short = all(len(group) == 3 for group in groups)
    indian = "," in whole and len(groups[-1]) == 3 and all(len(g) == 2 for g in groups[:-1])
    if not 1 <= len(first) <= 3 or not (short or indian):
        return None
    return f"{first}{''.join(groups)}.{fraction or '0'}"


def number(cell: str, *, comma: bool = False) -> float | None:
    """Return the number that a cell holds, or None; what is infinite is NaN, that is missing.

    Args:
        cell: without blanks around it.
        comma: whether ``1,5`` is a number.
    """
    if comma and cell.count(",") == 1 and "." not in cell:
        cell = cell.replace(",", ".")
    if "_" in cell:  # Python takes 1_000 for a number, nobody else does
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else math.nan


def value_of(found: Numeral, decimal: str) -> float | None:
    """Return the value of a number under a decimal sign, or None if it has none under it."""
    plain = digits(found.body, decimal)
    return None if plain is None else (-1 if found.negative else 1) * float(plain + found.power)


def plain_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """Return cells as numbers [N] float64, or None if one is no number with a decimal point."""
    try:
        found = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return None
    text = "".join(cells)
    # Python reads 1_000, digits of other scripts and words such as nan, too
    return found if text.isascii() and "_" not in text and np.isfinite(found).all() else None


def grouped_numbers(cells: Sequence[str], decimal: str) -> np.ndarray | None:
    """Return cells as numbers [N] float64 under a decimal sign, or None if one is none under it.

    Thousands signs are the other of point and comma; there are no units and no exponents.
    """
    other = _OTHER[decimal]
    text = "\n".join(cells)
    group = rf"(?:[1-9][0-9]{{0,2}}(?:\{other}[0-9]{{3}})+|[0-9]+)"
    if not re.fullmatch(rf"(?:[+-]?{group}(?:\{decimal}[0-9]+)?(?:\n|\Z))*", text):
        return None
    lines = text.replace(other, "").replace(decimal, ".").split("\n")
    return np.fromiter(map(float, lines), np.float64, len(cells)) if cells else np.zeros(0)


class Foreign(NamedTuple):
    """What was odd as a column was read by a form that was decided before.

    Args:
        other: whether the other decimal sign was used throughout.
        unread: cells that are neither numbers of this form nor missing.
    """

    other: bool
    unread: list[str]


def numbers_by(cells: Sequence[str], form: Mapping[str, Any]) -> tuple[np.ndarray, Foreign]:
    """Return filled cells as numbers [N] by the form of their column, NaN where one cannot be read.

    Where no cell has the form's decimal sign for sure and some can only have the other one, as in a
    file from another country, the column is read by the other one.

    Args:
        cells: without missing ones.
        form: ``decimal``, ``prefix`` and ``suffix`` of the column.
    """
    decimal = form["decimal"]
    affixed = form["prefix"] or form["suffix"]
    if decimal == "." and not affixed and (plain := plain_numbers(cells)) is not None:
        return plain, Foreign(False, [])
    if not affixed and (fast := grouped_numbers(cells, decimal)) is not None:
        return fast, Foreign(False, [])
    own, other = {}, {}
    for cell in dict.fromkeys(cells):
        found = numeral(cell)
        if found is None or not _same_units(found, form):
            if INFINITE.fullmatch(cell.strip()):
                own[cell] = other[cell] = math.copysign(
                    math.inf, -cell.strip().startswith("-") or 1
                )
            continue
        for values, sign in ((own, decimal), (other, _OTHER[decimal])):
            if (value := value_of(found, sign)) is not None:
                values[cell] = value
    foreign = not own.keys() - other.keys() and bool(other.keys() - own.keys())
    known = other if foreign else own
    numbers = np.fromiter((known.get(cell, math.nan) for cell in cells), np.float64, len(cells))
    return numbers, Foreign(foreign, [cell for cell in cells if cell not in known])


def _same_units(found: Numeral, form: Mapping[str, Any]) -> bool:
    return found.prefix in ("", form["prefix"]) and found.suffix in ("", form["suffix"])
