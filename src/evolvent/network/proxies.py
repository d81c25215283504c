"""Zero-cost proxies: scores of an untrained network from one batch.

Unless stated otherwise they follow Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR
2021 (2101.08134): fresh weights, batch norm with the statistics of the batch, the mean loss of the
batch, sums over the weights of convolutions and linear layers. Higher is better for each.

Most of them mainly measure the size of a network and how well signals pass through it: `params` and
`flops` are proxies too, and any other has to beat them. `jacob_cov` and `nwot` grow with the batch:
compare values of batches of equal size only, better of the same batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..errors import CandidateFailed, unknown
from . import cost

Loss = Callable[[Tensor, Tensor], Tensor]
Proxy = Callable[[nn.Module, Tensor, Tensor, Loss], float]

_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
_RELUS = {
    torch.ops.aten.relu.default,
    torch.ops.aten.relu_.default,
    torch.ops.aten.leaky_relu.default,
    torch.ops.aten.leaky_relu_.default,
}
_K = 1e-5  # keeps the logarithm of jacob_cov's eigenvalues finite; the source's value


def score(
    proxy: str, net: nn.Module, x: Tensor, y: Tensor, *, loss: Loss = F.cross_entropy
) -> float:
    """Return the score of `net` by one proxy; higher is better. The network is not changed.

    Args:
        proxy: a name of `PROXIES`.
        net: with fresh weights, on the device of `x`.
        x: inputs of one batch [B, ...].
        y: their targets [B].
        loss: of outputs and targets, the mean of the batch.

    Returns:
        The score; not finite if the proxy is undefined for this network.

    Raises:
        SettingError: for an unknown proxy.
        CandidateFailed: if the network has none of the layers that the proxy reads.
    """
    if proxy not in PROXIES:
        raise unknown("proxy", proxy, PROXIES)
    scratch = copy.deepcopy(net).train()  # weights, statistics and hooks of `net` stay as they are
    with torch.enable_grad():
        return PROXIES[proxy](scratch, x, y, loss)


# Each function below gets a copy of the network in training mode, and may change it.


def params(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """Trainable parameters. [count] The baseline of all proxies."""
    return float(cost.params(net))


def flops(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """FLOPs of one forward pass of one input, a multiply-add counting as two. [count]"""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net.eval()(x[:1])
    return float(counter.get_total_flops())


def grad_norm(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """Sum over layers of the Euclidean norm of the loss's gradient by the layer's weights."""
    return sum(float(g.norm()) for g in _gradients(net, x, y, loss)[1])


def snip(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """Sum of abs(g w): how much the loss changes if single weights are removed.

    Source: Lee et al., "SNIP", ICLR 2019 (1810.02340): the gradient by a mask of ones on the weights,
    which is g w.
    """
    weights, gradients = _gradients(net, x, y, loss)
    return _total((g * w).abs() for g, w in zip(gradients, weights, strict=True))


def grasp(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """Sum of -(H g) w, H the Hessian of the loss: how much the weights preserve the gradient flow.

    Source: Wang et al., "Picking Winning Tickets Before Training", ICLR 2020 (2002.07376). The sign
    is that of Abdelfattah et al., the opposite of the paper's pruning score; the temperature is 1.
    """
    weights, gradients = _gradients(net, x, y, loss, create_graph=True)
    flow = torch.stack([(g.detach() * g).sum() for g in gradients]).sum()
    if not flow.requires_grad:  # the gradient is constant: no curvature
        return 0.0
    curved = torch.autograd.grad(flow, weights, materialize_grads=True)
    return -_total(h * w for h, w in zip(curved, weights, strict=True))


def fisher(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """Sum over channels of half the mean over the batch of (sum over places of a dL/da) squared.

    Here a are the outputs of convolutions and linear layers: how much the loss changes if a channel
    is removed. Source: Theis et al. 2018 (1801.05787), Turner et al., "BlockSwap", ICLR 2020
    (1906.04113). What differs from Abdelfattah et al.'s code: every channel counts once, not as often
    as its filter has weights.
    """
    kept: list[tuple[nn.Module, Tensor]] = []

    def keep(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        kept.append((layer, output))
        return output.clone()  # an activation in place must not overwrite the kept output

    for layer in net.modules():
        if isinstance(layer, _LAYERS):
            layer.register_forward_hook(keep)
    value = loss(net(x), y)
    outputs = [output for _, output in kept]
    if not outputs:
        raise _nothing("fisher", "convolution or linear layer")
    gradients = torch.autograd.grad(value, outputs, materialize_grads=True)
    total = 0.0
    for (layer, a), g in zip(kept, gradients, strict=True):
        channel = -1 if isinstance(layer, nn.Linear) else 1
        by_channel = (a.detach() * g).movedim(channel, -1)
        by_channel = by_channel.reshape(len(a), -1, by_channel.shape[-1])  # [B, places, C]
        total += 0.5 * float(by_channel.sum(1).square().mean(0).sum())
    return total


def synflow(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """Logarithm of 1 plus the sum of abs(w dR/dw), R the summed outputs for an input of ones.

    All parameters are made positive and normalisation is left out, so that R sums the products of
    weights along every path. Source: Tanaka et al., "Pruning neural networks without any data",
    NeurIPS 2020 (2006.05467). What differs: the logarithm, which keeps the order. In float64, since
    the sum grows by orders of magnitude per layer. The batch gives only its shape.
    """
    net = _without_norms(net).double()
    weights = _weights(net)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point():
                tensor.abs_()
    flow = net(torch.ones(1, *x.shape[1:], dtype=torch.float64, device=x.device)).sum()
    gradients = torch.autograd.grad(flow, weights, materialize_grads=True)
    return math.log1p(_total((g * w).abs() for g, w in zip(gradients, weights, strict=True)))


def jacob_cov(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """Decorrelation of the gradients by different inputs: -sum(log(v + k) + 1 / (v + k)).

    Here v are the eigenvalues of the correlation matrix of the rows d(sum of outputs)/dx, one per
    input, and k = 1e-5. Source: Mellor et al., "Neural Architecture Search without Training", first
    version of 2020 (2006.04647v1). The labels are not used.
    """
    x = x.detach().clone().requires_grad_()
    (rows,) = torch.autograd.grad(net(x).sum(), x, materialize_grads=True)
    correlation = torch.corrcoef(rows.flatten(1).double())
    if not bool(torch.isfinite(correlation).all()):  # a constant row has no correlation
        return math.nan
    v = torch.linalg.eigvalsh(correlation) + _K
    return -float((v.log() + 1 / v).sum())


def nwot(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """Log of abs(det K), K[i, j] the number of ReLUs that treat inputs i and j alike.

    Source: Mellor et al., "Neural Architecture Search without Training", ICML 2021 (2006.04647). Every
    ReLU that runs counts, as a module or as a function. The labels are not used.
    """
    codes = _Codes(len(x))
    with torch.no_grad(), codes:
        net(x)
    if codes.kernel is None:
        raise _nothing("nwot", "ReLU")
    return float(torch.linalg.slogdet(codes.kernel).logabsdet)


#: Every proxy by name.
PROXIES: dict[str, Proxy] = {
    function.__name__: function
    for function in (
        params,
        flops,
        grad_norm,
        snip,
        grasp,
        fisher,
        synflow,
        jacob_cov,
        nwot,
    )
}


class _Codes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the kernel of nwot over every ReLU that runs within the context.

    Args:
        count: inputs of the batch.
    """

    def __init__(self, count: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = count
        self.kernel: Tensor | None = None  # [B, B]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _RELUS and args[0].ndim > 1 and len(args[0]) == self.count:
            on = (args[0] > 0).flatten(1).float()  # [B, units]
            off = 1 - on
            alike = (on @ on.T + off @ off.T).double()
            self.kernel = alike if self.kernel is None else self.kernel + alike
        return func(*args, **(kwargs or {}))


def _weights(net: nn.Module) -> list[Tensor]:
    """Return the trainable weights of convolutions and linear layers."""
    found = {m.weight: None for m in net.modules() if isinstance(m, _LAYERS)}
    weights: list[Tensor] = [weight for weight in found if weight.requires_grad]
    if not weights:
        raise _nothing("this proxy", "convolution or linear layer to train")
    return weights


def _gradients(
    net: nn.Module, x: Tensor, y: Tensor, loss: Loss, *, create_graph: bool = False
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Return the weights and the gradient of the loss by each; zero where it has no influence."""
    weights = _weights(net)
    value = loss(net(x), y)
    return weights, torch.autograd.grad(
        value, weights, create_graph=create_graph, materialize_grads=True
    )


def _without_norms(net: nn.Module) -> nn.Module:
    """Return `net` with every normalisation replaced by the identity."""
    if isinstance(net, _NORMS):
        return nn.Identity()
    for module in net.modules():
        for name, child in module.named_children():
            if isinstance(child, _NORMS):
                setattr(module, name, nn.Identity())
    return net


def _total(parts: Iterable[Tensor]) -> float:
    return sum(float(part.detach().sum()) for part in parts)


def _nothing(proxy: str, what: str) -> CandidateFailed:
    return CandidateFailed(f"{proxy} scores networks that have a {what}; this one has none")
