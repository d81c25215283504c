"""The mixed recurrent cell: against one written down naively, against stand-alone cells."""

import random

import numpy as np
import pytest
import torch

from evolvent.network import recurrent as fast_cells
from evolvent.network.build import Size, build, plan
from evolvent.network.cost import cost, mixed_cost
from evolvent.network.language import RecurrentCell
from evolvent.network.shared import recurrent as mixed_cells
from evolvent.network.shared.mixture import MixtureWeights
from evolvent.network.shared.recurrent import MixedCell, reading_of
from evolvent.network.shared.supernet import Supernet
from evolvent.space.recurrent import MEMBERS, Recurrent, parse
from evolvent.testing import small_task

TASK = small_task("language")
SIZE = Size(width=6)
SPACES = {
    "all": Recurrent(nodes=4),
    "loose": Recurrent(nodes=4, output="loose"),
    "fewer": Recurrent(nodes=3, activations=("sigmoid", "relu")),
}
ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda value: value,
}


def soft(space, seed=0, holes=0.0):
    """Rows that sum to 1; a share of their entries is exactly 0."""
    rng = np.random.default_rng(seed)
    found = {}
    for group in space.groups():
        row = rng.random((1, len(group.columns))) + 0.1
        row[rng.random(row.shape) < holes] = 0
        found[group.name] = row / max(row.sum(), 1e-9)
    return found


def naive(space, cell, x, state, mixture):
    """Every step, every node, every term of its sum, one by one."""
    outputs = []
    for each in x:
        pre = each @ cell.input + state @ cell.hidden
        states = [highway(pre, state, "tanh")]
        read = set()
        for number, group in enumerate(space.groups()):
            total = torch.zeros_like(state)
            gates, values = mixture.tensors[group.name][0], mixture.row(group.name)
            for gate, value, column in zip(gates, values, group.columns, strict=True):
                name, source = column.split("-")
                below = states[int(source)]
                if value == 0:
                    total = total + gate  # with the gradient of a part of the sum
                else:
                    read.add(int(source))
                    total = total + gate * highway(below @ cell.inner[number], below, name)
            states.append(total)
        read = read if space.output == "loose" else {0}
        state = torch.stack([s for at, s in enumerate(states) if at and at not in read]).mean(0)
        outputs.append(state)
    return torch.stack(outputs)


def highway(pre, below, name):
    gate, value = pre.chunk(2, 1)
    return below + gate.sigmoid() * (ACTIVATIONS[name](value) - below)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("holes", [0.0, 0.5, 1.0])
def test_outputs_and_all_gradients_are_those_of_the_sum_written_down(name, holes):
    space = SPACES[name]
    torch.manual_seed(0)
    like = RecurrentCell(3, " ".join(["tanh-0"] * space.nodes), space.output).double()
    cell = MixedCell(like, space.activations, space.output)
    x = torch.randn(4, 2, 3, dtype=torch.double, requires_grad=True)
    state = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    rows = soft(space, holes=holes)
    mixture = MixtureWeights(rows, dtype=torch.double, gradient=True)
    by = [x, state, *cell.parameters(), *mixture.tensors.values()]
    with cell.at(mixture):
        outputs, last = cell(x, state)
    wanted = naive(space, cell, x, state, mixture)
    torch.testing.assert_close(outputs, wanted, rtol=1e-10, atol=1e-10)
    found = torch.autograd.grad((outputs**2).sum() + last.sin().sum(), by)
    exact = torch.autograd.grad((wanted**2).sum() + wanted[-1].sin().sum(), by, allow_unused=True)
    for one, other in zip(found, exact, strict=True):
        other = torch.zeros_like(one) if other is None else other
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_the_gradient_by_a_softmax_is_that_of_finite_differences():
    space = SPACES["all"]
    torch.manual_seed(0)
    cell = MixedCell(RecurrentCell(3, "tanh-0 " * 4).double(), space.activations, "all")
    x, state = torch.randn(3, 2, 3, dtype=torch.double), torch.zeros(2, 3, dtype=torch.double)
    rows = [torch.tensor(row, requires_grad=True) for row in soft(space).values()]

    def loss(*tensors):
        named = dict(zip(cell.names, tensors, strict=True))
        with cell.at(MixtureWeights.of(named)):
            return cell(x, state)[0].square().sum()

    assert torch.autograd.gradcheck(loss, rows)


@pytest.mark.parametrize(
    ("space", "arch"),
    [
        (Recurrent(), parse(MEMBERS["darts-v2"][0])),
        (Recurrent(nodes=11, output="loose"), parse(MEMBERS["enas"][0])),
        *((space, space.sample(random.Random(3))) for space in SPACES.values()),
    ],
)
@pytest.mark.parametrize("gradient", [False, True])
def test_at_a_one_hot_mixture_it_is_the_stand_alone_network(space, arch, gradient):
    net = Supernet(space, TASK, SIZE, seed=1)
    alone = build(space, arch, TASK, SIZE)
    shared = {name.replace("logits.model", "logits"): v for name, v in net.net.state_dict().items()}
    alone.load_state_dict({name: shared[name] for name in alone.state_dict()})
    x = torch.randint(0, 3, (4, 8))
    mixture = MixtureWeights(space.one_hot(arch), gradient=gradient)
    found, wanted = net(x, mixture), alone(x)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    weights = dict(alone.named_parameters())
    slopes = torch.autograd.grad(wanted.square().mean(), list(weights.values()))
    own = {name.replace("net.logits.model", "logits"): w for name, w in net.named_parameters()}
    ours = torch.autograd.grad(found.square().mean(), [own[name] for name in weights])
    for one, other in zip(ours, slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_what_has_no_weight_is_not_run(monkeypatch):
    space, seen = Recurrent(nodes=3), []
    real = fast_cells.activate

    def counted(name, value):
        seen.append((name, len(value)))
        return real(name, value)

    monkeypatch.setattr(mixed_cells, "activate", counted)
    rows = {group.name: np.zeros((1, len(group.columns))) for group in space.groups()}
    rows["node1"][0, 1] = rows["node2"][0, 6] = 1.0  # relu of node 0, sigmoid of node 1
    rows["node3"][0, [0, 4]] = 0.5  # tanh of nodes 0 and 1
    with torch.no_grad():
        Supernet(space, TASK, SIZE)(torch.zeros(2, 1, dtype=torch.long), MixtureWeights(rows))
    assert seen == [("relu", 1), ("sigmoid", 1), ("tanh", 2)]
    assert reading_of(rows["node2"][0].tolist(), space.activations).sources == (1,)


def test_every_cell_of_a_space_costs_the_same():
    space = SPACES["all"]
    whole = mixed_cost(space, TASK, SIZE)
    for seed in range(3):
        arch = space.sample(random.Random(seed))
        assert cost(plan(space, arch, TASK, SIZE), TASK) == whole.base
    assert not any(rows.any() for rows in (*whole.params.values(), *whole.flops.values()))
