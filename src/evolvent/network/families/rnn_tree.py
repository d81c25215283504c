"""The family ``rnn_tree``: a language model around a cell that is a binary tree."""

from __future__ import annotations

from ...space.rnn_tree import RnnTree, written
from ...types import Arch
from ..build import Data, Size
from ..plan import Plan
from .plain import language_model


def plan(space: RnnTree, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the language model of a cell, as wide as `size` says."""
    doc = "A language model of the cell that was found."
    return language_model(size.width, data, size, doc, cell=written(arch))
