"""The exceptions of evolvent.

::

    EvolventError
    ├── UserError            the input is wrong: one clear line, exit code 2
    │   ├── SettingError     an unknown name or a value outside its rule
    │   ├── DataError        the data cannot be used as given
    │   └── RunError         a run folder is damaged, or belongs to other settings
    ├── InvalidArchitecture  a space or a network refuses an architecture; the search goes on
    ├── CandidateFailed      an evaluation failed with a reason; the search goes on
    └── ReplayError          the log and the strategy disagree: a bug, or another version

A message says what was given, what the rule is, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EvolventError(Exception):
    """Everything that evolvent raises on purpose."""


class UserError(EvolventError):
    """The user's input is wrong. Shown as one line, without a traceback; exit code 2."""


class SettingError(UserError):
    """An unknown name, or a value outside its rule."""


class DataError(UserError):
    """The data cannot be used as given."""


class RunError(UserError):
    """A run folder is damaged, or belongs to other settings."""


class InvalidArchitecture(EvolventError):
    """An architecture that its space or its network cannot realise."""


class CandidateFailed(EvolventError):
    """An evaluation failed; the message is the reason that the result carries."""


class ReplayError(EvolventError):
    """The stored log and the strategy disagree."""


def unknown(kind: str, name: str, known: Iterable[str]) -> SettingError:
    """Return the error for an unknown name, with the nearest valid one.

    Args:
        kind: what the name should have been, such as ``"strategy"``.
        name: what was given.
        known: every valid name.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return SettingError(f"unknown {kind} {name!r}: {hint}known: {', '.join(names) or 'none'}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that there was not enough memory; torch has no type for it on a CPU."""
    if isinstance(error, RuntimeError):  # of torch's allocators, of CUDA, of C++
        text = str(error).lower()
        return any(sign in text for sign in ("allocate memory", "out of memory", "bad_alloc"))
    return isinstance(error, MemoryError)
