"""Known members: hand-made architectures of a space, from which a search may start.

A space that gives ``known`` has some of its own, best first, and takes those of a user as a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import InvalidArchitecture, SettingError
from ..types import Arch, freeze

OWN = "own"  # name of a user's architecture; further ones are numbered


def owned(given: Sequence[Any], checked: Callable[[Arch], Arch], setting: str) -> dict[str, Arch]:
    """Return a user's architectures by name: ``own``, or ``own-1``, ``own-2`` and so on.

    Args:
        given: one architecture, or a list of them, as read from JSON.
        checked: returns an architecture of the space as the space writes it; raises
            InvalidArchitecture for any other value.
        setting: for the message.

    Raises:
        SettingError: for what is no architecture of the space.
    """
    if not given:
        return {}
    archs = freeze(list(given))
    try:
        return {OWN: checked(archs)}
    except InvalidArchitecture as error:
        alone = error
    found = {}
    for number, arch in enumerate(archs, 1):
        try:
            found[f"{OWN}-{number}"] = checked(arch)
        except InvalidArchitecture as error:
            raise SettingError(
                f"{setting}: one architecture of the space as JSON, or a list of them. As one: "
                f"{alone}. As a list, number {number}: {error}"
            ) from error
    return found


def distinct(archs: Mapping[str, Arch], canonical: Callable[[Arch], Any]) -> dict[str, Arch]:
    """Return the architectures without those that are the same network as an earlier one."""
    found: dict[Any, tuple[str, Arch]] = {}
    for name, arch in archs.items():
        found.setdefault(canonical(arch), (name, arch))
    return dict(found.values())
