"""The table of a card: the network and what it is compared with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .baselines import LABELS as METHODS
from .values import Card, Control

#: delivery -> what the table calls its network
LABELS = {
    "winner": "**the winner**",
    "genes": "candidate {}, as it was found",
    "table": "candidate {}",
    "candidate": "candidate {}, as the search trained it",
    "training": "candidate {}, trained from fresh weights",
}
SINGLE = "single"  # what an ensemble stands for, among the controls


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

    @property
    def cells(self) -> tuple[str, ...]:
        """Label, parameters, validation and test score as text, empty for None."""
        label = f"{self.label} ({self.note})" if self.note else self.label
        scores = (said("{:.4f}", score) for score in (self.val_score, self.test_score))
        return (label, said("{:,}", self.params), *scores)


def rows(card: Card) -> list[Row]:
    """Return the rows of the table: the network, then its controls."""
    methods = [
        Row(f"control: {METHODS.get(name, name)}", None, each.val_score, each.test_score)
        for name, each in card.baselines.items()
        if each.val_score is not None
    ]
    return [_own(card), *(_control(card, *item) for item in card.controls.items()), *methods]


def table(card: Card) -> list[str]:
    """Return the table of the page, in Markdown, without the columns that are empty."""
    heads = ["network", what_is_counted(card), f"validation {card.metric}", f"test {card.metric}"]
    shown = rows(card)
    columns = list(zip(*(row.cells for row in shown), strict=True))
    if card.kind == "language":
        heads.append("test perplexity")
        columns.append(tuple(said("{:.1f}", perplexity(row.test_score)) for row in shown))
    kept = [at for at, column in enumerate(columns) if any(column)]
    lines = zip(*([cell or "-" for cell in columns[at]] for at in kept), strict=True)
    marks = ["---" if at == 0 else "--:" for at in kept]
    return [_line([heads[at] for at in kept]), _line(marks), *map(_line, lines)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _own(card: Card) -> Row:
    """Return the row of the delivered weights: the validation score only if it is theirs."""
    label = LABELS[card.delivery].format(card.candidate)
    if card.averaged is not None:
        label += f", the mean of {len(card.averaged.members)} networks"
    if card.ngrams is not None:
        more = len(card.ngrams.networks) - 1
        others = f"{more} other network{'s' * (more > 1)} and " if more else ""
        label += f", beside {others}{card.ngrams.count:,} n-grams"
    val_score = card.val_score if card.one_training else None
    return Row(label, card.params, val_score, card.test_score, _note(card))


def _note(card: Card) -> str:
    if card.genes:
        return ", ".join(f"{name} {value:.6g}" for name, value in (card.metrics or {}).items())
    return _cut(card.cut)


def _cut(cut: bool | None) -> str:
    return "its training was cut by the budget" if cut else ""


def _control(card: Card, name: str, control: Control) -> Row:
    name_ = _control_name(card, name, control)
    label = name_ if name == SINGLE else f"control: {name_}"
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
        case "known":
            return f"{card.known}, the best hand-made network that the search began with"
        case "briefly":
            thin = " while it was thin" if card.is_wider else ""
            return (
                f"the winner{thin}, trained as long as the controls ({control.train_seconds:.0f} s)"
            )
        case "single":
            return "the winner alone"
        case "retrained":
            return "the winner's architecture, trained from scratch"
        case "plain":
            if card.kind == "language":
                return "an LSTM of one layer"
            what = "dense" if card.kind == "numbers" else "convolutional"
            return f"a plain {what} network, made by hand"
        case "gru":
            return "a GRU of one layer"
        case "usual":
            return "the plain network, by the usual training instead of the winner's"
    return name


def what_is_counted(card: Card) -> str:
    """Return the unit of the size column: parameters or connections."""
    return "connections" if card.genes else "parameters"


def perplexity(score: float | None) -> float | None:
    """Return the perplexity of a mean log-likelihood of tokens [nats]."""
    return None if score is None else math.exp(min(-score, 700.0))


def said(pattern: str, value: Any) -> str:
    """Return the pattern with the value in it; nothing for None."""
    return "" if value is None else pattern.format(value)
