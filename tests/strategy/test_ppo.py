"""PPO: the clipped objective, several passes, probabilities of the time of asking."""

import random
from typing import Any

import pytest
import torch
from tests.helpers_strategy import Edges, answered, answers, driven, mean, right, share, third

from evolvent.errors import SettingError
from evolvent.space.cell import Cell
from evolvent.strategy.ppo import PPO
from evolvent.strategy.random import Random
from evolvent.strategy.reinforce import Reinforce
from evolvent.types import Result, stream


def drive(strategy, trials, score=right, slots=1, rng=None):
    return answers(driven(strategy, trials, lambda c: answered(c, score(c.arch)), slots, rng))


class Watched(PPO):
    """Keeps the ratios that it works with."""

    def __init__(self, space, **settings):
        super().__init__(space, **settings)
        self.ratios: list[torch.Tensor] = []

    def _gain(self, log_probs, before, advantages):
        self.ratios.append((log_probs - before).exp().detach())
        return super()._gain(log_probs, before, advantages)


def column(*values):
    return torch.tensor([[value] for value in values], dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_the_one_decision_that_matters_is_learnt_within_300_trials(seed):
    strategy = PPO(Edges(), horizon=300, seed=seed)
    drive(strategy, 300, third)
    assert share(strategy, lambda choices: choices[3] == 2) > 0.9


def test_it_learns_while_a_batch_fills_and_others_are_still_in_flight():
    rng = random.Random(0)
    told = drive(PPO(Edges(), horizon=300, seed=1), 300, slots=30, rng=rng)
    assert mean(told[-50:]) > mean(told[:50]) + 0.2


def test_several_passes_learn_more_of_a_batch_than_one():
    def after(passes):
        strategy = PPO(Edges(), batch=20, passes=passes, lr=0.005, seed=2)
        return mean(drive(strategy, 200)[-40:])

    assert after(6) > after(1) + 0.1
    assert after(1) > mean(drive(Random(Edges()), 400))


SPACES = [Edges(), Cell(nodes=3), Cell(operations="nasnet", nodes=2, combine=("add", "concat"))]


@pytest.mark.parametrize("space", SPACES)
def test_the_ratio_recomputed_from_the_choices_is_1_before_an_update(space):
    strategy = Watched(space, batch=10, seed=3)
    rng = random.Random(1)
    drive(strategy, 20, lambda arch: rng.random())
    first, *later, again = strategy.ratios[:5]
    assert torch.allclose(first, torch.ones_like(first), rtol=0, atol=1e-12)
    assert all((ratio - 1).abs().max() > 1e-3 for ratio in later), "passes move the policy"
    assert torch.allclose(again, torch.ones_like(again), rtol=0, atol=1e-12)


def test_the_ratio_of_a_candidate_from_an_older_policy_is_not_1():
    strategy = Watched(Edges(), batch=5, passes=1, lr=0.05)
    flying = [strategy.ask() for _ in range(10)]
    for candidate in flying:
        strategy.tell(Result(candidate, right(candidate.arch)))
    new, old = strategy.ratios
    assert torch.allclose(new, torch.ones_like(new), atol=1e-12)
    assert (old - 1).abs().max() > 0.01


def test_the_first_pass_is_a_step_of_reinforce():
    settings: dict[str, Any] = {
        "batch": 8,
        "lr": 0.01,
        "baseline": 0.9,
        "hidden": 20,
        "spread": 0.2,
        "seed": 4,
    }
    one, other = PPO(Edges(), passes=1, **settings), Reinforce(Edges(), **settings)
    drive(one, 8)
    drive(other, 8)
    for name, weight in one.controller.weights.items():
        assert torch.allclose(weight, other.controller.weights[name], atol=1e-9), name


def test_what_has_moved_far_enough_is_pushed_no_further_and_may_come_back():
    strategy = PPO(Edges(), clip=0.2)
    ratio = torch.tensor([[1.0, 1.1, 1.3, 0.9, 0.7]] * 2, dtype=torch.float64)
    log_probs = ratio.log().requires_grad_()
    gain = strategy._gain(log_probs, torch.zeros_like(ratio), column(2.0, -2.0))
    [slopes] = torch.autograd.grad(gain.sum(), log_probs)
    good, bad = slopes.tolist()
    assert good == pytest.approx([2.0, 2.2, 0.0, 1.8, 1.4])
    assert bad == pytest.approx([-2.0, -2.2, -2.6, -1.8, 0.0])


def test_a_smaller_clip_holds_the_policy_closer():
    def moved(clip):
        strategy = PPO(Edges(), batch=10, passes=30, clip=clip, lr=0.01, entropy=0.0, seed=0)
        paths = strategy.controller.sample([stream("moved", index) for index in range(50)])
        drive(strategy, 10)
        batch = strategy.controller.read([path.choices for path in paths])
        before = torch.tensor([path.log_probs for path in paths], dtype=torch.float64)
        return float((strategy.controller.judge(batch)[0] - before).abs().mean())

    assert moved(0.05) < moved(0.2) < moved(10.0)


@pytest.mark.parametrize(("horizon", "batch"), [(20, 2), (100, 5), (400, 20), (20_000, 20)])
def test_the_batch_and_the_learning_rate_follow_from_the_horizon(horizon, batch):
    strategy = PPO(Edges(), horizon=horizon, passes=5)
    assert strategy.batch == batch
    assert strategy.controller.lr == pytest.approx(min(0.007, batch / horizon / 5))


@pytest.mark.parametrize("settings", [{"passes": 0}, {"clip": 0.0}, {"batch": 0}, {"lr": -1.0}])
def test_settings_outside_their_rule_are_refused(settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        PPO(Edges(), **settings)
