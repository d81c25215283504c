"""Many networks of one shape trained at once: their weights are batched, a step is one for all.

Small networks wait for their calls more than they compute; a batch of them makes as many calls as one.
Each member has its own weights, rows, order, rate, decay, smoothing and dropout, so that it learns what
it would learn alone, but for the rounding of floats. `packing` trains them.

Source of the idea: horizontally fused training (Wang et al. 2021, HFTA, 2102.02344).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .build import Assembled, function
from .plan import FUNCTIONS, Plan
from .tables import DenseLayer
from .train import Hyperparameters, place

#: hyperparameters that each member has for itself
OWN = ("lr", "weight_decay", "label_smoothing")
#: arguments of operations that no shape depends on: of dropout, and of initial weights
SHAPELESS = ("dropout", "scale")


@dataclass(frozen=True)
class Member:
    """A network of a pack.

    Args:
        net: with fresh weights, its operations started.
        hyper: of its training; but for `OWN` equal to those of the other members.
        rows: of the data, those that it learns from; None is all. [N]
        seed: of its order.
        random: state of torch's generator after its weights were drawn, from which its dropout goes on.
    """

    net: Assembled
    hyper: Hyperparameters
    rows: Tensor | None
    seed: int
    random: Tensor


def shape_of(plan: Plan, hyper: Hyperparameters) -> tuple[Any, ...]:
    """Return a value that is equal for networks and trainings that can be one pack."""
    blocks = tuple(
        (block.output, tuple((c.out, c.op, c.inputs, _shaping(c.args)) for c in block.calls))
        for block in plan.blocks
    )
    # how long it may be at most is no matter for what is equally long
    return blocks, replace(hyper, lr=1.0, weight_decay=0.0, label_smoothing=0.0, most_epochs=0.0)


def _shaping(args: Sequence[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in args if name not in SHAPELESS)


def takes(net: nn.Module, hyper: Hyperparameters) -> bool:
    """Whether networks like `net` can be trained in a pack, by these hyperparameters."""
    plain = (hyper.optimizer, hyper.precision) == ("adamw", "float32")
    plain = plain and hyper.clip == hyper.mixup == 0
    return plain and all(_known(module) for module in net.children())


def _known(module: nn.Module) -> bool:
    if isinstance(module, Assembled):
        return all(map(_known, module.children()))
    return hasattr(Pack, f"_{type(module).__name__}")


class Pack:
    """Networks of one plan as one, with all numbers that they learn in one vector.

    In it the weights of a name lie together, [members, ...] each, so that a step of the optimizer is a
    few operations on everything.

    Args:
        members: of one plan.
        device: where to train.
    """

    def __init__(self, members: Sequence[Member], *, device: torch.device) -> None:
        self.members, self.device = list(members), device
        nets = [member.net for member in members]
        for net in nets:
            place(net, device)
        self.net = nets[0]
        named = [dict(net.named_parameters()) for net in nets]
        stacked = {name: torch.stack([each[name].detach() for each in named]) for name in named[0]}
        kept = [{n: b for n, b in net.named_buffers() if b.is_floating_point()} for net in nets]
        self.buffers = {n: torch.stack([each[n] for each in kept]) for n in kept[0]}
        self.shared = {n: b for n, b in self.net.named_buffers() if not b.is_floating_point()}
        self.generators = [_generator(member, device) for member in members]
        self._rates: dict[str, list[float]] = {}
        for net in nets:
            for name, module in net.named_modules():
                if isinstance(module, nn.Dropout):
                    self._rates.setdefault(name, []).append(module.p)
        self.training = True
        self._bind(stacked)

    def __len__(self) -> int:
        return len(self.members)

    def _bind(self, stacked: dict[str, Tensor]) -> None:
        """Lay the weights [members, ...] by name in one vector."""
        self.flat = torch.cat([value.flatten() for value in stacked.values()])
        self.weights: dict[str, Tensor] = {}
        at = 0
        for name, value in stacked.items():
            own = self.flat[at : at + value.numel()]
            self.weights[name] = own.view(value.shape).requires_grad_()
            at += value.numel()

    def laid(self) -> list[tuple[Tensor, slice]]:
        """Return the weights, each with its part of the vector."""
        ends = itertools.accumulate(weight.numel() for weight in self.weights.values())
        pairs = zip(self.weights.values(), ends, strict=True)
        return [(weight, slice(end - weight.numel(), end)) for weight, end in pairs]

    def spread(self, values: Sequence[float], *, vectors: float | None = None) -> Tensor:
        """Return a value of every member for each of its numbers, laid as the weights are.

        Args:
            values: one for every member.
            vectors: factor of the values for weights of one dimension; None is 1.
        """
        own = torch.tensor(values, device=self.device)
        found = []
        for weight in self.weights.values():
            factor = vectors if vectors is not None and weight.ndim <= 2 else 1.0
            found.append((factor * own).repeat_interleave(weight[0].numel()))
        return torch.cat(found)

    def taken(self, vector: Tensor, places: Sequence[int]) -> Tensor:
        """Return the part of a vector, laid as the weights, that belongs to some of the members."""
        chosen, laid = list(places), self.laid()
        return torch.cat([vector[part].view(w.shape)[chosen].flatten() for w, part in laid])

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the members."""
        chosen = list(places)
        self.members = [self.members[place] for place in chosen]
        self.generators = [self.generators[place] for place in chosen]
        self._rates = {n: [rates[p] for p in chosen] for n, rates in self._rates.items()}
        self.buffers = {name: value[chosen] for name, value in self.buffers.items()}
        self._bind({name: weight.detach()[chosen] for name, weight in self.weights.items()})

    @torch.no_grad()
    def unpack(self, values: Sequence[Tensor] | None = None) -> None:
        """Write the weights and statistics into the networks of the members.

        Args:
            values: in place of the present ones: the vector, and the buffers in their order.
        """
        flat, *buffers = values or [self.flat, *self.buffers.values()]
        for name, (weight, part) in zip(self.weights, self.laid(), strict=True):
            for member, numbers in zip(self.members, flat[part].view(weight.shape), strict=True):
                member.net.get_parameter(name).copy_(numbers)
        for name, value in zip(self.buffers, buffers, strict=True):
            for member, numbers in zip(self.members, value, strict=True):
                member.net.get_buffer(name).copy_(numbers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs [members, B, outputs] for inputs [members, B, F].

        Networks that have several members of their own return [members, B, own members, outputs].
        """
        return self._assembled(self.net, "", x)

    def _assembled(self, net: Assembled, path: str, *inputs: Tensor) -> Tensor:
        values = dict(zip(net.block.inputs, inputs, strict=True))
        for call in net.block.calls:
            given = [values[name] for name in call.inputs]
            if call.op == "concat":
                values[call.out] = torch.cat(given, -1)
            elif call.op in FUNCTIONS:
                values[call.out] = function(call.op, given)
            else:
                module = net.get_submodule(call.out)
                values[call.out] = self._run(module, f"{path}{call.out}", *given)
        return values[net.block.output]

    def _run(self, module: nn.Module, path: str, *given: Tensor) -> Tensor:
        if isinstance(module, Assembled):
            return self._assembled(module, f"{path}.", *given)
        made: Tensor = getattr(self, f"_{type(module).__name__}")(module, path, *given)
        return made

    # -- operations: [members, B, ...] -> [members, B, ...]; names are those of the classes ----------

    def _Columns(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        return x.index_select(2, self.shared[f"{path}.index"])

    def _StandardScale(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        return (x - self._each(f"{path}.centre")) * self._each(f"{path}.factor")

    def _RobustScale(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        z = self._StandardScale(module, path, x)
        return z / (1 + (z / 3).square()).sqrt()

    def _Ramps(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        behind = x.unsqueeze(3) - self._each(f"{path}.edges")
        ramps: Tensor = behind * self._each(f"{path}.factors")
        return ramps.clamp(0, 1)

    def _QuantileScale(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        normal = self._each(f"{path}.ramps.normal")
        ramps = self._Ramps(module, f"{path}.ramps", x)
        return (ramps * normal.diff()).sum(3) + normal[..., 0]

    def _PiecewiseLinear(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        ramps = self._Ramps(module, f"{path}.ramps", x)
        bent = _by_feature(ramps, 0.1 * self.weights[f"{path}.slopes"])
        line, bias = self._each(f"{path}.line"), self._each(f"{path}.bias")
        return (x.unsqueeze(3) * line + bias + bent).flatten(2)

    def _Periodic(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        frequency, phase = self._each(f"{path}.frequency"), self._each(f"{path}.phase")
        angle = 0.2 * torch.pi * x.unsqueeze(3) * frequency + 0.1 * phase
        mixed = _by_feature(angle.cos(), 0.1 * self.weights[f"{path}.mix"])
        mixed = mixed + 0.1 * self._each(f"{path}.bias")
        return torch.cat([x.unsqueeze(3), mixed], 3).flatten(2)

    def _CategoryEmbedding(self, module: Any, path: str, x: Tensor) -> Tensor:
        found = list(torch.split(x, module.sizes, 2))
        for name in module.tables:
            place_ = int(name.removeprefix("category"))
            found[place_] = torch.bmm(found[place_], self.weights[f"{path}.tables.{name}"])
        return torch.cat(found, 2)

    def _FeatureScale(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        return x * (6 * self._each(f"{path}.scale"))

    def _TangentLinear(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        weight = self.weights[f"{path}.weight"]
        rows, matrices = x.flatten(1, -2), weight.mT / weight.shape[2] ** 0.5
        if f"{path}.bias" in self.weights:
            made = torch.baddbmm(0.1 * self._each(f"{path}.bias"), rows, matrices)
        else:
            made = torch.bmm(rows, matrices)
        return made.view(*x.shape[:-1], -1)

    def _DenseLayer(self, module: DenseLayer, path: str, x: Tensor) -> Tensor:
        y = self._TangentLinear(module, f"{path}.dense", x)
        if isinstance(module.norm, nn.BatchNorm1d):
            y = self._normed(module.norm, f"{path}.norm", y)
        y = self._dropped(f"{path}.dropout", module.active(y))
        return x + y if module.residual else y

    def _MemberScale(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        each = x if x.ndim == 4 else x.unsqueeze(2)
        return each * (0.1 * self._each(f"{path}.scale"))

    def _MemberHeads(self, module: nn.Module, path: str, x: Tensor) -> Tensor:
        weight = self.weights[f"{path}.weight"]
        made = _by_feature(x, weight / weight.shape[2] ** 0.5)
        return made + 0.1 * self._each(f"{path}.bias")

    def _each(self, name: str) -> Tensor:
        """Return the values of every member [members, 1, ...], the same for all of its rows."""
        found = self.weights[name] if name in self.weights else self.buffers[name]
        return found.unsqueeze(1)

    def _normed(self, norm: nn.BatchNorm1d, path: str, y: Tensor) -> Tensor:
        rows = y.flatten(1, -2).transpose(
            0, 1
        )  # [B, members, C]: every member has channels of its own
        made = F.batch_norm(
            rows.flatten(1),
            self.buffers[f"{path}.running_mean"].view(-1),
            self.buffers[f"{path}.running_var"].view(-1),
            self.weights[f"{path}.weight"].flatten(),
            self.weights[f"{path}.bias"].flatten(),
            self.training,
            norm.momentum or 0.0,
            norm.eps,
        )
        return made.view(rows.shape).transpose(0, 1).reshape(y.shape)

    def _dropped(self, path: str, y: Tensor) -> Tensor:
        rates = self._rates[path]
        if not self.training or not any(rates):
            return y
        masks = torch.ones_like(y)
        for mask, p, generator in zip(masks, rates, self.generators, strict=True):
            if p:
                mask.bernoulli_(1 - p, generator=generator).div_(1 - p)
        return y * masks


def _by_feature(x: Tensor, matrices: Tensor) -> Tensor:
    """Return x [members, B, F, n] times a matrix for every member and F [members, F, n, width]."""
    count, rows, features, _ = x.shape
    made = torch.bmm(x.transpose(1, 2).flatten(0, 1), matrices.flatten(0, 1))
    return made.view(count, features, rows, -1).transpose(1, 2)


def _generator(member: Member, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device)
    if device.type == "cpu":
        return generator.set_state(member.random)
    return generator.manual_seed(member.seed)
