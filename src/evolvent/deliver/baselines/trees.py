"""Baselines for tables: trees and linear models of scikit-learn, with its defaults.

Columns of texts are for the linear models alone: words and pairs, weighted by TF-IDF.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...task.portable.tokens import READERS

TREES = 300
MOST_CATEGORIES = 40  # of a column, with a column of their own in the inputs [count]
BINS = 254  # categories of a column that boosted trees tell apart [count]
LEAST_ROWS = 3  # of a category with a column of its own [count]
LARGEST = 1e30  # trees compute in float32


def model(
    name: str,
    *,
    numbers: int,
    categories: int,
    y: np.ndarray,
    seed: int,
    texts: Sequence[str] = (),
    apart: bool = True,
) -> Any:
    """Return an unfitted model of a table: columns of numbers, then of categories, then of texts.

    Args:
        name: ``boosted-trees``, ``extra-trees`` or ``linear``.
        numbers: columns. [count]
        categories: columns. [count]
        y: classes [N] int64, or quantities [N] float32.
        seed: of whatever is drawn.
        texts: how each column of them is split, of `READERS`.
        apart: whether any rows may be held out, to stop early.
    """
    classes = y.dtype.kind == "i"
    if name == "boosted-trees":
        return _boosted(numbers, categories, y, classes, seed, apart)
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline

    last: Any
    if name == "extra-trees":
        kind = ExtraTreesClassifier if classes else ExtraTreesRegressor
        last = kind(TREES, random_state=seed)
    else:
        last = LogisticRegression(max_iter=1000, random_state=seed) if classes else Ridge()
    linear = name == "linear"
    read = texts if linear else ()
    return make_pipeline(_columns(numbers, categories, read, scaled=linear), last)


def table(
    numbers: np.ndarray, categories: np.ndarray, texts: Sequence[Sequence[str]] = ()
) -> np.ndarray:
    """Return the cells of a table [N, columns] object: numbers, NaN for a gap, categories, texts.

    Args:
        numbers: [N, F] float64.
        categories: [N, C] object, text.
        texts: columns of N texts.
    """
    before = numbers.shape[1] + categories.shape[1]
    found = np.empty((len(numbers), before + len(texts)), object)
    found[:, : numbers.shape[1]] = np.clip(numbers, -LARGEST, LARGEST)
    found[:, numbers.shape[1] : before] = categories
    for place, column in enumerate(texts, start=before):
        found[:, place] = column
    return found


def _boosted(
    numbers: int, categories: int, y: np.ndarray, classes: bool, seed: int, apart: bool
) -> Any:
    """Return histogram-based gradient boosting, which takes gaps and categories as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

    lonely = (
        classes and np.bincount(y)[np.unique(y)].min() < 2
    )  # it stops early by a stratified part
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=BINS
    )
    return make_pipeline(
        _by_kind(FunctionTransformer(_floats), codes, numbers, categories),
        kind(
            categorical_features=[place >= numbers for place in range(numbers + categories)],
            early_stopping=False if lonely or not apart else "auto",
            random_state=seed,
        ),
    )


def _columns(numbers: int, categories: int, texts: Sequence[str], *, scaled: bool) -> Any:
    """Return medians and marks for gaps, a column for every frequent category, words of texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    steps = [FunctionTransformer(_floats), filled, *([StandardScaler()] if scaled else [])]
    marked = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=LEAST_ROWS,
        max_categories=MOST_CATEGORIES + 1,
    )
    bags = [
        TfidfVectorizer(analyzer=_words_and_pairs(tokens), sublinear_tf=True, min_df=2)
        for tokens in texts
    ]
    return _by_kind(make_pipeline(*steps), marked, numbers, categories, bags)


def _words_and_pairs(tokens: str) -> Callable[[str], list[str]]:
    def analyzer(text: str) -> list[str]:
        found = READERS[tokens](text)
        return [*found, *map(" ".join, itertools.pairwise(found))]

    return analyzer


def _by_kind(
    of_numbers: Any, of_categories: Any, numbers: int, categories: int, of_texts: Sequence[Any] = ()
) -> Any:
    """Return one step for the columns of numbers, one for those of categories, one for each text."""
    from sklearn.compose import ColumnTransformer

    steps = [
        ("numbers", of_numbers, list(range(numbers))),
        ("categories", of_categories, list(range(numbers, numbers + categories))),
    ]
    bags = [
        (f"text{place}", bag, numbers + categories + place) for place, bag in enumerate(of_texts)
    ]
    return ColumnTransformer([*(step for step in steps if step[2]), *bags])


def _floats(cells: Any) -> np.ndarray:
    return np.asarray(cells, np.float64)
