"""Whole runs on tables of numbers and on texts: search, resume, delivery, comparison, transfer."""

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import evolvent as ev
from evolvent.comparison.paired import compare
from evolvent.errors import RunError, SettingError
from evolvent.run import Run
from evolvent.sklearn import EvolventClassifier
from evolvent.training import train

TINY: dict[str, Any] = {"estimator": {"epochs": 4.0}, "train": {"epochs": 6.0, "finalists": 1}}
SMALL: dict[str, Any] = {"space": {"units": [4, 12]}}
WORDS: dict[str, Any] = {"space": {"embeddings": [4, 8], "filters": [3, 6]}, "task": {"length": 8}}


@pytest.fixture(scope="module", autouse=True)
def unproven():
    """The proof of an export is tested where exports are; in a fresh process it takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)
        yield


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A table of three numbers, its class, and a quantity; another one; and films."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    for name, n in (("data", 120), ("other", 90)):
        x = rng.normal(size=(n, 3))
        rows = [
            f"{a:.4f},{b:.4f},{'red' if c > 0 else 'blue'},{20 + 5 * a - 3 * b:.4f},{int(a > b)}"
            for a, b, c in x
        ]
        (folder / f"{name}.csv").write_text("a,b,c,size,side\n" + "\n".join(rows) + "\n")
    films = [f"{'good' if i % 2 else 'bad'} film {i % 7},{i % 2}" for i in range(80)]
    (folder / "films.csv").write_text("text,label\n" + "\n".join(films) + "\n")
    return folder


@pytest.fixture(scope="module")
def quantity(tables, tmp_path_factory):
    """A finished run on a quantity."""
    return ev.search(
        tables / "data.csv",
        recipe="dense",
        target="size",
        kind="regression",
        budget="8t",
        workers=0,
        settings=TINY | SMALL,
        out=tmp_path_factory.mktemp("runs") / "quantity",
    )


def test_a_quantity_is_searched_trained_and_told_in_its_unit(quantity):
    card = quantity.card
    assert (card["recipe"], card["metric"], card["classes"]) == ("dense", "r2", [])
    assert card["val_score"] > 0.3
    told = card["test_metrics"]
    assert told["r2"] == card["test_score"] <= 1
    assert 0 < told["mae"] <= told["rmse"] < 12
    assert {"random", "plain"} >= card["controls"].keys() >= {"plain"}
    page = (quantity.folder / "best" / "card.md").read_text()
    header = next(line for line in page.splitlines() if line.startswith("| network |"))
    assert header.startswith("| network | parameters |") and header.endswith("| test r2 |")
    assert f"rmse {told['rmse']:.4g}, mae {told['mae']:.4g}" in page
    assert "a plain dense network" in page
    assert "net(numbers)" in page


def test_the_columns_are_part_of_the_request_that_is_continued(quantity, tables):
    options: dict[str, Any] = {"recipe": "dense", "budget": "8t", "workers": 0}
    options |= {"settings": TINY | SMALL, "out": quantity.folder}
    again = ev.search(tables / "data.csv", target="size", kind="regression", **options)
    assert again.card == quantity.card
    with pytest.raises(RunError, match=r"task\.target: size -> side"):
        ev.search(tables / "data.csv", target="side", kind="regression", **options)
    config = yaml.safe_load((quantity.folder / "config.yaml").read_text())
    assert config["request"]["set"]["task"] == {"target": "size", "kind": "regression"}


def test_a_found_network_of_numbers_is_trained_on_another_table(quantity, tables, tmp_path):
    card = train(
        quantity.folder, out=tmp_path / "net", task=str(tables / "other.csv"), epochs=3, threads=1
    )
    assert (card["metric"], card["train_examples"]) == ("r2", 61)
    assert {"r2", "rmse", "mae", "loss", "standard-error"} == card["test_metrics"].keys()
    with pytest.raises(SettingError, match="is a task of kind text"):
        train(
            quantity.folder,
            out=tmp_path / "no",
            task=str(tables / "films.csv"),
            target="label",
            text="text",
            epochs=3,
        )


def test_a_candidate_of_such_a_run_is_exported(tables, tmp_path):
    settings = TINY | SMALL | {"estimator": {"epochs": 1.0, "keep": True}}
    run = ev.search(
        tables / "data.csv",
        recipe="dense",
        target="side",
        kind="classification",
        budget="3t",
        workers=0,
        settings=settings,
        out=tmp_path / "run",
    )
    assert run.card["metric"] == "accuracy"
    assert run.card["classes"] == ["0", "1"]
    assert Run(run.folder).export(tmp_path / "net", 1) == 0.0
    assert 'CLASSES = ["0", "1"]' in (tmp_path / "net" / "model.py").read_text()


def test_texts_are_searched_with_an_embedding_first(tables, tmp_path):
    run = ev.search(
        tables / "films.csv",
        recipe="eden",
        target="label",
        text="text",
        budget="6t",
        workers=0,
        settings=TINY | WORDS | {"estimator": {"epochs": 30.0}},
        out=tmp_path / "run",
    )
    assert run.card["recipe"] == "eden"
    kinds = [layer[1] for layer in run.card["arch"][1]]
    assert kinds[0] == "embedding"
    assert "conv1d" in kinds
    assert run.card["val_score"] > 0.5
    assert "net(tokens)" in (run.folder / "best" / "card.md").read_text()


def test_tables_are_searched_by_their_own_recipe_on_folds(tables, tmp_path):
    run = ev.search(  # by the default recipe
        tables / "data.csv",
        target="side",
        kind="classification",
        budget="3t",
        workers=0,
        settings={"space": {"widths": [16, 32], "depths": [0, 1]}} | TINY,
        out=tmp_path / "run",
    )
    assert run.card["recipe"] == "tabular"
    assert run.setup.parts.names == ("tabular", "local", "packed")
    for result in run.results():
        assert result.ok, result.reason
        assert result.metrics["folds"] == 5
        assert len(result.metrics["fold_scores"]) == 10
    assert run.card["test_score"] > 0.6
    assert "tabular" in (run.folder / "best" / "card.md").read_text()


def test_strategies_are_compared_on_a_table(tables, tmp_path):
    told = compare(
        str(tables / "data.csv"),
        strategies=["random"],
        recipe="dense",
        target="size",
        kind="regression",
        seeds=2,
        budget="2t",
        settings=TINY | SMALL,
        workers=0,
        out=tmp_path / "comparison",
    ).to_json()
    assert told["metric"] == "r2"
    kept = (tmp_path / "comparison" / "comparison.json").read_text()
    assert json.loads(kept) == json.loads(json.dumps(told))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"space": "cell"}, "space cell is for tasks of kind image, this one is of kind numbers"),
        ({"recipe": "nasnet"}, "use chain or plain"),
        ({"estimator": "zerocost"}, "use full or inherit"),
        ({"target": None}, "--target"),
        ({"settings": {"task": {"flip": True}}}, "unknown setting of task 'flip'"),
    ],
)
def test_what_cannot_work_on_a_table_is_refused(tables, tmp_path, options, reason):
    given = {"target": "size", "kind": "regression", "budget": "2t", "workers": 0} | options
    with pytest.raises(SettingError, match=reason):
        ev.search(tables / "data.csv", out=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_options_for_tables_are_refused_for_others(tmp_path):
    with pytest.raises(SettingError, match="--target is for tables"):
        ev.search("digits", target="y", out=tmp_path / "run")


BAGS: dict[str, Any] = {
    "space": {"bits": [16], "convolutions": ["none", "2-3"], "grus": [0]},
    "estimator": {"epochs": 4.0, "precision": "float32"},
    "train": {"epochs": 4.0, "finalists": 1},
}


@pytest.fixture(scope="module")
def opinions(tables, tmp_path_factory):
    """Texts of many lengths, some empty, whose class is told by two words in a row."""
    folder, rng = tmp_path_factory.mktemp("opinions"), np.random.default_rng(0)
    rows = []
    for row in range(120):
        others = " ".join(f"w{k}" for k in rng.integers(40, size=rng.choice((0, 4, 40))))
        rows.append(f"{others} not {'bad' if row % 2 else 'good'} 😀,{row % 2}")
    rows[5:7] = [",0", ",1"]
    (folder / "opinions.csv").write_text("text,label\n" + "\n".join(rows) + "\n", "utf-8")
    return folder / "opinions.csv"


def searched(file, out, **more):
    return ev.search(  # by the default recipe
        file,
        target="label",
        text="text",
        workers=0,
        settings=BAGS,
        out=out,
        **more,
    )


def test_all_tokens_of_texts_are_read_by_a_bag(opinions, tmp_path):
    run = searched(opinions, tmp_path / "run", budget="8t")
    assert run.card["recipe"] == "text"
    told = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert told["task"] == {"tokens": "all"}
    assert told["data"]["any_length"] is True
    reading = json.loads((run.folder / "best" / "reading.json").read_text())
    assert (reading["tokens"], reading["input"]["any_length"]) == ("all", True)
    assert run.card["val_score"] > 0.8


class Stop:
    """Interrupts a run at its third result."""

    seen = 0

    def on_result(self, result, **more):
        self.seen += 1
        if self.seen == 3:
            raise KeyboardInterrupt


def test_a_search_of_texts_that_is_broken_off_goes_on_the_same(opinions, tmp_path):
    whole = searched(opinions, tmp_path / "whole", budget="6t")
    with pytest.raises(KeyboardInterrupt):
        searched(opinions, tmp_path / "run", budget="6t", callbacks=[Stop()])
    rest = searched(opinions, tmp_path / "run", budget="6t")
    told = [
        [(result.candidate, result.score, result.metrics["loss"]) for result in run.results()]
        for run in (whole, rest)
    ]
    assert told[0] == told[1]
    assert whole.best.arch == rest.best.arch
    assert whole.card["val_score"] == rest.card["val_score"]
    files = [run.folder / "best" / "weights.safetensors" for run in (whole, rest)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_estimators_of_scikit_learn_read_texts_as_the_recipe_does(opinions, tmp_path):
    frame = pd.read_csv(opinions, keep_default_na=False)
    settings = BAGS | {"task": {"text": "text"}}
    model = EvolventClassifier(budget="6t", settings=settings, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(frame[["text"]], frame["label"])
    assert model.reading_["tokens"] == "all"
    assert model.score(frame[["text"]], frame["label"]) > 0.8
    turned = frame[::-1]
    shares = model.predict_proba(frame[["text"]])
    assert np.allclose(model.predict_proba(turned[["text"]])[::-1], shares, atol=1e-9)
    model.save(tmp_path / "net")
    again = EvolventClassifier.load(tmp_path / "net")
    assert np.array_equal(again.predict_proba(frame[["text"]]), shares)
