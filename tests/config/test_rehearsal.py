"""Searches on shared weights, from the request to the network: horizon, checkpoints, alarms."""

import contextlib
from typing import Any

import numpy as np
import pytest
import torch

import evolvent as ev
from evolvent.config import rehearsal as sharing
from evolvent.config.recipes import RECIPES
from evolvent.deliver.card import Card, page
from evolvent.engine import checkpoints
from evolvent.engine.alarms import alarms, shared_weights
from evolvent.engine.events import Say
from evolvent.engine.store import Store
from evolvent.errors import RunError, SettingError
from evolvent.estimator.shared import Shared
from evolvent.registry import find
from evolvent.types import Candidate, Result

SMALL: dict[str, dict[str, Any]] = {
    "estimator": {"width": 4, "stages": 2, "batch": 8, "architecture": 0.4},
    "train": {"epochs": 1.0, "finalists": 1},
}
SHARED = {name: recipe for name, recipe in RECIPES.items() if recipe.estimator == "shared"}
IMAGES = [name for name, recipe in SHARED.items() if recipe.space != "recurrent"]
LANGUAGE = [name for name in SHARED if name not in IMAGES]
VARIANTS = (
    "sdarts-rs",
    "sdarts-adv",
    "drnas",
    "darts-pt",
    "p-darts",
    "snas",
)  # of darts, in the strategy alone
ROWS = [pytest.param(n, marks=pytest.mark.slow) if n in VARIANTS else n for n in IMAGES]
MORE = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("drnas", "pc-darts", "p-darts", "snas", "darts-pt")
]
CLIMBING = [n for n, r in SHARED.items() if "gradient" in find("strategy", r.strategy).needs]


@pytest.fixture(autouse=True)
def unproven(monkeypatch):
    """Exports are proven in a fresh process elsewhere; here it would take most of the time."""
    monkeypatch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)


@pytest.fixture(scope="module")
def data(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "toy.npz"
    every = toy.everything
    np.savez(path, x_train=every.x, y_train=every.y, x_test=toy.test.x, y_test=toy.test.y)
    return path


@pytest.fixture
def undelivered(monkeypatch):
    """The search is all that is looked at."""
    monkeypatch.setattr("evolvent.session._Session._deliver", lambda *args: None)


@pytest.fixture
def go(data, tmp_path):
    """Searches on the toy, in this process; settings are added to the small ones."""

    def search(folder="run", *, settings=(), **given):
        merged = {part: dict(values) for part, values in SMALL.items()}
        for part, values in dict(settings).items():
            merged[part] = merged.get(part, {}) | values
        options = {"space": "cell201", "strategy": "darts", "estimator": "shared", "budget": "3t"}
        if "recipe" in given:
            options = {"budget": "3t"}
        return ev.search(data, out=tmp_path / folder, settings=merged, **{**options, **given})

    return search


def log(run):
    store = Store(run.folder / "run.db")
    try:
        return list(store.events()), store.steps(), store.meta("checkpoint")
    finally:
        store.close()


# ---- the whole way -------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", LANGUAGE)
def test_every_recipe_of_language_goes_from_text_to_a_network(recipe, tmp_path):
    (tmp_path / "a.txt").write_text("the cat sees a fish\nthe dog sees a bone\n" * 60, "utf-8")
    run = ev.search(
        f"language:{tmp_path / 'a.txt'}",
        recipe=recipe,
        budget="4t",
        out=tmp_path / "run",
        settings={
            "task": {"length": 10},
            "space": {"nodes": 2},
            "strategy": {"batches": 2},
            "estimator": {"width": 8, "batch": 4},
            "train": {"epochs": 1.0, "finalists": 1, "width": 10},
        },
    )
    shared = run.card["shared_weights"]
    assert shared["weight_steps"] == 2 * run.setup.schedule.horizon
    assert (shared["gradients"] > 0) == (recipe in CLIMBING)
    net: Any = run.best.load()
    model = net.logits.models[0] if run.card["ngrams"] else net.logits
    assert model.table.shape[1] == 10


@pytest.mark.parametrize("recipe", ROWS)
def test_every_recipe_goes_from_data_to_a_network(recipe, go):
    tiny = {"strategy": {"batches": 2}} | ({"space": {"nodes": 2}} if "macro" not in recipe else {})
    run = go(recipe=recipe, settings=tiny, budget="4t")
    shared = run.card["shared_weights"]
    assert shared["weight_steps"] == 2 * run.setup.schedule.horizon
    assert shared["architecture_steps"] > 0
    assert (shared["gradients"] > 0) == (recipe in CLIMBING)
    assert 1 <= run.card["trials"] <= 4
    assert run.best.load()(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
    steps = log(run)[1]
    assert not {step.candidate.id for step in steps} & {row["id"] for row in run.leaderboard()}


def test_darts_writes_how_far_it_moved(go):
    run = go(settings={"strategy": {"batches": 10}})
    shared, text = run.card["shared_weights"], (run.folder / "best" / "card.md").read_text()
    assert shared["weight_steps"] == shared["gradients"] == 30
    assert shared["moved"] and shared["entropy_after"] < shared["entropy_before"] <= 1
    assert "30 batches" in text and f"to {shared['entropy_after']:.3f}" in text


def test_what_did_not_move_is_not_called_a_search(go):
    run = go(settings={"strategy": {"lr": 1e-9, "batches": 2}})
    assert run.card["shared_weights"]["moved"] is False
    assert "This was not a search" in (run.folder / "best" / "card.md").read_text()


@pytest.mark.usefixtures("undelivered")
def test_the_same_seed_gives_the_same_search(go):
    first, second = (go(folder, strategy="gdas") for folder in ("a", "b"))
    stories = [
        [(e.candidate.id, e.score, dict(e.metrics)) for e in log(run)[0] if isinstance(e, Result)]
        for run in (first, second)
    ]
    assert stories[0] == stories[1]


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 2}, "leave out --workers"),
        ({"space": "chain"}, "mixture"),
        ({"settings": {"estimator": {"unrolled": True, "optimizer": "adamw"}}}, "unrolled"),
        ({"settings": {"strategy": {"scores": 3}}}, "scores"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(go, tmp_path, given, said):
    with pytest.raises(SettingError, match=said) as error:
        go(**given)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_gradient_is_refused_where_there_is_none(data, tmp_path):
    with pytest.raises(SettingError, match="gradient"):
        ev.search(data, strategy="darts", estimator="full", space="cell201", out=tmp_path / "run")


def test_a_table_has_no_weights_to_share(tmp_path):
    with pytest.raises(SettingError, match="kind"):
        ev.search(
            "table:digits201",
            strategy="darts",
            estimator="shared",
            space="cell201",
            budget="3t",
            out=tmp_path / "run",
        )


# ---- checkpoints ---------------------------------------------------------------------------------


class Killed(BaseException):
    pass


@pytest.mark.usefixtures("undelivered")
@pytest.mark.parametrize("strategy", ["darts", "gdas", "reinforce", *MORE])
@pytest.mark.parametrize("at", [3, 17])
def test_a_killed_search_goes_on_from_its_last_checkpoint(go, monkeypatch, strategy, at):
    own = {"batches": 7} | ({"finalists": 1} if strategy == "reinforce" else {})
    options = {"strategy": strategy, "settings": {"strategy": own}, "budget": "3t"}
    whole = go("whole", **options)
    evaluate, seen = Shared.evaluate, []

    def dying(self, candidate, inherited):
        seen.append(candidate.id)
        if len(seen) == at:
            raise Killed
        return evaluate(self, candidate, inherited)

    monkeypatch.setattr(Shared, "evaluate", dying)
    with pytest.raises(Killed):
        go("broken", **options)
    monkeypatch.setattr(Shared, "evaluate", evaluate)
    store = Store(whole.folder.with_name("broken") / "run.db")
    saved = store.meta("checkpoint")
    store.close()
    again = []

    def watched(self, candidate, inherited):
        again.append(candidate.id)
        return evaluate(self, candidate, inherited)

    monkeypatch.setattr(Shared, "evaluate", watched)
    broken = go("broken", **options)
    assert again[0] == (0 if saved is None else saved + 1)
    assert (saved is None) == (at == 3)
    stories = [
        [(e.candidate.id, e.score, dict(e.metrics)) for e in log(run)[0] if isinstance(e, Result)]
        for run in (whole, broken)
    ]
    assert stories[0] == stories[1]


def spoiling(monkeypatch, times):
    """Let the loss of the shared weights be no number in the 12th step, so many times."""
    learn, count = Shared._learn, {"spoilt": 0}

    def spoilt(self, rows, batches):
        if batches and self.trainer.done == 11 and count["spoilt"] < times:
            count["spoilt"] += 1
            return {"train_loss": self._finite(float("nan"))}
        return learn(self, rows, batches)

    monkeypatch.setattr(Shared, "_learn", spoilt)
    return count


@pytest.mark.usefixtures("undelivered")
def test_a_loss_that_is_no_number_goes_back_to_the_checkpoint(go, monkeypatch):
    said: list[str] = []
    count = spoiling(monkeypatch, 2)
    run = go(settings={"strategy": {"batches": 7}}, callbacks=[Say(said.append)])
    assert count["spoilt"] == 2
    assert [line for line in said if "back to" in line][1].endswith("(2 of 3)")
    assert [e.id for e in log(run)[0] if isinstance(e, Candidate)] == list(range(3 * 8))


def test_after_three_rewinds_the_search_ends_with_a_line(go, monkeypatch):
    count = spoiling(monkeypatch, 99)
    with pytest.raises(RunError, match=r"3 times, and again .*loss"):
        go(settings={"strategy": {"batches": 7}})
    assert count["spoilt"] == 1 + checkpoints.REWINDS


# ---- the horizon ---------------------------------------------------------------------------------


class Counting:
    """Asks for so many steps and a trial in each of its epochs."""

    def __init__(self, batches, epochs):
        self.plan = iter(epochs * [*batches * ["step"], "trial"])
        self.asked = 0

    def ask(self):
        kind = next(self.plan, None)
        self.asked += 1
        return None if kind is None else Candidate(self.asked, kind=kind)

    def tell(self, result):
        assert result.candidate.id == self.asked


def test_a_rehearsal_evaluates_a_few_and_counts_the_rest(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("evolvent.config.rehearsal.time.monotonic", lambda: clock[0])
    evaluated = []

    def evaluate(candidate):
        evaluated.append(candidate.kind)
        clock[0] += 0.25 if candidate.kind == "step" else 3.0
        return Result(candidate, 0.5)

    strategy = Counting(100, sharing.REHEARSED)
    pace = sharing.rehearse(strategy, evaluate, batches=100)
    assert pace.batch == pytest.approx(0.25) and pace.trial == pytest.approx(3.0)
    assert evaluated.count("step") == sharing.LOOKS
    assert evaluated.count("trial") == 2


@pytest.mark.parametrize(
    ("seconds", "batch", "trial", "expected"),
    [
        (1000, 0.01, 1.0, (450, 100)),  # passes over the data of 2 s, in 0.9 of the time
        (100, 0.1, 1.0, (10, 80)),  # a pass takes 10 s: ten shorter epochs
        (100, 0.1, 6.0, (3, 100)),  # trials may take a fifth
        (1, 10.0, 10.0, (1, 1)),  # nothing fits: the budget cuts
    ],
)
def test_epochs_are_passes_unless_too_few_fit(seconds, batch, trial, expected):
    pace = sharing.Pace(batch, trial)
    assert sharing.fitting(seconds, pace, batches=100, more_trials=0) == expected


def test_threads_are_used_where_they_are_clearly_faster(monkeypatch):
    clock, threads = [0.0], [1]
    monkeypatch.setattr("evolvent.config.rehearsal.time.monotonic", lambda: clock[0])

    class Using:
        def __init__(self, number):
            threads[0] = number

        def __enter__(self):
            pass

        def __exit__(self, *error):
            pass

    for two, expected in ((0.5, 2), (0.95, 1), (10.0, 1)):
        took = {1: 1.0, 2: two}

        def evaluate(candidate, took=took):
            clock[0] += took[threads[0]]
            return Result(candidate, 0.5)

        assert sharing.faster(Counting(99, 1), evaluate, (1, 2), Using) == expected


def test_more_threads_are_not_tried_where_steps_take_much_of_the_search(monkeypatch):
    clock, used = [0.0], []
    monkeypatch.setattr("evolvent.config.rehearsal.time.monotonic", lambda: clock[0])

    def evaluate(candidate):
        clock[0] += 2.0
        return Result(candidate, 0.5)

    @contextlib.contextmanager
    def using(number):
        used.append(number)
        yield

    assert sharing.faster(Counting(99, 1), evaluate, (1, 2), using, seconds=20.0) == 1
    assert (used, clock[0]) == ([1], 2.0)
    sharing.rehearse(Counting(99, 1), evaluate, batches=100, seconds=20.0)
    assert clock[0] <= 2.0 + 3 * 2.0, "of every kind of candidate one"


def test_a_budget_of_time_is_met(go):
    run = go(budget="10s", settings={"train": {"finalists": 1}})
    assert run.setup.schedule.threads >= 1
    assert run.setup.schedule.measured["seconds_per_batch"] > 0
    assert run.card["trials"] >= 1


# ---- alarms --------------------------------------------------------------------------------------


def trial(id, **note):
    return Result(Candidate(id, ("a",), note=note), 0.5)


def test_alarms_are_raised_once_each():
    trials = [
        trial(1, epoch=1, entropy=0.99, skips=0.2),
        trial(2, epoch=2, entropy=0.05, skips=0.5),
        trial(3, epoch=3, entropy=0.01, skips=1.0),
    ]
    found = alarms(trials, 10)
    assert [(alarm.candidate, alarm.name) for alarm in found] == [
        (2, "skip connections"),
        (2, "entropy"),
    ]
    assert "50%" in str(found[0]) and "most_skips" in str(found[0])
    assert alarms(trials[:1], 10) == []


def test_a_drift_to_poolings_is_an_alarm_too():
    trials = [trial(1, epoch=1, skips=0.25, free=0.75), trial(2, epoch=2, skips=0.25, free=1.0)]
    (found,) = alarms(trials, 10)
    assert (found.candidate, found.name) == (2, "no weights")
    assert "100%" in str(found) and "strategy.warmup" in str(found)


def test_a_search_may_settle_late():
    assert alarms([trial(1, epoch=9, entropy=0.01)], 10) == []


def test_notes_of_other_strategies_mean_nothing():
    assert alarms([Result(Candidate(0, "a", note=("x", 1)), 0.5), trial(1)], 10) == []


def test_darts_drifts_to_skips_and_the_alarm_says_so(go, monkeypatch):
    said: list[str] = []
    step = Shared._differentiated

    def skipping(self, rows, x, y, carry=None):
        logits, slopes = step(self, rows, x, y, carry)
        return logits, {name: np.eye(5)[1] * -np.ones_like(s) for name, s in slopes.items()}

    monkeypatch.setattr(Shared, "_differentiated", skipping)
    run = go(settings={"strategy": {"batches": 6}}, callbacks=[Say(said.append)])
    raised = [line for line in said if line.startswith("alarm")]
    assert len(raised) == 1 and "skip connections" in raised[0]
    assert run.card["shared_weights"]["alarms"][0]["name"] == "skip connections"
    assert "skip connections" in page(Card.from_json(run.card))
    own = {"batches": 6, "spread": 1.0, "lr": 0.02, "most_skips": 2}
    stopped = go("stopped", settings={"strategy": own}, budget="12t", seed=1)
    assert stopped.card["trials"] < 12
    assert tuple(stopped.card["arch"]).count("skip_connect") <= 2


def test_of_a_search_without_shared_weights_a_card_has_nothing(tmp_path):
    store = Store(tmp_path / "run.db", write=True)
    assert shared_weights(10, store) is None
    assert "shared weights" not in page(Card(task="toy", recipe="random", metric="accuracy"))
    store.close()
