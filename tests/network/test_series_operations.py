"""Operations for series: what they compute, and what they begin from."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge

from evolvent.network.series_operations import (
    AtLevel,
    KernelBank,
    RidgeLinear,
    SeriesBlock,
    SeriesLevel,
    SeriesNorm,
    SeriesPool,
)


def series(count=6, channels=2, length=20, seed=0):
    return torch.randn(count, channels, length, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("how", ["last", "each"])
def test_a_forecast_comes_back_to_the_level_of_its_series(how):
    x = 3 * series() + 7
    normal, level = SeriesNorm(how)(x), SeriesLevel(how)(x)
    torch.testing.assert_close(AtLevel()(normal[:, 0], level), x[:, 0], atol=1e-4, rtol=1e-4)
    shifted = SeriesNorm(how)(x + 100)
    torch.testing.assert_close(shifted, normal, atol=1e-3, rtol=1e-3)


def test_a_constant_series_becomes_zero():
    assert SeriesNorm("each")(torch.full((2, 1, 9), 5.0)).abs().max() == 0


def test_the_bank_gives_shares_above_thresholds_and_the_largest_value():
    torch.manual_seed(0)
    bank, x = KernelBank(2, 20, 5, thresholds=2), series()
    bank.start([(x, torch.zeros(6))])
    values, thresholds = bank.filtered(x, 0), bank.get_buffer("threshold0")
    found = bank.features(x)
    count = len(thresholds)
    shares = (values > thresholds[:, :1]).float().mean(2)
    torch.testing.assert_close(found[:, :count], shares)
    torch.testing.assert_close(found[:, 2 * count : 3 * count], values.amax(2))
    assert found.shape == (6, 15)


def test_features_of_the_training_rows_are_standardised():
    torch.manual_seed(0)
    bank, x = KernelBank(2, 30, 16), series(100, length=30)
    bank.start([(x[:60], torch.zeros(60)), (x[60:], torch.zeros(40))])
    found = bank(x)
    assert found.mean(0).abs().max() < 1e-4
    spread = found.std(0, correction=0)
    assert ((spread - 1).abs() < 1e-3).float().mean() > 0.9  # a share may be the same in all rows


def test_the_bank_is_not_trained_and_sees_further_with_its_dilations():
    bank = KernelBank(1, 100, 12)
    assert not list(bank.parameters())
    assert bank.dilations == [1, 2, 4, 8]  # 8 steps times 8 fit, times 16 do not
    assert KernelBank(1, 5, 3).dilations == [1]


def left_out(x, y, penalty):
    """The errors of ridge regressions that are each fitted without the row they are asked for."""
    errors = []
    for row in range(len(x)):
        others = np.arange(len(x)) != row
        fitted = Ridge(alpha=penalty).fit(x[others], y[others])
        errors.append(y[row] - fitted.predict(x[row : row + 1])[0])
    return np.array(errors)


@pytest.mark.parametrize(("rows", "features"), [(40, 8), (25, 60)])
def test_the_penalty_has_the_smallest_error_on_rows_left_out(rows, features):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, features, generator=generator)
    y = x[:, :3].sum(1) + torch.randn(rows, generator=generator)
    head = RidgeLinear(features, 1)
    head.start([(x[:20], y[:20]), (x[20:], y[20:])])
    penalties = [rows * 10.0**p for p in (-6, -5, -4, -3, -2.5, -2, -1.5, -1, 0, 1)]
    rows_x, rows_y = x.double().numpy(), y.double().numpy()
    errors = {each: left_out(rows_x, rows_y, each) for each in penalties}
    best = min(errors, key=lambda each: np.square(errors[each]).mean())
    wanted = Ridge(alpha=best).fit(rows_x, rows_y)
    np.testing.assert_allclose(head(x)[:, 0].detach(), wanted.predict(rows_x), atol=1e-4)
    centred = ((each - each.mean(0)).double() for each in (x, y[:, None]))
    _, told = head.solved(*centred)
    np.testing.assert_allclose(told[:, 0], errors[best], atol=1e-5)


def test_classes_begin_with_sensible_probabilities():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 3
    x = torch.randn(200, 5, generator=generator)
    x[torch.arange(200), y] += 1.5
    head = RidgeLinear(5, 3)
    head.start([(x, y)])
    logits = head(x)
    assert (logits.argmax(1) == y).float().mean() > 0.75
    assert F.cross_entropy(logits, y) < 0.75  # log 3 is 1.10
    doubled, halved = (F.cross_entropy(each * logits, y) for each in (3.0, 0.33))
    assert F.cross_entropy(logits, y) < min(doubled, halved)


def test_a_levelled_head_learns_what_is_brought_to_the_level():
    x = series(80, 1, 8) + 50 * series(80, 1, 1, seed=1)
    y = 2 * x[:, 0, -1] - x[:, 0, -2]
    level = SeriesLevel("last")(x)
    head = RidgeLinear(8, 1, levelled=True)
    given = torch.cat([SeriesNorm("last")(x).flatten(1), level], 1)
    head.start([(given, y)])
    told = AtLevel()(head(given), level)[:, 0]
    assert (told - y).abs().max() < 1e-2


def test_without_ridge_it_begins_with_zeros():
    head = RidgeLinear(5, 3, ridge=False)
    head.start([(torch.ones(4, 5), torch.tensor([0, 1, 2, 0]))])
    assert head(torch.ones(2, 5)).abs().max() == 0


def test_blocks_halve_where_they_stride_and_pool_one_number_of_each_channel():
    x = series(3, 2, 21)
    made = SeriesBlock(2, 8, 5, dilation=2, stride=2)(x)
    assert made.shape == (3, 8, 11)
    assert SeriesBlock(2, 2, 3)(x).shape == x.shape
    assert torch.equal(SeriesPool("last")(x), x[:, :, -1])
    assert torch.equal(SeriesPool("max")(x), x.amax(2))
    assert torch.equal(SeriesPool("mean")(x), x.mean(2))
