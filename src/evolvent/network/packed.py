"""Many networks of one shape trained at once: their weights are batched, a step is one for all.

Small networks wait for their calls more than they compute; a batch of them makes as many calls as one.
Each member has its own weights, rows, order, rate, decay, smoothing and dropout, so that it learns what
it would learn alone, but for the rounding of floats.

Source of the idea: horizontally fused training (Wang et al. 2021, HFTA, 2102.02344).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .build import Assembled, function
from .data import Resident
from .plan import FUNCTIONS, Plan
from .tables import DenseLayer
from .train import Hyperparameters, place, rate

#: hyperparameters that each member has for itself
OWN = ("lr", "weight_decay", "label_smoothing")
#: arguments of operations that no shape depends on: of dropout, and of initial weights
SHAPELESS = ("dropout", "scale")
SECOND_BETA, EPSILON = 0.99, 1e-8  # of AdamW, as in `train`


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
    return blocks, replace(hyper, lr=1.0, weight_decay=0.0, label_smoothing=0.0)


def _shaping(args: Sequence[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in args if name not in SHAPELESS)


def takes(net: nn.Module, hyper: Hyperparameters) -> bool:
    """Whether networks like `net` can be trained in a pack, by these hyperparameters."""
    plain = (hyper.optimizer, hyper.precision, hyper.clip, hyper.mixup) == (
        "adamw",
        "float32",
        0,
        0,
    )
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
        """Return what a vector laid as the weights has for some of the members."""
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


class Orders:
    """The order of the rows of every member: a permutation of its own for every pass."""

    def __init__(self, members: Sequence[Member], count: int, batch: int) -> None:
        self.rows = [torch.arange(count) if m.rows is None else m.rows.cpu() for m in members]
        self.batch = min(batch, min(map(len, self.rows)))
        self.per_pass = min(len(rows) // self.batch for rows in self.rows)
        self.generators = [torch.Generator().manual_seed(m.seed) for m in members]
        self.place, self.orders = self.per_pass, [torch.empty(0, dtype=torch.long)] * len(members)

    def next(self) -> Tensor:
        """Return the rows of the next batch of every member [members, B]."""
        if self.place == self.per_pass:
            self.place = 0
            self.orders = [
                rows[torch.randperm(len(rows), generator=generator)]
                for rows, generator in zip(self.rows, self.generators, strict=True)
            ]
        start = self.place * self.batch
        self.place += 1
        return torch.stack([order[start : start + self.batch] for order in self.orders])

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the members."""
        self.rows = [self.rows[place] for place in places]
        self.generators = [self.generators[place] for place in places]
        self.orders = [self.orders[place] for place in places]


class Rates:
    """AdamW with a rate and a decay for every member.

    Where all members have the same, torch's fused step makes one pass over the weights; else a few
    operations on everything take their turn, which is faster for small networks than a call for each
    member, and slower for large ones.

    Args:
        pack: whose weights it changes.
        hyper: what the members have in common.
    """

    def __init__(self, pack: Pack, hyper: Hyperparameters) -> None:
        self.pack, self.hyper, self.steps = pack, hyper, 0
        self.lrs = [member.hyper.lr for member in pack.members]
        self.weight_decays = [member.hyper.weight_decay for member in pack.members]
        self.first, self.second = (torch.zeros_like(pack.flat) for _ in range(2))
        self._lay()

    def _lay(self) -> None:
        self.equal = len({*zip(self.lrs, self.weight_decays, strict=True)}) == 1
        self.rates = self.pack.spread(self.lrs, vectors=self.hyper.bias_rate)
        self.decays = self.pack.spread(self.weight_decays, vectors=0.0)
        if not self.equal:
            return
        matrices, vectors = (
            [w for w in self.pack.weights.values() if (w.ndim > 2) == m] for m in (True, False)
        )
        groups = [
            {"params": matrices, "weight_decay": self.weight_decays[0]},
            {"params": vectors, "weight_decay": 0.0, "factor": self.hyper.bias_rate},
        ]
        betas = (self.hyper.momentum, SECOND_BETA)
        self.fused = torch.optim.AdamW(groups, lr=1.0, betas=betas, eps=EPSILON, fused=True)
        for weight, part in self.pack.laid():
            self.fused.state[weight] = {
                "step": torch.tensor(float(self.steps), device=self.pack.device),
                "exp_avg": self.first[part].view(weight.shape),
                "exp_avg_sq": self.second[part].view(weight.shape),
            }

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Change the weights by their gradients, `factor` times the rates."""
        self.steps += 1
        if self.equal:
            for group in self.fused.param_groups:
                group["lr"] = self.lrs[0] * factor * group.get("factor", 1.0)
            self.fused.step()
            self.fused.zero_grad(set_to_none=True)
            return
        weights = self.pack.weights.values()
        slope = torch.cat([_slope(weight).flatten() for weight in weights])
        flat, rates, beta = self.pack.flat, self.rates * factor, self.hyper.momentum
        flat.mul_(1 - rates * self.decays)
        self.first.lerp_(slope, 1 - beta)
        self.second.mul_(SECOND_BETA).addcmul_(slope, slope, value=1 - SECOND_BETA)
        spread = (self.second.sqrt() / math.sqrt(1 - SECOND_BETA**self.steps)).add_(EPSILON)
        flat.sub_(rates / (1 - beta**self.steps) * self.first / spread)
        for weight in weights:
            weight.grad = None

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the members, also in the pack."""
        self.first, self.second = (
            self.pack.taken(moment, places) for moment in (self.first, self.second)
        )
        self.lrs = [self.lrs[place] for place in places]
        self.weight_decays = [self.weight_decays[place] for place in places]
        self.pack.keep(places)
        self._lay()


def _slope(weight: Tensor) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


class Packing:
    """The training of a pack.

    Args:
        members: of one plan, whose hyperparameters differ in `OWN` alone.
        data: whose rows they learn from, resident.
        epochs: passes over the rows; 0 leaves the networks as they are. [epochs]
    """

    def __init__(self, members: Sequence[Member], data: Resident, *, epochs: float) -> None:
        self.data, self.hyper = data, members[0].hyper
        self.pack = Pack(members, device=data.device)
        self.orders = Orders(members, len(data), self.hyper.batch)
        self.steps = max(1, round(epochs * self.orders.per_pass)) if epochs > 0 else 0
        self.done = 0
        self.rates = Rates(self.pack, self.hyper)
        smoothing = [member.hyper.label_smoothing for member in members]
        self.smoothing = torch.tensor(smoothing, device=data.device)
        self._mean: list[Tensor] = []
        self._averaged = 0  # steps in the mean

    def step(self) -> None:
        """Let every member learn from its next batch."""
        index = self.orders.next()
        x, y = self.data.batch(index.flatten().to(self.data.device))
        shape = (index.shape[0], index.shape[1])
        outputs = self.pack.forward(x.view(*shape, -1))
        torch.autograd.backward(self._losses(outputs, y.view(shape)).sum())
        self.rates.step(rate(self.hyper, (self.done + 0.5) / self.steps))
        self.done += 1
        if self.done > self.steps * (1 - self.hyper.average):
            self._average()

    def _losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of every member [members]."""
        if outputs.ndim == 4:  # the members of a member, each held against the target
            y = y.unsqueeze(2).expand(outputs.shape[:3])
        if self.data.task.loss == "mse":
            return (outputs.squeeze(-1) - y).square().flatten(1).mean(1)
        logs = outputs.log_softmax(-1)
        right = -logs.gather(-1, y.unsqueeze(-1)).flatten(1).mean(1)
        spread = -logs.mean(-1).flatten(1).mean(1)
        return (1 - self.smoothing) * right + self.smoothing * spread

    @torch.no_grad()
    def _average(self) -> None:
        """Add weights and statistics to their mean, in which the n-th of them counts n times."""
        now = [self.pack.flat, *self.pack.buffers.values()]
        self._averaged += 1
        if self._averaged == 1:
            self._mean = [value.clone() for value in now]
        else:
            torch._foreach_lerp_(self._mean, now, 2 / (self._averaged + 1))

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the members; other networks stay as they were unpacked last."""
        chosen = list(places)
        if self._mean:
            flat, *buffers = self._mean
            self._mean = [self.pack.taken(flat, chosen), *(value[chosen] for value in buffers)]
        self.smoothing = self.smoothing[chosen]
        self.rates.keep(chosen)
        self.orders.keep(chosen)

    def unpack(self) -> None:
        """Write what was learnt into the networks of the members: the mean, where there is one."""
        self.pack.unpack(self._mean or None)

    def finite(self) -> list[bool]:
        """Return whether the weights of each member are finite numbers."""
        good = [w.detach().isfinite().flatten(1).all(1) for w in self.pack.weights.values()]
        found: list[bool] = torch.stack(good).all(0).tolist()
        return found


@dataclass(frozen=True)
class Packed:
    """The outcome of a pack.

    Args:
        epochs: that each member was trained, in their order. [epochs]
        finite: whether the weights of each are finite numbers.
        seconds: of the whole pack. [s]
    """

    epochs: tuple[float, ...]
    finite: tuple[bool, ...]
    seconds: float


def train_pack(
    members: Sequence[Member],
    data: Resident,
    *,
    epochs: float,
    looks: Sequence[float] = (),
    losers: Callable[[Sequence[int]], Sequence[int]] = lambda places: (),
) -> Packed:
    """Train networks of one shape at once, in place.

    Args:
        members: of one plan, whose hyperparameters differ in `OWN` alone.
        data: whose rows they learn from.
        epochs: passes over the rows. [epochs]
        looks: shares of the training after which `losers` is asked. [0..1]
        losers: is given the places of the members that are still trained, whose networks have the
            weights of this moment; returns those that stop now and keep these weights.
    """
    start = time.monotonic()
    packing = Packing(members, data, epochs=epochs)
    trained, finite = [0.0] * len(members), [True] * len(members)
    going, asked = list(range(len(members))), sorted(looks)

    def note() -> None:
        for place_, good in zip(going, packing.finite(), strict=True):
            trained[place_] = packing.done / packing.orders.per_pass
            finite[place_] = good

    while packing.done < packing.steps and going:
        packing.step()
        if asked and packing.done >= asked[0] * packing.steps and packing.done < packing.steps:
            asked.pop(0)
            packing.unpack()
            note()
            out = set(losers(tuple(going)))
            if out:
                places = [at for at, place_ in enumerate(going) if place_ not in out]
                going = [going[at] for at in places]
                if going:
                    packing.keep(places)
    if going:
        packing.unpack()
        note()
    return Packed(tuple(trained), tuple(finite), time.monotonic() - start)
