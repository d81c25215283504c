"""The one training loop: every estimator and the final training call it.

A training is a number of steps with its own full learning-rate schedule: a short run is a short
schedule, never the beginning of a long one. Steps do not synchronise with the host; the loss is read
about twenty times per training, which is also when a NaN is noticed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import CandidateFailed, SettingError
from ..types import State
from .data import Resident
from .losses import LOSSES

LOOKS = 20  # points of a training curve


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of a training; equal for all candidates of a run.

    Args:
        optimizer: ``sgd`` (Nesterov momentum) or ``adamw``.
        lr: peak learning rate; an architecture that carries its own overrides it.
        momentum: of SGD, and the first beta of AdamW.
        weight_decay: on weights of two or more dimensions; biases and norms have none.
        batch: examples per step. [count]
        schedule: ``one-cycle`` (linear up, linear down to 0), ``cosine`` or ``constant``.
        warmup: share of the steps in which the rate rises. [0..1)
        label_smoothing: share of the target spread over all classes, if targets are classes. [0..1)
        clip: largest norm of the gradient; 0 is off.
        augment: whether to change inputs as the task allows.
        shift_from: training length from which images are also shifted and cut out, which makes the
            result of a shorter training worse. [epochs]
        cutout: edge of the square that is blanked in every image; None is the task's own, in a
            training that is long enough (`shift_from`). [pixels]
        precision: ``float32``, or ``bfloat16`` for autocast where the processor is fast at it.
    """

    optimizer: str = "sgd"
    lr: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch: int = 128
    schedule: str = "cosine"
    warmup: float = 0.15
    label_smoothing: float = 0.1
    clip: float = 0.0
    augment: bool = True
    shift_from: float = 15.0
    cutout: int | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name, choices in (
            ("optimizer", ("sgd", "adamw")),
            ("schedule", ("one-cycle", "cosine", "constant")),
            ("precision", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in choices:
                raise SettingError(f"{name}={getattr(self, name)!r}: one of {', '.join(choices)}")
        for name, allowed, rule in (
            ("lr", self.lr > 0 and math.isfinite(self.lr), "above 0"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "at least 0"),
            ("batch", self.batch >= 1, "at least 1"),
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("clip", 0 <= self.clip < math.inf, "at least 0; 0 is off"),
            ("cutout", self.cutout is None or self.cutout >= 0, "at least 0; 0 is off"),
        ):
            if not allowed:
                raise SettingError(f"{name}={getattr(self, name)!r}: {rule}")


@dataclass
class Training:
    """The record of a training.

    Args:
        epochs: passes over the part, as trained. [epochs]
        seconds: wall time. [s]
        curve: (epoch, mean training loss of the network itself since the last point), about twenty
            points.
        cut: whether the deadline ended it before its schedule did.
    """

    epochs: float = 0.0
    seconds: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list)
    cut: bool = False


def train(
    net: nn.Module,
    data: Resident,
    *,
    epochs: float,
    hyper: Hyperparameters,
    seed: int,
    deadline: float | None = None,
) -> Training:
    """Train `net` in place.

    Args:
        net: returns logits or quantities [B, outputs] for inputs [B, *input_shape].
        data: what to learn from.
        epochs: passes over `data`; 0 leaves the network as it is. [epochs]
        hyper: optimiser and schedule.
        seed: of the order and the augmentation.
        deadline: `time.monotonic()` at which to stop wherever the schedule stands. [s]

    Raises:
        CandidateFailed: when the loss is no longer a finite number.
    """
    start = time.monotonic()
    done = Training()
    if not epochs > 0:
        return done
    per_epoch = max(1, len(data) // min(hyper.batch, len(data)))
    steps = max(1, round(epochs * per_epoch))
    shift = epochs >= hyper.shift_from
    trainer = Trainer(net, data, steps=steps, hyper=hyper, seed=seed, shift=shift)
    look, since, total = max(1, steps // LOOKS), 0, torch.zeros((), device=data.device)
    for step in range(1, steps + 1):
        total, since = total + trainer.step(), since + 1
        done.cut = deadline is not None and step < steps and time.monotonic() > deadline
        if since == look or step == steps or done.cut:
            mean = float(total) / since
            if not math.isfinite(mean):
                raise CandidateFailed(
                    f"the training loss became {mean} in epoch {step / per_epoch:.2f}: "
                    "a lower learning rate may help"
                )
            done.curve.append((round(step / per_epoch, 4), round(mean, 5)))
            since, total = 0, torch.zeros_like(total)
        if done.cut:
            break
    done.epochs, done.seconds = step / per_epoch, time.monotonic() - start
    return done


class Trainer:
    """A training in steps: optimiser, schedule and data, each where the last step left them.

    Args:
        net: returns logits [B, outputs] for inputs [B, ...].
        data: what to learn from.
        steps: of the whole schedule. [count, >= 1]
        hyper: optimiser and schedule.
        seed: of the order and the augmentation.
        shift: whether images are also shifted and cut out.
    """

    def __init__(
        self,
        net: nn.Module,
        data: Resident,
        *,
        steps: int,
        hyper: Hyperparameters,
        seed: int,
        shift: bool = False,
    ) -> None:
        net.train()
        place(net, data.device)
        self.net, self.data, self.steps, self.hyper, self.done = net, data, steps, hyper, 0
        self.optimizer = _optimizer(net, hyper)
        self.loss = LOSSES[data.task.loss].mean
        generator = torch.Generator().manual_seed(seed)
        self.batches = data.shuffled(
            hyper.batch, generator, augment=hyper.augment, shift=shift, cutout=hyper.cutout
        )
        self._ahead: tuple[State, tuple[Tensor, Tensor]] | None = None  # a batch taken early
        self._scheduled: list[Any] = [m for m in net.modules() if hasattr(m, "reach")]
        self._helpers: list[Any] = [m for m in net.modules() if hasattr(m, "offer")]

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.hyper.lr * rate(self.hyper, (self.done + 0.5) / self.steps)

    def step(self, forward: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Learn from the next batch and return the mean loss [] of the network itself.

        Args:
            forward: computes the logits in place of the network, with its weights.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        self.done += 1
        for module in self._scheduled:
            module.reach(self.done / self.steps)
        x, y = self._ahead[1] if self._ahead else next(self.batches)
        self._ahead = None
        loss = self.loss_of(forward or self.net, x, y)
        everything = loss
        for helper in self._helpers:
            weight, logits = helper.offer()
            everything = everything + weight * self._smoothed(logits, y)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(everything)
        if self.hyper.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.hyper.clip)
        if not self.optimizer.state and self.hyper.optimizer == "sgd" and self.hyper.momentum:
            # the fused step needs a velocity for all weights or for none, but some may join late
            for group in self.optimizer.param_groups:
                for weight in group["params"]:
                    velocity = torch.zeros_like(weight)
                    self.optimizer.state[weight]["momentum_buffer"] = velocity
        self.optimizer.step()
        return loss.detach()

    def loss_of(self, forward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss [] that a training step lowers."""
        low = self.hyper.precision == "bfloat16"
        with torch.autocast(self.data.device.type, torch.bfloat16, enabled=low):
            logits = forward(x)
        return self._smoothed(logits, y)

    def upcoming(self) -> tuple[Tensor, Tensor]:
        """Return the batch that the next step will learn from."""
        self._ahead = self._ahead or (self.batches.state(), next(self.batches))
        return self._ahead[1]

    def planned(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the change of every weight in the next step, if it had these gradients.

        Args:
            gradients: in the order of the network's parameters; None for an unused parameter.
        """
        groups = {id(p): group for group in self.optimizer.param_groups for p in group["params"]}
        moves: list[Tensor | None] = []
        for weight, gradient in zip(self.net.parameters(), gradients, strict=True):
            if gradient is None or id(weight) not in groups:
                moves.append(None)
                continue
            slope = gradient + groups[id(weight)]["weight_decay"] * weight.detach()
            velocity = self.optimizer.state.get(weight, {}).get("momentum_buffer")
            if velocity is None:
                velocity = torch.zeros_like(slope)
            velocity = self.hyper.momentum * velocity + slope
            moves.append(-self.lr * (slope + self.hyper.momentum * velocity))  # Nesterov's
        return moves

    @property
    def response(self) -> float:
        """Derivative of a weight's `planned` change by its gradient."""
        return -self.lr * (1 + self.hyper.momentum)

    def state(self) -> State:
        """Return the state of the training as arrays, without the weights."""
        batches = self._ahead[0] if self._ahead else self.batches.state()
        state = {f"batches.{name}": value for name, value in batches.items()}
        for name, weight in self.net.named_parameters():
            for what, value in self.optimizer.state.get(weight, {}).items():
                if value is not None:
                    state[f"optimizer.{what}.{name}"] = value.detach().cpu().numpy().copy()
        return state | {"done": np.array(self.done)}

    def restore(self, state: State) -> None:
        """Continue from a `state`; the caller restores the weights."""
        self.done, self._ahead = int(state["done"]), None
        self.batches.restore(_under("batches.", state))
        self.optimizer.state.clear()
        weights = dict(self.net.named_parameters())
        for key, value in _under("optimizer.", state).items():
            what, _, name = key.partition(".")
            tensor = torch.from_numpy(np.array(value)).to(weights[name].device)
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            self.optimizer.state[weights[name]][what] = tensor

    def calm(self, times: int) -> None:
        """Halve the learning rate `times` times, and draw the batches in another order."""
        self.hyper = replace(self.hyper, lr=self.hyper.lr / 2**times)
        self.batches.generator.manual_seed(self.batches.generator.initial_seed() + times)
        self.batches.place, self._ahead = self.batches.per_pass, None

    def _smoothed(self, logits: Tensor, y: Tensor) -> Tensor:
        logits = logits.float() if logits.dtype == torch.bfloat16 else logits
        return self.loss(logits, y, self.hyper.label_smoothing)


def _under(prefix: str, state: State) -> State:
    """Return the entries of `state` under a prefix, with the prefix removed."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def rate(hyper: Hyperparameters, share: float) -> float:
    """Return the factor of the learning rate when `share` of the schedule is over. [0..1]"""
    if hyper.warmup and share < hyper.warmup:
        return share / hyper.warmup
    rest = (share - hyper.warmup) / (1 - hyper.warmup)
    match hyper.schedule:
        case "one-cycle":
            return 1 - rest
        case "cosine":
            return (1 + math.cos(math.pi * rest)) / 2
    return 1.0


def _optimizer(net: nn.Module, hyper: Hyperparameters) -> torch.optim.Optimizer:
    weights = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": hyper.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if hyper.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=hyper.lr, betas=(hyper.momentum, 0.99), fused=True)
    nesterov = hyper.momentum > 0
    return torch.optim.SGD(
        groups, lr=hyper.lr, momentum=hyper.momentum, nesterov=nesterov, fused=True
    )


def place(net: nn.Module, device: str | torch.device) -> None:
    """Move `net` to `device`, its weights channels-last: images are kept in that order too."""
    move: Any = net.to  # torch's type leaves out that both are said at once
    move(device=device, memory_format=torch.channels_last)


def evaluate(net: nn.Module, data: Resident, *, batch: int = 250) -> dict[str, float]:
    """Return the metrics of `net` on the whole of `data`, its mean loss among them.

    Raises:
        CandidateFailed: when the outputs are no longer finite numbers, which argmax would not show.
    """
    net.eval()
    place(net, data.device)
    measure = LOSSES[data.task.loss]
    sums = torch.zeros((), device=data.device)
    with torch.inference_mode():
        for x, y in data.in_order(batch):
            sums = sums + measure.sums(net(x), y)
    found = sums.tolist()
    if not all(map(math.isfinite, found)):
        raise CandidateFailed(
            "the network's outputs are not finite: a lower learning rate may help"
        )
    return measure.metrics(found, len(data), data.task.unit)
