"""Drop-path and the auxiliary classifier: they help a training and are no part of the network."""

import random
from dataclasses import replace

import pytest
import torch

from evolvent.errors import SettingError
from evolvent.network.build import Size, build, plan, training_plan
from evolvent.network.cost import cost, params
from evolvent.network.families.regularised import with_auxiliary
from evolvent.network.regularisers import Auxiliary, DropPath
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201, parse
from evolvent.space.plain import Plain


class Data:
    """What a network needs to know of a task."""

    input_shape, outputs = (3, 8, 8), 5


SIZE = Size(cells=1, width=4, stages=3)
BOTH = replace(SIZE, drop_path=0.3, auxiliary=0.4)
SPACES = (
    Cell(operations="nasnet", nodes=3, combine=("add", "concat"), output="loose"),
    Cell(operations="plain", nodes=2, output="all"),
    Cell201(),
    Cell(operations="plain", nodes=2, reduction="fixed"),
)
every_space = pytest.mark.parametrize("space", SPACES, ids=("nasnet", "plain", "cell201", "fixed"))


def images(count=2, channels=3):
    return torch.randn(
        count, channels, 8, 8, generator=torch.Generator().manual_seed(1)
    ).contiguous(memory_format=torch.channels_last)


def archs(space, count=8):
    rng = random.Random(0)
    return [space.sample(rng) for _ in range(count)]


def calls_of(made, name):
    block = made.block(name)
    assert block is not None
    return block.calls


def helpers(net):
    return [each for each in net.modules() if isinstance(each, Auxiliary)]


# ---- drop-path -----------------------------------------------------------------------------------


def dropping(rate, share=1.0):
    path = DropPath(rate)
    path.reach(share)
    return path


def test_outside_of_training_a_path_is_an_identity():
    x = images()
    assert dropping(0.9).eval()(x) is x


def test_at_the_beginning_nothing_is_dropped_nor_drawn():
    x, before = images(), torch.get_rng_state()
    assert DropPath(0.9)(x) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_whole_images_are_dropped_each_by_itself_and_the_rest_makes_up_for_it(share):
    torch.manual_seed(0)
    rate, x = 0.6, images(2000)
    y = dropping(rate, share)(x)
    gone = (y == 0).flatten(1).all(1)
    kept = y[~gone]
    assert torch.allclose(kept, x[~gone] / (1 - rate * share))
    # a share of 2,000 has a standard deviation of 0.011
    assert float(gone.float().mean()) == pytest.approx(rate * share, abs=0.045)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_the_expectation_stays():
    torch.manual_seed(0)
    path, x = dropping(0.3), images(1).expand(20_000, -1, -1, -1)
    mean = path(x).mean(0)
    assert torch.allclose(mean, x[0], rtol=0.03, atol=1e-6)


def test_half_precision_stays_so():
    torch.manual_seed(0)
    assert dropping(0.5)(images(8).bfloat16()).dtype == torch.bfloat16


@every_space
def test_a_path_is_dropped_behind_every_branch_that_is_no_identity(space):
    for arch in archs(space):
        made = training_plan(space, arch, Data(), replace(SIZE, drop_path=0.3))
        for block in made.blocks[:-1]:
            made_by = {each.out: each for each in block.calls}
            for join in block.calls:
                both = join.out.endswith("_both")
                if not both and (join.op != "add" or len(join.inputs) < 2):
                    continue
                for name in join.inputs:
                    state = name in block.inputs or name.lstrip("sn").isdigit()
                    assert state != (made_by.get(name, join).op == "DropPath")
            for each in block.calls:
                if each.op == "DropPath":
                    assert dict(each.args) == {"rate": 0.3}
                    assert made_by[each.inputs[0]].op not in ("add", "Align", "DropPath")


def test_a_reduced_skip_is_no_identity_any_more():
    space = Cell(operations="plain", nodes=1, output="all")
    cell = ((0, "skip_connect", 1, "conv_3x3", "add"),)
    made = training_plan(space, (cell, cell), Data(), replace(SIZE, drop_path=0.1))
    drops = {
        name: [each.inputs[0] for each in calls_of(made, name) if each.op == "DropPath"]
        for name in ("NormalCell", "ReductionCell")
    }
    assert drops == {
        "NormalCell": ["s2_right_conv_3x3"],
        "ReductionCell": ["s2_left_skip_connect", "s2_right_conv_3x3"],
    }


def test_all_four_images_of_the_fixed_reduction_are_dropped():
    space = SPACES[-1]
    made = training_plan(
        space, space.sample(random.Random(0)), Data(), replace(SIZE, drop_path=0.1)
    )
    calls = {each.out: each for each in calls_of(made, "ReductionCell")}
    kept = ["x0", "x1", "x2", "x3"]
    assert [each.inputs[0] for each in calls.values() if each.op == "DropPath"] == kept
    assert calls["out"].inputs == tuple(f"{name}_drop" for name in kept)
    assert calls["both"].inputs == ("x0_drop", "x1_drop")


@pytest.mark.parametrize(
    ("digits", "dropped"),
    [
        ("303003", []),  # a chain of edges: nothing is beside any of them
        ("333003", ["e02", "e12"]),
        ("300111", []),  # only skips meet
        ("423104", ["e02", "e12", "e23"]),
    ],
)
def test_in_cell201_an_edge_is_dropped_only_beside_another(digits, dropped):
    made = training_plan(Cell201(), parse(digits), Data(), replace(SIZE, drop_path=0.1))
    calls = calls_of(made, "Cell")
    assert [each.out[:3] for each in calls if each.op == "DropPath"] == dropped


# ---- the auxiliary classifier --------------------------------------------------------------------


def place_of(made):
    return next((each.inputs[0] for each in made.network.calls if each.op == "Auxiliary"), None)


@pytest.mark.parametrize("space", SPACES[1:3], ids=("plain", "cell201"))
@pytest.mark.parametrize(
    ("cells", "stages", "place"),
    [
        (6, 3, "reduction2"),  # number 13 of 20, as in DARTS
        (1, 3, "reduction2"),
        (2, 2, "cell1_0"),
        (3, 1, "cell0_2"),
        (0, 3, "reduction2"),
    ],
)
def test_it_stands_behind_two_thirds_of_the_cells(space, cells, stages, place):
    size = Size(cells=cells, width=4, stages=stages, auxiliary=0.4)
    arch = parse("333333")
    if space.family == "cell":
        cell = ((0, "conv_3x3", 1, "conv_1x1", "add"), (2, "conv_3x3", 1, "conv_1x1", "add"))
        arch = (cell, cell)
    made = training_plan(space, arch, Data(), size)
    assert place_of(made) == place
    build(space, arch, Data(), size)(images())  # channels fit


def test_where_nobody_reads_that_cell_the_next_one_before_it_is_taken():
    space = Cell(operations="plain", nodes=1, output="loose")
    cell = ((0, "conv_1x1", 0, "conv_3x3", "add"),)  # reads only the cell before the last
    size = Size(cells=1, width=4, stages=3, auxiliary=0.4)
    made = training_plan(space, (cell, cell), Data(), size)
    assert place_of(made) == "cell1_0"  # of cell0_0, reduction1, cell1_0, reduction2, cell2_0
    build(space, (cell, cell), Data(), size)(images())


def test_a_network_without_cells_has_none():
    size = Size(cells=0, width=4, stages=1, auxiliary=0.4)
    for space in SPACES:
        assert place_of(training_plan(space, space.sample(random.Random(0)), Data(), size)) is None
    bare = plan(Plain(), (4,), Data(), size)
    assert training_plan(Plain(), (4,), Data(), size) == bare == with_auxiliary(bare, {}, 5, 0.4)


@every_space
def test_its_gradient_reaches_the_cells_below_and_nothing_else(space):
    for arch in archs(space, 4):
        net = build(space, arch, Data(), replace(SIZE, auxiliary=0.4))
        calls = [each.out for each in net.block.calls]
        below = set(calls[: calls.index("auxiliary") + 1])
        net(images(4))
        ((weight, logits),) = [each.offer() for each in helpers(net)]
        assert (weight, logits.shape) == (0.4, (4, 5))
        logits.square().sum().backward()
        reached = {
            name.split(".")[0] for name, each in net.named_parameters() if each.grad is not None
        }
        assert reached <= below
        assert "auxiliary" in reached
        assert "logits" not in reached
        if "zeros" not in str(plan(space, arch, Data(), SIZE)):
            assert "stem" in reached


def test_logits_are_offered_once_and_only_in_training():
    head = Auxiliary(4, 5, 0.4)
    x = images(channels=4)
    assert head.eval()(x) is x
    assert head.logits is None
    assert head.train()(x) is x
    assert head.offer()[1].shape == (2, 5)
    assert head.logits is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_it_takes_any_size_and_a_batch_of_one(size):
    head = Auxiliary(4, 5, 0.4)
    head(torch.randn(1, 4, size, size))
    assert head.offer()[1].shape == (1, 5)


# ---- no part of the network ----------------------------------------------------------------------


@every_space
def test_outputs_weights_and_cost_are_those_of_the_plain_network(space):
    for arch in archs(space):
        without = build(space, arch, Data(), SIZE, seed=3)
        with_both = build(space, arch, Data(), BOTH, seed=3)
        one, other = without.state_dict(), with_both.state_dict()
        assert list(one) == list(other)
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert params(with_both) == params(without)
        assert plan(space, arch, Data(), BOTH) == plan(space, arch, Data(), SIZE)
        assert cost(plan(space, arch, Data(), BOTH), Data()).params == params(without)
        assert torch.equal(with_both.eval()(images()), without.eval()(images()))


def test_it_is_trained_though():
    net = build(Cell201(), parse("333333"), Data(), BOTH)
    names = {name for name, _ in net.named_parameters()} - set(net.state_dict())
    assert names
    assert {name.split(".")[0] for name in names} == {"auxiliary"}


def test_loading_leaves_it_as_it_is():
    arch = parse("333333")
    plain = build(Cell201(), arch, Data(), SIZE, seed=1)
    net = build(Cell201(), arch, Data(), BOTH, seed=2)
    (head,) = helpers(net)
    before = [each.detach().clone() for each in head.parameters()]
    net.load_state_dict(plain.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(before, head.parameters(), strict=True))
    assert torch.equal(net.eval()(images()), plain.eval()(images()))
    with pytest.raises(RuntimeError, match=r"stem\.0\.weight"):  # the rest is as strict as ever
        net.load_state_dict({k: v for k, v in plain.state_dict().items() if k != "stem.0.weight"})


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("drop_path", 1.0), ("drop_path", -0.1), ("auxiliary", -1.0), ("auxiliary", float("nan"))],
)
def test_a_setting_outside_its_rule_is_refused(name, value):
    with pytest.raises(SettingError, match=f"{name}={value}"):
        Size(**{name: value})


def test_a_bare_size_is_the_same_without_the_helpers():
    assert BOTH.bare() == SIZE == SIZE.bare()
