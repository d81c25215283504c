"""Sessions: searching, stopping, going on; and what is refused before anything is made."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import yaml

import evolvent as ev
from evolvent.config.request import Request
from evolvent.deliver import trainings as deliver
from evolvent.engine.events import Say
from evolvent.engine.store import Store
from evolvent.errors import RunError, SettingError, UserError
from evolvent.execute import worker
from evolvent.network.fit import scored
from evolvent.types import Result

TINY = {"estimator": {"epochs": 3.0, "width": 4}, "train": {"epochs": 8.0}}
HERE = "tests.helpers_failures:"
CELLS: dict[str, Any] = {"recipe": "plain-cells", "budget": "6t", "workers": 0, "settings": TINY}
OWN = {"space": HERE + "Widths", "strategy": "random", "settings": {"estimator": {"epochs": 1.0}}}


def arrays(task, *, shift=0):
    """The toy as ``.npz`` has it; with a shift the test labels are wrong."""
    return {
        "x_train": task.everything.x,
        "y_train": task.everything.y,
        "x_test": task.test.x,
        "y_test": (task.test.y + shift) % task.outputs,
    }


@pytest.fixture(scope="module")
def data(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "toy.npz"
    np.savez(path, **arrays(toy))
    return path


@pytest.fixture(autouse=True)
def unproven(monkeypatch):
    """Exports are proven in a fresh process elsewhere; here it would take most of the time."""
    monkeypatch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)


@pytest.fixture
def go(data, tmp_path):
    """Searches in this process, in the same folder every time."""

    def search(folder="run", *, task=data, **given):
        return ev.search(task, out=tmp_path / folder, **CELLS | given)

    return search


def story(run):
    """What a run found, without what the clock said."""
    keys = ("id", "parent", "operator", "score", "status", "seed", "arch")
    card = {
        name: run.card[name]
        for name in (
            *("arch", "candidate", "params", "val_score", "test_score", "search_score", "trials"),
            *("train_epochs", "finalists", "random_is_the_winner"),
        )
    }
    controls = {name: c["test_score"] for name, c in run.card["controls"].items()}
    return [[row[key] for key in keys] for row in run.candidates()], card, controls


def plain(result):
    return json.dumps([result.candidate.to_json(), result.to_json()])


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    """What the search of these tests finds when nothing happens to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)
        folder = tmp_path_factory.mktemp("unbroken") / "run"
        return story(ev.search(data, out=folder, **CELLS))


# ---- the same again ------------------------------------------------------------------------------


def test_a_task_in_memory_is_searched_and_continued_with_it_alone(toy, tmp_path):
    options = {"recipe": "plain-cells", "budget": "2t", "workers": 0, "out": tmp_path / "run"}
    settings = TINY | {"train": TINY["train"] | {"proof": False, "controls": False}}
    run = ev.search(toy, settings=settings, **options)
    assert (run.card["task"], run.card["controls"]) == ("toy", {})
    assert run.card["parity_max_abs_diff"] is None
    assert "Largest difference" not in (run.folder / "best" / "card.md").read_text()
    assert run.export(tmp_path / "net") is None
    assert ev.search(toy, settings=settings, **options).card == run.card
    other = dataclasses.replace(toy, train=toy.validation)
    with pytest.raises(RunError, match="the data of toy are not those"):
        ev.search(other, settings=settings, **options)


def test_the_same_request_gives_the_same_run(go, unbroken):
    assert story(go()) == unbroken


def test_another_seed_gives_another_run(go, unbroken):
    assert story(go(seed=1))[0] != unbroken[0]


def test_a_finished_run_is_shown_and_not_done_again(go, monkeypatch):
    said: list[str] = []
    first = go()
    monkeypatch.setattr(worker, "evaluate", None)
    again = go(callbacks=[Say(said.append)])
    assert story(again) == story(first)
    assert len(said) == 1
    assert "is finished" in said[0]


def test_every_result_is_heard(go):
    heard: list[Result] = []

    class Hearing:
        on_result = staticmethod(heard.append)

    run = go(callbacks=[Hearing()])
    assert [plain(result) for result in heard] == [plain(result) for result in run.results()]


def test_the_answer_never_depends_on_test_data(go, toy, tmp_path, unbroken):
    wrong = tmp_path / "toy.npz"
    np.savez(wrong, **arrays(toy, shift=1))
    rows, card, _ = story(go(task=wrong))
    assert rows == unbroken[0]
    assert card | {"test_score": None} == unbroken[1] | {"test_score": None}
    assert card["test_score"] != unbroken[1]["test_score"]


def test_test_data_are_read_once_for_the_winner_and_each_control(go, monkeypatch):
    read: list[str] = []

    def counting(net, task, part, **options):
        read.extend(["test"] if part is task.test else [])
        return scored(net, task, part, **options)

    monkeypatch.setattr(worker, "scored", counting)
    card = go().card
    assert len(read) == 1 + len(card["controls"])


# ---- stopped and resumed -------------------------------------------------------------------------


def stop_at(count, call):
    """Interrupt instead of the call with this number."""
    calls = iter(range(count + 1))

    def interrupted(*args):
        if next(calls, None) == count:
            raise KeyboardInterrupt
        return call(*args)

    return interrupted


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_search_that_was_stopped_goes_on(go, unbroken, count, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(worker, "evaluate", stop_at(count, worker.evaluate))
        with pytest.raises(KeyboardInterrupt):
            go()
    status = ev.Run(tmp_path / "run").status()
    assert (status["state"], status["trials"], status["running"]) == ("searching", count, 1)
    assert story(ev.resume(tmp_path / "run", workers=0)) == unbroken


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_delivery_that_was_stopped_goes_on(go, unbroken, count, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(deliver, "fit", stop_at(count, worker.fit))
        with pytest.raises(KeyboardInterrupt):
            go()
    left = []

    def counting(context, job):
        left.append(job.name)
        return worker.fit(context, job)

    monkeypatch.setattr(deliver, "fit", counting)
    assert story(go()) == unbroken
    assert len(left) == 2 + len(unbroken[1]["finalists"]) + (len(unbroken[2]) - 1) - count


def test_an_export_that_was_stopped_is_made_again(go, unbroken, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr("evolvent.deliver.card.page", stop_at(0, str))
        with pytest.raises(KeyboardInterrupt):
            go()
    assert ev.Run(tmp_path / "run").status()["state"] == "searched"
    assert story(go()) == unbroken


def test_a_run_that_was_stopped_before_it_was_settled_begins(go, unbroken, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    Store(folder / "run.db", write=True).close()
    (folder / ".config.yaml.part").write_text("request: {tas")
    assert story(go()) == unbroken


def test_what_was_settled_is_not_settled_again(go, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(deliver, "fit", stop_at(0, worker.fit))
        with pytest.raises(KeyboardInterrupt):
            go(budget="4s,5t")
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    monkeypatch.delattr("evolvent.session.settle")
    run = go(budget="4s,5t")
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before
    assert run.status()["state"] == "done"
    settled = yaml.safe_load(before)
    assert settled["measured"]["seconds_per_epoch"] > 0
    assert settled["strategy"]["horizon"] <= 5


def test_a_relative_path_is_found_again_from_elsewhere(go, data, monkeypatch, tmp_path, unbroken):
    monkeypatch.chdir(data.parent)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "evaluate", stop_at(2, worker.evaluate))
        with pytest.raises(KeyboardInterrupt):
            go(task=data.name)
    monkeypatch.chdir(tmp_path)
    assert story(ev.resume("run", workers=0)) == unbroken


def test_the_config_says_all_that_a_result_depends_on(go, tmp_path):
    go()
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["versions"].keys() == {"evolvent", "python", "torch", "numpy", "machine"}
    assert config["data"]["fingerprint"]
    assert config["seed"] == 0
    assert config["estimator"]["epochs"] == 3.0


# ---- what is refused -----------------------------------------------------------------------------


def test_other_settings_are_refused_with_the_difference(go, tmp_path):
    go()
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    with pytest.raises(
        RunError, match=r"budget: 6t -> 7t; set\.estimator\.width: 4 -> 5"
    ) as caught:
        go(budget="7t", settings=TINY | {"estimator": {"epochs": 3.0, "width": 5}})
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


def test_settings_that_are_the_same_in_a_file_are_the_same(go):
    options = {"recipe": "amoebanet", "budget": "2t"}
    operations = ("max_pool_3x3", "skip_connect")
    first = go(settings=TINY | {"space": {"nodes": 1, "operations": operations}}, **options)
    again = go(settings=TINY | {"space": {"operations": [*operations], "nodes": 1}}, **options)
    assert story(again) == story(first)


def test_other_data_are_refused(go, toy, tmp_path, monkeypatch):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays(toy))
    with monkeypatch.context() as patch:
        patch.setattr(worker, "evaluate", stop_at(2, worker.evaluate))
        with pytest.raises(KeyboardInterrupt):
            go(task=path)
    np.savez(path, **arrays(toy, shift=1))
    with pytest.raises(RunError, match=r"the data of .* are not those"):
        go(task=path)
    path.unlink()
    with pytest.raises(UserError, match=r"mine\.npz"):
        go(task=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "0t"}, "budget"),
        ({"max_params": 0}, "max_params=0: a limit must be above 0"),
        ({"max_latency_ms": -1.0}, "max_latency_ms=-1.0"),
        ({"workers": -1}, "workers=-1"),
        ({"recipe": "nothing"}, "unknown recipe"),
        ({"settings": {"estimater": {"epochs": 1}}}, "did you mean 'estimator'"),
        ({"settings": {"estimator": {"lr": -1.0}}}, "lr=-1.0"),
        ({"settings": {"train": {"lr": -1.0}}}, "lr=-1.0"),
        ({"settings": {"strategy": {"sample": 50}}}, "sample=50"),
        ({"settings": {"task": {"validaton": 0.2}}}, "did you mean 'validation'"),
        ({"task": "no/such/path"}, "no/such/path"),
        ({"task": ""}, "the task is empty"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(go, tmp_path, options, message):
    with pytest.raises(UserError, match=message) as caught:
        go(**options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(go, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="neither a run nor an empty folder"):
        go()
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["thesis.txt"]
    with pytest.raises(RunError, match="neither a run nor an empty folder"):
        go("run/thesis.txt")
    with pytest.raises(RunError, match="cannot be made"):
        go("run/thesis.txt/below")


@pytest.mark.parametrize("damage", ["missing", "empty", "foreign"])
def test_a_run_whose_log_is_gone_is_refused(go, tmp_path, damage, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(worker, "evaluate", stop_at(2, worker.evaluate))
        with pytest.raises(KeyboardInterrupt):
            go()
    file = tmp_path / "run" / "run.db"
    file.unlink()
    if damage != "missing":
        file.write_bytes(b"" if damage == "empty" else b"not a database" * 100)
    with pytest.raises(RunError, match=r"run\.db is (missing|damaged)"):
        go()


def test_a_log_without_its_config_is_refused(go, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(worker, "evaluate", stop_at(2, worker.evaluate))
        with pytest.raises(KeyboardInterrupt):
            go()
    (tmp_path / "run" / "config.yaml").unlink()
    with pytest.raises(RunError, match=r"holds a search without its config\.yaml"):
        go()


def test_a_run_that_another_process_works_on_is_refused(go, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(worker, "evaluate", stop_at(0, worker.evaluate))
        with pytest.raises(KeyboardInterrupt):
            go()
    other = Store(tmp_path / "run" / "run.db", write=True)
    with pytest.raises(RunError, match="in use by another process"):
        go()
    other.close()


# ---- limits and failures -------------------------------------------------------------------------


def test_refused_candidates_use_no_trial_and_the_winner_keeps_the_limit(go):
    run = go(max_params=1300)
    rows = run.candidates()
    status = run.status()
    assert status["trials"] == 6
    assert status["refused"] == sum(row["status"] == "refused" for row in rows) > 0
    assert all("the limit is 1,300" in row["reason"] for row in rows if row["status"] == "refused")
    assert all(row["params"] <= 1300 for row in rows if row["status"] == "ok")
    assert run.card["params"] <= 1300


def test_limits_that_admit_nothing_end_the_search_with_a_clear_line(go, monkeypatch):
    monkeypatch.setattr("evolvent.engine.loop.REFUSALS", 30)
    with pytest.raises(
        SettingError, match=r"the limits refused 30 candidates in a row.*parameters"
    ):
        go(max_params=1)


def test_a_search_in_which_everything_fails_says_why(go, tmp_path):
    with pytest.raises(
        RunError, match=r"6 failed, the last because ZeroDivisionError: candidate 5"
    ):
        go(estimator=HERE + "Hopeless", **OWN)
    assert ev.Run(tmp_path / "run").status()["failed"] == 6


def test_an_estimator_that_cannot_begin_ends_the_search(go):
    with pytest.raises(FileNotFoundError, match="the weights to start from"):
        go(estimator=HERE + "Absent", **OWN)


def test_answers_that_cannot_be_stored_are_failures_of_their_candidate(go):
    run = go(estimator=HERE + "Sloppy", **OWN | {"budget": "7t"})
    reasons = {row["id"]: row["reason"] for row in run.candidates() if row["status"] == "failed"}
    assert reasons.keys() == {1, 2, 3, 4, 5}
    assert "not an Evaluation" in reasons[1]
    assert "not JSON serializable" in reasons[2]
    assert "answered for candidate 99" in reasons[4]


def test_a_resumed_run_has_the_same_request(go, tmp_path):
    go(max_params=10**6, seed=3)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    request = Request(**config["request"])
    assert json.loads(json.dumps(dataclasses.asdict(request))) == config["request"]


# ---- more budget ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def longer(data, tmp_path_factory):
    """What the search of these tests finds when it is given more budget, in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)
        folder = tmp_path_factory.mktemp("longer") / "run"
        ev.search(data, out=folder, **CELLS)
        return story(ev.resume(folder, budget="9t"))


def test_a_finished_run_goes_on_with_more_budget(unbroken, longer):
    assert longer[0][:6] == unbroken[0]
    assert len(longer[0]) == 9
    assert longer[1]["trials"] == 9
    assert longer[1]["search_score"] == max(row[3] for row in longer[0])


def test_the_card_counts_how_often_test_was_read(go, tmp_path):
    assert go().card["test_reads"] == 1
    card = tmp_path / "run" / "best" / "card.md"
    assert "test was read once" in card.read_text()
    assert ev.resume(tmp_path / "run", budget="8t").card["test_reads"] == 2
    assert "test was read 2 times, once for every stretch" in card.read_text()
    assert ev.resume(tmp_path / "run", budget="9t").card["test_reads"] == 3


@pytest.mark.parametrize("count", [0, 2])
def test_a_second_stretch_that_was_stopped_goes_on(go, longer, count, monkeypatch, tmp_path):
    first = go().card
    with monkeypatch.context() as patch:
        patch.setattr(worker, "evaluate", stop_at(count, worker.evaluate))
        with pytest.raises(KeyboardInterrupt):
            ev.resume(tmp_path / "run", budget="9t")
    stopped = ev.Run(tmp_path / "run")
    status = stopped.status()
    assert (status["state"], status["trials"], status["running"]) == ("searching", 6 + count, 1)
    assert status["budget"] == "9t"
    assert stopped.card == first, "the earlier network stays until there is another"
    assert stopped.best.load() is not None
    again = ev.resume(tmp_path / "run")
    assert story(again) == longer
    assert again.card["test_reads"] == 2
    assert again.status()["state"] == "done"


@pytest.mark.parametrize("count", [0, 3])
def test_a_second_delivery_that_was_stopped_goes_on(go, longer, count, monkeypatch, tmp_path):
    first = go().card
    with monkeypatch.context() as patch:
        patch.setattr(deliver, "fit", stop_at(count, worker.fit))
        with pytest.raises(KeyboardInterrupt):
            ev.resume(tmp_path / "run", budget="9t")
    assert ev.Run(tmp_path / "run").card == first
    assert story(ev.resume(tmp_path / "run")) == longer


def test_a_second_export_that_was_stopped_leaves_the_first_network(
    go, longer, monkeypatch, tmp_path
):
    first = go().card
    with monkeypatch.context() as patch:
        patch.setattr("evolvent.deliver.card.page", stop_at(0, str))
        with pytest.raises(KeyboardInterrupt):
            ev.resume(tmp_path / "run", budget="9t")
    assert ev.Run(tmp_path / "run").card == first
    assert ev.Run(tmp_path / "run").status()["state"] == "searched"
    assert story(ev.resume(tmp_path / "run")) == longer
    assert not list((tmp_path / "run").glob(".best*"))


def test_a_search_that_was_stopped_takes_more_budget(go, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(worker, "evaluate", stop_at(3, worker.evaluate))
        with pytest.raises(KeyboardInterrupt):
            go()
    run = ev.resume(tmp_path / "run", budget="9t")
    assert run.status()["trials"] == 9
    assert run.card["test_reads"] == 1, "nothing was delivered before"


def test_a_stretch_that_was_stopped_before_it_began_begins(go, longer, monkeypatch, tmp_path):
    go()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "begin_stretch", stop_at(0, Store.begin_stretch))
        with pytest.raises(TypeError):  # it is called by name
            ev.resume(tmp_path / "run", budget="9t")
    assert ev.Run(tmp_path / "run").status()["trials"] == 6
    assert story(ev.resume(tmp_path / "run")) == longer


def test_the_same_budget_again_is_no_more(go, tmp_path, monkeypatch):
    first = go()
    monkeypatch.setattr(worker, "evaluate", None)
    assert story(ev.resume(tmp_path / "run", budget="6t")) == story(first)


def test_the_first_words_still_name_a_run_that_was_given_more(go, longer, tmp_path):
    go()
    ev.resume(tmp_path / "run", budget="9t")
    assert story(go()) == story(go(budget="9t")) == longer


def test_more_budget_by_another_search_is_told_how_it_is_given(go):
    go()
    with pytest.raises(RunError, match=r"budget: 6t -> 9t\): evolvent resume .* --budget 9t gives"):
        go(budget="9t")


def test_workers_are_remembered_and_can_be_said_anew(go, monkeypatch, tmp_path):
    started = []
    go()
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["workers"] == 0
    real = ev.session._executor

    def counting(setup, workers):
        started.append(workers)
        return real(setup, 0)

    monkeypatch.setattr("evolvent.session._executor", counting)
    ev.resume(tmp_path / "run", budget="7t")
    ev.resume(tmp_path / "run", budget="8t", workers=2)
    ev.resume(tmp_path / "run", budget="9t")
    assert started == [0, 2, 0]


# ---- before anything is read ---------------------------------------------------------------------


@pytest.fixture
def unread(monkeypatch, tmp_path):
    """A table that may not be read."""

    def never(*args, **options):
        raise AssertionError("the data are read")

    monkeypatch.setattr("evolvent.session.open_task", never)
    monkeypatch.setattr("evolvent.session.settings_with_kind", never)
    return tmp_path / "table.csv"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": {"space": {"depht": 3}}}, "unknown setting of space chain 'depht'"),
        ({"settings": {"strategy": {"populaton": 3}}}, "did you mean 'population'"),
        ({"settings": {"estimator": {"epoch": 3}}}, "did you mean 'epochs'"),
        ({"settings": {"estimator": {"epochs": "many"}}}, "epochs='many'"),
        ({"settings": {"train": {"epoch": 3}}}, "did you mean 'epochs'"),
        ({"settings": {"task": {"seeed": 3}}}, "did you mean 'seed'"),
        ({"settings": {"task": {"validation": 0.9}}}, "at most 0.5"),
        ({"recipe": "amobanet"}, "did you mean 'amoebanet'"),
        ({"recipe": "amoebanet"}, "space cell is for tasks of kind image"),
        ({"strategy": "randm"}, "did you mean 'random'"),
        ({"space": "cell202"}, "did you mean 'cell201'"),
        ({"estimator": "fll"}, "did you mean 'full'"),
        ({"estimator": "shared"}, "estimator shared evaluates tasks of kind image"),
        ({"strategy": "darts"}, "darts needs"),
        ({"device": "abacus"}, "abacus"),
        ({"skip_broken": True}, "--skip-broken is for folders of images"),
    ],
)
def test_what_cannot_be_is_refused_before_the_data_are_read(go, unread, options, message):
    given = {"recipe": "dense", "target": "y", "settings": {}} | options
    with pytest.raises(UserError, match=message):
        go(task=unread, **given)


def test_a_pair_that_cannot_be_is_refused_before_images_are_read(go, unread):
    with pytest.raises(SettingError, match="reinforce needs decisions"):
        go(task="digits", space="graph", strategy="reinforce", settings={})
    with pytest.raises(SettingError, match="holds state"):
        go(task="digits", recipe="darts", workers=2, settings={})


def test_a_folder_that_cannot_be_made_is_refused_before_the_data_are_read(go, unread, tmp_path):
    (tmp_path / "file").write_text("mine")
    given: dict[str, Any] = {"recipe": None, "target": "y", "settings": {}}
    with pytest.raises(RunError, match="cannot be made"):
        go("file/run", task=unread, **given)
    with pytest.raises(AssertionError, match="the data are read"):
        go("some/new/run", task=unread, **given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
