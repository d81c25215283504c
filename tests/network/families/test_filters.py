"""Networks of filters: convolutions of derived size, names, what is inherited, export."""

import random

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from evolvent.deliver.export import export
from evolvent.estimator.inherit import inherit
from evolvent.network.build import Assembled, Size, build, plan
from evolvent.network.cost import cost
from evolvent.network.fit import state_of
from evolvent.network.operations import FilterMaps
from evolvent.space.filters import IMAGE, Edge, Filters, Genome, Map, genome, kernel

SPACES = {
    "odd": Filters((2, 7, 6), 3),
    "pooled": Filters((1, 9, 10), 3, pool=2, add_map=4.0),
    "tiny images": Filters((1, 1, 2), 3),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
ODD = SPACES["odd"]


class Data:
    """What a network needs to know of a task."""

    outputs = 3

    def __init__(self, space=ODD):
        self.input_shape = space.input_shape


def images(space=ODD, count=4):
    torch.manual_seed(0)
    x = torch.randn(count, *space.input_shape)
    return x.contiguous(memory_format=torch.channels_last)


def made(arch, space=ODD, seed=0):
    return build(space, arch, Data(space), Size(), seed=seed).eval()


def grown(space, steps, seed=0):
    rng = random.Random(seed)
    arch = space.start(rng)
    for _ in range(steps):
        arch = space.mutate(arch, rng).arch
    return arch


def by_hand(space, arch, net, x):
    """The network as the paper draws it: one convolution of torch's for every edge."""
    nodes, edges = space.network(genome(arch))
    modules = dict(net.named_children())
    values = {IMAGE: F.avg_pool2d(x, space.pool)}
    for target, shape in list(nodes.items())[1:]:
        last = target in space.names
        module = modules["outputs" if last else f"map_{target}_{shape.height}x{shape.width}"]
        bias = module.bias.reshape(-1, shape.height, shape.width)
        total = bias[space.names.index(target)] if last else bias[0]
        for source, _ in [ends for ends in edges if ends[1] == target]:
            given = nodes[source]
            size = f"{given.channels}x{given.height}x{given.width}"
            weight = module.kernels[f"{source}_{size}_to_{target}"]
            assert weight.shape[1:] == kernel(given, shape)
            frame = (max(0, shape.height - given.height), max(0, shape.width - given.width))
            total = total + F.conv2d(values[source], weight[None], padding=frame)
        values[target] = total if last else F.leaky_relu(total, 0.005).clamp(max=5.5)
        assert values[target].shape[1:] == tuple(shape._replace(channels=1))
    return torch.cat([values[name].flatten(1) for name in space.names], 1)


# ---- as the paper draws it -----------------------------------------------------------------------


@every_space
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32))
def test_a_network_is_its_convolutions_summed_clipped_and_joined(space, seed):
    arch = grown(space, 30, seed)
    net, x = made(arch, space, seed=seed % 1000), 3 * images(space)
    for weight in net.parameters():
        weight.data += 0.1 * torch.randn_like(weight)  # the biases too
    torch.testing.assert_close(net(x), by_hand(space, arch, net, x), atol=1e-4, rtol=1e-4)


@every_space
def test_two_hundred_moves_stay_buildable(space):
    rng = random.Random(0)
    arch = other = space.start(rng)
    for step in range(200):
        arch = space.mutate(arch, rng).arch
        if step % 10 == 5:
            arch, other = space.crossover(arch, other, rng).arch, arch
        found = plan(space, arch, Data(space), Size())
        if step % 50 == 49:  # a module takes a hundred times as long as its plan
            with torch.device("meta"):
                y = Assembled(found)(torch.empty(2, *space.input_shape))
            assert y.shape == (2, Data.outputs)


@every_space
def test_a_network_costs_what_the_space_says(space):
    arch = grown(space, 12)
    nodes, edges = space.network(genome(arch))
    flops = sum(
        2 * nodes[source].numbers * nodes[target].numbers
        for source, target in edges
        if target not in space.names
    )
    sources = {source for source, target in edges if target in space.names}
    flops += 2 * sum(nodes[source].numbers for source in sources) * Data.outputs
    assert cost(plan(space, arch, Data(space), Size()), Data(space)).flops == flops


def test_the_start_is_a_linear_classifier():
    net, x = made(ODD.start(random.Random(0))), images()
    module = net.get_submodule("outputs")
    rows = [weight.flatten() for weight in module.kernels.values()]
    torch.testing.assert_close(net(x), F.linear(x.flatten(1), torch.stack(rows), module.bias))
    assert len(list(net.children())) == 1


def test_a_map_that_reaches_no_output_is_no_part_of_the_network():
    start = genome(ODD.start(random.Random(0)))
    more = Genome((Map("idle", 0.5, 3, 3),), (*start.edges, Edge(IMAGE, "idle", True)))
    calls = [plan(ODD, genes.plain(), Data(), Size()).network.calls for genes in (start, more)]
    assert calls[0] == calls[1]


# ---- the operation -------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3, 6])
@pytest.mark.parametrize("columns", [2, 5])
@pytest.mark.parametrize("height", [1, 4, 7])
@pytest.mark.parametrize("width", [2, 6])
def test_one_edge_is_a_valid_or_a_full_convolution(rows, columns, height, width):
    x = torch.randn(3, 2, rows, columns)
    module = FilterMaps(f"x_2x{rows}x{columns}>a", height, width, active=False)
    (weight,) = module.kernels.values()
    assert weight.shape == (2, abs(rows - height) + 1, abs(columns - width) + 1)
    frame = (max(0, height - rows), max(0, width - columns))
    expected = F.conv2d(x, weight[None], padding=frame)
    torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=1e-5)
    assert module(x).shape == (3, 1, height, width)


def test_several_targets_read_only_what_is_joined_to_them():
    module = FilterMaps("a_1x3x3>y0 b_1x2x2>y1 a_1x3x3>y2 b_1x2x2>y2", 1, 1, active=False)
    a, b = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 2, 2)
    assert list(module.kernels) == [
        "a_1x3x3_to_y0",
        "b_1x2x2_to_y1",
        "a_1x3x3_to_y2",
        "b_1x2x2_to_y2",
    ]
    before, after = module(a, b), module(a, b + 1)
    changed = (before != after).any(0).flatten().tolist()
    assert changed == [False, True, True]


def test_maps_are_clipped_and_have_no_gradient_above():
    module = FilterMaps("x_1x1x1>a", 1, 1)
    nn.init.ones_(next(iter(module.kernels.values())))
    x = torch.tensor([-2.0, 0.5, 5.4, 5.6, 100.0]).reshape(5, 1, 1, 1).requires_grad_()
    y = module(x)
    assert y.flatten().tolist() == pytest.approx([-0.01, 0.5, 5.4, 5.5, 5.5])
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == pytest.approx([0.005, 1, 1, 0, 0])


def test_kernels_start_with_the_spread_of_all_that_a_pixel_sums():
    """He et al.: variance 2 / fan-in, biases 0."""
    torch.manual_seed(0)
    module = FilterMaps("a_1x40x40>y0 b_1x30x30>y0 a_1x40x40>y1", 1, 1)
    first, second, third = (float(weight.detach().std()) for weight in module.kernels.values())
    assert first == pytest.approx((2 / 2500) ** 0.5, rel=0.06)
    assert second == pytest.approx(first, rel=0.08)
    assert third == pytest.approx((2 / 1600) ** 0.5, rel=0.06)
    assert not module.bias.any()


@every_space
def test_gradients_reach_every_kernel_and_are_finite(space):
    net = made(grown(space, 30), space).train()
    net(images(space)).square().sum().backward()
    for weight in net.parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()


# ---- names and inheritance -----------------------------------------------------------------------


def test_parameters_are_named_by_edges_and_sizes_and_not_by_place():
    genes = Genome(
        (Map("aaa", 0.5, 4, 3),),
        (
            Edge(IMAGE, "aaa", True),
            Edge("aaa", "y0", True),
            *(Edge(IMAGE, f"y{number}", True) for number in range(3)),
        ),
    )
    shapes = {name: tuple(value.shape) for name, value in made(genes.plain()).state_dict().items()}
    assert shapes == {
        "map_aaa_4x3.kernels.x_2x7x6_to_aaa": (2, 4, 4),
        "map_aaa_4x3.bias": (12,),
        "outputs.kernels.aaa_1x4x3_to_y0": (1, 4, 3),
        **{f"outputs.kernels.x_2x7x6_to_y{number}": (2, 7, 6) for number in range(3)},
        "outputs.bias": (3,),
    }


def child_of(parent, arch, space=ODD):
    """A child with its parent's weights where they fit, and the names of those that are fresh."""
    child = made(arch, space, seed=7)
    copied, fresh = inherit(child, [state_of(parent)])
    assert copied
    return child, fresh


@every_space
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32))
def test_where_the_network_stays_the_child_gives_its_parents_outputs(space, seed):
    rng = random.Random(seed)
    arch = grown(space, 25, seed)
    parent, genes = made(arch, space), genome(arch)
    for _ in range(10):
        other = space.mutate(arch, rng).arch
        if space.network(genome(other)) == space.network(genes):
            child, fresh = child_of(parent, other, space)
            assert fresh == []
            assert torch.equal(child(images(space)), parent(images(space)))
    idle = Genome((*genes.maps, Map("idle", 0.5, 3, 2)), (*genes.edges, Edge("x", "idle", True)))
    child, fresh = child_of(parent, idle.plain(), space)
    assert fresh == []
    assert torch.equal(child(images(space)), parent(images(space)))


def test_a_new_edge_that_weighs_nothing_changes_nothing():
    arch, rng = grown(ODD, 20), random.Random(1)
    parent, genes = made(arch), genome(arch)
    new = ODD.mutations["add-edge"](genes, rng)
    assert new is not None
    child, fresh = child_of(parent, new.plain())
    assert len(fresh) <= 1
    for name in fresh:
        child.get_parameter(name).data.zero_()
    torch.testing.assert_close(child(images()), parent(images()))


def test_all_edges_at_a_resized_map_are_fresh_and_no_others():
    """5 - 3 and 5 - 7 have kernels of one shape and two meanings."""
    edges = (
        Edge(IMAGE, "aaa", True),
        Edge("aaa", "bbb", True),
        Edge("bbb", "y0", True),
        Edge(IMAGE, "bbb", True),
        *(Edge(IMAGE, f"y{number}", True) for number in range(3)),
    )
    small = Genome((Map("aaa", 0.3, 5, 5), Map("bbb", 0.5, 4, 4)), edges).plain()
    large = Genome((Map("aaa", 0.3, 5, 5), Map("bbb", 0.5, 6, 6)), edges).plain()
    child, fresh = child_of(made(small), large)
    assert fresh == [
        "map_bbb_6x6.bias",
        "map_bbb_6x6.kernels.aaa_1x5x5_to_bbb",
        "map_bbb_6x6.kernels.x_2x7x6_to_bbb",
        "outputs.kernels.bbb_1x6x6_to_y0",
    ]
    other = Genome((Map("aaa", 0.3, 3, 3), Map("bbb", 0.5, 4, 4)), edges).plain()
    _, fresh = child_of(child, other)
    assert "outputs.kernels.x_2x7x6_to_y0" not in fresh


def test_a_child_of_two_has_the_weights_of_the_fitter_and_what_only_the_other_has():
    base = tuple(Edge(IMAGE, f"y{number}", True) for number in range(3))
    more = Genome(
        (Map("aaa", 0.5, 3, 3),), (*base, Edge(IMAGE, "aaa", True), Edge("aaa", "y1", True))
    ).plain()
    first, second = made(Genome((), base).plain(), seed=1), made(more, seed=2)
    child = made(more, seed=3)
    inherit(child, [state_of(first), state_of(second)])
    state = child.state_dict()
    for name, value in state.items():
        source = first if name in first.state_dict() else second
        assert torch.equal(value, source.state_dict()[name])


# ---- kept and delivered --------------------------------------------------------------------------


def test_the_table_of_places_is_no_weight():
    net = made(grown(ODD, 20))
    assert not any("table" in name for name in net.state_dict())
    assert save(net.state_dict())
    with torch.device("meta"):
        again = Assembled(plan(ODD, grown(ODD, 20), Data(), Size()))
    assert list(again.state_dict()) == list(net.state_dict())


def test_the_exported_network_agrees(toy, tmp_path):
    space = Filters.of(toy.facts, add_map=4.0)
    arch = grown(space, 20)
    net = build(space, arch, toy, Size())
    proof = export(
        tmp_path,
        plan=plan(space, arch, toy, Size()),
        state=state_of(net),
        task=toy,
        title="t",
        provenance="p",
    )
    assert proof["parity_max_abs_diff"] <= 1e-5
