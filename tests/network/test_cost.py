"""Parameters, FLOPs and latency."""

import random

import pytest
import torch
from torch import nn

from evolvent.network.build import Assembled, Size, plan
from evolvent.network.cost import Cost, cost, latency, params
from evolvent.network.plan import Block, Plan, call
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201, parse
from evolvent.space.plain import Plain


class Data:
    """CIFAR-10, as a network sees it."""

    input_shape, outputs = (3, 32, 32), 10


def single(op, **args):
    """The plan of a network of one operation."""
    return Plan((Block("Network", ("x",), "y", (call("y", op, "x", **args),)),))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (
            single("ConvBN", c_in=3, c_out=8, kernel=3),
            Cost(3 * 8 * 9 + 16, 2 * 3 * 8 * 9 * 32 * 32),
        ),
        (
            single("ConvBN", c_in=3, c_out=8, kernel=5, stride=2),
            Cost(3 * 8 * 25 + 16, 2 * 3 * 8 * 25 * 16 * 16),
        ),
        (
            single("DilatedConv", c_in=3, c_out=8, kernel=3),  # a depthwise one is cheap
            Cost(3 * 9 + 3 * 8 + 16, 2 * (3 * 9 + 3 * 8) * 32 * 32),
        ),
        (single("MaxPool", kernel=3), Cost(0, 0)),
    ],
    ids=["conv", "strided", "depthwise", "pool"],
)
def test_one_operation_costs_what_it_does_by_hand(made, expected):
    assert cost(made, Data()) == expected


def test_a_linear_layer_costs_what_it_does_by_hand():
    calls = (
        call("flat", "flatten", "x"),
        call("y", "Linear", "flat", in_features=3072, out_features=10),
    )
    made = Plan((Block("Network", ("x",), "y", calls),))
    assert cost(made, Data()) == Cost(30_730, 2 * 30_720)


def test_the_residual_cell_of_nasbench201_costs_what_is_published():
    """0.559 M parameters and 78.56 M multiply-adds; a row of the table, index 11472."""
    size = Size(cells=5, width=16, stages=3)
    found = cost(plan(Cell201(), parse("303101"), Data(), size), Data())
    assert found.params == 559_386
    assert found.flops == 2 * (78_561_930 - 10)  # ours do not count the classifier's 10 biases


@pytest.mark.parametrize(
    "space",
    [
        Cell(operations="nasnet", nodes=5, combine=("add", "concat"), output="loose"),
        Cell(operations="darts", distinct=True),
        Cell201(),
        Plain(smallest=3, largest=9),
    ],
    ids=["nasnet", "darts", "cell201", "plain"],
)
def test_parameters_are_those_of_the_real_module(space):
    rng = random.Random(0)
    for _ in range(3):
        made = plan(space, space.sample(rng), Data(), Size(cells=1, width=4))
        assert cost(made, Data()).params == params(Assembled(made))


def test_only_trainable_numbers_are_parameters():
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    assert params(net) == 3 * 5 + 5 + 2 * 5
    net[0].requires_grad_(False)
    assert params(net) == 2 * 5


def test_counting_takes_no_memory_and_touches_no_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    huge = plan(Plain(largest=10**6), (20_000,), Data(), Size(stages=3))
    assert cost(huge, Data()).params > 10**11
    assert torch.equal(torch.rand(1), expected)


def test_latency_is_a_time_in_seconds():
    net = Assembled(plan(Plain(), (4,), Data(), Size()))
    assert 0 < latency(net, Data(), repeats=3) < 1
