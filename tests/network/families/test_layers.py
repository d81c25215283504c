"""Networks of layers: the rules that repair them, sizes, names, and what they compute."""

import random

import pytest
import torch
from torch import nn

from evolvent.deliver.export import export
from evolvent.estimator.full import Full
from evolvent.network.build import Assembled, Size, build, plan
from evolvent.network.data import Resident
from evolvent.network.fit import state_of
from evolvent.network.operations import PadConcat, RectConv
from evolvent.network.train import Hyperparameters
from evolvent.space.layers import OPERATIONS, Layers
from evolvent.types import Budget, Candidate

SIZE = Size()
SMALL = Layers(depths=(4, 6), filters=(2, 3), strides=(1, 2, 3), pools=1)
ENAS = Layers(depths=(6,), filters=(4,), operations="enas", join="add")


class Data:
    """What a network needs to know of a task; an odd height and width."""

    outputs = 5

    def __init__(self, height=9, width=7):
        self.input_shape = (2, height, width)


def layer(*sources, height=3, width=3, filters=4, stride=(1, 1)):
    return (height, width, filters, *stride, sources)


def flat(*arch, pools=0):
    """A space that has these layers, and they."""
    return Layers(depths=(len(arch),), filters=(4, 6), strides=(1, 2, 3), pools=pools), arch


def calls(space, arch, size=SIZE, data=None):
    """The network's calls by the variable that they set."""
    made = plan(space, arch, data or Data(), size)
    found = {each.out: each for each in made.network.calls}
    assert len(found) == len(made.network.calls)  # every variable is set once
    return found


def images(channels, height, width, count=2):
    torch.manual_seed(0)
    x = torch.randn(count, channels, height, width)
    return x.contiguous(memory_format=torch.channels_last)


# ---- the repair rules ----------------------------------------------------------------------------


def test_a_layer_without_input_takes_the_image():
    found = calls(*flat(layer(), layer(), layer(0, 1)))
    assert found["layer0_3x3"].inputs == ("x",)
    assert found["layer1_3x3"].inputs == ("x",)


def test_a_layer_with_one_input_reads_it_and_with_several_their_concatenation():
    found = calls(*flat(layer(), layer(0, filters=6), layer(0, 1)))
    assert found["layer1_3x3"].inputs == ("layer0_3x3",)
    assert (found["inputs2"].op, found["inputs2"].inputs) == (
        "concat",
        ("layer0_3x3", "layer1_3x3"),
    )
    assert found["layer2_3x3"].inputs == ("inputs2",)
    assert dict(found["layer2_3x3"].args)["c_in"] == 4 + 6


def test_what_no_layer_reads_goes_to_the_classifier():
    found = calls(*flat(layer(), layer(0, filters=6), layer(0), layer()))
    outputs = found["outputs"]
    assert (outputs.op, outputs.inputs) == ("concat", ("layer1_3x3", "layer2_3x3", "layer3_3x3"))
    assert found["features"].inputs == ("outputs",)
    assert dict(found["logits"].args) == {"in_features": 6 + 4 + 4, "out_features": 5}


def test_a_single_end_goes_to_the_classifier_as_it_is():
    found = calls(*flat(layer(), layer(0)))
    assert "outputs" not in found
    assert found["features"].inputs == ("layer1_3x3",)


def test_images_of_different_sizes_are_brought_to_the_largest():
    arch = (layer(), layer(0, stride=(2, 3)), layer(0, 1), layer(1))
    found = calls(*flat(*arch))
    assert (found["inputs2"].op, found["inputs2"].inputs) == (
        "PadConcat",
        ("layer0_3x3", "layer1_3x3"),
    )
    assert (found["outputs"].op, found["outputs"].inputs) == (
        "PadConcat",
        ("layer2_3x3", "layer3_3x3"),
    )
    space, arch = flat(*arch)
    net = build(space, arch, Data(), SIZE).eval()
    with torch.no_grad():
        assert net.get_submodule("layer1_3x3")(torch.ones(1, 4, 9, 7)).shape == (1, 4, 5, 3)
        assert net(images(2, 9, 7)).shape == (2, 5)


def test_layers_of_equal_size_are_not_padded():
    arch = (layer(stride=(2, 3)), layer(stride=(2, 3)), layer(0, 1))
    assert calls(*flat(*arch))["inputs2"].op == "concat"


# ---- the max-pool layers -------------------------------------------------------------------------


def test_a_max_pool_layer_halves_all_that_crosses_it():
    arch = (layer(), layer(0), layer(0, 1), layer())
    found = calls(*flat(*arch, pools=1))
    assert found["inputs2"].inputs == ("layer0_3x3_pool1", "layer1_3x3_pool1")
    assert found["layer0_3x3_pool1"].inputs == ("layer0_3x3",)
    assert dict(found["layer0_3x3_pool1"].args) == {"kernel": 3, "stride": 2}
    assert found["x_pool1"].inputs == ("x",)
    assert found["layer3_3x3"].inputs == ("x_pool1",)


def test_what_crosses_two_max_pool_layers_is_halved_twice_and_once_only():
    arch = (layer(), layer(), layer(0))
    found = calls(*flat(*arch, pools=2))
    assert found["layer0_3x3_pool2"].inputs == ("layer0_3x3_pool1",)
    assert found["layer2_3x3"].inputs == ("layer0_3x3_pool2",)
    assert found["layer1_3x3_pool2"].inputs == ("layer1_3x3",)
    assert found["outputs"].inputs == ("layer1_3x3_pool2", "layer2_3x3")
    again = calls(*flat(layer(), layer(0), layer(0), layer(0), pools=1))
    assert [name for name in again if "pool" in name] == ["layer0_3x3_pool1", "layer1_3x3_pool1"]


def test_the_stem_strides_where_the_image_is_seen():
    arch = (layer(stride=(1, 3)), layer(0), layer())
    space, arch = flat(*arch)
    found = calls(space, arch, Size(stem_stride=2))
    strides = {
        name: tuple(dict(found[name].args)[f"stride_{axis}"] for axis in ("height", "width"))
        for name in ("layer0_3x3", "layer1_3x3", "layer2_3x3")
    }
    assert strides == {"layer0_3x3": (2, 6), "layer1_3x3": (1, 1), "layer2_3x3": (2, 2)}
    enas = ENAS.sample(random.Random(0))
    assert dict(calls(ENAS, enas, Size(stem_stride=2))["stem"].args)["stride"] == 2


# ---- layers that are added -----------------------------------------------------------------------


def test_an_added_layer_reads_the_one_before_and_adds_its_skips():
    arch = (
        ("conv_3x3", 4, 1, 1, ()),
        ("conv_5x5", 4, 1, 1, ()),
        ("max_pool_3x3", 4, 1, 1, (0, 1)),
    )
    space = Layers(depths=(3,), filters=(4,), operations="enas", join="add", pools=0)
    found = calls(space, arch)
    assert found["stem"].inputs == ("x",)
    assert found["layer0_in"].inputs == ("stem",)
    assert found["layer1_in"].inputs == ("layer0",)
    assert found["layer1"].inputs == ("layer1_conv_5x5",)
    assert (found["sum2"].op, found["sum2"].inputs) == (
        "add",
        ("layer2_max_pool_3x3", "layer0", "layer1"),
    )
    assert (found["layer2"].op, found["layer2"].inputs) == ("BatchNorm2d", ("sum2",))
    assert found["features"].inputs == ("layer2",)


@pytest.mark.parametrize("join", ["add", "concat"])
@pytest.mark.parametrize("operation", OPERATIONS["enas"])
def test_every_named_operation_is_built_as_it_is_named(operation, join):
    space = Layers(depths=(2,), filters=(4,), operations="enas", join=join, pools=0)
    arch = ((operation, 4, 1, 1, ()), (operation, 4, 1, 1, (0,)))
    net = build(space, arch, Data(), SIZE).eval()
    made = net.get_submodule(f"layer1_{operation}")
    kernels = set()
    for each in made.modules():
        for kind in (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d):
            if isinstance(each, kind):
                edge = each.kernel_size
                kernels.add((kind, edge if isinstance(edge, int) else edge[0]))
    wanted = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}.get(operation[:3], nn.Conv2d)
    pointwise = {(nn.Conv2d, 1)} if operation.startswith("sep") else set()
    assert kernels == {(wanted, int(operation[-1]))} | pointwise
    grouped = [each.groups > 1 for each in made.modules() if isinstance(each, nn.Conv2d)]
    assert any(grouped) == operation.startswith("sep")
    assert net(images(2, 9, 7)).shape == (2, 5)


# ---- random networks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "space", [SMALL, ENAS, Layers(filters=(2,))], ids=["strides", "enas", "zoph"]
)
@pytest.mark.parametrize("edges", [(9, 7), (1, 1), (5, 13)])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_two_hundred_random_moves_stay_buildable(space, edges, stem_stride):
    rng, data = random.Random(0), Data(*edges)
    arch = space.sample(rng)
    for step in range(200):
        arch = space.mutate(arch, rng).arch
        made = plan(space, arch, data, Size(stem_stride=stem_stride))
        if step % 20 == 0:
            with torch.device("meta"):
                assert Assembled(made).eval()(torch.empty(2, *data.input_shape)).shape == (2, 5)


@pytest.mark.parametrize("space", [SMALL, ENAS, Layers(depths=(5,), filters=(2, 3))])
def test_the_plan_knows_the_size_of_every_image(space):
    """A concatenation of unequal sizes would fail, one that is padded needlessly is found here."""
    rng = random.Random(1)
    for _ in range(10):
        arch = space.sample(rng)
        net = build(space, arch, Data(11, 10), SIZE).eval()
        for name, module in net.named_children():
            if isinstance(module, PadConcat):
                module.register_forward_pre_hook(lambda _, x: assert_unequal(x))
            assert name.isidentifier()
        with torch.no_grad():
            assert torch.isfinite(net(images(2, 11, 10))).all()


def assert_unequal(inputs):
    assert len({x.shape[2:] for x in inputs}) > 1


def test_layers_written_in_another_order_compute_the_same():
    space, rng = Layers(depths=(6,), filters=(2, 3)), random.Random(2)
    arch = next(a for a in iter(lambda: space.sample(rng), None) if space.canonical(a) != a)
    same = space.canonical(arch)
    assert sum(p.numel() for p in build(space, arch, Data(), SIZE).parameters()) == sum(
        p.numel() for p in build(space, same, Data(), SIZE).parameters()
    )
    totals = []
    for each in (arch, same):
        net = build(space, each, Data(), SIZE).eval()
        for weight in net.parameters():  # equal weights everywhere: channels may change places
            nn.init.constant_(weight, 0.05)
        with torch.no_grad():
            totals.append(net(images(2, 9, 7)))
    one, other = totals
    assert torch.allclose(one, other, atol=1e-5)


def test_the_gradient_reaches_every_parameter():
    rng = random.Random(3)
    for space in (SMALL, ENAS):
        net = build(space, space.sample(rng), Data(), SIZE)
        net(images(2, 9, 7, count=8)).square().sum().backward()
        assert all(weight.grad is not None for weight in net.parameters())


# ---- names ---------------------------------------------------------------------------------------


def shapes(space, arch):
    made = build(space, arch, Data(), SIZE)
    return {name: tuple(weight.shape) for name, weight in made.state_dict().items()}


def test_parameters_are_named_after_their_layer_and_its_operation():
    found = shapes(*flat(layer(), layer(0, height=1, width=7), layer(0, 1)))
    parts = {name.partition(".")[0] for name in found}
    assert parts == {"layer0_3x3", "layer1_1x7", "layer2_3x3", "logits"}
    enas = {name.partition(".")[0] for name in shapes(ENAS, ENAS.sample(random.Random(5)))}
    assert {name for name in enas if name.startswith("layer3")} <= {
        "layer3",
        "layer3_in",
        *(f"layer3_{operation}" for operation in OPERATIONS["enas"]),
    }


def test_changing_one_layer_leaves_the_names_and_shapes_of_the_others():
    before = shapes(*flat(layer(), layer(0), layer(1), layer(0, 2)))
    after = shapes(*flat(layer(), layer(0, height=5), layer(1), layer(0, 2)))
    assert {name.partition(".")[0] for name, _ in before.items() ^ after.items()} == {
        "layer1_3x3",
        "layer1_5x3",
    }


def test_a_new_skip_leaves_the_names_of_all_layers():
    before = shapes(*flat(layer(), layer(0), layer(1), layer(2)))
    after = shapes(*flat(layer(), layer(0), layer(0, 1), layer(2)))
    assert {name for name in before if before[name] != after[name]} == {"layer2_3x3.0.weight"}


def test_layers_that_are_added_leave_the_names_of_those_before():
    space = Layers(depths=(3, 4), filters=(4,), pools=0)
    short = (layer(), layer(0), layer(1))
    before, after = shapes(space, short), shapes(space, (*short, layer(2)))
    assert before.items() <= after.items()
    assert {name.partition(".")[0] for name in after.keys() - before.keys()} == {"layer3_3x3"}


# ---- the operations ------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 3)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("edges", [(1, 1), (9, 7), (8, 4)])
def test_a_rectangular_convolution_divides_each_edge_by_its_stride(height, width, strides, edges):
    made = RectConv(3, 5, height, width, *strides).eval()
    y = made(images(3, *edges))
    assert y.shape == (2, 5, *(-(-edge // step) for edge, step in zip(edges, strides, strict=True)))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert y.min() >= 0
    assert made[0].kernel_size == (height, width)


def test_smaller_images_are_framed_with_zeros():
    x, y = images(2, 5, 4), images(3, 2, 3)
    joined = PadConcat()(x, y)
    assert torch.equal(joined[:, :2], x)
    assert torch.equal(joined[:, 2:, 1:3, 0:3], y)
    assert (joined[:, 2:] != 0).sum() == y.numel()
    assert joined.is_contiguous(memory_format=torch.channels_last)


def test_each_edge_is_padded_to_its_own_largest():
    assert PadConcat()(images(1, 5, 2), images(1, 3, 4)).shape == (2, 2, 5, 4)


# ---- export and training -------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SMALL, ENAS], ids=["strides", "enas"])
def test_an_exported_network_agrees_with_the_one_in_memory(space, toy, tmp_path):
    rng = random.Random(4)
    made = plan(space, space.sample(rng), toy, SIZE)
    if space is SMALL:
        while all(each.op != "PadConcat" for each in made.network.calls):
            made = plan(space, space.sample(rng), toy, SIZE)
    net = Assembled(made)
    with torch.no_grad():
        for x, _ in Resident(toy, toy.train).in_order(32):
            net(x)
    args = {"plan": made, "state": state_of(net), "task": toy, "title": "t", "provenance": "p"}
    assert export(tmp_path / "net", **args)["parity_max_abs_diff"] <= 1e-5


def test_random_networks_learn_the_digits(digits):
    space, rng = Layers(filters=(8, 12, 16, 24)), random.Random(0)
    full = Full(space, digits, hyper=Hyperparameters(batch=64), seed=0)
    scores = [
        full.evaluate(Candidate(id, space.sample(rng), budget=Budget(epochs=3)), {}).result.value
        for id in range(10)
    ]
    assert sum(score > 0.9 for score in scores) >= 8
