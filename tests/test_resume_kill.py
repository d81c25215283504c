"""Killed at any moment, a search goes on as if nothing had happened."""

import random
import signal
import time
from collections import Counter

import numpy as np
import psutil
import pytest
from tests.helpers_cli import PATIENCE, TINY, evolvent, start

import evolvent as ev
from evolvent.config.recipes import RECIPES
from evolvent.engine.store import Store
from evolvent.registry import find, kinds_of
from evolvent.types import Candidate, Result

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def data(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "toy.npz"
    every = toy.everything
    np.savez(path, x_train=every.x, y_train=every.y, x_test=toy.test.x, y_test=toy.test.y)
    return path


def events(folder):
    if not (folder / "run.db").is_file():
        return []
    store = Store(folder / "run.db")
    try:
        return list(store.events())
    finally:
        store.close()


def seconds_spent(folder):
    """What a search has been charged so far, also for what was undone later."""
    if not (folder / "run.db").is_file():
        return 0.0
    store = Store(folder / "run.db")
    try:
        return store.spent("search")
    finally:
        store.close()


def kill_after(process, lines, seconds):
    """Let a search print some lines, then kill it; return whether it was still running."""
    for _ in range(lines):
        if not process.stderr.readline():
            break
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    alive = process.poll() is None
    workers = psutil.Process(process.pid).children() if alive else []
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    _, left = psutil.wait_procs(workers, timeout=30)
    assert not left, "a worker outlived its coordinator"
    return alive


def kill_and_resume(folder, words, moments):
    """Search, killing it at each of the moments (lines printed, seconds after that)."""
    known: list[Candidate | Result] = []
    hits = 0
    for lines, seconds in moments:
        again = (folder / "config.yaml").is_file()
        process = start(*(["resume", folder, "--workers", words[-1]] if again else words))
        hits += kill_after(process, lines, seconds)
        now = events(folder)
        assert now[: len(known)] == known, "what was acknowledged is lost"
        known = now
    done = evolvent("resume", folder, "--workers", words[-1], patience=900)
    assert done.returncode == 0, done.stderr
    assert events(folder)[: len(known)] == known
    assert hits >= min(3, len(moments)), "the kills came too late to show anything"
    return ev.Run(folder)


def check_nothing_is_lost_or_done_twice(folder):
    log = events(folder)
    asked = Counter(event.id for event in log if isinstance(event, Candidate))
    told = Counter(event.candidate.id for event in log if isinstance(event, Result))
    assert asked == told
    assert sorted(asked) == list(range(len(asked)))
    assert set(asked.values()) <= {1}


def story(run):
    """What a run found, without what the clock said."""
    keys = ("id", "parent", "operator", "score", "status", "seed", "threads", "arch")
    rows = [[row[key] for key in keys] for row in run.candidates()]
    timed = ("search_seconds", "train_seconds", "versions", "controls", "baselines", "folder")
    card = {name: value for name, value in run.card.items() if name not in timed}
    others = run.card["controls"] | (run.card["baselines"] or {})
    return rows, card, {name: each["test_score"] for name, each in others.items()}


def moments(count, *, lines, seconds, seed):
    rng = random.Random(seed)
    return [(rng.randint(*lines), rng.uniform(0, seconds)) for _ in range(count)]


def words(task, folder, budget, workers):
    return ["search", task, "--budget", budget, "--out", folder, *TINY, "--workers", workers]


@pytest.mark.slow  # `test_kills` has a cheaper one for every day
def test_killed_three_times_the_run_equals_the_unbroken_one(data, tmp_path):
    done = evolvent(*words(data, tmp_path / "whole", "6t", 1))
    assert done.returncode == 0, done.stderr
    # while it settles; in the midst of the candidates; in the final training
    run = kill_and_resume(
        tmp_path / "broken",
        words(data, tmp_path / "broken", "6t", 1),
        [(2, 0.0), (6, 0.05), (9, 0.1)],
    )
    assert story(run) == story(ev.Run(tmp_path / "whole"))
    check_nothing_is_lost_or_done_twice(tmp_path / "broken")


@pytest.mark.slow
def test_killed_in_a_second_stretch_the_run_equals_the_unbroken_one(data, tmp_path):
    for folder in ("whole", "broken"):
        done = evolvent(*words(data, tmp_path / folder, "4t", 1))
        assert done.returncode == 0, done.stderr
    done = evolvent("resume", tmp_path / "whole", "--budget", "7t")
    assert done.returncode == 0, done.stderr
    known = events(tmp_path / "broken")
    asked, hits = ["resume", tmp_path / "broken", "--budget", "7t"], 0
    for lines, seconds in ((3, 0.05), (5, 0.0), (7, 0.2)):
        hits += kill_after(start(*asked), lines, seconds)
        now = events(tmp_path / "broken")
        assert now[: len(known)] == known, "what was acknowledged is lost"
        assert ev.Run(tmp_path / "broken").best.load() is not None, "the earlier network stays"
        known, asked = now, ["resume", tmp_path / "broken"]
    assert hits == 3, "the kills came too late to show anything"
    done = evolvent(*asked)
    assert done.returncode == 0, done.stderr
    assert story(ev.Run(tmp_path / "broken")) == story(ev.Run(tmp_path / "whole"))
    assert ev.Run(tmp_path / "broken").card["test_reads"] == 2
    check_nothing_is_lost_or_done_twice(tmp_path / "broken")


@pytest.mark.slow
def test_killed_twenty_times_the_run_equals_the_unbroken_one(tmp_path):
    done = evolvent(*words("digits", tmp_path / "whole", "30t", 1))
    assert done.returncode == 0, done.stderr
    run = kill_and_resume(
        tmp_path / "broken",
        words("digits", tmp_path / "broken", "30t", 1),
        moments(20, lines=(0, 6), seconds=1.0, seed=0),
    )
    assert story(run) == story(ev.Run(tmp_path / "whole"))
    assert run.status()["trials"] == 30
    check_nothing_is_lost_or_done_twice(tmp_path / "broken")


SHORT = (
    *("--set", "estimator.epochs=1", "--set", "train.epochs=2", "--set", "train.finalists=2"),
    *("--set", "train.onnx=false", "--workers", 1),
)
FEW = (
    *("--set", "strategy.batches=12", "--set", "train.epochs=2", "--set", "train.finalists=2"),
    *("--set", "train.onnx=false"),
)
IMAGES = [
    name
    for name, recipe in RECIPES.items()
    if "image" in find("estimator", recipe.estimator).kinds
    and "image" in kinds_of("space", find("space", recipe.space))
]
SHARED = [name for name in IMAGES if find("estimator", RECIPES[name].estimator).stateful]
FOR_IMAGES = [name for name in IMAGES if name not in SHARED]
LANGUAGE = [
    name for name in RECIPES if "language" in kinds_of("space", find("space", RECIPES[name].space))
]


@pytest.mark.slow
def test_weights_that_children_inherit_survive_a_kill(data, tmp_path):
    asked = ["search", data, "--recipe", "large-scale-evolution", "--budget", "12t", *SHORT]
    asked[-2:-2] = ["--set", "strategy.population=3"]
    done = evolvent(*asked, "--out", tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    again = [*asked[:2], "--out", tmp_path / "broken", *asked[2:]]
    run = kill_and_resume(tmp_path / "broken", again, [(7, 0.0), (8, 0.05), (6, 0.0)])
    assert story(run) == story(ev.Run(tmp_path / "whole"))
    assert any(event.weights_from for event in events(run.folder) if isinstance(event, Candidate))
    check_nothing_is_lost_or_done_twice(tmp_path / "broken")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", FOR_IMAGES)
def test_every_recipe_that_is_killed_equals_the_unbroken_one(recipe, tmp_path):
    budget = "60t" if RECIPES[recipe].strategy in ("reinforce", "ppo", "nao") else "40t"
    asked = ["search", "digits", "--recipe", recipe, "--budget", budget]
    done = evolvent(*asked, "--out", tmp_path / "whole", *SHORT, patience=900)
    assert done.returncode == 0, done.stderr
    run = kill_and_resume(
        tmp_path / "broken",
        [*asked, "--out", tmp_path / "broken", *SHORT],
        moments(5, lines=(2, 9), seconds=1.0, seed=3),
    )
    assert story(run) == story(ev.Run(tmp_path / "whole"))
    check_nothing_is_lost_or_done_twice(tmp_path / "broken")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SHARED)
def test_shared_weights_that_are_killed_go_on_from_their_checkpoint(recipe, tmp_path):
    asked = ["search", "digits", "--recipe", recipe, "--budget", "8t", *FEW]
    done = evolvent(*asked, "--out", tmp_path / "whole", patience=900)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "broken"
    hits = 0
    for lines, seconds in moments(5, lines=(4, 7), seconds=1.0, seed=4):
        again = (folder / "config.yaml").is_file()
        process = start(*(["resume", folder] if again else [*asked, "--out", folder]))
        hits += kill_after(process, lines, seconds)
        spent = seconds_spent(folder)
    assert hits >= 3, "the kills came too late to show anything"
    done = evolvent("resume", folder, patience=900)
    assert done.returncode == 0, done.stderr
    assert seconds_spent(folder) >= spent > 0
    assert story(ev.Run(folder)) == story(ev.Run(tmp_path / "whole"))
    check_nothing_is_lost_or_done_twice(folder)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", LANGUAGE)
def test_a_search_on_text_that_is_killed_equals_the_unbroken_one(recipe, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sees a fish\nthe dog sees a bone\n" * 900, "utf-8")
    stateful = find("estimator", RECIPES[recipe].estimator).stateful
    nodes = () if RECIPES[recipe].space == "rnn-tree" else ("--set", "space.nodes=3")
    asked = ["search", f"language:{text}", "--recipe", recipe, "--budget", "12t", *nodes]
    # which precision is faster is measured anew by every run
    asked += ["--set", "estimator.precision=float32"]
    asked += ["--set", "estimator.width=12", *(FEW if stateful else SHORT)]
    done = evolvent(*asked, "--out", tmp_path / "whole", patience=900)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "broken"
    hits = 0
    known: list[Candidate | Result] = []
    for lines, seconds in moments(5, lines=(3, 8), seconds=1.0, seed=6):
        again = (folder / "config.yaml").is_file()
        hits += kill_after(
            start(*(["resume", folder] if again else [*asked, "--out", folder])), lines, seconds
        )
        known = known if stateful else events(folder)
    assert hits >= 3, "the kills came too late to show anything"
    done = evolvent("resume", folder, patience=900)
    assert done.returncode == 0, done.stderr
    assert events(folder)[: len(known)] == known
    assert story(ev.Run(folder)) == story(ev.Run(tmp_path / "whole"))
    check_nothing_is_lost_or_done_twice(folder)


@pytest.mark.slow
def test_killed_with_two_workers_nothing_is_lost_and_nothing_is_done_twice(tmp_path):
    run = kill_and_resume(
        tmp_path / "run",
        words("digits", tmp_path / "run", "30t", 2),
        moments(10, lines=(0, 7), seconds=1.0, seed=1),
    )
    assert run.status()["trials"] == 30
    check_nothing_is_lost_or_done_twice(tmp_path / "run")


@pytest.mark.slow
def test_killed_with_a_budget_in_seconds_the_time_is_counted_in_total(tmp_path):
    asked = [word for word in words("digits", tmp_path / "run", "90s", 2) if word != "--set"]
    asked = [word for word in asked if "=" not in str(word)]
    run = kill_and_resume(tmp_path / "run", asked, moments(8, lines=(0, 12), seconds=3.0, seed=2))
    status = run.status()
    assert status["seconds"] <= 1.1 * 90
    assert status["trials"] >= 5
    check_nothing_is_lost_or_done_twice(tmp_path / "run")
