"""Budgets, ``--set part.name=value`` and the settings of a part, read and validated.

A part's settings are the keyword arguments of its constructor. Where an argument is itself a group of
settings (a frozen dataclass such as `Size`), its fields are addressed as if they were the part's own.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..errors import SettingError, unknown

PARTS = ("task", "space", "strategy", "estimator", "train")
FINITE = ConfigDict(allow_inf_nan=False)
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclasses.dataclass(frozen=True)
class RunBudget:
    """The budget of a run, over all its sessions; at least one of the two is set.

    Args:
        seconds: the user's whole wait: search, final training, export. [s]
        trials: of the search. [count]
    """

    seconds: float | None = None
    trials: int | None = None


def parse_budget(text: str) -> RunBudget:
    """Return the budget of ``10m``, ``200t`` or ``1h,500t``.

    Raises:
        SettingError: if the text is none of these, or an amount is 0.
    """
    seconds: float | None = None
    trials: int | None = None
    for part in str(text).replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdt])", part)
        if not match:
            raise SettingError(
                f"budget {text!r}: give time, trials or both, such as 10m, 200t or 1h,500t"
            )
        amount, unit = float(match[1]), match[2]
        if (trials if unit == "t" else seconds) is not None:
            raise SettingError(f"budget {text!r}: one time and one number of trials, as in 1h,500t")
        if amount <= 0:
            raise SettingError(f"budget {text!r}: the amount must be above 0, such as 10m or 200t")
        if unit == "t":
            if not amount.is_integer():
                raise SettingError(f"budget {text!r}: trials are a whole number, such as 200t")
            trials = int(amount)
        else:
            seconds = amount * UNITS[unit]
    return RunBudget(seconds, trials)


def parse_set(
    assignments: Iterable[str], parts: Iterable[str] = PARTS
) -> dict[str, dict[str, Any]]:
    """Return part -> name -> value of ``part.name=value`` texts; values are read as YAML.

    Raises:
        SettingError: for another form or an unknown part.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in assignments:
        match = re.fullmatch(r"([\w:-]+)\.(\w+)=(.*)", text, flags=re.DOTALL)
        if not match:
            raise SettingError(f"--set {text!r}: write part.name=value, such as space.nodes=3")
        part, name, value = match.groups()
        if part not in parts:
            raise unknown("part", part, parts)
        try:
            found.setdefault(part, {})[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            what = " ".join(str(error).split())
            raise SettingError(f"--set {text!r}: the value cannot be read: {what}") from error
    return found


def fields(make: Callable[..., Any], *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return name -> type of the settings of a part, groups of settings spelled out.

    A class whose constructor passes further arguments on (``**more``) has those of its base as well.
    """
    if dataclasses.is_dataclass(make):
        return get_type_hints(make)
    call = make.__init__ if inspect.isclass(make) else make
    hints = get_type_hints(call)
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(call).parameters.items():
        passed_on = parameter.kind is inspect.Parameter.VAR_KEYWORD
        if passed_on and inspect.isclass(make) and (base := make.__base__):
            found |= fields(base, without=without)
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY or name in without:
            continue
        hint = hints.get(name, Any)
        if dataclasses.is_dataclass(hint):
            found |= get_type_hints(hint)
        else:
            found[name] = hint
    return found


def validated(
    part: str, given: Mapping[str, Any], known: Mapping[str, Any], *, who: str = ""
) -> dict[str, Any]:
    """Return `given` with values of the right types.

    Args:
        part: for the message, such as ``"space"``.
        given: name -> value.
        known: name -> type, as `fields` returns it.
        who: the part's name, such as ``"cell"``.

    Raises:
        SettingError: for an unknown name (with the nearest one) or a value of another type.
    """
    checked = {}
    for name, value in given.items():
        if name not in known:
            raise unknown(f"setting of {part}{f' {who}' if who else ''}", name, known)
        try:
            strict = isinstance(value, bool) or None  # yes and no are not the numbers 1 and 0
            adapter = TypeAdapter(known[name], config=FINITE)
            checked[name] = adapter.validate_python(value, strict=strict)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise SettingError(f"{part}.{name}={value!r}: {problem}") from error
    return checked


def read_known(value: Any) -> Any:
    """Return architectures of a user that are given as JSON text or as a file of it, read.

    What is no text is returned as it is. A run keeps what was read, so that the file may go.

    Raises:
        SettingError: if there is no such file, or no list in it.
    """
    if not isinstance(value, str):
        return value
    text, where = value, "the text"
    if not value.lstrip().startswith("["):
        where = f"the file {value}"
        try:
            text = Path(value).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(
                f"space.known={value!r}: an architecture as JSON, or a file that holds it, and this "
                f"one cannot be read: {error}"
            ) from error
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SettingError(f"space.known={value!r}: {where} is no JSON: {error}") from error
    if not isinstance(found, list):
        raise SettingError(
            f"space.known={value!r}: {where} holds {type(found).__name__}, and must hold a list: an "
            "architecture of the space, or several"
        )
    return found


def grouped(make: Callable[..., Any], flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return `flat` settings as the keyword arguments of `make`: groups made, the rest as it is."""
    call = make.__init__ if inspect.isclass(make) else make
    hints = get_type_hints(call)
    arguments, left = {}, dict(flat)
    for name, parameter in inspect.signature(call).parameters.items():
        own = parameter.kind is inspect.Parameter.KEYWORD_ONLY  # the rest is given, not set
        if own and dataclasses.is_dataclass(kind := hints.get(name)):
            mine = {key: left.pop(key) for key in get_type_hints(kind) if key in left}
            if mine:
                arguments[name] = kind(**mine)  # type: ignore[operator]
    return arguments | left


def differences(old: Mapping[str, Any], new: Mapping[str, Any], at: str = "") -> list[str]:
    """Return one line per setting that differs, as ``name: old -> new``."""
    lines = []
    for name in sorted(set(old) | set(new)):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{at}{name}.")
        elif before != after:
            lines.append(f"{at}{name}: {before} -> {after}")
    return lines
