"""Forecasts: windows, the split in time, what is learnt from training rows alone, seasons, refusals."""

import numpy as np
import pytest
from tests.task.helpers import refusal

from evolvent.errors import DataError, SettingError
from evolvent.estimator.packed import Packed
from evolvent.space.tabular import Tabular
from evolvent.task.forecast import LAST, SEASONAL, forecast_task, season_of
from evolvent.task.frames import Frame
from evolvent.task.memory import given
from evolvent.task.opening import open_task
from evolvent.task.options import as_lags, kind_of, with_series, with_split
from evolvent.task.portable.windows import carried


def table(n=120, **columns):
    steps = np.arange(n, dtype=float)
    return Frame("data.csv", {"y": 10 + np.sin(2 * np.pi * steps / 12), "a": steps % 5} | columns)


def task(frame=None, window=6, **options):
    return forecast_task("data.csv", frame or table(), target="y", window=window, **options)


def raw(made, values):
    return values * made.unit + made.reading["target_mean"]


def test_a_window_is_followed_by_its_target():
    frame, made = table(), task()
    x, y = made.train.x, made.train.y
    assert made.kind == "series" and made.input_shape == (2, 6)
    wanted = frame.column("y")
    np.testing.assert_allclose(raw(made, x[3, 0]), wanted[3:9], atol=1e-5)
    np.testing.assert_allclose(raw(made, y[3]), wanted[9], atol=1e-5)
    lags = task(windows_as="lags")
    assert lags.kind == "numbers" and lags.columns == ()
    np.testing.assert_array_equal(lags.train.x, x.reshape(len(x), -1))


def test_parts_follow_each_other_in_time():
    made = task(table(y=np.arange(120.0)))
    assert made.test is not None
    firsts, lasts = zip(
        *((part.y[0], part.y[-1]) for part in (made.train, made.validation, made.test)), strict=True
    )
    assert lasts[0] < firsts[1] and lasts[1] < firsts[2]
    counts = made.counts
    assert counts["test"] == round(0.15 * 114) and counts["validation"] == round(0.2 * 97)
    assert made.seed == 0 and task(seed=3).fingerprint == task().fingerprint
    kept = task(table(y=np.arange(120.0)), fraction=0.25)
    assert (
        kept.train.y[-1] > made.train.y[-1] - 0.2
    )  # in units of its own scale: the latest are kept
    assert len(kept.train) == round(0.25 * len(made.train))


def test_no_value_is_forecast_in_two_parts():
    made = task(table(y=np.arange(120.0)), horizon=4)
    assert made.outputs == 4 and made.train.y.shape[1] == 4
    assert made.train.y.max() < made.validation.y.min()
    assert made.test is not None
    assert made.validation.y.max() < made.test.y.min()


def test_scales_are_learnt_from_training_rows_alone():
    late = np.arange(120.0)
    late[90:] += 1000
    first, second = task(table(y=np.arange(120.0))), task(table(y=late))
    assert first.reading["target_mean"] == second.reading["target_mean"]
    assert first.reading["columns"] == second.reading["columns"]


def test_a_missing_target_is_the_last_known_one_and_is_never_learnt():
    values = np.arange(120.0)
    values[[0, 20, 21, 50]] = np.nan
    made = task(table(y=values), window=4)
    whole = task(table(y=np.arange(120.0)), window=4)
    lost = sum(part.y.size for part in (whole.train, whole.validation, whole.test))
    found = sum(part.y.size for part in (made.train, made.validation, made.test))
    assert lost - found == 1 + 3
    assert np.isfinite(made.train.x).all()
    assert carried(np.array([np.nan, 1, np.nan, np.nan, 4])).tolist()[1:] == [1, 1, 1, 4]


def test_dates_say_the_place_in_the_year_and_not_the_time_that_has_passed(tmp_path):
    days = np.datetime64("2020-01-01") + np.arange(400)
    lines = [f"{day},{np.sin(row / 7):.4f}" for row, day in enumerate(days)]
    file = tmp_path / "days.csv"
    file.write_text("day,y\n" + "\n".join(lines) + "\n")
    made = open_task(str(file), {"target": "y", "window": 5})
    assert made.facts.input_shape == (1 + 4, 5)  # month and weekday, each on its circle
    file.write_text("day,y\n" + "\n".join(reversed(lines)) + "\n")
    with pytest.raises(DataError, match="go back in time at data row 2 of column 'day'"):
        open_task(str(file), {"target": "y", "window": 5})


def test_rules_answer_for_every_part():
    made, frame = task(season=12), table()
    assert made.source is not None
    answers = made.source.answers
    last = raw(made, made.validation.x[:, 0, -1])
    np.testing.assert_allclose(raw(made, answers[LAST]["validation"][:, 0]), last, atol=1e-5)
    seasonal = raw(made, answers[SEASONAL]["test"][:, 0])
    ends = len(frame) - np.arange(len(made.test), 0, -1)
    np.testing.assert_allclose(seasonal, frame.column("y")[ends - 12], atol=1e-5)
    flat = task(table(y=np.random.default_rng(0).normal(size=120)))
    assert flat.source is not None and set(flat.source.answers) == {LAST}
    assert "no season was found" in flat.note[-1]


@pytest.mark.parametrize("season", [7, 24])
def test_a_season_is_found_in_noise_and_trend(season):
    steps, rng = np.arange(600), np.random.default_rng(season)
    values = np.sin(2 * np.pi * steps / season) + 0.01 * steps + 0.5 * rng.normal(size=600)
    assert season_of(values) == season


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_random_walks_have_no_season(seed):
    noise = np.random.default_rng(seed).normal(size=500)
    assert season_of(noise) is None
    assert season_of(np.arange(500.0)) is None
    assert season_of(np.zeros(500)) is None


def test_a_test_table_is_later_rows():
    made = task(test=table(40))
    assert made.test is not None and len(made.test) == 40 - 6
    assert made.counts["validation"] == round(0.2 * 114)


def test_windows_are_divided_by_time_alone_and_without_a_target_in_common():
    made = task(table(y=np.arange(120.0)), horizon=4, windows_as="lags")
    assert made.division.kept_in_order and not made.division.is_free
    rows = np.arange(len(made.train))
    kept, judging = made.division.cut(made.train.y, rows, 0.25, 0, classes=False)
    assert len(judging) == round(0.25 * len(rows)) and judging[-1] == rows[-1]
    assert made.train.y[kept].max() < made.train.y[judging].min()
    assert kept[-1] + 4 == judging[0]
    with pytest.raises(DataError, match="too few to divide"):
        made.division.cut(made.train.y, rows[:4], 0.25, 0, classes=False)
    with pytest.raises(SettingError, match="folds=5: 0: the rows are in the order of time"):
        Packed(Tabular.of(made.facts), made, folds=5)
    estimator = Packed(Tabular.of(made.facts), made)
    assert estimator.count == 0 and estimator.trainings(100, {}, made.division) == 1


@pytest.mark.parametrize(
    "said", [{"groups": "a"}, {"time": "a"}, {"folds": "a"}, {"validation": "f"}]
)
def test_a_forecast_has_no_other_split_than_that_of_time(tmp_path, said):
    file, rows = tmp_path / "data.csv", table()
    file.write_text(
        "\n".join(["y,a", *(f"{y},{a}" for y, a in zip(*rows.columns.values(), strict=True))])
    )
    if "validation" in said:
        said = {"validation": str(file)}
    settings = {"target": "y", "window": 6}
    (option,) = said
    with pytest.raises(SettingError) as error:
        with_split(str(file), settings, **said)
    assert f"--{option} " in refusal(error) and f"leave --{option} out" in refusal(error)
    with pytest.raises(SettingError, match="--window"):
        open_task(str(file), settings | said)
    shared = with_split(str(file), settings, validation="0.3", test=str(file))[1]
    made = open_task(str(file), shared)
    assert made.counts == {"train": 80, "validation": 34, "test": 114}
    memory = given({name: column.tolist() for name, column in rows.columns.items()})
    with pytest.raises(SettingError, match="validation= and --window"):
        open_task(with_split(memory, {}, validation=rows.columns)[0], settings)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: task(table(12)), "fit 6 times into the rows with a target, at least 10"),
        (lambda: task(table(y=np.full(120, np.nan))), "'y' is empty"),
        (lambda: task(table(y=np.full(120, 3.0))), "there is nothing to learn from it"),
        (lambda: task(test=table(5)), "has 5 rows: a window of 6 and the 1 after it"),
        (lambda: task(table(40_000), window=15_000), "inputs, 20,000 are allowed: lower --window"),
    ],
)
def test_tables_without_a_forecast_are_refused(make, reason):
    with pytest.raises(DataError) as error:
        make()
    assert reason in refusal(error)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"window": 1}, "--window 1"), ({"horizon": 0}, "--horizon 0"), ({"season": 1}, "--season 1")],
)
def test_numbers_outside_their_rules_are_refused(options, reason):
    with pytest.raises(SettingError, match=f"{reason}: at least"):
        task(**options)


# ---- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "said", "reason"),
    [
        ("data.csv", {}, {"season": 3}, "say with --window N"),
        ("data.csv", {}, {"window": 5, "series": True}, "--window and --series"),
        ("data.csv", {"kind": "classification"}, {"window": 5}, "--window and --kind class"),
        ("data.csv", {"window": 6}, {"window": 5}, "say it once"),
        ("digits", {}, {"window": 5}, "--window is for tables"),
        ("imdb", {}, {"series": True}, "--series is for tables and .npz files"),
    ],
)
def test_options_that_contradict_are_refused(name, settings, said, reason):
    with pytest.raises(SettingError, match=reason):
        with_series(name, settings, **said)


def test_a_space_of_tables_gets_lags():
    said = with_series("data.csv", {"target": "y"}, window=5, season=None, series=False)
    assert said == {"target": "y", "window": 5}
    assert kind_of("data.csv", said) == "series"
    assert as_lags("data.csv", said, {"series"}) == said
    assert as_lags("data.csv", said, {"image"}) == said
    lags = as_lags("data.csv", said, {"numbers", "image"})
    assert lags == {"windows": "lags", **said}
    assert kind_of("data.csv", lags) == "numbers"
