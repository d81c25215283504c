"""What a network costs: parameters, FLOPs, latency.

Parameters and FLOPs are counted on the meta device, without any memory or computation, so that an
oversized candidate can be refused in the coordinator. Auxiliary heads do not count.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .build import Assembled, Data
from .plan import Plan


@dataclass(frozen=True)
class Cost:
    """Size of a network.

    Args:
        params: trainable numbers. [count]
        flops: of one forward pass of one input; a multiply-add counts as two. [count]
    """

    params: int
    flops: int


def cost(plan: Plan, data: Data) -> Cost:
    """Return the size of the network of `plan` on inputs like those of `data`."""
    with torch.device("meta"):
        net = Assembled(plan).eval()
        x = torch.empty(1, *data.input_shape)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(x)
    return Cost(params(net), counter.get_total_flops())


def params(net: nn.Module) -> int:
    """Return the number of trainable numbers of `net`, those that are saved with it. [count]"""
    saved = net.state_dict()
    return sum(p.numel() for name, p in net.named_parameters() if p.requires_grad and name in saved)


def latency(net: nn.Module, data: Data, *, repeats: int = 20) -> float:
    """Return the median time of one forward pass of one input, now and where `net` is. [s]

    Whatever else the machine does is in it: close networks may change places from call to call.
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
    return statistics.median(times[3:])  # the first few find their memory
