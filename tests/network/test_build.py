"""Architectures made real: names of parameters, and networks that compute what they should."""

import random

import pytest
import torch
from torch import Tensor, nn

from evolvent.errors import InvalidArchitecture, SettingError
from evolvent.network.build import (
    FAMILIES,
    Assembled,
    Size,
    build,
    check_network,
    mixed_blocks,
    plan,
)
from evolvent.network.operations import GroupedReduce
from evolvent.network.plan import Block, Plan, call
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201, parse
from evolvent.space.plain import Plain


class Data:
    """What a network needs to know of a task."""

    input_shape, outputs = (3, 8, 8), 5


SIZE = Size(cells=1, width=4, stages=2)


def node(first, op_first, second, op_second, combine="add"):
    return (first, op_first, second, op_second, combine)


def sub(net: nn.Module, name: str) -> Assembled:
    found = net.get_submodule(name)
    assert isinstance(found, Assembled)
    return found


def images(channels=3, size=8, count=2):
    torch.manual_seed(1)
    return torch.randn(count, channels, size, size)


# ---- weights and names ---------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    space = Cell()
    arch = space.sample(random.Random(0))
    one, same, other = (build(space, arch, Data(), SIZE, seed=seed) for seed in (3, 3, 4))
    weights = [net.state_dict() for net in (one, same, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["logits.weight"], weights[2]["logits.weight"])


def test_parameters_are_named_after_edges_and_not_after_positions():
    net = build(Cell201(), parse("302001"), Data(), SIZE)
    names = {name.split(".")[1] for name in net.state_dict() if name.startswith("cell0_0.")}
    assert {name[:3] for name in names} == {"e01", "e12"}
    without_first = build(Cell201(), parse("002001"), Data(), SIZE)
    assert {name for name in without_first.state_dict() if ".e12_" in name} == {
        name for name in net.state_dict() if ".e12_" in name
    }


def test_changing_one_node_leaves_the_names_of_the_others():
    space = Cell(operations="plain", nodes=2, output="all")
    first = (node(0, "conv_3x3", 1, "conv_1x1"), node(0, "conv_3x3", 2, "conv_1x1"))
    second = (node(0, "conv_3x3", 1, "max_pool_3x3"), first[1])
    names = [
        {
            name: tuple(weight.shape)
            for name, weight in build(space, (cell, cell), Data(), SIZE).state_dict().items()
        }
        for cell in (first, second)
    ]
    gone = {name for name in names[0] if "s2_right" in name}
    assert gone
    assert names[1] == {name: shape for name, shape in names[0].items() if name not in gone}


def test_the_names_of_a_stacked_network_are_stable():
    space = Cell(operations="plain", nodes=1, output="all")
    cell = (node(0, "conv_3x3", 1, "skip_connect"),)
    net = build(space, (cell, cell), Data(), Size(cells=2, width=4, stages=2))
    assert [name for name, _ in net.named_children()] == [
        "stem",
        "cell0_0",
        "cell0_1",
        "reduction1",
        "cell1_0",
        "cell1_1",
        "logits",
    ]
    assert [name for name, _ in sub(net, "cell0_0").named_parameters()] == [
        "s0.change.1.weight",
        "s0.change.2.weight",
        "s0.change.2.bias",
        "s1.change.1.weight",
        "s1.change.2.weight",
        "s1.change.2.bias",
        "s2_left_conv_3x3.1.weight",
        "s2_left_conv_3x3.2.weight",
        "s2_left_conv_3x3.2.bias",
    ]


@pytest.mark.parametrize("stem_stride", [1, 2])
@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("cells", [0, 1, 2])
@pytest.mark.parametrize(
    "space", [Cell(operations="plain"), Cell201(), Plain()], ids=lambda s: s.family
)
def test_every_size_gives_logits(space, cells, stages, stem_stride):
    size = Size(cells=cells, width=4, stages=stages, stem_stride=stem_stride)
    with torch.device("meta"):
        net = Assembled(plan(space, space.sample(random.Random(0)), Data(), size)).eval()
        assert net(torch.empty(2, 3, 7, 5)).shape == (2, 5)


def test_channels_double_at_every_reduction():
    space = Cell(operations="plain", nodes=3, output="all")
    calls = plan(space, space.sample(random.Random(0)), Data(), Size(1, 6, 3)).network.calls
    channels = {each.out: dict(each.args).get("c") for each in calls}
    assert [channels[f"cell{stage}_0"] for stage in range(3)] == [6, 12, 24]
    assert dict(calls[-1].args) == {"in_features": 3 * 24, "out_features": 5}


def test_a_family_without_a_network_is_refused():
    class Strange(Plain):
        family = "cel"

    with pytest.raises(SettingError, match="did you mean 'cell'"):
        plan(Strange(), (4,), Data(), SIZE)
    assert "cell" in FAMILIES


def test_an_operation_without_a_module_is_refused():
    space = Cell()
    space.operations = ("skip_connect", "teleport")
    cell = (node(0, "teleport", 1, "skip_connect"),) * 4
    with pytest.raises(InvalidArchitecture, match="'teleport'"):
        plan(space, (cell, cell), Data(), SIZE)


# ---- known cells compute what they should --------------------------------------------------------


def cell201(digits):
    return sub(build(Cell201(), parse(digits), Data(), SIZE).eval(), "cell0_0")


@pytest.mark.parametrize(
    ("digits", "factor"),
    [
        ("111111", 4),  # paths by skips from 0 to 3: 0>3, 0>1>3, 0>2>3, 0>1>2>3
        ("000100", 1),
        ("101001", 1),
        ("110011", 2),
        ("110111", 3),
        ("111000", 0),
        ("000000", 0),
    ],
)
def test_a_cell_of_skips_multiplies_its_input_by_its_number_of_paths(digits, factor):
    x = images(4)
    assert torch.equal(cell201(digits)(x), factor * x)


def test_the_nodes_of_cell201_are_sums_of_their_edges():
    cell, x = cell201("321423"), images(4)
    edges = {name[:3]: part for name, part in cell.named_children()}
    n1 = edges["e01"](x)
    n2 = edges["e02"](x) + n1  # edge 1>2 is a skip
    assert torch.equal(cell(x), edges["e03"](x) + edges["e13"](n1) + edges["e23"](n2))


def normal_cell(space, cell):
    net = build(space, (cell, cell), Data(), SIZE).eval()
    return sub(net, "cell0_0"), sub(net, "reduction1")


def test_nasnet_may_join_branches_by_concatenation_back_to_the_same_channels():
    space = Cell(operations="nasnet", nodes=2, combine=("add", "concat"), output="loose")
    cell, _ = normal_cell(
        space,
        (
            node(0, "conv_3x3", 1, "skip_connect", "concat"),
            node(1, "max_pool_3x3", 0, "skip_connect", "add"),
        ),
    )
    x, z = images(4), images(4).flip(3)
    s0, s1 = sub_output(cell, "s0", x), sub_output(cell, "s1", z)
    both = torch.cat([sub_output(cell, "s2_left_conv_3x3", s0), s1], dim=1)
    assert both.shape[1] == 8
    s2 = sub_output(cell, "s2", both)
    s3 = sub_output(cell, "s3_left_max_pool_3x3", s1) + s0
    assert torch.equal(cell(x, z), torch.cat([s2, s3], dim=1))


def sub_output(net: nn.Module, name: str, x: Tensor) -> Tensor:
    y = net.get_submodule(name)(x)
    assert isinstance(y, Tensor)
    return y


def test_darts_puts_out_every_node_and_nasnet_only_loose_ends():
    chain = (node(0, "skip_connect", 1, "conv_1x1"), node(2, "conv_1x1", 2, "skip_connect"))
    x = images(4)
    every, _ = normal_cell(Cell(operations="plain", nodes=2, output="all"), chain)
    loose, _ = normal_cell(Cell(operations="plain", nodes=2, output="loose"), chain)
    assert every(x, x).shape[1] == 8
    assert loose(x, x).shape[1] == 4
    assert torch.equal(every(x, x)[:, 4:], loose(x, x))


def test_a_reduction_cell_strides_only_what_reads_its_inputs():
    space = Cell(operations="plain", nodes=2, output="all")
    _, reduction = normal_cell(
        space, (node(0, "conv_3x3", 1, "max_pool_3x3"), node(2, "conv_3x3", 1, "skip_connect"))
    )
    strides = {
        name: getattr(part, "stride", None)
        for name, part in reduction.named_modules()
        if isinstance(part, nn.Conv2d | nn.MaxPool2d)
    }
    assert strides == {
        "s0.change.1": (1, 1),
        "s1.change.1": (1, 1),
        "s2_left_conv_3x3.1": (2, 2),
        "s2_right_max_pool_3x3": 2,
        "s3_left_conv_3x3.1": (1, 1),
        "s3_right_skip_connect.even": (2, 2),
        "s3_right_skip_connect.odd": (2, 2),
    }


def test_the_fixed_reduction_is_that_of_gdas():
    space = Cell(operations="plain", nodes=2, reduction="fixed")
    net = build(space, space.sample(random.Random(0)), Data(), SIZE).eval()
    cell = sub(net, "reduction1")
    names = {name for name, _ in cell.named_children()}
    assert names == {"s0", "s1", "x0", "x1", "x2_pool", "x2", "x3_pool", "x3"}
    assert [type(layer) for layer in cell.get_submodule("x0").children()] == [
        *(nn.ReLU, nn.Conv2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.BatchNorm2d)
    ]
    kernels = [
        (layer.kernel_size, layer.stride, layer.groups)
        for layer in cell.get_submodule("x0").children()
        if isinstance(layer, nn.Conv2d)
    ]
    assert kernels == [((1, 3), (1, 2), 8), ((3, 1), (2, 1), 8), ((1, 1), (1, 1), 1)]
    before, last = images(4, size=7), images(8, size=7)
    s0, s1 = sub_output(cell, "s0", before), sub_output(cell, "s1", last)
    x0, x1 = sub_output(cell, "x0", s0), sub_output(cell, "x1", s1)
    x2 = sub_output(cell, "x2", nn.functional.max_pool2d(x0 + x1, 3, 1, 1))
    x3 = sub_output(cell, "x3", nn.functional.max_pool2d(s1, 3, 2, 1))
    assert x0.shape == x3.shape == (2, 8, 4, 4)
    assert torch.equal(cell(before, last), torch.cat([x0, x1, x2, x3], dim=1))


@pytest.mark.parametrize(("channels", "groups"), [(72, 8), (20, 4), (6, 2), (5, 1)])
def test_groups_are_the_largest_of_8_4_2_1_that_divide_the_channels(channels, groups):
    assert [layer.groups for layer in GroupedReduce(channels) if isinstance(layer, nn.Conv2d)] == [
        groups,
        groups,
        1,
    ]


@pytest.mark.parametrize("nodes", [1, 3, 5])
@pytest.mark.parametrize("output", ["all", "loose"])
def test_the_fixed_reduction_concatenates_four_images_whatever_a_normal_cell_does(nodes, output):
    space = Cell(operations="plain", nodes=nodes, output=output, reduction="fixed")
    for arch in (space.sample(random.Random(seed)) for seed in range(3)):
        made = plan(space, arch, Data(), Size(cells=0, width=6, stages=3))
        calls = {each.out: dict(each.args) for each in made.network.calls}
        assert calls["reduction2"]["c_last"] == 4 * 12
        assert (calls["reduction2"]["c"], calls["reduction2"]["stride"]) == (24, 2)
        assert calls["logits"]["in_features"] == 4 * 24
        with torch.device("meta"):
            assert Assembled(made).eval()(torch.empty(2, 3, 7, 5)).shape == (2, 5)


def test_the_cell_after_a_reduction_halves_the_state_before_it():
    space = Cell(operations="plain", nodes=1, output="all")
    cell = (node(0, "skip_connect", 1, "skip_connect"),)
    net = build(space, (cell, cell), Data(), Size(cells=2, width=4, stages=2))
    shapes = {}
    for name, part in net.named_children():
        part.register_forward_hook(
            lambda _, inputs, __, name=name: shapes.update(
                {name: [each.shape[-1] for each in inputs]}
            )
        )
    net(images())
    assert shapes == {
        "stem": [8],
        "cell0_0": [8, 8],
        "cell0_1": [8, 8],
        "reduction1": [8, 8],
        "cell1_0": [8, 4],
        "cell1_1": [4, 4],
        "logits": [8],  # channels
    }


# ---- pruning -------------------------------------------------------------------------------------


def test_every_parameter_is_reached_by_the_gradient():
    for space in (
        Cell(operations="nasnet", nodes=3, combine=("add", "concat"), output="loose"),
        Cell(operations="enas", nodes=2, output="loose"),
        Cell(operations="plain", nodes=2, reduction="fixed"),
        Cell201(),
    ):
        rng = random.Random(0)
        for _ in range(15):
            net = build(space, space.sample(rng), Data(), SIZE)
            net(images()).square().sum().backward()
            assert all(weight.grad is not None for weight in net.parameters())


def test_dead_edges_have_no_parameters():
    net = build(Cell201(), parse("330300"), Data(), SIZE)  # nodes 1 and 2 are not read
    assert {name for name, _ in sub(net, "cell0_0").named_children()} == {"e03_nor_conv_3x3"}


def test_a_cell_without_readers_is_left_out_of_the_network():
    space = Cell(operations="plain", nodes=1, output="loose")
    skips_the_last = (node(0, "conv_1x1", 0, "conv_3x3"),)
    net = build(space, (skips_the_last, skips_the_last), Data(), Size(cells=1, width=4, stages=3))
    names = [name for name, _ in net.named_children()]
    assert names == ["stem", "cell0_0", "cell1_0", "cell2_0", "logits"]  # and no reduction
    net(images()).sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())


# ---- the functions of a plan ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "inputs", "expected"),
    [
        ("add", ("x", "x", "x"), lambda x: 3 * x),
        ("add", ("x",), lambda x: x),
        ("concat", ("x", "x"), lambda x: torch.cat([x, x], 1)),
        ("zeros", ("x",), torch.zeros_like),
        ("flatten", ("x",), lambda x: x.flatten(1)),
        ("pool", ("x",), lambda x: x.mean((2, 3))),
    ],
)
def test_functions_of_a_plan(operation, inputs, expected):
    x = images(2)
    net = Assembled(Plan((Block("Network", ("x",), "y", (call("y", operation, *inputs),)),)))
    assert torch.allclose(net(x), expected(x), atol=1e-7)


# ---- families from outside the package ------------------------------------------------------------


class Outside(Plain):
    family = "tests.network.test_build:hand_made"


class Refusing(Plain):
    family = "tests.network.test_build:refusing"


class Picky(Plain):
    family = "tests.network.test_build:picky"


class Failing(Plain):
    family = "tests.network.test_build:failing"


def hand_made(space, arch, data, size):
    logits = call("logits", "Linear", "flat", in_features=192, out_features=data.outputs)
    return Plan((Block("Network", ("x",), "logits", (call("flat", "flatten", "x"), logits)),))


def refusing(space, arch, data, size):
    raise InvalidArchitecture(f"width {arch[0]} is refused")


def picky(space, arch, data, size):
    if arch[0] < 200:
        raise InvalidArchitecture(f"width {arch[0]} is refused")
    return hand_made(space, arch, data, size)


def failing(space, arch, data, size):
    raise KeyError("nothing")


def test_a_family_may_be_a_function_outside_the_package():
    check_network(Outside(), Data(), SIZE, name="outside")
    net = build(Outside(), (7,), Data(), SIZE)
    assert list(net.state_dict()) == ["logits.weight", "logits.bias"]
    assert net(images()).shape == (2, 5)


def test_a_few_refused_architectures_are_no_reason_to_refuse_a_space():
    check_network(Picky(), Data(), SIZE, name="picky")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Refusing(), "space mine: no network can be built of 20 .* width .* is refused"),
        (
            Failing(),
            r"space mine: its family .*:failing builds no network of .*KeyError: 'nothing'",
        ),
    ],
)
def test_a_space_without_a_network_is_refused(space, message):
    with pytest.raises(SettingError, match=message):
        check_network(space, Data(), SIZE, name="mine")


def test_a_network_with_other_outputs_is_refused():
    class Wrong(Data):
        outputs = 6

    net = Plain()
    net.family = "tests.network.test_build:with_five"
    with pytest.raises(SettingError, match=r"makes \(2, 5\) of 2 inputs .* must make \(2, 6\)"):
        check_network(net, Wrong(), SIZE, name="mine")


def with_five(space, arch, data, size):
    return hand_made(space, arch, Data(), size)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("palin", "unknown family of spaces 'palin': did you mean 'plain'.*'module:plan'"),
        ("no.such:plan", "cannot be imported: ModuleNotFoundError"),
        ("tests.network.test_build:nothing", "has no function nothing: define nothing"),
        ("tests.network.test_build:SIZE", "has no function SIZE"),
    ],
)
def test_a_family_that_cannot_be_found_is_refused_with_what_to_do(family, message):
    space = Plain()
    space.family = family
    with pytest.raises(SettingError, match=message):
        plan(space, (4,), Data(), SIZE)


def test_a_family_from_outside_has_shared_weights_only_if_it_says_so():
    with pytest.raises(SettingError, match="has no network with shared weights"):
        mixed_blocks(Outside(), Data(), SIZE)
