"""Networks of chains: what is built is what the space says, parameters, shapes and names."""

import random
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers_network import shapes
from torch import nn

from evolvent.errors import InvalidArchitecture
from evolvent.network.build import Assembled, Size, build, plan
from evolvent.network.cost import cost, params
from evolvent.network.operations import TokenEmbedding
from evolvent.space.chain import Chain

SPACES = {
    "images": Chain((2, 9, 7), outputs=3, depth=6, filters=(2, 9), units=(3, 12)),
    "grey images": Chain(),
    "sequences": Chain((2, 11), outputs=3, filters=(2, 9), kernels=(1, 4)),
    "tokens": Chain((9,), 20, 3, embeddings=(4, 30)),
    "numbers": Chain((6,), outputs=3),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


class Data:
    """What a network needs to know of a task."""

    def __init__(self, space):
        self.input_shape, self.outputs = space.input_shape, space.outputs


def made(space, *layers):
    """The network of some layers, with weights."""
    return build(space, (0.01, layers), Data(space), Size())


def calls(space, *layers):
    return plan(space, (0.01, layers), Data(space), Size()).network.calls


def walk(space, seed, steps=200):
    """Every twentieth architecture of a walk by mutation and crossover."""
    rng = random.Random(seed)
    arch = relative = space.sample(rng)
    for step in range(steps):
        if step % 20 == 0:
            yield arch
        if step % 3 == 2:
            arch, relative = space.crossover(arch, relative, rng).arch, arch
        else:
            arch = space.mutate(arch, rng).arch


# ---- as the space says ---------------------------------------------------------------------------


@every_space
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32))
def test_cost_and_signals_are_those_of_the_network(space, seed):
    for arch in walk(space, seed):
        made = plan(space, arch, Data(space), Size())
        with torch.device("meta"):
            net = Assembled(made).eval()
            found, y = shapes(net, torch.empty(2, *space.input_shape))
        assert params(net) == space.cost(arch[1]).weights
        assert y.shape == (2, space.outputs)
        for layer, signal in zip(arch[1], space.signals(arch[1])[1:], strict=True):
            assert found[f"{layer[1]}_{layer[0]}"] == signal.shape
        flops = cost(made, Data(space)).flops
        assert flops == 2 * space.cost(arch[1]).multiply_adds


@every_space
def test_networks_train(space):
    rng = random.Random(0)
    for _ in range(5):
        arch = space.sample(rng)
        net = build(space, arch, Data(space), Size()).train()
        shape = (4, *space.input_shape)
        x = torch.randint(0, 20, shape) if space.vocabulary else torch.rand(shape)
        y = net(x)
        y.square().sum().backward()
        assert y.isfinite().all()
        assert all(weight.grad is not None for weight in net.parameters())


def test_a_layer_that_does_not_fit_the_data_is_refused():
    small = Data(SPACES["images"])
    small.input_shape = (2, 2, 2)
    layers = (("aaaa", "conv2d", 3, 3, "relu"),)
    with pytest.raises(InvalidArchitecture, match="does not fit"):
        plan(SPACES["images"], (0.01, layers), small, Size())


def test_the_shapes_of_the_data_count_and_not_those_of_the_space():
    large = Data(SPACES["images"])
    large.input_shape, large.outputs = (2, 20, 20), 7
    net = build(SPACES["images"], (0.01, ()), large, Size())
    assert net(torch.rand(3, 2, 20, 20)).shape == (3, 7)


# ---- names ---------------------------------------------------------------------------------------


def test_parameters_are_named_by_genes_and_not_by_place():
    first = ("aaaa", "conv2d", 3, 2, "prelu")
    second = ("bbbb", "conv2d", 3, 2, "relu")
    one = made(SPACES["images"], first, second).state_dict()
    other = made(SPACES["images"], ("cccc", "dropout", 0.1), second, first).state_dict()
    assert one.keys() == other.keys()
    assert {name.split(".")[0] for name in one} == {
        "conv2d_aaaa",
        "prelu_aaaa",
        "conv2d_bbbb",
        "logits",
    }


def test_another_kind_of_layer_under_the_same_name_is_another_parameter():
    space = SPACES["numbers"]
    dense = made(space, ("aaaa", "dense", 5, "relu")).state_dict().keys()
    assert not {name for name in dense if name.startswith("conv")}
    assert "dense_aaaa.weight" in dense


# ---- what they compute ---------------------------------------------------------------------------


def test_no_layer_is_a_linear_classifier_of_the_pixels():
    net = made(SPACES["images"])
    x = torch.rand(4, 2, 9, 7)
    logits = net.get_submodule("logits")
    assert torch.equal(net(x), logits(x.flatten(1)))
    assert [each.op for each in calls(SPACES["images"])] == ["flatten", "Linear"]
    assert [each.op for each in calls(SPACES["numbers"])] == ["Linear"]


def test_maps_are_flattened_once_before_the_first_dense_layer():
    ops = [
        each.op
        for each in calls(
            SPACES["images"],
            ("aaaa", "conv2d", 3, 2, "linear"),
            ("bbbb", "dense", 4, "linear"),
            ("cccc", "dropout", 0.5),
            ("dddd", "dense", 4, "relu"),
        )
    ]
    assert ops == ["Conv2d", "flatten", "Linear", "Dropout", "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("linear", lambda x: x),
        ("relu", torch.relu),
        ("leaky_relu", lambda x: torch.where(x > 0, x, 0.01 * x)),
        ("prelu", lambda x: torch.where(x > 0, x, 0.25 * x)),
        ("sigmoid", torch.sigmoid),
        ("softmax", lambda x: torch.softmax(x, 1)),
    ],
)
@pytest.mark.parametrize(
    ("name", "layer"),
    [("images", ("conv2d", 4, 3)), ("sequences", ("conv1d", 4, 3)), ("numbers", ("dense", 4))],
)
def test_activations(name, layer, activation, function):
    space = SPACES[name]
    net = made(space, ("aaaa", *layer, activation))
    x = torch.randn(3, *space.input_shape)
    y = function(net.get_submodule(f"{layer[0]}_aaaa")(x)).flatten(1)
    torch.testing.assert_close(net(x), net.get_submodule("logits")(y))


def test_a_pooling_has_its_size_as_stride_and_drops_the_rest():
    net = made(SPACES["images"], ("aaaa", "max_pool", 4))
    x = torch.arange(2 * 9 * 7.0).reshape(1, 2, 9, 7)
    y = net.get_submodule("max_pool_aaaa")(x)
    assert y[0, 0].tolist() == [[x[0, 0, 3, 3]], [x[0, 0, 7, 3]]]


def test_dropout_is_off_when_it_counts():
    net = made(SPACES["numbers"], ("aaaa", "dropout", 0.5))
    x = torch.ones(1, 6)
    assert torch.equal(net.eval()(x), net.eval()(x))
    drop = net.get_submodule("dropout_aaaa")
    assert isinstance(drop, nn.Dropout)
    assert drop.p == 0.5


def test_tokens_are_looked_up_channels_first():
    table = TokenEmbedding(20, 4)
    tokens = torch.tensor([[3, 0, 19], [5, 5, 5]], dtype=torch.uint8)
    y = table(tokens)
    assert y.shape == (2, 4, 3)
    for row in range(2):
        for step in range(3):
            assert torch.equal(y[row, :, step], table.table.weight[int(tokens[row, step])])


@pytest.mark.parametrize("head", ["linear", "sigmoid", "softmax", "prelu"])
def test_the_output_has_its_activation(head):
    space = Chain((5,), outputs=3, heads=("linear", "sigmoid", "softmax", "prelu"))
    data = SimpleNamespace(input_shape=(5,), outputs=3)
    net = build(space, (1e-3, (), head), data, Size())
    y = net(torch.randn(64, 5))
    assert y.shape == (64, 3)
    inside = bool((y >= 0).all() and (y <= 1).all())
    assert inside == (head in ("sigmoid", "softmax"))
    count = sum(each.numel() for each in net.parameters())
    assert count == 18 + 3 * (head == "prelu") <= space.cost(()).weights
