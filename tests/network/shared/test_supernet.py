"""The supernet: against one written down naively, against stand-alone networks, and how it runs."""

import random
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.network.shared.naive_supernet import NaiveSupernet
from torch.utils._python_dispatch import TorchDispatchMode

from evolvent.errors import SettingError
from evolvent.network.build import Size, build
from evolvent.network.shared import supernet as supernets
from evolvent.network.shared.mixture import MixtureWeights
from evolvent.network.shared.supernet import Supernet
from evolvent.network.shared.weighted import Norm
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.space.recurrent import Recurrent
from evolvent.testing import small_task

CELL = Cell(nodes=2, distinct=True)
ENAS = Cell(operations="enas", nodes=3, output="loose", zero=False)
SIZE = Size(cells=1, width=4, stages=2)
CASES = [
    pytest.param(CELL, False, id="cell"),
    pytest.param(CELL, True, id="cell-pool-norm"),
    pytest.param(ENAS, False, id="cell-loose"),
    pytest.param(Cell201(), False, id="cell201"),
]
BATCH = 6


class Shapes:
    """What a network needs to know of data."""

    input_shape = (1, 8, 8)
    outputs = 3


def soft(space, seed=0):
    """Rows that sum to 1, nothing of them 0."""
    rng = np.random.default_rng(seed)
    rows = {g.name: rng.random((len(g.rows), len(g.columns))) + 0.1 for g in space.groups()}
    return {name: values / values.sum(1, keepdims=True) for name, values in rows.items()}


def one_hot(space, seed=0):
    return space.one_hot(space.sample(random.Random(seed)))


def edges(space, seed=0):
    """One operation on every edge, as single paths and GDAS have it."""
    rng = np.random.default_rng(seed)
    return {
        g.name: np.eye(len(g.columns))[rng.integers(0, len(g.columns), len(g.rows))]
        for g in space.groups()
    }


KINDS = {"soft": soft, "one-hot": one_hot, "edges": edges}


def images(seed=0, batch=BATCH):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, *Shapes.input_shape, generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last), torch.arange(batch) % Shapes.outputs


def supernet(space, *, size=SIZE, dtype=torch.float64, **settings):
    net = Supernet(space, Shapes(), size, **settings).to(dtype)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def mixed(rows, *, gradient=True, dtype=torch.float64):
    return MixtureWeights(rows, dtype=dtype, gradient=gradient)


def gradients(net, rows, *, size=None):
    """Logits and every gradient of the loss, by name."""
    mixture, (x, y) = mixed(rows), images()
    net.zero_grad(set_to_none=True)
    logits = net(x, mixture)
    F.cross_entropy(logits, y).backward()
    found = {f"mixture.{name}": t.grad for name, t in mixture.tensors.items()}
    return logits.detach(), found | {n: p.grad for n, p in net.named_parameters()}


# ---- against the naive one -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("space", "pool_norm"), CASES)
def test_it_computes_what_the_naive_one_does(space, pool_norm, kind):
    fast = supernet(space, pool_norm=pool_norm)
    naive = NaiveSupernet(space, Shapes(), SIZE, pool_norm=pool_norm).double()
    naive.load_state_dict(fast.state_dict())
    for seed in range(1 if kind == "soft" else 3):
        rows = KINDS[kind](space, seed)
        (logits, slopes), (expected, exact) = gradients(fast, rows), gradients(naive, rows)
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)
        for name, slope in exact.items():
            # what reaches nothing has no gradient at all here, and may have zeros there
            found = slopes[name]
            if found is None:
                assert slope is None or not slope.any(), name
            else:
                torch.testing.assert_close(found, slope, rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("kind", ["soft", "edges"])
@pytest.mark.parametrize("space", [CELL, ENAS, Cell201()], ids=["cell", "cell-loose", "cell201"])
def test_partial_channels_are_those_of_every_edge_written_down(space, kind):
    settings: dict[str, Any] = {"pool_norm": True, "partial": 2}
    fast, naive = supernet(space, **settings), NaiveSupernet(space, Shapes(), SIZE, **settings)
    naive.double().load_state_dict(fast.state_dict())
    rows = KINDS[kind](space)
    (logits, slopes), (expected, exact) = gradients(fast, rows), gradients(naive, rows)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)
    for name, slope in exact.items():
        if slopes[name] is None:
            assert slope is None or not slope.any(), name
        else:
            torch.testing.assert_close(slopes[name], slope, rtol=0, atol=1e-10, msg=name)
    whole = sum(weight.numel() for weight in supernet(space).parameters())
    assert sum(weight.numel() for weight in fast.parameters()) < whole


def test_channels_that_cannot_be_divided_are_refused():
    with pytest.raises(SettingError, match="divisor of the 4 channels"):
        supernet(CELL, partial=3)
    language = small_task("language")
    with pytest.raises(SettingError, match="no channels"):
        Supernet(Recurrent(nodes=2), language, Size(width=4), partial=2)


def test_the_naive_one_has_the_same_first_weights():
    fast, naive = supernet(CELL), NaiveSupernet(CELL, Shapes(), SIZE).double()
    assert fast.state_dict().keys() == naive.state_dict().keys()


@pytest.fixture
def edges_at_once(monkeypatch):
    """Set how many edges are computed as one."""
    return lambda count: monkeypatch.setattr(supernets, "together", lambda x: count)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("space", "pool_norm"), CASES)
def test_equal_operations_run_as_one_and_change_no_number(space, pool_norm, kind, edges_at_once):
    net, found = supernet(space, pool_norm=pool_norm), {}
    for count in (1, 2, 99):
        edges_at_once(count)
        with Calls() as calls:
            found[count] = *gradients(net, KINDS[kind](space)), calls.count("native_batch_norm")
    logits, slopes, norms = found.pop(1)
    for others, other_slopes, fewer in found.values():
        torch.testing.assert_close(others, logits, rtol=0, atol=1e-13)
        for name, slope in slopes.items():
            assert (slope is None) == (other_slopes[name] is None), name
            if slope is not None:
                torch.testing.assert_close(other_slopes[name], slope, rtol=0, atol=1e-13, msg=name)
        assert fewer < norms if kind == "soft" else fewer <= norms


@pytest.mark.parametrize("space", [CELL, Cell201()], ids=["cell", "cell201"])
def test_norms_measure_what_they_see_alone_where_they_run_as_one(space, edges_at_once):
    net, batches, found = supernet(space), [images(seed)[0] for seed in (1, 2)], []
    for count in (1, 99):
        edges_at_once(count)
        mixture = mixed(soft(space))
        with net.calibrated(mixture, batches):
            found.append(net(images(3)[0], mixture))
            sums = [norm.sums for norm in net.norms]
        assert all(number == 2 for _, _, number in sums)
    torch.testing.assert_close(*found, rtol=0, atol=1e-13)


# ---- against stand-alone networks ----------------------------------------------------------------


def standing_alone(space, arch, net, size=SIZE):
    """The network of `arch` with the weights of a supernet, matched by name."""
    alone = build(space, arch, Shapes(), size).double()
    own = net.state_dict()
    for name, weight in alone.named_parameters():
        shared = own.get(f"net.{_shared(space, arch, name)}")
        if shared is None:  # inside cells norms have neither scale nor offset
            assert weight.ndim == 1, name
            continue
        if shared.shape != weight.shape:  # a reader of loose ends: of those channels only
            shared = shared[:, _loose(arch, name, shared.shape[1])]
        weight.data.copy_(shared)
    return alone


def _shared(space, arch, name):
    """The name, in the supernet, of a weight of a stand-alone network."""
    place, _, rest = name.partition(".")
    if space.family != "cell" or ("_left_" not in rest and "_right_" not in rest):
        return name
    node, side, operation = rest.split("_", 2)
    cell = arch[place.startswith("reduction")]
    state = cell[int(node[1:]) - 2][0 if side == "left" else 2]
    return f"{place}.{node}_s{state}_{operation}"


def _loose(arch, name, channels):
    """Channels of a supernet's cell that the stand-alone network's has, for whoever reads it."""
    reads = {"reduction1": 0, "cell1_0": 1, "logits": 0}  # all read what a cell of this kind made
    place = name.partition(".")[0]
    cell = arch[0 if place in ("reduction1",) else reads[place]]
    if place == "logits":
        cell = arch[0]
    if place == "cell1_0" and ".s0." in name:
        cell = arch[0]
    read = {state for node in cell for state in (node[0], node[2])}
    each = channels // len(cell)
    return [
        node * each + c for node in range(len(cell)) if node + 2 not in read for c in range(each)
    ]


@pytest.mark.parametrize("space", [CELL, ENAS, Cell201()], ids=["cell", "cell-loose", "cell201"])
def test_a_one_hot_forward_is_the_stand_alone_network(space):
    net = supernet(space)
    x, _ = images()
    for seed in range(6):
        arch = space.sample(random.Random(seed))
        alone = standing_alone(space, arch, net).train()
        found = net(x, mixed(space.one_hot(arch)))
        torch.testing.assert_close(found, alone(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("space", [CELL, Cell201()], ids=["cell", "cell201"])
def test_measured_statistics_are_those_that_a_stand_alone_network_would_collect(space):
    net, arch = supernet(space), space.sample(random.Random(1))
    alone = standing_alone(space, arch, net)
    batches = [images(seed)[0] for seed in (1, 2, 3)]
    for norm in alone.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None  # the mean over batches
    alone.train()
    with torch.no_grad():
        for x in batches:
            alone(x)
    for norm in alone.modules():
        if isinstance(
            norm, torch.nn.BatchNorm2d
        ):  # torch keeps the unbiased variance, and so do we
            assert norm.num_batches_tracked == 3
    alone.eval()
    mixture, (x, _) = mixed(space.one_hot(arch)), images(7)
    before = net(x, mixture)
    with net.calibrated(mixture, batches):
        torch.testing.assert_close(net(x, mixture), alone(x), rtol=0, atol=1e-10)
        torch.testing.assert_close(net(x[:1], mixture), alone(x[:1]), rtol=0, atol=1e-10)
    assert torch.equal(net(x, mixture), before)


def test_norms_return_to_their_batch_after_an_exception():
    net, mixture = supernet(CELL), mixed(one_hot(CELL))
    with pytest.raises(KeyError), net.calibrated(mixture, [images()[0]]):
        raise KeyError
    with pytest.raises(RuntimeError), net.calibrated(mixture, [images()[0][:, :, :0]]):
        pass
    assert all(norm.mode == "batch" and norm.sums is None for norm in net.norms)
    assert net.norms


# ---- what is not run -----------------------------------------------------------------------------


class Calls(TorchDispatchMode):
    """What torch is asked to compute: operation -> tensors it was given, call by call."""

    def __init__(self):
        super().__init__()
        self.made = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        flat = (*args, *(out if isinstance(out, tuple) else (out,)))
        self.made.setdefault(func.overloadpacket.__name__, []).append((args, flat))
        return out

    def count(self, *names):
        return sum(len(calls) for name, calls in self.made.items() if name in names)

    def normed(self):
        """Channels that went through a batch norm; several norms may be one call."""
        return sum(args[0].shape[1] for args, _ in self.made["native_batch_norm"])


def alone(space, arch):
    with Calls() as calls:
        build(space, arch, Shapes(), SIZE)(images()[0].float())
    return calls


def test_an_operation_of_weight_0_is_not_run_and_learns_nothing():
    net, arch = supernet(Cell201()), ("nor_conv_3x3", "none", "skip_connect", *["none"] * 3)
    arch = (*arch[:5], "nor_conv_1x1")
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    gradients(net, soft(Cell201()))
    optimizer.step()  # now every weight has a momentum
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with Calls() as calls, torch.no_grad():
        net(images()[0], mixed(Cell201().one_hot(arch)))
    products = ("convolution", "mm")  # some convolutions are products of matrices
    assert calls.count(*products) == alone(Cell201(), arch).count(*products)
    _, slopes = gradients(net, Cell201().one_hot(arch))
    optimizer.step()
    used = ("e01_nor_conv_3x3", "e23_nor_conv_1x1")
    for name, value in net.state_dict().items():
        idle = "_nor_conv_" in name and not any(edge in name for edge in used)
        assert (slopes[name] is None) == idle, name
        assert torch.equal(value, before[name]) == idle, name


def test_the_gradient_by_a_weight_of_0_is_that_of_an_added_number():
    space, (x, y) = Cell201(), images()
    net, rows = supernet(space), edges(space, 3)
    mixture = mixed(rows)
    F.cross_entropy(net(x, mixture), y).backward()
    slope = mixture.tensors["cell"].grad
    into_last = slope[3:][rows["cell"][3:] == 0]  # the edges of one node add the same number
    assert into_last.unique().numel() == 1 or into_last.std() < 1e-15
    numbers = slope[:3][rows["cell"][:3] == 0]
    assert numbers.abs().max() > 1e-6  # later norms take a constant out, but not the zero padding


def test_a_node_of_zeros_is_no_failure():
    rows = {"cell": np.eye(5)[[0] * 6]}
    logits, slopes = gradients(supernet(Cell201()), rows)
    assert torch.isfinite(logits).all()
    assert slopes["mixture.cell"].shape == (6, 5)


def test_states_that_nothing_reads_are_not_computed():
    space = Cell(nodes=3, operations="enas", output="loose", zero=False)
    arch = (((0, "sep_conv_3x3", 0, "skip_connect", "add"),) * 3,) * 2
    chain = tuple((n + 1, "sep_conv_3x3", n + 1, "skip_connect", "add") for n in range(3))
    for cells in (arch, (chain, chain)):
        with Calls() as calls, torch.no_grad():
            supernet(space)(images()[0], mixed(space.one_hot(cells)))
        assert calls.normed() == alone(space, cells).normed() > 40


def test_a_gradient_by_the_mixture_alone_computes_none_by_weights():
    net, mixture, (x, y) = supernet(CELL, pool_norm=True), mixed(soft(CELL)), images()
    by = list(mixture.tensors.values())
    asked = {}
    for name, context in (("frozen", net.frozen()), ("learning", nullcontext())):
        with context, Calls() as calls:
            slopes = torch.autograd.grad(F.cross_entropy(net(x, mixture), y), by)
        masks = [args[-1] for args, _ in calls.made["convolution_backward"]]
        asked[name] = any(mask[1] for mask in masks), len(masks) > 10, [s.clone() for s in slopes]
    assert asked["frozen"][:2] == (False, True)
    assert asked["learning"][:2] == (True, True)
    for one, other in zip(asked["frozen"][2], asked["learning"][2], strict=True):
        assert torch.equal(one, other)
    assert all(weight.requires_grad for weight in net.parameters())


# ---- how it runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["soft", "edges"])
@pytest.mark.parametrize(("space", "pool_norm"), CASES)
def test_everything_stays_channels_last(space, pool_norm, kind):
    net = supernet(space, pool_norm=pool_norm, dtype=torch.float32)
    mixture, (x, y) = mixed(KINDS[kind](space), dtype=torch.float32), images()
    x = x.float().contiguous(memory_format=torch.channels_last)
    with Calls() as calls:
        F.cross_entropy(net(x, mixture), y).backward()
    heavy = ["convolution", "convolution_backward", "native_batch_norm"]
    heavy += ["native_batch_norm_backward", "max_pool2d_with_indices", "avg_pool2d"]
    seen = 0
    for name in heavy:
        for _, tensors in calls.made.get(name, []):
            for t in tensors:
                if isinstance(t, torch.Tensor) and t.ndim == 4 and min(t.shape[1:]) > 1:
                    seen += 1
                    assert t.is_contiguous(memory_format=torch.channels_last), (name, t.shape)
    assert seen >= 50


def test_the_same_seed_gives_the_same_network():
    one, other, third = (Supernet(CELL, Shapes(), SIZE, seed=seed) for seed in (1, 1, 2))
    pairs = zip(one.parameters(), other.parameters(), third.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not torch.equal(next(one.parameters()), next(third.parameters()))


def test_norms_inside_cells_have_neither_scale_nor_offset():
    net = Supernet(CELL, Shapes(), SIZE, pool_norm=True)
    affine = {n for n, m in net.named_modules() if isinstance(m, Norm) and m.weight is not None}
    assert affine == {"net.stem.1"}


def test_a_mixture_of_tensors_is_that_of_their_numbers():
    rows, (x, _) = soft(Cell201()), images()
    net = supernet(Cell201())
    tensors = {name: torch.tensor(values) for name, values in rows.items()}
    assert torch.equal(net(x, MixtureWeights.of(tensors)), net(x, mixed(rows)))
    assert not MixtureWeights.of(tensors).differentiable
