"""Reading tables: every form of CSV that people have, parquet, and what is wrong in one line."""

import decimal
import gzip
import math
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.task.helpers import refusal

from evolvent.errors import DataError
from evolvent.task.frames import Frame, frame_of, is_table, missing, read_frame, typed
from evolvent.task.portable.numerals import number

PLAIN = "a,b,target\n1,x,3\n2.5,y,4\n,x,5\n"


def written(folder, content, name="data.csv"):
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def read(folder, content, name="data.csv"):
    return read_frame(written(folder, content, name))


def refused(folder, content, name="data.csv"):
    with pytest.raises(DataError) as error:
        read(folder, content, name)
    return refusal(error)


def assert_plain(frame):
    assert list(frame.columns) == ["a", "b", "target"]
    assert np.array_equal(frame.columns["a"], [1, 2.5, math.nan], equal_nan=True)
    assert frame.columns["b"].tolist() == ["x", "y", "x"]
    assert frame.columns["target"].tolist() == [3, 4, 5]
    assert len(frame) == 3


# ---- forms of CSV --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\n\n"),
        PLAIN.rstrip("\n"),
        PLAIN.replace("x", '"x"').replace("a,", '"a",'),
        PLAIN.replace(",", " , "),
        PLAIN.replace("\n", ",,\n"),
        PLAIN.replace(",x,5", "NA,x,5"),
        PLAIN.replace(",x,5", "inf,x,5"),
    ],
    ids=range(15),
)
def test_every_form_of_csv_is_read_alike(tmp_path, content):
    if isinstance(content, str) and ",,\n" in content:
        content = content.replace("target,,", "target")
    assert_plain(read(tmp_path, content))


def test_a_zipped_file_and_one_of_tabs_are_read(tmp_path):
    assert_plain(read(tmp_path, gzip.compress(PLAIN.encode()), "data.csv.gz"))
    assert_plain(read(tmp_path, PLAIN.replace(",", "\t"), "DATA.TSV"))
    assert is_table("a/B.CSV.GZ")
    assert is_table("a.txt")
    assert not is_table("a.npz")


def test_cells_may_hold_separators_quotes_and_new_lines(tmp_path):
    frame = read(tmp_path, 'text,y\n"one, ""two""\nthree",1\nfour;five,2\n')
    assert frame.columns["text"].tolist() == ['one, "two"\nthree', "four;five"]
    assert frame.columns["y"].tolist() == [1, 2]


def test_a_comma_in_a_number_is_a_decimal_one_where_semicolons_separate(tmp_path):
    frame = read(tmp_path, "a;y\n1,5;2\n-3,25;4\n")
    assert frame.columns["a"].tolist() == [1.5, -3.25]


def test_other_encodings_are_read_and_told(tmp_path):
    frame = read(tmp_path, "name,y\nJosé,1\nZoë,2\n".encode("cp1252"))
    assert frame.columns["name"].tolist() == ["José", "Zoë"]
    assert frame.note == ("data.csv is not UTF-8: it was read as Windows-1252",)


def test_names_that_occur_again_or_are_missing_get_one(tmp_path):
    frame = read(tmp_path, "a,a,,a.2,a\n1,2,3,4,5\n")
    assert list(frame.columns) == ["a", "a.3", "column 3", "a.2", "a.4"]
    assert frame.columns["a.4"].tolist() == [5]
    assert frame.note == (
        "column 2 is called 'a.3': the name 'a' occurs again",
        "column 3 is called 'column 3': it has no name",
        "column 5 is called 'a.4': the name 'a' occurs again",
    )


# ---- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells, the header has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 cells"),
        ('a,b\n"1,2\n3,4\n', "quoted"),
        ('a,b\n"1"x,2\n', "quoted"),
        (b"a,b\n1,\x002\n", "zero bytes"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "zero bytes"),
        ("\ud800".encode("utf-16", "surrogatepass"), "not a readable table"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_one_line_that_names_it(tmp_path, content, reason):
    line = refused(tmp_path, content)
    assert reason in line
    assert "data.csv" in line


def test_damaged_archives_folders_and_other_files_are_refused(tmp_path):
    whole = gzip.compress(PLAIN.encode() * 100)
    assert "data.csv.gz" in refused(tmp_path, whole[:-20], "data.csv.gz")
    assert "data.csv.gz" in refused(tmp_path, PLAIN, "data.csv.gz")
    assert "is not a table" in refused(tmp_path, PLAIN, "data.json")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="not a regular file"):
        read_frame(tmp_path / "folder.csv")
    with pytest.raises(DataError, match="no such file"):
        read_frame(tmp_path / "none.csv")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    bomb = written(tmp_path, gzip.compress(b"a,b\n" + b"1,2\n" * 2_000_000), "data.csv.gz")
    assert bomb.stat().st_size < 100_000
    with pytest.raises(DataError, match="in memory"):
        read_frame(bomb, limit=10_000_000)


def test_an_unknown_column_is_named_with_the_nearest(tmp_path):
    frame = read(tmp_path, PLAIN)
    with pytest.raises(DataError, match=r"no column 'targte': did you mean 'target'\?"):
        frame.column("targte")
    with pytest.raises(DataError, match="first line holds numbers only"):
        read(tmp_path, "1,2\n3,4\n").column("y")


@settings(max_examples=60)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.text(alphabet='a1,;"\n\r\t| é', max_size=80).map(str.encode),
    )
)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("any") / "data.csv"
    file.write_bytes(content)
    try:
        frame = read_frame(file)
    except DataError as error:
        assert "\n" not in str(error)
        return
    assert len({len(column) for column in frame.columns.values()}) == 1
    assert all(column.dtype.kind in "fO" for column in frame.columns.values())


# ---- cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1),
        ("-2.5e3", -2500),
        ("+.5", 0.5),
        ("1_000", None),
        ("1,5", None),
        ("x", None),
        ("", None),
    ],
)
def test_what_a_number_is(cell, value):
    assert number(cell) == value


def test_an_infinite_number_is_missing():
    assert math.isnan(number("-inf") or 0)
    assert np.isnan(typed("a", ["1", "Infinity"], [])[1])


def test_a_column_is_of_numbers_if_all_or_almost_all_its_filled_cells_are():
    notes: list[str] = []
    assert typed("a", ["1", "?", "None", "-"], notes).tolist()[:1] == [1]
    assert typed("a", ["1", "2", "x"], notes).tolist() == ["1", "2", "x"]
    assert typed("a", ["", "NA"], notes).tolist() == ["", ""]
    assert typed("a", ["None", "x", "null"], notes).tolist() == ["None", "x", ""]
    assert notes == []
    many = typed("a", [*map(str, range(99)), "broken"], notes)
    assert many.dtype.kind == "f"
    assert np.isnan(many[-1])
    assert "'broken'" in notes[0]
    few = typed("a", ["1", "2"] * 50 + ["other"], notes)  # codes, not quantities
    assert few.dtype.kind == "O"


def test_missing_cells_are_found_in_both_types():
    assert missing(np.array([1, math.nan])).tolist() == [False, True]
    assert missing(np.array(["", "x"], object)).tolist() == [True, False]


# ---- parquet and data frames ---------------------------------------------------------------------

TYPES = {
    "int": pd.array([1, None, 3], dtype="Int64"),
    "float": [0.5, math.inf, math.nan],
    "bool": [True, False, True],
    "text": ["a ", None, "NA"],
    "category": pd.Categorical(["u", "v", None]),
    "grades": pd.Categorical([1, 2, 1]),
    "date": pd.to_datetime(["2020-01-02", "NaT", "2021-03-04"]),
    "decimal": [decimal.Decimal("1.5"), None, decimal.Decimal("2")],
    "mixed": ["a", 1, 2.5],
    "list": [[1], [2], [3]],
}


def test_types_of_data_frames_become_numbers_or_text():
    frame = frame_of(pd.DataFrame(TYPES), "data")
    columns = {name: column.tolist() for name, column in frame.columns.items()}
    assert columns.pop("text") == ["a ", "", ""]  # exactly as written
    assert columns.pop("category") == ["u", "v", ""]
    assert columns.pop("grades") == [1, 2, 1]
    assert columns.pop("bool") == ["True", "False", "True"]
    assert columns.pop("mixed") == ["a", "1", "2.5"]
    assert columns.pop("date") == ["2020-01-02", "", "2021-03-04"]
    assert str(columns.pop("int")) == "[1.0, nan, 3.0]"
    assert str(columns.pop("float")) == "[0.5, nan, nan]"
    assert str(columns.pop("decimal")) == "[1.5, nan, 2.0]"
    assert not columns
    assert frame.note == ("column 'list' holds neither numbers nor text: it is left out",)


def test_equal_names_and_names_that_are_no_text_are_fine():
    frame = frame_of(pd.DataFrame([[1, 2, 3]], columns=[0, 0, "x"]), "data")
    assert {name: column.tolist() for name, column in frame.columns.items()} == {
        "0": [1],
        "0.2": [2],
        "x": [3],
    }


def test_a_parquet_file_holds_what_the_csv_file_of_the_same_frame_holds(tmp_path):
    data = pd.DataFrame({k: v for k, v in TYPES.items() if k not in ("list", "decimal", "mixed")})
    data.to_parquet(tmp_path / "data.parquet")
    data.to_csv(tmp_path / "data.csv", index=False)
    one, other = read_frame(tmp_path / "data.parquet"), read_frame(tmp_path / "data.csv")
    assert list(one.columns) == list(other.columns)
    for name in one.columns:
        assert one.columns[name].tolist() == pytest.approx(
            other.columns[name].tolist(), nan_ok=True
        )


def test_damaged_parquet_files_are_refused(tmp_path):
    pd.DataFrame({"a": range(100)}).to_parquet(tmp_path / "good.parquet")
    whole = (tmp_path / "good.parquet").read_bytes()
    for content in (b"", b"PAR1", whole[:-30], whole[:40] + b"\xff" * 60 + whole[100:], PLAIN):
        assert "parquet" in refused(tmp_path, content, "data.parquet")
    with pytest.raises(DataError, match="in memory"):
        read_frame(tmp_path / "good.parquet", limit=100)
    with pytest.raises(DataError, match="0 rows"):
        frame_of(pd.DataFrame({"a": []}), "data")


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (pd.period_range("2024-01", periods=2, freq="M"), "date", ["2024-01-01", "2024-02-01"]),
        (np.array([timedelta(minutes=1), None], object), "number", [60.0, None]),
        (np.array([b"gr\xc3\xbcn", None], object), "category", ["grün", ""]),
        (np.array([2**60 + 1, 2**60, None], object), "category", [f"{2**60 + 1}", f"{2**60}", ""]),
        (np.array([3, None], object), "number", [3.0, None]),
    ],
)
def test_cells_of_a_data_frame_keep_what_they_say(cells, kind, values):
    frame = frame_of(pd.DataFrame({"a": pd.Series(cells)}), "data")
    assert frame.about["a"].form["type"] == kind
    found = [None if cell != cell else cell for cell in frame.column("a").tolist()]
    assert found == values


def test_bytes_that_are_no_text_are_left_out():
    frame = frame_of(pd.DataFrame({"a": [b"\xff", b"a"], "b": [1, 2]}), "data")
    assert list(frame.columns) == ["b"]
    assert frame.note == ("column 'a' holds neither numbers nor text: it is left out",)


def test_rows_are_taken_by_number_or_by_mask():
    frame = Frame("data", {"a": np.array([1.0, 2.0, 3.0])}, ("note",))
    assert frame.rows(np.array([2, 0])).columns["a"].tolist() == [3, 1]
    assert frame.rows(np.array([True, False, False])).note == ("note",)
