"""One typed object from the request to the delivered network."""

import dataclasses
import json
import pickle
from typing import Any

import pytest
from tests.helpers_resolve import resolved, settled

import evolvent as ev
from evolvent import registry
from evolvent.config.config_file import check_format, read_config, write_config
from evolvent.config.defaults import at_most
from evolvent.config.recipes import RECIPES
from evolvent.config.setup import Setup
from evolvent.errors import RunError
from evolvent.space.cell201 import Cell201

IMAGES = [
    name
    for name, row in RECIPES.items()
    if row.estimator in ("full", "inherit", "shared")
    and row.space not in ("text", "tabular", "polynomial", "series", "recurrent", "rnn-tree")
]


def test_the_parts_get_what_was_resolved(toy):
    found = settled(
        toy,
        budget="60t",
        recipe="amoebanet",
        seed=7,
        set={"estimator": {"width": 3, "lr": 0.01, "keep": True}, "space": {"nodes": 2}},
    )
    space: Any = found.space
    strategy: Any = found.strategy()
    assert (space.nodes, strategy.seed, strategy.budget.epochs) == (
        2,
        7,
        at_most("trials", toy, 32),
    )
    spec = found.spec
    assert spec.estimator_settings["size"].width == 3
    assert spec.estimator_settings["hyper"].lr == 0.01
    assert spec.estimator_settings["keep"] is True
    estimator: Any = spec().estimator
    assert (estimator.seed, estimator.size.width) == (7, 3)


def test_an_estimator_that_knows_the_cpu_only_need_not_name_it(toy):
    spec = settled(toy, budget="5t").spec
    assert spec.device == "cpu"
    estimator: Any = dataclasses.replace(spec, device="meta")().estimator
    assert estimator.device == "meta"


@pytest.mark.parametrize("recipe", IMAGES)
def test_it_comes_back_from_json_as_it_was(toy, recipe):
    if "image" not in (getattr(resolved(toy).parts.space.make, "kinds", {"image"})):
        pytest.skip("no recipe for images")
    found = settled(toy, budget="20t", recipe=recipe)
    plain = found.to_json()
    assert json.loads(json.dumps(plain)) == plain
    again = Setup.from_json(plain)
    assert again.to_json() == plain
    assert (again.schedule, again.budget, again.request.recipe) == (
        found.schedule,
        found.budget,
        recipe,
    )
    ours, theirs = found.strategy(), again.on(toy).strategy()
    asked = [each.to_json() for each in (ours.ask(), theirs.ask()) if each is not None]
    assert len(asked) == 2
    assert asked[0] == asked[1]


def test_a_search_looks_its_parts_up_and_makes_its_space_once(toy, tmp_path, monkeypatch):
    found, made = [], []
    find, init = registry.find, Cell201.__init__

    def counted(axis, name):
        found.append((axis, name))
        return find(axis, name)

    def built(self, *args, **settings):
        made.append(self)
        init(self, *args, **settings)

    monkeypatch.setattr(registry, "find", counted)
    monkeypatch.setattr(Cell201, "__init__", built)
    little = {"estimator": {"epochs": 0.2, "width": 4}, "train": {"epochs": 0.2, "proof": False}}
    options: dict[str, Any] = {"recipe": "plain-cells", "budget": "4t", "workers": 0}
    ev.search(toy, out=tmp_path / "run", settings=little, **options)
    assert len(made) == 1
    assert len(found) <= 6


def test_it_travels_without_the_data(toy):
    setup = settled(toy, budget="4t")
    assert setup.space is setup.space
    there = pickle.loads(pickle.dumps(setup))
    assert there.task is None
    assert there == setup
    assert len(pickle.dumps(setup)) < 10_000


def test_a_run_of_another_format_can_be_read_and_not_continued(toy, tmp_path):
    write_config(tmp_path, settled(toy, budget="4t").to_json())
    check_format(tmp_path)
    older = read_config(tmp_path) | {"format": 1, "versions": {"evolvent": "0.1.0"}}
    write_config(tmp_path, older)
    with pytest.raises(RunError, match=r"written by evolvent 0\.1\.0 \(format 1\)"):
        check_format(tmp_path)
