"""One stream of events of a run, to which displays, callbacks and logs listen.

A listener is any object with some of these methods; all are called in the coordinator, between two
steps of the loop, so a slow one slows the search down::

    on_start(run)        the run is opened, new or continued; `run` can be read at any time
    on_message(line)     something a user wants to know, in one line
    on_phase(line)       what is being done from now on, which may take long
    on_asked(candidate)  a candidate is stored and about to be evaluated
    on_result(result)    a result is stored and the strategy knows it
    on_end(run)          the network is delivered

An exception in a listener never ends a search: the first of each is a message, and the search goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import SettingError
from ..types import Candidate, Result

METHODS = ("on_start", "on_message", "on_phase", "on_asked", "on_result", "on_end")


class Events:
    """The stream of events of a run, passed on to listeners.

    Args:
        listeners: objects with some of the methods above.

    Raises:
        SettingError: for an object that has none of the methods.
    """

    def __init__(self, listeners: Iterable[object] = ()) -> None:
        self.listeners = tuple(listeners)
        self._failed: set[int] = set()
        for listener in self.listeners:
            if not any(hasattr(listener, name) for name in METHODS):
                raise SettingError(
                    f"callback {listener!r} has none of the methods {', '.join(METHODS)}"
                )

    def start(self, run: Any) -> None:
        """Tell that a run is opened."""
        self._pass_on("on_start", run)

    def say(self, line: str) -> None:
        """Tell something in one line."""
        self._pass_on("on_message", line)

    def phase(self, line: str) -> None:
        """Tell the phase that begins now."""
        self._pass_on("on_phase", line)

    def asked(self, candidate: Candidate) -> None:
        """Tell that a candidate is stored and about to be evaluated."""
        self._pass_on("on_asked", candidate)

    def told(self, result: Result) -> None:
        """Tell that a result is stored and the strategy knows it."""
        self._pass_on("on_result", result)

    def end(self, run: Any) -> None:
        """Tell that the network is delivered."""
        self._pass_on("on_end", run)

    def _pass_on(self, method: str, value: Any) -> None:
        for place, listener in enumerate(self.listeners):
            act = getattr(listener, method, None)
            if act is None:
                continue
            try:
                act(value)
            except Exception as error:  # noqa: BLE001 - a user's code, which must not end a search
                if place not in self._failed:
                    self._failed.add(place)
                    name = type(listener).__name__
                    self.say(f"callback {name}.{method} failed, the search goes on: {error!r}")


class Say:
    """A listener to messages alone.

    Args:
        say: is called with every line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.on_message = say
