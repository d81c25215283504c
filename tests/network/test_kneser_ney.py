"""N-grams: the fast model is the one of the paper, written down."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from evolvent.network.kneser_ney import LEAST, KneserNey

VOCABULARY, FIRST = 6, 0


def written(text, order):
    """Return `probability(context, token)` by formulas of Chen & Goodman, n-gram by n-gram."""
    padded = [FIRST] * (order - 1) + list(text)
    grams = {
        n: Counter(tuple(padded[i : i + n]) for i in range(len(padded) - n + 1))
        for n in range(1, order + 1)
    }
    counts = {order: grams[order]}
    for n in range(1, order):
        counts[n] = Counter(gram[1:] for gram in grams[n + 1])
    lost = {n: discounts(counts[n]) for n in counts}
    follow: dict[int, defaultdict] = {n: defaultdict(dict) for n in counts}
    for n, found in counts.items():
        for gram, count in found.items():
            follow[n][gram[:-1]][gram[-1]] = count

    def probability(context, token, n=order):
        if n == 0:
            return 1 / VOCABULARY
        below = probability(context, token, n - 1)
        seen = follow[n].get(tuple(context[len(context) - n + 1 :]), {})
        if not seen:
            return below
        total = sum(seen.values())
        gone = sum(lost[n][min(count, 3)] for count in seen.values())
        count = seen.get(token, 0)
        return (count - (lost[n][min(count, 3)] if count else 0) + gone * below) / total

    return probability


def discounts(counts):
    n = Counter(counts.values())
    share = n[1] / (n[1] + 2 * n[2]) if n[1] else 0.5
    found = {}
    for times in (1, 2, 3):
        raw = times - (times + 1) * share * n[times + 1] / n[times] if n[times] else times
        found[times] = min(max(raw, LEAST), times)
    return found


@pytest.mark.parametrize("order", [2, 3, 5])
def test_probabilities_are_those_of_the_formulas(order):
    rng = np.random.default_rng(1)
    text = rng.choice(VOCABULARY - 1, 400, p=[0.5, 0.2, 0.1, 0.1, 0.1])  # the last token is unseen
    asked = np.append(rng.integers(0, VOCABULARY, 40), text[:20])
    exact, padded = written(text, order), [FIRST] * (order - 1) + list(asked)
    wanted = [
        exact(padded[at : at + order - 1], padded[at + order - 1]) for at in range(len(asked))
    ]
    found = np.exp(KneserNey(text, VOCABULARY, FIRST, order).log_likelihoods(asked))
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize("text", [[], [1], [2] * 30, list(range(6))])
def test_probabilities_sum_to_one_however_small_the_text(text):
    model = KneserNey(np.array(text, np.int64), VOCABULARY, FIRST)
    for context in ([], [2, 2], [5, 1, 2, 3, 4]):
        ends = [model.log_likelihoods(np.array([*context, t]))[-1] for t in range(VOCABULARY)]
        assert np.isfinite(ends).all()
        assert np.exp(ends).sum() == pytest.approx(1)
