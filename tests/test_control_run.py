"""From a control task to a delivered network: the command, a kill, the card, the goal."""

import json
import signal

import numpy as np
import pytest
import torch
from tests.helpers_cli import PATIENCE, evolvent, start
from tests.helpers_resolve import settled

import evolvent as ev
from evolvent.comparison.paired import compare
from evolvent.engine.events import Say
from evolvent.engine.runner import _Goal
from evolvent.engine.store import Store
from evolvent.errors import SettingError
from evolvent.estimator.simulation import Simulation
from evolvent.network.families.topology import Many
from evolvent.session import resume, search
from evolvent.space.topology import Topology
from evolvent.strategy.neat import NEAT
from evolvent.task.control import load
from evolvent.task.opening import open_task
from evolvent.training import train
from evolvent.types import Candidate, Result

NO_ONNX = ("--set", "train.onnx=false")
SMALL = {"strategy": {"population": 20}}


def rows(run):
    keys = ("id", "parents", "operator", "score", "status", "arch")
    return [[row[key] for key in keys] for row in run.candidates()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that never solves its task: too few generations."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return search("xor", recipe="neat", budget="200t", out=folder, workers=0, settings=SMALL)


def test_the_winner_is_delivered_as_it_was_found(whole):
    best = max(whole.results(), key=lambda result: (result.value, -result.candidate.id))
    card = whole.card
    assert card["candidate"] == best.candidate.id
    assert card["val_score"] == best.value
    assert card["params"] == best.params
    assert (card["test_score"], card["solved"], card["looked_up"]) == (None, False, False)
    assert card["parity_max_abs_diff"] <= 1e-6
    x = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
    net = whole.best.load()
    there = net(torch.tensor(x.T, dtype=torch.float32))
    here = Many(Topology(), [best.candidate.arch] * 4)(x)
    assert np.abs(there.detach().numpy()[:, 0] - here[0]).max() < 1e-5


def test_the_card_says_what_the_numbers_mean(whole):
    page = (whole.folder / "best" / "card.md").read_text()
    assert "the task is not solved" in page
    assert "There is no test" in page
    assert "preprocess" not in page


def test_nothing_of_a_budget_in_trials_is_left_or_exceeded(whole):
    assert whole.status()["trials"] == 200
    assert [row["id"] for row in whole.candidates()] == list(range(200))


def test_more_workers_give_the_same_rows(whole, tmp_path):
    again = search(
        "xor", recipe="neat", budget="200t", out=tmp_path / "r", workers=2, settings=SMALL
    )
    assert rows(again) == rows(whole)


def test_a_kill_changes_no_row(whole, tmp_path):
    folder = tmp_path / "run"
    words = (
        "search",
        "xor",
        "--recipe",
        "neat",
        "--budget",
        "200t",
        "--workers",
        "1",
        "--out",
        folder,
    )
    process = start(*words, *NO_ONNX, "--set", "strategy.population=20")
    for _ in range(45):  # two generations and what is said before them
        assert process.stderr
        assert process.stderr.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    with_store = Store(folder / "run.db")
    known = len(with_store.results())
    with_store.close()
    assert 0 < known < 200
    assert rows(resume(folder, workers=0)) == rows(whole)


def test_a_search_is_over_when_the_task_is_solved(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "evolvent.task.control.Xor.solved", lambda self, metrics: metrics["right"] >= 3
    )
    said: list[str] = []
    run = search(
        "xor",
        recipe="neat",
        budget="400t",
        out=tmp_path / "run",
        workers=0,
        settings=SMALL,
        callbacks=[Say(said.append)],
    )
    assert run.card["solved"]
    assert run.status()["trials"] % 20 == 0  # the generation is told to its end
    assert run.status()["trials"] < 400
    first = next(result for result in run.results() if result.metrics["right"] >= 3)
    assert run.card["candidate"] == first.candidate.id
    assert any(f"candidate {first.candidate.id} solves xor" in line for line in said)


def test_a_goal_that_takes_a_closer_look_looks_at_the_best_so_far_only(tmp_path):
    looked: list[int] = []

    class Judge:
        def solved(self, result):
            return None if result.metrics["steps"] == 1000 else False

        def confirmed(self, result):
            looked.append(result.candidate.id)
            return result.value > 0.8

    store = Store(tmp_path / "run.db", write=True)
    setup = settled(open_task("double-pole-no-velocity", {}), recipe="neat", budget="9t")
    goal = _Goal(store, setup)
    goal.judge = Judge()
    told = [(0.9, 500), (0.3, 1000), (0.2, 1000), (0.5, 1000), (0.85, 1000), (0.95, 1000)]
    reached = [
        goal.reached_by(Result(Candidate(id), score, metrics={"steps": steps}))
        for id, (score, steps) in enumerate(told)
    ]
    assert looked == [1, 3, 4]
    assert reached == [False, False, False, False, True, False]
    assert goal.reached()
    assert store.meta("solved") == 4
    store.close()


def test_a_budget_in_seconds_works_and_is_kept(tmp_path):
    run = search("xor", budget="6s", out=tmp_path / "run", workers=0, settings=SMALL)
    assert run.setup.schedule.measured["seconds_per_trial"] > 0
    assert run.status()["trials"] > 0
    waited = run.status()["phases"]["setup"]  # settling included, for which it is settled
    searched = run.setup.schedule.search_seconds
    assert searched is not None
    assert 0.85 * (6 - waited) - 0.01 <= searched <= 0.85 * 6


def test_the_command_prints_the_card_as_json(tmp_path):
    words: tuple[str, ...]
    words = ("search", "double-pole-no-velocity", "--budget", "60t", "--workers", "1", "--json")
    words += ("--out", str(tmp_path / "run"), *NO_ONNX)
    done = evolvent(*words, "--set", "strategy.population=20")
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    assert 0 <= card["test_score"] <= 1
    assert card["metric"] == "fitness"
    assert ev.Run(tmp_path / "run").best.score == card["val_score"]


def test_a_comparison_scores_whole_generations_with_the_same_outcome(monkeypatch):
    def scores(many):
        sizes = []
        whole = Simulation.evaluate_many

        def look(self, asked):
            sizes.append(len(asked))
            return whole(self, asked)

        with monkeypatch.context() as patch:
            patch.setattr(Simulation, "evaluate_many", look)
            if not many:  # it asks for one at a time
                patch.delattr(NEAT, "together")
            told = compare(
                "xor",
                strategies=["neat"],
                seeds=2,
                budget="60t",
                settings={"neat": {"population": 20}},
                workers=0,
            )
        return [trace.val for trace in told.traces["neat"]], sizes

    together, sizes = scores(many=True)
    alone, ones = scores(many=False)
    assert together == alone
    assert sizes.count(20) == 2 * 3
    assert set(ones) == {1}


def test_a_network_whose_weights_are_genes_is_not_trained(whole, tmp_path):
    with pytest.raises(SettingError, match="weights of its networks are genes"):
        train(whole.folder, epochs=1.0, out=tmp_path / "net")


def test_limits_hold_for_networks_that_carry_their_weights(tmp_path):
    run = search(
        "xor", budget="100t", out=tmp_path / "run", workers=0, settings=SMALL, max_params=3
    )
    assert run.card["params"] <= 3
    assert run.status()["refused"] > 0


def test_a_strategy_for_other_spaces_can_search_topologies_too(tmp_path):
    run = search("xor", strategy="tournament", budget="60t", out=tmp_path / "run", workers=0)
    assert run.status()["trials"] == 60


@pytest.mark.parametrize("recipe", ["large-scale-evolution", "exact", "codeepneat", "eden"])
def test_recipes_that_learn_from_examples_are_refused(recipe, tmp_path):
    with pytest.raises(SettingError, match="of kind control: use simulation"):
        search("xor", recipe=recipe, budget="10t", out=tmp_path / "run")


def test_spaces_without_weights_are_refused(tmp_path):
    with pytest.raises(SettingError, match="weighted"):
        search("xor", space="cell201", strategy="random", budget="10t", out=tmp_path / "run")


def test_results_of_a_table_still_say_what_they_cost():
    from evolvent.task import Task
    from evolvent.task.tables import Table

    assert (Table.charged, Task.charged, load("xor").charged) == (True, False, False)
