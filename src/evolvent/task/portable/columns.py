"""The kind of a column: numbers, dates, categories or text, decided by all its cells.

A decision is a *form*, plain JSON that travels with the network: `read_column` applies it to the cells
of a new file as they were read in the search.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .dates import has_zone, orders_of, seconds_of
from .numerals import (
    INFINITE,
    UNITS,
    Foreign,
    Numeral,
    grouped_numbers,
    number,
    numbers_by,
    numeral,
    plain_numbers,
    value_of,
)
from .raw import Cells, as_written

MISSING = frozenset({"", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "NaT"})
NO_NUMBER = MISSING | {"None", "none", "-"}  # in a column of numbers these are missing, too
NUMBERS = {  # the form of numbers as a program writes them
    "type": "number",
    "marks": sorted(NO_NUMBER),
    "decimal": ".",
    "prefix": "",
    "suffix": "",
}
CATEGORIES = {"type": "category", "marks": sorted(MISSING)}
MOSTLY = 0.95  # of the filled cells: so many numbers make a column of numbers,
MANY = 20  # if so many of them differ
FREQUENT_ROWS = 3  # a text that looks missing and is rarer is missing [count]
EXACT = 2**53  # up to which a float holds every whole number
SIGNS = {".": "point", ",": "comma"}
ODD = 5  # examples in a line [count]


class Wish(NamedTuple):
    """Hints on a column: the user's word, and the file's.

    Args:
        type: ``number``, ``category`` or ``date``; None decides by the cells.
        missing: texts that stand for a missing cell, in place of the usual ones.
        decimal: ``point`` or ``comma``.
        dates: ``day-first`` or ``month-first``.
        comma: whether a comma may be a decimal one, by the other columns or the file's semicolons.
        thousands: whether another column has decimal commas, so that points stand before thousands.
    """

    type: str | None = None
    missing: frozenset[str] | None = None
    decimal: str | None = None
    dates: str | None = None
    comma: bool = False
    thousands: bool = False


class Column(NamedTuple):
    """A column as it was read.

    Args:
        form: how, as plain JSON: ``type``, ``marks`` (texts that are missing) and of a number
            ``decimal``, ``prefix``, ``suffix``; of a date its ``order``; of both ``odd``,
            the filled cells that are none, if there are any.
        values: numbers [N] float64, NaN where missing; or text [N] object, ``""`` where missing.
        notes: what a user should know, one line each.
        gaps: text that is missing -> number of rows.
        infinite: rows that hold an infinite number.
        conflict: why its numbers or dates cannot be told, or ``""``.
        sure: the decimal sign, where its cells leave no doubt.
    """

    form: dict[str, Any]
    values: np.ndarray
    notes: list[str]
    gaps: dict[str, int]
    infinite: list[int]
    conflict: str = ""
    sure: str = ""


class Unread(NamedTuple):
    """What of a new file's column could not be read by its form: `Foreign`, of numbers and dates."""

    values: np.ndarray
    foreign: Foreign


def decide(name: str, cells: Cells, wish: Wish = Wish()) -> Column:
    """Return what a column holds, by all of its cells.

    Args:
        name: of the column, for notes.
        cells: as written [N], or an array of numbers.
        wish: what was said of it.
    """
    if isinstance(cells, np.ndarray):
        if wish.type in (None, "number") and not _inexact(cells):
            return _array(cells, wish)
        cells = as_written(cells)
    if wish.type == "category":
        return _texts(name, cells, wish)
    if wish.type == "date":
        return _dates(name, cells, wish) or _texts(name, cells, wish, f"{name!r} holds no dates")
    if (numbers := _numbers(name, cells, wish)) is not None:
        return numbers
    if wish.type == "number":
        return _texts(name, cells, wish, f"column {name!r} holds no numbers")
    return _dates(name, cells, wish) or _texts(name, cells, wish)


def read_column(cells: Cells, form: Mapping[str, Any]) -> Unread:
    """Return the values of a column by a form that was decided before, and what it could not read.

    Args:
        cells: as written [N], or an array of numbers.
        form: `Column.form`.
    """
    if isinstance(cells, np.ndarray):
        if form["type"] == "number":
            values = _array_values(cells, form["marks"])
            return Unread(np.where(np.isinf(values), math.nan, values), Foreign(False, []))
        cells = as_written(cells)
    if form["type"] != "number":
        texts = as_texts(cells, form["marks"])
        if form["type"] in ("category", "text"):
            return Unread(texts, Foreign(False, []))
        unknown = np.isnan(seconds_of(texts, form["order"]))
        return Unread(texts, Foreign(False, [t for t in texts[unknown] if t]))
    marks = frozenset(form["marks"])
    filled = is_filled(cells, marks)
    values = np.full(len(cells), math.nan)
    kept = cells if filled.all() else [cells[row] for row in np.flatnonzero(filled).tolist()]
    values[filled], foreign = numbers_by(kept, form)
    return Unread(np.where(np.isinf(values), math.nan, values), foreign)


def as_texts(cells: Cells, marks: Any = MISSING) -> np.ndarray:
    """Return cells as text [N] object, ``""`` where one is missing."""
    cells = as_written(cells)
    texts = np.empty(len(cells), object)
    texts[:] = cells
    texts[~is_filled(cells, frozenset(marks))] = ""
    return texts


def is_filled(cells: Sequence[str], marks: frozenset[str]) -> np.ndarray:
    """Return the mask of the cells that are not missing [N] bool; blanks around a mark do not count."""
    known = {
        cell: cell.strip() not in marks and bool(cell.strip()) for cell in dict.fromkeys(cells)
    }
    return np.fromiter(map(known.__getitem__, cells), bool, len(cells))


# ---- numbers -------------------------------------------------------------------------------------


def _array_values(cells: np.ndarray, marks: Iterable[str]) -> np.ndarray:
    """Return an array of numbers as float64 [N], NaN where one is missing or the number of a mark."""
    values = cells.astype(np.float64)
    known = [value for mark in marks if (value := number(mark)) is not None and value == value]
    return np.where(np.isin(values, known), math.nan, values) if known else values


def _inexact(cells: np.ndarray) -> bool:
    """Whether whole numbers are too large for floats, so that their digits tell more."""
    whole = cells.dtype.kind in "iu"
    return whole and bool(np.abs(cells.astype(np.float64)).max(initial=0) > EXACT)


def _array(cells: np.ndarray, wish: Wish) -> Column:
    """Return a column of numbers that its file holds as such."""
    marks = NO_NUMBER if wish.missing is None else wish.missing | {""}
    values = _array_values(cells, marks)
    infinite = np.flatnonzero(np.isinf(values)).tolist()
    gaps = dict(Counter(as_written(cells[np.isnan(values)])))
    if infinite:
        gaps["infinite"] = len(infinite)
    form = {**NUMBERS, "marks": sorted(marks), **({"infinite": True} if infinite else {})}
    return Column(form, np.where(np.isinf(values), math.nan, values), [], gaps, infinite)


def _numbers(name: str, cells: Sequence[str], wish: Wish) -> Column | None:
    """Return a column as numbers, as a code of digits, or None if it holds neither."""
    marks = NO_NUMBER if wish.missing is None else wish.missing | {""}
    plain = plain_numbers(cells) if wish.missing is None else None
    filled = is_filled(cells, marks) if plain is None else np.ones(len(cells), bool)
    rows = np.flatnonzero(filled)
    kept = cells if filled.all() else [cells[row] for row in rows.tolist()]
    if not len(kept):
        return None
    decided = _quickly(kept, wish, plain) or _notation(kept, wish)
    if decided is None:
        return None
    if decided.conflict:
        where = f"column {name!r}: {decided.conflict}"
        return _texts(name, cells, wish)._replace(conflict=where)
    if wish.type != "number" and (why := _code(kept, decided.form, decided.values)):
        found = _texts(name, cells, wish)
        return found._replace(notes=[f"column {name!r} holds codes ({why}): read as categories"])
    values = np.full(len(cells), math.nan)
    values[rows] = decided.values
    infinite = rows[np.isinf(decided.values)]
    values[infinite] = math.nan
    notes = [f"column {name!r}: {line}" for line in decided.notes]
    if decided.unread:
        notes.append(
            f"column {name!r}: {len(decided.unread)} cells that are no numbers, such as "
            f"{decided.unread[0][:40]!r}, are taken as missing"
        )
    gaps = _gaps(cells, filled)
    if len(infinite):
        gaps["infinite"] = len(infinite)
    form = {"type": "number", "marks": sorted(marks), **decided.form}
    form |= _odd([*decided.unread, *(cells[row] for row in infinite.tolist())])
    return Column(form, values, notes, gaps, infinite.tolist(), sure=decided.sure)


def _odd(unread: Sequence[str]) -> dict[str, list[str]]:
    """Return what a form remembers of the cells that it cannot read: they are no news later."""
    return {"odd": sorted(set(unread))} if unread else {}


class _Decided(NamedTuple):
    form: dict[str, str]
    values: np.ndarray
    notes: list[str]
    unread: list[str]
    sure: str = ""
    conflict: str = ""


def _plain(decimal: str) -> dict[str, str]:
    return {"decimal": decimal, "prefix": "", "suffix": ""}


def _quickly(cells: Sequence[str], wish: Wish, plain: np.ndarray | None) -> _Decided | None:
    """Decide columns of plain numbers, without units, whose decimal sign is beyond doubt."""
    text = "\n".join(cells)
    if "." not in text and "," not in text:
        plain = plain_numbers(cells) if plain is None else plain
        sign = "," if (wish.decimal == "comma" or wish.comma) else "."
        return None if plain is None else _Decided(_plain(sign), plain, [], [])
    if "," not in text and _never_thousands(text, r"\."):
        plain = plain_numbers(cells) if plain is None else plain
        if plain is not None and wish.decimal != "comma":
            return _Decided(_plain("."), plain, [], [], sure=".")
    if "." not in text and wish.decimal != "point" and _never_thousands(text, ","):
        plain = grouped_numbers(cells, ",")
        if plain is not None:
            return _Decided(_plain(","), plain, ["commas are decimal signs"], [], sure=",")
    both = "." in text and "," in text
    for sign in (".", ","):
        if both and wish.decimal in (None, SIGNS[sign]):
            plain = grouped_numbers(cells, sign)
            if (
                plain is not None
                and grouped_numbers(cells[:1000], "," if sign == "." else ".") is None
            ):
                return _Decided(_plain(sign), plain, [_told(sign)], [], sure=sign)
    return None


def _never_thousands(text: str, sign: str) -> bool:
    """Whether some number shows that a sign is no thousands sign: too few or many digits about it."""
    return re.search(rf"{sign}[0-9]{{0,2}}(?![0-9])|{sign}[0-9]{{4}}|[0-9]{{4}}{sign}|"
                     rf"(?:^|\n)[+-]?0*{sign}", text) is not None  # fmt: skip


def _told(sign: str) -> str:
    other = {".": "commas", ",": "points"}[sign]
    own = {".": "points", ",": "commas"}[sign]
    return f"{other} are thousands signs, {own} are decimal signs"


def _notation(cells: Sequence[str], wish: Wish) -> _Decided | None:
    """Decide a column of numbers written in any way, by each of its different cells."""
    counts = Counter(cells)
    found = {cell: part for cell in counts if (part := numeral(cell)) is not None}
    if not found or not _mostly(counts, found, wish, len(found)):
        return _endless(counts, wish)
    prefix, suffix = _affixes(counts, found)
    own = {
        cell: part
        for cell, part in found.items()
        if part.prefix in ("", prefix) and part.suffix in ("", suffix)
    }
    values = {sign: _values(own, sign) for sign in ".,"}
    known = values["."].keys() | values[","].keys()
    if not _unit(prefix, suffix, own, wish) or not _mostly(counts, known, wish, len(known)):
        return None
    sign, notes, sure, conflict = _sign(own, values, wish)
    if prefix or suffix:
        notes = [
            f"numbers with {' and '.join(repr(each) for each in (prefix, suffix) if each)}",
            *notes,
        ]
    if any("(" in cell for cell in own):
        notes = [*notes, "parentheses are negative numbers"]
    chosen = values[sign]
    for cell in counts.keys() - chosen.keys():
        if INFINITE.fullmatch(cell.strip()):
            chosen[cell] = -math.inf if cell.strip().startswith("-") else math.inf
    numbers = np.fromiter((chosen.get(cell, math.nan) for cell in cells), np.float64, len(cells))
    unread = [cell for cell in cells if cell not in chosen]
    form = {"decimal": sign, "prefix": prefix, "suffix": suffix}
    return _Decided(form, numbers, notes, unread, sure, conflict)


def _endless(counts: Counter[str], wish: Wish) -> _Decided | None:
    """Return a column of nothing but infinite numbers."""
    if not all(INFINITE.fullmatch(cell.strip()) for cell in counts):
        return None
    return _Decided(_plain("."), np.full(counts.total(), math.inf), [], [])


def _mostly(counts: Counter[str], known: Any, wish: Wish, distinct: int) -> bool:
    """Whether the known cells are all, or almost all and many different ones."""
    rows = sum(counts[cell] for cell in known)
    endless = sum(n for cell, n in counts.items() if INFINITE.fullmatch(cell.strip()))
    total = counts.total() - endless
    if wish.type == "number":
        return rows >= 0.5 * total
    return rows == total or (rows >= MOSTLY * total and distinct > MANY)


def _affixes(counts: Counter[str], found: Mapping[str, Numeral]) -> tuple[str, str]:
    """Return the currency before and the unit behind the numbers, of most of them."""
    pairs: Counter[tuple[str, str]] = Counter()
    for cell, part in found.items():
        if part.prefix or part.suffix:
            pairs[part.prefix, part.suffix] += counts[cell]
    return pairs.most_common(1)[0][0] if pairs else ("", "")


def _unit(prefix: str, suffix: str, own: Mapping[str, Numeral], wish: Wish) -> bool:
    """Whether a suffix is a unit, and not the letter of a code such as 12A."""
    if not suffix or wish.type == "number" or suffix in UNITS or not suffix[0].isalpha():
        return True
    apart = [part.apart for part in own.values() if part.suffix]
    return all(apart) and len(own) > MANY / 2


def _values(own: Mapping[str, Numeral], sign: str) -> dict[str, float]:
    return {cell: v for cell, part in own.items() if (v := value_of(part, sign)) is not None}


def _sign(
    own: Mapping[str, Numeral], values: Mapping[str, dict[str, float]], wish: Wish
) -> tuple[str, list[str], str, str]:
    """Return the decimal sign, notes, the sign if it is beyond doubt, and a conflict or ``""``."""
    points = [c for c in values["."] if c not in values[","]]
    commas = [c for c in values[","] if c not in values["."]]
    if wish.decimal:
        sign = "." if wish.decimal == "point" else ","
        return sign, [f"the decimal sign is a {wish.decimal}, as said"], "", ""
    if points and commas:
        return (
            ".",
            [],
            "",
            (
                f"{points[0]!r} has a decimal point, {commas[0]!r} a decimal comma: say which is right "
                "with --set task.decimal=point or --set task.decimal=comma, or for this column alone "
                "with --set 'task.decimal={COLUMN: comma}'; or make the cells alike"
            ),
        )
    bodies = {part.body for part in own.values()}
    if points or commas:
        sign = "." if points else ","
        used = any(_OTHER_SIGN[sign] in body for body in bodies)
        plain = sign == "." and not used
        return (
            sign,
            [] if plain else [_told(sign) if used else "commas are decimal signs"],
            sign,
            "",
        )
    return (*_doubtful(bodies, wish), "", "")


_OTHER_SIGN = {".": ",", ",": "."}


def _doubtful(bodies: set[str], wish: Wish) -> tuple[str, list[str]]:
    """Return the decimal sign where every point or comma stands before exactly three digits."""
    pointed = [body for body in bodies if "." in body]
    comma = [body for body in bodies if "," in body]
    if not pointed and not comma:
        return ("," if wish.comma else "."), []
    bare = [body for body in bodies if body.isdigit()]
    shown = min(pointed or comma)
    mixed = _grouped_by_mixture(pointed or comma, bare)
    otherwise = "it may be otherwise: --set task.decimal="
    if pointed and (mixed or wish.thousands):
        why = (
            "beside whole numbers below 1,000" if mixed else "as another column has decimal commas"
        )
        return ",", [f"points are thousands signs, as in {shown!r}, {why} ({otherwise}point)"]
    if pointed:
        return ".", [f"points are decimal signs, as in {shown!r}; {otherwise}comma"]
    if wish.comma and not mixed:
        return ",", [f"commas are decimal signs, as in {shown!r}; {otherwise}point"]
    return ".", [f"commas are thousands signs, as in {shown!r}; {otherwise}comma"]


def _grouped_by_mixture(signed: Sequence[str], bare: Sequence[str]) -> bool:
    """Whether signs before three digits are those of thousands, by the numbers that have none.

    Decimals written in full have three digits in every number, and no bare ones stand beside them;
    decimals without closing zeros would have fewer digits now and then, and bare numbers in one of a
    thousand. Thousands stand beside bare numbers below 1,000.
    """
    if len(signed) < 3 or len(bare) < 3 or any(len(each) > 3 for each in bare):
        return False
    closed = any(each.endswith("0") for each in signed)
    return closed or len(bare) >= 0.05 * (len(bare) + len(signed))


def _code(cells: Sequence[str], form: Mapping[str, str], values: np.ndarray) -> str:
    """Return why numbers are a code and no quantity, or ``""``."""
    if form["prefix"] or form["suffix"]:
        return ""
    text = "\n".join(cells)
    if "." not in text and "," not in text:
        if found := re.search(r"(?:^|\n) *(0[0-9]+) *(?=\n|\Z)", text):
            return f"leading zeros, as in {found[1]!r}"
        long = np.abs(values[np.isfinite(values)]).max(initial=0) >= EXACT
        short = "e" in text or "E" in text
        if (long or short) and re.fullmatch(r"(?:[+-]?[0-9]+(?:[eE][0-9]+)?(?:\n|\Z))*", text):
            known = dict(zip(cells, values.tolist(), strict=True))
            if len(set(known.values())) < len(known):
                return "different ones are the same number"
    return ""


# ---- dates ---------------------------------------------------------------------------------------


def _dates(name: str, cells: Sequence[str], wish: Wish) -> Column | None:
    """Return a column as dates, times or durations, or None if it holds none."""
    marks = NO_NUMBER if wish.missing is None else wish.missing | {""}
    counts = Counter(cells)
    for cell in [each for each in counts if each.strip() in marks]:
        del counts[cell]
    found = orders_of(counts)
    if wish.type != "date":
        found.pop("compact", None)
    need = len(counts) if len(counts) <= MANY else MOSTLY * len(counts)
    if wish.type == "date":
        need = 0.5 * len(counts)
    good = {order: count for order, count in found.items() if count >= need and count}
    if not good:
        return _mixed_dates(name, cells, wish, found, len(counts))
    filled, texts = is_filled(cells, marks), as_texts(cells, marks)
    order, notes, conflict = _order(good, counts, wish)
    if conflict:
        return _texts(name, cells, wish)._replace(conflict=f"column {name!r}: {conflict}")
    odd = texts[filled][np.isnan(seconds_of(texts[filled], order))].tolist()
    if odd:
        notes.append(f"{len(odd)} cells that are none are taken as missing")
    form = {"type": "date", "marks": sorted(marks), "order": order, **_odd(odd)}
    told = [f"column {name!r}: {', '.join(notes)}"] if notes else []
    return Column(form, texts, told, _gaps(cells, filled), [])


def _order(good: Mapping[str, int], counts: Counter[str], wish: Wish) -> tuple[str, list[str], str]:
    """Return the order of dates that fits best, what to say of it, and a conflict or ``""``."""
    if {"dmy", "mdy"} & good.keys():
        return _day_or_month(good, counts, wish)
    order = next(each for each in ("ymd", "words", "compact", "clock", "duration") if each in good)
    if order in ("clock", "duration"):
        return order, [], ""
    return order, _zones(counts), ""


def _day_or_month(
    good: Mapping[str, int], counts: Counter[str], wish: Wish
) -> tuple[str, list[str], str]:
    dmy, mdy = good.get("dmy", 0), good.get("mdy", 0)
    names = {"dmy": "dates as day, month, year", "mdy": "dates as month, day, year"}
    if wish.dates:
        order = "dmy" if wish.dates == "day-first" else "mdy"
        return order, [f"{names[order]}, as said", *_zones(counts)], ""
    if dmy != mdy:
        order = "dmy" if dmy > mdy else "mdy"
        return order, [names[order], *_zones(counts)], ""
    first = next(iter(counts))
    order = "mdy" if "/" in first else "dmy"
    other = "month-first" if order == "dmy" else "day-first"
    both = f"{names[order]}; its cells fit both orders, --set task.dates={other} for the other"
    return order, [both, *_zones(counts)], ""


def _mixed_dates(
    name: str, cells: Sequence[str], wish: Wish, found: Mapping[str, int], total: int
) -> Column | None:
    """Return a conflict where some dates can only have the day first, others only the month."""
    if not {"dmy", "mdy"} <= found.keys():
        return None
    texts = as_texts(cells, NO_NUMBER)
    day, month = (~np.isnan(seconds_of(texts, order)) for order in ("dmy", "mdy"))
    filled = texts != ""
    if not (day | month)[filled].all() or wish.dates or not filled.any():
        return None
    one, other = texts[day & ~month], texts[month & ~day]
    where = (
        f"column {name!r}: {one[0]!r} has the day first, {other[0]!r} the month: say which is right "
        "with --set task.dates=day-first or --set task.dates=month-first, or make the cells alike"
    )
    return _texts(name, cells, wish)._replace(conflict=where)


def _zones(counts: Counter[str]) -> list[str]:
    zoned = sum(map(has_zone, counts))
    if not zoned:
        return []
    rest = "" if zoned == len(counts) else ", those without a time zone are taken as UTC"
    return [f"in UTC{rest}"]


# ---- texts ---------------------------------------------------------------------------------------


def _texts(name: str, cells: Sequence[str], wish: Wish, conflict: str = "") -> Column:
    """Return a column as categories or text, exactly as written."""
    if wish.missing is not None:
        marks, notes = wish.missing | {""}, list[str]()
    else:
        marks, notes = marks_of(name, cells)
    filled = is_filled(cells, frozenset(marks))
    form = {"type": "category", "marks": sorted(marks)}
    return Column(form, as_texts(cells, marks), notes, _gaps(cells, filled), [], conflict)


def marks_of(
    name: str, cells: Sequence[str], usual_marks: frozenset[str] = MISSING
) -> tuple[frozenset[str], list[str]]:
    """Return the texts that are missing in a column of texts; one that is frequent there is none.

    Args:
        name: of the column, for notes.
        cells: as written [N].
        usual_marks: texts that are missing where they are rare.
    """
    counts = Counter(cells)
    looks = {cell for cell in counts if cell.strip() in usual_marks}
    others = sorted(count for cell, count in counts.items() if cell not in looks)
    if not others or not looks:
        return usual_marks, []
    usual = others[len(others) // 2]
    total = sum(others) + sum(counts[each] for each in looks)
    rows: Counter[str] = Counter()
    for each in looks:
        rows[each.strip()] += counts[each]
    frequent = sorted(
        mark
        for mark, count in rows.items()
        if mark and count >= FREQUENT_ROWS and (count >= usual / 2 or count >= total / 5)
    )
    notes = [
        f"column {name!r}: {mark!r} ({rows[mark]:,} rows) is as frequent as its other texts, so it is "
        f"one of them and not missing (--missing {mark} says otherwise)"
        for mark in frequent
    ]
    return usual_marks - set(frequent), notes


def _gaps(cells: Sequence[str], filled: np.ndarray) -> dict[str, int]:
    """Return text of missing cells -> number of rows."""
    found = Counter(cells[row].strip() for row in np.flatnonzero(~filled).tolist())
    return dict(found)
