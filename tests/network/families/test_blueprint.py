"""Networks of blueprints: what is built is what the space says, repeated modules, merging."""

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evolvent.network.build import Assembled, Size, build, plan
from evolvent.network.cost import cost
from evolvent.network.operations import PooledSum, ScaledConv
from evolvent.space.blueprint import Blueprint
from evolvent.space.dag import INPUT, OUTPUT, Dag, network

SPACES = {
    "odd": Blueprint((2, 7, 6), filters=(8, 24)),
    "folded": Blueprint((3, 24, 24), filters=(8, 24)),
    "pixel": Blueprint((1, 1, 1), filters=(8, 16)),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
ODD = SPACES["odd"]
LAYER = (8, 3, 0.0, 1.0, False)
POOLED = (16, 1, 0.25, 1.0, True)


class Data:
    """What a network needs to know of a task."""

    outputs = 3

    def __init__(self, space=ODD):
        self.input_shape = space.input_shape


def row(*values):
    """A graph of nodes in a row."""
    names = [f"n{place}" for place in range(len(values))]
    ends = [INPUT, *names, OUTPUT]
    return (
        tuple((name, *each) for name, each in zip(names, values, strict=True)),
        tuple((a, b, True) for a, b in itertools.pairwise(ends)),
    )


def network_of(blueprint, modules, space=ODD):
    return build(space, space.assemble(blueprint, modules), Data(space), Size()).eval()


@every_space
@settings(max_examples=2)
@given(seed=st.integers(0, 2**32))
def test_cost_is_that_of_the_network(space, seed):
    rng = random.Random(seed)
    for _ in range(6):
        arch = space.sample(rng)
        found = plan(space, arch, Data(space), Size())
        scaled = (
            space.cost(arch) - (space.outputs - Data.outputs) * found.network.calls[-1].args[0][1]
        )
        assert cost(found, Data(space)).flops == 2 * scaled


@every_space
def test_networks_train(space):
    rng = random.Random(0)
    for _ in range(3):
        net = build(space, space.sample(rng), Data(space), Size()).train()
        y = net(torch.randn(4, *space.input_shape))
        y.square().sum().backward()
        assert y.shape == (4, 3)
        assert y.isfinite().all()
        assert all(weight.grad is not None for weight in net.parameters())


def test_a_module_stands_wherever_its_kind_does_with_weights_of_its_own():
    blueprint = (*row((5,), (9,), (5,)), (0.1, 0.9))
    net = network_of(blueprint, {5: row(LAYER, LAYER), 9: row(POOLED)})
    modules = [each for name, each in net.named_children() if name.startswith("node_")]
    counts = [sum(isinstance(m, ScaledConv) for m in each.modules()) for each in modules]
    assert counts == [2, 1, 2]
    names = [name for name, _ in net.named_parameters()]
    assert "node_n0.conv_n1.weight" in names
    assert "node_n2.conv_n1.weight" in names
    first, last = (net.get_parameter(f"node_n{at}.conv_n1.weight") for at in (0, 2))
    assert not torch.equal(first, last)


def test_a_layer_is_convolution_norm_relu_pooling_dropout():
    net = network_of((*row((0,)), (0.1, 0.9)), {0: row(POOLED)})
    kinds = [type(each) for each in net.get_submodule("node_n0").children()]
    assert kinds == [ScaledConv, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Dropout]
    kinds = [type(each) for each in network_of((*row((0,)), (0.1, 0.9)), {0: row(LAYER)}).modules()]
    assert nn.MaxPool2d not in kinds
    assert nn.Dropout not in kinds


def test_initial_weights_are_scaled():
    torch.manual_seed(0)
    one, half = ScaledConv(16, 64, 3, 1.0), ScaledConv(16, 64, 3, 0.5)
    spread, smaller = (each.weight.detach().std().item() for each in (one, half))
    assert spread == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.05)
    assert smaller / spread == pytest.approx(0.5, rel=0.05)


def test_sums_pool_what_is_larger_and_fill_missing_channels_with_zeros():
    one, other = torch.randn(2, 2, 7, 6), torch.randn(2, 3, 2, 2)
    y = PooledSum()(one, other)
    pooled = nn.functional.max_pool2d(one, (4, 3), ceil_mode=True)
    torch.testing.assert_close(y[:, :2], other[:, :2] + pooled)
    torch.testing.assert_close(y[:, 2:], other[:, 2:])
    torch.testing.assert_close(PooledSum()(one), one)


@pytest.mark.parametrize("edge", range(1, 40))
def test_sums_reach_every_size_that_poolings_lead_to(edge):
    size = edge
    while size > 1:
        size = -(-size // 2)
        y = PooledSum()(torch.zeros(1, 1, edge, 1), torch.zeros(1, 1, size, 1))
        assert y.shape[2] == size


def test_sums_keep_channels_last():
    images = [
        torch.randn(2, c, s, s).contiguous(memory_format=torch.channels_last)
        for c, s in ((3, 8), (5, 4), (4, 8))
    ]
    assert PooledSum()(*images).is_contiguous(memory_format=torch.channels_last)


def test_what_has_no_effect_is_not_built():
    space, rng = ODD, random.Random(4)
    for _ in range(20):
        arch = space.sample(rng)
        with torch.device("meta"):
            net = Assembled(plan(space, arch, Data(), Size()))
        nodes, _ = network(Dag(*arch[:2]))
        built = [name for name, _ in net.named_children() if name.startswith("node_")]
        assert built == [f"node_{name}" for name, _ in nodes]


def test_a_module_that_reads_other_channels_is_another_block():
    blueprint = (*row((0,), (0,), (0,)), (0.1, 0.9))
    found = plan(ODD, ODD.assemble(blueprint, {0: row(LAYER)}), Data(), Size())
    assert [block.name for block in found.blocks] == ["Module0From2", "Module0From8", "Network"]
