"""Bayesian optimisation: maximise the expected improvement of a Gaussian process over decisions.

Source: Jones, Schonlau & Welch, "Efficient Global Optimization", J. Global Optimization 13 (1998), for
the expected improvement; Snoek et al., NIPS 2012 (1206.2944), for one length scale per dimension.
With several workers an evaluation in flight counts as finished with its predicted mean, which removes
the uncertainty there (Ginsbourger et al. 2010, "kriging believer").

The kernel is ``exp(-sum_i w_i [a_i != b_i] - w c(a, b))`` over the decisions of two architectures.
Written out it is a product of one factor per decision, so it weighs single decisions, pairs and all
higher combinations, as one-hot and pairwise features would. The last term compares how often each
option was taken at any place: decisions of equal name share their options, so that two cells with the
same operations on different edges are similar. Scores are stretched near the best one: most
architectures are mediocre or fail to learn, and only the order at the top matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from ..errors import SettingError
from ..space import Space, key
from ..space.capabilities import decisions
from ..types import Arch, Budget, Candidate, Result, stream

_NOISES = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3)  # noise, in shares of the scores' variance
_SCALES = (0.3, 0.6, 1.2, 2.4, 4.8)  # sum of all weights of the kernel
_RANDOM, _BEST, _MUTANTS, _ROUNDS = 200, 10, 12, 4  # sizes of the pool that is searched per ask
_COUNTS = 3.0  # initial weight of the counts, in decisions
_NOBODY: tuple[int, ...] = ()
_TRIES = 50  # samples to find one that was not asked before


class Bayes:
    """Ask for the architecture of highest expected improvement.

    The pool per ask: random architectures, mutants of the best scored ones, and, in four rounds,
    mutants of the pool's most promising members. No architecture is asked twice while a new one can
    be found. A failed or refused candidate counts as the worst score so far.

    Args:
        space: samples and mutates architectures and gives their decisions.
        initial: random architectures first. [count, >= 2]
        memory: maximum results that the surrogate is fitted to, half of them the latest, half the best
            of the others; the time per ask grows with the square. [count, >= 2 * initial]
        epochs: training length of every candidate. [epochs]
        horizon: trials of the run; at most a third of them are the initial ones.
        seed: same seed and same tells in, same asks out.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    needs = frozenset({"decisions"})
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        initial: int = 10,
        memory: int = 400,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        if initial < 2 or memory < 2 * initial:
            raise SettingError(
                f"initial={initial} must be at least 2, memory={memory} at least twice that"
            )
        self.space, self.decisions, self.memory = space, decisions(space), memory
        self.initial = min(initial, max(2, horizon // 3))
        self.epochs, self.seed = epochs, seed
        self._results: list[Result] = []
        self._flying: dict[int, Arch] = {}  # id -> architecture, in the order of asking
        self._seen: set[Any] = set()
        self._width = 0  # maximum number of decisions seen
        self._options = 0  # options of all names of decisions seen
        self._by_name: dict[str, int] = {}
        self._by_length: dict[int, np.ndarray] = {}
        self._weights: tuple[np.ndarray, float] | None = None
        self._fitted = 0  # results at the last fit
        self._asked = 0

    def ask(self) -> Candidate:
        """Return a random architecture for the first asks, then the most promising of a pool."""
        rng = stream(self.seed, "bayes", self._asked)
        arch: Arch = None
        operator, parents = "sample", _NOBODY
        if self._asked >= self.initial and sum(result.ok for result in self._results) > 1:
            arch, operator, parents = self._choose(rng)
        if arch is None:
            arch = self.space.sample(rng)
            for _ in range(_TRIES):
                if key(self.space, arch) not in self._seen:
                    break
                arch = self.space.sample(rng)
        id, self._asked = self._asked, self._asked + 1
        self._seen.add(key(self.space, arch))
        self._flying[id] = arch
        return Candidate(
            id, arch, parents=parents, operator=operator, budget=Budget(epochs=self.epochs)
        )

    def tell(self, result: Result) -> None:
        """Take a result; one that was cut off by the end of the budget is ignored."""
        del self._flying[result.candidate.id]
        if result.status != "cut":
            self._results.append(result)

    def _choose(self, rng: Any) -> tuple[Arch, str, tuple[int, ...]]:
        known = self._remembered()
        worst = min(result.value for result in known if result.ok)
        target = stretch(np.array([max(result.value, worst) for result in known]))
        archs = [result.candidate.arch for result in known]
        codes = self._codes([*archs, *self._flying.values()])
        surrogate = self._fit(codes.cut(0, len(archs)), target)
        if self._flying:
            surrogate = surrogate.believe(codes)
        best = float(target.max())

        pool: dict[Any, tuple[Arch, str, tuple[int, ...]]] = {}
        promise: dict[Any, float] = {}

        def add(moves: Sequence[tuple[Arch, str, tuple[int, ...]]]) -> None:
            new = {key(self.space, move[0]): move for move in moves}
            for name in [name for name in new if name in self._seen or name in pool]:
                del new[name]
            if new:
                pool.update(new)
                mean, deviation = surrogate.predict(self._codes([m[0] for m in new.values()]))
                gains = improvement(mean, deviation, best)
                promise.update(zip(new, gains.tolist(), strict=True))

        add([(self.space.sample(rng), "sample", ()) for _ in range(_RANDOM)])
        leaders = sorted((r for r in known if r.ok), key=lambda r: (-r.value, r.candidate.id))
        roots: list[tuple[Arch, tuple[int, ...]]]
        roots = [(r.candidate.arch, (r.candidate.id,)) for r in leaders[:_BEST]]
        for _ in range(1 + _ROUNDS):
            moves = [
                (*self.space.mutate(arch, rng), parents)
                for arch, parents in roots
                for _ in range(_MUTANTS)
            ]
            add(moves)
            top = sorted(promise, key=lambda name: -promise[name])[:_BEST]
            roots = [(pool[name][0], pool[name][2]) for name in top]
        if not promise:
            return None, "sample", _NOBODY  # nothing new is near: the caller samples
        return pool[max(promise, key=lambda name: promise[name])]

    def _remembered(self) -> list[Result]:
        """Return the results to learn from: all, or the best half and the latest half."""
        if len(self._results) <= self.memory:
            return self._results
        half = self.memory // 2
        late = self._results[-half:]
        early = sorted(self._results[:-half], key=lambda r: (-r.value, r.candidate.id))
        return early[:half] + late

    def _fit(self, codes: Codes, target: np.ndarray) -> Surrogate:
        """Return the surrogate; its weights are learnt anew when the results grew by a tenth."""
        grown = self._weights is None or len(self._weights[0]) != codes.places.shape[1] + 1
        if grown or self._fitted * 1.1 <= len(self._results):
            self._weights = learn(codes, target, None if grown else self._weights)
            self._fitted = len(self._results)
        assert self._weights is not None
        return Surrogate(codes, target, *self._weights)

    def _codes(self, archs: Sequence[Arch]) -> Codes:
        rows = [self.decisions.encode(arch) for arch in archs]
        self._width = max(self._width, *map(len, rows))
        columns = np.full((len(rows), self._width), -1)
        for row, choices in enumerate(rows):
            columns[row, : len(choices)] = self._starts(choices)
        places = np.array([(*row, *(-1,) * (self._width - len(row))) for row in rows])
        counts = np.zeros((len(rows), self._options))
        taken = columns >= 0
        np.add.at(counts, (np.nonzero(taken)[0], (columns + places)[taken]), 1.0)
        return Codes(places, counts)

    def _starts(self, choices: tuple[int, ...]) -> np.ndarray:
        """Return, for each decision, the first column of its options in the counts [decisions].

        Architectures with equally many decisions are taken to have the same ones.
        """
        if len(choices) not in self._by_length:
            starts = []
            for place in range(len(choices)):
                decision = self.decisions.decision(choices[:place])
                assert decision is not None  # `choices` are complete
                if decision.name not in self._by_name:
                    self._by_name[decision.name] = self._options
                    self._options += decision.size
                starts.append(self._by_name[decision.name])
            self._by_length[len(choices)] = np.array(starts, dtype=int)
        return self._by_length[len(choices)]


class Codes(NamedTuple):
    """Architectures as the kernel sees them.

    Args:
        places: the decisions [N, decisions]; -1 where there is none.
        counts: how often each option was taken [N, options].
    """

    places: np.ndarray
    counts: np.ndarray

    def cut(self, start: int, stop: int) -> Codes:
        """Return the architectures from `start` to `stop`."""
        return Codes(self.places[start:stop], self.counts[start:stop])


class Surrogate:
    """A Gaussian process with zero mean and the kernel of this module.

    Args:
        codes: the known architectures [N].
        target: their values [N], of mean 0.
        weights: of the kernel [decisions + 1], the last one for the counts.
        noise: variance of the noise, as a share of the signal's.
        amplitude: variance of the signal; estimated from the values by default.
    """

    def __init__(
        self,
        codes: Codes,
        target: np.ndarray,
        weights: np.ndarray,
        noise: float,
        amplitude: float | None = None,
    ) -> None:
        self.codes, self.target, self.weights, self.noise = codes, target, weights, noise
        matrix = self._kernel(codes)
        matrix[np.diag_indices(len(target))] += noise
        self._inverse = np.linalg.inv(np.linalg.cholesky(matrix))  # of the lower factor
        whitened = self._inverse @ target
        self._alpha = self._inverse.T @ whitened
        if amplitude is None:  # equal values have none, but the deviation is a divisor
            amplitude = max(float(whitened @ whitened) / len(target), 1e-12)
        self.amplitude = amplitude

    def _kernel(self, codes: Codes) -> np.ndarray:
        apart = np.tensordot(self.weights, differences(codes, self.codes), axes=1)
        return np.asarray(np.exp(-apart))

    def predict(self, codes: Codes) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean [N] and the standard deviation [N] at `codes`."""
        near = self._kernel(codes)
        explained = ((near @ self._inverse.T) ** 2).sum(axis=1)
        variance = self.amplitude * np.maximum(1.0 - explained, 1e-12)
        return near @ self._alpha, np.sqrt(variance)

    def believe(self, codes: Codes) -> Surrogate:
        """Return the surrogate that takes its own mean as the value of architectures in flight.

        Args:
            codes: the known architectures, then those in flight.
        """
        mean, _ = self.predict(codes)
        target = np.concatenate([self.target, mean[len(self.target) :]])
        return Surrogate(codes, target, self.weights, self.noise, self.amplitude)


def differences(first: Codes, second: Codes) -> np.ndarray:
    """Return the differences of architectures by decision [decisions + 1, N, M].

    For each decision of `second`, 1 if it differs and else 0; last, the share of decisions that would
    have to change to make the counts of options equal, times a constant.
    """
    width, options = second.places.shape[1], second.counts.shape[1]
    found = np.empty((width + 1, len(first.places), len(second.places)))
    for place in range(width):
        found[place] = first.places[:, place, None] != second.places[None, :, place]
    counts = np.abs(first.counts[:, None, :options] - second.counts[None]).sum(axis=2)
    found[width] = counts * (0.5 * _COUNTS / width)
    return found


def stretch(scores: np.ndarray) -> np.ndarray:
    """Return scores [N] on a scale that widens towards the best, with mean 0 and deviation 1."""
    top, middle = scores.max(), np.median(scores)
    gap = top - middle if top > middle else np.ptp(scores)
    if gap <= 0:
        return np.zeros(len(scores))
    values = -np.log((top - scores) / gap + 0.1)
    return np.asarray((values - values.mean()) / values.std())


def improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return the expected improvement over `best` [N].

    A tiny multiple of the deviation orders architectures whose improvement underflows to 0.
    """
    z = (mean - best) / deviation
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (z * ndtr(z) + density) + 1e-12 * deviation)


def learn(
    codes: Codes, target: np.ndarray, start: tuple[np.ndarray, float] | None
) -> tuple[np.ndarray, float]:
    """Return the kernel's weights [decisions + 1] and the noise of highest posterior probability.

    A grid with equal weights, then coordinate ascent over the single weights and the noise.

    Args:
        codes: the known architectures [N].
        target: their values [N].
        start: weights and noise of the last fit, tried as well, or None.
    """
    differ = differences(codes, codes)
    width = len(differ)

    def quality(apart: np.ndarray, weights: np.ndarray, noise: float) -> float:
        matrix = np.exp(-apart)
        matrix[np.diag_indices(len(target))] += noise
        factor = np.linalg.cholesky(matrix)
        whitened = np.linalg.solve(factor, target)
        amplitude = max(float(whitened @ whitened) / len(target), 1e-12)
        likelihood = -0.5 * len(target) * np.log(amplitude) - np.log(np.diag(factor)).sum()
        return float(likelihood - 0.5 * (np.log(weights * width / 3.0) ** 2).sum())

    guesses = [(np.full(width, scale / width), noise) for scale in _SCALES for noise in _NOISES]
    guesses += [start] if start else []
    best = -np.inf
    for guess in guesses:
        found = quality(np.tensordot(guess[0], differ, axes=1), *guess)
        if found > best:
            best, (weights, noise) = found, guess
    apart = np.tensordot(weights, differ, axes=1)
    for _ in range(2):
        for place in range(width):
            for factor in (0.4, 0.7, 1.4, 2.5):
                other = weights.copy()
                other[place] *= factor
                moved = apart + (other[place] - weights[place]) * differ[place]
                found = quality(moved, other, noise)
                if found > best:
                    best, weights, apart = found, other, moved
        for other_noise in _NOISES:
            found = quality(apart, weights, other_noise)
            if found > best:
                best, noise = found, other_noise
    return weights, noise
