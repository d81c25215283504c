"""Operations for tables: what they compute, and what they learn of the training rows."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from evolvent.network.tables import (
    CategoryEmbedding,
    Columns,
    DenseLayer,
    FeatureScale,
    MemberHeads,
    MemberScale,
    Periodic,
    PiecewiseLinear,
    QuantileScale,
    Ramps,
    RobustScale,
    StandardScale,
    TangentLinear,
)

ROWS = torch.from_numpy(np.random.default_rng(0).gamma(1.0, size=(400, 3)).astype(np.float32))
NONE = torch.zeros(400)


def started(module, rows=ROWS):
    with torch.no_grad():
        module.start([(rows, NONE)])
    return module


def test_columns_are_taken_by_their_places():
    x = torch.arange(10.0)[None]
    assert Columns("0-2 5 8-9")(x).tolist() == [[0, 1, 2, 5, 8, 9]]


def test_standard_scaling_is_by_mean_and_deviation():
    y = started(StandardScale(3))(ROWS)
    assert torch.allclose(y.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(y.std(0, correction=0), torch.ones(3), atol=1e-5)


def test_robust_scaling_is_by_quartiles_and_clips_smoothly():
    scale = started(RobustScale(3))
    low, middle, high = np.quantile(ROWS.numpy(), (0.25, 0.5, 0.75), axis=0)
    z = (ROWS.numpy() - middle) / (high - low)
    assert np.allclose(scale(ROWS).numpy(), z / np.sqrt(1 + (z / 3) ** 2), atol=1e-4)
    assert scale(torch.full((1, 3), 1e6)).abs().max() <= 3


@pytest.mark.parametrize("make", [StandardScale, RobustScale])
def test_a_constant_number_becomes_zero(make):
    rows = torch.stack([torch.full((400,), 7.0), ROWS[:, 0]], 1)
    y = started(make(2), rows)(rows)
    assert y[:, 0].abs().max() == 0
    assert y[:, 1].std() > 0.5


def test_a_robust_scale_of_mostly_equal_numbers_is_half_their_range():
    rows = torch.zeros(400, 1)
    rows[:20] = 4.0
    assert started(RobustScale(1), rows).factor.item() == 0.5


def test_the_bins_hold_equally_many_rows():
    ramps = started(Ramps(3, 8))
    inside = (ramps(ROWS) > 0) & (ramps(ROWS) < 1)
    assert inside.sum(2).max() == 1  # in one bin at most
    counts = inside.sum(0)
    assert counts.min() >= 45  # of 50, those at the edges left out
    assert counts.max() <= 50
    assert ramps(torch.full((1, 3), -9.0)).sum() == 0
    assert ramps(torch.full((1, 3), 99.0)).sum() == 24


def test_equal_quantiles_make_fewer_bins():
    rows = torch.stack([torch.arange(400) % 3, torch.full((400,), 5)], 1).float()
    ramps = started(Ramps(2, 8), rows)
    assert (ramps.factors > 0).sum(1).tolist() == [2, 0]
    assert ramps(torch.tensor([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])).sum(2).T.tolist() == [
        [0, 1, 2],
        [0, 0, 0],
    ]


def test_quantile_scaling_gives_normal_quantiles_of_the_ranks():
    scale = QuantileScale(3, 16)
    started(scale.ramps)
    found = scale(ROWS).numpy()
    ranks = (ROWS.argsort(0).argsort(0).numpy() + 0.5) / 400
    middle = (ranks > 0.2) & (ranks < 0.9)
    assert np.abs(found - norm.ppf(ranks))[middle].max() < 0.08
    assert np.abs(found).max() < 3
    assert (np.diff(found[ROWS[:, 0].argsort(), 0]) >= -1e-6).all()


def test_quantile_scaling_puts_values_that_many_rows_have_in_the_middle_of_their_ranks():
    rows = (torch.arange(400) < 100).float()[:, None]  # a quarter is 1
    scale = QuantileScale(1, 8)
    started(scale.ramps, rows)
    found = scale(torch.tensor([[0.0], [1.0]]))[:, 0].numpy()
    assert np.allclose(found, norm.ppf([0.375, 0.875]), atol=1e-4)


def test_a_piecewise_linear_embedding_begins_as_a_line_and_can_bend_in_every_bin():
    embed = PiecewiseLinear(3, 8, 4)
    started(embed.ramps)
    x = torch.rand(5, 3)
    line = x[:, :, None] * embed.line + embed.bias
    assert torch.allclose(embed(x), line.flatten(1))
    with torch.no_grad():
        embed.slopes[1, 2, 3] = 10.0
    change = (embed(ROWS) - (ROWS[:, :, None] * embed.line + embed.bias).flatten(1)).reshape(
        -1, 3, 4
    )
    assert torch.allclose(change[:, 1, 3], embed.ramps(ROWS)[:, 1, 2], atol=1e-5)
    change[:, 1, 3] = 0
    assert change.abs().max() < 1e-5


def test_a_periodic_embedding_is_the_number_and_a_mix_of_its_cosines():
    torch.manual_seed(0)
    embed = Periodic(2, 5, 4, 0.3)
    x = torch.rand(6, 2)
    found = embed(x).reshape(6, 2, 4)
    assert torch.equal(found[:, :, 0], x)
    frequency, phase = 0.1 * embed.frequency[1], 0.1 * embed.phase[1]
    waves = torch.cos(2 * torch.pi * x[:, 1:] * frequency + phase)
    assert torch.allclose(
        found[:, 1, 1:], waves @ (0.1 * embed.mix[1]) + 0.1 * embed.bias[1], atol=1e-5
    )
    assert 0.1 < Periodic(100, 50, 4, 0.3).frequency.std() / 10 < 0.5


def test_categories_are_rows_of_a_table_and_small_ones_stay():
    embed = CategoryEmbedding("6 2", 3)
    assert list(embed.tables) == ["category0"]
    x = torch.zeros(2, 8)
    x[0, 4] = x[0, 6] = 1
    y = embed(x)
    assert torch.equal(y[0], torch.cat([embed.tables["category0"][4], torch.tensor([1.0, 0.0])]))
    assert torch.equal(y[1], torch.zeros(5)), "a category that is not known"


def test_factors_begin_at_one_and_learn_six_times_as_fast():
    scale = FeatureScale(3)
    x = torch.rand(2, 3)
    assert torch.allclose(scale(x), x)
    scale(x).sum().backward()
    assert scale.scale.grad is not None
    assert torch.allclose(scale.scale.grad, 6 * x.sum(0))


def test_a_dense_layer_in_the_tangent_parametrisation_keeps_the_size_of_its_input():
    torch.manual_seed(0)
    layer = TangentLinear(400, 500)
    y = layer(torch.randn(50, 400))
    assert 0.9 < y.std() < 1.1
    assert 0.9 < layer.weight.std() < 1.1


@pytest.mark.parametrize("norm_", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (6, 2, 4)], ids=str)
def test_a_layer_is_added_to_its_input(norm_, shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    plain = DenseLayer(4, 4, "silu", norm_, 0.0)
    added = DenseLayer(4, 4, "silu", norm_, 0.0, residual=True)
    added.load_state_dict(plain.state_dict())
    assert torch.allclose(added(x), x + plain(x))
    assert plain(x).shape == shape


def test_the_members_of_a_norm_share_their_statistics():
    layer = DenseLayer(4, 5, norm=True)
    x = torch.randn(6, 2, 4)
    assert torch.allclose(layer(x).flatten(0, 1), layer(x.flatten(0, 1)), atol=1e-6)


def test_members_see_their_inputs_by_factors_of_their_own():
    torch.manual_seed(0)
    first, later = MemberScale(3, 4, fresh=True), MemberScale(3, 4)
    x = torch.randn(5, 4)
    seen = first(x)
    assert seen.shape == (5, 3, 4)
    assert torch.allclose(seen.abs(), x.abs()[:, None].expand(5, 3, 4))
    assert not torch.allclose(seen[:, 0], seen[:, 1])
    assert torch.allclose(later(seen), seen)


def test_answers_of_members_are_averaged_where_nothing_is_trained():
    torch.manual_seed(0)
    heads, x = MemberHeads(3, 4, 5), torch.randn(6, 3, 4)
    each = heads(x)
    assert each.shape == (6, 3, 5)
    one = x[:, 1] @ (heads.weight[1] / 2) + 0.1 * heads.bias[1]
    assert torch.allclose(each[:, 1], one, atol=1e-6)
    mean = heads.eval()(x)
    assert torch.allclose(mean.softmax(1), each.softmax(2).mean(1), atol=1e-6)
    quantity = MemberHeads(3, 4, 1)
    assert torch.allclose(quantity(x).mean(1), quantity.eval()(x))
