"""Every rule finds what it is there for: parts that break one, each in one way."""

import itertools
import random
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest

from evolvent.estimator import Evaluation
from evolvent.estimator.full import Full
from evolvent.network.build import Size
from evolvent.network.plan import Block, Plan, call
from evolvent.network.train import Hyperparameters
from evolvent.space import Decision, Move
from evolvent.space.cell201 import Cell201
from evolvent.space.plain import Plain
from evolvent.strategy.evolution import RegularizedEvolution
from evolvent.strategy.random import Random
from evolvent.testing import check_estimator, check_space, check_strategy, small_task
from evolvent.types import Budget, Candidate, Result

# ---- spaces --------------------------------------------------------------------------------------


class Lists(Plain):
    def sample(self, rng):
        return [rng.randint(2, 256)]


class Unseeded(Plain):
    def sample(self, rng):
        return (random.randint(2, 256),)


class Hashing(Plain):
    def mutate(self, arch, rng):
        return Move((2 + (arch[0] - 1 + hash(f"{rng.random()}") % 254) % 255,), "width")


class Still(Plain):
    def mutate(self, arch, rng):
        return Move(arch, "width")


class Unnamed(Plain):
    def mutate(self, arch, rng):
        return super().mutate(arch, rng).arch


class Wide(Plain):
    def mutate(self, arch, rng):
        return Move((arch[0] + 1, "wide"), "width")


class Unequal(Plain):
    gives = frozenset({"canonical"})
    count = 0

    def canonical(self, arch):
        Unequal.count += 1
        return Unequal.count


class Alike(Plain):
    def drawing(self, arch):
        return super().drawing((7,))


class Changing(Cell201):
    def crossover(self, first, second, rng):
        return Move(self.sample(random.Random()), "crossover")


class Lossy(Cell201):
    def encode(self, arch):
        return (0, *super().encode(arch)[1:])


class Unsorted(Cell201):
    def decision(self, prefix):
        found = super().decision(prefix)
        return found and Decision(found.name, found.kind, found.size, found.legal[::-1])


class Negative(Cell201):
    def one_hot(self, arch):
        return {name: rows - 1 for name, rows in super().one_hot(arch).items()}


class Misderived(Cell201):
    def derive(self, weights):
        return super().derive({name: -rows for name, rows in weights.items()})


class Mismatched(Plain):
    family = "tests.contracts.test_rules:mismatched"


class Counted(Plain):
    family = "tests.contracts.test_rules:counted"


class NoFamily(Plain):
    family = "nothing"


def mismatched(space, arch, data, size):
    """A network with one output too many."""
    return planned(arch, data.input_shape[0], data.outputs + 1, "hidden")


COUNT = itertools.count()


def counted(space, arch, data, size):
    """A network whose parameters are named by a counter."""
    return planned(arch, data.input_shape[0], data.outputs, f"hidden{next(COUNT)}")


def planned(arch, channels, outputs, name):
    calls = (
        call(name, "ConvBNReLU", "x", c_in=channels, c_out=arch[0], kernel=3, stride=1),
        call("features", "pool", name),
        call("logits", "Linear", "features", in_features=arch[0], out_features=outputs),
    )
    return Plan((Block("Network", ("x",), "logits", calls),))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Lists, "comes back from JSON"),
        (Unseeded, "the same generator gave other architectures: draw from `rng`"),
        (Hashing, "in another process"),
        (Still, "returned its input"),
        (Unnamed, "return Move"),
        (partial(Plain, largest=2), "20 samples are all equal"),
        (Unequal, "canonical differs"),
        (Alike, "its drawing is equal"),
        (Changing, "the same generator gave other architectures"),
        (Lossy, r"decode\(encode\(arch\)\) is"),
        (Unsorted, "legal is not sorted"),
        (Negative, "is below 0"),
        (Misderived, r"derive\(one_hot"),
        (Size, "has no method sample"),
    ],
)
def test_a_space_that_breaks_a_rule_is_found(make, message):
    with pytest.raises(AssertionError, match=message):
        check_space(make)


def test_a_space_whose_network_does_not_fit_is_found():
    with pytest.raises(AssertionError, match=r"makes \(2, 4\) of 2 inputs, and must make \(2, 3\)"):
        check_space(Mismatched)


def test_names_that_count_what_was_built_are_found():
    with pytest.raises(AssertionError, match="equal architectures, other names"):
        check_space(Counted)


def test_a_space_that_is_only_looked_up_needs_no_network():
    check_space(NoFamily, network=False)
    with pytest.raises(AssertionError, match="unknown family of spaces 'nothing'"):
        check_space(NoFamily)


# ---- strategies ----------------------------------------------------------------------------------


class Forgetful(Random):
    """Draws from a generator of its own, which a replay does not restore."""

    state: ClassVar[Any] = random.Random(0)

    def ask(self):
        candidate = super().ask()
        return Candidate(candidate.id, self.space.sample(self.state), budget=self.budget)


class Waiting(Random):
    """Waits for a score before it goes on."""

    def __init__(self, space, **settings):
        super().__init__(space, **settings)
        self.open = 0

    def ask(self):
        if self.open:
            return None
        self.open += 1
        return super().ask()

    def tell(self, result):
        self.open -= result.ok


class Repeating(Random):
    def ask(self):
        candidate = super().ask()
        return Candidate(candidate.id // 2, candidate.arch, budget=self.budget)


class Greedy(Random):
    def ask(self):
        candidate = super().ask()
        return Candidate(candidate.id, candidate.arch, budget=Budget(epochs=100.0))


class Same(Random):
    def __init__(self, space, *, epochs=1.0, horizon=100, seed=0):
        super().__init__(space, epochs=epochs)


class Noting(Random):
    def ask(self):
        candidate = super().ask()
        return Candidate(candidate.id, candidate.arch, budget=self.budget, note={1, 2})


class Orphans(Random):
    def ask(self):
        candidate = super().ask()
        return Candidate(
            candidate.id, candidate.arch, parents=(candidate.id + 7,), budget=self.budget
        )


class Foreign(Random):
    def ask(self):
        candidate = super().ask()
        return Candidate(candidate.id, ("nothing",), budget=self.budget)


class Counting(RegularizedEvolution):
    """Counts on results in the order of asking."""

    def tell(self, result):
        if result.candidate.id != getattr(self, "next", 0):
            raise ValueError("another one is due")
        self.next = result.candidate.id + 1
        super().tell(result)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Forgetful, "in another process"),
        (Waiting, "it would wait for ever"),
        (Repeating, "ids are"),
        (Greedy, "the run allows 9"),
        (Same, "seeds 0 and 1 gave the same"),
        (Noting, "not JSON serializable"),
        (Orphans, "without a score"),
        (Foreign, "Foreign: "),
        (Counting, "another one is due"),
        (Plain, "no attribute needs"),
    ],
)
def test_a_strategy_that_breaks_a_rule_is_found(make, message):
    with pytest.raises(AssertionError, match=message):
        check_strategy(make)


def test_a_strategy_without_randomness_may_say_so():
    check_strategy(Same, seeded=False)


def test_a_strategy_is_checked_on_a_space_of_ones_own():
    check_strategy(Random, space=Plain())


# ---- estimators ----------------------------------------------------------------------------------


class Learning(Full):
    """Full, and small."""

    def __init__(self, space, task, *, seed: int = 0, device: str = "cpu"):
        size, hyper = Size(cells=1, width=4, stages=2), Hyperparameters(lr=0.1, batch=16)
        super().__init__(space, task, size=size, hyper=hyper, keep=True, seed=seed)

    def changed(self, evaluation, **values):
        result = evaluation.result
        own = {**vars(result), **values}
        return Evaluation(Result(**own), evaluation.state)


class Losses(Learning):
    def evaluate(self, candidate, inherited):
        found = super().evaluate(candidate, inherited)
        score = found.result.metrics["loss"]
        return self.changed(found, score=score, metrics={})


class Bare(Learning):
    def evaluate(self, candidate, inherited):
        return super().evaluate(candidate, inherited).result.score


class Peeking(Learning):
    def __init__(self, space, task, *, seed: int = 0):
        super().__init__(space, task, seed=seed)
        if task.test is not None:
            self.validation.y = self.validation.y.roll(int(task.test.y[0]))


class Unseeing(Learning):
    def evaluate(self, candidate, inherited):
        found = super().evaluate(candidate, inherited)
        return self.changed(found, score=random.random(), metrics={})


class Fixed(Learning):
    def evaluate(self, candidate, inherited):
        fixed = Candidate(0, candidate.arch, budget=candidate.budget)
        return self.changed(super().evaluate(fixed, inherited), candidate=candidate)


class Stingy(Learning):
    def evaluate(self, candidate, inherited):
        return Evaluation(super().evaluate(candidate, inherited).result)


class Overwriting(Learning):
    def evaluate(self, candidate, inherited):
        found = super().evaluate(candidate, inherited)
        for state in inherited.values():
            for name in state:
                state[name] = np.zeros_like(state[name])
        return found


class Quitting(Learning):
    def evaluate(self, candidate, inherited):
        if candidate.arch[0] == "no":
            raise SystemExit("unknown")
        return super().evaluate(candidate, inherited)


class Shuffled(Learning):
    def evaluate_many(self, asked):
        return [self.evaluate(*each) for each in reversed(asked)]


class Unstorable(Learning):
    def evaluate(self, candidate, inherited):
        return self.changed(super().evaluate(candidate, inherited), metrics={"x": np.ones(1)})


class Promising(Learning):
    gives = frozenset({"score", "test"})

    def test(self, arch):
        return None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Losses, "turn the sign of a loss"),
        (Bare, r"return Evaluation\(Result"),
        (Peeking, "changes with the test data"),
        (Unseeing, "the same seed and candidate gave another result"),
        (Fixed, "other ids gave the same result"),
        (Stingy, "returned no state"),
        (Overwriting, "changed the weights that a candidate inherited"),
        (Quitting, "ends the worker"),
        (Shuffled, "in another order"),
        (Unstorable, "cannot be stored"),
        (Promising, "return a float"),
        (Random, "no attribute gives"),
    ],
)
def test_an_estimator_that_breaks_a_rule_is_found(make, message):
    with pytest.raises(AssertionError, match=message):
        check_estimator(make, task=small_task("image"))


def test_a_sound_estimator_passes():
    check_estimator(Learning, task=small_task("image"))
