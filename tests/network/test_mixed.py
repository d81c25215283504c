"""The network of every architecture at once: a one-hot mixture is the stand-alone network."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evolvent.errors import SettingError
from evolvent.network.build import Assembled, Size, build, mixed_blocks, plan
from evolvent.network.plan import Call, Mix
from evolvent.network.shared.mixture import MixtureWeights
from evolvent.network.shared.supernet import Supernet
from evolvent.network.shared.weighted import Norm
from evolvent.space.cell import Cell, loose_ends
from evolvent.space.cell201 import Cell201
from evolvent.space.layers import Layers


class Data:
    """What a network needs to know of a task; an odd height and an even width."""

    input_shape, outputs = (2, 9, 6), 3


SPACES: dict[str, Any] = {
    "all": Cell(operations="darts", nodes=3, distinct=True),
    "loose": Cell(operations="enas", nodes=3, output="loose", zero=False),
    "fixed": Cell(operations="plain", nodes=2, reduction="fixed"),
    "fixed-loose": Cell(operations="darts", nodes=3, output="loose", reduction="fixed"),
    "cell201": Cell201(),
    "layers": Layers(depths=(5,), filters=(4,), operations="enas", join="add"),
}
SIZES = {
    "small": Size(cells=1, width=4, stages=2),
    "reductions-only": Size(cells=0, width=4, stages=3),
    "strided": Size(cells=2, width=4, stages=2, stem_stride=2),
}
every_space = pytest.mark.parametrize("name", SPACES)


def samples(space, count, seed=0):
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


def images(count=5):
    torch.manual_seed(1)
    x = torch.randn(count, *Data.input_shape, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last)


def supernet(space, size=SIZES["small"], **options):
    """A supernet in float64 whose norms' scales and offsets are not all 1 and 0."""
    net = Supernet(space, Data(), size, **options).double()
    torch.manual_seed(2)
    with torch.no_grad():
        for norm in net.norms:
            for weight in norm.parameters():
                weight.add_(0.3 * torch.randn_like(weight))
    return net


def one_hot(space, arch):
    return MixtureWeights(space.one_hot(arch), dtype=torch.float64)


# ---- names in the stand-alone network -> names in the supernet -----------------------------------


def cell_name(arch, part, name):
    """``s3_left_conv_1x1`` is the edge that the left branch of node 3 reads."""
    if "_left_" not in name and "_right_" not in name:
        return f"{part}.{name}"
    node, side, operation = name.split("_", 2)
    cell = arch[part.startswith("reduction")]
    state = cell[int(node[1:]) - 2][0 if side == "left" else 2]
    return f"{part}.{node}_s{state}_{operation}"


def layer_name(arch, part):
    """``layer3_in`` is the one before the operation that layer 3 has."""
    layer, _, name = part.partition("_")
    if not name:
        return part
    index = layer.removeprefix("layer")
    return f"mix{index}.{arch[int(index)][0]}{'_in' if name == 'in' else ''}"


def name_of(space, arch, name):
    part, rest = name.split(".", 1)
    if space.family == "cell" and part not in ("stem", "logits"):
        inner, _, rest = rest.partition(".")
        part = cell_name(arch, part, inner)
    elif space.family == "layers" and part.startswith("layer"):
        part = layer_name(arch, part)
    return f"net.{part}.{rest}"


def channels_read(space, arch, name, weight):
    """Which of the channels that `weight` reads in the supernet are loose ends of `arch`."""
    network = mixed_blocks(space, Data(), SIZES["small"])[-1]
    calls = {line.out: line.inputs for line in network.lines if isinstance(line, Call)}
    part, state = name.split(".")[:2]
    before, *last = calls["features" if part == "logits" else part]
    source = last[0] if last and state == "s1" else before
    width = weight.shape[1] // space.nodes
    loose = loose_ends(arch[source.startswith("reduction")])
    return torch.cat([torch.arange(width) + (node - 2) * width for node in loose])


def alone(space, arch, shared, size):
    """The stand-alone network with the weights of the supernet."""
    net, known = build(space, arch, Data(), size).double(), dict(shared.named_parameters())
    copied = set()
    with torch.no_grad():
        for name, weight in net.named_parameters():
            own = name_of(space, arch, name)
            if own in known:
                found = known[own]
                if found.shape != weight.shape:
                    found = found[:, channels_read(space, arch, name, found)]
                weight.copy_(found)
                copied.add(own)
            else:  # of a norm beside a mixture
                norm = net.get_submodule(name.rpartition(".")[0])
                assert isinstance(norm, nn.BatchNorm2d)
                assert torch.equal(weight, torch.full_like(weight, float(name.endswith("weight"))))
    assert {"net.stem.0.weight", "net.logits.weight"} <= copied
    return net


# ---- what a one-hot mixture computes -------------------------------------------------------------


@every_space
def test_a_one_hot_mixture_computes_what_the_stand_alone_network_does(name):
    space, size = SPACES[name], SIZES["small"]
    shared, x = supernet(space), images()
    for arch in samples(space, 6):
        with torch.no_grad():
            one = shared(x, one_hot(space, arch))
            other = alone(space, arch, shared, size).train()(x)
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-11)
        assert one.std(0).min() > 1e-3  # and that is no constant


@pytest.mark.parametrize(
    ("name", "label"),
    [("fixed", "reductions-only"), ("fixed", "strided"), ("layers", "strided")],
)
def test_it_does_so_in_other_sizes(name, label):
    space, size, x = SPACES[name], SIZES[label], images()
    shared = supernet(space, size)
    for arch in samples(space, 3):
        with torch.no_grad():
            one = shared(x, one_hot(space, arch))
            other = alone(space, arch, shared, size).train()(x)
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-11)


@every_space
def test_the_gradient_of_the_weights_is_that_of_the_stand_alone_network(name):
    space, size, x = SPACES[name], SIZES["small"], images()
    shared = supernet(space)
    arch = samples(space, 1)[0]
    net = alone(space, arch, shared, size).train()
    shared(x, one_hot(space, arch)).square().sum().backward()
    net(x).square().sum().backward()
    known = dict(shared.named_parameters())
    for stem in ("stem.0.weight", "stem.1.weight"):
        one, other = known[f"net.{stem}"].grad, net.get_parameter(stem).grad
        assert one is not None
        assert other is not None
        assert torch.allclose(one, other, rtol=1e-7, atol=1e-10)


@every_space
def test_only_what_is_chosen_is_run(name):
    space = SPACES[name]
    shared, ran = supernet(space), set()
    for path, module in shared.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, path=path: ran.add(path))
    arch = samples(space, 1)[0]
    with torch.no_grad():
        shared(images(), one_hot(space, arch))
    own = dict(build(space, arch, Data(), SIZES["small"]).named_parameters())
    # images with some channels left out are read by the weights themselves: no hook sees those
    assert ran <= {name_of(space, arch, each).rpartition(".")[0] for each in own}
    assert "net.stem.0" in ran


# ---- every entry of a mixture counts -------------------------------------------------------------


@every_space
def test_every_entry_of_every_group_is_a_term_and_every_term_an_entry(name):
    space = SPACES[name]
    blocks = mixed_blocks(space, Data(), SIZES["small"])
    mixes = [line for block in blocks for line in block.lines if isinstance(line, Mix)]
    terms = [(term.group, term.row, term.column) for line in mixes for term in line.terms]
    assert sorted(terms) == sorted(
        (group.name, row, column)
        for group in space.groups()
        for row in range(len(group.rows))
        for column in range(len(group.columns))
    )


@every_space
def test_a_rows_label_names_what_its_terms_read(name):
    space = SPACES[name]
    rows = {group.name: group.rows for group in space.groups()}
    for block in mixed_blocks(space, Data(), SIZES["small"]):
        for line in block.lines:
            for term in line.terms if isinstance(line, Mix) else ():
                source, _, reader = rows[term.group][term.row].partition(">")
                if term.group == "operation":
                    assert block.name == f"Layer{source}"
                else:
                    assert term.source.lstrip("snlayer") == source
                    assert reader in (line.out[1:], block.name.removeprefix("Layer"))


def softmax(space, seed=3):
    rng = np.random.default_rng(seed)
    return {
        group.name: rng.dirichlet(np.ones(len(group.columns)), len(group.rows))
        for group in space.groups()
    }


@every_space
def test_a_gradient_by_every_entry_is_the_difference_that_it_makes(name):
    space, x = SPACES[name], images()
    shared, rows = supernet(space), softmax(space)

    def loss(values, gradient=False):
        mixture = MixtureWeights(values, dtype=torch.float64, gradient=gradient)
        return shared(x, mixture).square().sum(), mixture

    total, mixture = loss(rows, gradient=True)
    slopes = torch.autograd.grad(total, list(mixture.tensors.values()))
    rng = random.Random(4)
    for group, slope in zip(space.groups(), slopes, strict=True):
        for _ in range(4):
            at = rng.randrange(len(group.rows)), rng.randrange(len(group.columns))
            sides = []
            for step in (1e-5, -1e-5):
                moved = {key: value.copy() for key, value in rows.items()}
                moved[group.name][at] += step
                with torch.no_grad():
                    sides.append(float(loss(moved)[0]))
            assert float(slope[at]) == pytest.approx(
                (sides[0] - sides[1]) / 2e-5, rel=1e-4, abs=1e-6
            )


def test_the_mixture_of_a_layer_is_a_weighted_sum_of_its_operations_and_skips():
    space = Layers(depths=(2,), filters=(4,), operations="enas", join="add", pools=1)
    shared, rows, x = supernet(space, pool_norm=True), softmax(space), images()

    def part(name):
        return shared.get_submodule(f"net.{name}")

    def layer(index, source, *skips):
        total = sum(weight * skip for weight, skip in skips)
        for column, name in enumerate(space.options["operation"]):
            changed = part(f"mix{index}.{name}_in")(source)
            module = {"avg": "AvgPool_3", "max": "MaxPool_3"}.get(name[:3])
            module = f"{name}_in_{module}" if module else name
            y = part(f"mix{index}.{module}")(changed)
            total = total + rows["operation"][index, column] * y
        return part(f"layer{index}")(total)

    with torch.no_grad():
        first = nn.functional.max_pool2d(layer(0, part("stem")(x)), 3, 2, 1)
        last = layer(1, first, (rows["skip"][0, 1], first))
        logits = part("logits")(last.mean((2, 3)))
        assert torch.allclose(
            shared(x, MixtureWeights(rows, dtype=torch.float64)), logits, atol=1e-11
        )
    norms = [norm.weight is None for norm in part("mix0").modules() if isinstance(norm, Norm)]
    assert all(norms)
    assert len(norms) == 6 + 2 + 2 * 2 + 2  # before each; plain, separable; behind the poolings
    assert part("layer0").weight is not None


# ---- what it is made of --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fixed", "cell201", "layers"])
def test_every_parameter_is_that_of_some_architecture(name):
    space, used = SPACES[name], set()
    with torch.device("meta"):
        known = {each for each, _ in Supernet(space, Data(), SIZES["small"]).named_parameters()}
        for arch in samples(space, 100):
            net = Assembled(plan(space, arch, Data(), SIZES["small"]))
            used |= {name_of(space, arch, each) for each, _ in net.named_parameters()}
    assert known <= used


def test_a_space_without_a_mixture_is_refused():
    for space in (Cell(combine=("add", "concat")), Layers()):
        with pytest.raises(SettingError, match="no network with shared weights"):
            mixed_blocks(space, Data(), SIZES["small"])
