"""From a request to what will be done."""

import json
import types
from typing import Any

import pytest
import torch

from evolvent import recipes, resolve
from evolvent.errors import CandidateFailed, SettingError
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.resolve import (
    DELIVERY_SHARE,
    EPOCHS,
    STEPS,
    TRIALS_AIMED_AT,
    Request,
    at_most,
    choose,
    make_space,
    make_spec,
    make_strategy,
    network_settings,
    pace,
    settle,
)
from evolvent.space.cell201 import Cell201
from evolvent.strategy.random import Random


class NeedsTheMoon(Random):
    needs = frozenset({"moon"})


def chosen(task, **request):
    return choose(Request("toy", **request), task)


def settled(task, workers=1, **request):
    asked = Request("toy", **request)
    return settle(choose(asked, task), asked, task, workers)


@pytest.fixture
def speed(monkeypatch):
    """Sets the pace that the measurement finds. [s per example]"""

    def of(seconds):
        monkeypatch.setattr(resolve, "pace", lambda *args, **options: seconds)

    return of


# ---- who does what -------------------------------------------------------------------------------


def test_images_have_a_default_recipe(toy):
    found = chosen(toy)
    names = [found[part]["name"] for part in ("space", "strategy", "estimator")]
    assert (found["recipe"], names) == ("plain-cells", ["cell201", "regularized-evolution", "full"])


def test_a_part_replaces_the_recipes_and_starts_from_its_own_defaults(toy):
    own = chosen(toy, recipe="amoebanet")
    assert own["space"]["nodes"] == 5
    other = chosen(toy, recipe="amoebanet", space="cell201", strategy="random")
    assert other["space"] == {"name": "cell201"}
    assert other["strategy"] == {"name": "random"}
    assert other["estimator"] == own["estimator"]


def test_the_users_settings_come_before_the_recipes_and_those_before_the_datas(toy):
    found = chosen(toy, set={"estimator": {"width": 6, "stages": 1}})
    assert (found["estimator"]["width"], found["estimator"]["stages"]) == (6, 1)
    assert chosen(toy)["estimator"]["width"] == 24
    assert chosen(toy)["estimator"]["stages"] == 2  # 8 x 8 pixels


def test_the_final_training_is_like_the_search_unless_said_otherwise(toy):
    found = chosen(toy, set={"estimator": {"width": 6, "lr": 0.05}, "train": {"width": 12}})
    train = network_settings(found, "train")
    assert train["size"] == Size(cells=1, width=12, stages=2, stem_stride=1, reduction="conv")
    assert train["hyper"] == Hyperparameters(lr=0.05, batch=32)
    assert network_settings(found, "estimator")["size"].width == 6


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"recipe": "amoebanett"}, "unknown recipe 'amoebanett': did you mean 'amoebanet'"),
        ({"space": "cel"}, "unknown space 'cel': did you mean 'cell'"),
        ({"strategy": "regularised-evolution"}, "did you mean 'regularized-evolution'"),
        ({"estimator": "ful"}, "unknown estimator 'ful': did you mean 'full'"),
        ({"strategy": "nowhere:Mine"}, "cannot be imported"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"set": {"estimator": {"widht": 3}}}, "'widht': did you mean 'width'"),
        ({"set": {"strategy": {"populations": 3}}}, "did you mean 'population'"),
        ({"set": {"train": {"epoch": 3}}}, "did you mean 'epochs'"),
        ({"set": {"space": {"nodes": 3}}}, "unknown setting of space cell201 'nodes'"),
        ({"set": {"estimator": {"epochs": -1}}}, r"estimator\.epochs=-1"),
        ({"set": {"estimator": {"timeout": 0}}}, r"estimator\.timeout=0"),
        ({"set": {"estimator": {"width": 0}}}, r"estimator\.width=0"),
        ({"set": {"train": {"finalists": 0}}}, r"train\.finalists=0"),
        ({"set": {"train": {"stem_stride": 3}}}, r"train\.stem_stride=3"),
        ({"strategy": "tests.test_resolve:NeedsTheMoon"}, "needs moon"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(toy, request_, message):
    with pytest.raises(SettingError, match=message) as caught:
        chosen(toy, **request_)
    assert "\n" not in str(caught.value)


def test_a_recipe_may_have_other_settings_for_other_kinds_of_data():
    eden = recipes.find("eden")
    assert eden.of("estimator", "image")["aim"] == 100
    text = eden.of("estimator", "text")
    assert text["aim"] < 100
    assert text["optimizer"] == eden.of("estimator", "image")["optimizer"]
    assert eden.of("strategy", "text") == {}


def test_what_was_resolved_survives_json(toy):
    found = settled(toy, budget="20t", recipe="amoebanet")
    assert json.loads(json.dumps(found)) == found


# ---- how long ------------------------------------------------------------------------------------


def test_a_budget_in_trials_measures_nothing(toy, monkeypatch):
    monkeypatch.delattr(resolve, "pace")
    found = settled(toy, budget="40t")
    assert found["estimator"]["epochs"] == at_most("trials", toy, 32)
    assert found["strategy"]["horizon"] == 40
    assert found["budget"] == {"seconds": None, "trials": 40, "search_seconds": None}


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("budget", [60.0, 600.0, 86400.0])
@pytest.mark.parametrize("seconds", [1e-6, 1e-4, 1e-1])
def test_a_budget_in_seconds_is_shared_out_among_about_fifty_trials(
    toy, speed, seconds, budget, workers
):
    speed(seconds)
    found = settled(toy, workers, budget=f"{budget}s")
    search = found["budget"]["search_seconds"]
    assert search == pytest.approx((1 - DELIVERY_SHARE) * budget)
    epochs, horizon = found["estimator"]["epochs"], found["strategy"]["horizon"]
    most = at_most("most", toy, 32)
    assert EPOCHS["least"] <= epochs <= most
    needed = horizon * max(epochs * seconds * len(toy.train), 0.02)
    if horizon > 4:  # fewer make no search
        assert needed <= search * workers
    if 0.1 < epochs < most:
        assert horizon == pytest.approx(TRIALS_AIMED_AT, abs=2)
    assert found["estimator"]["timeout"] >= 20


@pytest.mark.parametrize(("what", "steps"), STEPS.items())
def test_small_data_are_trained_for_some_steps_and_large_ones_for_some_epochs(what, steps, toy):
    many: Any = types.SimpleNamespace(train=range(64_000))
    assert at_most(what, toy, 27) == steps / 2  # [epochs]; 54 examples are two batches
    assert at_most(what, toy, 1000) == steps
    assert at_most(what, many, 64) == EPOCHS[what]


def test_what_the_user_sets_is_not_settled(toy, speed):
    speed(1e-4)
    mine = {"estimator": {"epochs": 3.0, "timeout": 7.0}, "strategy": {"horizon": 33}}
    for budget in ("10m", "20t"):
        found = settled(toy, budget=budget, set=mine)
        assert (found["estimator"]["epochs"], found["estimator"]["timeout"]) == (3.0, 7.0)
        assert found["strategy"]["horizon"] == 33


def test_of_two_budgets_the_smaller_makes_the_horizon(toy, speed):
    speed(1e-5)
    assert settled(toy, budget="1h,30t")["strategy"]["horizon"] == 30
    assert settled(toy, budget="1h,1000000t")["strategy"]["horizon"] < 1000000


def test_the_pace_is_measured_and_leaves_the_threads_alone(toy):
    torch.set_num_threads(2)
    try:
        network = network_settings(chosen(toy), "estimator")
        arch = ("nor_conv_3x3",) * 6
        assert 0 < pace(Cell201(), arch, toy, **network) < 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_architectures_that_cannot_be_trained_are_passed_over(toy, monkeypatch):
    paces = iter([None, 1e-4, None, 2e-4, 3e-4, 4e-4])

    def measured(*args, **options):
        if (found := next(paces)) is None:
            raise CandidateFailed("the training loss became nan")
        return found

    monkeypatch.setattr(resolve, "pace", measured)
    found = settled(toy, budget="10m")
    assert found["measured"]["seconds_per_epoch"] == pytest.approx(2e-4 * len(toy.train), abs=1e-4)


def test_a_space_of_which_nothing_can_be_trained_is_refused(toy, monkeypatch):
    def measured(*args, **options):
        raise CandidateFailed("the training loss became nan")

    monkeypatch.setattr(resolve, "pace", measured)
    with pytest.raises(SettingError, match="the last because the training loss became nan"):
        settled(toy, budget="10m")


# ---- names to objects ----------------------------------------------------------------------------


def test_the_parts_get_what_was_resolved(toy):
    found = settled(
        toy,
        budget="60t",
        recipe="amoebanet",
        set={"estimator": {"width": 3, "lr": 0.01, "keep": True}, "space": {"nodes": 2}},
    )
    space: Any = make_space(found, toy)
    strategy: Any = make_strategy(found, space, 7)
    assert (space.nodes, strategy.seed, strategy.budget.epochs) == (
        2,
        7,
        at_most("trials", toy, 32),
    )
    spec = make_spec(found, toy, 7)
    assert spec.estimator_settings["size"].width == 3
    assert spec.estimator_settings["hyper"].lr == 0.01
    assert spec.estimator_settings["keep"] is True
    estimator: Any = spec().estimator
    assert (estimator.seed, estimator.size.width) == (7, 3)


def test_an_estimator_that_knows_the_cpu_only_need_not_name_it(toy):
    found = settled(toy, budget="5t")
    assert make_spec(found, toy, 0).device == "cpu"
    estimator: Any = make_spec(found, toy, 0, "meta")().estimator
    assert estimator.device == "meta"


# ---- weights that are passed on ------------------------------------------------------------------


def test_children_inherit_where_the_estimator_can(toy):
    names = {"space": "graph", "strategy": "tournament"}
    for estimator, inherits in (("inherit", True), ("full", False)):
        found = chosen(toy, estimator=estimator, **names)
        assert found["strategy"]["inherit"] is inherits
        strategy = make_strategy(
            settle(found, Request("toy", budget="9t"), toy, 1), make_space(found, toy), 0
        )
        assert vars(strategy)["inherit"] is inherits
    assert "keep" not in chosen(toy, estimator="full", **names)["estimator"]
    assert chosen(toy, strategy="asha", estimator="full")["estimator"]["keep"]


def test_inheritance_without_an_estimator_for_it_is_refused(toy):
    with pytest.raises(SettingError, match="--estimator inherit"):
        chosen(toy, estimator="full", set={"strategy": {"inherit": True}})


def test_the_recipe_says_how_a_winner_is_delivered_and_the_user_may_say_otherwise(toy):
    assert chosen(toy, recipe="large-scale-evolution")["deliver"] == "continue"
    again = {"train": {"deliver": "retrain"}}
    assert chosen(toy, recipe="large-scale-evolution", set=again)["deliver"] == "retrain"
    assert chosen(toy, set={"train": {"deliver": "continue"}})["estimator"]["keep"]
    with pytest.raises(SettingError, match="deliver"):
        chosen(toy, set={"train": {"deliver": "by post"}})


def test_a_winner_cannot_go_on_from_no_weights_or_in_another_size(toy):
    with pytest.raises(SettingError, match="keeps none"):
        chosen(toy, estimator="zerocost", set={"train": {"deliver": "continue"}})
    with pytest.raises(SettingError, match="size"):
        chosen(toy, set={"train": {"deliver": "continue", "width": 48}})


def test_the_number_of_trials_aimed_at_can_be_set(toy, speed):
    speed(0.1)
    few, many = (
        settled(toy, budget="10m", set={"estimator": {"aim": aim}})["estimator"]["epochs"]
        for aim in (10, 100)
    )
    assert few > 5 * many
