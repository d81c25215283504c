"""The one training loop: every estimator and the final training call it.

A training is a number of steps with its own full learning-rate schedule: a short run is a short
schedule, never the beginning of a long one. Steps do not synchronise with the host; the loss is read
about twenty times per training, which is also when a NaN is noticed.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import CandidateFailed, SettingError
from ..task import Task
from ..types import State
from .data import Resident, Shuffled
from .lazy import WithLazyRows, lazy_tables
from .losses import LOSSES, class_weights, judgement
from .muon import Muon, inner

PACED = 0.02  # of the time that a training has: how often its schedule is held against the clock
MARGIN = 0.97  # of the time that is left: the last steps may be slower than those before
WARM = 7  # steps that find their memory, and tell nothing of how long the others take
LOOKS = 20  # points of a training curve
Kept = tuple[Tensor, Tensor, Tensor | None]  # outputs, targets and weights of a batch of rows
LEAST_STEPS = 1000  # of the longest training that is worth it


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of a training; equal for all candidates of a run.

    Args:
        optimizer: ``sgd`` (Nesterov momentum), ``adamw`` or ``muon`` (filters and hidden matrices by
            Muon, all else by SGD).
        lr: peak learning rate; an architecture that carries its own overrides it.
        momentum: of SGD, and the first beta of AdamW.
        weight_decay: on weights of two or more dimensions; biases and norms have none.
        batch: examples per step. [count]
        schedule: ``one-cycle`` (linear up, linear down to 0), ``cosine`` or ``constant``.
        warmup: share of the steps in which the rate rises. [0..1)
        label_smoothing: share of the target spread over all classes, if targets are classes. [0..1)
        class_weight: ``balanced`` lets all classes together weigh the same in the loss, whatever their
            numbers of rows; probabilities are then those of balanced classes.
        stratified: whether every batch has its share of every class, rare ones as often as they can
            be; by default a run sets it where classes are skewed beyond 10 : 1.
        clip: largest norm of the gradient, sparse ones left out; 0 is off.
        augment: whether to change inputs as the task allows.
        shift_from: training length from which images are also shifted and cut out, which makes the
            result of a shorter training worse. [epochs]
        cutout: edge of the square that is blanked in every image; None is the task's own, in a
            training that is long enough (`shift_from`). [pixels]
        resize: scale of the images in the first 35 % of the steps, the middle between it and 1 in the
            next 30 %; 1 is off. Left off where a network does not take images of any size. (0..1]
        flip: ``random`` mirrors every image at random, ``alternate`` every second time, ``none`` never,
            where the task allows mirroring; None is the task's own.
        shift: largest shift of images in a training that is long enough (`shift_from`); None is the
            task's own. [pixels]
        erase: probability of filling a random rectangle of an image with noise. [0..1]
        mixup: alpha of the Beta distribution by which pairs of examples are mixed; 0 is off. [>= 0]
        average: share of the training, at its end, over which weights are averaged; the mean is
            the result, later steps count more; 0 is off. [0..1]
        longest: the longest training that is worth it, however much longer one is asked for; small
            data are trained for `LEAST_STEPS` steps all the same; 0 has no limit. [epochs]
        most_epochs: the same without that: small data that are soon known by heart are trained no
            longer either; 0 has no limit. [epochs]
        bias_rate: factor of the learning rate of biases and norms. [> 0]
        precision: ``float32``, ``bfloat16`` for autocast, or ``auto``: the faster one, which a run
            measures before its first training (`faster_precision`).
    """

    optimizer: str = "sgd"
    lr: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch: int = 128
    schedule: str = "cosine"
    warmup: float = 0.15
    label_smoothing: float = 0.1
    class_weight: str = "none"
    stratified: bool = False
    clip: float = 0.0
    augment: bool = True
    shift_from: float = 15.0
    cutout: int | None = None
    resize: float = 1.0
    flip: str | None = None
    shift: int | None = None
    erase: float = 0.0
    mixup: float = 0.0
    average: float = 0.0
    longest: float = 0.0
    most_epochs: float = 0.0
    bias_rate: float = 1.0
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name, choices in (
            ("optimizer", ("sgd", "adamw", "muon")),
            ("class_weight", ("none", "balanced")),
            ("flip", (None, "random", "alternate", "none")),
            ("schedule", ("one-cycle", "cosine", "constant")),
            ("precision", ("float32", "bfloat16", "auto")),
        ):
            if getattr(self, name) not in choices:
                raise SettingError(
                    f"{name}={getattr(self, name)!r}: one of {', '.join(map(str, choices))}"
                )
        for name, allowed, rule in (
            ("lr", self.lr > 0 and math.isfinite(self.lr), "above 0"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "at least 0"),
            ("batch", self.batch >= 1, "at least 1"),
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("clip", 0 <= self.clip < math.inf, "at least 0; 0 is off"),
            ("cutout", self.cutout is None or self.cutout >= 0, "at least 0; 0 is off"),
            ("resize", 0 < self.resize <= 1, "above 0 and at most 1; 1 is off"),
            ("shift", self.shift is None or self.shift >= 0, "at least 0; 0 is off"),
            ("erase", 0 <= self.erase <= 1, "in [0, 1]; 0 is off"),
            ("mixup", 0 <= self.mixup < math.inf, "at least 0; 0 is off"),
            ("average", 0 <= self.average <= 1, "in [0, 1]; 0 is off"),
            ("longest", 0 <= self.longest < math.inf, "at least 0; 0 has no limit"),
            ("most_epochs", 0 <= self.most_epochs < math.inf, "at least 0; 0 has no limit"),
            ("bias_rate", 0 < self.bias_rate < math.inf, "above 0"),
        ):
            if not allowed:
                raise SettingError(f"{name}={getattr(self, name)!r}: {rule}")


def worth_it(hyper: Hyperparameters, epochs: float, examples: int) -> float:
    """Return the part of a training of so many examples that is worth it. [epochs]

    That is up to `longest`, in which small data have `LEAST_STEPS` all the same, and `most_epochs`.
    """
    if hyper.longest:
        steps = max(1, examples // min(hyper.batch, examples))
        epochs = min(epochs, max(hyper.longest, LEAST_STEPS / steps))
    return min(epochs, hyper.most_epochs) if hyper.most_epochs else epochs


def check_targets(hyper: Hyperparameters, task: Task) -> None:
    """Refuse hyperparameters that are for classes alone, where the target is a quantity.

    Raises:
        SettingError: saying so.
    """
    for said, given in (
        ("class_weight=balanced", hyper.class_weight != "none"),
        ("stratified=true", hyper.stratified),
    ):
        if given and not task.classes:
            what = "a row may have several labels" if task.labels else "the target is a quantity"
            raise SettingError(f"{said} is for classes: {what}")


@dataclass
class Training:
    """The record of a training.

    Args:
        epochs: passes over the part, as trained. [epochs]
        seconds: wall time. [s]
        curve: (epoch, mean training loss of the network itself since the last point), about twenty
            points.
        cut: whether the deadline ended it before its schedule did.
        shortened: whether its schedule was shortened, so that it came to its end by the deadline.
        resized: whether images were smaller at the beginning; False also where `resize` was left off
            because the network does not take images of any size.
    """

    epochs: float = 0.0
    seconds: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list)
    cut: bool = False
    shortened: bool = False
    resized: bool = False


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
        deadline: `time.monotonic()` at which to stop wherever the schedule stands. Where steps turn
            out to take too long for it, what is left of the schedule is shortened, so that it still
            comes to its end. [s]

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
    step, warm, paced = 0, start, start
    while step < trainer.steps:
        total, since, step = total + trainer.step(), since + 1, step + 1
        if deadline is not None and step < trainer.steps:
            now = time.monotonic()
            done.cut = now > deadline
            if step == WARM:
                warm = now
            elif step > WARM and not done.cut and now - paced > PACED * (deadline - start):
                trainer.pace(now - warm, step - WARM, deadline - now)
                paced = now
        if since >= look or step == trainer.steps or done.cut:
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
    trainer.finish()
    done.resized, done.shortened = trainer.resizes, trainer.steps < steps
    done.epochs, done.seconds = step / per_epoch, time.monotonic() - start
    return done


class Trainer:
    """A training in steps: optimiser, schedule and data, each where the last step left them.

    Args:
        net: returns logits [B, outputs] for inputs [B, ...], or those of several members
            [B, members, outputs], whose mean loss is lowered.
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
        if hyper.precision == "auto":
            raise SettingError(
                "precision='auto' stands for the faster one, which faster_precision measures: give "
                "float32 or bfloat16"
            )
        check_targets(hyper, data.task)
        if hyper.mixup and data.task.texts:
            raise SettingError(
                f"mixup={hyper.mixup:g} mixes inputs, and the words of texts cannot be mixed: leave it "
                "out, or the columns of texts with --ignore"
            )
        net.train()
        place(net, data.device)
        self.net, self.data, self.steps, self.hyper, self.done = net, data, steps, hyper, 0
        self.whole = steps  # of which `pace` may leave some out
        self.optimizer = _optimizer(net, hyper)
        lazy = {id(weight) for weight in lazy_tables(net)}
        self._dense = [weight for weight in net.parameters() if id(weight) not in lazy]
        self.loss = self._loss()
        generator = torch.Generator().manual_seed(seed)
        self.batches = data.shuffled(
            hyper.batch,
            generator,
            augment=hyper.augment,
            shift=shift,
            cutout=hyper.cutout,
            flip=hyper.flip,
            pixels=hyper.shift if shift else 0,
            erase=hyper.erase,
            stratified=hyper.stratified,
        )
        images = len(data.task.input_shape) == 3
        #: whether images are smaller at the beginning
        self.resizes = hyper.resize < 1 and images and getattr(net, "any_size", False)
        self._mean: dict[str, Tensor] = {}  # of the weights and statistics, by `average`
        self._averaged = 0  # steps in it
        self._carrying = carriers(net)
        _begin(self._carrying)
        self._ahead: tuple[State, tuple[Tensor, Tensor]] | None = None  # a batch taken early
        self._scheduled: list[Any] = [m for m in net.modules() if hasattr(m, "reach")]
        self._helpers: list[Any] = [m for m in net.modules() if hasattr(m, "offer")]

    def _loss(self) -> Callable[..., Tensor]:
        """Return the loss of a batch, with the weights of its classes."""
        task, mean = self.data.task, LOSSES[self.data.task.loss].mean
        if self.hyper.class_weight == "none":
            return mean
        rows = None if self.data.weight is None else self.data.weight.cpu().numpy()
        weight = class_weights(self.data.y.cpu().numpy(), len(task.classes), rows)
        return partial(mean, weight=weight.to(self.data.device))

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
            group["lr"] = self.lr * group.get("factor", 1.0)
        self.done += 1
        for module in self._scheduled:
            module.reach(self.done / self.steps)
        x, y = self._ahead[1] if self._ahead else next(self.batches)
        self._ahead = None
        if self.batches.place == 1:  # of a pass, which begins somewhere else
            _begin(self._carrying)
        if self.resizes:
            x = smaller(x, scale_at(self.hyper.resize, (self.done - 1) / self.steps))
        loss = self._mixed_loss(forward or self.net, x, y)
        everything = loss
        for helper in self._helpers:
            weight, logits = helper.offer()
            everything = everything + weight * self._smoothed(logits, y, self.batches.weights)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(everything)
        if self.hyper.clip:
            nn.utils.clip_grad_norm_(self._dense, self.hyper.clip)
        if not self.optimizer.state and self.hyper.optimizer == "sgd" and self.hyper.momentum:
            # the fused step needs a velocity for all weights or for none, but some may join late
            for group in self.optimizer.param_groups:
                for weight in group["params"]:
                    velocity = torch.zeros_like(weight)
                    self.optimizer.state[weight]["momentum_buffer"] = velocity
        self.optimizer.step()
        if self.done > self.steps * (1 - self.hyper.average):
            self._average()
        return loss.detach()

    def finish(self) -> None:
        """Put the averaged weights and statistics into the network, where there are any."""
        for module in self._carrying:
            module.carrying, module.carried = False, module.carried[:0]
        if self._averaged:
            self.net.load_state_dict(self._mean, strict=False)

    @torch.no_grad()
    def _average(self) -> None:
        """Add the weights to their mean, in which the n-th of them counts n times.

        Statistics of batch norm are averaged like weights: they belong to the same steps.
        """
        now = {k: v for k, v in self.net.state_dict().items() if v.is_floating_point()}
        self._averaged += 1
        if self._averaged == 1:
            self._mean = {name: value.clone() for name, value in now.items()}
            return
        means = [self._mean[name] for name in now]
        torch._foreach_lerp_(means, list(now.values()), 2 / (self._averaged + 1))

    def _mixed_loss(self, forward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Return `loss_of`, of pairs of examples that are mixed if `mixup` says so."""
        if not self.hyper.mixup or not x.is_floating_point():
            return self.loss_of(forward, x, y)
        drawn = int(torch.randint(2**31, (), generator=self.batches.generator))
        share = float(np.random.default_rng(drawn).beta(self.hyper.mixup, self.hyper.mixup))
        x = share * x + (1 - share) * x.flip(0)  # the order is random: any pairs are
        if not y.is_floating_point():  # classes: the loss is linear in soft targets
            logits, rows = self._logits(forward, x), self.batches.weights
            other = self._smoothed(logits, y.flip(0), None if rows is None else rows.flip(0))
            return share * self._smoothed(logits, y, rows) + (1 - share) * other
        rows = self.batches.weights
        mixed = None if rows is None else share * rows + (1 - share) * rows.flip(0)
        y = share * y + (1 - share) * y.flip(0)
        return self._smoothed(self._logits(forward, x), y, mixed)

    def pace(self, spent: float, steps: int, left: float) -> None:
        """Leave out steps that would not be done in time; the schedule comes to its end all the same.

        What was left out comes back where later steps are faster.

        Args:
            spent: on the last steps. [s]
            steps: how many these were. [count]
            left: for the steps ahead. [s]
        """
        share, resize = self.done / self.steps, self.hyper.resize if self.resizes else 1.0
        first = max(0.0, (self.done - steps) / self.steps)
        behind = (area_until(resize, share) - area_until(resize, first)) / (share - first)
        ahead = (mean_area(resize) - area_until(resize, share)) / (1 - share)  # larger images
        each = spent / steps * ahead / behind
        rest = min(self.whole - self.done, math.floor(MARGIN * left / max(each, 1e-9)))
        self.steps = self.done + max(1, rest)

    @contextlib.contextmanager
    def looking_ahead(self) -> Iterator[None]:
        """Within the context, the network sees the `upcoming` batch and keeps no state of it."""
        before = [module.carried for module in self._carrying]
        if self.batches.place == 1:
            _begin(self._carrying)
        try:
            yield
        finally:
            for module, carried in zip(self._carrying, before, strict=True):
                module.carried = carried

    def loss_of(self, forward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss [] that a training step lowers."""
        return self._smoothed(self._logits(forward, x), y, self.batches.weights)

    def _logits(self, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        low = self.hyper.precision == "bfloat16"
        with torch.autocast(self.data.device.type, torch.bfloat16, enabled=low):
            return forward(x)

    def upcoming(self) -> tuple[Tensor, Tensor]:
        """Return the batch that the next step will learn from."""
        self._ahead = self._ahead or (self.batches.state(), next(self.batches))
        return self._ahead[1]

    def planned(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the change of every weight in the next step, if it had these gradients.

        Args:
            gradients: in the order of the network's parameters; None for an unused parameter.

        Raises:
            SettingError: for an optimiser whose step is not linear in the gradients.
        """
        if self.hyper.optimizer == "muon":
            raise SettingError(
                "optimizer='muon': the change of a weight is not linear in its gradient, which "
                "unrolled steps need: use sgd"
            )
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
        for name, value in self._mean.items():
            state[f"average.{name}"] = value.detach().cpu().numpy().copy()
        if self._averaged:
            state["averaged"] = np.array(self._averaged)
        for number, module in enumerate(self._carrying):
            state[f"carried.{number}"] = module.carried.cpu().numpy().copy()
        return state | {"done": np.array(self.done)}

    def restore(self, state: State) -> None:
        """Continue from a `state`; the caller restores the weights."""
        self.done, self._ahead = int(state["done"]), None
        self.batches.restore(_under("batches.", state))
        self._averaged = int(state.get("averaged", 0))
        self._mean = {
            name: torch.from_numpy(np.array(value)).to(self.data.device)
            for name, value in _under("average.", state).items()
        }
        for number, module in enumerate(self._carrying):
            carried = torch.from_numpy(np.array(state[f"carried.{number}"]))
            module.carrying, module.carried = True, carried.to(self.data.device)
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

    def _smoothed(self, logits: Tensor, y: Tensor, rows: Tensor | None) -> Tensor:
        logits = logits.float() if logits.dtype == torch.bfloat16 else logits
        # [B, members, outputs], each of which is held against the target; not [B, tokens, outputs]
        if logits.ndim == 3 and (y.ndim == 1 or y.is_floating_point()):
            y = y.repeat_interleave(logits.shape[1], 0)
            rows = None if rows is None else rows.repeat_interleave(logits.shape[1])
            logits = logits.flatten(0, 1)
        return self.loss(logits, y, self.hyper.label_smoothing, rows=rows)


def carriers(net: nn.Module) -> list[Any]:
    """Return the modules that may carry a state from batch to batch.

    Such a module has ``carrying``, whether it does, and ``carried``, the state of every row [B, ...],
    empty at the beginning.
    """
    return [module for module in net.modules() if hasattr(module, "carried")]


def _begin(modules: Sequence[Any]) -> None:
    """Let modules carry their state from here on."""
    for module in modules:
        module.carrying, module.carried = True, module.carried[:0]


@contextlib.contextmanager
def carrying(net: nn.Module) -> Iterator[None]:
    """Let a network carry its state from batch to batch; afterwards it is as it was before."""
    modules = carriers(net)
    before = [(module.carrying, module.carried) for module in modules]
    _begin(modules)
    try:
        yield
    finally:
        for module, kept in zip(modules, before, strict=True):
            module.carrying, module.carried = kept


class Carry:
    """The states of a network along one stream of batches, apart from those along others.

    Args:
        net: whose modules may carry a state.
        batches: the stream; where a pass begins, so does the state. None is one that begins now.
    """

    def __init__(self, net: nn.Module, batches: Shuffled | None = None) -> None:
        self.modules, self.batches = carriers(net), batches
        self.kept: list[Tensor] = [module.carried[:0] for module in self.modules]

    @contextlib.contextmanager
    def along(self) -> Iterator[None]:
        """Within the context, the network sees one batch, with the state of the one before it."""
        before = [(module.carrying, module.carried) for module in self.modules]
        if self.batches is not None and self.batches.place == 1:  # the first of a pass was taken
            self.kept = [kept[:0] for kept in self.kept]
        for module, kept in zip(self.modules, self.kept, strict=True):
            module.carrying, module.carried = True, kept
        try:
            yield
        finally:
            self.kept = [module.carried for module in self.modules]
            for module, (carrying, carried) in zip(self.modules, before, strict=True):
                module.carrying, module.carried = carrying, carried

    def state(self) -> State:
        """Return the carried states as arrays."""
        return {str(at): kept.cpu().numpy().copy() for at, kept in enumerate(self.kept)}

    def restore(self, state: State) -> None:
        """Continue from a `state`."""
        for at, module in enumerate(self.modules):
            self.kept[at] = torch.from_numpy(np.array(state[str(at)])).to(module.carried.device)


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
    """Return the optimiser of a training; tables with sparse gradients learn by lazy Adam."""
    tables = lazy_tables(net)
    rest = _dense_optimizer(net, hyper, without={id(table) for table in tables})
    if not tables:
        return rest
    return WithLazyRows(rest, tables, lr=hyper.lr, weight_decay=hyper.weight_decay)


def _dense_optimizer(
    net: nn.Module, hyper: Hyperparameters, without: set[int]
) -> torch.optim.Optimizer:
    trained = [p for p in net.parameters() if p.requires_grad and id(p) not in without]
    weights = [p for p in trained if p.ndim > 1]
    others = [p for p in trained if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": hyper.weight_decay},
        {"params": others, "weight_decay": 0.0, "factor": hyper.bias_rate},
    ]
    if hyper.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=hyper.lr, betas=(hyper.momentum, 0.99), fused=True)
    if hyper.optimizer == "muon":
        within = inner(net)
        hidden = [p for p in weights if id(p) in within]
        groups[0]["params"] = [p for p in weights if id(p) not in within]
        groups.append({"params": hidden, "weight_decay": hyper.weight_decay, "orthogonal": True})
        dtype = torch.bfloat16 if hyper.precision == "bfloat16" else torch.float32
        return Muon(groups, lr=hyper.lr, momentum=hyper.momentum, dtype=dtype)
    nesterov = hyper.momentum > 0
    return torch.optim.SGD(
        groups, lr=hyper.lr, momentum=hyper.momentum, nesterov=nesterov, fused=True
    )


def scale_at(resize: float, share: float) -> float:
    """Return the scale of the images when `share` of the steps is over. [0..1]"""
    if share < 0.35:
        return resize
    return (1 + resize) / 2 if share < 0.65 else 1.0


def mean_area(resize: float) -> float:
    """Return the mean area of the images of a training that begins with scale `resize`. [share]"""
    return area_until(resize, 1.0)


def area_until(resize: float, share: float) -> float:
    """Return the sum of the areas of its images until a share of its steps is over. [share of all]"""
    spans = ((0.0, 0.35), (0.35, 0.65), (0.65, 1.0))
    return sum(
        max(0.0, min(share, end) - start) * scale_at(resize, start) ** 2 for start, end in spans
    )


def smaller(x: Tensor, scale: float) -> Tensor:
    """Return images [B, C, H, W] at `scale`: edges are even and not below 8 pixels, nor enlarged."""
    old = tuple(x.shape[2:])
    new = tuple(min(edge, max(8, 2 * round(edge * scale / 2))) for edge in old)
    if scale == 1 or new == old:
        return x
    x = nn.functional.interpolate(x, size=list(new), mode="bilinear", antialias=True)
    return x.contiguous(memory_format=torch.channels_last)


def place(net: nn.Module, device: str | torch.device) -> None:
    """Move `net` to `device`, its weights channels-last: images are kept in that order too."""
    move: Any = net.to  # torch's type leaves out that both are said at once
    move(device=device, memory_format=torch.channels_last)


def evaluate(
    net: nn.Module,
    data: Resident,
    *,
    batch: int = 250,
    uncertain: bool = False,
    temperature: float = 1.0,
) -> dict[str, float]:
    """Return the metrics of `net` on the whole of `data`, its mean loss among them.

    Args:
        net: returns outputs [B, outputs].
        data: a part.
        batch: inputs at a time. [count]
        uncertain: whether to tell the standard error of a score that needs all outputs, too.
        temperature: of its probabilities: outputs are divided by it.

    Raises:
        CandidateFailed: when the outputs are no longer finite numbers, which argmax would not show.
    """
    # r2 follows from sums alone, but its error does not; that of an accuracy follows from its share
    whole = uncertain and data.task.metric == "r2"
    sums, kept = seen_of(net, data, batch=batch, temperature=temperature, whole=whole)
    return metrics_of(data.task, sums, data.total, kept, uncertain=uncertain)


def metrics_of(
    task: Task,
    sums: Sequence[float],
    count: float,
    kept: Sequence[Kept],
    *,
    uncertain: bool = False,
) -> dict[str, float]:
    """Return the metrics of a part from what `seen_of` returned.

    Args:
        task: loss and metric.
        sums: of the loss.
        count: examples of the part, or the sum of their weights. [count]
        kept: outputs, targets and weights.
        uncertain: as of `evaluate`.
    """
    told = LOSSES[task.loss].metrics(sums, count, task.unit, task.targets)
    if kept:
        told |= judgement(task, *zip(*kept, strict=True), uncertain=uncertain)
    return told


def seen_of(
    net: nn.Module,
    data: Resident,
    *,
    batch: int = 250,
    temperature: float = 1.0,
    whole: bool = False,
) -> tuple[list[float], list[Kept]]:
    """Return the sums of the loss over the examples of `data`, from which its metrics follow.

    With it come all outputs [B, outputs], targets [B] and weights of rows [B] or None, batch by batch,
    where the metric of the task needs them, rows have weights, or `whole` asks for them; else none.

    Raises:
        CandidateFailed: when the outputs are no longer finite numbers.
    """
    net.eval()
    views = getattr(getattr(net, "views", None), "count", 1)  # each takes the memory of an image
    batch = max(1, batch // views)
    place(net, data.device)
    measure = LOSSES[data.task.loss]
    whole = whole or data.task.metric not in measure.additive or data.weight is not None
    sums = torch.zeros((), device=data.device)
    kept: list[Kept] = []
    with torch.inference_mode(), carrying(net):
        for index in data.places(batch):
            x, y = data.batch(index)
            outputs, rows = net(x), None if data.weight is None else data.weight[index]
            outputs = outputs if temperature == 1.0 else outputs / temperature
            sums = sums + measure.sums(outputs, y, rows)
            if whole:
                kept.append((outputs.float(), y, rows))
    found: list[float] = sums.tolist()
    if not all(map(math.isfinite, found)):
        raise CandidateFailed(
            "the network's outputs are not finite: a lower learning rate may help"
        )
    return found, kept
