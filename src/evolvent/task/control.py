"""Control tasks: a simulated world to act in, in place of data. They have their own `score`.

Networks are scored side by side, a whole generation at once. The score of a network does not depend,
to the last bit, on the other networks that are scored with it.

Sources: XOR and its fitness, Stanley & Miikkulainen 2002, section 4.2; two poles on a cart, Wieland
1991, with the constants, the scaled inputs and the start (the long pole at 0.07 rad, about 4 degrees,
all else at rest) that the experiments of that paper used; without velocities, the fitness of Gruau et
al. 1996, and the 625 starts that test whether a controller generalises.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from ..types import Facts

NAMES = {
    "xor": "the exclusive or of two bits; built in, for networks whose weights are genes",
    "double-pole": "balance two poles on a cart; built in, for networks whose weights are genes",
    "double-pole-no-velocity": "the same without seeing velocities; needs recurrent networks",
}


class Controllers(Protocol):
    """Networks that run side by side, each on an input of its own."""

    values: np.ndarray  # [nodes, P] the values of their nodes

    def __len__(self) -> int:
        """Number of networks. [count]"""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs [outputs, P] for inputs [inputs, P]; node values are kept for the next."""

    def reset(self) -> None:
        """Set all node values to 0."""

    def take(self, which: np.ndarray) -> Self:
        """Return the networks at the indices `which`, which may repeat."""


@dataclass(frozen=True)
class Control:
    """A task without data.

    Args:
        name: how the user called it.
        input_shape: of a network's input: (numbers,), or (moments, numbers) if it is recurrent.
        outputs: numbers that it returns. [count]
        metric: name of the score.
        recurrent: whether networks see only a part of the state of the world, and need a memory.
    """

    name: str
    input_shape: tuple[int, ...]
    outputs: int
    metric: str
    recurrent: bool = False

    # No fields: a fingerprint that was written before would change.
    std = ()
    scale = 1.0
    vocabulary = 0
    reading: ClassVar[Mapping[str, Any]] = {}

    kind = "control"
    trainable = False
    charged = False
    epochs = 0.0
    tests = True  # whether `test` has cases that networks are not scored on
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()  # inputs are scaled already
    note: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """There are no examples."""
        return {}

    @property
    def facts(self) -> Facts:
        """The facts that need no world."""
        return Facts(
            self.kind, self.metric, self.input_shape, self.outputs, recurrent=self.recurrent
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the task and its physics: two runs can be compared if it is equal."""
        return hashlib.sha256(f"{self!r} {PHYSICS!r}".encode()).hexdigest()[:16]

    def score(self, nets: Controllers) -> list[dict[str, float]]:
        """Return the metrics of every network, its score among them."""
        raise NotImplementedError

    def solved(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether these metrics solve the task; None: only `confirmed` can tell."""
        raise NotImplementedError

    def confirmed(self, nets: Controllers) -> bool:
        """Whether a network, the only one of `nets`, solves the task."""
        raise NotImplementedError

    def test(self, nets: Controllers) -> float:
        """Return the test result of a network, the only one of `nets`."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return a description of the task in one line."""
        raise NotImplementedError


class Xor(Control):
    """Four cases. The score is (4 - the sum of the absolute errors) squared; solved above 0.5."""

    tests = False
    CASES = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
    TARGETS = np.array([0.0, 1.0, 1.0, 0.0])

    def score(self, nets: Controllers) -> list[dict[str, float]]:
        """Return ``fitness``, 0 to 16, and the cases on the ``right`` side of 0.5."""
        cases = len(self.TARGETS)
        x = np.tile(self.CASES, len(nets))
        answers = nets.take(np.repeat(np.arange(len(nets)), cases))(x)[0].reshape(-1, cases)
        errors = np.abs(answers - self.TARGETS)
        right = (errors < 0.5).sum(axis=1)
        return [
            {"fitness": (cases - math.fsum(error)) ** 2, "right": float(count)}
            for error, count in zip(errors, right, strict=True)
        ]

    def solved(self, metrics: Mapping[str, float]) -> bool:
        """Whether all four cases are on the right side of 0.5."""
        return metrics["right"] == len(self.TARGETS)

    def describe(self) -> str:
        """Return a description of the task in one line."""
        return "four cases, score (4 - sum of errors) squared, 16 at best"


GRAVITY = -9.8  # [m/s2]
CART, POLES = 1.0, (0.1, 0.01)  # masses [kg]
LENGTHS = (0.5, 0.05)  # half of those of the poles [m]
FRICTION = 2e-6  # of the hinges [N m s]
FORCE = 10.0  # the largest, of an output of 0 or 1 [N]
STEP, PER_ACTION = 0.01, 2  # of the integration [s], steps per action
TRACK, BOUND = 2.4, math.radians(36)  # where cart [m] and poles [rad] must stay
START = 0.07  # of the long pole [rad]
PHYSICS = (GRAVITY, CART, POLES, LENGTHS, FRICTION, FORCE, STEP, PER_ACTION, TRACK, BOUND, START)
MASS, HALF = np.array(POLES)[:, None], np.array(LENGTHS)[:, None]
MOMENT = MASS * HALF

X, V, ANGLES, SPINS = 0, 1, slice(2, 4), slice(4, 6)  # rows of a state [6, P]
SEEN = {  # with velocities, or without: the rows that a network sees, and their divisors
    True: ((0, 4.8), (1, 2.0), (2, 0.52), (4, 2.0), (3, 0.52), (5, 2.0)),
    False: ((0, 4.8), (2, 0.52), (3, 0.52)),
}
LONG, SHORT, WINDOW = 100_000, 1_000, 100  # [actions]
MOMENTS = 8  # in a row, in an example input of a recurrent network
#: The starts of the generalisation test: five places in the range of cart and long pole each.
PLACES = (0.05, 0.25, 0.5, 0.75, 0.95)
RANGES = (2.16, 1.35, math.radians(3.6), math.radians(8.6))  # [m], [m/s], [rad], [rad/s]
ENOUGH = 200  # of the 625


class DoublePole(Control):
    """Two poles of 1 m and 0.1 m on a cart on a track of 4.8 m, one action every 0.02 s.

    With velocities the score is how many of 100,000 actions both poles stay within 36 degrees. Without,
    it is Gruau's: a tenth of the share of 1,000 actions, and nine tenths of how little cart and long
    pole moved in the last 100 of them. Solved then means 100,000 actions, and 200 of 625 other starts
    for 1,000 actions each, which is the test of both.
    """

    def score(self, nets: Controllers) -> list[dict[str, float]]:
        """Return ``steps``, and without velocities the ``fitness`` too."""
        if not self.recurrent:
            lasted, _ = self.balance(nets, _starts(len(nets)), LONG)
            return [{"steps": float(steps)} for steps in lasted]
        lasted, moved = self.balance(nets, _starts(len(nets)), SHORT, watch=True)
        return [
            {"fitness": 0.1 * steps / SHORT + 0.9 * _calm(steps, motion), "steps": float(steps)}
            for steps, motion in zip(lasted, moved, strict=True)
        ]

    def solved(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether the poles stay up; without velocities the score alone cannot tell."""
        if self.recurrent:
            return None if metrics["steps"] == SHORT else False
        return metrics["steps"] == LONG

    def confirmed(self, nets: Controllers) -> bool:
        """Whether the poles stay up for 100,000 actions, and from 200 of the 625 other starts."""
        if self.generalisation(nets) < ENOUGH:
            return False
        return bool(self.balance(nets, _starts(1), LONG)[0][0] == LONG)

    def test(self, nets: Controllers) -> float:
        """Return the share of 625 other starts from which the poles stay up for 1,000 actions."""
        return self.generalisation(nets) / float(len(PLACES) ** len(RANGES))

    def generalisation(self, nets: Controllers) -> int:
        """Return the number of the 625 starts from which the poles stay up for 1,000 actions."""
        grid = np.array(list(itertools.product(PLACES, repeat=len(RANGES)))).T
        state = np.zeros((6, grid.shape[1]))
        for row, place, reach in zip((0, 1, 2, 4), grid, RANGES, strict=True):
            state[row] = (2 * place - 1) * reach
        lasted, _ = self.balance(nets.take(np.zeros(grid.shape[1], int)), state, SHORT)
        return int((lasted == SHORT).sum())

    def describe(self) -> str:
        """Return a description of the task in one line."""
        seen = "positions and angles only" if self.recurrent else "the whole state"
        return f"two poles on a cart, a network sees {seen}; test: 625 other starts"

    def balance(
        self, nets: Controllers, state: np.ndarray, actions: int, *, watch: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the actions for which the poles stayed up, and the motion at the end.

        A world that returns to an earlier state, networks included, repeats itself for ever: such a
        network counts as having lasted, and is not simulated any further.

        Args:
            nets: P networks.
            state: at the start [6, P]: cart, its speed, two angles, two angular speeds.
            actions: at most. [count]
            watch: whether to add up motion.

        Returns:
            [P] actions, and [P] the sum over the last 100 of the absolute values of cart, its speed,
            angle and angular speed of the long pole (0 before there were 100).
        """
        nets = nets.take(np.arange(len(nets)))
        nets.reset()
        lasted, moved = np.full(len(nets), actions), np.zeros(len(nets))
        left, seen = np.arange(len(nets)), SEEN[not self.recurrent]
        recent = np.zeros((WINDOW if watch else 0, len(nets)))
        rows = np.array([row for row, _ in seen])
        scale = np.array([size for _, size in seen])[:, None]
        before = (state, nets.values)
        for action in range(actions):
            force = (nets(state[rows] / scale)[0] - 0.5) * (2 * FORCE)
            for _ in range(PER_ACTION):
                state = _integrated(state, force)
            gone = _fallen(state)
            fell = gone.any()
            if fell:
                lasted[left[gone]] = action
                if watch and action >= WINDOW:
                    moved[left[gone]] = [math.fsum(motion) for motion in recent[:, gone].T]
            if not watch:
                same = (state == before[0]).all(axis=0)
                if same.any():
                    gone |= same & (nets.values == before[1]).all(axis=0)
                    fell = gone.any()
            if fell:
                stay = np.flatnonzero(~gone)
                if not len(stay):
                    return lasted, moved
                left, state, nets, recent = (
                    left[stay],
                    state[:, stay],
                    nets.take(stay),
                    recent[:, stay],
                )
                before = (before[0][:, stay], before[1][:, stay])
            if watch:
                recent[action % WINDOW] = np.abs(state[[0, 1, 2, 4]]).sum(axis=0)
            elif action & (action + 1) == 0:  # after 1, 3, 7, ... : any cycle is found
                before = (state, nets.values)
        if watch:
            moved[left] = [math.fsum(motion) for motion in recent.T]
        return lasted, moved


def _starts(count: int) -> np.ndarray:
    """Return the state at which scoring begins, for `count` networks. [6, count]"""
    state = np.zeros((6, count))
    state[2] = START
    return state


def _fallen(state: np.ndarray) -> np.ndarray:
    """Whether the cart left its track or a pole its bounds, or a state is NaN [P] bool."""
    cart, long, short = np.abs(state[[0, 2, 3]])
    inside: np.ndarray = (cart <= TRACK) & (long <= BOUND) & (short <= BOUND)
    return ~inside


def _calm(steps: int, motion: float) -> float:
    """Return Gruau's second term, which rewards a cart that stands still."""
    return 0.75 / motion if steps >= WINDOW and motion > 0 else 0.0


def _integrated(state: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Return the state [6, P] one step later, by the Runge-Kutta method of fourth order."""
    first = _motion(state, force)
    second: np.ndarray = _motion(state + STEP / 2 * first, force)
    third = _motion(state + STEP / 2 * second, force)
    fourth = _motion(state + STEP * third, force)
    second += third
    second *= 2
    second += first
    second += fourth
    second *= STEP / 6
    second += state
    return second


def _motion(state: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Return the derivative of the state [6, P] by time: Wieland's equations of motion."""
    angles, spins = state[ANGLES], state[SPINS]
    sine, cosine = np.sin(angles), np.cos(angles)
    pull = GRAVITY * sine
    rub = FRICTION / MOMENT * spins
    pushes = MOMENT * spins * spins * sine + 0.75 * MASS * cosine * (rub + pull)
    masses = MASS * (1 - 0.75 * cosine * cosine)
    change = np.empty_like(state)
    change[X], change[ANGLES] = state[V], spins
    cart = (force + pushes[0] + pushes[1]) / (masses[0] + masses[1] + CART)
    change[V] = cart
    change[SPINS] = -0.75 * (cart * cosine + pull + rub) / HALF
    return change


def load(name: str) -> Control:
    """Return the control task `name`, one of `NAMES`."""
    if name == "xor":
        return Xor(name, (2,), 1, "fitness")
    hidden = name == "double-pole-no-velocity"
    if hidden:
        return DoublePole(name, (MOMENTS, 3), 1, "fitness", recurrent=True)
    return DoublePole(name, (6,), 1, "steps")
