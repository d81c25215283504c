"""The user's word on the columns of a table: kinds, missing cells, columns left out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import DataError, SettingError
from .files import some
from .portable.columns import Wish

LISTS = ("missing", "categorical", "numeric", "date", "ignore")  # options of the command line
TYPES = {"categorical": "category", "numeric": "number", "date": "date"}
WORDS = {"decimal": ("point", "comma"), "dates": ("day-first", "month-first")}


@dataclass(frozen=True)
class Asked:
    """The settings that concern the columns of a table.

    Args:
        missing: texts that stand for a missing cell in place of the usual ones; None: the usual ones.
        categorical: names of columns, or several in one text with commas between.
        numeric: likewise.
        date: likewise.
        ignore: likewise.
        decimal: ``point`` or ``comma``, of all columns or by name.
        dates: ``day-first`` or ``month-first``, of all columns or by name.
    """

    missing: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    date: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    decimal: str | Mapping[str, str] | None = None
    dates: str | Mapping[str, str] | None = None

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Asked:
        """Return the part of a task's settings that concerns columns.

        Raises:
            SettingError: for a word that none of them knows.
        """
        told: dict[str, Any] = {
            name: _listed(settings[name]) for name in LISTS if settings.get(name) is not None
        }
        for name, words in WORDS.items():
            value = settings.get(name)
            for each in value.values() if isinstance(value, Mapping) else [value]:
                if each is not None and each not in words:
                    raise SettingError(f"task.{name}={each!r}: give {' or '.join(words)}")
            told[name] = value
        return Asked(**told)

    def within(self, columns: Iterable[str], categorical: Iterable[str]) -> Asked:
        """Return the part that concerns some of the columns, with further ones that are categories."""
        named = {
            kind: tuple(n for n in columns if self.type_of(n) == kind) for kind in TYPES.values()
        }
        more = tuple(name for name in categorical if self.type_of(name) is None)
        return replace(
            self,
            ignore=(),
            categorical=named["category"] + more,
            numeric=named["number"],
            date=named["date"],
        )

    def type_of(self, name: str) -> str | None:
        """Return ``category``, ``number`` or ``date`` of a column that was named, else None."""
        for option, found in TYPES.items():
            if any(name == given or name in _split(given) for given in getattr(self, option)):
                return found
        return None

    def without_ignored(self, name: str) -> Asked:
        """Return the same where a column is read even if it is named among those to leave out."""
        left = [
            each for given in self.ignore for each in ([given] if name == given else _split(given))
        ]
        if name not in left:
            return self
        return replace(self, ignore=tuple(each for each in left if each != name))

    def ignored(self, source: str, columns: Iterable[str]) -> set[str]:
        """Return the names of the columns to leave out."""
        return _resolved(source, "ignore", self.ignore, list(columns))

    def wishes(self, source: str, columns: Iterable[str], comma: bool) -> dict[str, Wish]:
        """Return the user's word on every column.

        Args:
            source: of the table, for messages.
            columns: their names.
            comma: whether the file suggests decimal commas.

        Raises:
            DataError: if a named column does not exist.
        """
        names = list(columns)
        missing = None if self.missing is None else frozenset(self.missing)
        types: dict[str, str] = {}
        for option, found in TYPES.items():
            for name in _resolved(source, option, getattr(self, option), names):
                if types.setdefault(name, found) != found:
                    raise DataError(
                        f"column {name!r} is named in --{option} and another: choose one"
                    )
        for word in WORDS:
            value = getattr(self, word)
            if isinstance(value, Mapping):
                _resolved(source, word, tuple(value), names)
        return {
            name: Wish(
                types.get(name),
                missing,
                _word(self.decimal, name),
                _word(self.dates, name),
                comma,
            )
            for name in names
        }


def _listed(value: Any) -> tuple[str, ...]:
    return tuple(str(each) for each in (value if isinstance(value, list | tuple) else [value]))


def missing_marks(given: Iterable[str]) -> tuple[str, ...]:
    """Return the texts of ``--missing NA,?``; without a text only empty cells are missing."""
    return tuple(each for text in given for each in text.split(","))


def _split(given: str) -> list[str]:
    return [each.strip() for each in given.split(",") if each.strip()]


def _resolved(source: str, option: str, given: tuple[str, ...], names: list[str]) -> set[str]:
    """Return the columns that an option names."""
    found: set[str] = set()
    for text in given:
        for each in [text] if text in names else _split(text):
            if each not in names:
                near = difflib.get_close_matches(each, names, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise DataError(
                    f"{source!r} has no column {each!r} ({option}): {hint}it has {some(names, 12)}"
                )
            found.add(each)
    return found


def _word(value: str | Mapping[str, str] | None, name: str) -> str | None:
    return value.get(name) if isinstance(value, Mapping) else value
