"""The temperature of probabilities."""

import numpy as np
import pytest
import torch

from evolvent.network.calibration import BOUND, temperature
from evolvent.network.operations import Temperature


def drawn(rows, classes=4, seed=0, sharp=2.0):
    """Logits [N, classes], and classes that are drawn from their probabilities."""
    rng = np.random.default_rng(seed)
    logits = sharp * rng.normal(size=(rows, classes))
    powers = np.exp(logits)
    shares = powers / powers.sum(1, keepdims=True)
    return logits, np.array([rng.choice(classes, p=row) for row in shares])


@pytest.mark.parametrize("wrong", [0.3, 3.0])
def test_it_finds_by_how_much_logits_are_too_large(wrong):
    logits, y = drawn(4000)
    assert temperature(wrong * logits, y) == pytest.approx(wrong, rel=0.08)


def test_logits_that_fit_stay_as_they_are():
    found = [temperature(*drawn(300, seed=seed)) for seed in range(20)]
    assert found.count(1.0) >= 12  # a gain beyond one standard error comes by chance at times


def test_few_rows_tell_nothing():
    logits, y = drawn(19)
    assert temperature(5 * logits, y) == 1.0


def test_rows_that_are_all_right_do_not_ask_for_certainty():
    logits = np.tile(np.eye(3) * 2, (50, 1))
    found = temperature(logits, np.tile(np.arange(3), 50))
    assert 2 / BOUND < found < 0.9, "more certain, as far as 150 rows can tell"
    assert found > temperature(np.tile(logits, (20, 1)), np.tile(np.arange(3), 1000))


def test_heavy_rows_decide():
    logits, y = drawn(2000)
    wild = logits * np.where(np.arange(2000) < 1000, 4.0, 1.0)[:, None]
    weight = np.where(np.arange(2000) < 1000, 1.0, 1e-3)
    assert temperature(wild, y, weight) == pytest.approx(4.0, rel=0.15)


def test_rows_that_weigh_nothing_are_as_rows_without_weights():
    logits, y = drawn(500)
    assert temperature(3 * logits, y, np.zeros(500)) == temperature(3 * logits, y)


def test_labels_have_one_temperature():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(3000, 3))
    y = (rng.random((3000, 3)) < 1 / (1 + np.exp(-logits))).astype(float)
    assert temperature(0.4 * logits, y, link="sigmoid") == pytest.approx(0.4, rel=0.1)


def test_the_operation_divides():
    x = torch.randn(5, 3)
    assert torch.equal(Temperature(value=0.5)(x), x / 0.5)
