"""From an architecture to a trained network: build it, load what it inherits, train it, score it.

Every estimator and every training outside a search goes this way, so that an architecture's own
training settings, its seed and its inherited weights mean the same everywhere.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import EvolventError
from ..space import Space, training
from ..task import Part, Task
from ..types import Arch, State
from .build import Assembled, Size, build
from .calibration import temperature as temperature_of
from .data import Resident, loader
from .losses import AVERAGED
from .operations import Views
from .train import Hyperparameters, Training, evaluate, place, train, worth_it

MOST_HELD = 1000  # validation rows that final trainings leave out [count]
LEAST_HELD = 40  # fewer tell too little
MOST_SEGMENTS = 200  # the same of running text [count]
LEAST_SEGMENTS = 32
LOOKED_AT = 250  # rows of which the time is measured that reading takes [count]
START_BATCH = 250  # of what operations begin from [count]
MOST_BEGUN = 2**22  # the same of numbers, which come in one batch
TRAINED = "trained_epochs"  # a state says beside its weights how long they were trained


@dataclass(frozen=True)
class Beginning:
    """The start of a training: epochs behind the initial weights, and epochs to train.

    Args:
        before: how long the weights that it starts from were trained. [epochs]
        epochs: how long it trains now. [epochs]
        metrics: what there is to say about its beginning.
    """

    before: float
    epochs: float
    metrics: Mapping[str, Any] = field(default_factory=dict)


Begin = Callable[[nn.Module, float], Beginning]


@dataclass(frozen=True)
class Fitted:
    """A trained network and how it came to be.

    Args:
        net: as it is after its training, on the device.
        hyper: what it was trained with, the architecture's own settings included.
        begun: what it had before.
        done: what its training did.
    """

    net: Assembled
    hyper: Hyperparameters
    begun: Beginning
    done: Training

    @property
    def total_epochs(self) -> float:
        """Epochs behind its weights, inherited ones included. [epochs]"""
        return self.begun.before + self.done.epochs

    @property
    def state(self) -> State:
        """A copy of its weights and statistics, with how long they were trained."""
        return kept_state(self.net, self.total_epochs)


def kept_state(net: nn.Module, epochs: float) -> State:
    """Return a copy of the weights and statistics of a network, with how long they were trained."""
    return state_of(net) | {TRAINED: np.array(epochs)}


def fresh(net: nn.Module, epochs: float) -> Beginning:
    """Leave the weights as they were drawn."""
    return Beginning(0.0, epochs)


def fit(
    space: Space,
    arch: Arch,
    task: Task,
    part: Part | Resident,
    *,
    size: Size = Size(),
    hyper: Hyperparameters = Hyperparameters(),
    epochs: float = 1.0,
    begin: Begin = fresh,
    whole: bool = False,
    seed: int = 0,
    deadline: float | None = None,
    after: Callable[[Assembled], float] | None = None,
    device: str = "cpu",
) -> Fitted:
    """Build the network of an architecture, load what it begins with, and train it.

    Args:
        space: of the architecture; it says what the architecture sets in its own training.
        arch: what to build.
        task: shapes and loss.
        part: what to learn from; one that is resident already is used where it is.
        size: of the network.
        hyper: how to train, where the architecture does not say it itself.
        epochs: the training length that is asked for. [epochs, >= 0]
        begin: is given the fresh network, whose operations have learnt from the rows what they begin
            with (`started`), and `epochs`; it may load weights, and says how long the network then
            trains.
        whole: whether `begin` loads all weights, so that operations need not begin from the rows.
        seed: of fresh weights, order and augmentation.
        deadline: `time.monotonic()` at which to stop. [s]
        after: is given the network as it begins, and returns how long before it. [s]
        device: where to bring a `part` that is not resident.

    Raises:
        InvalidArchitecture: if the architecture cannot be realised for these shapes.
        CandidateFailed: when the loss is no longer a finite number.
    """
    size = size.lasting(epochs, len(part) * task.input_shape[-1])
    net = build(space, arch, task, size, seed=seed)
    own = with_own_training(hyper, space, arch)
    data = _resident(task, part, device)
    if not whole:
        started(net, data)
    begun = begin(net, epochs)
    epochs = 0.0 if in_closed_form(net) else worth_it(own, begun.epochs, len(data))
    if deadline is not None and after is not None:
        deadline -= after(net)
    done = train(net, data, epochs=epochs, hyper=own, seed=seed, deadline=deadline)
    return Fitted(net, own, begun, done)


def in_closed_form(net: nn.Module) -> bool:
    """Whether all parameters of a network belong to operations that find them in `started`.

    Such an operation states it by ``closed_form``. Nothing is left to learn by gradient, and the
    network is as it is after 0 epochs.
    """
    stated = [module for module in net.modules() if getattr(module, "closed_form", False)]
    found = {id(each) for module in stated for each in module.parameters()}
    return bool(found) and all(id(each) in found for each in net.parameters())


def started(net: nn.Module, data: Resident) -> None:
    """Let every operation that has ``start(batches)`` learn from the training rows.

    It is called once, with batches of what the operation itself is given for the rows (a tuple, if it
    takes several inputs), and of the targets, after the operations before it have begun. The rows are
    all of the part; of large inputs of numbers some at even distances, in one batch; of series in
    several.

    Args:
        net: with fresh weights, on any device.
        data: what it will learn from.
    """
    waiting = [module for module in net.modules() if hasattr(module, "start")]
    if not waiting:
        return
    place(net, data.device)
    net.eval()
    with torch.no_grad():
        for module in _in_order(net, waiting, data):
            module.start(_given(net, module, data))


def _in_order(net: nn.Module, waiting: Sequence[nn.Module], data: Resident) -> list[Any]:
    """Return modules in the order in which the network calls them."""
    called: list[Any] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: called.append(module))
        for module in waiting
    ]
    net(data.batch(slice(0, 1))[0])
    for hook in hooks:
        hook.remove()
    if missing := [type(module).__name__ for module in waiting if module not in called]:
        raise EvolventError(
            f"{', '.join(missing)}: never called, and cannot begin: correct the plan"
        )
    return list(dict.fromkeys(called))


class _Reached(Exception):
    """The forward pass came to the module that was asked for."""


def _given(net: nn.Module, module: nn.Module, data: Resident) -> Iterator[tuple[Any, Tensor]]:
    """Yield the input of a module for the training rows, or several, and the targets, in batches."""
    found: list[Any] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs if len(inputs) > 1 else inputs[0])
        raise _Reached

    for inputs, targets in _rows(data, every=getattr(module, "every_row", False)):
        hook = module.register_forward_pre_hook(note)
        with contextlib.suppress(_Reached):
            net(inputs)
        hook.remove()
        yield found.pop(), targets


def _rows(data: Resident, *, every: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the rows that operations begin from: of tokens all, of numbers `MOST_BEGUN` at most.

    Args:
        data: the rows.
        every: whether an operation needs all of them (its ``every_row``).
    """
    first, _ = data.batch(slice(0, 1))
    if every or not first.is_floating_point():
        yield from data.whole(START_BATCH)
        return
    step = max(1, -(-first.numel() * len(data) // MOST_BEGUN))
    if first.ndim != 3:
        yield data.batch(slice(None, None, step))
        return
    for begin in range(0, len(data), START_BATCH * step):  # filters make more numbers of series
        yield data.batch(slice(begin, begin + START_BATCH * step, step))


def scored(
    net: nn.Module,
    task: Task,
    part: Part | Resident,
    *,
    device: str = "cpu",
    views: bool = True,
    uncertain: bool = False,
    temperature: float = 1.0,
) -> dict[str, float]:
    """Return the metrics of `net` on the whole of a part, its mean loss among them.

    Args:
        net: returns logits or quantities [B, outputs] for inputs [B, *input_shape].
        task: loss and metric.
        part: what to score on; one that is resident already is used where it is.
        device: where to bring a `part` that is not resident.
        views: whether a network that averages several views of an image does so now.
        uncertain: whether to tell the standard error of a score that needs all outputs, too.
        temperature: of its probabilities: outputs are divided by it.

    Raises:
        CandidateFailed: when the outputs are no longer finite numbers.
    """
    how: Any = {"uncertain": uncertain, "temperature": temperature}
    with _without_views(net, off=not views):
        return evaluate(net, _resident(task, part, device), **how)


def is_calibrated(task: Task) -> bool:
    """Whether the outputs for a task are logits that a temperature may be found for."""
    return task.loss in AVERAGED and task.link != "identity"


def held_rows(task: Task) -> np.ndarray:
    """Return the validation rows that final trainings leave out, to find something by. [rows]

    That is a temperature or, of running text, the weight of n-grams. They are a tenth of that part, the
    same for all trainings of a task, of a text its end; none where rows are bound to each other or in
    order, or too few to tell.
    """
    if task.successive:
        whole = len(task.validation)
        return np.arange(
            whole - min(MOST_SEGMENTS, max(LEAST_SEGMENTS, whole // 10), whole // 2), whole
        )
    count = min(MOST_HELD, len(task.validation) // 10)
    if not is_calibrated(task) or not task.division.is_free or count < LEAST_HELD:
        return np.arange(0)
    rng = np.random.default_rng(task.seed)
    return np.sort(rng.choice(len(task.validation), count, replace=False))


def final_parts(task: Task, *, hold: bool) -> tuple[Part, Part]:
    """Return the rows of a final training, and those that it leaves out.

    Args:
        task: with its data.
        hold: whether some are left out.
    """
    everything = task.everything
    held = held_rows(task) if hold else np.arange(0)
    if len(held):
        everything = everything.taken(np.delete(np.arange(len(everything)), len(task.train) + held))
    return everything, task.validation.taken(held)


def calibrated(net: nn.Module, task: Task, part: Part, *, device: str = "cpu") -> float:
    """Return the temperature of a network by rows that it did not learn from; 1 without any.

    Images are seen in one view.

    Args:
        net: trained.
        task: of which `is_calibrated` says that there is one.
        part: these rows.
        device: of the network.
    """
    if not len(part):
        return 1.0
    data = loader(task, part, device=device)
    place(net.eval(), data.device)
    with _without_views(net), torch.inference_mode():
        logits = torch.cat([net(x).double() for x, _ in data.in_order(LOOKED_AT)]).cpu().numpy()
    return temperature_of(logits, np.asarray(part.y), part.weight, link=task.link)


def look_seconds(
    net: nn.Module, task: Task, *, rows: int = LOOKED_AT, device: str = "cpu"
) -> float:
    """Return the time per example of reading a network's output, one view of it, measured now. [s]

    Args:
        net: with any weights.
        task: whose training inputs are read.
        rows: that are read, at once. [count]
        device: of the network.
    """
    part = Part(task.train.x[:rows], task.train.y[:rows])
    x, _ = loader(task, part, device=device).batch(slice(None))
    place(net, device)
    net.eval()
    with _without_views(net), torch.inference_mode():
        net(x)  # it finds its memory
        start = time.monotonic()
        net(x)
    return (time.monotonic() - start) / len(x)


@contextlib.contextmanager
def _without_views(net: nn.Module, off: bool = True) -> Iterator[None]:
    """Let a network see every image in one view, and in all of its views afterwards."""
    switches = [module for module in net.modules() if isinstance(module, Views)]
    for switch in switches:
        switch.on = not off
    try:
        yield
    finally:
        for switch in switches:
            switch.on = True


def _resident(task: Task, part: Part | Resident, device: str) -> Resident:
    return part if isinstance(part, Resident) else loader(task, part, device=device)


def with_own_training(hyper: Hyperparameters, space: Space, arch: Arch) -> Hyperparameters:
    """Return `hyper` with what the architecture says about its own training."""
    return replace(hyper, **training(space, arch))


def trained_epochs(state: State) -> float:
    """Return the epochs that the weights of `state` were trained for. [epochs]"""
    return float(state.get(TRAINED, np.zeros(())))


def state_of(net: nn.Module) -> State:
    """Return a copy of the weights and statistics of `net` as arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in net.state_dict().items()}


def load(net: nn.Module, state: State) -> None:
    """Put weights of the same architecture into `net`.

    Raises:
        RuntimeError: if names or shapes are not those of `net`.
    """
    net.load_state_dict(
        {name: torch.from_numpy(np.array(v)) for name, v in state.items() if name != TRAINED}
    )
