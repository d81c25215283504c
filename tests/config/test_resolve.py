"""From a request to settings: names, defaults, links and checks."""

import pytest
from tests.helpers_resolve import chosen

from evolvent.config import recipes
from evolvent.config.pacing import settle
from evolvent.config.parts import make_space, make_strategy, network_settings
from evolvent.config.resolve import Request
from evolvent.errors import SettingError
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.strategy.random import Random


class NeedsTheMoon(Random):
    needs = frozenset({"moon"})


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
        ({"strategy": "tests.config.test_resolve:NeedsTheMoon"}, "needs moon"),
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
