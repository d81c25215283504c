"""Control tasks: the fitness and the physics of their sources, scores that no neighbour changes."""

import math
import random

import numpy as np
import pytest

from evolvent.network.families.topology import Many
from evolvent.space.topology import Topology
from evolvent.task.control import NAMES, DoublePole, _integrated, load
from evolvent.task.opening import open_task
from evolvent.task.options import settings_of

XOR, BLIND = load("xor"), load("double-pole-no-velocity")
POLES = DoublePole("double-pole", (6,), 1, "steps")

#: A linear controller that pushes towards where the long pole falls, too roughly for the short one.
HOLD = (("x2", "y0", 6.0, True), ("x3", "y0", 3.0, True), ("bias", "y0", 0.0, True))


def nets(task, *archs):
    return Many(Topology.of(task.facts), archs)


def random_archs(task, count, moves=12):
    space, draw = Topology.of(task.facts), random.Random(1)
    found = []
    for _ in range(count):
        arch = space.start(draw)
        for _ in range(draw.randint(0, moves)):
            arch = space.mutate(arch, draw).arch
        found.append(arch)
    return found


# ---- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_task_opens_by_name_and_says_what_it_is(name):
    task = open_task(name, {})
    assert (task.name, task.kind, task.trainable) == (name, "control", False)
    assert task.describe()
    assert task.counts == {}
    assert settings_of(name) == {}
    assert task.fingerprint == load(name).fingerprint


def test_the_poles_of_these_tests_are_those_of_the_name():
    assert load("double-pole") == POLES


def test_tasks_have_fingerprints_of_their_own():
    assert len({load(name).fingerprint for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("task", [XOR, POLES, BLIND], ids=NAMES)
def test_a_score_does_not_depend_on_who_else_is_scored(task):
    archs = random_archs(task, 30)
    together = task.score(nets(task, *archs))
    alone = [task.score(nets(task, arch))[0] for arch in archs]
    assert together == alone
    assert task.score(nets(task, *archs[7:13])) == together[7:13]
    assert len({score[task.metric] for score in together}) > 3


# ---- exclusive or --------------------------------------------------------------------------------


def test_a_network_that_always_says_a_half_has_four():
    (metrics,) = XOR.score(nets(XOR, (("x0", "y0", 0.0, True),)))
    assert metrics == {"fitness": 4.0, "right": 0.0}


def test_a_perfect_network_has_sixteen_and_solves_it():
    arch = (  # either of them, and not both
        ("x0", "y0", 8.0, True),
        ("x1", "y0", 8.0, True),
        ("bias", "y0", -4.0, True),
        ("n1_both", "y0", -16.0, True),
        ("x0", "n1_both", 8.0, True),
        ("x1", "n1_both", 8.0, True),
        ("bias", "n1_both", -12.0, True),
    )
    (metrics,) = XOR.score(nets(XOR, arch))
    assert metrics["fitness"] == pytest.approx(16.0, abs=1e-3)
    assert XOR.solved(metrics)
    assert not XOR.solved({"right": 3.0})


def test_there_is_nothing_in_it_that_was_not_scored():
    assert (XOR.tests, POLES.tests, BLIND.tests) == (False, True, True)


# ---- poles ---------------------------------------------------------------------------------------


def energy(state):
    """Of cart and two thin rods, in joule."""
    _, speed, *rest = state[:, 0]
    total = 0.5 * 1.0 * speed**2
    for mass, half, angle, spin in ((0.1, 0.5, rest[0], rest[2]), (0.01, 0.05, rest[1], rest[3])):
        total += 0.5 * mass * speed**2 + mass * half * speed * spin * math.cos(angle)
        total += 2 / 3 * mass * half**2 * spin**2 + mass * 9.8 * half * math.cos(angle)
    return total


def test_without_a_force_the_poles_keep_their_energy():
    state = np.array([[0.1], [0.2], [0.3], [-0.2], [0.5], [-0.4]])
    before = energy(state)
    for _ in range(12):
        state = _integrated(state, np.zeros(1))
    assert energy(state) == pytest.approx(before, rel=1e-5)
    for _ in range(48):
        state = _integrated(state, np.zeros(1))
    assert before * 0.999 < energy(state) < before  # the hinges rub a little
    assert abs(state[2, 0]) > 1  # it fell, as it must


def test_the_integration_is_of_fourth_order():
    start = np.array([[0.0], [0.0], [0.3], [0.2], [0.0], [0.0]])
    one = _integrated(start, np.array([5.0]))
    # by hand: at the start the cart is pushed by 5 N against the weight of the poles
    assert one[1, 0] == pytest.approx(0.01 * 5.0 / 1.04, rel=0.1)
    back = _integrated(one * [[1], [-1], [1], [1], [-1], [-1]], np.array([5.0]))  # time reversed
    assert np.abs(back[[0, 2, 3]] - start[[0, 2, 3]]).max() < 1e-5


def test_a_mirrored_world_falls_the_other_way_at_the_same_time():
    state = np.zeros((6, 2))
    state[2] = (0.07, -0.07)
    lasted, _ = POLES.balance(nets(POLES, HOLD, HOLD), state, 1000)
    assert lasted[0] == lasted[1]


def test_idle_hands_let_the_poles_fall_and_rough_ones_make_them():
    idle, rough = (("bias", "y0", 0.0, True),), (("bias", "y0", 8.0, True),)
    late, soon = POLES.score(nets(POLES, idle, rough))
    assert 0 < soon["steps"] < late["steps"] < 100


def test_the_fitness_without_velocities_is_a_tenth_for_time_and_the_rest_for_rest():
    for metrics in BLIND.score(nets(BLIND, *random_archs(BLIND, 20))):
        time = 0.1 * metrics["steps"] / 1000
        if metrics["steps"] < 100:
            assert metrics["fitness"] == time
        else:
            assert time < metrics["fitness"] < 1


def test_motion_is_that_of_the_last_hundred_actions():
    """One that never moves would have 0.75 over nothing; a still world is only reached by hand."""
    state = np.zeros((6, 1))
    still = (("x0", "y0", 0.0, True),)
    lasted, moved = POLES.balance(nets(POLES, still), state, 150, watch=True)
    assert (lasted[0], moved[0]) == (150, 0.0)
    state[0] = 0.5
    lasted, moved = POLES.balance(nets(POLES, still), state, 150, watch=True)
    assert moved[0] == pytest.approx(100 * 0.5)


def test_a_world_that_stands_still_is_not_followed_to_the_end():
    calls = []

    class Counted(Many):
        def __call__(self, x):
            calls.append(1)
            return super().__call__(x)

    still = Counted(Topology.of(POLES.facts), [(("x0", "y0", 0.0, True),)])
    lasted, _ = POLES.balance(still, np.zeros((6, 1)), 100_000)
    assert lasted[0] == 100_000
    assert len(calls) < 10


def test_a_state_that_is_no_number_has_fallen():
    state = np.full((6, 1), math.nan)
    assert POLES.balance(nets(POLES, HOLD), state, 10)[0][0] == 0


def test_the_test_takes_625_starts_and_never_the_one_that_is_scored():
    seen = {}

    class Watched(DoublePole):
        def balance(self, nets, state, actions, *, watch=False):
            seen["state"], seen["actions"] = state, actions
            return np.where(state[0] > 0, actions, 0), np.zeros(state.shape[1])

    watched = Watched("double-pole", (6,), 1, "steps")
    assert watched.test(nets(POLES, HOLD)) == pytest.approx(250 / 625)
    state = seen["state"]
    assert (state.shape, seen["actions"]) == ((6, 625), 1000)
    assert len({tuple(column) for column in state.T}) == 625
    assert np.abs(state).max(axis=1) == pytest.approx(
        [0.9 * 2.16, 0.9 * 1.35, 0.9 * math.radians(3.6), 0, 0.9 * math.radians(8.6), 0]
    )


def test_what_solves_the_poles():
    assert POLES.solved({"steps": 100_000.0}) is True
    assert POLES.solved({"steps": 99_999.0}) is False
    assert BLIND.solved({"steps": 999.0}) is False
    assert BLIND.solved({"steps": 1000.0}) is None
    assert not BLIND.confirmed(nets(BLIND, (("bias", "y0", 0.0, True),)))
