"""From a request to settings: names, defaults, links and checks."""

import json

import pytest
from tests.helpers_resolve import resolved, settled

from evolvent.config import recipes
from evolvent.errors import SettingError
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.strategy.random import Random


class NeedsTheMoon(Random):
    needs = frozenset({"moon"})


# ---- who does what -------------------------------------------------------------------------------


def test_images_have_a_default_recipe(toy):
    found = resolved(toy)
    assert found.recipe == "plain-cells"
    assert found.parts.names == ("cell201", "regularized-evolution", "full")


def test_a_part_replaces_the_recipes_and_starts_from_its_own_defaults(toy):
    own = resolved(toy, recipe="amoebanet").parts
    assert own.space.settings["nodes"] == 5
    other = resolved(toy, recipe="amoebanet", space="cell201", strategy="random").parts
    assert other.space.to_json() == {"name": "cell201"}
    assert other.strategy.to_json() == {"name": "random"}
    assert other.estimator == own.estimator


def test_the_users_settings_come_before_the_recipes_and_those_before_the_datas(toy):
    found = resolved(toy, set={"estimator": {"width": 6, "stages": 1}}).network.size
    assert (found.width, found.stages) == (6, 1)
    assert resolved(toy).network.size.width == 24
    assert resolved(toy).network.size.stages == 2  # 8 x 8 pixels


def test_the_final_training_is_like_the_search_unless_said_otherwise(toy):
    found = resolved(toy, set={"estimator": {"width": 6, "lr": 0.05}, "train": {"width": 12}})
    train = found.train.network
    assert train.size == Size(cells=1, width=12, stages=2, stem_stride=1, reduction="conv")
    assert train.hyper == Hyperparameters(lr=0.05, batch=32)
    assert found.network.size.width == 6


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
        resolved(toy, **request_)
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
        found = settled(toy, estimator=estimator, budget="9t", **names)
        assert found.parts.strategy.settings["inherit"] is inherits
        assert vars(found.strategy())["inherit"] is inherits
    assert "keep" not in resolved(toy, estimator="full", **names).parts.estimator.settings
    assert resolved(toy, strategy="asha", estimator="full").parts.estimator.settings["keep"]


def test_inheritance_without_an_estimator_for_it_is_refused(toy):
    with pytest.raises(SettingError, match="--estimator inherit"):
        resolved(toy, estimator="full", set={"strategy": {"inherit": True}})


def test_the_recipe_says_how_a_winner_is_delivered_and_the_user_may_say_otherwise(toy):
    assert resolved(toy, recipe="large-scale-evolution").deliver == "continue"
    again = {"train": {"deliver": "retrain"}}
    assert resolved(toy, recipe="large-scale-evolution", set=again).deliver == "retrain"
    kept = resolved(toy, set={"train": {"deliver": "continue"}})
    assert kept.parts.estimator.settings["keep"]
    with pytest.raises(SettingError, match="deliver"):
        resolved(toy, set={"train": {"deliver": "by post"}})


def test_a_winner_cannot_go_on_from_no_weights_or_in_another_size(toy):
    with pytest.raises(SettingError, match="keeps none"):
        resolved(toy, estimator="zerocost", set={"train": {"deliver": "continue"}})
    with pytest.raises(SettingError, match="size"):
        resolved(toy, set={"train": {"deliver": "continue", "width": 48}})


# ---- known members -------------------------------------------------------------------------------


def test_a_search_may_begin_with_known_members(toy):
    names = {"space": "stages", "strategy": "regularized-evolution", "budget": "30t"}
    setup = settled(toy, set={"strategy": {"known": True}}, **names)
    first = setup.strategy().ask()
    assert first is not None
    assert first.operator == "known airbench-32"
    assert first.budget.epochs == setup.schedule.epochs
    plain = settled(toy, **names).strategy().ask()
    assert plain is not None
    assert plain.operator == "sample"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"space": "graph", "strategy": "random"}, "random needs known, which graph x full"),
        (
            {"space": "cell201", "strategy": "random", "estimator": "shared"},
            "shared and not trained",
        ),
        ({"set": {"strategy": {"known": True, "warm": 20}}}, "both say what is tried first"),
    ],
)
def test_known_members_are_refused_where_they_would_not_be_tried_first(toy, request_, message):
    request_ = {"set": {"strategy": {"known": True}}} | request_
    with pytest.raises(SettingError, match=message):
        resolved(toy, **request_)


def test_ones_own_architecture_is_given_as_json_or_in_a_file(toy, tmp_path):
    own = ["nor_conv_1x1"] * 6
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(own))
    for given in (own, json.dumps(own), str(file)):
        setup = settled(
            toy, budget="9t", set={"space": {"known": given}, "strategy": {"known": True}}
        )
        first = setup.strategy().ask()
        assert first is not None
        assert (first.operator, first.arch) == ("known own", tuple(own))
        assert setup.to_json()["space"]["known"] == own  # the file may go


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere.json", "cannot be read"),
        ("[1, 2", "the text is no JSON"),
        ("[7]", "is not a cell of NAS-Bench-201"),
    ],
)
def test_what_is_no_architecture_is_refused(toy, text, message):
    with pytest.raises(SettingError, match=message):
        resolved(toy, set={"space": {"known": text}})


def test_a_file_without_a_list_is_refused(toy, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text("{}")
    with pytest.raises(SettingError, match="holds dict, and must hold a list"):
        resolved(toy, set={"space": {"known": str(file)}})
