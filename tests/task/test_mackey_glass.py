"""The generated series of Mackey and Glass."""

from typing import Any

import numpy as np
import pytest

from evolvent.errors import SettingError
from evolvent.task import mackey_glass
from evolvent.task.mackey_glass import series
from evolvent.task.opening import open_task
from evolvent.task.options import as_lags, kind_of, with_metric


def test_it_is_the_same_everywhere():
    values = series(200, 6, 17)
    assert values[:4] == pytest.approx([0.90870703, 0.64382343, 0.46613651, 0.69652852], abs=1e-8)
    assert 0.4 < values.min() < 0.6 and 1.2 < values.max() < 1.4


def test_finer_steps_give_the_same_series_for_a_while(monkeypatch):
    monkeypatch.setattr(mackey_glass, "LEFT_OUT", 0)
    coarse = series(30, 6, 17)
    monkeypatch.setattr(mackey_glass, "STEP", 0.02)
    monkeypatch.setattr(mackey_glass, "PER_UNIT", 50)
    assert np.abs(series(30, 6, 17) - coarse).max() < 1e-4


def test_it_is_a_forecast_of_the_next_row_from_four():
    task: Any = open_task("mackey-glass", {"rows": 100})
    assert (task.kind, task.input_shape, task.outputs, task.metric) == ("series", (1, 4), 1, "r2")
    lags: Any = open_task("mackey-glass", {"rows": 100, "windows": "lags", "window": 6})
    assert (lags.kind, lags.input_shape) == ("numbers", (6,))
    values = (series(100, 6, 17) - task.reading["target_mean"]) / task.unit
    assert task.train.x[0, 0] == pytest.approx(values[:4], abs=1e-3)
    assert task.train.y[0] == pytest.approx(values[4], abs=1e-3)
    assert task.source.answers["last-value"]["test"].shape == (len(task.test), 1)


def test_a_space_for_numbers_gets_lags_and_a_metric_of_quantities_fits():
    assert as_lags("mackey-glass", {}, {"numbers"}) == {"windows": "lags"}
    assert as_lags("mackey-glass", {}, {"series"}) == {}
    assert kind_of("mackey-glass", {}) == "series"
    assert with_metric("mackey-glass", {}, "rmse", None) == {"metric": "rmse"}
    with pytest.raises(SettingError, match="accuracy"):
        with_metric("mackey-glass", {}, "accuracy", None)


@pytest.mark.parametrize("settings", [{"rows": 10**6}, {"tau": 0}])
def test_numbers_outside_their_rules_are_refused(settings):
    with pytest.raises(SettingError, match="at least 1 each"):
        mackey_glass.load(**settings)
