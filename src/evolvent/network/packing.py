"""The training of a pack: orders, rates and decays of every member, one step for all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .data import Resident
from .losses import LOSSES, class_weights
from .packed import Member, Pack
from .strata import balanced
from .train import Hyperparameters, check_targets, rate

SECOND_BETA, EPSILON = 0.99, 1e-8  # of AdamW, as in `train`


class Orders:
    """The order of the rows of every member: a permutation of its own for every pass.

    Args:
        members: of a pack.
        count: of the rows. [count]
        batch: of every member. [count]
        classes: of the rows, of which every batch gets its share [N]; None is no matter.
    """

    def __init__(
        self, members: Sequence[Member], count: int, batch: int, classes: Tensor | None = None
    ) -> None:
        self.classes = classes
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
                self._order(rows[torch.randperm(len(rows), generator=generator)], generator)
                for rows, generator in zip(self.rows, self.generators, strict=True)
            ]
        start = self.place * self.batch
        self.place += 1
        return torch.stack([order[start : start + self.batch] for order in self.orders])

    def _order(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        if self.classes is None:
            return rows
        return balanced(rows, self.classes[rows], self.batch, generator)

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
        check_targets(self.hyper, data.task)
        classes = data.y.cpu() if self.hyper.stratified else None
        self.orders = Orders(members, len(data), self.hyper.batch, classes)
        self.steps = max(1, round(epochs * self.orders.per_pass)) if epochs > 0 else 0
        self.done = 0
        self.rates = Rates(self.pack, self.hyper)
        smoothing = [member.hyper.label_smoothing for member in members]
        self.smoothing = torch.tensor(smoothing, device=data.device)
        self.means, self.classes = self._means(), self._class_weights()
        self._mean: list[Tensor] = []
        self._averaged = 0  # steps in the mean

    def step(self) -> None:
        """Let every member learn from its next batch."""
        index = self.orders.next()
        places = index.flatten().to(self.data.device)
        x, y = self.data.batch(places)
        shape = (index.shape[0], index.shape[1])
        outputs = self.pack.forward(x.view(*shape, -1))
        rows, y = None, y.view(*shape, *y.shape[1:])
        if self.data.weight is not None:
            rows = self.data.weight[places].view(shape).float() / self.means.unsqueeze(1)
        torch.autograd.backward(self._losses(outputs, y, rows).sum())
        self.rates.step(rate(self.hyper, (self.done + 0.5) / self.steps))
        self.done += 1
        if self.done > self.steps * (1 - self.hyper.average):
            self._average()

    def _losses(self, outputs: Tensor, y: Tensor, rows: Tensor | None) -> Tensor:
        """Return the mean loss of every member [members], as `losses` has it for one.

        Args:
            outputs: [members, B, outputs], or [members, B, own members, outputs].
            y: [members, B].
            rows: weight of every row [members, B]; None is 1.
        """
        if outputs.ndim == 4:  # the members of a member, each held against the target
            y = y.unsqueeze(2).expand(*outputs.shape[:3], *y.shape[2:])
            rows = None if rows is None else rows.unsqueeze(2).expand(outputs.shape[:3])
        if y.is_floating_point():
            each = LOSSES[self.data.task.loss].each(outputs, y.reshape(outputs.shape))
            return _mean(each.mean(-1), rows)
        logs = outputs.log_softmax(-1)
        right = -logs.gather(-1, y.unsqueeze(-1)).squeeze(-1)
        if self.classes is None:
            spread = -logs.mean(-1)
            return (1 - self.smoothing) * _mean(right, rows) + self.smoothing * _mean(spread, rows)
        flat = y.flatten(1)
        own = self.classes.gather(1, flat).view(y.shape)
        each = self.classes.view(len(y), *(1,) * (logs.ndim - 2), -1)
        right, spread = own * right, -(each * logs).mean(-1)
        # without weights of rows, torch's mean is over the weights of the classes
        total = 1.0 if rows is not None else own.flatten(1).mean(1)
        mixed = (1 - self.smoothing) * _mean(right, rows) + self.smoothing * _mean(spread, rows)
        return mixed / total

    def _means(self) -> Tensor:
        """Return the mean weight of the rows of every member [members]."""
        weight = self.data.weight
        if weight is None:
            return torch.ones(len(self.orders.rows), device=self.data.device)
        found = [weight[rows.to(weight.device)].mean() for rows in self.orders.rows]
        return torch.stack(found).float()

    def _class_weights(self) -> Tensor | None:
        """Return the weight of every class for every member [members, classes]; None is 1."""
        if self.hyper.class_weight == "none":
            return None
        y, weight = self.data.y.cpu().numpy(), self.data.weight
        rows = None if weight is None else weight.cpu().numpy()
        count = len(self.data.task.classes)
        found = [
            class_weights(y[each], count, None if rows is None else rows[each])
            for each in (places.numpy() for places in self.orders.rows)
        ]
        return torch.stack(found).to(self.data.device)

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
        self.smoothing, self.means = self.smoothing[chosen], self.means[chosen]
        self.classes = None if self.classes is None else self.classes[chosen]
        self.rates.keep(chosen)
        self.orders.keep(chosen)

    def unpack(self) -> None:
        """Write the learnt weights into the networks of the members: their mean, where there is one."""
        self.pack.unpack(self._mean or None)

    def finite(self) -> list[bool]:
        """Return whether the weights of each member are finite numbers."""
        good = [w.detach().isfinite().flatten(1).all(1) for w in self.pack.weights.values()]
        found: list[bool] = torch.stack(good).all(0).tolist()
        return found


def _mean(values: Tensor, rows: Tensor | None) -> Tensor:
    """Return the mean of the values of every member [members], each times the weight of its row."""
    return (values if rows is None else values * rows).flatten(1).mean(1)


@dataclass(frozen=True)
class Packed:
    """The outcome of a pack.

    Args:
        epochs: that each member was trained, in their order. [epochs]
        finite: whether the weights of each are finite numbers.
        seconds: of the whole pack. [s]
        cut: whether a deadline ended it.
    """

    epochs: tuple[float, ...]
    finite: tuple[bool, ...]
    seconds: float
    cut: bool = False


def train_pack(
    members: Sequence[Member],
    data: Resident,
    *,
    epochs: float,
    looks: Sequence[float] = (),
    losers: Callable[[Sequence[int]], Sequence[int]] = lambda places: (),
    deadline: float | None = None,
) -> Packed:
    """Train networks of one shape at once, in place.

    Args:
        members: of one plan, whose hyperparameters differ in `OWN` alone.
        data: whose rows they learn from.
        epochs: passes over the rows. [epochs]
        looks: shares of the training after which `losers` is asked. [0..1]
        losers: is given the places of the members that are still trained, whose networks have the
            weights of this moment; returns those that stop now and keep these weights.
        deadline: `time.monotonic()` at which all stop. [s]
    """
    start = time.monotonic()
    packing = Packing(members, data, epochs=epochs)
    trained, finite = [0.0] * len(members), [True] * len(members)
    going, asked = list(range(len(members))), sorted(looks)

    def note() -> None:
        for place_, good in zip(going, packing.finite(), strict=True):
            trained[place_] = packing.done / packing.orders.per_pass
            finite[place_] = good

    cut = False
    while packing.done < packing.steps and going:
        if deadline is not None and time.monotonic() > deadline:
            cut = True
            break
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
    return Packed(tuple(trained), tuple(finite), time.monotonic() - start, cut)
