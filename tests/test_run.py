"""A run on disk: what one can read from it, and what it delivered."""

import json

import numpy as np
import pytest
import torch
from tests.helpers import elsewhere

import evolvent as ev
from evolvent.engine.store import Store
from evolvent.errors import RunError, SettingError
from evolvent.run import Run

CARD = {  # what every card has at least
    *("task", "recipe", "arch", "params", "flops", "val_score", "test_score", "metric"),
    *("search_seconds", "train_seconds", "trials", "seed", "parity_max_abs_diff"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on the digits, tiny."""
    return ev.search(
        "digits",
        recipe="plain-cells",
        budget="4t",
        workers=0,
        out=tmp_path_factory.mktemp("runs") / "digits",
        settings={"estimator": {"epochs": 0.5, "width": 4}, "train": {"epochs": 1.0}},
    )


@pytest.fixture
def begun(tmp_path):
    """The folder of a run that was stopped before it delivered."""
    config = "{request: {task: toy}, seed: 0, data: {}, recipe: random, budget: {}, space: {}, "
    (tmp_path / "config.yaml").write_text(config + "strategy: {}, estimator: {}, train: {}}")
    Store(tmp_path / "run.db", write=True).close()
    return Run(tmp_path)


# ---- what was delivered --------------------------------------------------------------------------


def test_the_card_is_complete_and_plain(run):
    card = json.loads((run.folder / "best" / "card.json").read_text())
    assert card == run.card
    assert card.keys() >= CARD
    assert (card["trials"], card["seed"], card["metric"]) == (4, 0, "accuracy")
    assert 0 <= card["val_score"] <= 1
    assert 0 <= card["test_score"] <= 1
    assert card["parity_max_abs_diff"] <= 1e-4
    assert card["train_examples"] == card["data"]["train"] + card["data"]["validation"]
    assert "plain" in card["controls"]
    text = (run.folder / "best" / "card.md").read_text()
    assert f"{card['params']:,}" in text
    assert f"{card['test_score']:.4f}" in text


def test_the_folder_holds_what_was_promised(run):
    names = {file.name for file in run.folder.iterdir()}
    assert {"config.yaml", "run.db", "weights", "best"} <= names
    best = {file.name for file in (run.folder / "best").iterdir()}
    assert {"model.py", "weights.safetensors", "card.md", "card.json"} <= best
    assert not [name for name in names | best if name.endswith(".part")]


def test_the_loaded_network_has_the_score_of_the_card(run, digits):
    net = run.best.load()
    assert isinstance(net, torch.nn.Module)
    assert not net.training
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == run.card["params"]
    x = torch.from_numpy(digits.test.x).float().permute(0, 3, 1, 2) / digits.scale
    with torch.no_grad():
        answer = net((x - digits.mean[0]) / digits.std[0]).argmax(1).numpy()
    assert np.mean(answer == digits.test.y) == pytest.approx(run.card["test_score"])


def test_the_best_is_what_the_card_says(run):
    assert run.best.score == run.card["val_score"]
    assert run.best.arch == run.card["arch"]


def test_an_export_works_without_evolvent(run, tmp_path):
    run.best.load()  # leaves Python's cache beside model.py
    to = tmp_path / "net"
    assert run.export(to) == run.card["parity_max_abs_diff"]
    assert {file.name for file in to.iterdir()} == {
        *("model.py", "weights.safetensors", "card.md", "card.json", "predict.py", "reading.json")
    }
    code = (
        f"import sys; sys.path.insert(0, {str(to)!r}); sys.modules['evolvent'] = None; import model; "
        "import torch; net = model.load(); "
        "print(tuple(net(model.preprocess(torch.zeros(2, 8, 8, 1))).shape))"
    )
    assert elsewhere(code) == "(2, 10)\n"


def test_an_export_overwrites_nothing(run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="holds files already"):
        run.export(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(RunError, match="cannot be made"):
        run.export(tmp_path / "mine.txt")


def test_before_the_delivery_there_is_no_best(begun, tmp_path):
    for ask in (lambda: begun.best, lambda: begun.card, lambda: begun.export(tmp_path / "net")):
        with pytest.raises(RunError, match="has not delivered yet: evolvent resume"):
            ask()
    assert not (tmp_path / "net").exists()


# ---- what was tried ------------------------------------------------------------------------------


def test_the_leaderboard_has_the_best_first(run):
    board = run.leaderboard()
    assert len(board) == 4
    assert [row["score"] for row in board] == sorted((r["score"] for r in board), reverse=True)
    assert run.leaderboard(2) == board[:2]


def test_the_front_holds_what_no_other_beats_in_score_and_size(run):
    rows = run.candidates()
    front = run.front(["params"])
    assert {row["id"] for row in front} == {
        row["id"]
        for row in rows
        if not any(
            other["score"] >= row["score"]
            and other["params"] <= row["params"]
            and (other["score"], other["params"]) != (row["score"], row["params"])
            for other in rows
        )
    }
    assert [row["params"] for row in front] == sorted(row["params"] for row in front)
    assert max(row["score"] for row in rows) in [row["score"] for row in front]


def test_a_metric_that_no_result_has_is_refused(run):
    with pytest.raises(SettingError, match=r"unknown metric 'parms': did you mean 'params'\?"):
        run.front(["parms"])


def test_a_run_that_has_just_begun_has_no_front(begun):
    assert begun.front() == []


def test_candidates_say_where_they_come_from_and_what_they_cost(run):
    rows = run.candidates()
    assert [row["id"] for row in rows] == [0, 1, 2, 3]
    assert {row["status"] for row in rows} == {"ok"}
    for row in rows:
        assert row["params"] > 0
        assert row["seconds"] > 0
        assert row["budget"] == 0.5
        assert (row["parent"] is None) == (row["operator"] == "sample")


def test_results_are_those_of_the_candidates(run):
    assert {r.candidate.id: r.score for r in run.results()} == {
        row["id"]: row["score"] for row in run.candidates()
    }


def test_the_status_of_a_finished_run(run):
    status = run.status()
    assert (status["state"], status["trials"], status["failed"]) == ("done", 4, 0)
    assert status["best_score"] == run.leaderboard(1)[0]["score"]
    assert status["seconds"] == pytest.approx(sum(status["phases"].values()), abs=0.1)
    assert status["phases"].keys() == {"setup", "search", "deliver"}


def test_the_status_of_a_run_that_has_just_begun(begun):
    status = begun.status()
    assert (status["state"], status["trials"], status["best_score"]) == ("new", 0, None)
    assert begun.leaderboard() == begun.candidates() == []


# ---- what is no run ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a run"),
        ("", "is not the config of a run"),
        ("just a text", "is not the config of a run"),
        ("request: {}", "is not the config of a run"),
        ("{request: [", "is damaged"),
        (b"\xff\xfe\x00", "is damaged"),
    ],
)
def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path, content, message):
    if content is not None:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / "config.yaml").write_bytes(data)
    with pytest.raises(RunError, match=message) as caught:
        Run(tmp_path)
    assert "\n" not in str(caught.value)


def test_reading_a_run_needs_no_torch(run):
    code = (
        "import sys; from evolvent.run import Run; "
        f"state = Run({str(run.folder)!r}).status()['state']; print(state, 'torch' in sys.modules)"
    )
    assert elsewhere(code) == "done False\n"


def test_a_run_without_its_log_is_refused(begun):
    (begun.folder / "run.db").unlink()
    for ask in (begun.status, begun.results, begun.leaderboard):
        with pytest.raises(RunError, match=r"run\.db does not exist"):
            ask()
