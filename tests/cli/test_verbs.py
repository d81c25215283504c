"""The command line: what it prints where, and how it says no."""

import json
import shutil
import signal
import sqlite3
import sys
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.helpers import elsewhere
from tests.helpers_cli import PATIENCE, evolvent, start

import evolvent as ev
from evolvent import session
from evolvent.cli import verbs as cli
from evolvent.execute import worker

TINY = {"estimator": {"epochs": 1.0, "width": 4}, "train": {"epochs": 2.0}}
SET = ["--set", "estimator.epochs=1", "--set", "estimator.width=4", "--set", "train.epochs=2"]


@pytest.fixture(autouse=True)
def unproven(monkeypatch):
    """Exports are proven in a fresh process elsewhere; here it would take most of the time."""
    monkeypatch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs a command in this process; returns its exit code, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["evolvent", *map(str, words)])
        monkeypatch.setattr(sys, "path", sys.path[:])
        monkeypatch.setattr(cli, "BEGAN", time.monotonic())  # not when the tests began
        monkeypatch.setattr(cli, "_starting", lambda: 0.0)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def data(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "toy.npz"
    np.savez(path, x_train=toy.everything.x, y_train=toy.everything.y)
    return path


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "done"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)
        ev.search(data, out=folder, budget="4t", workers=0, settings=TINY)
    return folder


@pytest.fixture
def stopped(data, tmp_path, monkeypatch):
    """The folder of a run that was interrupted after two candidates, and how it was asked for."""

    def interrupted(context, candidate, inherited, real=worker.evaluate):
        if candidate.id == 2:
            raise KeyboardInterrupt
        return real(context, candidate, inherited)

    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(worker, "evaluate", interrupted)
        ev.search(data, out=folder, budget="4t", workers=0, settings=TINY)
    return folder


# ---- how it says no ------------------------------------------------------------------------------


def one_class(folder):
    (folder / "cats").mkdir()
    for index in range(4):
        Image.new("L", (8, 8), index).save(folder / "cats" / f"{index}.png")
    return folder


def truncated_image(folder):
    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        for index in range(4):
            Image.new("L", (32, 32), index).save(folder / name / f"{index}.png")
    file = folder / "dogs" / "2.png"
    file.write_bytes(file.read_bytes()[:40])
    return folder


def arrays(folder, **change: Any):
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 8, 8, 1), np.float32), np.arange(20) % 2
    values: dict[str, Any] = {"x_train": x, "y_train": y} | change
    np.savez(folder / "data.npz", **values)
    return folder / "data.npz"


def with_nan(folder):
    x = np.zeros((20, 8, 8, 1), np.float32)
    x[3, 4, 4, 0] = np.nan
    return arrays(folder, x_train=x)


BAD_DATA = {
    "no such path": (lambda folder: folder / "nowhere", "nowhere"),
    "empty folder": (lambda folder: folder, ""),
    "one class": (one_class, "class"),
    "truncated image": (truncated_image, "2.png"),
    "nan": (with_nan, "NaN"),
    "different lengths": (lambda folder: arrays(folder, y_train=np.arange(19) % 2), "19"),
    "unknown name": (lambda folder: "fashion-mnst", "did you mean 'fashion-mnist'"),
}
BAD_WORDS = {
    "budget 0": (["--budget", "0"], "budget '0'"),
    "budget 0m": (["--budget", "0m"], "above 0"),
    "no budget": (["--budget", "soon"], "such as 10m"),
    "unknown setting": (["--set", "estimator.widht=3"], "did you mean 'width'"),
    "unknown part": (["--set", "estimater.width=3"], "did you mean 'estimator'"),
    "wrong type": (["--set", "estimator.width=wide"], "estimator.width='wide'"),
    "no setting": (["--set", "width"], "part.name=value"),
    "unknown recipe": (["--recipe", "amobanet"], "did you mean 'amoebanet'"),
    "unknown strategy": (["--strategy", "randm"], "did you mean 'random'"),
    "unknown space": (["--space", "cell202"], "did you mean 'cell201'"),
    "unknown estimator": (["--estimator", "fll"], "did you mean 'full'"),
    "unknown device": (["--device", "abacus"], "abacus"),
    "unknown option": (["--bugdet", "3t"], "--budget"),
    "no number": (["--workers", "many"], "--workers"),
    "no limit": (["--max-params", "0"], "max_params=0"),
}


def refused(answer, message, code=2):
    assert answer[0] == code
    assert answer[1] == "", "stdout is for results"
    # on a busy machine the start may last long enough to be named: "starting ..."
    lines = [line for line in answer[2].splitlines() if not line.endswith(" ...")]
    assert len(lines) == 1, answer[2]
    assert lines[0].startswith("evolvent: ")
    assert message in lines[0]


@pytest.mark.parametrize(("make", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_wrong_data_are_refused_in_one_line(call, make, message, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    refused(call("search", make(folder), "--out", tmp_path / "run"), message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("words", "message"), BAD_WORDS.values(), ids=BAD_WORDS)
def test_wrong_words_are_refused_in_one_line(call, words, message, data, tmp_path):
    refused(call("search", data, "--out", tmp_path / "run", *words), message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["resume", "status", "show", "export", "train"])
def test_a_folder_that_is_no_run_is_refused_in_one_line(call, verb, tmp_path):
    more = {"export": ["--to", tmp_path / "x"], "train": ["--out", tmp_path / "x"]}.get(verb, [])
    refused(call(verb, tmp_path / "nowhere", *more), "is not a run")


def test_a_run_of_other_settings_is_refused_with_the_difference(call, data, done):
    words = ["search", data, "--out", done, "--workers", "0", *SET]
    refused(call(*words, "--budget", "5t"), "budget: 4t -> 5t")


def test_broken_images_are_listed_or_left_out(call, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    truncated_image(folder)
    (folder / "cats" / "0.png").write_bytes(b"no image")
    refused(call("search", folder, "--out", tmp_path / "run"), "2 of 8 images cannot be read")
    words = ["search", folder, "--out", tmp_path / "run", "--budget", "1t", "--workers", 0, *SET]
    code, _, err = call(*words, "--skip-broken")
    assert code == 0, err
    assert "2 of 8 images cannot be read and are left out: '0.png', '2.png'" in err
    code, _, err = call("resume", tmp_path / "run", "--budget", "2t")
    assert code == 0, err
    assert ev.Run(tmp_path / "run").status()["trials"] == 2


def test_more_budget_is_given_by_resume(call, done, tmp_path):
    words = ["resume", shutil.copytree(done, tmp_path / "run"), "--budget"]
    refused(call(*words, "3t"), "this run has 4t, and a budget is of the whole run")
    refused(call(*words, "5m"), "takes more of the same")
    told = only_json(call(*words, "5t", "--json")[1])
    assert (told["trials"], told["test_reads"]) == (5, 2)


def test_a_command_names_within_two_seconds_what_lasts(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b,y\n" + "".join(f"{i % 7},{i % 11},{i % 40}\n" for i in range(4000)))
    began = time.monotonic()
    process = start("search", table, "--target", "y", "--out", tmp_path / "run")
    assert process.stderr is not None
    line = process.stderr.readline()
    took = time.monotonic() - began
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert line.endswith(" ...\n")
    assert took < 10, "two seconds; a busy machine may need longer to start a process"


def damage(file, how):
    if how == "truncated":
        file.write_bytes(file.read_bytes()[:3000])
    elif how == "foreign":
        file.unlink()
        sqlite3.connect(file).execute("CREATE TABLE songs (title TEXT)").connection.close()
    elif how == "empty":
        file.write_bytes(b"")
    else:
        file.unlink()


@pytest.mark.parametrize("how", ["truncated", "foreign", "empty", "missing"])
@pytest.mark.parametrize("verb", ["resume", "status", "show"])
def test_a_damaged_log_is_refused_in_one_line(call, stopped, how, verb):
    damage(stopped / "run.db", how)
    refused(call(verb, stopped), "run.db")


def test_what_does_not_exist_is_refused_in_one_line(call, done, tmp_path):
    refused(call("show", done, "99"), "no candidate 99")
    refused(call("list", "recipe"), "did you mean 'recipes'")
    refused(call("sarch", "digits"), "'search'")
    refused(call("search"), "task")
    (tmp_path / "mine").write_text("mine")
    refused(call("export", done, "--to", tmp_path), "holds files already")
    run = shutil.copytree(done, tmp_path / "run")
    shutil.rmtree(run / "weights")
    refused(call("export", run, "--to", tmp_path / "net", "--candidate", "0"), "evolvent train")


def test_a_search_that_found_nothing_is_told_in_one_line(call, data, tmp_path):
    answer = call(
        *("search", data, "--out", tmp_path / "run", "--budget", "2t", "--workers", "0"),
        *("--space", "tests.helpers_failures:Widths", "--strategy", "random"),
        *("--estimator", "tests.helpers_failures:Hopeless"),
    )
    assert (answer[0], answer[1]) == (2, "")
    assert "2 failed, the last because ZeroDivisionError" in answer[2].splitlines()[-1]


def test_a_traceback_is_for_bugs_only():
    """As a user sees it: from another process."""
    answer = evolvent("search", "no/such/path")
    refused((answer.returncode, answer.stdout, answer.stderr), "no/such/path")


# ---- what it prints ------------------------------------------------------------------------------


def only_json(text):
    assert len(text.splitlines()) == 1
    return json.loads(text)


def test_a_search_prints_one_json_object_and_its_progress_elsewhere(call, data, tmp_path):
    words = ["--budget", "3t", "--workers", "0", "--out", tmp_path / "run", *SET, "--json"]
    code, out, err = call("search", data, *words)
    told = only_json(out)
    assert code == 0
    assert (told["trials"], told["folder"]) == (3, str(tmp_path / "run"))
    assert {"#0", "#1", "#2"} <= set(err.split())
    again = call("resume", tmp_path / "run", "--json")
    assert (again[0], only_json(again[1])) == (0, told)


def test_the_status_as_json(call, done, stopped):
    told = only_json(call("status", done, "--json")[1])
    assert told.keys() >= {"trials", "failed", "best_score", "seconds", "state"}
    assert (told["trials"], told["state"]) == (4, "done")
    told = only_json(call("status", stopped, "--json")[1])
    assert (told["trials"], told["state"], told["running"]) == (2, "searching", 1)


def test_the_candidates_as_json(call, done):
    keys = {"id", "parent", "score", "status", "params", "seconds"}
    told = only_json(call("show", done, "--json")[1])
    assert [row["id"] for row in told["candidates"]] == [0, 1, 2, 3]
    assert all(row.keys() >= keys for row in told["candidates"])
    (row,) = only_json(call("show", done, "2", "--json")[1])["candidates"]
    assert row == told["candidates"][2]


def test_what_there_is_as_json(call):
    told = only_json(call("list", "--json")[1])
    assert told.keys() == {"spaces", "strategies", "estimators", "recipes", "tasks"}
    assert all(all(line for line in names.values()) for names in told.values())
    assert only_json(call("list", "spaces", "--json")[1]) == {"spaces": told["spaces"]}


def test_people_get_lines(call, done, tmp_path):
    code, out, err = call("status", done)
    assert (code, err) == (0, "")
    assert "done, 4 trials (0 failed" in out
    rows = call("show", done)[1].splitlines()
    assert len(rows) == 5
    scores = [float(row.split()[1]) for row in rows[1:]]
    assert scores == sorted(scores, reverse=True)
    assert "operator" in call("show", done, "0")[1]
    assert "amoebanet" in call("list", "recipes")[1]
    assert "needs torch only" in call("export", done, "--to", tmp_path / "net")[1]
    assert "The network is in" in call("resume", done)[1]
    assert f"python {done}/best/predict.py FILE predicts" in call("resume", done)[1]


def test_onnx_is_written_where_it_is_asked_for(call, done, tmp_path, monkeypatch):
    code, out, _ = call("export", done, "--to", tmp_path / "without", "--onnx")
    assert code == 0
    assert "model.onnx was not written: it needs pip install 'evolvent[onnx]'" in out
    told = {"onnx_max_abs_diff": 2e-7, "onnx_note": ""}
    monkeypatch.setattr("evolvent.deliver.delivered.Conversion.result", lambda self: told)
    out = call("export", done, "--to", tmp_path / "with", "--onnx")[1]
    assert f"{tmp_path}/with/model.onnx: parity 2.0e-07 in onnxruntime" in out
    card = json.loads((tmp_path / "with" / "card.json").read_text())
    assert card["onnx_max_abs_diff"] == 2e-7
    assert "differs by 2.0e-07" in (tmp_path / "with" / "card.md").read_text()


def test_without_a_verb_the_help_is_shown(call):
    assert call()[:2] == call("--help")[:2]
    code, out, err = call("--version")
    assert (code, out, err) == (0, f"evolvent {ev.__version__}\n", "")


# ---- what it costs -------------------------------------------------------------------------------


def test_help_and_import_need_no_torch_and_a_fraction_of_its_time():
    code = (
        "import sys, time; start = time.perf_counter(); import evolvent; "
        "from evolvent import cli; sys.argv = ['evolvent', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print(time.perf_counter() - start)\n"
        "print([name for name in ('torch', 'numpy', 'sklearn', 'pydantic') if name in sys.modules])"
    )
    answers = [elsewhere(code).splitlines()[-2:] for _ in range(3)]
    torch = (
        "import time; start = time.perf_counter(); import torch; print(time.perf_counter() - start)"
    )
    assert min(float(seconds) for seconds, _ in answers) < 0.5 * float(elsewhere(torch))
    assert {names for _, names in answers} == {"[]"}


def test_the_help_of_every_verb_needs_no_torch():
    verbs = ["demo", "search", "resume", "status", "show", "train", "export", "list", "compare"]
    code = (
        "import sys; from evolvent import cli\n"
        f"for verb in {verbs}:\n"
        "    sys.argv = ['evolvent', verb, '--help']\n"
        "    try:\n        cli.main()\n    except SystemExit as stop:\n        assert not stop.code\n"
        "print('torch' in sys.modules)"
    )
    assert elsewhere(code).splitlines()[-1] == "False"


# ---- interrupted ---------------------------------------------------------------------------------


@pytest.fixture
def background():
    """Interrupts are ignored, as by all that a script runs in the background."""
    own = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, own)


def test_an_interrupt_saves_everything_and_says_how_to_go_on(background, data, tmp_path):
    folder = tmp_path / "run"
    trials = 40  # so many that the interrupt comes before the last one, however slow it is
    words = ["--budget", f"{trials}t", "--workers", "2", "--out", folder, *SET]
    process = start("search", data, *words)
    assert process.stderr is not None
    while "#0" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == (
        f"interrupted; everything is saved. To go on: evolvent resume {folder}"
    )
    assert "Traceback" not in err
    assert 1 <= ev.Run(folder).status()["trials"] < trials
    assert ev.resume(folder, workers=0).status()["trials"] == trials


def test_an_interrupt_before_anything_is_settled_says_to_repeat_it(call, monkeypatch, tmp_path):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "search", interrupted)
    code, out, err = call("search", "digits", "--out", tmp_path / "run")
    assert (code, out) == (130, "")
    assert "repeat the same command" in err


def test_the_demo_is_a_search_on_the_digits(call, monkeypatch, done):
    asked: dict[str, Any] = {}

    def search(task, **options):
        asked.update(options, task=task)
        return ev.Run(done)

    monkeypatch.setattr(session, "search", search)
    assert call("demo")[0] == 0
    assert (asked["task"], asked["budget"]) == ("digits", "2m")
