"""Series from a file to a prediction: a forecast, and classes of whole series."""

import csv
from typing import Any

import numpy as np
import pytest
import torch
from tests.helpers_predict import predict

import evolvent as ev
from evolvent.config.recipes import RECIPES

SMALL = {"estimator": {"epochs": 1}, "train": {"epochs": 1, "ensemble": False}}


def predicted(run, *arguments):
    done = predict(run.folder / "best", *arguments)
    assert done.returncode == 0, done.stderr
    return list(csv.reader(done.stdout.splitlines()))


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """A season of 12 and the day of the month, with noise."""
    file, rng = tmp_path_factory.mktemp("data") / "load.csv", np.random.default_rng(0)
    hours = np.datetime64("2024-01-01T00") + np.arange(300)
    y = 100 + 10 * np.sin(2 * np.pi * np.arange(300) / 12) + rng.normal(size=300)
    rows = "\n".join(f"{hour},{value:.4f}" for hour, value in zip(hours, y, strict=True))
    file.write_text(f"hour,load\n{rows}\n")
    return file, y


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [None, "dense"])
def test_a_forecast_from_a_file_to_the_next_value(load, tmp_path, recipe):
    file, _ = load
    columns: dict[str, Any] = {"target": "load", "window": 24}
    run = ev.search(
        str(file),
        recipe=recipe,
        budget="3t",
        workers=0,
        out=tmp_path / "run",
        settings=SMALL,
        **columns,
    )
    card = run.card
    assert card["data"]["kind"] == ("series" if recipe is None else "numbers")
    assert card["parity_max_abs_diff"] < 1e-4
    assert {"last-value", "seasonal-naive", "boosted-trees"} <= card["baselines"].keys()
    said = (run.folder / "best" / "card.md").read_text()
    assert "--interval" not in said and "permuted" not in said, "inputs are steps, not columns"
    told = predicted(run, file)
    assert told[0] == ["load"] and len(told) == 2
    expected = 100 + 10 * np.sin(2 * np.pi * 300 / 12)
    if recipe is None:  # an autoregression knows a wave at once
        assert abs(float(told[1][0]) - expected) < 4
        assert card["val_score"] > card["baselines"]["last-value"]["val_score"]
    short = tmp_path / "short.csv"
    short.write_text("\n".join(file.read_text().splitlines()[:20]))
    with pytest.raises(AssertionError, match="19 rows, the network forecasts from the last 24"):
        predicted(run, short)


def test_a_prediction_is_what_the_network_says_of_the_last_window(load, tmp_path):
    """The validation windows of the task, one by one, from the file cut behind them."""
    from evolvent.deliver.export import export
    from evolvent.network.build import Assembled, Size, plan
    from evolvent.registry import make_space
    from evolvent.task.opening import open_task

    file, _ = load
    task: Any = open_task(str(file), {"target": "load", "window": 24})
    space = make_space("series", task.facts, {})
    made = plan(space, space.known(task.facts)["convolutions"], task, Size())
    torch.manual_seed(0)
    net = Assembled(made).eval()
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    state["block_out.weight"] = np.ones_like(state["block_out.weight"])
    net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    folder = tmp_path / "run" / "best"
    export(folder, plan=made, state=state, task=task, title="t", provenance="p", proof=False)
    lines = file.read_text().splitlines()
    (tmp_path / "cut.csv").write_text("\n".join(lines[: 1 + len(lines) - 1 - 1]))
    with torch.no_grad():
        said = float(net(torch.from_numpy(task.test.x[-1:])))
    wanted = said * task.unit + task.reading["target_mean"]
    run = type("Run", (), {"folder": tmp_path / "run"})
    assert float(predicted(run, tmp_path / "cut.csv")[1][0]) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.slow
def test_classes_of_series_from_a_file_to_predictions(tmp_path):
    rng, y = np.random.default_rng(0), np.arange(150) % 2
    phase = rng.uniform(0, 6.3, (150, 1))
    wave = np.sin(phase + (0.5 + 0.5 * y[:, None]) * np.arange(40)) + 0.3 * rng.normal(
        size=(150, 40)
    )
    x = np.stack([rng.normal(size=wave.shape), wave], axis=1)
    file = tmp_path / "waves.npz"
    np.savez(file, x_train=x[:110], y_train=y[:110], x_test=x[110:], y_test=y[110:])
    run = ev.search(
        str(file), series=True, budget="2t", workers=0, out=tmp_path / "run", settings=SMALL
    )
    card = run.card
    assert card["test_score"] > 0.95 > card["baselines"]["linear"]["test_score"]
    new = tmp_path / "new.npz"
    np.savez(new, x=x[110:])
    told = predicted(run, new, "--probabilities")
    assert told[0] == ["label", "0", "1"]
    right = np.mean([int(row[0]) == label for row, label in zip(told[1:], y[110:], strict=True)])
    assert right == pytest.approx(card["test_score"])
    assert all(float(row[1]) + float(row[2]) == pytest.approx(1, abs=1e-5) for row in told[1:])
    np.savez(new, x=x[110:, :, :30])
    with pytest.raises(AssertionError, match="2 channels and 30 steps, the network takes 2 and 40"):
        predicted(run, new)


def test_the_recipe_is_the_default_of_series():
    from evolvent.config.recipes import DEFAULT

    assert DEFAULT["series"] == "series" and RECIPES["series"].space == "series"
