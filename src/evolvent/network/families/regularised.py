"""Add training-only modules (drop-path, auxiliary head) to plans; they are never delivered.

`regularisers.DropPath` follows the branches of cells, `regularisers.Auxiliary` one of the cells.
Outside of training both are the identity. The training loop calls the methods that it finds on a
module: ``reach(share)`` sets the share of the training that is done, ``offer()`` returns further
logits and the weight of their loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..plan import Call, Plan, call


def dropped(calls: list[Call], branch: str, rate: float) -> str:
    """Append a drop-path behind the variable `branch`, if `rate` is above 0; return the variable."""
    if not rate:
        return branch
    calls.append(call(f"{branch}_drop", "DropPath", branch, rate=rate))
    return f"{branch}_drop"


def with_auxiliary(plan: Plan, cells: Mapping[str, int], outputs: int, weight: float) -> Plan:
    """Return `plan` with an auxiliary classifier behind two thirds of its cells.

    Args:
        plan: of a network; unused cells are left out of it.
        cells: the variables that hold the outputs of all cells, in their order -> their channels.
        outputs: of the classifier. [count]
        weight: of its loss; 0 is no classifier.

    The cell is number 2 * count // 3, from 0, as in Liu et al. 2018; if that cell is unused, the
    nearest used one before it. A network without cells stays as it is.
    """
    last = 2 * len(cells) // 3
    read = {each.out for each in plan.network.calls}
    places = [name for place, name in enumerate(cells) if place <= last and name in read]
    if not weight or not places:
        return plan
    source = places[-1]
    passed = call(
        "auxiliary", "Auxiliary", source, c_in=cells[source], outputs=outputs, weight=weight
    )
    calls: list[Call] = []
    for each in plan.network.calls:
        inputs = (
            "auxiliary" if passed in calls and name == source else name for name in each.inputs
        )
        calls.append(replace(each, inputs=tuple(inputs)))
        if each.out == source:
            calls.append(passed)
    return Plan((*plan.blocks[:-1], replace(plan.network, calls=tuple(calls))))
