"""Costs of a network: parameters, FLOPs, latency.

Parameters and FLOPs are counted on the meta device, without any memory or computation, so that an
oversized candidate can be refused in the coordinator. Auxiliary heads do not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..space import Space, capabilities
from ..types import stream
from .build import Assembled, Data, Size, plan, views_of
from .plan import Plan, Term
from .shared.mixture import MixtureWeights
from .shared.supernet import Supernet
from .shared.weighted import Norm


@dataclass(frozen=True)
class Cost:
    """Size of a network.

    Args:
        params: trainable parameters. [count]
        flops: of one forward pass of one input; a multiply-add counts as two. [count]
    """

    params: int
    flops: int


def cost(made: Plan, data: Data) -> Cost:
    """Return the size of the network of a plan on inputs like those of `data`."""
    with torch.device("meta"):
        net = Assembled(made).eval()
        x = torch.empty(1, *data.input_shape)
    if not getattr(data, "successive", False):
        return Cost(params(net), _flops(net, x))
    first, second = (_flops(net, x[:, :steps]) for steps in (1, 2))  # all further steps are alike
    return Cost(params(net), first + (x.shape[1] - 1) * (second - first))


def params_of(plan: Plan) -> int:
    """Return the trainable parameters of the network of `plan`, without a forward pass. [count]"""
    with torch.device("meta"):
        return params(Assembled(plan))


def params(net: nn.Module) -> int:
    """Return the number of trainable parameters in the state dict of `net`. [count]"""
    saved = net.state_dict()
    return sum(p.numel() for name, p in net.named_parameters() if p.requires_grad and name in saved)


def latency(net: nn.Module, data: Data, *, repeats: int = 20) -> float:
    """Return the median time of a forward pass of one input, measured on the device of `net`. [s]

    Other load on the machine adds to it: similar networks may change their order from call to call.
    """
    net.eval()
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    x = torch.zeros(1, *data.input_shape, device=device)
    x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
    times = []
    with torch.no_grad():
        for _ in range(repeats + 3):
            start = time.perf_counter()
            net(x)
            if device.type == "cuda":  # a pass is only queued there
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    return statistics.median(times[3:])  # the first three passes allocate their memory


@dataclass(frozen=True)
class MixedCost:
    """Costs of the operations of a mixture, each summed over its places in the network.

    Args:
        base: the cost that does not depend on the mixture.
        params: group -> trainable parameters of every operation [rows, columns].
        flops: group -> FLOPs of every operation [rows, columns], for one input.
    """

    base: Cost
    params: dict[str, np.ndarray]
    flops: dict[str, np.ndarray]


def mixed_cost(space: Space, data: Data, size: Size) -> MixedCost:
    """Return the cost of every operation of the mixture of `space` in a network of `size`.

    Convolutions that bring states to a common shape all count, also those that a derived architecture
    does not need: it may be a little smaller than the sum of its rows. Norms count with the scale and
    the offset that they have in the delivered network. Where no operation has weights of its own, as
    in recurrent cells, every architecture costs what any costs.
    """
    with torch.device("meta"):
        net = Supernet(space, data, size).eval()
        x = torch.empty(1, *data.input_shape)

    def size_of(module: nn.Module) -> int:
        norms = [norm for norm in module.modules() if isinstance(norm, Norm)]
        return params(module) + sum(2 * norm.channels for norm in norms if norm.weight is None)

    times = views_of(size, data)  # every view is one pass
    groups = capabilities.mixture(space).groups()
    ones = {g.name: np.ones((len(g.rows), len(g.columns))) for g in groups}
    numbers = {name: np.zeros(rows.shape) for name, rows in ones.items()}
    if not any(True for _ in net.operations()):
        arch = space.sample(stream("cost"))
        return MixedCost(cost(plan(space, arch, data, size), data), numbers, dict(numbers))
    for term, module in net.operations():
        numbers[term.group][term.row, term.column] += size_of(module)
    flops = {name: np.zeros(rows.shape) for name, rows in ones.items()}
    seen: list[tuple[Term, nn.Module, Tensor]] = []
    mixture = MixtureWeights(ones, device="meta")
    mixture.observe = lambda *run: seen.append(run)
    # its matrix products only mix the outputs of poolings: no derived network contains them
    whole = _flops(lambda image: net(image, mixture), x, without={torch.ops.aten.mm})
    known: dict[tuple[Any, ...], int] = {}
    for term, module, read in seen:
        kind = (term.op, term.args, read.shape)
        if kind not in known:
            known[kind] = _flops(module, read)
        flops[term.group][term.row, term.column] += known[kind]
    return MixedCost(
        Cost(
            size_of(net) - int(sum(rows.sum() for rows in numbers.values())),
            times * (whole - int(sum(rows.sum() for rows in flops.values()))),
        ),
        numbers,
        {name: times * rows for name, rows in flops.items()},
    )


def _flops(
    compute: Callable[[Tensor], Any], x: Tensor, without: Iterable[object] = frozenset()
) -> int:
    free: dict[Any, Any] = {op: lambda *shapes, **settings: 0 for op in without}
    counter = FlopCounterMode(display=False, custom_mapping=free)
    with counter, torch.no_grad():
        compute(x)
    return counter.get_total_flops()
