"""Networks of stages: their cost is what the space says, every block runs, and the export is equal."""

import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from evolvent.deliver.export import export, load
from evolvent.network.build import Assembled, Size, build, function, plan
from evolvent.network.cost import cost
from evolvent.network.fit import fit, state_of, with_own_training
from evolvent.network.operations import (
    BasicBlock,
    Bottleneck,
    ConvBNAct,
    MBConv,
    Shortcut,
    SqueezeExcitation,
)
from evolvent.network.train import Hyperparameters
from evolvent.space.stages import BLOCKS, DOWNS, HEADS, LRS, Stages
from evolvent.types import Facts

SHAPES = [(3, 32, 32), (2, 7, 6), (1, 8, 8), (3, 70, 90)]
SGD = ("sgd", 1.0, 5e-4, 0.1, 1.0, 0, "none", 0.0, 0.0)


def facts(shape):
    return Facts("image", "accuracy", shape, 3)


def images(channels, height, width):
    torch.manual_seed(0)
    x = torch.randn(2, channels, height, width)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_parameters_and_multiply_adds_are_those_that_the_space_counts(shape):
    space, rng = Stages.of(facts(shape)), random.Random(0)
    archs = [space.sample(rng) for _ in range(15)] + list(space.known(facts(shape)).values())
    arch = archs[0]
    for _ in range(15):
        arch = space.mutate(arch, rng).arch
        archs.append(arch)
    for each in archs:
        built, counted = (
            cost(plan(space, each, facts(shape), Size()), facts(shape)),
            space.cost(each),
        )
        assert (built.params, built.flops) == (counted.weights, 2 * counted.multiply_adds)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("down", DOWNS)
@pytest.mark.parametrize("se", [0, 1])
def test_every_block_runs_with_every_halving_and_learns(block, down, se):
    space = Stages((2, 9, 11), 3)
    stages = ((16, 2, block, 2, 5, se, down),) * 2
    arch = space.canonical(("conv3", stages, "max", "gelu", SGD))
    net = build(space, arch, facts((2, 9, 11)), Size())
    y = net(images(2, 9, 11))
    assert y.shape == (2, 3)
    y.square().sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
    count = sum(isinstance(module, SqueezeExcitation) for module in net.modules())
    assert count == 4 * se


@pytest.mark.parametrize("stem", ["conv3s2", "patch2"])
def test_stems_of_large_images_halve_them(stem):
    space = Stages((3, 70, 91), 3)
    stages = ((16, 1, "plain", 2, 3, 0, "none"),) * 2
    arch = (stem, stages, "mean", "relu", SGD)
    block = Assembled(plan(space, arch, facts((3, 70, 91)), Size())).get_submodule(f"stem_{stem}")
    wide = {"conv3s2": 46, "patch2": 45}[stem]
    assert block(images(3, 70, 91)).shape == (2, 8, 35, wide)


# ---- operations ----------------------------------------------------------------------------------

OPERATIONS = [
    ConvBNAct(4, 8),
    ConvBNAct(4, 8, 3, 2, "silu", se=True),
    BasicBlock(4, 8, 2),
    BasicBlock(8, 8, 1, "gelu", True),
    Bottleneck(4, 8, 16, 2, "silu", True),
    MBConv(4, 8, 5, 2, 2, "relu", True),
    MBConv(8, 8, 3, 4),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 4), (7, 7)])
def test_sizes_are_divided_by_the_stride_and_channels_stay_last(operation, height, width):
    strides = [m.stride[0] for m in operation.modules() if isinstance(m, nn.Conv2d)]
    c_in = next(m.in_channels for m in operation.modules() if isinstance(m, nn.Conv2d))
    operation = operation.to(memory_format=torch.channels_last).eval()
    y = operation(images(c_in, height, width))
    stride = max(strides)
    assert y.shape[2:] == (-(-height // stride), -(-width // stride))
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_a_pooling_in_a_block_is_that_of_its_convolution():
    block = ConvBNAct(3, 8, pool=True).eval()
    x = images(3, 7, 6)
    wanted = nn.functional.relu(
        block.norm(nn.functional.max_pool2d(block.conv(x), 2, ceil_mode=True))
    )
    assert torch.equal(block(x), wanted)
    assert wanted.shape == (2, 8, 4, 3)


def test_a_shortcut_is_the_identity_where_shapes_agree():
    x = images(8, 5, 5)
    assert Shortcut(8, 8)(x) is x
    block = MBConv(8, 8, 3, 2).eval()
    assert torch.equal(block(x), x + block.body(x))


def test_the_maximum_of_every_channel():
    x = images(3, 4, 5)
    assert torch.equal(function("pool_max", [x]), x.flatten(2).max(2).values)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("se", [0, 1])
def test_images_of_any_size_fit(head, se):
    space = Stages((3, 32, 32), 3)
    stages = ((16, 1, "residual", 2, 3, se, "stride"),) * 2
    made = plan(space, ("conv3", stages, head, "relu", SGD), facts((3, 32, 32)), Size())
    assert made.any_size
    net = Assembled(made).eval()
    assert net(images(3, 20, 26)).shape == net(images(3, 32, 32)).shape == (2, 3)


# ---- training and export -------------------------------------------------------------------------


def test_the_recipe_of_an_architecture_is_trained_with(toy):
    space = Stages.of(
        toy.facts,
        optimizers=("sgd",),
        shifts=(0,),
        flips=("none",),
        erases=(0.0,),
        averages=(0.0,),
    )
    arch = space.known(toy.facts)["thin"]
    slow = (*arch[:4], ("sgd", 0.125, 1e-4, 0.0, *arch[4][4:]))
    hyper = Hyperparameters(batch=32, lr=9.0)
    fitted = fit(space, slow, toy, toy.train, hyper=hyper, epochs=0.2)
    assert fitted.hyper == replace(hyper, lr=0.025, weight_decay=1e-4, label_smoothing=0.0)


def test_a_known_member_is_trained_with_the_whole_modern_recipe():
    facts = Facts("image", "accuracy", (3, 32, 32), 10, mirrored=True)
    space = Stages.of(facts)
    own = with_own_training(Hyperparameters(), space, space.known(facts)["airbench-32"])
    assert (own.optimizer, own.lr, own.resize, own.shift) == ("muon", LRS["muon"], 0.8, 2)
    assert (own.flip, own.average, own.label_smoothing) == ("alternate", 0.25, 0.2)


def squeezed(arch):
    """`arch` with a bottleneck and squeeze-excitation in every stage."""
    stem, stages, *rest = arch
    return (stem, tuple((w, d, "bottleneck", 2, 3, 1, "stride") for w, d, *_ in stages), *rest)


@pytest.mark.parametrize("name", ["resnet", "squeezed", "mbconv", "airbench-32"])
def test_an_exported_network_computes_the_same(name, toy, tmp_path):
    space = Stages.of(toy.facts)
    members = space.known(toy.facts)
    arch = (members | {"squeezed": space.checked(squeezed(members["resnet"]))})[name]
    net = build(space, arch, toy, Size(), seed=1).eval()
    made = plan(space, arch, toy, Size())
    export(
        tmp_path, plan=made, state=state_of(net), task=toy, title="t", provenance="p", proof=False
    )
    x = images(*toy.input_shape)
    with torch.no_grad():
        assert torch.equal(load(tmp_path)(x), net(x))
