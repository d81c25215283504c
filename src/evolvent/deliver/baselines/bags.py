"""Bags of words and pairs, with logistic regression.

Sources: Wang & Manning 2012, "Baselines and Bigrams" (features weighted by the log ratios of naive
Bayes; here the classifier is a logistic regression); TF-IDF with sublinear counts, as in scikit-learn.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ...task.portable.tokens import READERS

LEAST = 2  # texts of the training rows that a word or pair of TF-IDF occurs in [count]
STRENGTH = {"nb-pairs": 0.1, "tf-idf": 10.0}  # inverse strength of the penalty
Weighting = Callable[[np.ndarray], Any]


def counted(texts: Sequence[str], tokens: str = "words") -> Any:
    """Return the counts of words and of pairs of neighbours, sparse [N, features] float32.

    Args:
        texts: N of them.
        tokens: how a text is split, one of `READERS`.
    """
    read = READERS[tokens]
    known: dict[str, int] = {}
    number = itertools.count()
    rows = []
    for text in texts:
        found = read(text)
        for word in found:
            if word not in known:
                known[word] = next(number)
        rows.append(np.fromiter(map(known.__getitem__, found), np.int64, len(found)))
    singles = np.concatenate([*rows, np.zeros(0, np.int64)])
    place = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    neighbours = np.flatnonzero(place[1:] == place[:-1])
    codes = singles[neighbours] * len(known) + singles[neighbours + 1]
    distinct, pairs = np.unique(codes, return_inverse=True)
    column = np.concatenate([singles, len(known) + pairs])
    row = np.concatenate([place, place[neighbours]])
    shape = (len(rows), len(known) + len(distinct))
    return sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape)


@dataclass
class Bag:
    """A classifier of bags of words and pairs.

    Args:
        name: ``nb-pairs`` or ``tf-idf``.
        classes: how many there are. [count]
        seed: of the solver.
    """

    name: str
    classes: int
    seed: int = 0

    def fit(self, counts: Any, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Bag:
        """Learn from counts of words and pairs, sparse [N, features], and classes [N].

        Args:
            counts: of words and pairs, sparse [N, features].
            y: classes [N].
            sample_weight: of every text, in the regressions and in the ratios [N]; None is 1.
        """
        self.models: list[tuple[Any, Any]] = []
        known = counts.getnnz(axis=0) >= (LEAST if self.name == "tf-idf" else 1)
        self.known = np.flatnonzero(known)
        x = self._prepared(counts[:, self.known], fit=True)
        for label in range(1, 2) if self.classes == 2 else range(self.classes):
            self.models.append(self._one_against_the_rest(x, y == label, sample_weight))
        return self

    def predict_proba(self, counts: Any) -> np.ndarray:
        """Return probabilities [N, classes] of counts, sparse [N, features]."""
        x = self._prepared(counts[:, self.known])
        columns = [_probability(model, x, weights) for model, weights in self.models]
        if self.classes == 2:
            return np.stack([1 - columns[0], columns[0]], axis=1)
        found = np.stack(columns, axis=1) + 1e-12
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def _prepared(self, counts: Any, *, fit: bool = False) -> Any:
        if self.name == "nb-pairs":
            return (counts > 0).astype(np.float32)
        from sklearn.feature_extraction.text import TfidfTransformer

        if fit:
            self.scale = TfidfTransformer(sublinear_tf=True).fit(counts)
        return self.scale.transform(counts)

    def _one_against_the_rest(
        self, x: Any, mine: np.ndarray, rows: np.ndarray | None
    ) -> tuple[Any, Any]:
        """Return a logistic regression, None for a class that nobody or everybody has, and weights."""
        from sklearn.linear_model import LogisticRegression

        if mine.all() or not mine.any():
            return float(mine.mean()), None
        weights = None
        if self.name == "nb-pairs":
            weights = sparse.diags(log_ratio(x, mine, rows), format="csr", dtype=np.float32)
            x = x @ weights
        strength = STRENGTH[self.name]
        model = LogisticRegression(
            C=strength, solver="liblinear", dual=True, random_state=self.seed
        )
        return model.fit(x, mine, sample_weight=rows), weights


def log_ratio(x: Any, mine: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return the log ratios of naive Bayes: how much more frequent a feature is in one class.

    Args:
        x: whether a text has a feature, sparse [N, features].
        mine: texts of the class, the others are not [N] bool.
        rows: weight of every text [N]; None is 1.

    Returns:
        [features], with one added to every count.
    """
    w = np.ones(len(mine)) if rows is None else rows
    inside, outside = (1 + np.asarray(x.T @ (w * mask)).ravel() for mask in (mine, ~mine))
    return np.asarray(np.log(inside / inside.sum()) - np.log(outside / outside.sum()))


def _probability(model: Any, x: Any, weights: Any) -> np.ndarray:
    if isinstance(model, float):
        return np.full(x.shape[0], model)
    return np.asarray(model.predict_proba(x if weights is None else x @ weights)[:, 1])
