"""The attributes and methods that a space, a strategy or an estimator must have.

Parts of the package are held to their contracts by its tests. One from outside is checked here, where
it is found and where it is made, so that what is missing is one line and not a traceback.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import SettingError

#: the kinds of tasks that a part is for if it has no `kinds` of its own
DEFAULT_KINDS = {
    "space": frozenset({"image"}),
    "estimator": frozenset({"image", "numbers", "text", "series", "language"}),
}


class Declared(NamedTuple):
    """An attribute that a part declares: what it must be, what it says, and how it may be written."""

    kind: type
    rule: str
    example: str


_NEEDS = Declared(
    frozenset, "the capabilities that it cannot do without", "needs = frozenset() if none"
)
_GIVES = Declared(frozenset, "the capabilities that it has", "gives = frozenset() if none")
_KINDS = Declared(frozenset, "the kinds of tasks that it is for", 'kinds = frozenset({"image"})')
DECLARED = {
    "space": {
        "family": Declared(str, "what builds its networks", 'family = "module:plan" in quotes'),
        "gives": _GIVES,
        "kinds": _KINDS,
    },
    "strategy": {
        "needs": _NEEDS,
        "ends": Declared(
            bool, "whether ask may return None for good", "ends = False if it never does"
        ),
    },
    "estimator": {
        "needs": _NEEDS,
        "gives": _GIVES,
        "kinds": _KINDS,
        "stateful": Declared(
            bool,
            "whether it holds state between candidates",
            "stateful = False if it does not",
        ),
    },
}
#: name -> arguments beside self
METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "space": {"sample": ("rng",), "mutate": ("arch", "rng")},
    "strategy": {"ask": (), "tell": ("result",)},
    "estimator": {"evaluate": ("candidate", "inherited")},
}
#: arguments that a constructor is called with: by place, and by name
CONSTRUCTORS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "space": ((), ()),
    "strategy": (("space",), ("epochs", "horizon", "seed")),
    "estimator": (("space", "task"), ("seed",)),
}
#: capability of a space or an estimator -> name -> arguments beside self
CAPABILITIES: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "space": {
        "crossover": {"crossover": ("first", "second", "rng")},
        "decisions": {
            "decision": ("prefix",),
            "encode": ("arch",),
            "decode": ("choices",),
            "equivalents": ("choices", "rng"),
        },
        "mixture": {"groups": (), "one_hot": ("arch",), "derive": ("weights",)},
        "canonical": {"canonical": ("arch",)},
        "start": {"start": ("rng",)},
        "training": {"training": ("arch",)},
        "aligned": {"alignment": ("archs",), "crossover": ("first", "second", "rng")},
        "parts": {
            "blueprints": ("kinds",),
            "pointed_to": ("blueprint",),
            "pointed": ("blueprint", "kinds"),
            "assemble": ("blueprint", "modules"),
        },
        "drawing": {"drawing": ("arch",)},
        "known": {"known": ("facts",)},
        "sized": {"sized": ("multiply_adds",)},
        "widened": {"widened": ("arch", "factor")},
    },
    "estimator": {
        "test": {"test": ("arch",)},
        "goal": {"solved": ("result",), "confirmed": ("result",)},
    },
    "strategy": {},
}


def kinds_of(axis: str, part: Any) -> frozenset[str]:
    """Return the kinds of tasks that a space or an estimator is for; `DEFAULT_KINDS` if it has none."""
    kinds: frozenset[str] = getattr(part, "kinds", DEFAULT_KINDS[axis])
    return kinds


def check_contract(axis: str, name: str, make: Any) -> None:
    """Refuse a class that breaks its contract, before an instance is made.

    Args:
        axis: ``space``, ``strategy`` or ``estimator``.
        name: of the part, for the message.
        make: the class, or what makes the part. What a space declares may be set when it is made,
            and is checked by `check_made`.

    Raises:
        SettingError: one line with the part, the attribute, the rule and what to do.
    """
    who = f"{axis} {name}"
    if not callable(make):
        raise SettingError(
            f"{who}: it is {type(make).__name__} {make!r}, which cannot be called: name the class"
        )
    _check_declared(axis, who, make, required=axis != "space")
    if inspect.isclass(make):
        _check_methods(who, make, METHODS[axis])
    _check_capabilities(axis, who, make)
    _check_constructor(axis, who, make)


def check_made(axis: str, name: str, part: Any) -> None:
    """Refuse a part that was made and still lacks what it must have.

    Raises:
        SettingError: as `check_contract`.
    """
    who = f"{axis} {name}"
    _check_declared(axis, who, part, required=True, without=("kinds",))  # the class says them
    _check_methods(who, part, METHODS[axis])
    _check_capabilities(axis, who, part)


def _check_declared(
    axis: str, who: str, part: Any, *, required: bool, without: tuple[str, ...] = ()
) -> None:
    for attribute, declared in DECLARED[axis].items():
        if attribute in without:
            continue
        value = getattr(part, attribute, None)
        if value is None:
            if required and attribute != "kinds":
                raise SettingError(
                    f"{who}: it has no attribute {attribute}, {declared.rule}: "
                    f"write {declared.example}"
                )
            continue
        of_class = inspect.isclass(part) and isinstance(value, property)
        if not of_class and not _is(value, declared.kind):
            what = "a frozenset of names" if declared.kind is frozenset else declared.kind.__name__
            raise SettingError(
                f"{who}: its attribute {attribute} is {value!r}, and must be {what}, "
                f"{declared.rule}: write {declared.example}"
            )


def _is(value: Any, kind: type) -> bool:
    if kind is frozenset:
        return isinstance(value, frozenset) and all(isinstance(item, str) for item in value)
    return isinstance(value, kind) and value != ""


def _check_capabilities(axis: str, who: str, part: Any) -> None:
    gives = getattr(part, "gives", None)
    for capability in sorted(gives) if isinstance(gives, frozenset) else ():
        methods = CAPABILITIES[axis].get(capability, {})
        _check_methods(who, part, methods, why=f" (its gives names {capability!r})")


def _check_methods(
    who: str, part: Any, methods: Mapping[str, tuple[str, ...]], why: str = ""
) -> None:
    for method, arguments in methods.items():
        call = f"{method}({', '.join(arguments)})"
        found = getattr(part, method, None)
        if not callable(found):
            raise SettingError(f"{who}: it has no method {method}{why}: write {call}")
        bare = inspect.isclass(part) and inspect.isfunction(inspect.getattr_static(part, method))
        if problem := _unfit(found, len(arguments) + bare, ()):
            raise SettingError(f"{who}: its method {method} must take {call}{why}: {problem}")


def _check_constructor(axis: str, who: str, make: Callable[..., Any]) -> None:
    places, names = CONSTRUCTORS[axis]
    call = make
    if axis == "space" and hasattr(make, "of"):
        call, places = make.of, ("task",)
    what = ", ".join((*places, *(f"{name}=..." for name in names))) or "nothing"
    if problem := _unfit(call, len(places), names):
        raise SettingError(
            f"{who}: its constructor must take {what}, and have a default for every other "
            f"argument: {problem}"
        )
    if not (inspect.isclass(make) or inspect.isfunction(make)):
        return
    try:
        typing.get_type_hints(make.__init__ if inspect.isclass(make) else make)
    except (NameError, TypeError) as error:
        raise SettingError(
            f"{who}: the types of its constructor's arguments cannot be read ({error}): import "
            "them where they are named"
        ) from error


def _unfit(call: Callable[..., Any], places: int, names: tuple[str, ...]) -> str:
    """Return why `call` cannot be called with so many arguments by place and these by name, or ""."""
    try:
        signature = inspect.signature(call)
    except (ValueError, TypeError):  # of C; it will say itself what it takes
        return ""
    try:
        signature.bind(*[None] * places, **dict.fromkeys(names))
    except TypeError as error:
        return f"{error} in {signature}"
    return ""
