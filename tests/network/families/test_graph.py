"""Networks of graphs: what is built is what the space says, skips, names, operations."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers_network import shapes
from torch import nn

from evolvent.network.build import Assembled, Size, build, plan
from evolvent.network.cost import cost
from evolvent.network.operations import Reshape, SameConv
from evolvent.space.graph import DNA, HEIGHT, INPUT, WIDTH, Graph, walk

SPACES = {
    "colour": Graph((3, 16, 16)),
    "odd": Graph((2, 7, 6), least_channels=4, channels=20, depth=9),
    "tiny images": Graph((1, 1, 2)),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
ODD = SPACES["odd"]
CONV = ("aaaa", "conv", 6, 3, 5, 2, True)
PLAIN = ("bbbb", "conv", 4, 3, 3, 1, False)
ACTIVE, PASSIVE = ("cccc", "identity", True), ("dddd", "identity", False)


class Data:
    """What a network needs to know of a task."""

    outputs = 3

    def __init__(self, space=ODD):
        self.input_shape = space.input_shape


def dna(*layers, skips=()):
    return tuple(DNA(0.1, "head", layers, skips))


def made(*layers, skips=()):
    return build(ODD, dna(*layers, skips=skips), Data(), Size()).eval()


def calls(*layers, skips=()):
    found = plan(ODD, dna(*layers, skips=skips), Data(), Size()).network.calls
    return {each.out: each for each in found}


def images(channels=2, height=7, width=6):
    torch.manual_seed(0)
    x = torch.randn(3, channels, height, width)
    return x.contiguous(memory_format=torch.channels_last)


# ---- as the space says ---------------------------------------------------------------------------


@every_space
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32))
def test_shapes_and_cost_are_those_of_the_network(space, seed):
    rng = random.Random(seed)
    arch = space.sample(rng)
    for step in range(200):
        arch = space.mutate(arch, rng).arch
        found = plan(space, arch, Data(space), Size())
        if step % 25 != 24:  # a module takes a hundred times as long as its plan
            continue
        with torch.device("meta"):
            seen, y = shapes(Assembled(found).eval(), torch.empty(2, *space.input_shape))
        assert y.shape == (2, 3)
        total, channels = 0, space.input_shape[0]
        for layer, read, gives in walk(arch[2], space.input_shape):
            outs = [f"conv_{layer[0]}"] if layer[1] == "conv" else []
            outs += [f"norm_{layer[0]}", f"relu_{layer[0]}"] if layer[-1] else []
            outs += [name for name in seen if name.startswith("skip") and layer[0] in name]
            assert {seen[name] for name in outs} <= {tuple(gives)}
            if layer[1] == "conv":
                reach = read.channels * layer[HEIGHT] * layer[WIDTH]
                total += reach * gives.channels * gives.height * gives.width
            channels = gives.channels
        assert total <= space.multiply_adds
        assert cost(found, Data(space)).flops == 2 * (total + channels * Data.outputs)


@every_space
def test_networks_train(space):
    rng = random.Random(0)
    for _ in range(3):
        arch = space.sample(rng)
        net = build(space, arch, Data(space), Size()).train()
        y = net(torch.randn(4, *space.input_shape))
        y.square().sum().backward()
        assert y.isfinite().all()
        assert all(weight.grad is not None for weight in net.parameters())


def test_the_start_is_a_linear_classifier_of_pooled_pixels():
    net, x = made(), images()
    torch.testing.assert_close(net(x), net.get_submodule("head_head")(x.mean((2, 3))))
    assert list(calls()) == ["features", "head_head"]


# ---- vertices and edges --------------------------------------------------------------------------


def test_an_active_vertex_has_norm_and_relu_and_a_passive_one_nothing():
    ops = [each.op for each in calls(CONV, PLAIN, ACTIVE, PASSIVE).values()]
    assert ops == [
        "SameConv",
        "BatchNorm2d",
        "ReLU",
        "SameConv",
        "BatchNorm2d",
        "ReLU",
        "pool",
        "Linear",
    ]


def test_a_convolution_has_a_bias_exactly_where_no_norm_follows():
    net = made(CONV, PLAIN)
    assert net.get_submodule("conv_aaaa").bias is None
    assert net.get_submodule("conv_bbbb").bias is not None


def test_a_passive_identity_changes_nothing():
    torch.manual_seed(0)
    plain, longer = made(CONV), made(PASSIVE, CONV, ("eeee", "identity", False))
    longer.load_state_dict(plain.state_dict())
    assert torch.equal(plain(images()), longer(images()))


def test_a_skip_is_added_to_the_primary_edge_before_norm_and_relu():
    net, x = made(CONV, PLAIN, skips=((INPUT, "aaaa"), ("aaaa", "bbbb"))), images()
    reshape = Reshape()
    first = net.get_submodule("conv_aaaa")(x)
    first = torch.relu(net.get_submodule("norm_aaaa")(first + reshape(x, first)))
    second = net.get_submodule("conv_bbbb")(first)
    second = second + reshape(first, second)
    expected = net.get_submodule("head_head")(second.mean((2, 3)))
    torch.testing.assert_close(net(x), expected)


def test_several_skips_into_one_vertex_are_all_added_in_any_order():
    skips = ((INPUT, "bbbb"), ("aaaa", "bbbb"), ("cccc", "bbbb"))
    one = made(CONV, ACTIVE, PLAIN, skips=skips)
    other = made(CONV, ACTIVE, PLAIN, skips=skips[::-1])
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(images()), other(images()))
    assert len(calls(CONV, ACTIVE, PLAIN, skips=skips)["sum_bbbb"].inputs) == 4
    without = made(CONV, ACTIVE, PLAIN, skips=skips[:2])
    without.load_state_dict(one.state_dict())
    assert not torch.allclose(one(images()), without(images()))


def test_a_skip_past_a_passive_identity_doubles_what_it_passes():
    skips = ((INPUT, "dddd"),)
    net, x = made(PASSIVE, skips=skips), images()
    torch.testing.assert_close(net(x), net.get_submodule("head_head")(2 * x.mean((2, 3))))


def test_parameters_are_named_by_genes_and_not_by_place():
    one = made(CONV, PLAIN).state_dict()
    skips = ((INPUT, "bbbb"), ("dddd", "aaaa"))
    other = made(PASSIVE, CONV, ("eeee", "identity", False), PLAIN, skips=skips).state_dict()
    assert {name: value.shape for name, value in one.items()} == {
        name: value.shape for name, value in other.items()
    }
    assert {name.split(".")[0] for name in one} == {
        "conv_aaaa",
        "norm_aaaa",
        "conv_bbbb",
        "head_head",
    }


# ---- its operations ------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (3, 5), (7, 3)])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 6), (8, 8)])
def test_same_conv_divides_sizes_by_the_stride_and_rounds_up(height, width, stride, size):
    x = images(2, *size)
    y = SameConv(2, 5, height, width, stride)(x)
    assert y.shape == (3, 5, -(-size[0] // stride), -(-size[1] // stride))
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_same_conv_sees_an_odd_window_around_a_pixel():
    conv = SameConv(1, 1, 3, 5, bias=False)
    nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, 7, 9)
    x[0, 0, 3, 4] = 1
    seen = conv(x)[0, 0].nonzero().tolist()
    assert seen == [[row, column] for row in (2, 3, 4) for column in range(2, 7)]


def test_same_conv_starts_with_the_spread_of_its_inputs():
    """He et al.: variance 2 / fan-in."""
    torch.manual_seed(0)
    weight = SameConv(16, 64, 3, 3).weight
    assert float(weight.detach().std()) == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.05)
    assert float(weight.detach().mean()) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("sizes", [(4, 4), (2, 2), (8, 12), (1, 1), (3, 5)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_reshape_gives_the_shape_of_the_other_and_takes_none_of_its_values(sizes, channels):
    x, like = images(3, 4, 4), images(channels, *sizes)
    y = Reshape()(x, like)
    assert y.shape == like.shape
    assert torch.equal(y, Reshape()(x, like + 1))
    both = y + like
    assert both.is_contiguous(memory_format=torch.channels_last)


def test_reshape_cuts_channels_off_or_adds_zeros():
    x = images(3, 4, 4)
    assert torch.equal(Reshape()(x, images(2, 4, 4)), x[:, :2])
    more = Reshape()(x, images(5, 4, 4))
    assert torch.equal(more[:, :3], x)
    assert not more[:, 3:].any()
    assert torch.equal(Reshape()(x, x), x)


def test_reshape_takes_the_nearest_pixel():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    half = Reshape()(x, torch.empty(1, 1, 2, 2))
    assert half[0, 0].tolist() == [[0, 2], [8, 10]]
    twice = Reshape()(half, x)
    assert twice[0, 0].tolist() == [[0, 0, 2, 2], [0, 0, 2, 2], [8, 8, 10, 10], [8, 8, 10, 10]]


def test_reshape_lets_the_gradient_through():
    x = images(3, 4, 4).requires_grad_()
    Reshape()(x, images(5, 8, 8)).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.full_like(x, 4.0))
