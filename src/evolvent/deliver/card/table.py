"""The table of a card: the network and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .values import Card, Control

#: delivery -> what the table calls its network
LABELS = {
    "winner": "**the winner**",
    "genes": "candidate {}, as it was found",
    "table": "candidate {}",
    "candidate": "candidate {}, as the search trained it",
    "training": "candidate {}, trained from fresh weights",
}


@dataclass(frozen=True)
class Row:
    """A row of the table. It is about one set of weights, so both scores are of the same.

    Args:
        label: what it is.
        params: trainable numbers. [count]
        val_score: on validation data; None where these weights have none.
        test_score: on test data; None where these weights have none.
        note: more to say of it.
    """

    label: str
    params: int | None = None
    val_score: float | None = None
    test_score: float | None = None
    note: str = ""

    def __str__(self) -> str:
        scores = [said("{:.4f}", score) for score in (self.val_score, self.test_score)]
        cells = [self.label + (f" ({self.note})" if self.note else ""), said("{:,}", self.params)]
        return f"| {' | '.join(cell or '-' for cell in (*cells, *scores))} |"


def rows(card: Card) -> list[Row]:
    """Return the rows of the table: the network, then its controls."""
    return [*_own_rows(card), *(_control(card, *item) for item in card.controls.items())]


def table(card: Card) -> list[str]:
    """Return the table of the page, in Markdown."""
    metric = card.metric
    head = f"| network | {what_is_counted(card)} | validation {metric} | test {metric} |"
    return [head, "| --- | --: | --: | --: |", *map(str, rows(card))]


def _own_rows(card: Card) -> list[Row]:
    """Return one row, or two where validation and test score are of different weights."""
    label, note = LABELS[card.delivery].format(card.candidate), _note(card)
    same = card.delivery != "winner" if card.same_weights is None else card.same_weights
    if same:
        return [Row(label, card.params, card.val_score, card.test_score, note)]
    # What the search trained may have been smaller: its size is in no card.
    params = card.params if card.finalists or card.looked_up else None
    return [
        Row(label, card.params, None, card.test_score, note),
        Row("its architecture when validation chose it", params, card.val_score, None, _then(card)),
    ]


def _then(card: Card) -> str:
    """Return how the weights came about that validation chose."""
    if card.looked_up:
        return said("trained {:.3g} epochs", card.search_epochs)
    if card.finalists is None:  # an older card
        return ""
    return "trained on the training data alone" if card.finalists else "as the search trained it"


def _note(card: Card) -> str:
    if card.genes:
        return ", ".join(f"{name} {value:.6g}" for name, value in (card.metrics or {}).items())
    return _cut(card.cut)


def _cut(cut: bool | None) -> str:
    return "its training was cut by the budget" if cut else ""


def _control(card: Card, name: str, control: Control) -> Row:
    label = f"control: {_control_name(card, name, control)}"
    return Row(label, control.params, None, control.test_score, _cut(control.cut))


def _control_name(card: Card, name: str, control: Control) -> str:
    match name:
        case "random":
            first = control.best_of_first_random or 1
            return (
                f"best of the first {first} random candidates"
                if first > 1
                else "a random candidate"
            )
        case "retrained":
            return "the winner's architecture, trained from scratch"
        case "plain":
            what = "dense" if card.kind == "numbers" else "convolutional"
            return f"a plain {what} network, made by hand"
    return name


def what_is_counted(card: Card) -> str:
    """Return what the number of parameters is a number of."""
    return "connections" if card.genes else "parameters"


def said(pattern: str, value: Any) -> str:
    """Return the pattern with the value in it; nothing for None."""
    return "" if value is None else pattern.format(value)
