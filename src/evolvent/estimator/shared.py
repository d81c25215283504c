"""Weight sharing: one supernet is trained, and every candidate is scored with its weights.

A *step* trains the shared weights at a mixture (`train_batches`) and scores it (`validation_batches`);
its result carries the gradient of the validation loss by the mixture as data, for strategies that
follow it. A *trial* is an architecture: nothing is trained, it is scored on the whole validation part.
So ENAS, DARTS, GDAS, NAO-WS and single paths are strategies, and no method's name appears here.

Three sets of data are kept apart. The shared weights train on one share of the training part; mixtures
are scored and differentiated on the rest of it; trials are scored on the validation part, which neither
weights nor mixtures have seen. Liu et al. 2018 found an error of 3.5 to 4.2 % instead of 2.8 % where
weights and mixture learn from the same data.

Second order (`unrolled`): Liu et al. 2018 (1806.09055) section 2.3: the gradient is taken after a
virtual step of the weights, with the mixed second derivative by finite differences. The virtual step is
the optimiser's next step, with its momentum, weight decay and current learning rate.

A step may say more of itself (`Budget`): that the weights learn near its mixture and not at it
(`perturbed`), and that it is compared with others, on the same batches.
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CandidateFailed, SettingError
from ..network.build import Size, plan
from ..network.cost import cost
from ..network.data import loader
from ..network.fit import load, state_of
from ..network.losses import LOSSES
from ..network.shared.mixture import MixtureWeights
from ..network.shared.supernet import Supernet
from ..network.train import Carry, Hyperparameters, Trainer, evaluate
from ..space import Space, capabilities
from ..task import Task
from ..types import Budget, Candidate, Result, State, stream
from . import Evaluation
from .penalty import Penalty
from .perturbed import perturbed

Rows = Mapping[str, np.ndarray]  # of a mixture or its gradient: group -> [rows, columns]
REACH = 0.01  # norm, over all weights, of a finite-difference step along the gradient


class Shared:
    """Scores candidates with the shared weights of one supernet, which steps train.

    Args:
        space: with the capability ``mixture``.
        task: train and validation parts are used, never test.
        size: of the supernet.
        hyper: hyperparameters of its training.
        steps: training batches of the whole search, over which the learning rate falls. [count, >= 1]
        architecture: share of the training part set aside to score mixtures; 0 scores them on the
            validation part, so that trials are scored on data that mixtures have seen. [0..1)
        gradient: whether results of steps carry the gradient by the mixture.
        unrolled: whether that gradient is of second order.
        pool_norm: whether a batch norm follows every pooling inside the supernet.
        partial: one channel in so many goes through operations, the others past them; 1 is all.
            [count, >= 1]
        calibrate: batches on which batch-norm statistics are measured for every one-hot candidate
            before it is scored; 0 uses the statistics of each scored batch. [count]
        max_params: maximum parameters of the delivered network; a mixture above it is penalised.
            [count]
        max_flops: the same for its FLOPs, for one input. [count]
        penalty: at twice the limit, in units of the score. [>= 0]
        delivered: size of the delivered network, for the limits; None is that of the supernet.
        seed: of initial weights, split, order and augmentation.
        device: where to train.

    Raises:
        SettingError: for a value outside these rules.
    """

    gives = frozenset({"score", "gradient", "sharing"})
    needs = frozenset({"mixture"})
    kinds = frozenset({"image", "language"})
    stateful = True

    def __init__(
        self,
        space: Space,
        task: Task,
        *,
        size: Size = Size(),
        hyper: Hyperparameters = Hyperparameters(),
        steps: int = 1000,
        architecture: float = 0.5,
        gradient: bool = False,
        unrolled: bool = False,
        pool_norm: bool = False,
        partial: int = 1,
        calibrate: int = 0,
        max_params: int | None = None,
        max_flops: int | None = None,
        penalty: float = 1.0,
        delivered: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        for name, allowed, rule in (
            ("steps", steps >= 1, "at least 1"),
            ("architecture", 0 <= architecture < 1, "in [0, 1)"),
            ("partial", partial >= 1, "at least 1; 1 lets all channels through operations"),
            ("calibrate", calibrate >= 0, "at least 0; 0 is off"),
            ("penalty", penalty >= 0, "at least 0; 0 is off"),
            ("unrolled", not unrolled or hyper.optimizer == "sgd", "with optimizer=sgd only"),
        ):
            if not allowed:
                raise SettingError(f"{name}={locals()[name]!r}: {rule}")
        if unrolled and hyper.precision != "float32":
            hyper = replace(hyper, precision="float32")  # finite differences drown in less
        self.space, self.task, self.size, self.hyper = space, task, size, hyper
        self.mixture = capabilities.mixture(space)
        self.gradient, self.unrolled, self.calibrate = gradient, unrolled, calibrate
        self.device = torch.device(device)
        weights, judges = task.train, task.validation
        if architecture:
            rows, part = np.arange(len(task.train)), stream(seed, "parts").getrandbits(31)
            division, y = task.division.taken(rows), task.alike(task.train.y)
            cut = division.cut(y, rows, architecture, part, classes=task.spread)
            weights, judges = (task.train.taken(each) for each in cut)
        self.train = loader(task, weights, device=device)
        self.judges = loader(task, judges, device=device)
        self.validation = loader(task, task.validation, device=device)
        self._number = number = stream(seed, "supernet").getrandbits(31)
        self.supernet = Supernet(
            space, task, size, pool_norm=pool_norm, partial=partial, seed=number
        )
        epochs = steps * min(hyper.batch, len(self.train)) / len(self.train)
        shift = epochs >= hyper.shift_from
        self.trainer = Trainer(
            self.supernet, self.train, steps=steps, hyper=hyper, seed=number, shift=shift
        )
        generator = torch.Generator().manual_seed(number + 1)
        self.judged = self.judges.shuffled(hyper.batch, generator, augment=False)
        self.carry = Carry(self.supernet, self.judged)
        self.penalty: Penalty | None = None
        if penalty and not (max_params is None and max_flops is None):
            self.penalty = Penalty(
                space,
                task,
                size.bare() if delivered is None else Size(**delivered).bare(),
                max_params=max_params,
                max_flops=max_flops,
                weight=penalty,
            )
        self._kept = 0  # steps of the trainer at the last checkpoint

    @property
    def per_epoch(self) -> int:
        """Batches in one pass over the supernet's training data. [count]"""
        return self.trainer.batches.per_pass

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Train, then score; an inherited state is a checkpoint to resume from.

        Raises:
            CandidateFailed: when the loss is no longer a finite number.
        """
        start = time.monotonic()
        for state in inherited.values():
            self.restore(state)
        rows = candidate.mixture
        if rows is None:
            rows = self.mixture.one_hot(candidate.arch)
        if candidate.kind == "trial":
            result = self._trial(candidate, rows)
        else:
            result = self._step(candidate, rows)
        result = replace(result, seconds=time.monotonic() - start, threads=torch.get_num_threads())
        learnt = self.trainer.done - self._kept
        due = learnt >= self.per_epoch or (learnt > 0 and candidate.kind == "trial")
        return Evaluation(result, self.checkpoint() if due else None)

    # -- trials and steps ------------------------------------------------------------------------

    def _trial(self, candidate: Candidate, rows: Rows) -> Result:
        mixture = self._mixture(rows)
        with self._statistics(mixture):
            found = evaluate(self.supernet.at(mixture), self.validation)
        size = cost(plan(self.space, candidate.arch, self.task, self.size), self.task)
        return Result(
            candidate,
            found[self.task.metric],
            metrics=found,
            params=size.params,
            flops=size.flops,
            total_epochs=self.trainer.done / self.per_epoch,
        )

    def _step(self, candidate: Candidate, rows: Rows) -> Result:
        metrics = self._learn(rows, candidate.budget)
        batches, carry = self._batches(candidate.budget)
        gradient: dict[str, np.ndarray] = {}
        measure, sums, count = LOSSES[self.task.loss], torch.zeros(()), 0
        climbing = self.gradient and not candidate.budget.paired
        mixture = self._mixture(rows, gradient=climbing)
        # measured statistics do not follow the mixture, so they cannot be differentiated through
        with nullcontext() if climbing else self._statistics(mixture):
            for x, y in batches:
                if climbing:
                    logits, slopes = self._differentiated(rows, x, y, carry)
                    for name, rows_of in slopes.items():
                        gradient[name] = gradient.get(name, 0.0) + rows_of * len(y)
                else:
                    with torch.inference_mode():
                        logits = self._logits(x, mixture, carry)
                sums = sums + measure.sums(logits, y).cpu()
                count += len(y)
        if not count:
            return Result(candidate, metrics=metrics)
        told = measure.metrics(sums.tolist(), count, self.task.unit, self.task.targets)
        metrics |= told | {"loss": self._finite(told["loss"])}
        score = metrics.get(self.task.metric, -metrics["loss"])  # of few rows others say nothing
        slopes = {name: total / count for name, total in gradient.items()}
        if self.penalty is not None:
            metrics["penalty"], by = self.penalty(rows)
            score -= metrics["penalty"]
            slopes = {name: slope + by[name] for name, slope in slopes.items()}
        found = {name: slope.astype(np.float32) for name, slope in slopes.items()}
        return Result(candidate, score, metrics=metrics, gradient=found or None)

    def _batches(self, budget: Budget) -> tuple[Iterator[Any], Carry]:
        """Return the batches to score a mixture on, and what a network carries along them.

        No number of them is one pass over all. Steps that are paired begin anew with the same ones. A
        network that carries a state goes on with that of the batch before, whatever mixture that was
        seen at; a whole pass begins without one.
        """
        count = budget.validation_batches
        if count is None:
            return self.judges.whole(250), Carry(self.supernet)
        if not budget.paired:
            return itertools.islice(self.judged, count), self.carry
        generator = torch.Generator().manual_seed(self._number + 2)
        again = self.judges.shuffled(self.hyper.batch, generator, augment=False)
        return itertools.islice(again, count), Carry(self.supernet, again)

    def _learn(self, rows: Rows, budget: Budget) -> dict[str, Any]:
        """Train the shared weights at a mixture or near it; return the mean loss as a metric."""
        losses = []
        for _ in range(budget.train_batches or 0):
            mixture = self._mixture(self._perturbed(rows, budget))
            losses.append(self.trainer.step(functools.partial(self.supernet, mixture=mixture)))
        if not losses:
            return {}
        return {"train_loss": self._finite(float(torch.stack(losses).mean()))}

    def _perturbed(self, rows: Rows, budget: Budget) -> Rows:
        """Return the mixture that the weights learn at in the next step."""

        def slopes(near: Rows) -> Rows:
            mixture = self._mixture(near, gradient=True)
            by = list(mixture.tensors.values())
            with self.supernet.frozen():
                found = self._slopes(mixture, self.trainer.upcoming(), by)
            return _named(mixture, _filled(found, by))

        rng = np.random.default_rng([self._number, self.trainer.done])
        return perturbed(rows, radius=budget.radius, ascents=budget.ascents, rng=rng, slopes=slopes)

    def _finite(self, loss: float) -> float:
        if not math.isfinite(loss):
            raise CandidateFailed(
                f"the loss of the shared weights became {loss} after {self.trainer.done} batches: "
                "a lower learning rate may help (estimator.lr), or estimator.clip=5"
            )
        return round(loss, 6)

    # -- scores and gradients --------------------------------------------------------------------

    def _mixture(self, rows: Rows, *, gradient: bool = False) -> MixtureWeights:
        dtype = next(self.supernet.parameters()).dtype
        return MixtureWeights(rows, device=self.device, dtype=dtype, gradient=gradient)

    def _logits(self, x: Tensor, mixture: MixtureWeights, carry: Carry) -> Tensor:
        low = self.hyper.precision == "bfloat16"
        with carry.along(), torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            logits: Tensor = self.supernet(x, mixture)
        return logits.float() if low else logits

    @contextmanager
    def _statistics(self, mixture: MixtureWeights) -> Iterator[None]:
        """Use batch-norm statistics measured for `mixture` in the context, if `calibrate` is set."""
        if not self.calibrate:
            yield
            return
        batches = itertools.islice(self.train.in_order(self.hyper.batch), self.calibrate)
        with self.supernet.calibrated(mixture, (x for x, _ in batches)):
            yield

    def _differentiated(
        self, rows: Rows, x: Tensor, y: Tensor, carry: Carry | None = None
    ) -> tuple[Tensor, dict[str, np.ndarray]]:
        """Return the logits at a mixture, and the gradient of the loss with respect to it."""
        carry = carry or Carry(self.supernet)
        if self.unrolled:
            return self._second_order(rows, x, y, carry)
        mixture = self._mixture(rows, gradient=True)
        with self.supernet.frozen():
            logits = self._logits(x, mixture, carry)
        loss = LOSSES[self.task.loss].mean(logits, y)
        slopes = torch.autograd.grad(loss, list(mixture.tensors.values()), materialize_grads=True)
        return logits.detach(), _named(mixture, slopes)

    def _second_order(
        self, rows: Rows, x: Tensor, y: Tensor, carry: Carry
    ) -> tuple[Tensor, dict[str, np.ndarray]]:
        weights = list(self.supernet.parameters())
        before = [weight.detach().clone() for weight in weights]
        upcoming = self.trainer.upcoming()
        try:
            planned = self.trainer.planned(self._slopes(self._mixture(rows), upcoming, weights))
            self._put(weights, before, planned)
            mixture = self._mixture(rows, gradient=True)
            logits = self._logits(x, mixture, carry)
            loss = LOSSES[self.task.loss].mean(logits, y)
            by = list(mixture.tensors.values())
            slopes = torch.autograd.grad(loss, [*by, *weights], allow_unused=True)
            direct, ahead = _filled(slopes[: len(by)], by), slopes[len(by) :]
            length = math.sqrt(sum(float((v**2).sum()) for v in ahead if v is not None))
            if length == 0:
                return logits.detach(), _named(mixture, direct)
            reach = REACH / length
            sides = []
            for sign in (1, -1):
                moves = [None if v is None else sign * reach * v for v in ahead]
                self._put(weights, before, moves)
                shifted = self._mixture(rows, gradient=True)
                by = list(shifted.tensors.values())
                with self.supernet.frozen():
                    sides.append(_filled(self._slopes(shifted, upcoming, by), by))
        finally:
            self._put(weights, before, [None] * len(weights))
        corrected = [
            d + self.trainer.response * (high - low) / (2 * reach)
            for d, high, low in zip(direct, *sides, strict=True)
        ]
        return logits.detach(), _named(mixture, corrected)

    def _slopes(
        self, mixture: MixtureWeights, batch: tuple[Tensor, Tensor], by: list[Any]
    ) -> tuple[Any, ...]:
        """Return the gradient of the training loss on a batch with respect to `by`."""
        with self.trainer.looking_ahead():
            loss = self.trainer.loss_of(lambda x: self.supernet(x, mixture), *batch)
        return torch.autograd.grad(loss, by, allow_unused=True)

    @staticmethod
    def _put(weights: list[Any], before: list[Tensor], moves: Sequence[Tensor | None]) -> None:
        """Set the weights to `before` plus `moves`."""
        with torch.no_grad():
            for weight, old, move in zip(weights, before, moves, strict=True):
                weight.copy_(old if move is None else old + move)

    # -- checkpoints -----------------------------------------------------------------------------

    def checkpoint(self) -> State:
        """Return the shared weights, the trainer's state and the position in the data, as arrays."""
        self._kept = self.trainer.done
        parts = {
            "net": state_of(self.supernet),
            "trainer": self.trainer.state(),
            "judged": self.judged.state(),
            "carried": self.carry.state(),
        }
        return {f"{part}/{name}": v for part, own in parts.items() for name, v in own.items()}

    def restore(self, state: State) -> None:
        """Resume from a `checkpoint` of the same settings, or restart if it holds only ``rewinds``.

        Every rewind halves the learning rate and changes the order of the batches.
        """

        def under(part: str) -> State:
            return {k.partition("/")[2]: v for k, v in state.items() if k.startswith(f"{part}/")}

        if "done" in under("trainer"):
            load(self.supernet, under("net"))
            self.trainer.restore(under("trainer"))
            self.judged.restore(under("judged"))
            self.carry.restore(under("carried"))
            self._kept = self.trainer.done
        if rewinds := int(state.get("rewinds", 0)):
            self.trainer.calm(rewinds)


def _filled(slopes: Sequence[Tensor | None], by: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients, 0 for a group of rows that no cell of a network of this size uses."""
    pairs = zip(slopes, by, strict=True)
    return [torch.zeros_like(rows) if slope is None else slope for slope, rows in pairs]


def _named(mixture: MixtureWeights, slopes: Any) -> dict[str, np.ndarray]:
    return {
        name: slope.detach().cpu().numpy()
        for name, slope in zip(mixture.tensors, slopes, strict=True)
    }
