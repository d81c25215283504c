"""Every form of a table's file is read to the same cells, by the search and by predict.py."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers_forms import FORMS, file_of, frame, zipped
from tests.task.helpers import refusal

from evolvent.errors import DataError
from evolvent.task.frames import is_table, read_frame
from evolvent.task.portable.errors import Unreadable
from evolvent.task.portable.forms import read_table

TEXT = "name,word,y\nä,one,1\nö,two,2\n"
CHINESE = "城市,天气,温度\n" + "北京,今天天气很好,3\n上海,下雨了,4\n广州,多云转晴,5\n" * 4
TAIWAN = "城市,天氣,溫度\n" + "台北,今天天氣很好,3\n高雄,下雨了,4\n台中,多雲時晴,5\n" * 4
JAPANESE = "都市,天気,温度\n" + "東京,きょうはいい天気です,3\n大阪,あめがふっています,4\n" * 4
KOREAN = "도시,날씨,온도\n" + "서울,오늘은 날씨가 좋습니다,3\n부산,비가 옵니다,4\n" * 6
RUSSIAN = "город,погода,y\n" + "Москва,сегодня хорошая погода,3\nКазань,идёт дождь,4\n" * 4
GERMAN = "Straße,Größe,y\nMüllerstraße,groß,3\nÖlweg,für,4\n"
FRENCH = "prénom,été,y\nHélène,à côté,1\nFrançois,déjà,2\n"


def read(folder, data, name="data.csv", **options):
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_table(folder / name, **options)


def refused(folder, data, name="data.csv", **options):
    with pytest.raises(Unreadable) as error:
        read(folder, data, name, **options)
    return refusal(error)


# ---- forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_table(tmp_path, form):
    found = read_frame(file_of(tmp_path, form))
    wanted = frame()
    assert list(found.columns) == list(wanted)
    assert found.columns["size"].tolist() == wanted["size"].tolist()
    assert found.columns["count"].tolist() == wanted["count"].tolist()
    assert found.columns["colour"].tolist() == wanted["colour"].tolist()
    assert found.columns["kind"].tolist() == wanted["kind"].tolist()
    assert found.note == ()


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_of_any_form_is_one_line_that_names_it(tmp_path, form):
    whole = file_of(tmp_path, form).read_bytes()
    for data in (b"", whole[: len(whole) // 2] + b"\x00\xff" * 9, b"\x00" * 50):
        line = refused(tmp_path, data, f"bad{FORMS[form]}")
        assert f"bad{FORMS[form]}" in line


def test_what_is_no_table_is_told_what_is_read(tmp_path):
    line = refused(tmp_path, "x", "data.sav")
    assert "data.sav' is not a table" in line
    assert ".xlsx" in line
    with pytest.raises(DataError, match=r"these are read: \.csv"):
        read_frame(tmp_path / "data.sav")
    assert all(is_table(f"DATA{suffix.upper()}") for suffix in FORMS.values())
    assert is_table("photos.zip")
    assert not is_table("train-images-idx3-ubyte.gz")


def test_numbers_of_json_and_words_stay_as_they_are_written(tmp_path):
    lines = (
        '{"a": 1E5, "b": 12345678901234567890, "c": "007"}\n\n{"b": 1.0, "c": null, "a": true}\n'
    )
    table = read(tmp_path, lines, "data.jsonl")
    assert table.columns == {
        "a": ["1E5", "true"],
        "b": ["12345678901234567890", "1.0"],
        "c": ["007", ""],
    }


def test_what_is_wrong_with_json_names_the_line(tmp_path):
    assert "line 2" in refused(tmp_path, '{"a": 1}\n{"a": \n', "data.jsonl")
    assert "line 1: '3' is no object" in refused(tmp_path, "3\n", "data.jsonl")
    assert "a list of objects" in refused(tmp_path, '{"a": {"0": 1}}', "data.json")
    assert "left out" in read(tmp_path, '[{"a": 1, "b": [2]}]', "data.json").notes[0]


def test_arff_has_quotes_sparse_rows_and_weights(tmp_path):
    head = "@relation r\n@attribute a numeric\n@attribute 'b c' {x,'y, z'}\n@data\n"
    dense = read(tmp_path, head + "1,'y, z'\n?,x,{3}\n% no row\n2, 'it\\'s'\n", "data.arff")
    assert [*map(list, dense.columns.values())] == [["1", "?", "2"], ["y, z", "x", "it's"]]
    sparse = read(tmp_path, head + "{0 5}\n{1 'y, z'}\n{}\n", "data.arff")
    assert [*map(list, sparse.columns.values())] == [["5", "0", "0"], ["x", "y, z", "x"]]
    assert "line 5: 3 cells" in refused(tmp_path, head + "1,x,2\n", "data.arff")
    assert "no line @data" in refused(tmp_path, "@relation r\n", "data.arff")


@pytest.mark.parametrize("form", ["parquet", "feather"])
def test_typed_files_keep_whole_numbers_dates_and_truths(tmp_path, form):
    data = pd.DataFrame(
        {
            "big": [2**62 + 1, 3],
            "gap": pd.array([1, None], dtype="Int64"),
            "day": pd.to_datetime(["2020-01-02", "NaT"]),
            "time": pd.to_datetime(["2020-01-02 03:04:05", "NaT"]),
            "truth": [True, False],
            "grade": pd.Categorical(["u", None]),
            "list": [[1], [2]],
        }
    )
    table = read_table(file_of(tmp_path, form, data))
    big = table.columns["big"]
    assert isinstance(big, np.ndarray)
    assert big.tolist() == [2**62 + 1, 3]
    assert str(list(table.columns["gap"])) == "[np.float64(1.0), np.float64(nan)]"
    assert table.columns["day"] == ["2020-01-02", ""]
    assert table.columns["time"] == ["2020-01-02 03:04:05", ""]
    assert table.columns["truth"] == ["True", "False"]
    assert table.columns["grade"] == ["u", ""]
    assert table.notes == ["column 'list' holds neither numbers nor text: it is left out"]


def test_a_workbook_has_sheets(tmp_path):
    pytest.importorskip("python_calamine")
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Empty"
    for name, value in (("First", 1), ("Second", 2.5)):
        for row in ([], ["", "a", "b"], ["", value, "x"], ["", None, "7"]):
            book.create_sheet(name) if name not in book.sheetnames else None
            book[name].append(row)
    book.save(tmp_path / "book.xlsx")
    table = read_table(tmp_path / "book.xlsx")
    assert np.array_equal(table.columns["a"], [1, np.nan], equal_nan=True)
    assert table.columns["b"] == ["x", "7"]
    assert "sheet 'First' is read, of 'First', 'Second'" in table.notes[0]
    other = read_table(tmp_path / "book.xlsx", sheet="Second")
    assert other.columns["a"][0] == 2.5
    assert read_table(tmp_path / "book.xlsx", learnt=other.how).columns["a"][0] == 2.5
    with pytest.raises(Unreadable, match="no sheet 'Third': it has 'Empty', 'First'"):
        read_table(tmp_path / "book.xlsx", sheet="Third")
    with pytest.raises(Unreadable, match="GiB are allowed"):
        read_table(tmp_path / "book.xlsx", limit=10)


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        ("pyarrow", "data.parquet", "pip install pyarrow"),
        ("pyarrow", "data.feather", "pip install pyarrow"),
        ("python_calamine", "data.xlsx", "pip install python-calamine"),
    ],
)
def test_a_reader_that_is_not_installed_is_named(tmp_path, monkeypatch, module, name, hint):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    assert hint in refused(tmp_path, "x", name)


def test_a_zip_holds_one_table(tmp_path):
    mac = {"__MACOSX/._data.csv": "x", "folder/": "", "folder/data.jsonl": '{"a": 1}\n'}
    assert read(tmp_path, zipped(mac), "data.zip").columns == {"a": ["1"]}
    assert "holds 2 tables ('a.csv', 'b.csv')" in refused(
        tmp_path, zipped({"a.csv": TEXT, "b.csv": TEXT}), "data.zip"
    )
    assert "no table ('a.png')" in refused(tmp_path, zipped({"a.png": "x"}), "data.zip")
    assert "packed twice" in refused(tmp_path, zipped({"a.csv.gz": "x"}), "data.zip")
    bomb = zipped({"a.csv": "a,b\n" + "1,2\n" * 500_000})
    assert "GiB are allowed" in refused(tmp_path, bomb, "data.zip", limit=1_000_000)


# ---- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "encoding", "called"),
    [
        (CHINESE, "gbk", "GBK"),
        (TAIWAN, "big5", "Big5"),
        (JAPANESE, "shift_jis", "Shift-JIS"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (KOREAN, "euc_kr", "EUC-KR"),
        (RUSSIAN, "cp1251", "Windows-1251"),
        (RUSSIAN, "koi8-r", "KOI8-R"),
        (GERMAN, "latin-1", "Windows-1252"),
        (GERMAN, "cp1252", "Windows-1252"),
        (FRENCH, "latin-1", "Windows-1252"),
        (GERMAN, "utf-16-le", "UTF-16"),
        (FRENCH, "utf-16-be", "UTF-16"),
    ],
)
def test_an_encoding_is_found_and_said(tmp_path, text, encoding, called):
    table = read(tmp_path, text.encode(encoding))
    lines = text.splitlines()
    assert [*table.columns] == lines[0].split(",")
    assert [*zip(*table.columns.values(), strict=True)] == [tuple(x.split(",")) for x in lines[1:]]
    assert called in table.notes[0]
    assert read(tmp_path, text.encode(encoding), encoding=encoding).notes == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_is_utf8_or_marked_needs_no_word(tmp_path, encoding):
    table = read(tmp_path, CHINESE.encode(encoding))
    assert [*table.columns] == ["城市", "天气", "温度"]
    assert table.notes == []


def test_a_few_bad_bytes_do_not_make_it_another_encoding(tmp_path):
    table = read(tmp_path, CHINESE.encode() + b"\xff,x,1\n")
    assert table.columns["城市"][0] == "北京"
    assert table.notes == ["data.csv is UTF-8 but for 1 places, which are read as \ufffd"]


def test_an_encoding_that_is_said_is_kept_or_refused(tmp_path):
    table = read(tmp_path, "a,b\nЖ,1\n".encode("cp866"), encoding="cp866")
    assert table.columns["a"] == ("Ж",)
    again = read(tmp_path, "a,b\nЩ,1\n".encode("cp866"), learnt=table.how)
    assert (again.columns["a"], again.notes) == (("Щ",), [])
    assert "line 2 holds bytes" in refused(tmp_path, TEXT, encoding="ascii")
    assert "none of that name" in refused(tmp_path, TEXT, encoding="utf-9")
    assert "none of that name" in refused(tmp_path, TEXT, encoding="rot13")


def test_a_learnt_encoding_decides_where_a_short_file_does_not_tell(tmp_path):
    learnt = read(tmp_path, RUSSIAN.encode("koi8-r")).how
    table = read(tmp_path, "a,b\nя,1\n".encode("koi8-r"), learnt=learnt)
    assert (table.columns["a"], table.notes) == (("я",), [])


@settings(max_examples=60)
@given(st.binary(max_size=120), st.sampled_from([".csv", ".txt", ".jsonl", ".arff", ".json"]))
def test_any_bytes_of_any_form_are_read_or_refused(tmp_path_factory, data, suffix):
    file = tmp_path_factory.mktemp("any") / f"data{suffix}"
    file.write_bytes(data)
    try:
        table = read_table(file)
    except Unreadable as error:
        assert "\n" not in str(error)
        return
    assert len({len(cells) for cells in table.columns.values()}) == 1
    json.dumps(table.how)


# ---- what stands above and beside the rows -------------------------------------------------------


def test_excels_first_line_says_the_separator(tmp_path):
    for first in ("sep=;", '"sep=;"', "SEP=;"):
        table = read(tmp_path, f"{first}\r\na;b\r\n1,5;x,y\r\n")
        assert table.columns == {"a": ("1,5",), "b": ("x,y",)}
        assert table.comma


def test_comments_above_the_header_are_left_out_and_said(tmp_path):
    table = read(tmp_path, "# made by, hand, today\n\n# really\na,b,c\nx,1,2\nx,3,4\n")
    assert [*table.columns] == ["a", "b", "c"]
    assert table.notes == ["2 comment lines above the header left out: '# made by, hand, today'"]


@pytest.mark.parametrize(
    ("text", "name", "names"),
    [
        ("# from a program\n# a b c\n1 2 3\n4 5 6\n", "data.txt", ["a", "b", "c"]),
        ("#,Name,Type\n1,Bulbasaur,Grass\n2,Mew,Psychic\n", "data.csv", ["#", "Name", "Type"]),
        ("#id,group\nx1,A\nx2,A\nx1,A\n", "data.csv", ["#id", "group"]),
        ("% of all,y\n3,1\n4,0\n", "data.csv", ["% of all", "y"]),
    ],
)
def test_a_header_that_looks_like_a_comment_is_a_header(tmp_path, text, name, names):
    assert [*read(tmp_path, text, name).columns] == names


def test_blanks_and_tabs_separate_where_they_are_usual(tmp_path):
    table = read(tmp_path, '  a   "b c"  d\n 1   "x  y"  2\n11   z  3  \n', "data.txt")
    assert table.columns == {"a": ("1", "11"), "b c": ("x  y", "z"), "d": ("2", "3")}
    tabs = read(tmp_path, "a,b\tc\n1,2\t3\n", "data.tsv")
    assert tabs.columns == {"a,b": ("1,2",), "c": ("3",)}
    assert read(tmp_path, "two words\nJohn Smith\n").columns == {"two words": ("John Smith",)}
    rows = read(tmp_path, '"a" "b"\n"r1" 1 2\n"r2" 3 4\n', "data.txt")  # R's write.table
    assert rows.columns["a"] == ("1", "3")


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_a_column_that_numbers_the_rows_is_no_feature(tmp_path, name):
    (tmp_path / "data.csv").write_text(
        f"{name},a,y\n" + "".join(f"{i},{i % 3},1\n" for i in range(9))
    )
    found = read_frame(tmp_path / "data.csv")
    assert [*found.columns] == ["a", "y"]
    assert found.note == (
        "column 1 has no name and another value in every row: it numbers the rows and is left out",
    )
    assert len(read_frame(tmp_path / "data.csv", index=True).columns) == 3


def test_a_column_without_a_name_that_repeats_is_a_feature(tmp_path):
    (tmp_path / "data.csv").write_text(",a,y\n1,2,1\n1,3,1\n2,4,1\n")
    assert [*read_frame(tmp_path / "data.csv").columns] == ["column 1", "a", "y"]
