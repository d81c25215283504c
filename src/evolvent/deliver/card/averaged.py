"""The part of a card about an ensemble: what is averaged, what that gained, what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Averaged:
    """Networks that are delivered as one, and the single one that would have been in their place.

    Args:
        members: ``candidate`` (None for a control), ``arch``, ``space`` (None for that of the search),
            ``size``, ``params``, ``epochs``, ``weights`` and ``times`` of each.
        gain: of the mean over the best single network, on validation rows that had no part in the
            choice; None where nothing was chosen: all are trainings of one architecture.
        deviation: of that gain.
        params: of the single network. [count]
        flops: of the single network, for one input. [count]
        latency_ms: of the mean, for one input on this machine; None if unknown. [ms]
        single_latency_ms: of the single network. [ms]
        kept: whether all have the weights that were chosen, without a final training.
    """

    members: tuple[Mapping[str, Any], ...]
    gain: float | None
    deviation: float | None
    params: int
    flops: int
    latency_ms: float | None = None
    single_latency_ms: float | None = None
    kept: bool = False


def lines(
    averaged: Averaged | None, metric: str, params: int | None, flops: int | None
) -> list[str]:
    """Return the section of the page; none for a single network.

    Args:
        averaged: of the card.
        metric: of the scores.
        params: of the whole. [count]
        flops: of the whole, for one input. [count]
    """
    if averaged is None:
        return []
    gain = _several(averaged, metric)
    cost = (
        f"It has {_ratio(params, averaged.params)} times the parameters and takes "
        f"{_ratio(flops, averaged.flops)} times the FLOPs of the winner alone{_latency(averaged)}. "
        "`--single` delivers the winner alone."
    )
    return [gain, "", cost]


def _several(averaged: Averaged, metric: str) -> str:
    """Return the members in words, and their gain."""
    count = len(averaged.members)
    if averaged.gain is None or averaged.deviation is None:
        return (
            f"It is the mean of {count} networks in one: {_name(averaged.members[0])}, trained from "
            f"{count} seeds on the same rows. The loss of their mean is never above the mean of their "
            "losses, so that no rows were kept to choose by."
        )
    names = ", ".join(map(_name, averaged.members))
    chosen = ", with the weights that were chosen" if averaged.kept else ""
    return (
        f"It is the mean of {count} networks in one: {names}{chosen}. On validation "
        f"rows that had no part in the choice it gained {averaged.gain:.4f} +- "
        f"{averaged.deviation:.4f} {metric} over the best single network."
    )


def _name(member: Mapping[str, Any]) -> str:
    candidate, times = member["candidate"], member["times"]
    name = f"control {member['weights']}" if candidate is None else f"candidate {candidate}"
    return name if times == 1 else f"{name} ({times} times)"


def _latency(averaged: Averaged) -> str:
    both = averaged.latency_ms, averaged.single_latency_ms
    if None in both:
        return ""
    return f", and {both[0]:.2f} ms for one input on this machine in place of {both[1]:.2f} ms"


def _ratio(whole: int | None, part: int) -> str:
    return "?" if not whole or not part else f"{whole / part:.1f}"
