"""The card of a delivered network, as one typed value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...engine.alarms import Alarm, SharedWeights
from ...errors import RunError
from ..front import Front
from .averaged import Averaged
from .baselines import Baseline
from .ngrams import NGrams

#: ``winner`` of a run, trained at the end; ``genes``, a winner whose weights are genes; ``table``, the
#: best of a table, without a network; ``candidate``, as the search trained it; ``training``, by
#: ``evolvent train``
Delivery = Literal["winner", "genes", "table", "candidate", "training"]

BY_HAND = ("plain", "usual", "gru")  # controls


@dataclass(frozen=True, kw_only=True)
class Control:
    """A network that was trained beside the winner, in the same way.

    Args:
        params: its parameters. [count]
        test_score: on test data; None without any.
        train_seconds: of its training. [s]
        train_epochs: of its training. [epochs]
        train_examples: of its training. [count]
        cut: whether the budget cut its training short.
        best_of_first_random: of the random control: of how many it is the best. [count]
    """

    params: int | None = None
    test_score: float | None = None
    train_seconds: float | None = None
    train_epochs: float | None = None
    train_examples: int | None = None
    cut: bool = False
    best_of_first_random: int | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """The card of a network; None is what it does not have, or what an older run did not note.

    Args:
        task: name of its data, or where they are.
        recipe: of the search.
        metric: of the scores.
        arch: the architecture.
        candidate: its id in the run.
        params: trainable numbers; connections where weights are genes. [count]
        flops: per input, of all its views. [count]
        views: of every input, whose outputs the network averages. [count]
        temperature: that the outputs are divided by, found on validation rows; None is none.
        val_score: on validation data.
        test_score: on test data.
        same_weights: whether these two scores are of the same weights.
        metrics: further numbers of the search, by name.
        test_metrics: all that was measured on test data, by name.
        test_reads: how often the run read test, once for every stretch of its budget. [count]
        kept: of a winner that is delivered with the weights that chose it, why: no final training was
            as long or as good.
        search_score: its score in the search.
        search_epochs: its training in the search. [epochs]
        trials: of the search. [count]
        search_seconds: of the search. [s]
        charged_seconds: of all evaluations, as a table tells them. [s]
        seed: of the run; of a candidate or a training, its own.
        train_seconds: of the training that gave the weights. [s]
        train_epochs: of that training. [epochs]
        total_epochs: the same with what its weights had been trained before. [epochs]
        train_examples: of that training. [count]
        cut: whether the budget cut that training short.
        threads: of that training. [count]
        peak_mib: most memory of that training. [MiB]
        seconds: of the whole of ``evolvent train``. [s]
        finalists: id -> validation score, where finalists were trained for the choice.
        controls: name -> control.
        averaged: the networks that are delivered as one; None for a single one.
        ngrams: of running text, that are delivered beside the network; None without any.
        baselines: name -> methods of scikit-learn beside the network.
        interval: of a quantity: ``level`` and ``width`` of prediction intervals, ``rows`` that they
            rest on, their ``coverage`` of test rows, and a ``caveat`` of the user's split.
        importance: of a table: name of a column -> fall of the score where its cells are permuted.
        verdict: a sentence, if one of them is better than the network by more than chance.
        random_is_the_winner: whether the winner is the best of the first random candidates.
        known: the best of the hand-made networks that the search began with, by name.
        known_is_the_winner: whether the winner is that one.
        looked_up: whether its scores are a table's, so that there is no network.
        solved: whether the search reached the goal of its task; None where there is no goal.
        run: folder of the run, of what is not a run's own delivery.
        found_on: the data of the search, of what ``evolvent train`` trained.
        cells: that the network is made of. [count]
        width: channels of its first stage.
        size: all settings of its size, by name.
        training: all settings of its training, by name.
        classes: their names.
        input_shape: of one input.
        data: what is known of the data.
        versions: of what a result depends on.
        front: of a search with several goals.
        shared_weights: of a search on shared weights.
        parity_max_abs_diff: of the exported network from the one in memory; None without a proof.
        parity_note: why a proof that was asked for is missing.
        onnx_max_abs_diff: of ``model.onnx`` from the network; None without ``model.onnx``.
        onnx_note: why there is no ``model.onnx``.
        other: what a card of another version has beside these.
    """

    task: str
    recipe: str
    metric: str
    arch: Any = None
    candidate: int | None = None
    params: int | None = None
    flops: int | None = None
    views: int | None = None
    temperature: float | None = None
    val_score: float | None = None
    test_score: float | None = None
    same_weights: bool | None = None
    kept: str | None = None
    metrics: Mapping[str, Any] | None = None
    test_metrics: Mapping[str, float] | None = None
    test_reads: int | None = None
    search_score: float | None = None
    search_epochs: float | None = None
    trials: int | None = None
    search_seconds: float | None = None
    charged_seconds: float | None = None
    seed: int | None = None
    train_seconds: float | None = None
    train_epochs: float | None = None
    total_epochs: float | None = None
    train_examples: int | None = None
    cut: bool | None = None
    threads: int | None = None
    peak_mib: float | None = None
    seconds: float | None = None
    finalists: Mapping[str, float] | None = None
    controls: Mapping[str, Control] = field(default_factory=dict)
    averaged: Averaged | None = None
    ngrams: NGrams | None = None
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    interval: Mapping[str, Any] | None = None
    importance: Mapping[str, Any] | None = None
    verdict: str | None = None
    random_is_the_winner: bool = False
    known: str | None = None
    known_is_the_winner: bool = False
    looked_up: bool = False
    solved: bool | None = None
    run: str | None = None
    found_on: str | None = None
    cells: int | None = None
    width: int | None = None
    size: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    classes: tuple[str, ...] | None = None
    input_shape: tuple[int, ...] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] | None = None
    front: Front | None = None
    shared_weights: SharedWeights | None = None
    parity_max_abs_diff: float | None = None
    parity_note: str | None = None
    onnx_max_abs_diff: float | None = None
    onnx_note: str | None = None
    other: Mapping[str, Any] = field(default_factory=dict)

    @property
    def delivery(self) -> Delivery:
        """The way in which the network was delivered."""
        if self.looked_up:
            return "table"
        if self.solved is not None:
            return "genes"
        if self.found_on is not None:
            return "training"
        return "winner" if self.run is None else "candidate"

    @property
    def one_training(self) -> bool:
        """Whether both scores are of the same weights; of an older card, by how it came about."""
        return self.delivery != "winner" if self.same_weights is None else self.same_weights

    @property
    def judged_briefly(self) -> bool:
        """Whether controls were trained as long in seconds as the winner was for the choice."""
        return "briefly" in self.controls

    @property
    def judged_alone(self) -> bool:
        """Whether controls had no final training, and no row of the winner is as long beside them."""
        count = self.data.get("train")
        made = [each for name, each in self.controls.items() if name in BY_HAND]
        seen = [each.train_examples for each in made]
        less = any(count is not None and each is not None and each <= count for each in seen)
        return less and not self.judged_briefly

    @property
    def is_wider(self) -> bool:
        """Whether the network is wider than the candidates of its search."""
        return self.delivery == "winner" and (self.size or {}).get("widen", 1.0) != 1.0

    @property
    def kind(self) -> str:
        """The kind of data; older cards did not note it."""
        return str(self.data.get("kind", "image"))

    @property
    def genes(self) -> bool:
        """Whether the weights are genes, so that nothing is trained."""
        return self.delivery == "genes" or self.kind == "control"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values: every field by its name, None where it has none."""
        told = dataclasses.asdict(self)
        return {**told.pop("other"), **told}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Card:
        """Return the card that `to_json` wrote, or one of another version.

        Raises:
            RunError: if it does not say its task, recipe and metric.
        """
        if missing := [name for name in ("task", "recipe", "metric") if name not in data]:
            raise RunError(
                f"the card has no {missing[0]!r}, which every card has: it is damaged; remove "
                "card.json and resume the run to have it anew"
            )
        own = _known(Card, data)
        other = {name: value for name, value in data.items() if name not in own}
        controls = own.get("controls") or {}
        own["controls"] = {name: Control(**_known(Control, one)) for name, one in controls.items()}
        if (averaged := own.get("averaged")) is not None:
            told = _known(Averaged, averaged)
            own["averaged"] = Averaged(**told | {"members": tuple(told["members"])})
        if (ngrams := own.get("ngrams")) is not None:
            told = _known(NGrams, ngrams)
            own["ngrams"] = NGrams(**told)
        beside = own.get("baselines") or {}
        own["baselines"] = {name: Baseline(**_known(Baseline, one)) for name, one in beside.items()}
        if (front := own.get("front")) is not None:
            own["front"] = Front(tuple(front["minimise"]), tuple(front["points"]))
        if (shared := own.get("shared_weights")) is not None:
            found = tuple(Alarm(**alarm) for alarm in shared.get("alarms", ()))
            told = _known(SharedWeights, shared) | {"alarms": found}
            if (noise := told.get("entropy_of_noise")) is not None:
                told["entropy_of_noise"] = (float(noise[0]), float(noise[1]))
            own["shared_weights"] = SharedWeights(**told)
        return Card(**own, other=other)


def _known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are fields of `kind`."""
    names = {each.name for each in dataclasses.fields(kind)} - {"other"}
    return {name: value for name, value in data.items() if name in names}
