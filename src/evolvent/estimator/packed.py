"""Train candidates in packs: networks of one shape at once, and every fold of a small set with them.

Candidates that wait together and differ only in what a network has for itself (rates, decays,
smoothing, dropout, initial weights) are one pack. Of a set of fewer than `SMALL` rows every candidate
is trained on repeated folds, which are members of its pack, and its score is that of all rows, each of
which was held out. What cannot be packed is trained one by one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import CandidateFailed, SettingError
from ..network.build import Assembled, Size, build, plan
from ..network.cost import params
from ..network.data import Resident, Streamed, loader
from ..network.fit import fit, kept_state, started, with_own_training
from ..network.folds import folds_of, standard_error
from ..network.packed import Member, shape_of, takes
from ..network.packing import train_pack
from ..network.train import Hyperparameters, metrics_of, seen_of, worth_it
from ..space import Space
from ..task import Task
from ..task.division import INDEPENDENT, Division, Fold
from ..types import Candidate, Result, State, failed, stream
from . import Evaluation
from .full import Full

SMALL = 1000  # rows to train and validate on, below which folds are the default [count]
FOLDS, REPEATS = 5, 2  # of a small set by default [count]
FEW_SHARE, MANY_SHARE = 0.45, 0.6  # of a budget: the delivery with folds, and without


@dataclass
class Trained:
    """One training of a candidate.

    Args:
        candidate: its place among those that were asked.
        fold: the number of its rows; None is the task's own parts.
        hyper: its own.
        epochs: its length. [epochs]
        seed: of weights and order.
        net: the network, trained after the pack.
        done: how long it was trained. [epochs]
        problem: why it has no score.
    """

    candidate: int
    fold: int | None
    hyper: Hyperparameters
    epochs: float
    seed: int
    net: Assembled | None = None
    done: float = 0.0
    problem: str = ""


class Packed(Full):
    """Trains candidates from fresh weights, many at once, on folds where there are few rows.

    Args:
        space: the search space of the candidates.
        task: train and validation parts are used, never test.
        size: of the network.
        hyper: hyperparameters of the training.
        folds: in which training and validation rows are divided, as the task's division allows; 0 is
            the task's own validation part; None is 5, or as many as the user gave, for fewer than
            1,000 rows, else 0. [0, or count >= 2]
        repeats: of the folds, each with another order of the rows, unless time or the user's folds
            allow but one. [count, >= 1]
        pack: networks that are trained at once, at most. [count, >= 1]
        keep: whether to return the trained weights, where there are no folds: what folds choose has
            weights for each of them.
        equal: as in `Full`.
        pace: as in `Full`.
        seed: of the run; with the candidate's id it seeds weights and order. Folds are the same for
            all candidates.
        device: where to train.

    Raises:
        SettingError: for numbers outside these rules.
    """

    gives = frozenset({"packs", "score"})
    kinds = frozenset({"numbers"})

    def __init__(
        self,
        space: Space,
        task: Task,
        *,
        size: Size = Size(),
        hyper: Hyperparameters = Hyperparameters(),
        folds: int | None = None,
        repeats: int = REPEATS,
        pack: int = 32,
        keep: bool = False,
        equal: str = "epochs",
        pace: Mapping[str, float] | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        own: dict[str, Any] = {"size": size, "hyper": hyper, "equal": equal, "pace": pace}
        own["keep"] = keep
        super().__init__(space, task, seed=seed, device=device, **own)
        count = len(task.train) + len(task.validation)
        folds = folds_by_default(count, task.division) if folds is None else folds
        refused = task.division.refused(folds)
        for name, value, allowed, rule in (
            (
                "folds",
                folds,
                folds == 0 or 2 <= folds <= count,
                f"0, or from 2 to {count}, the rows",
            ),
            ("folds", folds, not refused, refused),
            ("repeats", repeats, repeats >= 1, "at least 1"),
            ("pack", pack, pack >= 1, "at least 1"),
        ):
            if not allowed:
                raise SettingError(f"{name}={value}: {rule}")
        self.count, self.pack = folds, pack
        self.folds: list[Fold] = folds_of(task, folds, repeats, seed) if folds else []
        self.rows = loader(task, task.everything, device=device) if folds else self.train
        self._parts: dict[int, tuple[Resident, Resident]] = {}

    @staticmethod
    def trainings(
        rows: int, settings: Mapping[str, Any], division: Division = INDEPENDENT
    ) -> float:
        """Return the time of an evaluation in trainings; a pack makes five of two.

        Args:
            rows: to train and validate on. [count]
            settings: of the estimator.
            division: of these rows.
        """
        folds = _folds(rows, settings, division)
        repeats = 1 if division.kept_in_order else int(settings.get("repeats", REPEATS))
        return max(1.0, 0.4 * folds * repeats)

    @staticmethod
    def delivery(rows: int, settings: Mapping[str, Any], division: Division = INDEPENDENT) -> float:
        """Return the share of a budget in seconds that the delivery gets; arguments as `trainings`.

        Few rows take most of the time to choose by, on their folds, and are soon learnt from. Of many
        the final trainings are the longest.
        """
        return FEW_SHARE if _folds(rows, settings, division) else MANY_SHARE

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Train one candidate, on all folds where there are any.

        Raises:
            CandidateFailed: when its weights are no longer finite numbers.
        """
        (found,) = self.evaluate_many([(candidate, inherited)])
        if not found.result.ok:
            raise CandidateFailed(found.result.reason)
        return found

    def evaluate_many(
        self, asked: Sequence[tuple[Candidate, Mapping[int, State]]]
    ) -> list[Evaluation]:
        """Train candidates, those of one shape together; weights are not inherited."""
        start = time.monotonic()
        candidates = [candidate for candidate, _ in asked]
        trainings = [each for at in range(len(asked)) for each in self._trainings(at, candidates)]
        groups: dict[Any, list[Trained]] = {}
        for each in trainings:
            groups.setdefault(self._shape(each, candidates), []).append(each)
        for group in groups.values():
            for first in range(0, len(group), self.pack):
                self._train(group[first : first + self.pack], candidates)
        seconds = (time.monotonic() - start) / max(1, len(asked))
        return [
            self._evaluation(candidate, [t for t in trainings if t.candidate == at], seconds)
            for at, candidate in enumerate(candidates)
        ]

    def _trainings(self, at: int, candidates: Sequence[Candidate]) -> list[Trained]:
        """Return the trainings of a candidate: one, or one for every fold."""
        candidate = candidates[at]
        hyper = with_own_training(self.hyper, self.space, candidate.arch)
        key = (self.seed, "train", candidate.id)
        rows = min(len(fold.training) for fold in self.folds) if self.folds else len(self.train)
        own = (hyper, worth_it(hyper, self._epochs(candidate), rows))
        if not self.folds:
            return [Trained(at, None, *own, stream(*key).getrandbits(31))]
        seeds = [stream(*key, fold).getrandbits(31) for fold in range(len(self.folds))]
        return [Trained(at, fold, *own, seed) for fold, seed in enumerate(seeds)]

    def _shape(self, training: Trained, candidates: Sequence[Candidate]) -> Any:
        made = plan(self.space, candidates[training.candidate].arch, self.task, self.size)
        return shape_of(made, training.hyper), training.epochs

    def _train(self, group: Sequence[Trained], candidates: Sequence[Candidate]) -> None:
        """Train networks of one shape: in a pack, or one by one where that is not possible."""
        first = candidates[group[0].candidate].arch
        with torch.device("meta"):
            net = build(self.space, first, self.task, self.size)
        packed = takes(net, group[0].hyper) and not isinstance(self.rows, Streamed)
        if len(group) == 1 or not packed:
            for each in group:
                self._train_alone(each, candidates[each.candidate])
            return
        members = []
        for each in group:
            arch = candidates[each.candidate].arch
            each.net = build(self.space, arch, self.task, self.size, seed=each.seed)
            random = torch.get_rng_state()
            started(each.net, self._data(each.fold)[0])
            rows = None if each.fold is None else torch.from_numpy(self.folds[each.fold].training)
            members.append(Member(each.net, each.hyper, rows, each.seed, random))
        done = train_pack(members, self.rows, epochs=group[0].epochs)
        for each, epochs, finite in zip(group, done.epochs, done.finite, strict=True):
            each.done = epochs
            each.problem = "" if finite else "the weights are no longer finite: lower the rate"

    def _train_alone(self, training: Trained, candidate: Candidate) -> None:
        try:
            made = fit(
                self.space,
                candidate.arch,
                self.task,
                self._data(training.fold)[0],
                size=self.size,
                hyper=self.hyper,
                epochs=training.epochs,
                seed=training.seed,
            )
        except CandidateFailed as error:
            training.problem = str(error)
        else:
            training.net, training.done = made.net, made.done.epochs

    def _data(self, fold: int | None) -> tuple[Resident, Resident]:
        """Return the rows to learn from and those to score on."""
        if fold is None:
            return self.train, self.validation
        if fold not in self._parts:
            everything, rows = self.task.everything, self.folds[fold]
            parts = (everything.taken(each) for each in (rows.training, rows.held_out))
            training, held = (loader(self.task, part, device=self.device) for part in parts)
            self._parts[fold] = (training, held)
        return self._parts[fold]

    def _evaluation(
        self, candidate: Candidate, trainings: Sequence[Trained], seconds: float
    ) -> Evaluation:
        try:
            metrics = self._metrics(trainings)
        except CandidateFailed as error:
            return Evaluation(failed(candidate, str(error), seconds=seconds))
        net, done = trainings[0].net, trainings[0].done
        assert net is not None  # else there was a problem
        result = Result(
            candidate,
            metrics[self.task.metric],
            metrics=metrics,
            seconds=seconds,
            params=params(net),
            epochs=done,
            total_epochs=done,
            seed=trainings[0].seed,
            threads=torch.get_num_threads(),
        )
        kept = self.keep and not self.folds
        return Evaluation(result, kept_state(net, done) if kept else None)

    def _metrics(self, trainings: Sequence[Trained]) -> dict[str, Any]:
        """Return the metrics of all rows that were held out; of folds also the score of each.

        Raises:
            CandidateFailed: if a training failed, or outputs are no longer finite numbers.
        """
        total, count, scores = [0.0], 0.0, []
        everything: list[Any] = []
        for each in trainings:
            if each.problem or each.net is None:
                raise CandidateFailed(each.problem)
            held = self._data(each.fold)[1]
            sums, kept = seen_of(each.net, held)
            scores.append(metrics_of(self.task, sums, held.total, kept)[self.task.metric])
            everything += kept
            total = [a + b for a, b in zip(total, sums, strict=True)] if count else sums
            count += held.total
        metrics: dict[str, Any] = metrics_of(self.task, total, count, everything)
        if self.folds:
            metrics["folds"] = self.count
            metrics["fold_scores"] = [round(score, 6) for score in scores]
            metrics["standard_error"] = standard_error(scores, self.count)
        return metrics


def _folds(rows: int, settings: Mapping[str, Any], division: Division) -> int:
    """Return the folds of a set of so many rows by the settings of an estimator. [count]"""
    if (folds := settings.get("folds")) is not None:
        return int(folds)
    return folds_by_default(rows, division)


def folds_by_default(rows: int, division: Division = INDEPENDENT) -> int:
    """Return the folds of a set of so many rows; 0 is a single validation part. [count]"""
    return division.usual(FOLDS) if 2 * FOLDS <= rows < SMALL else 0
