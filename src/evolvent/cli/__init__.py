"""The command line: ``evolvent``, and ``python -m evolvent.cli``."""

from .verbs import main

__all__ = ["main"]
