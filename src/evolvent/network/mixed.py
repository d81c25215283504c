"""Columns of texts beside other columns: a bag of words for each, whose logits add to the network's.

The network of any space sees all inputs but the tokens (`Facts.shape`), so that no space needs to know
of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .plan import Block, Call, Plan, call, link_of_several

ORDERS = 2  # words and pairs
BITS, LEAST_BITS = 18, 14  # rows of a table: 2^bits
MOST_NUMBERS = 2**21  # of a table, whose rows have one for every class [count]
THINNING = (
    0.5  # of the words of a text in training, so that the other columns are learnt from as well
)
FIRST = (
    0.4  # weight of a ratio: networks for tables learn about 20 times as fast as those for texts
)
DOC = "The network that was found, and a bag of words for every column of texts beside it."


@dataclass(frozen=True)
class WithoutTexts:
    """The shapes of the data that the network of a space sees."""

    input_shape: tuple[int, ...]
    outputs: int
    link: str = ""


def texts_of(data: Any) -> tuple[int, ...]:
    """Return the tokens of each column of texts beside others; mostly none. [count]"""
    return tuple(getattr(data, "texts", ()))


def without_texts(data: Any) -> Any:
    """Return the shapes that the network of a space sees, without tokens."""
    if not (texts := texts_of(data)):
        return data
    shape = (data.input_shape[0] - sum(texts),)
    return WithoutTexts(shape, data.outputs, getattr(data, "link", ""))


def with_texts(plan: Plan, data: Any) -> Plan:
    """Return the plan of a network beside bags of the words of columns of texts.

    Args:
        plan: of a network of the inputs without tokens.
        data: the shapes of all inputs.
    """
    if not (texts := texts_of(data)):
        return plan
    inner = replace(plan.network, name="Beside")
    places, starts = _places(data.input_shape[0], texts)
    calls: list[Call] = [
        call("columns", "Columns", "x", columns=places),
        call("beside", inner.name, "columns"),
    ]
    last = "beside"
    for place, (start, length) in enumerate(zip(starts, texts, strict=True)):
        args: Any = {"outputs": data.outputs, "start": start, "length": length}
        args |= {
            "orders": ORDERS,
            "bits": _bits(data.outputs),
            "thinning": THINNING,
            "first": FIRST,
        }
        args |= {"link": link} if (link := link_of_several(data)) else {}
        calls.append(call(f"text{place}", "TextBag", "x", last, **args))
        last = f"text{place}"
    network = Block("Network", ("x",), last, tuple(calls), doc=DOC)
    return Plan((*plan.blocks[:-1], inner, network))


def _bits(outputs: int) -> int:
    """Return the bits of a table, fewer where many classes make its rows long. [count]"""
    fitting = (MOST_NUMBERS // outputs).bit_length() - 1
    return max(LEAST_BITS, min(BITS, fitting))


def _places(inputs: int, texts: Sequence[int]) -> tuple[str, list[int]]:
    """Return the places of the inputs but tokens, as `Columns` takes them, and where tokens begin."""
    at = inputs - sum(texts) - len(texts)
    parts, starts = [f"0-{at - 1}"] if at else [], []
    for length in texts:
        parts.append(f"{at}")
        starts.append(at + 1)
        at += 1 + length
    return " ".join(parts), starts
