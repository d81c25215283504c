"""Whether a search is worth its time: the arithmetic of the table, its rows and runs."""

import dataclasses
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import machine, worth, worth_member, worth_rows
from benchmarks.worth_rows import (
    ROWS,
    WITHOUT,
    Cell,
    Data,
    command,
    first_ranked,
    known_archs,
    known_members,
    known_scores,
    resolved,
)
from benchmarks.worth_table import difference, gathered, table, with_best_known

from evolvent.config.request import Request
from evolvent.config.resolve import resolve
from evolvent.config.settings import parse_set
from evolvent.network.fit import with_own_training
from evolvent.space import capabilities
from evolvent.task.named import load
from evolvent.task.opening import open_task
from evolvent.types import stream

IMAGES = 200
DIGITS = Data("digits", "digits")


def record(row="delivered", seed=0, wrong=(), **more):
    """A run as it is stored, of so many test images with these wrong."""
    cell = Cell(more.pop("data", "digits"), 20, 1, row, seed)
    told = {
        "key": cell.key,
        "outcome": "network",
        "in_time": True,
        "wait": {"others": 0.0, "took": 20.0, "said": ""},
        "test_images": IMAGES,
        "test": 1 - len(list(wrong)) / IMAGES,
        "wrong": list(wrong),
        "validation": 0.9,
        "epochs": 8.0,
        "known": {},
        "agrees": True,
    }
    return dataclasses.asdict(cell) | told | more


# ---- differences ---------------------------------------------------------------------------------


def test_a_difference_is_paired_over_the_test_images():
    ours, theirs = [record(wrong=range(10))], [record("plain", wrong=range(5, 25))]
    found = difference(ours, theirs)
    apart = np.zeros(IMAGES)
    apart[10:25], apart[:5] = 1, -1
    assert found.mean == pytest.approx(0.05)
    assert found.error == pytest.approx(apart.std(ddof=1) / math.sqrt(IMAGES))
    assert found.paired
    assert found.whole is None  # one training of each says nothing about their luck
    assert found.verdict(found.error) == "better"
    assert difference(theirs, ours).verdict(found.error) == "worse"


def test_what_both_read_wrong_does_not_count():
    hard = range(100)
    near = difference([record(wrong=hard)], [record("plain", wrong=[*hard, 150])])
    apart = difference([record(wrong=hard)], [record("plain", wrong=[*range(99, 200)])])
    assert near.mean == pytest.approx(apart.mean) == pytest.approx(1 / IMAGES)
    assert near.error is not None
    assert apart.error is not None
    assert near.error < apart.error / 5
    assert apart.verdict(apart.error) == "equal"


def test_equal_trainings_have_no_luck_of_their_own():
    ours = [record(seed=seed, wrong=range(10)) for seed in range(3)]
    found = difference(ours, [record("plain", wrong=range(30))])
    assert found.whole == pytest.approx(found.error)


def test_trainings_that_differ_in_all_images_at_once_make_the_whole_error_larger():
    ours = [record(seed=0, wrong=range(10)), record(seed=1, wrong=range(40))]
    found = difference(ours, [record("plain", wrong=range(50))])
    assert found.whole is not None
    assert found.error is not None
    assert found.whole > 1.5 * found.error


def simulated(rng, *, seeds, spread, shared):
    """Records of a row whose seeds differ by `spread`, and whose images by `shared`."""
    chance = 0.7 + spread * rng.normal(size=(seeds, 1)) + shared
    right = rng.random((seeds, IMAGES)) < chance.clip(0, 1)
    return [
        record(seed=seed, wrong=np.flatnonzero(~row).tolist()) for seed, row in enumerate(right)
    ]


def test_the_whole_error_is_that_of_new_images_and_new_trainings():
    rng = np.random.default_rng(0)
    means, errors, narrow = [], [], []
    for _ in range(400):
        hard = rng.choice([-0.4, 0.15], IMAGES, p=[0.25, 0.75])
        ours = simulated(rng, seeds=3, spread=0.05, shared=hard)
        found = difference(ours, simulated(rng, seeds=3, spread=0.05, shared=hard))
        means.append(found.mean)
        assert found.whole is not None
        assert found.error is not None
        errors.append(found.whole**2)
        narrow.append(found.error**2)
    assert np.mean(errors) == pytest.approx(np.var(means), rel=0.15)
    assert np.mean(narrow) < 0.7 * np.var(means)


def test_without_predictions_pairs_of_seeds_are_compared():
    ours = [record(seed=seed, test=0.9 + 0.01 * seed) for seed in range(3)]
    theirs = [record("random", seed=seed, test=0.88 + 0.01 * seed) for seed in (2, 1, 0)]
    for each in (*ours, *theirs):
        del each["wrong"]
    found = difference(ours, theirs)
    assert found.mean == pytest.approx(0.02)
    assert found.error == pytest.approx(0.0, abs=1e-9)
    assert not found.paired
    alone = difference(ours, theirs[:1])
    assert alone.mean == pytest.approx(0.01)
    assert alone.error is None
    assert alone.verdict(alone.error) == ""


# ---- rows of the table ---------------------------------------------------------------------------


def whole_case(data="digits", better=True):
    """One case: delivered, random, and two members, of which the search ranked the second first."""
    known = {"patch-32": 0.5, "vgg": 0.8}
    good, bad = range(5), range(40)
    return [
        record(data=data, wrong=good if better else bad, known=known),
        record("random", data=data, wrong=bad if better else good),
        record("member-patch-32", data=data, first=True, wrong=range(30)),
        record("member-vgg", data=data, first=False, wrong=range(20)),
    ]


def test_known_members_stand_in_the_rows_that_name_them():
    ((case, rows),) = gathered(whole_case()).items()
    assert case == ("digits", 20, 1)
    assert [each["row"] for each in rows["known-first"]] == ["member-patch-32"]
    assert [each["row"] for each in rows["known-ranked"]] == ["member-vgg"]
    assert with_best_known(rows)["best of the known"] == rows["known-ranked"]


def test_a_member_that_the_search_ranks_first_stands_in_both_rows():
    records = whole_case()
    records[0]["known"] = {"patch-32": 0.8, "vgg": 0.8}
    rows = gathered(records)["digits", 20, 1]
    assert rows["known-first"] == rows["known-ranked"]


def test_the_table_counts_cases():
    records = [*whole_case(), *whole_case("mnist", better=False)]
    lines = table(records).splitlines()
    (line,) = [line for line in lines if line.startswith("| random | 2 ")]
    assert line == "| random | 2 | 1 (0) | 1 (0) | +0.0000 |"
    assert "**digits**, 20 s, 1 core, 200 test images" in lines
    rows = [line for line in lines if line.startswith("| known-ranked | 1 | 0.9000 | - | 0.9000 |")]
    assert [row.split("|")[-2].strip() for row in rows] == ["better", "worse"]
    assert rows[0].split("|")[7].strip() == "+0.0750"


def test_the_table_says_what_went_wrong():
    late = record("random", seed=1, in_time=False)
    failed = record("plain", outcome="error")
    busy = record("cells", wait={"others": 1.5, "took": 20.0, "said": ""})
    text = table([record(), late, failed, busy])
    assert "1 of 4 runs ended late: digits-20s-1c-random-1." in text
    assert "1 of 4 runs gave no network: digits-20s-1c-plain-0." in text
    assert "0.1 of a processor busy: digits-20s-1c-cells-0." in text


def test_known_members_are_ranked_by_their_shortest_training():
    def row(operator, budget, score, status="ok"):
        told = {"operator": operator, "budget": budget, "score": score, "status": status}
        return told | {"arch": None}

    told = [
        row("known patch-32", 1.0, 0.5),
        row("known vgg", 1.0, 0.6),
        row("sample", 1.0, 0.9),
        row("known patch-32", 4.0, 0.8),
        row("known thin", 1.0, None, "failed"),
    ]
    told[0]["arch"], told[3]["arch"] = ["thin"], ["wide"]
    assert known_archs(told[:2])["patch-32"] == ["thin"]
    scores = known_scores(told)
    assert scores == {"patch-32": 0.5, "vgg": 0.6}
    assert first_ranked(scores) == "vgg"
    assert first_ranked({}) is None


def test_the_first_row_of_a_member_is_the_space_s_own_first():
    first = next(iter(known_members(DIGITS)))
    assert resolved("known-first", DIGITS, None) == f"member-{first}"
    assert resolved("known-ranked", DIGITS, None) is None
    assert resolved("known-ranked", DIGITS, {"outcome": "nothing"}) is None
    assert resolved("known-ranked", DIGITS, {"known": {"vgg": 0.8}}) == "member-vgg"
    assert resolved("random", DIGITS, None) == "random"


# ---- commands ------------------------------------------------------------------------------------


def words_of(row, data=DIGITS):
    return command(Cell(data.name, 60, 2, row, 3), data, Path("runs/x"), autokeras="/env/python")


@pytest.mark.parametrize("row", [*worth_rows.SEARCHED, *(f"without-{part}" for part in WITHOUT)])
def test_a_row_of_a_search_is_a_request_that_can_be_run(row):
    words = words_of(row, Data("multnist", "digits", ("task.flip=false",)))
    assert words[1:5] == ["-m", "evolvent.cli", "search", "digits"]
    assert words[-4:] == ["--workers", "2", "--set", "task.flip=false"]

    def option(name):
        return words[words.index(name) + 1] if name in words else None

    assert option("--seed") == "3"
    assert option("--budget").startswith("60s")
    said = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    request = Request(
        "digits", option("--recipe"), set=parse_set(said), strategy=option("--strategy")
    )
    draft = resolve(request, open_task("digits", {"flip": False}))
    assert draft.parts.names[0] == ("cell201" if row == "cells" else "stages")


def test_known_members_alone_have_one_trial_each():
    words = words_of("known")
    assert words[words.index("--budget") + 1] == f"60s,{len(known_members(DIGITS))}t"


def test_rows_of_hand_made_networks_and_of_others():
    assert words_of("member-vgg")[1].endswith("worth_member.py")
    assert "vgg" in words_of("member-vgg")
    assert "plain-classic" in words_of("plain-classic")
    words = command(Cell("digits", 60, 2, "member-vgg", 3), DIGITS, Path("x"), arch=("conv3", 1))
    assert words[words.index("--arch") + 1] == '["conv3", 1]'
    assert words_of("autokeras")[0] == "/env/python"
    with pytest.raises(ValueError, match="no row 'unheard-of'"):
        words_of("unheard-of")


@pytest.mark.parametrize("part", ["muon", "resize"])
def test_without_a_part_no_network_has_it(part):
    given = [text for text in WITHOUT[part] if text != "--set"]
    request = Request("digits", "stages", set=parse_set(given))
    draft = resolve(request, open_task("digits", {}))
    archs = [*capabilities.known(draft.space).known(draft.task.facts).values()]
    archs += [draft.space.sample(stream("test", index)) for index in range(20)]
    hypers = [with_own_training(draft.train.network.hyper, draft.space, arch) for arch in archs]
    assert {hyper.optimizer for hyper in hypers} == ({"sgd"} if part == "muon" else {"sgd", "muon"})
    if part == "resize":
        assert {hyper.resize for hyper in hypers} == {1.0}


# ---- hand-made networks --------------------------------------------------------------------------


def test_networks_by_hand_have_the_recipe_that_their_name_says():
    task = load("digits")
    draft = resolve(Request("digits", "stages"), task)
    first = next(iter(known_members(DIGITS)))
    member, plain, classic = (
        worth_member.by_hand(name, draft) for name in (first, "plain", "plain-classic")
    )
    assert member.arch == known_members(DIGITS)[first]
    assert plain.hyper.optimizer == "muon"
    assert classic.hyper.optimizer == "sgd"
    assert plain.arch == classic.arch
    assert plain.size.head == "max"
    assert worth_member.by_hand(first, draft, ("its", "own")).arch == ("its", "own")
    with pytest.raises(ValueError, match="--member vggg"):
        worth_member.by_hand("vggg", draft)


# ---- waiting -------------------------------------------------------------------------------------


def test_a_command_is_watched_on_its_cores(tmp_path):
    code = (
        "import os, time; print(len(os.sched_getaffinity(0)))\nwhile time.process_time() < .3: pass"
    )
    wait = machine.watched([sys.executable, "-c", code], cores=1, seconds=60, log=tmp_path / "log")
    assert (wait.code, wait.said) == (0, "1\n")
    assert 0.25 < wait.processor <= wait.took + 0.1
    with pytest.raises(ValueError, match="--cores 999"):
        machine.watched(["true"], cores=999, seconds=1, log=tmp_path / "log")


def test_a_command_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "PATIENCE", (1.0, 0.0))
    wait = machine.watched(["sleep", "60"], cores=1, seconds=0.5, log=tmp_path / "log")
    assert wait.code is None
    assert wait.took < 30


def test_the_machine_is_named():
    told = machine.machine()
    assert told["cores"] == len(os.sched_getaffinity(0))
    assert torch.__version__ == told["torch"]
    assert told["cpu"] in machine.named(told)


# ---- whole runs ----------------------------------------------------------------------------------


def run_worth(tmp_path, monkeypatch, capsys, *options):
    words = ["worth", "--data", "digits", "--budget", "20s", "--out", str(tmp_path), *options]
    monkeypatch.setattr(sys, "argv", words)
    worth.main()
    return capsys.readouterr().out


def test_a_plan_says_what_is_missing(tmp_path, monkeypatch, capsys):
    (tmp_path / "digits-20s-1c-random-0.json").write_text(json.dumps(record("random")))
    (tmp_path / "digits-20s-1c-cells-0.json").write_text(
        json.dumps(record("cells", outcome="error"))
    )
    rows = "random,cells,plain,known-ranked,autokeras"
    lines = run_worth(tmp_path, monkeypatch, capsys, "--plan", "--rows", rows).splitlines()
    assert lines[:2] == ["digits-20s-1c-cells-0", "digits-20s-1c-plain-0"]
    assert "known-ranked-0: left out: there is no row delivered" in lines[2]
    assert "autokeras-0: left out: give the Python" in lines[3]
    assert "0.0 hours are missing" in lines[4]


def test_the_exported_program_is_held_against_the_folders_of_the_pictures(tmp_path):
    for name in ("arch", "bowl", "cross", "disc"):
        (tmp_path / "set" / "test" / name).mkdir(parents=True)
        (tmp_path / "set" / "test" / name / "1.png").touch()
    (tmp_path / "predict.py").write_text(
        "import json, sys\nfor file in sys.argv[2:]: print(json.dumps({'class': 'arch'}))"
    )
    assert worth.script_score(tmp_path, tmp_path / "set") == 0.25


def test_unknown_rows_and_budgets_are_refused(tmp_path, monkeypatch, capsys):
    for options, words in (
        (("--rows", "delivered,randum"), "--rows randum"),
        (("--without", "muons"), "--without muons"),
        (("--budget", "20t"), "--budget 20t"),
    ):
        with pytest.raises(SystemExit):
            run_worth(tmp_path, monkeypatch, capsys, *options)
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_runs_are_measured_once_and_stand_in_the_table(tmp_path, monkeypatch, capsys):
    rows = ("--rows", "delivered,known-ranked,plain")
    text = run_worth(tmp_path, monkeypatch, capsys, *rows)
    files = sorted(tmp_path.glob("*.json"))
    assert len(files) == 3
    told = [json.loads(file.read_text()) for file in files]
    assert all(each["outcome"] == "network" and each["agrees"] for each in told), text
    assert all(each["test_images"] == 359 for each in told)
    before = [file.stat().st_mtime_ns for file in files]
    assert "| known-ranked | 1 |" in run_worth(tmp_path, monkeypatch, capsys, *rows)
    assert [file.stat().st_mtime_ns for file in files] == before
    assert set(ROWS) >= {"delivered", "known-ranked", "plain"}
