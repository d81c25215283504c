"""Zero-cost proxies against values computed by hand."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evolvent.errors import CandidateFailed, SettingError
from evolvent.network.build import Size, build
from evolvent.network.proxies import PROXIES, score
from evolvent.space.cell201 import Cell201, parse


def linear(weight, bias=None):
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def squares(outputs, y):
    """Half the mean over the batch of the summed squares: a loss that hands can differentiate."""
    return 0.5 * (outputs - y).square().sum() / len(y)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, 8, 8, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.fixture
def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


# -- by hand ---------------------------------------------------------------------------------------


def test_params_and_flops_count(convolutional, batch):
    # convolution 4 x 3 x 3 x 3 + 4, norm 8, linear 12 + 3
    assert score("params", convolutional, *batch) == 112 + 8 + 15
    # one input: 8 x 8 places x 108 products, and 12: a product and a sum each
    assert score("flops", convolutional, *batch) == 2 * (64 * 108 + 12)


def test_flops_are_of_one_input_whatever_the_batch(convolutional, batch):
    x, y = batch
    assert score("flops", convolutional, x[:2], y[:2]) == score("flops", convolutional, x, y)


def test_gradient_proxies_of_one_linear_layer():
    w, x, y = [[1.0, -2.0], [0.5, 3.0]], [[1.0, 2.0], [-1.0, 1.0]], [[1.0, 1.0], [0.0, -1.0]]
    net, inputs, targets = linear(w), torch.tensor(x), torch.tensor(y)
    error = np.array(x) @ np.array(w).T - y  # [B, outputs]
    gradient = error.T @ np.array(x) / 2
    names = ("grad_norm", "snip", "grasp", "fisher")
    said = {name: score(name, net, inputs, targets, loss=squares) for name in names}
    assert said["grad_norm"] == pytest.approx(np.linalg.norm(gradient))
    assert said["snip"] == pytest.approx(np.abs(gradient * w).sum())
    # the loss is quadratic: H g is the gradient's matrix times the inputs' second moment
    curved = gradient @ (np.array(x).T @ np.array(x) / 2)
    assert said["grasp"] == pytest.approx(-(curved * w).sum())
    # a = x w, dL/da = error / B; the mean over the batch of the squares, halved
    activation = np.array(x) @ np.array(w).T
    fisher = 0.5 * np.square(activation * error / 2).mean(axis=0).sum()
    assert said["fisher"] == pytest.approx(fisher)


def test_grad_norm_adds_layers_not_squares():
    net = nn.Sequential(linear([[2.0]]), linear([[3.0]]))
    x, y = torch.tensor([[1.0]]), torch.tensor([[0.0]])
    # output 6, gradient of the loss 6: by the first weight 6 * 3, by the second 6 * 2
    assert score("grad_norm", net, x, y, loss=squares) == pytest.approx(18 + 12)
    assert score("snip", net, x, y, loss=squares) == pytest.approx(18 * 2 + 12 * 3)


def test_grasp_is_the_hessian_product_that_finite_differences_give(convolutional, batch):
    net = convolutional.double()
    x, y = batch[0].double(), batch[1]
    weights = [net[0].weight, net[5].weight]

    def gradient():
        return torch.autograd.grad(F.cross_entropy(net.train()(x), y), weights)

    g, step = gradient(), 1e-6
    with torch.no_grad():
        for w, d in zip(weights, g, strict=True):
            w += step * d
    moved = gradient()
    with torch.no_grad():
        for w, d in zip(weights, g, strict=True):
            w -= step * d
    product = [(b - a) / step for a, b in zip(g, moved, strict=True)]
    expected = -sum(float((h * w.detach()).sum()) for h, w in zip(product, weights, strict=True))
    assert score("grasp", net, x, y) == pytest.approx(expected, rel=1e-4)


def test_grasp_of_a_loss_without_curvature_is_0():
    x, y = torch.ones(2, 2), torch.zeros(2)
    assert score("grasp", linear([[1.0, 2.0]]), x, y, loss=lambda out, y: out.sum()) == 0


def test_fisher_sums_the_places_of_a_channel_before_it_squares():
    net = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(net.weight, 2.0)
    x = torch.tensor([[[[1.0, 3.0]]], [[[-1.0, 0.5]]]])
    # loss: the sum of the outputs of both inputs; a = 2 x, dL/da = 1
    total = [2 * (1 + 3), 2 * (-1 + 0.5)]
    expected = 0.5 * (total[0] ** 2 + total[1] ** 2) / 2
    got = score("fisher", net, x, torch.zeros(2), loss=lambda out, y: out.sum())
    assert got == pytest.approx(expected)


def test_fisher_sees_what_a_convolution_gave_not_what_an_activation_in_place_made_of_it(batch):
    torch.manual_seed(1)
    plain = nn.Sequential(nn.Conv2d(3, 3, 8), nn.ReLU(), nn.Flatten())
    in_place = nn.Sequential(plain[0], nn.ReLU(inplace=True), nn.Flatten())
    assert score("fisher", in_place, *batch) == score("fisher", plain, *batch) > 0


def test_fisher_of_linear_layers_on_sequences_has_the_channels_last():
    net, x = linear([[1.0, 1.0], [2.0, 0.0]]), torch.ones(1, 3, 2)
    # both channels are 2 at each of 3 places: sums of 6
    got = score("fisher", net, x, torch.zeros(1), loss=lambda out, y: out.sum())
    assert got == pytest.approx(0.5 * (36 + 36))


def test_synflow_of_two_layers_sums_the_paths_once_per_layer():
    net = nn.Sequential(linear([[1.0, -2.0], [3.0, 4.0]]), nn.ReLU(), linear([[-5.0, 6.0]]))
    flow = (1 + 2) * 5 + (3 + 4) * 6  # |w| along every path, for ones
    got = score("synflow", net, torch.randn(4, 2), torch.zeros(4))
    assert got == pytest.approx(math.log1p(2 * flow))


def test_synflow_counts_positive_biases_and_ignores_norms_data_and_labels():
    net = nn.Sequential(linear([[-2.0]], [-3.0]), nn.BatchNorm1d(1), linear([[4.0]]))
    said = {score("synflow", net, torch.randn(5, 1), torch.zeros(n)) for n in (1, 5)}
    # by the first weight 2 * 4, by the second 4 * (2 + 3): the norm would make both 0
    assert said == {math.log1p(8 + 20)}


def test_synflow_of_a_deep_network_does_not_overflow():
    net = nn.Sequential(*[linear([[1e3] * 4] * 4) for _ in range(60)])
    got = score("synflow", net, torch.ones(2, 4), torch.zeros(2))
    assert got == pytest.approx(math.log(60 * 4) + 60 * math.log(4e3), rel=1e-6)


def test_synflow_keeps_the_order_of_networks_without_any_flow():
    dead = nn.Sequential(linear([[0.0]]), linear([[1.0]]))
    assert score("synflow", dead, torch.ones(2, 1), torch.zeros(2)) == 0.0


def test_jacob_cov_of_two_inputs_that_are_treated_apart():
    # ReLU units look along different inputs, so the rows of the Jacobian are (1, -1, 0), (0, 1, -1)
    net = nn.Sequential(
        linear([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]]), nn.ReLU(), linear([[1.0, 1.0]])
    )
    x = torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    values = np.array([1.5, 0.5]) + 1e-5  # correlation -0.5
    expected = -(np.log(values) + 1 / values).sum()
    assert score("jacob_cov", net, x, torch.zeros(2)) == pytest.approx(expected, rel=1e-6)


def test_jacob_cov_prefers_inputs_that_are_treated_apart():
    torch.manual_seed(0)
    x = torch.randn(8, 10)
    straight = linear(torch.randn(4, 10).tolist())  # one slope for all inputs
    bent = nn.Sequential(nn.Linear(10, 200), nn.ReLU(), nn.Linear(200, 4))
    said = [score("jacob_cov", net, x, torch.zeros(8)) for net in (straight, bent)]
    assert said[0] < -1e5 < said[1]


def test_jacob_cov_has_no_value_where_the_inputs_do_not_matter():
    dead = nn.Sequential(linear([[0.0, 0.0]]), nn.ReLU())
    assert math.isnan(score("jacob_cov", dead, torch.randn(3, 2), torch.zeros(3)))


@pytest.mark.parametrize(
    "relu", [nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU()], ids=["relu", "in place", "leaky"]
)
def test_nwot_counts_units_that_treat_two_inputs_alike(relu):
    x = torch.tensor([[1.0, -1.0, 2.0], [1.0, 1.0, -2.0]])
    # codes 101 and 110: alike in one of three units
    kernel = np.array([[3.0, 1.0], [1.0, 3.0]])
    got = score("nwot", nn.Sequential(nn.Identity(), relu), x, torch.zeros(2))
    assert got == pytest.approx(np.log(np.linalg.det(kernel)))


def test_nwot_sums_over_all_relus_functions_too():
    class Two(nn.Module):
        def forward(self, x):
            return F.relu(torch.relu(x) - 1.5)

    x = torch.tensor([[1.0, -1.0, 2.0], [1.0, 1.0, -2.0]])
    # after the first: 1 0 2 and 1 1 0; the second's codes are 001 and 000
    kernel = np.array([[6.0, 3.0], [3.0, 6.0]])
    got = score("nwot", Two(), x, torch.zeros(2))
    assert got == pytest.approx(np.log(np.linalg.det(kernel)))


def test_nwot_of_inputs_treated_the_same_is_not_finite():
    assert score("nwot", nn.ReLU(), torch.ones(2, 3), torch.zeros(2)) == -math.inf


# -- what holds for all ----------------------------------------------------------------------------


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_network_comes_out_as_it_went_in(proxy, convolutional, batch):
    net = convolutional.train()
    net[1].eval()  # a mode per module
    net[5].weight.requires_grad_(False)
    net[0].weight.grad = torch.ones_like(net[0].weight)
    before, frozen = copy.deepcopy(net.state_dict()), batch[0].clone()
    score(proxy, net, *batch)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert [module.training for module in net] == [True, False, True, True, True, True]
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert torch.equal(net[0].weight.grad, torch.ones_like(net[0].weight))
    assert net[5].weight.grad is None and not net[5].weight.requires_grad
    assert not any(module._forward_hooks for module in net.modules())
    assert torch.equal(batch[0], frozen) and not batch[0].requires_grad


@pytest.mark.parametrize("proxy", PROXIES)
def test_it_says_the_same_twice_whatever_the_mode_and_without_gradients(
    proxy, convolutional, batch
):
    first = score(proxy, convolutional.train(), *batch)
    with torch.no_grad():
        assert score(proxy, convolutional.eval(), *batch) == first
    assert math.isfinite(first)


@pytest.mark.parametrize("proxy", ["grad_norm", "snip", "grasp", "fisher", "synflow"])
def test_a_network_without_layers_to_look_at_says_so(proxy, batch):
    with pytest.raises(CandidateFailed, match="convolution or linear layer"):
        score(proxy, nn.Sequential(nn.AvgPool2d(8), nn.Flatten()), *batch)


def test_a_network_without_relus_says_so(batch):
    with pytest.raises(CandidateFailed, match="have a ReLU"):
        score("nwot", nn.Flatten(), *batch)


def test_an_unknown_proxy_is_refused_with_the_nearest(convolutional, batch):
    with pytest.raises(SettingError, match="did you mean 'synflow'"):
        score("sinflow", convolutional, *batch)


class Data:
    input_shape, outputs = (3, 8, 8), 3


@pytest.mark.parametrize("proxy", sorted(set(PROXIES) - {"fisher"}))
def test_a_cell_of_convolutions_is_preferred_to_one_of_poolings(proxy, batch):
    said = []
    for cell in ("444444", "333333"):
        net = build(Cell201(), parse(cell), Data(), Size(cells=1, width=8, stages=2), seed=0)
        said.append(score(proxy, net, *batch))
    assert said[0] < said[1]


@pytest.mark.parametrize("proxy", sorted(set(PROXIES) - {"jacob_cov", "nwot"}))
def test_a_cell_that_passes_nothing_has_a_value(proxy, batch):
    net = build(Cell201(), parse("000000"), Data(), Size(cells=1, width=8, stages=2), seed=0)
    assert math.isfinite(score(proxy, net, *batch))


def test_no_proxy_changes_its_mind_about_memory_formats(batch):
    x, y = batch
    net = build(Cell201(), parse("323121"), Data(), Size(cells=1, width=8, stages=2), seed=0)
    last = copy.deepcopy(net)
    last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for proxy in PROXIES:
        here = score(proxy, net, x, y)
        there = score(proxy, last, x.contiguous(memory_format=torch.channels_last), y)
        assert there == pytest.approx(here, rel=1e-3), proxy
