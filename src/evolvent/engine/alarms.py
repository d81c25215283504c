"""Progress of a search on shared weights, and alarms for its known failures.

A search whose architecture parameters end where they began has searched nothing, whatever it delivers;
one that drifts to skip connections or poolings, or whose policy has settled on one architecture early,
delivers what trains fastest together instead of what trains best alone. Sources: Zela et al. 2019
(1909.09656) and Liang et al. 2019 (1909.06035) for the drift to skip connections; Bender et al. 2018
for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..types import Result
from .store import Store

SKIPS = 0.5  # share of skip connections in a derived architecture from which it is an alarm
FREE = 0.9  # share of operations without weights from which it is one
SETTLED = 0.1  # share of the largest entropy below which a policy has settled
EARLY = 0.5  # share of the horizon before which it should not have
STILL = 0.01  # change of the entropy, as a share of the largest, below which nothing has moved
SURE = 3.0  # deviations by which it must be lower than where noise leads


@dataclass(frozen=True)
class Alarm:
    """Something that a search on shared weights should not do.

    Args:
        candidate: id of the trial that showed it.
        name: of the alarm.
        text: what was seen.
        advice: what to do.
    """

    candidate: int
    name: str
    text: str
    advice: str

    def __str__(self) -> str:
        return f"alarm: {self.text}: {self.advice}"


def alarms(trials: Sequence[Result], horizon: int) -> list[Alarm]:
    """Return the first alarm of every kind that the notes of trials give.

    Args:
        trials: in the order of telling.
        horizon: epochs that the search was planned for. [epochs]
    """
    found: dict[str, Alarm] = {}
    for trial in trials:
        for alarm in _alarms(trial, horizon):
            found.setdefault(alarm.name, alarm)
    return list(found.values())


def _alarms(trial: Result, horizon: int) -> Iterator[Alarm]:
    id, note = trial.candidate.id, _note(trial)
    when = f"in epoch {note.get('epoch')} of {horizon}"
    if note.get("skips", 0.0) >= SKIPS:
        yield Alarm(
            id,
            "skip connections",
            f"{when} {note['skips']:.0%} of the derived architecture's "
            "operations are skip connections",
            "they help the shared weights and not the network; stop at fewer with --set "
            "strategy.most_skips=2, or let the weights learn first with --set strategy.warmup=0.3",
        )
    elif note.get("free", 0.0) >= FREE:
        yield Alarm(
            id,
            "no weights",
            f"{when} {note['free']:.0%} of the derived architecture's operations have no weights",
            "skip connections and poolings are useful before the others have learnt anything; let the "
            "weights learn first with --set strategy.warmup=0.3",
        )
    if note.get("entropy", 1.0) < SETTLED and note["epoch"] < EARLY * horizon:
        yield Alarm(
            id,
            "entropy",
            f"{when} the architecture is all but decided (entropy {note['entropy']:.3f} of 1)",
            "the weights of what it left behind learn no more; a lower strategy.lr, or for a policy a "
            "higher strategy.entropy, lets it look around longer",
        )


@dataclass(frozen=True, kw_only=True)
class SharedWeights:
    """Numbers of a search on shared weights.

    Args:
        weight_steps: batches that the shared weights learnt from. [count]
        architecture_steps: times that architectures were judged. [count]
        gradients: how many of these with a gradient. [count]
        entropy_before: of the architecture at the start, 1 is undecided; None where nobody noted it.
        entropy_after: the same at the end.
        entropy_of_noise: where gradients of the same sizes with random signs lead, and its deviation;
            None where nobody noted it.
        moved: whether the entropy fell, by more than noise does where that is known; None where neither
            is.
        rewinds: times that the search went back to a checkpoint. [count]
        alarms: the first of every kind.
    """

    weight_steps: int = 0
    architecture_steps: int = 0
    gradients: int = 0
    entropy_before: float | None = None
    entropy_after: float | None = None
    entropy_of_noise: tuple[float, float] | None = None
    moved: bool | None = None
    rewinds: int = 0
    alarms: tuple[Alarm, ...] = ()


def shared_weights(horizon: int, store: Store) -> SharedWeights | None:
    """Return the numbers of a search on shared weights; None for other searches.

    Args:
        horizon: epochs that the search was planned for. [epochs]
        store: of the run.
    """
    trials = [result for result in store.results() if result.ok]
    notes = [_note(trial) for trial in trials]
    if not any("epoch" in note for note in notes):
        return None
    steps = store.steps()
    undecided = [note for note in notes if "begun" in note]
    before, after = (undecided[0]["begun"], undecided[-1]["entropy"]) if undecided else (None, None)
    walk = undecided[-1].get("walk") if undecided else None
    return SharedWeights(
        weight_steps=sum(step.candidate.budget.train_batches or 0 for step in steps),
        architecture_steps=sum(step.score is not None for step in steps),
        gradients=sum(step.gradient is not None for step in steps),
        entropy_before=before,
        entropy_after=after,
        entropy_of_noise=None if walk is None else (float(walk[0]), float(walk[1])),
        moved=_has_moved(before, after, walk),
        rewinds=store.meta("rewinds") or 0,
        alarms=tuple(alarms(trials, horizon)),
    )


def _has_moved(
    before: float | None, after: float | None, walk: Sequence[float] | None
) -> bool | None:
    """Return whether an architecture has moved, and further than steps without a direction would."""
    if before is None or after is None:
        return None
    if abs(before - after) < STILL:
        return False
    return walk is None or after < walk[0] - SURE * walk[1]


def _note(trial: Result) -> Mapping[str, Any]:
    note = trial.candidate.note
    return note if isinstance(note, Mapping) else {}
