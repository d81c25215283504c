"""The controller: a policy over any sequence of decisions."""

import itertools
import math

import pytest
import torch

from evolvent.space import Decision, sample_decisions
from evolvent.space.cell import Cell
from evolvent.strategy.common.controller import Controller
from evolvent.types import stream


class Stacks:
    """One to three layers: an operation each, a bit per earlier layer, and a pointer to one of them.

    The pointer of a layer never repeats that of the layer before, and layer 1 has no choice of it.
    """

    def decision(self, prefix):
        if not prefix:
            return Decision("depth", "choice", 3, (0, 1, 2))
        place = len(prefix) - 1
        before = None
        for layer in range(prefix[0] + 1):
            if place == 0:
                return Decision("operation", "choice", 2, (0, 1))
            if place <= layer:
                return Decision("skip", "bit", 2, (0, 1))
            if layer and place == layer + 1:
                legal = tuple(state for state in range(layer) if state != before)
                return Decision("state", "pointer", 2, legal)
            if layer:
                before = prefix[len(prefix) - place + layer + 1]
            place -= 1 + layer + (layer > 0)
        return None


class Bits:
    """Three bits."""

    def decision(self, prefix):
        return Decision("skip", "bit", 2, (0, 1)) if len(prefix) < 3 else None


def make(space, *, seed=0, spread=0.8, hidden=4, layers=2, lr=0.01):
    return Controller(space, hidden=hidden, layers=layers, spread=spread, lr=lr, seed=seed)


def every(space, prefix=()):
    """All complete sequences of legal choices."""
    decision = space.decision(prefix)
    if decision is None:
        return [prefix]
    return [path for value in decision.legal for path in every(space, (*prefix, value))]


def drawn(controller, number, seed=0):
    return controller.sample([stream(seed, index) for index in range(number)])


def judged(controller, sequences):
    """Log-probabilities [N] and entropies [N] of whole sequences."""
    return [part.sum(1) for part in controller.judge(controller.read(sequences))]


def total(log_probs, entropies):
    return log_probs.sum()


def test_the_probabilities_of_all_architectures_add_up_to_one():
    for space in (Stacks(), Bits()):
        log_probs, _ = judged(make(space), every(space))
        assert log_probs.exp().sum() == pytest.approx(1.0, abs=1e-12)
        assert log_probs.exp().std() > 0.001, "the toy is not uniform"


def test_the_entropies_on_the_way_add_up_to_that_of_the_policy():
    log_probs, entropies = judged(make(Stacks()), every(Stacks()))
    assert log_probs.exp() @ entropies == pytest.approx(-float(log_probs.exp() @ log_probs))


def test_architectures_are_drawn_as_often_as_their_probability_says():
    controller, paths = make(Bits(), spread=2.0), every(Bits())
    found = [path.choices for path in drawn(controller, 4000)]
    expected = judged(controller, paths)[0].exp()
    for path, probability in zip(paths, expected.tolist(), strict=True):
        error = 4 * math.sqrt(probability / 4000)
        assert found.count(path) / 4000 == pytest.approx(probability, abs=error)


def test_only_legal_values_are_drawn_and_what_leaves_no_choice_is_certain():
    controller = make(Stacks())
    paths = drawn(controller, 300)
    legal = set(every(Stacks()))
    assert {path.choices for path in paths} <= legal
    assert len({path.choices for path in paths}) > 0.4 * len(legal)
    for path in paths:
        for place, log_prob in enumerate(path.log_probs):
            decision = Stacks().decision(path.choices[:place])
            assert (log_prob == 0.0) == (len(decision.legal) == 1)


def test_what_was_drawn_is_judged_alike_whatever_stands_beside_it():
    controller = make(Stacks())
    paths = drawn(controller, 30)
    log_probs, entropies = controller.judge(controller.read([path.choices for path in paths]))
    assert len({len(path.choices) for path in paths}) == 3
    for path, row, bonus in zip(paths, log_probs.tolist(), entropies.tolist(), strict=True):
        length = len(path.choices)
        assert row[:length] == pytest.approx(path.log_probs, abs=1e-12)
        assert set(row[length:] + bonus[length:]) <= {0.0}
        alone, _ = controller.judge(controller.read([path.choices]))
        assert alone[0].tolist() == pytest.approx(row[:length], abs=1e-12)


def test_zeros_among_the_bits_count_as_much_as_ones():
    controller = make(Bits())
    batch = controller.read([(0, 0, 0), (1, 1, 1), (1, 0, 0)])
    log_probs, _ = controller.judge(batch)
    assert (log_probs < 0).all()
    first = log_probs[:, 0].exp()
    assert float(first[0] + first[1]) == pytest.approx(1.0)
    assert float(log_probs[2, 0]) == float(log_probs[1, 0])


def test_the_gradient_agrees_with_finite_differences():
    controller, rng = make(Stacks()), stream("differences")
    batch = controller.read([path.choices for path in drawn(controller, 6)])
    weights = torch.tensor([[1.0], [-0.5], [2.0], [0.1], [-1.5], [0.7]], dtype=torch.float64)

    def objective(log_probs, entropies):
        return (weights * (log_probs + 0.3 * entropies)).sum()

    gradient, step = controller.gradient(batch, objective), 1e-6
    for name, weight in controller.weights.items():
        assert gradient[name].abs().max() > 0, name
        values, slopes = weight.view(-1), gradient[name].reshape(-1)
        for place in rng.sample(range(len(values)), 3):
            old = float(values[place])
            sides = []
            for side in (step, -step):
                values[place] = old + side
                sides.append(float(objective(*controller.judge(batch))))
            values[place] = old
            slope = (sides[0] - sides[1]) / (2 * step)
            assert float(slopes[place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_step_is_one_of_adam():
    controller = make(Bits(), layers=1)
    batch = controller.read([(1, 0, 1), (0, 0, 1)])
    there = {name: weight.clone().requires_grad_() for name, weight in controller.weights.items()}
    adam = torch.optim.Adam(there.values(), lr=0.01)
    for _ in range(3):
        gradient = controller.gradient(batch, total)
        for name, weight in there.items():
            weight.grad = -gradient[name]
        adam.step()
        controller.ascend(batch, total)
    for name, weight in controller.weights.items():
        assert torch.allclose(weight, there[name].detach(), rtol=1e-10, atol=1e-12), name


def test_a_step_makes_what_is_raised_more_probable():
    controller = make(Stacks())
    path = drawn(controller, 1)[0].choices
    before = float(judged(controller, [path])[0])
    controller.ascend(controller.read([path]), total)
    assert float(judged(controller, [path])[0]) > before


def test_the_order_in_which_names_and_places_are_met_does_not_matter():
    paths = [(0, 1), (1, 0, 1, 1, 0), (2, 0, 1, 1, 0, 0, 1, 0, 1)]
    values = []
    for order in itertools.permutations(paths):
        controller = make(Stacks())
        for path in order:
            controller.read([path])
        values.append(judged(controller, paths)[0].tolist())
    for value in values:
        assert value == pytest.approx(values[0], abs=1e-12)


def test_what_it_learnt_stays_when_it_grows():
    controller, first, longer = make(Stacks()), (0, 1), (2, 0, 1, 1, 0, 0, 1, 0, 1)
    small = controller.read([first])
    controller.ascend(small, total)
    known = judged(controller, [first])[0].tolist()
    moments = {name: mean.clone() for name, (mean, _) in controller.moments.items()}
    large = controller.read([first, longer])
    assert judged(controller, [first])[0].tolist() == pytest.approx(known, abs=1e-12)
    for name, mean in moments.items():
        assert torch.equal(controller.moments[name][0][: len(mean)], mean)
        assert controller.moments[name][0].shape == controller.weights[name].shape
    before = float(judged(controller, [first, longer])[0].sum())
    controller.ascend(large, total)
    assert float(judged(controller, [first, longer])[0].sum()) > before


def test_decisions_of_equal_name_share_their_weights():
    controller = make(Cell(nodes=4))
    controller.read([sample_decisions(controller.space, stream("share"))])
    assert list(controller.starts) == ["state", "operation"]
    assert len(controller.weights["outputs"]) == 5 + 7
    assert len(controller.weights["places"]) == 2 * 4 * 4


def test_the_same_operation_can_be_right_at_one_place_and_wrong_at_another():
    controller = make(Bits(), spread=0.3, lr=0.05)
    goal, wrong = (1, 0, 1), [(0, 0, 1), (1, 1, 1), (1, 0, 0)]
    batch = controller.read([goal, *wrong])
    rewards = torch.tensor([[1.0], [-0.3], [-0.3], [-0.3]], dtype=torch.float64)
    for _ in range(40):
        controller.ascend(batch, lambda log_probs, _: (rewards * log_probs).sum())
    assert judged(controller, [goal])[0].exp() > 0.9


def test_torch_is_left_as_it_was():
    threads = torch.get_num_threads()
    state = torch.random.get_rng_state()
    try:
        torch.set_num_threads(2)
        controller = make(Stacks())
        batch = controller.read([path.choices for path in drawn(controller, 5)])
        controller.ascend(batch, total)
        assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError):
            controller.ascend(batch, lambda log_probs, entropies: log_probs * (1 / 0))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32
    assert all(weight.dtype == torch.float64 for weight in controller.weights.values())


def test_another_seed_is_another_policy():
    one, other, again = (make(Bits(), seed=seed) for seed in (0, 1, 0))
    assert judged(one, [(0, 0, 0)])[0] == judged(again, [(0, 0, 0)])[0]
    assert judged(one, [(0, 0, 0)])[0] != judged(other, [(0, 0, 0)])[0]
