"""The front of a search, and any of its candidates exported."""

import json
from typing import Any

import pytest
import torch
import yaml
from tests.helpers import elsewhere
from tests.helpers_resolve import settled as setup_of

import evolvent as ev
from evolvent.deliver.card import Card, page
from evolvent.deliver.front import front, front_of
from evolvent.errors import RunError, SettingError
from evolvent.run import Run
from evolvent.types import Budget, Candidate, Result, failed

ALWAYS = {  # what every card has at least
    *("task", "recipe", "arch", "params", "flops", "val_score", "test_score", "metric"),
    *("search_seconds", "train_seconds", "trials", "seed", "parity_max_abs_diff"),
}
TINY: dict[str, Any] = {
    "task": {"fraction": 0.3},
    "strategy": {"minimise": ["latency_ms", "flops"], "population": 4},
    "estimator": {"epochs": 0.5, "width": 4, "keep": True},
    "train": {"epochs": 0.5, "finalists": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished search for a front on the digits, tiny."""
    out = tmp_path_factory.mktemp("runs") / "front"
    return ev.search("digits", strategy="pareto", budget="6t", workers=0, out=out, settings=TINY)


def settled(task, *minimise, strategy="pareto", estimator=None, **own):
    said = {"strategy": {"minimise": list(minimise)} if minimise else {}, "estimator": own}
    return setup_of(task, strategy=strategy, estimator=estimator, budget="4t", set=said)


# ---- the front -----------------------------------------------------------------------------------


def trial(id, score, params, epochs=1.0, **more):
    return Result(Candidate(id, budget=Budget(epochs=epochs), **more), score, params=params)


def test_the_front_holds_what_no_other_beats_at_the_longest_training():
    results = [
        trial(0, 0.9, 300),
        trial(1, 0.8, 200),
        trial(2, 0.8, 250),  # as good as 1, but larger
        trial(3, 0.5, 100),
        trial(4, 0.4, 100),
        trial(5, 1.0, 10, epochs=0.5),  # trained less
        trial(6, 1.0, 10, kind="step"),
        Result(Candidate(7, budget=Budget(epochs=1.0)), 0.99),  # of unknown size
        failed(Candidate(8, budget=Budget(epochs=1.0)), "toy"),
    ]
    assert front(results, ["params"]) == {3: (100.0,), 1: (200.0,), 0: (300.0,)}
    assert front([], ["params"]) == {}


def test_the_card_lists_the_front(run):
    told = run.card["front"]
    assert told["minimise"] == ["latency_ms", "flops"]
    rows = {row["id"]: row for row in run.front(told["minimise"])}
    assert [point["id"] for point in told["points"]] == list(rows)
    for point in told["points"]:
        assert point["score"] == rows[point["id"]]["score"]
        assert point["flops"] == rows[point["id"]]["flops"] > 0
        assert point["latency_ms"] == rows[point["id"]]["latency_ms"] > 0
    written = (run.folder / "best" / "card.md").read_text()
    assert "## The front: accuracy against latency_ms, flops" in written
    assert "no promise for another machine" in written
    for point in told["points"]:
        assert f"| {point['id']} | {point['score']:.4f} |" in written
        assert f"{point['flops']:,.0f}" in written


def test_the_card_of_a_search_with_one_goal_has_no_front(toy):
    assert front_of(settled(toy, strategy="random"), [trial(0, 0.9, 300)]) is None
    assert "## The front" not in page(Card(task="toy", recipe="random", metric="accuracy"))


def test_a_table_has_a_front_and_nothing_to_export(tmp_path):
    run = ev.search(
        "table:digits201", strategy="pareto", budget="40t", workers=0, out=tmp_path / "run"
    )
    points = run.card["front"]["points"]
    assert [point["params"] for point in points] == sorted(point["params"] for point in points)
    scores = [point["score"] for point in points]
    assert scores == sorted(scores)
    text = page(Card.from_json(run.card))
    assert "evolvent export" not in text
    assert text.split("## ")[-1].startswith("The front: ")
    assert text == (run.folder / "best" / "card.md").read_text()
    with pytest.raises(RunError, match="looked its candidates up in a table"):
        run.export(tmp_path / "net", points[0]["id"])
    with pytest.raises(RunError, match="looked its candidates up in a table"):
        run.export(tmp_path / "net")
    assert not (tmp_path / "net").exists()
    assert run.card.keys() >= ALWAYS
    assert (run.card["train_seconds"], run.card["parity_max_abs_diff"]) == (0.0, None)


# ---- what is measured ----------------------------------------------------------------------------


def test_only_what_the_objectives_ask_for_is_measured(toy):
    def measures(*minimise, **more):
        return settled(toy, *minimise, **more).parts.estimator.settings.get("measures")

    assert measures() is None
    assert measures("params") is None
    assert measures("latency_ms") == ["latency_ms"]
    assert measures("flops", "params", "latency_ms") == ["flops", "latency_ms"]
    assert measures(strategy="random") is None
    assert measures(strategy="random", measures=["flops"]) == ["flops"]


@pytest.mark.parametrize("estimator", ["inherit", "cascade"])
def test_every_estimator_that_trains_can_measure(toy, estimator):
    found = settled(toy, "latency_ms", estimator=estimator)
    assert found.parts.estimator.settings["measures"] == ["latency_ms"]


def test_an_estimator_that_cannot_is_refused(toy):
    with pytest.raises(SettingError, match="zerocost does not measure latency_ms"):
        settled(toy, "latency_ms", estimator="zerocost")


def test_every_trained_candidate_has_what_was_asked_for(run):
    for result in run.results():
        assert result.metrics["latency_ms"] > 0
        assert result.flops > 0
    config = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert config["estimator"]["measures"] == ["flops", "latency_ms"]


# ---- one of them exported ------------------------------------------------------------------------


def test_any_candidate_can_be_exported_as_the_search_trained_it(run, digits, tmp_path):
    point = run.card["front"]["points"][0]
    to = tmp_path / "net"
    assert run.export(to, point["id"]) <= 1e-4
    names = {"model.py", "weights.safetensors", "card.md", "card.json"}
    names |= {"predict.py", "reading.json"}
    assert {file.name for file in to.iterdir()} == names
    code = (
        f"import sys; sys.path.insert(0, {str(to)!r}); sys.modules['evolvent'] = None; import model; "
        "import torch; net = model.load(); print(sum(p.numel() for p in net.parameters()))"
    )
    card = json.loads((to / "card.json").read_text())
    assert int(elsewhere(code)) == card["params"]
    told = next(r for r in run.results() if r.candidate.id == point["id"])
    assert (card["candidate"], card["val_score"]) == (point["id"], point["score"])
    assert (card["flops"], card["test_score"]) == (told.flops, None)
    assert "test was not read" in (to / "card.md").read_text()
    assert card.keys() >= ALWAYS
    assert card["trials"] == run.card["trials"]
    assert card["search_seconds"] == run.card["search_seconds"]
    assert score(to, digits) == pytest.approx(told.score, abs=0.02)  # bfloat16 in the search


def score(folder, task):
    """The validation accuracy of an exported network."""
    from evolvent.deliver.export import load

    x = torch.from_numpy(task.validation.x).float().permute(0, 3, 1, 2) / task.scale
    with torch.no_grad():
        answer = load(folder)((x - task.mean[0]) / task.std[0]).argmax(1).numpy()
    return float((answer == task.validation.y).mean())


def test_weights_that_were_not_kept_lead_to_a_training(run, tmp_path):
    (run.folder / "weights" / "5.safetensors").unlink()
    with pytest.raises(RunError, match=r"not kept: evolvent train .* --candidate 5 --epochs") as it:
        run.export(tmp_path / "net", 5)
    assert "\n" not in str(it.value)
    assert not (tmp_path / "net").exists()


def test_what_is_no_candidate_or_no_empty_folder_is_refused(run, tmp_path):
    with pytest.raises(RunError, match="no result of candidate 99: evolvent show"):
        run.export(tmp_path / "net", 99)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="holds files already"):
        run.export(tmp_path, 0)
    assert not (tmp_path / "net").exists()


def test_other_data_are_refused(run, tmp_path, monkeypatch, toy):
    monkeypatch.setattr("evolvent.run.open_task", lambda name, settings: toy)
    with pytest.raises(RunError, match="are not those that"):
        Run(run.folder).export(tmp_path / "net", 0)
