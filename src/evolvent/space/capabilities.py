"""A space as what it gives: each function returns the same space, typed as one capability.

A capability is asked for by its name in `Space.gives`, never by the type of a space. Whoever needs one
asks once, where it is made, and keeps the answer: ``self.decisions = decisions(space)``.
"""

from __future__ import annotations

from typing import cast

from ..errors import SettingError
from . import (
    Aligned,
    Crossover,
    Decisions,
    Drawn,
    KnownMembers,
    Mixture,
    Parts,
    Sized,
    Space,
    Start,
    Widened,
)


def crossover(space: Space) -> Crossover:
    """Return `space`, which has children of two architectures; SettingError if it has none."""
    return cast(Crossover, checked(space, "crossover"))


def decisions(space: Space) -> Decisions:
    """Return `space`, which is a sequence of decisions; SettingError if it is none."""
    return cast(Decisions, checked(space, "decisions"))


def mixture(space: Space) -> Mixture:
    """Return `space`, which has rows of operation weights; SettingError if it has none."""
    return cast(Mixture, checked(space, "mixture"))


def aligned(space: Space) -> Aligned:
    """Return `space`, whose genes align; SettingError if they do not."""
    return cast(Aligned, checked(space, "aligned"))


def start(space: Space) -> Start:
    """Return `space`, which has a minimal architecture; SettingError if it has none."""
    return cast(Start, checked(space, "start"))


def parts(space: Space) -> Parts:
    """Return `space`, which is made of blueprints and modules; SettingError if it is not."""
    return cast(Parts, checked(space, "parts"))


def drawing(space: Space) -> Drawn:
    """Return `space`, which draws its architectures; SettingError if it does not."""
    return cast(Drawn, checked(space, "drawing"))


def sized(space: Space) -> Sized:
    """Return `space`, whose networks can be bounded in cost; SettingError if they cannot."""
    return cast(Sized, checked(space, "sized"))


def widened(space: Space) -> Widened:
    """Return `space`, whose networks can be made wider; SettingError if they cannot."""
    return cast(Widened, checked(space, "widened"))


def known(space: Space) -> KnownMembers:
    """Return `space`, which has hand-made members; SettingError if it has none."""
    return cast(KnownMembers, checked(space, "known"))


def checked(space: Space, name: str) -> Space:
    """Return `space` if it gives the capability `name`.

    Raises:
        SettingError: if it does not; what it gives is named.
    """
    if name not in space.gives:
        given = ", ".join(sorted(space.gives)) or "nothing"
        raise SettingError(
            f"{name} is needed, which a space of the family {space.family} does not give: it gives "
            f"{given}; use another space"
        )
    return space
