"""Several networks as one: the mean of what they say, their blocks side by side."""

import dataclasses
import random

import pytest
import torch

from evolvent.errors import EvolventError
from evolvent.network.build import Assembled, Size, plan, viewed
from evolvent.network.cost import cost
from evolvent.network.fit import state_of
from evolvent.network.joined import joined, joined_state
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.space.plain import Plain
from evolvent.space.stages import Stages

SIZE = Size(cells=1, width=4, stages=2)
SPACES = (Cell201(), Plain(largest=6), Cell(operations="plain", nodes=3, output="loose"), Cell201())


@pytest.fixture(scope="module")
def plans(toy):
    rng = random.Random(1)
    return [plan(space, space.sample(rng), toy, SIZE) for space in SPACES]


def nets(plans, seed=0):
    torch.manual_seed(seed)
    return [Assembled(each).eval() for each in plans]


def together(plans, members, times, *, classes):
    net = Assembled(joined(plans, times, link="softmax" if classes else "identity")).eval()
    state = joined_state([state_of(each) for each in members])
    net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return net


def test_probabilities_of_classes_are_averaged(toy, plans):
    members, times = nets(plans), (3, 1, 1, 2)
    net, x = together(plans, members, times, classes=True), torch.randn(5, *toy.input_shape)
    with torch.no_grad():
        wanted = sum(t * m(x).softmax(1) for t, m in zip(times, members, strict=True)) / 7
        assert torch.allclose(net(x).softmax(1), wanted, atol=1e-6)


def test_networks_that_are_sure_of_themselves_lose_nothing(toy, plans):
    """The logarithm of a probability that is 0 in float32 is still a number."""
    members = nets(plans[:2])
    with torch.no_grad():
        for each in members:
            for weight in each.parameters():
                weight.mul_(30)
    net, x = together(plans[:2], members, (1, 1), classes=True), torch.randn(5, *toy.input_shape)
    with torch.no_grad():
        assert torch.isfinite(net(x)).all()


def test_quantities_are_averaged_as_they_are(toy, plans):
    members = nets(plans)
    net, x = (
        together(plans, members, (1, 1, 2, 1), classes=False),
        torch.randn(5, *toy.input_shape),
    )
    with torch.no_grad():
        wanted = sum(t * m(x) for t, m in zip((1, 1, 2, 1), members, strict=True)) / 5
        assert torch.allclose(net(x), wanted, atol=1e-6)


def test_a_list_of_one_is_that_network(plans):
    assert joined(plans[:1], [1], link="softmax") == plans[0]
    state = state_of(nets(plans[:1])[0])
    assert joined_state([state]).keys() == state.keys()


def test_sizes_add_up(toy, plans):
    whole = cost(joined(plans, [1] * len(plans), link="softmax"), toy)
    each = [cost(one, toy) for one in plans]
    assert whole.params == sum(one.params for one in each)
    assert whole.flops == sum(one.flops for one in each)


def test_blocks_that_members_have_in_common_are_there_once(plans):
    made = joined([plans[0], plans[1], plans[0]], [1, 1, 1], link="softmax")
    names = [block.name for block in made.blocks]
    assert len(names) == len(set(names))
    calls = [line.op for line in made.network.calls]
    assert calls[0] == calls[2] != calls[1]


def test_different_blocks_of_one_name_get_different_names(plans):
    shared = {block.name for block in plans[0].blocks} & {block.name for block in plans[3].blocks}
    assert shared > {"Network"}
    assert plans[0].block("Cell") != plans[3].block("Cell")
    made = joined([plans[0], plans[2], plans[3]], [1, 1, 1], link="softmax")
    names = [block.name for block in made.blocks]
    assert len(names) == len(set(names))
    assert names[-1] == "Network"


def test_views_stand_once_around_all_members(toy):
    task = dataclasses.replace(toy, augment={"flip": True, "shift": 1, "cutout": 0})
    space, rng, size = Stages.of(toy.facts), random.Random(0), Size(views=6)
    plans = [plan(space, space.sample(rng), task, Size()) for _ in range(2)]
    members = nets(plans)
    whole = viewed(joined(plans, [1, 1], link="softmax"), size, task)
    assert whole.views == 6
    assert [line.op for line in whole.network.calls].count("Views") == 1
    net, x = Assembled(whole).eval(), torch.randn(3, *toy.input_shape)
    state = joined_state([state_of(each) for each in members])
    net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    alone = together(plans, members, (1, 1), classes=True)
    views: torch.nn.Module = net.views  # type: ignore[assignment]
    with torch.no_grad():
        wanted = alone(views(x)).unflatten(0, (6, 3)).mean(0)
        assert torch.allclose(net(x), wanted, atol=1e-5)


def test_nothing_to_average_is_refused():
    with pytest.raises(EvolventError, match="at least one"):
        joined([], [], link="softmax")
