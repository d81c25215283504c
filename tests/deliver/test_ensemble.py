"""The choice of an ensemble by numbers: where it gains, where it does not, and within which limits."""

import numpy as np
import pytest

from evolvent.deliver.ensemble import (
    LEAST_ROWS,
    MOST,
    Gain,
    Predictions,
    best_single,
    gain,
    gain_of_seeds,
    select,
)


def said(*, rows=400, networks=5, own=1.0, shared=1.0, classes=3, seed=0):
    """Networks whose logits have noise of their own and noise that they share."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    base = 2.5 * np.eye(classes)[y] + shared * rng.normal(size=(rows, classes))
    logits = base + own * rng.normal(size=(networks, rows, classes))
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return Predictions(powers / powers.sum(-1, keepdims=True), y)


def quantities(*, rows=300, own=0.5, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=rows)
    return Predictions((y + own * rng.normal(size=(4, rows)))[..., None], y)


@pytest.mark.parametrize("seed", range(5))
def test_networks_that_err_differently_gain_beyond_chance(seed):
    found = gain(said(seed=seed))
    assert found is not None
    assert found.is_beyond_chance
    assert found.score > 0.02
    assert len(set(select(said(seed=seed)))) > 1


@pytest.mark.parametrize("seed", range(5))
def test_networks_that_are_one_gain_nothing(seed):
    found = gain(said(seed=seed, own=0.0))
    assert found is not None
    assert found.score == 0
    assert not found.is_beyond_chance


def test_a_network_that_is_better_than_all_others_stays_alone():
    strong, weak = said(own=0.0, shared=0.3), said(own=6.0, networks=3)
    both = Predictions(np.concatenate([strong.values[:1], weak.values]), strong.y)
    rng = np.random.default_rng(0)
    both.values[1:] = rng.dirichlet(np.ones(3), size=(3, len(both.y)))  # they only guess
    assert set(select(both)) == {0}
    found = gain(both)
    assert found is not None
    assert not found.is_beyond_chance


def test_luck_of_the_choice_is_no_gain():
    """Among many networks of pure chance the best mean is far better on the rows that chose it."""
    rng = np.random.default_rng(3)
    found, flattered = [], []
    for _ in range(20):
        values = rng.dirichlet(np.ones(2) * 3, size=(40, 60))
        lucky = Predictions(values, rng.integers(0, 2, 60))
        told = gain(lucky)
        assert told is not None
        found.append(told.loss)
        mean = lucky.mean(select(lucky))
        single = lucky.values[0]
        flattered.append(float((lucky.losses(single) - lucky.losses(mean)).mean()))
        assert told.score < 0.25
    assert np.mean(flattered) > 1.5 * np.mean(found)


def test_errors_of_quantities_are_averaged_out():
    found = gain(quantities())
    assert found is not None
    assert found.is_beyond_chance
    assert found.score == pytest.approx(0.25 - 0.25 / 4, abs=0.05)  # of r2: a quarter of the noise
    same = quantities(own=0.0)
    told = gain(same)
    assert told is not None
    assert not told.is_beyond_chance


def test_with_few_rows_nothing_is_told():
    assert gain(said(rows=LEAST_ROWS - 1)) is None
    assert gain_of_seeds(said(rows=LEAST_ROWS - 1)) is None
    assert gain(said(networks=1)) is None


def test_the_same_predictions_give_the_same_answer():
    assert gain(said()) == gain(said())
    assert select(said()) == select(said())


def test_never_more_than_four_networks_however_much_more_would_help():
    assert len(set(select(said(networks=12)))) <= MOST


def test_limits_are_obeyed_in_the_choice():
    sizes = (10, 20, 30, 10, 10)

    def allowed(which):
        return sum(sizes[each] for each in which) <= 25

    picks = select(said(), allowed)
    assert 0 < sum(sizes[each] for each in set(picks)) <= 25
    assert select(said(), lambda which: False) == ()
    assert gain(said(), lambda which: False) is None
    alone = select(said(), lambda which: len(which) == 1)
    assert len(set(alone)) == 1


def test_the_best_single_network_is_that_of_the_metric_and_then_of_the_loss():
    y = np.zeros(4, np.int64)
    right, surer, wrong = (np.array([[p, 1 - p]] * 4) for p in (0.6, 0.9, 0.4))
    assert best_single(Predictions(np.stack([wrong, right, surer]), y)) == 2


def test_seeds_of_one_architecture_are_judged_without_a_choice():
    found = gain_of_seeds(said(networks=3))
    assert found is not None
    assert found.is_beyond_chance
    same = gain_of_seeds(said(networks=3, own=0.0))
    assert same is not None
    assert not same.is_beyond_chance


@pytest.mark.parametrize(
    ("numbers", "pays"),
    [
        ((0.01, 0.01, 0.05, 0.02), True),
        ((0.01, 0.01, 0.03, 0.02), False),  # within chance
        ((-0.01, 0.01, 0.05, 0.02), False),  # surer, and wrong more often
        ((0.0, 0.01, 0.05, 0.02), False),
    ],
)
def test_it_pays_where_the_loss_falls_beyond_chance_and_the_metric_rises(numbers, pays):
    assert Gain(*numbers).is_beyond_chance is pays
