"""The command line: ``evolvent``, and ``python -m evolvent.cli``."""

from .verbs import main, program

__all__ = ["main", "program"]
