"""Losses and the metrics told of them, against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from evolvent.network.losses import LOSSES


def told(name, outputs, y, parts=3, unit=1.0):
    """The metrics of a part that is looked at in several batches."""
    loss = LOSSES[name]
    batches = zip(outputs.tensor_split(parts), y.tensor_split(parts), strict=True)
    sums = torch.stack([loss.sums(*batch) for batch in batches]).sum(0).tolist()
    return loss.metrics(sums, len(y), unit)


def test_accuracy_and_loss_of_classes():
    torch.manual_seed(0)
    outputs, y = torch.randn(50, 4), torch.randint(4, (50,))
    found = told("cross-entropy", outputs, y)
    assert found["accuracy"] == int((outputs.argmax(1) == y).sum()) / 50
    mean = LOSSES["cross-entropy"].mean(outputs, y)
    assert found["loss"] == pytest.approx(float(mean), rel=1e-6)
    assert LOSSES["cross-entropy"].mean(outputs, y, 0.2) != mean


def test_the_metrics_of_a_quantity_are_scikit_learn_s():
    rng = np.random.default_rng(0)
    y, guess = rng.normal(3, 2, 50), rng.normal(3, 2, 50)
    outputs = torch.tensor(guess, dtype=torch.float32)[:, None]
    found = told("mse", outputs, torch.tensor(y, dtype=torch.float32), unit=10.0)
    assert found["r2"] == pytest.approx(r2_score(y, guess), rel=1e-5)
    assert found["rmse"] == pytest.approx(10 * root_mean_squared_error(y, guess), rel=1e-5)
    assert found["mae"] == pytest.approx(10 * mean_absolute_error(y, guess), rel=1e-5)
    mean = LOSSES["mse"].mean(outputs, torch.tensor(y, dtype=torch.float32))
    assert found["loss"] == pytest.approx(float(mean), rel=1e-5)


@pytest.mark.parametrize(("guess", "r2"), [(1.5, 1.0), (2.0, 0.0)])
def test_r2_of_equal_targets_is_what_scikit_learn_says(guess, r2):
    y = torch.full((4,), 1.5)
    assert told("mse", torch.full((4, 1), guess), y, parts=1)["r2"] == r2
    assert r2_score(y, torch.full((4,), guess)) == r2


def test_the_loss_of_a_quantity_has_one_output_per_target():
    loss = LOSSES["mse"].mean(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 0.0]))
    assert float(loss) == 2.5  # and not the mean over all pairs
