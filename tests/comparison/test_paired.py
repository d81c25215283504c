"""Comparisons: paired seeds, validation selects, test reports."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
from tests.report.helpers import config_of

import evolvent as ev
from evolvent.comparison.paired import Comparison, _ahead, _band, compare, text
from evolvent.comparison.play import Trace
from evolvent.config.setup import Setup
from evolvent.errors import DataError, RunError, SettingError
from evolvent.report.figures import curves
from evolvent.task.tables import Table, save_table

QUIET = {"regularized-evolution": {"population": 6, "sample": 2, "identity": 0.0}}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """All 256 words of four letters; the validation score counts a's, test is another scale."""
    monkeypatch.setenv("EVOLVENT_HOME", str(tmp_path / "home"))
    archs = ["".join(letters) for letters in itertools.product("abcd", repeat=4)]
    score = np.array([arch.count("a") + 0.1 * arch.count("b") for arch in archs]) / 4
    columns = {
        "val_2ep": score / 2,
        "val_8ep": score,
        "test_8ep": score - 0.01,
        "seconds_8ep": np.full(len(archs), 10.0),
        "flops": np.arange(len(archs), dtype=float) + 1,
    }
    made = Table("words", tuple(archs), columns, "val_8ep", "test_8ep", "seconds_8ep")
    save_table(made, tmp_path / "home" / "tables")
    return "table:words"


def told(table, **options):
    defaults: dict[str, Any] = {
        "strategies": ["regularized-evolution"],
        "seeds": 6,
        "budget": "30t",
    }
    options = defaults | options
    return compare(table, workers=0, settings=options.pop("settings", QUIET), **options).to_json()


def test_random_search_always_takes_part(table):
    assert set(told(table)["strategies"]) == {"regularized-evolution", "random"}


def test_what_python_returns_is_printed_as_the_command_line_does(table):
    found = ev.compare(
        table,
        strategies=["regularized-evolution"],
        seeds=6,
        budget="30t",
        workers=0,
        settings=QUIET,
    )
    assert isinstance(found, Comparison)
    plain = found.to_json()
    assert str(found) == text(plain)
    assert plain["strategies"]["random"]["test"]["mean"] == found.finals("test")["random"].mean()
    assert found.curves("random", "val").shape == (6, 30)


def test_the_json_has_what_is_promised(table):
    found = json.loads(json.dumps(told(table)))
    assert (found["seeds"], found["budget"], found["space"]) == (6, "30t", "listed")
    for row in found["strategies"].values():
        for part in ("val", "test"):
            assert set(row[part]) >= {"mean", "std", "iqm", "ci95"}
        assert row["val"]["mean"] == pytest.approx(row["test"]["mean"] + 0.01)
        assert row["trials"] == 30
    assert found["tests_on"] == "test"
    assert text(found).count("\n") > 5


def test_evolution_leads_where_neighbours_are_alike_and_the_lead_has_an_interval(table):
    found = told(table, seeds=30, budget="60t")
    ahead = found["strategies"]["regularized-evolution"]["ahead_of_random"]
    assert ahead["ci95"][0] > 0
    assert 1 < ahead["from_trial"] <= 60
    assert found["tests"][0]["p_holm"] < 0.01


def test_seeds_are_paired_and_repeatable_in_any_number_of_workers(table):
    one = told(table)
    two = compare(
        table,
        strategies=["regularized-evolution"],
        seeds=6,
        budget="30t",
        settings=QUIET,
        workers=2,
    ).to_json()
    for name in one["strategies"]:
        assert one["strategies"][name]["val"] == two["strategies"][name]["val"]
        assert one["strategies"][name]["chosen"] == two["strategies"][name]["chosen"]


def test_a_strategy_is_addressed_by_its_name(table):
    found = told(table, settings={"regularized-evolution": {"population": 3, "sample": 2}})
    assert found["strategies"]["regularized-evolution"]["settings"]["population"] == 3
    assert "population" not in found["strategies"]["random"]["settings"]


def test_a_warm_start_looks_at_a_column_and_uses_no_trial(table):
    warm = {"regularized-evolution": QUIET["regularized-evolution"] | {"warm": 100}}
    proxied = warm | {"estimator": {"proxy": "val_2ep"}}
    with_ = told(table, settings=proxied)["strategies"]["regularized-evolution"]
    without = told(table)["strategies"]["regularized-evolution"]
    assert with_["trials"] == without["trials"] == 30
    assert with_["epochs"] == without["epochs"]
    assert with_["curve"]["mean"][0] > without["curve"]["mean"][0] + 0.2  # it begins with the best
    assert told(table, settings=warm)  # by its FLOPs


def test_a_warm_start_without_a_proxy_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVENT_HOME", str(tmp_path))
    made = Table("bare", ("a", "b"), {"score": np.array([0.1, 0.2])}, "score")
    save_table(made, tmp_path / "tables")
    for settings, message in (
        ({"random": {"warm": 2}}, r"--set estimator\.proxy=COLUMN"),
        ({"estimator": {"proxy": "scores"}}, "did you mean 'score'"),
    ):
        with pytest.raises(SettingError, match=message):
            told("table:bare", strategies=["random"], settings=settings)


def test_a_sampler_is_named_and_proposes(table):
    settings = {"hyperband": {"rungs": [2, 8], "sampler": "regularized-evolution"}}
    found = told(table, strategies=["hyperband"], settings=settings, seeds=30, budget="80t")
    plain = {"hyperband": {"rungs": [2, 8]}}
    other = told(table, strategies=["hyperband"], settings=plain, seeds=30, budget="80t")
    means = [each["strategies"]["hyperband"]["val"]["mean"] for each in (found, other)]
    assert means[0] > means[1]
    with pytest.raises(SettingError, match="unknown strategy 'evolutoin'"):
        told(table, strategies=["asha"], settings={"asha": {"sampler": "evolutoin"}})


def test_another_score_and_fidelity_can_be_chosen(table):
    cheap = told(table, settings=QUIET | {"task": {"score": "val_2ep"}})
    full = told(table)
    assert cheap["estimator"]["epochs"] == 2.0
    assert full["estimator"]["epochs"] == 8.0
    name = "regularized-evolution"
    assert 2 * cheap["strategies"][name]["val"]["mean"] == pytest.approx(
        full["strategies"][name]["val"]["mean"], abs=1e-6
    )


def test_a_budget_in_seconds_is_charged_from_the_table(table):
    found = told(table, budget="95s")
    assert found["strategies"]["random"]["trials"] == 9  # ten seconds each; the tenth does not fit


def test_a_table_without_a_cost_column_refuses_a_budget_in_seconds(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVENT_HOME", str(tmp_path))
    made = Table("bare", ("a", "b"), {"score": np.array([0.1, 0.2])}, "score")
    save_table(made, tmp_path / "tables")
    with pytest.raises(SettingError, match="no column of seconds"):
        told("table:bare", budget="1m")
    found = told("table:bare", budget="4t")
    assert found["strategies"]["random"]["test"] is None
    assert found["tests_on"] == "val"
    assert "validation alone" in found["note"]


def test_fewer_than_five_seeds_carry_a_warning(table):
    assert "fewer than 5" in told(table, seeds=3)["warning"]
    assert "fewer than 5" in text(told(table, seeds=3))
    assert "warning" not in told(table, seeds=5)


def test_a_comparison_on_disk_goes_on_and_refuses_another(table, tmp_path):
    out = tmp_path / "comparison"
    first = told(table, seeds=3, out=out)
    more = told(table, seeds=6, out=out)
    assert more["seeds"] == 6
    chosen = {name: row["chosen"][:3] for name, row in more["strategies"].items()}
    assert chosen == {name: row["chosen"] for name, row in first["strategies"].items()}
    assert json.loads((out / "comparison.json").read_text())["seeds"] == 6
    with pytest.raises(RunError, match=r"holds another comparison \(request.budget: 30t -> 20t\)"):
        told(table, budget="20t", out=out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(RunError, match="holds other files"):
        told(table, out=tmp_path / "full")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"strategies": ["evolutoin"], "settings": {}}, SettingError, "unknown strategy"),
        ({"settings": {"banana": {"x": 1}}}, SettingError, "unknown part or strategy 'banana'"),
        ({"estimator": "full"}, SettingError, "this one is of kind table: use table"),
        ({"seeds": 0}, SettingError, "at least 1"),
        ({"budget": "0t"}, SettingError, "above 0"),
        ({"settings": {"task": {"score": "val_9ep"}}}, SettingError, "val_8ep"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_reason(table, options, error, message):
    with pytest.raises((error, DataError), match=message):
        told(table, **options)


def test_a_strategy_that_needs_more_than_the_space_gives_is_refused(toy, monkeypatch):
    monkeypatch.setattr("evolvent.comparison.paired.open_task", lambda name, settings: toy)
    with pytest.raises(SettingError, match="bayes needs decisions"):
        compare("toy", strategies=["bayes"], seeds=1, budget="2t", space="plain", workers=0)


def test_on_data_what_was_chosen_is_trained_once_more_and_test_is_read_once(toy, monkeypatch):
    monkeypatch.setattr("evolvent.comparison.paired.open_task", lambda name, settings: toy)
    tiny = {"estimator": {"epochs": 1.0, "width": 2, "stages": 1}, "train": {"epochs": 2.0}}
    made = compare(
        "toy", strategies=["local"], seeds=2, budget="3t", recipe="random", settings=tiny, workers=0
    )
    for traces in made.traces.values():
        for trace in traces:
            assert len(trace.val) == 3
            assert len(trace.test) == 1
            assert 0 <= trace.test[0] <= 1
    found = made.to_json()
    assert (found["tests_on"], found["curves_on"]) == ("test", "val")
    for name, row in found["strategies"].items():
        assert row["curve"]["trial"] == [1, 2, 3]
        assert row["curve"]["mean"][-1] == pytest.approx(row["val"]["mean"], abs=1e-6)
        assert row["test"]["mean"] == pytest.approx(made.finals("test")[name].mean())
    lead = made.finals("test")["local"] - made.finals("test")["random"]
    assert found["strategies"]["local"]["ahead_of_random"]["lead"] == pytest.approx(lead.mean())
    assert "by validation" in text(found)
    assert "validation accuracy [fraction] of toy over trials" in curves(found)


def test_on_a_table_the_curves_are_those_of_test(table):
    found = told(table)
    assert (found["tests_on"], found["curves_on"]) == ("test", "test")
    row = found["strategies"]["random"]
    assert row["curve"]["mean"][-1] == pytest.approx(row["test"]["mean"], abs=1e-6)
    assert "by validation" not in text(found)


def test_before_every_seed_has_a_score_a_curve_has_no_mean():
    band = _band(np.array([[np.nan, 0.5], [0.3, 0.7]]))
    assert band["trial"] == [1, 2]
    assert band["mean"] == [None, 0.6]
    assert json.loads(json.dumps(band, allow_nan=False)) == band


def test_the_lead_holds_from_the_trial_after_its_interval_last_touched_zero():
    difference = np.tile([0.0, 1.0, -1.0, 1.0, 1.0], (10, 1))
    assert _ahead(difference, difference[:, -1])["from_trial"] == 4
    assert _ahead(-difference, -difference[:, -1])["from_trial"] is None


def test_the_lead_at_the_end_is_that_of_what_is_reported():
    ahead = _ahead(np.ones((10, 3)), np.full(10, -0.5))
    assert (ahead["lead"], ahead["ci95"]) == (-0.5, [-0.5, -0.5])


def test_a_search_without_any_score_is_no_end_of_a_comparison():
    setups = {"random": Setup.from_json(config_of({"name": "x"}))}
    traces = {"random": [Trace(0, [0.5], [0.4], [1.0], [1.0], "a"), Trace(1, [], [], [], [], None)]}
    made = Comparison("t", "1t", 2, traces, object(), setups)  # type: ignore[arg-type]
    assert np.isnan(made.finals("val")["random"]).tolist() == [False, True]
