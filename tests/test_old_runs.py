"""Runs of earlier versions can be read; only what would continue them may refuse."""

import shutil
from pathlib import Path

import pytest

from evolvent.errors import RunError
from evolvent.report.files import picture, write
from evolvent.run import Run
from evolvent.session import resume, search

OLD = Path(__file__).parent / "data" / "run-0.1.0"
SAID = {
    "estimator": {"epochs": 0.5, "width": 4},
    "train": {"epochs": 0.5, "onnx": False, "finalists": 1},
}


@pytest.fixture
def folder(tmp_path):
    """A run that version 0.1.0 searched and delivered."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_it_is_shown(folder):
    run = Run(folder)
    assert run.status()["state"] == "done"
    assert run.status()["trials"] == 3
    assert [row["id"] for row in run.leaderboard()] == [1, 2, 0]
    assert [row["id"] for row in run.front(["params"])] == [0, 2, 1]
    assert run.card["test_score"] == pytest.approx(0.345404, abs=1e-6)
    assert run.setup.recipe == "plain-cells"


def test_its_page_and_its_drawings_are_made(folder):
    page = write(folder).read_text()
    assert "plain-cells" in page
    assert picture(folder, 0, "svg").startswith("<svg")


def test_a_finished_one_is_shown_by_the_command_that_made_it(folder):
    said: list[str] = []

    class Hearing:
        on_message = staticmethod(said.append)

    run = search("digits", budget="3t", out=folder, settings=SAID, callbacks=[Hearing()])
    assert run.card["trials"] == 3
    assert "is finished" in said[0]
    assert resume(folder).card == run.card


def test_an_unfinished_one_is_not_continued_and_the_version_is_named(folder):
    (folder / "best" / "card.json").unlink()
    before = (folder / "run.db").read_bytes()
    with pytest.raises(
        RunError, match=r"written by evolvent 0\.1\.0 .* to go on, use that"
    ) as caught:
        resume(folder)
    assert "\n" not in str(caught.value)
    assert (folder / "run.db").read_bytes() == before
