"""Pages and drawings as files in the folder that they are about."""

import json
import xml.etree.ElementTree as ET

import pytest
import yaml
from tests.report.helpers import HOSTILE, deliver, fill, make_run, results

from evolvent.errors import RunError
from evolvent.report.files import found, index, kind_of, picture, write


@pytest.fixture
def folder(tmp_path):
    for name in ("first", "second & <b>"):
        fill(make_run(tmp_path / "all" / name), results(12))
    deliver(tmp_path / "all" / "first", 3)
    return tmp_path / "all"


def comparison(folder, name="random"):
    folder.mkdir()
    mean = [0.9, 0.91, 0.92]
    row = {
        "settings": {},
        "val": {"mean": 0.95, "iqm": 0.95, "std": 0.01, "ci95": [0.94, 0.96]},
        "test": {"mean": 0.92, "iqm": 0.92, "std": 0.01, "ci95": [0.91, 0.93]},
        "curve": {"trial": [1, 2, 3], "mean": mean, "low": mean, "high": mean},
        "chosen": [{"seed": 0, "test": 0.92, "flops": 1e6, "params": 10}],
        "search_seconds": 0.1,
    }
    ahead = {"lead": 0.01, "ci95": [-0.01, 0.03], "from_trial": None}
    told = {
        "task": "table:x",
        "budget": "3t",
        "metric": "accuracy",
        "seeds": 5,
        "space": "cell201",
        "estimator": {"name": "table"},
        "strategies": {"random": row, name: row | {"ahead_of_random": ahead}},
        "tests": [
            {"first": name, "second": "random", "difference": 0.01, "wins": 0.6, "p_holm": 0.04}
        ],
        "tests_on": "test",
        "curves_on": "test",
        "note": "a note",
    }
    plan = {
        "request": {
            "task": "table:x",
            "recipe": None,
            "space": None,
            "estimator": "table",
            "budget": "3t",
        },
        "strategies": [name, "random"],
        "settings": {name: {"population": 10}},
    }
    (folder / "comparison.json").write_text(json.dumps(told))
    (folder / "config.yaml").write_text(yaml.safe_dump(plan))
    return folder


def test_the_page_of_a_run_is_a_file_in_its_folder(folder):
    file = write(folder / "first")
    assert file == folder / "first" / "report.html"
    assert file.read_text().startswith("<!doctype html>")
    assert "amoebanet · first" in file.read_text()


def test_a_folder_gets_a_page_for_each_and_a_list(folder):
    comparison(folder / "compared")
    text = write(folder).read_text()
    assert list(found(folder)) == ["compared", "first", "second & <b>"]
    assert all((folder / name / "report.html").is_file() for name in found(folder))
    assert "href='second%20%26%20%3Cb%3E/report.html'" in text
    assert "second &amp; &lt;b&gt;" in text and "<b>" not in text


def test_the_list_says_how_far_every_run_is(folder):
    rows = {row["name"]: row for row in index(folder)}
    assert rows["first"]["state"] == "done"
    assert rows["second & <b>"]["state"] == "searching"
    best = max(result.score for _, result in results(12) if result.ok)
    assert rows["first"]["score"] == best and rows["first"]["candidates"] == 12


def test_a_damaged_run_is_named_in_the_list_and_does_not_hide_the_others(folder):
    (folder / "first" / "run.db").write_bytes(b"not a database" * 100)
    rows = {row["name"]: row for row in index(folder)}
    assert "damaged" in rows["first"]["state"]
    assert rows["second & <b>"]["candidates"] == 12


def test_a_comparison_has_curves_a_table_and_its_command(tmp_path):
    folder = comparison(tmp_path / "c", name="mine:Search")
    text = write(folder).read_text()
    assert "0.9100 to 0.9300" in text and "+0.0100 (-0.0100 to +0.0300)" in text
    assert "not by its interval" in text and "p = 0.04" in text and "a note" in text
    assert text.count('class="ev-figure"') == 2
    assert (
        "evolvent compare table:x --strategies mine:Search,random --seeds 5 --budget 3t "
        "--estimator table --set mine:Search.population=10"
    ) in text


def test_a_hostile_name_in_a_comparison_is_text(tmp_path):
    text = write(comparison(tmp_path / "c", name=HOSTILE[:80])).read_text()
    assert "<img" not in text and "&lt;img" in text
    assert text.count("</script>") == 2


@pytest.mark.parametrize(
    "form, start", [("svg", "<svg"), ("mermaid", "flowchart"), ("dot", "digraph")]
)
def test_a_candidate_is_drawn_in_every_form(folder, form, start):
    assert picture(folder / "first", 5, form).startswith(start)
    assert picture(folder / "first", None, form) == picture(folder / "first", 3, form)


def test_an_svg_is_whole(folder):
    ET.fromstring(picture(folder / "first", 0, "svg"))


def test_what_is_not_there_is_refused_with_what_to_do(folder, tmp_path):
    with pytest.raises(RunError, match="evolvent show"):
        picture(folder / "first", 99, "svg")
    with pytest.raises(RunError, match="give the id"):
        picture(folder / "second & <b>", None, "svg")
    with pytest.raises(RunError, match="neither a run"):
        kind_of(tmp_path / "nothing")
    with pytest.raises(RunError, match="neither a run"):
        write(tmp_path)
