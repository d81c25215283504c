"""Figures of comparisons: valid, complete, and calm about what is missing."""

import copy
import json
import math
import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace
from typing import Any

import pytest

from evolvent.report.figures import COLOURS, curves, tradeoff

NAMES = ("random", "regularized-evolution", "mine<\"&'>:Search")


def row(final, flops, seeds=5):
    trials = list(range(1, 101))
    mean = [final - 0.1 / trial for trial in trials]
    return {
        "test": {"mean": mean[-1]},
        "val": {"mean": mean[-1] - 0.1},
        "curve": {
            "trial": trials,
            "mean": mean,
            "low": [value - 0.01 for value in mean],
            "high": [value + 0.005 for value in mean],
        },
        "chosen": [
            {"seed": seed, "test": final + 0.001 * (seed % 3), "flops": flops * (1 + seed % 2)}
            for seed in range(seeds)
        ],
    }


@pytest.fixture
def told():
    rows = {name: row(0.9 + 0.01 * i, 1e8 * (i + 1)) for i, name in enumerate(NAMES)}
    return {"task": "cifar10 & <co>", "seeds": 5, "tests_on": "test", "strategies": rows}


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter() if element.text]


def numbers(svg):
    """Every number of every path and position."""
    found = []
    for element in ET.fromstring(svg).iter():
        for name in ("d", "x", "y", "transform"):
            found += re.findall(r"-?(?:\d[\d.e+-]*|nan|inf)", element.get(name, ""))
    return found


def lines(svg):
    """The paths of the curves: stroked, not filled, wide."""
    return [p for p in ET.fromstring(svg).iter() if p.get("stroke-width") == "2.5"]


@pytest.mark.parametrize("draw", [curves, tradeoff])
def test_it_is_valid_and_names_every_strategy_escaped(draw, told):
    svg = draw(told)
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert set(NAMES) <= set(texts(svg))
    assert "<co>" not in svg and "cifar10 & <co>" in " ".join(texts(svg))


@pytest.mark.parametrize("draw", [curves, tradeoff])
def test_axes_say_what_they_measure_in_which_unit(draw, told):
    words = texts(draw(told | {"metric": "accuracy"}))
    assert "test accuracy [fraction]" in words
    across = "trials [count]" if draw is curves else "FLOPs of one input [count, log]"
    assert any(word.startswith(across) for word in words)
    assert "validation score" in texts(draw(told | {"tests_on": "val"}))


@pytest.mark.parametrize("draw", [curves, tradeoff])
def test_it_scales_and_has_a_dark_form_and_describes_itself(draw, told):
    svg = draw(told)
    root = ET.fromstring(svg)
    assert re.fullmatch(r"0 0 640 \d+", root.get("viewBox", "")) and root.get("width") is None
    assert "prefers-color-scheme:dark" in svg and "max-width:520px" in svg
    assert root.get("role") == "img" and "cifar10" in root.get("aria-label", "")
    assert "id=" not in svg  # several on a page do not get in each other's way


def test_there_is_a_line_and_a_band_per_strategy_in_its_colour(told):
    svg = curves(told)
    bands = [p for p in ET.fromstring(svg).iter() if p.get("fill-opacity")]
    assert len(bands) == 3
    drawn = [path.get("stroke") for path in lines(svg)]
    assert len(drawn) == 6  # and its sample in the legend
    assert {"var(--ev-ink)", COLOURS[0], COLOURS[1]} == set(drawn)


def test_the_range_is_that_of_the_late_trials(told):
    told["strategies"]["random"]["curve"]["mean"][0] = 0.1
    told["strategies"]["random"]["curve"]["low"][0] = 0.05
    ticks = [float(word) for word in texts(curves(told)) if re.fullmatch(r"0\.\d+", word)]
    assert min(ticks) > 0.8 and max(ticks) < 0.95


def test_the_best_there_is_is_marked_where_it_is_known_and_near(told):
    assert "the best there is" not in texts(curves(told))
    for name, values in told["strategies"].items():
        values["regret"] = 0.93 - values["test"]["mean"] if name != "random" else None
    assert "the best there is" in texts(curves(told))
    for values in told["strategies"].values():
        values["regret"] = 5.0
    assert "the best there is" not in texts(curves(told))


def test_more_strategies_than_colours_are_told_apart(told):
    told["strategies"] = {f"s{i}": row(0.9, 1e8) for i in range(16)}
    looks = {(p.get("stroke"), p.get("stroke-dasharray")) for p in lines(curves(told))}
    assert len(looks) == 16


def test_a_long_name_is_shortened_but_still_there(told):
    name = "a.package.of.somebody.else:VeryLongSearch"
    told["strategies"][name] = row(0.9, 1e8)
    words = texts(curves(told))
    assert name in words and any(word.endswith("…") for word in words)


@pytest.mark.parametrize("bad", [math.nan, None, math.inf])
def test_what_is_missing_is_left_out(bad, told):
    broken = copy.deepcopy(told)
    values = broken["strategies"]["random"]
    values["curve"]["mean"][:3] = [bad] * 3
    values["curve"]["low"][10] = values["curve"]["high"][-1] = bad
    values["regret"] = bad
    values["chosen"][0]["test"] = values["chosen"][1]["flops"] = bad
    for svg in (curves(broken), tradeoff(broken)):
        assert not {"nan", "inf", "-inf"} & set(numbers(svg))
        assert "NaN" not in svg and "None" not in svg
    assert curves(broken) != curves(told)


def test_a_strategy_without_any_score_is_still_named(told):
    curve = told["strategies"]["random"]["curve"]
    curve["mean"] = [math.nan] * 100
    assert "random" in texts(curves(told)) and len(lines(curves(told))) == 5


def test_nothing_to_draw_is_empty_text(told):
    for values in told["strategies"].values():
        values["curve"] = {"trial": [], "mean": [], "low": [], "high": []}
        values["chosen"] = [{"seed": 0, "test": 0.5, "flops": None}]
    assert curves(told) == tradeoff(told) == ""


def test_one_value_per_strategy_is_a_mark_with_its_interval(told):
    for values in told["strategies"].values():
        values["curve"] = {name: points[-1:] for name, points in values["curve"].items()}
    svg = curves(told)
    assert not lines(svg) and "100" in texts(svg)
    assert len([p for p in ET.fromstring(svg).iter() if p.get("stroke-width") == "2"]) == 3


def test_equal_scores_everywhere_are_drawn(told):
    for values in told["strategies"].values():
        for name in ("mean", "low", "high"):
            values["curve"][name] = [0.5] * 100
        values["chosen"] = [{"seed": 0, "test": 0.5, "flops": 1e6}]
    for svg in (curves(told), tradeoff(told)):
        assert not {"nan", "inf"} & set(numbers(svg))


def test_seeds_with_the_same_choice_are_one_larger_mark(told):
    titles = [word for word in texts(tradeoff(told)) if "FLOPs, 0." in word]
    assert len(titles) == 15 and all("1 seed," in title for title in titles)
    for values in told["strategies"].values():
        values["chosen"] = [{"seed": i, "test": 0.9, "flops": 2.5e8} for i in range(4)]
    titles = [word for word in texts(tradeoff(told)) if "FLOPs, 0." in word]
    assert titles[-1] == f"{NAMES[-1]}: 4 seeds, 250 M FLOPs, 0.9000" and len(titles) == 3


@pytest.mark.parametrize("low, high", [(1e3, 1e10), (1e8, 1.2e8), (3e6, 9e7), (2e9, 2e9)])
def test_flops_are_on_a_log_axis_with_a_few_readable_numbers(low, high, told):
    for values in told["strategies"].values():
        values["chosen"] = [{"seed": 0, "test": 0.9, "flops": x} for x in (low, high)]
    marks = [word for word in texts(tradeoff(told)) if re.fullmatch(r"[\d.]+( [kMGT])?", word)]
    marks = [word for word in marks if not re.fullmatch(r"0\.\d+", word)]
    assert 2 <= len(marks) <= 7 and len(set(marks)) == len(marks)


def test_it_reads_what_comes_back_from_a_file(told):
    again = json.loads(json.dumps(told))
    assert (curves(again), tradeoff(again)) == (curves(told), tradeoff(told))


def test_a_real_comparison_can_be_drawn(tmp_path):
    from tests.report.helpers import config_of

    from evolvent.comparison.paired import Comparison
    from evolvent.comparison.play import Trace
    from evolvent.config.setup import Setup

    traces = {
        name: [Trace(s, [0.1, 0.2 + s / 100], [0.1, 0.2], [0.0, 0.0], [1.0, 1.0], "0", 10, 1000 + s)
               for s in range(3)]
        for name in ("random", "local")
    }  # fmt: skip
    setup = Setup.from_json(config_of({"name": "listed"}))
    data: Any = SimpleNamespace(metric="accuracy")
    told = Comparison("toy", "2t", 3, traces, data, dict.fromkeys(traces, setup)).to_json()
    assert "local" in texts(curves(told)) and "local" in texts(tradeoff(told))


@pytest.mark.parametrize("draw", [curves, tradeoff])
def test_on_a_page_the_page_brings_the_styles_and_none_is_inline(draw, told):
    svg = draw(told, page=True)
    assert "<style" not in svg and "style=" not in svg
    assert texts(svg)[1:] == [word for word in texts(draw(told))[1:] if not word.startswith(".ev")]
