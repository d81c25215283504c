"""Training every candidate from scratch."""

import dataclasses
import json

import pytest
from tests.helpers import elsewhere

from evolvent.errors import SettingError
from evolvent.estimator.full import Full
from evolvent.network.build import Size, build, plan
from evolvent.network.cost import cost, params
from evolvent.network.fit import TRAINED
from evolvent.network.train import Hyperparameters
from evolvent.space.cell201 import Cell201, parse
from evolvent.space.plain import Plain
from evolvent.task import Part
from evolvent.types import Budget, Candidate

SIZE, HYPER = Size(cells=1, width=4, stages=2), Hyperparameters(lr=0.1, batch=16)
ARCH = parse("302141")


def make(task, **settings) -> Full:
    return Full(Cell201(), task, **{"size": SIZE, "hyper": HYPER, "seed": 5, **settings})


def candidate(number=0, arch=ARCH, epochs=2.0, **values):
    return Candidate(number, arch, budget=Budget(epochs=epochs), **values)


def answer(estimator, asked):
    """What must be equal for equal candidates: everything but the clock."""
    result = estimator.evaluate(asked, {}).result
    metrics = {name: result.metrics[name] for name in ("accuracy", "loss", "curve")}
    return json.loads(json.dumps([result.score, metrics, result.seed, result.params]))


# ---- reproducible --------------------------------------------------------------------------------


def test_the_same_candidate_has_the_same_score_to_the_last_bit(toy):
    estimator = make(toy)
    assert answer(estimator, candidate()) == answer(estimator, candidate())
    estimator.evaluate(candidate(1), {})  # what came before does not matter
    assert answer(estimator, candidate()) == answer(make(toy), candidate())


def test_the_same_candidate_has_the_same_score_in_another_process(toy):
    code = """
import json, torch
torch.set_num_threads(1)
from tests.conftest import make_toy
from tests.estimator.test_full import answer, candidate, make
print(json.dumps(answer(make(make_toy()), candidate())))
"""
    assert json.loads(elsewhere(code)) == answer(make(toy), candidate())


def test_equal_architectures_with_different_ids_are_trained_anew(toy):
    one, other = (answer(make(toy), candidate(number)) for number in (0, 1))
    assert one[1] != other[1]
    assert one[2] != other[2]
    assert one[3] == other[3]


def test_another_seed_of_the_run_trains_differently(toy):
    one, other = (answer(make(toy, seed=seed), candidate()) for seed in (5, 6))
    assert one[2] != other[2]
    assert one[1] != other[1]


# ---- what it sees --------------------------------------------------------------------------------


def test_test_data_never_count(toy, poisoned):
    assert answer(make(poisoned), candidate()) == answer(make(toy), candidate())
    without = dataclasses.replace(toy, test=None)
    assert answer(make(without), candidate()) == answer(make(toy), candidate())


def test_the_score_is_the_accuracy_on_the_validation_part(toy):
    estimator = make(toy)
    result = estimator.evaluate(candidate(), {}).result
    assert result.score == result.metrics["accuracy"]
    assert result.score is not None
    assert (result.score * len(toy.validation)) % 1 == pytest.approx(0, abs=1e-6)
    wrong = Part(toy.validation.x, (toy.validation.y + 1) % toy.outputs)
    poisoned = make(dataclasses.replace(toy, validation=wrong)).evaluate(candidate(), {}).result
    assert poisoned.metrics["curve"] == result.metrics["curve"]  # it was not trained on
    assert poisoned.metrics["loss"] > result.metrics["loss"]


def test_it_learns(toy):
    assert (make(toy).evaluate(candidate(epochs=15), {}).result.score or 0) > 0.9


# ---- what it says --------------------------------------------------------------------------------


def test_a_result_says_what_it_cost(toy):
    result = make(toy).evaluate(candidate(epochs=3), {}).result
    assert result.candidate == candidate(epochs=3)
    assert (result.epochs, result.total_epochs) == (3.0, 3.0)
    assert 0 < result.metrics["train_seconds"] <= result.seconds
    assert result.params == params(build(Cell201(), ARCH, toy, SIZE))
    assert result.threads == 1


def test_more_is_measured_only_where_it_is_asked_for(toy):
    plain = make(toy).evaluate(candidate(), {}).result
    assert plain.flops is None
    assert "latency_ms" not in plain.metrics
    measured = make(toy, measures=["flops", "latency_ms"]).evaluate(candidate(), {}).result
    assert measured.flops == cost(plan(Cell201(), ARCH, toy, SIZE), toy).flops
    assert 0 < measured.metrics["latency_ms"] < 1000 * measured.seconds
    assert (measured.score, measured.params) == (plain.score, plain.params)


def test_what_cannot_be_measured_is_refused_with_the_nearest(toy):
    with pytest.raises(SettingError, match="'latency': did you mean 'latency_ms'"):
        make(toy, measures=["latency"])


def test_a_result_survives_json(toy):
    json.dumps(make(toy).evaluate(candidate(), {}).result.to_json())


def test_no_epochs_score_the_fresh_network(toy):
    result = make(toy).evaluate(candidate(epochs=0), {}).result
    assert result.ok
    assert (result.epochs, result.metrics["curve"]) == (0.0, [])


# ---- weights -------------------------------------------------------------------------------------


def test_weights_are_returned_only_if_they_are_to_be_kept(toy):
    assert make(toy).evaluate(candidate(), {}).state is None
    state = make(toy, keep=True).evaluate(candidate(), {}).state
    assert state is not None
    assert state.keys() == build(Cell201(), ARCH, toy, SIZE).state_dict().keys() | {TRAINED}


def test_a_promoted_candidate_trains_only_what_is_missing(toy):
    estimator = make(toy, keep=True)
    first = estimator.evaluate(candidate(epochs=2), {})
    assert first.state is not None
    result = estimator.evaluate(candidate(1, epochs=6, weights_from=(0,)), {0: first.state}).result
    assert result.epochs == pytest.approx(4, abs=0.5)
    assert result.total_epochs == pytest.approx(6, abs=0.5)


def test_a_candidate_continues_from_inherited_weights(toy):
    estimator = make(toy, keep=True)
    first = estimator.evaluate(candidate(epochs=4), {})
    assert first.state is not None
    heir = candidate(1, epochs=0, weights_from=(0,))
    again = estimator.evaluate(heir, {0: first.state}).result
    assert again.score == first.result.score
    assert again.metrics["loss"] == first.result.metrics["loss"]


# ---- what an architecture says itself ------------------------------------------------------------


class Willed(Plain):
    """A space whose architectures carry their own learning rate."""

    gives = frozenset({"training"})

    def training(self, arch):
        return {"lr": arch[1], "optimizer": "adamw"}


def test_an_architectures_own_training_is_what_it_is_trained_with(toy):
    def trained(space, arch, hyper):
        return answer(Full(space, toy, size=SIZE, hyper=hyper), candidate(arch=arch))

    own = trained(Willed(), (4, 0.03), HYPER)
    assert own == trained(Plain(), (4,), dataclasses.replace(HYPER, lr=0.03, optimizer="adamw"))
    assert own != trained(Plain(), (4,), HYPER)
