"""The statistics of a comparison: exact numbers where there are any."""

import numpy as np
import pytest
from scipy import stats

from evolvent.comparison import statistics as st


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 50])
def test_the_interquartile_mean_is_scipys_trimmed_mean(count):
    values = np.random.default_rng(count).normal(size=count)
    assert st.iqm(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_the_interquartile_mean_ignores_the_outer_quarters():
    assert st.iqm(np.array([-1e9, 1.0, 2.0, 1e9])) == 1.5


def test_the_bootstrap_interval_is_repeatable_and_near_the_normal_one():
    values = np.random.default_rng(0).normal(size=400)
    low, high = st.bootstrap(values)
    assert (low, high) == tuple(st.bootstrap(values))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    ends = [st.bootstrap(rng.normal(size=40), resamples=1000, seed=s) for s in range(300)]
    assert 0.89 <= np.mean([low < 0 < high for low, high in ends]) <= 0.98


def test_the_bootstrap_of_curves_is_that_of_each_point():
    curves = np.random.default_rng(2).normal(size=(12, 3))
    together = st.bootstrap(curves, st.iqm, resamples=500)
    assert together.shape == (2, 3)
    for point in range(3):
        assert np.allclose(
            together[:, point], st.bootstrap(curves[:, point], st.iqm, resamples=500)
        )


def test_chunks_do_not_change_the_bootstrap(monkeypatch):
    curves = np.random.default_rng(2).normal(size=(12, 5))
    whole = st.bootstrap(curves, resamples=200)
    monkeypatch.setattr(st, "_CHUNK", 1)
    assert np.allclose(whole, st.bootstrap(curves, resamples=200))


def test_a_summary_has_mean_std_iqm_and_interval():
    found = st.summary(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert found["mean"] == 3.0
    assert found["std"] == pytest.approx(np.sqrt(2.5))
    assert found["iqm"] == 3.0
    assert found["ci95"][0] < 3.0 < found["ci95"][1]
    assert "warning" not in found


def test_few_seeds_are_warned_of():
    assert "only 4 seed(s)" in st.summary(np.arange(4.0))["warning"]
    one = st.summary(np.array([7.0]))
    assert (one["mean"], one["std"], one["ci95"]) == (7.0, 0.0, [7.0, 7.0])


def test_holms_correction_on_a_worked_example():
    corrected = st.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert st.holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


def test_the_rank_test_equals_scipys_and_no_difference_is_no_evidence():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 20))
    assert st.wilcoxon(first, second) == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert st.wilcoxon(first, first) == 1.0


def test_the_rank_test_bears_ties_and_zeros():
    first = np.array([1.0, 1.0, 2.0, 3.0, 3.0, 5.0, 8.0])
    assert 0.0 < st.wilcoxon(first, np.array([1.0, 0.0, 1.0, 2.0, 2.0, 4.0, 7.0])) < 0.1


def test_every_pair_is_compared_and_corrected():
    rng = np.random.default_rng(4)
    base = rng.normal(size=30)
    rows = st.compare({"a": base, "b": base + 1.0 + rng.normal(size=30) / 9, "c": base})
    assert [(row["first"], row["second"]) for row in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert rows[0]["wins"] == 0.0
    assert rows[0]["difference"] == pytest.approx(-1.0, abs=0.1)
    assert rows[1]["wins"] == 0.5
    assert rows[1]["p"] == rows[1]["p_holm"] == 1.0
    assert rows[0]["p_holm"] >= rows[0]["p"]
    assert rows[0]["p_holm"] < 1e-4
    assert st.compare({"alone": base}) == []


def test_the_first_of_equals_stays_the_incumbent():
    assert st.incumbents(np.array([np.nan, 2.0, 1.0, 2.0, 3.0])).tolist() == [-1, 1, 1, 1, 4]


def test_validation_chooses_and_test_is_reported():
    validation = np.array([[1.0, 3.0, 2.0], [np.nan, 5.0, 4.0]])
    test = np.array([[9.0, 7.0, 8.0], [1.0, 2.0, 3.0]])
    assert np.array_equal(
        st.curve(validation, test), [[9.0, 7.0, 7.0], [np.nan, 2.0, 2.0]], equal_nan=True
    )
    assert np.array_equal(st.curve(validation[0]), [1.0, 3.0, 3.0])


def test_a_curve_over_cost_shows_only_what_was_finished():
    values = np.array([[1.0, 2.0, 3.0]])
    read = st.over_cost(values, np.array([[2.0, 2.0, 4.0]]), np.array([1.0, 2.0, 5.0, 8.0, 99.0]))
    assert np.array_equal(read, [[np.nan, 1.0, 2.0, 3.0, 3.0]], equal_nan=True)


def test_regret_and_time_to_a_level():
    curves = np.array([[0.1, 0.5, 0.9], [0.1, 0.2, 0.3]])
    assert st.regret(curves, 1.0)[0] == pytest.approx([0.9, 0.5, 0.1])
    assert st.time_to(curves, 0.5).tolist() == [2.0, np.inf]
    assert st.time_to(curves, 0.5, np.full((2, 3), 10.0)).tolist() == [20.0, np.inf]
