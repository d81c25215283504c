"""Several networks as one: the plan of their mean, and its weights.

Of one network it is that network, so that whoever builds, counts or exports a list need not ask how
long it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import EvolventError
from ..types import State
from .plan import Block, Call, Plan, call

#: link of a task -> the function that averages, and how it is described
MEANS = {
    "softmax": (
        "mean_of_softmax",
        "The mean of its members: the softmax of the outputs is the mean of theirs.",
    ),
    "sigmoid": (
        "mean_of_sigmoid",
        "The mean of its members: the sigmoid of the outputs is the mean of theirs.",
    ),
    "identity": ("mean", "The mean of its members."),
}


def joined(plans: Sequence[Plan], times: Sequence[int], *, link: str) -> Plan:
    """Return the plan of one network whose output is the mean of several.

    Of classes and labels it averages probabilities, and returns logits with that mean as their softmax
    or sigmoid; of quantities it averages what the networks return. Blocks that several networks
    have in common are there once; different blocks of one name get different names. Parameters are
    called as in their own network, behind ``member1.``, ``member2.`` and so on.

    Args:
        plans: of networks with the same inputs and outputs, without views of an image.
        times: how often each counts in the mean. [count, >= 1]
        link: what turns outputs into answers, as `Task.link` says.

    Raises:
        EvolventError: without a network.
    """
    if not plans:
        raise EvolventError("no network was given to average: give at least one")
    if len(plans) == 1:
        return plans[0]
    blocks: list[Block] = []
    calls: list[Call] = []
    outputs: list[str] = []
    for number, (plan, count) in enumerate(zip(plans, times, strict=True), start=1):
        calls.append(call(_member(number), _added(plan, blocks), "x"))
        outputs += [_member(number)] * count
    op, doc = MEANS[link]
    calls.append(call("averaged", op, *outputs))
    network = Block("Network", ("x",), "averaged", tuple(calls), doc=doc)
    return Plan((*blocks, network))


def joined_state(states: Sequence[State]) -> State:
    """Return the weights of the network of `joined`, from those of its members in their order."""
    if len(states) == 1:
        return dict(states[0])
    return {
        f"{_member(number)}.{name}": value
        for number, state in enumerate(states, start=1)
        for name, value in state.items()
    }


def _member(number: int) -> str:
    return f"member{number}"


def _added(plan: Plan, blocks: list[Block]) -> str:
    """Add the blocks of a network to those that there are; return the name of its own block now."""
    names: dict[str, str] = {}
    for block in plan.blocks:
        wanted = "Member" if block is plan.network else block.name
        added = replace(block, name=wanted, calls=_renamed(block.calls, names))
        same = next((each for each in blocks if replace(each, name=wanted) == added), None)
        if same is None:
            same = replace(added, name=_free(wanted, {each.name for each in blocks}))
            blocks.append(same)
        names[block.name] = same.name
    return names[plan.network.name]


def _renamed(calls: Sequence[Call], names: Mapping[str, str]) -> tuple[Call, ...]:
    return tuple(replace(each, op=names.get(each.op, each.op)) for each in calls)


def _free(wanted: str, taken: set[str]) -> str:
    """Return a name that is not taken, with a number behind it where it has to differ."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
