"""Statistics of a comparison: curves, intervals and tests over seeds, as pure functions of arrays.

Seeds are paired: row s of every strategy's array was run with seed s. A curve selects by validation
and reports test: the two are never mixed.

Sources: the interquartile mean and bootstrap intervals over runs follow Agarwal et al., "Deep
Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021 (2108.13264); paired
Wilcoxon tests with Holm's correction follow Demsar, JMLR 7 (2006).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

FEW = 5  # seeds; below, an interval says little
_RESAMPLES = 10_000
_CHUNK = 20_000_000  # numbers resampled at a time: at most 160 MB


def iqm(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the interquartile mean: the mean without the lowest and highest quarter.

    As `scipy.stats.trim_mean` with 0.25: ``floor(n / 4)`` values go on each side.

    Args:
        values: [..., n]
        axis: the one of the n values.
    """
    ordered = np.sort(np.moveaxis(np.asarray(values, dtype=float), axis, -1), axis=-1)
    cut = ordered.shape[-1] // 4
    kept = ordered[..., cut : ordered.shape[-1] - cut]
    return np.asarray(kept.mean(axis=-1))


def mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean along `axis`: the other statistic for `bootstrap`."""
    return np.asarray(np.mean(values, axis=axis))


def bootstrap(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray] = mean,
    *,
    level: float = 0.95,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Return the percentile bootstrap interval of `statistic` over the seeds.

    Args:
        values: [seeds] or [seeds, points]; a resample draws whole rows, so curves stay curves.
        statistic: maps [..., seeds] to [...].
        level: share of the resamples inside the interval. [0..1]
        resamples: how many. [count]
        seed: of the resampling: equal values, equal interval.

    Returns:
        The lower and upper end: [2] or [2, points].
    """
    values = np.asarray(values, dtype=float)
    count, points = len(values), int(np.prod(values.shape[1:], dtype=int))
    rows = np.random.default_rng(seed).integers(count, size=(resamples, count))
    flat = values.reshape(count, points).T  # [points, seeds]
    step = max(1, _CHUNK // rows.size)
    drawn = [statistic(flat[start : start + step][:, rows]) for start in range(0, points, step)]
    tail = (1 - level) / 2
    ends = np.quantile(np.concatenate(drawn), [tail, 1 - tail], axis=-1)  # [2, points]
    return np.asarray(ends.reshape(2, *values.shape[1:]))


def summary(values: np.ndarray, *, seed: int = 0) -> dict[str, Any]:
    """Return mean, spread and intervals of one strategy over seeds.

    Args:
        values: one per seed [seeds].
        seed: of the bootstrap.

    Returns:
        ``mean``, ``std`` (of the sample; 0 for one value), ``iqm``, ``ci95`` (bootstrap interval of
        the mean, two numbers), ``seeds``, and, with fewer than five seeds, ``warning``.
    """
    values = np.asarray(values, dtype=float)
    low, high = bootstrap(values, seed=seed)
    found: dict[str, Any] = {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "iqm": float(iqm(values)),
        "ci95": [float(low), float(high)],
        "seeds": len(values),
    }
    if len(values) < FEW:
        found["warning"] = (
            f"only {len(values)} seed(s): intervals and tests need at least {FEW}, "
            "differences between strategies may be chance"
        )
    return found


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values corrected for their number by Holm's step-down method [tests]."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def wilcoxon(first: np.ndarray, second: np.ndarray) -> float:
    """Return the p value of the two-sided paired Wilcoxon signed-rank test over seeds.

    Equal pairs count half for either side (Pratt). Without any difference it is 1.

    Args:
        first: one value per seed [seeds].
        second: the same seeds, in the same order [seeds].
    """
    from scipy import stats

    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if not difference.any():
        return 1.0
    if len(difference) <= 25 and _distinct(difference):
        return float(stats.wilcoxon(difference, zero_method="pratt", method="exact").pvalue)
    return float(stats.wilcoxon(difference, zero_method="pratt", method="approx").pvalue)


def _distinct(difference: np.ndarray) -> bool:
    """Return whether the exact distribution applies: no ties, no zeros."""
    size = np.abs(difference)
    return bool(size.all()) and len(np.unique(size)) == len(size)


def compare(values: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return the paired tests of every pair of strategies, corrected by Holm's method.

    Args:
        values: strategy -> one value per seed [seeds], equal seeds in equal order.

    Returns:
        One row per pair: ``first``, ``second``, ``difference`` (mean of first - second), ``wins``
        (share of the seeds in which first is higher, ties counting half), ``p``, ``p_holm``.
    """
    rows: list[dict[str, Any]] = []
    for first, second in itertools.combinations(values, 2):
        difference = np.asarray(values[first], dtype=float) - np.asarray(
            values[second], dtype=float
        )
        wins = (np.sign(difference) / 2 + 0.5).mean()
        p = wilcoxon(values[first], values[second])
        rows.append(
            {
                "first": first,
                "second": second,
                "difference": float(difference.mean()),
                "wins": float(wins),
                "p": p,
            }
        )
    for row, corrected in zip(rows, holm(np.array([row["p"] for row in rows])), strict=True):
        row["p_holm"] = float(corrected)
    return rows


def incumbents(validation: np.ndarray) -> np.ndarray:
    """Return, after every trial, the index of the best so far by validation; ties go to the first.

    Args:
        validation: [..., trials]; NaN or -inf where a trial has no score.

    Returns:
        Indices [..., trials]; -1 before the first score.
    """
    scores = np.where(np.isnan(validation), -np.inf, np.asarray(validation, dtype=float))
    best = np.maximum.accumulate(scores, axis=-1)
    before = np.concatenate([np.full((*best.shape[:-1], 1), -np.inf), best[..., :-1]], axis=-1)
    trials = np.arange(scores.shape[-1])
    return np.asarray(np.maximum.accumulate(np.where(scores > before, trials, -1), axis=-1))


def curve(validation: np.ndarray, test: np.ndarray | None = None) -> np.ndarray:
    """Return the value of the best so far by validation, after every trial.

    Args:
        validation: [..., trials]; decides.
        test: [..., trials]; what is reported; validation itself by default.

    Returns:
        [..., trials]; NaN before the first score.
    """
    chosen = incumbents(validation)
    values = np.asarray(validation if test is None else test, dtype=float)
    return np.where(chosen < 0, np.nan, np.take_along_axis(values, np.maximum(chosen, 0), axis=-1))


def over_cost(values: np.ndarray, cost: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return a curve over trials as a curve over cost: its last value at each cost spent.

    Args:
        values: curve over trials [..., trials].
        cost: of each trial [..., trials], >= 0, in any unit. [s or epochs]
        grid: costs to read the curve at [points], in the same unit.

    Returns:
        [..., points]; NaN where nothing was finished yet.
    """
    values, spent = np.asarray(values, dtype=float), np.cumsum(cost, axis=-1)
    flat = zip(
        values.reshape(-1, values.shape[-1]), spent.reshape(-1, spent.shape[-1]), strict=True
    )
    read = []
    for row, total in flat:
        done = np.searchsorted(total, grid, side="right")
        read.append(np.where(done == 0, np.nan, row[np.maximum(done, 1) - 1]))
    return np.array(read).reshape(*values.shape[:-1], len(grid))


def regret(values: np.ndarray, best: float) -> np.ndarray:
    """Return the distance of a curve from the best possible value [same shape, >= 0]."""
    return best - np.asarray(values, dtype=float)


def time_to(values: np.ndarray, level: float, cost: np.ndarray | None = None) -> np.ndarray:
    """Return the cost of each seed at which its curve first reached `level`.

    Args:
        values: curves [..., trials].
        level: in the unit of the curves.
        cost: of each trial [..., trials]; by default every trial costs 1. [s, epochs or trials]

    Returns:
        [...]; infinity where the level was not reached.
    """
    reached = np.asarray(values, dtype=float) >= level
    spent = np.cumsum(np.ones(reached.shape) if cost is None else cost, axis=-1)
    first = np.argmax(reached, axis=-1)
    at = np.take_along_axis(spent, first[..., None], axis=-1)[..., 0]
    return np.where(reached.any(axis=-1), at, np.inf)
