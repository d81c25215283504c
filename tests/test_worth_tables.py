"""The sweep over tables: its folds, its arithmetic, and that it goes on where it was stopped."""

import argparse
import json
import math
import statistics
from typing import Any

import numpy as np
import pytest
from benchmarks import worth_tables
from benchmarks.worth_tables import folds, sweep
from benchmarks.worth_tables_table import best_of, difference, ranks, scores_of, tables, verdict


def row(name, fold, score, data="wine", **more):
    return {"set": data, "fold": fold, "row": name, "score": score, "processor": 1.0} | more


def test_small_sets_are_divided_twice_and_every_row_is_held_out_as_often():
    few, many = np.arange(100) % 2, np.arange(1000) % 2
    for y, times in ((few, 2), (many, 1)):
        held = np.zeros(len(y), int)
        for training, rest in folds(y, "classification", 5, 2):
            assert not set(training) & set(rest)
            held[rest] += 1
        assert set(held) == {times}
    first, *_, last = folds(few, "classification", 5, 2)
    assert first[1].tolist() != last[1].tolist()
    again = next(iter(folds(few, "classification", 5, 2)))
    assert first[1].tolist() == again[1].tolist()


def test_differences_are_paired_over_the_folds_of_both():
    found = difference({0: 0.9, 1: 0.8, 2: 0.7}, {1: 0.7, 2: 0.4, 3: 0.1})
    assert found == pytest.approx((0.2, statistics.stdev([0.1, 0.3]) / math.sqrt(2)))
    assert difference({0: 0.9}, {0: 0.7}) == (pytest.approx(0.2), None)
    assert difference({0: 0.9}, {1: 0.7}) is None


@pytest.mark.parametrize(
    ("mean", "error", "word"),
    [(0.02, 0.01, "better"), (0.01, 0.01, "equal"), (-0.01, 0.01, "equal"), (-0.02, 0.01, "worse")],
)
def test_one_standard_error_decides(mean, error, word):
    assert verdict(mean, error) == word


def test_the_rival_is_the_best_of_its_group_and_equal_rows_share_a_rank():
    scores = {"mlp": {0: 0.5, 1: 0.7}, "forest": {0: 0.7, 1: 0.9}, "tabm": {0: 0.99}}
    assert best_of(scores, ("mlp", "forest", "boosting")) == "forest"
    assert best_of(scores, ("boosting",)) is None
    scores = {"a": {0: 0.5}, "b": {0: 0.7}, "c": {0: 0.7}, "d": {0: 0.1}}
    assert ranks(scores, list(scores)) == {"a": 3, "b": 1.5, "c": 1.5, "d": 4}


def test_the_plain_control_of_a_run_is_a_row_and_the_tables_count():
    rows = [row("tabular", fold, 0.9 + fold / 100, plain=0.8) for fold in range(2)]
    rows += [row("forest", fold, 0.95 + fold / 100) for fold in range(2)]
    rows += [row("tabular", fold, 0.5 + fold / 10, "iris") for fold in range(2)]
    rows += [row("forest", fold, 0.5, "iris") for fold in range(2)]
    assert scores_of(rows)["wine"]["plain"] == {0: 0.8, 1: 0.8}
    told = tables(rows)
    assert "| wine | forest | -0.0500 +- 0.0000 | worse |" in told
    assert "| iris | forest | +0.0500 +- 0.0500 | equal |" in told
    assert "Not worse on 1 of 2 sets: better 0, equal 1, worse 1." in told
    assert "| wine | plain | +0.1050 +- 0.0050 | better |" in told
    assert tables([]) == "nothing was measured yet"


def test_what_the_file_holds_is_not_done_again(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f},{b:.3f},{'red' if a > b else 'blue'}" for a, b in rng.normal(size=(60, 2))]
    (tmp_path / "data" / "toy.csv").write_text("\n".join(["a,b,target", *lines]) + "\n")
    given = argparse.Namespace(folder=tmp_path / "data", sets=None, folds=3, repeats=1, first=2)
    given.out, given.rows, given.seconds = tmp_path / "out.jsonl", ["extra-trees"], 60.0
    rows: list[dict[str, Any]] = []
    sweep(given, rows)
    assert [(each["fold"], each["row"]) for each in rows] == [
        (0, "extra-trees"),
        (1, "extra-trees"),
    ]
    assert all(each["score"] > 0.6 for each in rows)
    kept = [json.loads(line) for line in given.out.read_text().splitlines()]
    assert kept == rows
    played: list[str] = []

    def noted(row, *asked):
        played.append(row)
        return {"score": 0.5, "wall": 0.0, "processor": 0.0}

    monkeypatch.setattr(worth_tables, "played", noted)
    given.rows = ["extra-trees", "mlp"]
    sweep(given, kept)
    assert played == ["mlp", "mlp"]
