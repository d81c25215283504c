"""Parts of a resolved configuration are tried once, before anything is spent on them.

What a part from outside the package must have is checked where it is found. Whether it works can only
be tried: a first architecture and its network, a first candidate, an estimator that can be made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import registry
from ..errors import SettingError, UserError
from ..network.build import check_network
from ..space import Space
from ..types import Candidate, Result, freeze, stream
from .parts import make_strategy
from .setup import Draft


def try_parts(draft: Draft) -> None:
    """Refuse a space without networks, and parts from outside the package that fail at once.

    Raises:
        SettingError: one line with the part, what it did, and what the rule is.
    """
    parts, space = draft.parts, draft.space
    if not registry.is_own("space", parts.space.name):
        _try_space(parts.space.name, space)
    if draft.task.trainable:
        check_network(space, draft.facts, draft.network.size, name=parts.space.name)
    if not registry.is_own("strategy", parts.strategy.name):
        _try_strategy(draft)
    if not registry.is_own("estimator", parts.estimator.name):
        with _said(f"estimator {parts.estimator.name}: making it"):
            draft.context()


def _try_space(name: str, space: Space) -> None:
    rng = stream("first architecture")
    with _said(f"space {name}: sample(rng)"):
        first = space.sample(rng)
    with _said(f"space {name}: mutate(arch, rng)"):
        move = space.mutate(first, rng)
    named = isinstance(move, tuple) and len(move) == 2 and isinstance(move[1], str)
    if not named:
        raise SettingError(
            f"space {name}: mutate(arch, rng) returned {move!r}, and must return an architecture and "
            "the operator's name: return Move(arch, 'name')"
        )
    for method, arch in (("sample", first), ("mutate", move[0])):
        if not _is_plain(arch):
            raise SettingError(
                f"space {name}: {method} returned the architecture {arch!r}, and an architecture is "
                "made of tuples, strings and numbers, so that it can be stored and compared"
            )


def _is_plain(arch: Any) -> bool:
    """Whether an architecture can be hashed, and comes back from JSON as it was."""
    try:
        hash(arch)
        return arch is not None and bool(freeze(json.loads(json.dumps(arch))) == arch)
    except (TypeError, ValueError):
        return False


def _try_strategy(draft: Draft) -> None:
    if draft.parts.phased:
        return  # training comes first, and how long it takes is not settled yet
    name = draft.parts.strategy.name
    with _said(f"strategy {name}: ask()"):
        strategy = make_strategy(
            draft.parts, draft.space, draft.facts, seed=0, epochs=1.0, horizon=100
        )
        asked = strategy.ask()
    if not isinstance(asked, Candidate):
        raise SettingError(
            f"strategy {name}: its first ask() returned {asked!r}, and must return a "
            "Candidate(id, arch, budget=...)"
        )
    with _said(f"strategy {name}: tell(result), and ask() after it"):
        json.dumps(asked.to_json())  # as it is stored
        strategy.tell(Result(asked, 0.5))
        strategy.ask()


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Turn any error of a part from outside into one line.

    What the machine lacks, such as a file, is no fault of the part: it is raised as it is.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        raise SettingError(
            f"{what} failed, before the first trial: {type(error).__name__}: {error}"
        ) from error
