"""Tabular benchmarks: public, shipped and imported."""

import gzip
import json
import os

import numpy as np
import pandas as pd
import pytest

from evolvent.errors import DataError, SettingError
from evolvent.task import tables
from evolvent.task.tables import Table, import_table, load_table, names, save_table

ROWS = {
    "cell": ["001", "010", "NA", "100"],
    "val": [0.5, 0.75, 0.25, 1.0],
    "final": [50.0, 70.0, 30.0, 90.0],
    "time": [1.0, 2.0, 3.0, 4.0],
    "note": ["a", "b", "c", "d"],
}
real = pytest.mark.skipif(not os.environ.get("EVOLVENT_DATA"), reason="EVOLVENT_DATA is not set")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVENT_HOME", str(tmp_path / "home"))


@pytest.fixture(params=["rows.csv", "rows.csv.gz", "rows.parquet"])
def file(request, tmp_path):
    path = tmp_path / request.param
    frame = pd.DataFrame(ROWS)
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


def write(tmp_path, text):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    return path


def test_an_import_keeps_text_as_text_and_can_be_loaded_again(file):
    table = import_table(file, "mine", "cell", "val", "final", "time", percent=["final"])
    again = load_table("mine")
    for found in (table, again):
        assert found.archs == ("001", "010", "NA", "100")
        assert (found.score, found.test, found.cost) == ("val", "final", "time")
        assert sorted(found.columns) == ["final", "time", "val"]
        assert found.columns["final"].tolist() == [0.5, 0.7, 0.3, 0.9]
        assert found.units == {"final": "fraction", "time": "s"}
        assert found.index["NA"] == 2
        assert found.best() == 3
    assert names() == ["mine", "nasbench201", "nasbench_graph"] or "mine" in names()


def test_the_copy_is_two_plain_files_and_equal_tables_are_equal_files(file, tmp_path):
    copies = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        import_table(file, "mine", "cell", "val", folder=folder)
        assert json.loads((folder / "mine.json").read_text())["test"] is None
        copies.append((folder / "mine.csv.gz").read_bytes())
        assert gzip.decompress(copies[-1]).startswith(b"arch,val,final,time\n")
    assert copies[0] == copies[1]


def test_numbers_survive_the_copy_to_the_last_bit(tmp_path):
    values = np.random.default_rng(0).normal(size=50)
    archs = tuple(f"{row:03d}" for row in range(50))
    save_table(Table("exact", archs, {"score": values}, "score"), tables.home())
    assert np.array_equal(load_table("exact").columns["score"], values)


def test_other_columns_can_be_chosen_and_unknown_ones_name_the_nearest(file):
    import_table(file, "mine", "cell", "val")
    table = load_table("mine", score="final", test="val", cost="time")
    assert (table.score, table.test, table.cost) == ("final", "val", "time")
    with pytest.raises(DataError, match="did you mean 'final'"):
        load_table("mine", score="finale")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("cell,val\n", "0 architecture"),
        ("cell,val\na,1\n", "at least 2 rows"),
        ("cell,val\na,1\na,2\n", "'a' is listed twice"),
        ("cell,val\na,1\nb,\n", "no finite number in data row 2"),
        ("cell,val\na,1\nb,nan\n", "no finite number in data row 2"),
        ("cell,val\na,1\nb,inf\n", "no finite number in data row 2"),
        ("cell,val\na,1\n,2\n", "empty in data row 2"),
        ("cell,val\na,good\nb,bad\n", "holds text"),
        ("cell,vall\na,1\nb,2\n", "did you mean 'vall'"),
        ("sell,val\na,1\nb,2\n", "did you mean 'sell'"),
        ("cell,val\na,1,2,3\nb,2\n", "cannot be read|no finite|holds text|column"),
    ],
)
def test_a_bad_import_is_one_clear_line_and_leaves_nothing(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        import_table(write(tmp_path, text), "bad", "cell", "val")
    assert "\n" not in str(caught.value)
    assert not tables.home().exists()


def test_a_missing_file_a_missing_table_and_a_taken_name_are_refused(tmp_path, file):
    with pytest.raises(DataError, match="no such file"):
        import_table(tmp_path / "none.csv", "bad", "cell", "val")
    with pytest.raises(DataError, match="table name"):
        import_table(file, "nasbench201", "cell", "val")
    with pytest.raises(DataError, match="table name"):
        import_table(file, "../mine", "cell", "val")
    with pytest.raises(SettingError, match="did you mean 'nasbench201'"):
        load_table("nasbench20")


def test_a_missing_test_value_is_refused_too(tmp_path):
    path = write(tmp_path, "cell,val,test\na,1,2\nb,2,\n")
    with pytest.raises(DataError, match="'test' has no finite number"):
        import_table(path, "bad", "cell", "val", "test")
    table = import_table(path, "fine", "cell", "val")
    assert np.isnan(table.columns["test"][1])
    with pytest.raises(DataError, match="'test' has no finite number"):
        load_table("fine", test="test")
    assert load_table("fine").test is None


def test_fidelities_and_metrics_follow_the_scores_name():
    column = np.ones(2)
    kept = ("a_val_12ep", "a_val_200ep", "a_test_200ep", "b_val_12ep", "a_params", "latency")
    table = Table("t", ("x", "y"), dict.fromkeys(kept, column), "a_val_12ep")
    assert table.fidelities == {12.0: "a_val_12ep", 200.0: "a_val_200ep"}
    assert table.metrics == {"params": "a_params", "latency": "latency"}
    assert Table("t", ("x", "y"), {"s": column}, "s").fidelities == {}


def small(root, name, frame):
    folder = root / name
    folder.mkdir(parents=True)
    base = name.replace("-", "_")
    frame.to_csv(folder / f"{base}.csv.gz", index=False)


@pytest.mark.parametrize("folder", ["nasbench_graph", "nasbench-graph"])
def test_a_public_table_is_found_under_either_folder_name(tmp_path, monkeypatch, folder):
    columns = {f"cora_{name}": [0.5, 0.25] for name in ("valid", "test", "latency", "params")}
    columns |= {"arxiv_valid": [0.5, np.nan], "arxiv_test": [0.5, np.nan]}
    frame = pd.DataFrame(
        {"hash": [0, 1], "link": ["0012", "0000"], "ops": ["gat|fc"] * 2, **columns}
    )
    small(tmp_path, folder, frame)
    monkeypatch.setenv("EVOLVENT_DATA", str(tmp_path))
    table = load_table("nasbench_graph")
    assert table.archs == ("0|0|1|2|gat|fc", "0|0|0|0|gat|fc")
    assert (table.score, table.test, table.cost) == ("cora_valid", "cora_test", None)
    assert table.columns["cora_params"].tolist() == [500_000.0, 250_000.0]
    assert table.units["cora_latency"] == "s"
    with pytest.raises(DataError, match="has 1 values"):
        load_table("nasbench_graph", score="arxiv_valid")


def test_percent_become_fractions_and_the_test_column_follows_the_score(tmp_path, monkeypatch):
    scores = {
        f"{data}_{part}_{epochs}ep": [50.0, 60.0]
        for data in ("cifar10", "cifar100")
        for part in ("val", "test")
        for epochs in (12, 200)
    }
    frame = pd.DataFrame({"ops": ["000001", "100000"], **scores, "cifar100_params": [1, 2]})
    small(tmp_path, "nasbench201", frame)
    monkeypatch.setenv("EVOLVENT_DATA", str(tmp_path))
    table = load_table("nasbench201")
    assert (table.score, table.test) == ("cifar10_val_12ep", "cifar10_test_200ep")
    assert table.archs[0] == "000001"
    assert table.columns[table.score].tolist() == [0.5, 0.6]
    other = load_table("nasbench201", score="cifar100_val_200ep")
    assert other.test == "cifar100_test_200ep"
    assert other.metrics == {"params": "cifar100_params"}
    assert other.columns["cifar100_params"].tolist() == [1.0, 2.0]


def test_a_public_table_that_is_not_there_says_where_it_should_be(monkeypatch):
    monkeypatch.delenv("EVOLVENT_DATA", raising=False)
    with pytest.raises(DataError, match=r"\$EVOLVENT_DATA/nasbench201/nasbench201.csv.gz"):
        load_table("nasbench201")


@real
def test_nasbench201_has_its_published_optimum():
    table = load_table("nasbench201", score="cifar10_val_200ep")
    assert len(table) == 15_625
    assert table.archs[table.best()] == "333132"
    assert table.columns["cifar10_test_200ep"].max() == pytest.approx(0.943733, abs=1e-6)
    assert table.metrics == {"params": "cifar10_params", "flops": "cifar10_flops"}


@real
def test_nasbench_graph_is_complete_and_rows_without_a_score_are_left_out():
    table = load_table("nasbench_graph")
    assert len(table) == 26_206
    assert {arch.count("|") for arch in table.archs} == {7}
    assert table.metrics == {"params": "cora_params", "latency": "cora_latency"}
    assert len(load_table("nasbench_graph", score="proteins_valid")) == 2_021
