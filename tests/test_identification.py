"""Regression or classification? The decision, the evidence, and how runs use it."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

import evolvent as ev
from evolvent import identification as identify
from evolvent.cli import verbs as cli
from evolvent.engine.events import Say
from evolvent.errors import CandidateFailed, DataError, SettingError
from evolvent.identification import identify_column
from evolvent.identification.evolution import CodeLength, evolved, task_of
from evolvent.identification.readings import ClassReading, QuantityReading, code_lengths
from evolvent.identification.rows import EACH, ROWS, Rows, chosen_rows, drawn, frequencies
from evolvent.network.train import Training
from evolvent.registry import make_space
from evolvent.task.frames import Frame
from evolvent.types import Budget, Candidate

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 3))
BLOBS = RNG.integers(0, 5, 240)
#: name -> (target, what it is)
TARGETS: dict[str, tuple[np.ndarray, str]] = {
    "classes without an order": (np.array([3.0, 0, 4, 1, 2])[BLOBS], "classification"),
    "a quantity": (X @ [1.0, -2, 0.5] + RNG.normal(size=240) * 0.3, "regression"),
    "counts": (RNG.poisson(np.exp(1.5 + 0.5 * X[:, 0])).astype(float), "regression"),
}


def frame(y, x=X):
    columns = {f"x{i}": x[:, i] for i in range(x.shape[1])} | {"y": y}
    return Frame("data.csv", columns)


def blobs():
    centres = np.random.default_rng(1).normal(size=(5, 3)) * 3
    return centres[BLOBS] + X


@pytest.fixture
def quick(monkeypatch):
    """One split and few networks: the three targets differ clearly."""
    monkeypatch.setattr(identify, "ROUNDS", 1)
    monkeypatch.setattr(identify, "TRIALS", 8)


def rows(values, place, part, share=None):
    """Rows whose values are what they are."""
    values = np.asarray(values, float)
    share = np.full(len(values), 1 / len(values)) if share is None else np.asarray(share)
    x = np.zeros((len(place), 1), np.float32)
    return Rows(x, np.asarray(place), values, share, np.asarray(part))


# ---- the decision --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_is_is_found_by_networks_of_both_kinds(name, quick):
    y, kind = TARGETS[name]
    found = identify_column(frame(y, blobs() if kind == "classification" else X), "y")
    assert (found.kind, found.sure) == (kind, True)
    assert found.code is not None
    assert found.trials == 16
    assert found.difference is not None
    assert found.error is not None
    better, worse = ("class", "quantity") if kind == "classification" else ("quantity", "class")
    assert found.code[better] < found.code[worse]
    assert found.code[better] < found.code["none"]
    assert found.loss == ("cross-entropy" if kind == "classification" else "mse")
    json.dumps(found.to_json())


def test_the_numbers_of_classes_do_not_matter(quick):
    """What is a class stays one however its classes are numbered, evenly or not."""
    y = np.array([10.0, 2, 700, 3, 50])[BLOBS]
    assert identify_column(frame(y, blobs()), "y").kind == "classification"


def test_a_target_of_pure_chance_is_undecided(quick):
    chance = np.random.default_rng(2)
    repeats = identify_column(frame(chance.integers(0, 3, 240).astype(float)), "y")
    distinct = identify_column(frame(chance.normal(size=240)), "y")
    assert (repeats.kind, repeats.sure) == ("classification", False)
    assert (distinct.kind, distinct.sure) == ("regression", False)
    assert "undecided" in repeats.reason


def test_text_and_two_values_are_classes_without_a_search():
    text = np.array(["a", "b", "c"] * 80, object)
    for y in (text, np.arange(240) % 2 + 5.0, np.full(240, 3.0)):
        found = identify_column(frame(y), "y")
        assert (found.kind, found.sure, found.trials) == ("classification", True, 0)


def test_the_same_seed_finds_the_same(quick):
    y = TARGETS["counts"][0]
    first, again = (identify_column(frame(y), "y", seed=3).to_json() for _ in range(2))
    other = identify_column(frame(y), "y", seed=4).to_json()
    assert first | {"seconds": 0} == again | {"seconds": 0}
    assert other["code"] != first["code"]


def test_no_time_leaves_a_few_networks_of_each_kind():
    found = identify_column(frame(TARGETS["a quantity"][0]), "y", seconds=0.0)
    assert found.trials == 2 * identify.JUDGED
    assert found.kind == "regression"


def test_networks_that_fail_are_passed_over(quick, monkeypatch):
    count = iter(range(1000))

    def train(*args, **options):
        if next(count) % 4 < 2:  # every second network of either reading
            raise CandidateFailed("the training loss became nan")
        return Training()

    monkeypatch.setattr("evolvent.network.fit.train", train)
    assert identify_column(frame(TARGETS["counts"][0]), "y").trials == 16

    def never(*args, **options):
        raise CandidateFailed("the training loss became nan")

    monkeypatch.setattr("evolvent.network.fit.train", never)
    with pytest.raises(SettingError, match="say --kind classification"):
        identify_column(frame(TARGETS["counts"][0]), "y")


def test_the_readings_have_as_many_networks_when_time_is_up(quick, monkeypatch):
    """The second has less time than the first: only as many of the first count."""
    counts, seen = {"class": 7, "quantity": 4}, {}

    def few(reading, *, trials, until, **options):
        given = {"trials": min(trials, counts[reading.name]), "until": float("inf")}
        results = evolved(reading, **options, **given)
        seen[reading.name] = sorted(results, key=lambda result: result.value)  # the best come last
        return seen[reading.name]

    monkeypatch.setattr(identify, "evolved", few)
    found = identify_column(frame(TARGETS["classes without an order"][0], blobs()), "y")
    assert {name: len(results) for name, results in seen.items()} == counts
    assert found.trials == 11
    fourth, last = seen["class"][3], seen["class"][-1]
    assert fourth.value < last.value
    assert found.archs is not None
    assert found.archs["class"] == fourth.candidate.arch != last.candidate.arch


# ---- the evolution -------------------------------------------------------------------------------


def reading_of(y):
    rng = np.random.default_rng(0)
    return QuantityReading(drawn(frame(y), "y", rng))


def search(reading, **options):
    given: dict[str, Any] = {
        "horizon": 18,
        "trials": 8,
        "least": 3,
        "until": float("inf"),
        "seed": "0",
    }
    return evolved(reading, **(given | options))


def told(results):
    return [(r.candidate.id, r.candidate.arch, r.score, r.metrics["codes"]) for r in results]


def test_a_search_makes_its_trials_or_ends_when_it_is_late():
    reading = reading_of(TARGETS["a quantity"][0])
    whole = search(reading)
    assert [result.candidate.id for result in whole] == list(range(8))
    late = search(reading, until=0.0)
    assert told(late) == told(whole[:3])
    assert told(search(reading, until=0.0, trials=2)) == told(whole[:2])


def test_a_network_is_scored_by_the_code_of_the_choosing_rows():
    reading = reading_of(TARGETS["a quantity"][0])
    task = task_of(reading)
    space = make_space("chain", task.facts, {"depth": 2, "units": (8, 16), "lrs": (1e-3, 2e-2)})
    estimator = CodeLength(space, task, reading, seed="0")
    candidate = Candidate(4, (0.01, (("a", "dense", 16, "relu"),)), budget=Budget(epochs=60.0))
    result = estimator.evaluate(candidate, {}).result
    assert result.score is not None
    assert result.score < 0
    assert (result.epochs, result.total_epochs) == (60.0, 60.0)
    assert len(result.metrics["codes"]) == (reading.rows.part == 2).sum()
    again = estimator.evaluate(candidate, {}).result
    assert told([again]) == told([result])
    json.dumps(result.to_json())
    # what a judging row holds changes its own code, and no score
    part = reading.rows.part
    moved = dataclasses.replace(reading.rows, place=reading.rows.place.copy())
    moved.place[part == 2] = moved.place[part == 2][::-1]
    other = CodeLength(space, task, QuantityReading(moved), seed="0")
    judged = other.evaluate(candidate, {}).result
    assert judged.score == result.score
    assert judged.metrics["codes"] != result.metrics["codes"]


# ---- rows and readings ---------------------------------------------------------------------------


def test_few_rows_of_every_value_are_looked_at():
    rng = np.random.default_rng(0)
    few = chosen_rows(np.repeat([1.0, 2, 3], 500), rng)
    many = chosen_rows(np.repeat(np.arange(40.0), 100), rng)
    all_differ = chosen_rows(np.arange(5000.0), rng)
    assert np.bincount(few // 500).tolist() == [100, 100, 100]
    assert len(many) == 40 * EACH
    assert len(all_differ) == ROWS
    for found in (few, many, all_differ):
        assert len(set(found.tolist())) == len(found)


def test_values_that_were_not_seen_are_as_probable_as_good_and_turing_expect():
    assert frequencies(np.arange(6), 12) == pytest.approx([1 / 12] * 12)
    seen = frequencies(np.array([0, 0, 0, 1, 1, 2]), 4)
    assert seen == pytest.approx(np.array([5, 10 / 3, 5 / 3, 0]) / 12 + 1 / 24)
    assert seen.sum() == pytest.approx(1)


def test_a_class_is_told_by_the_softmax_and_an_unseen_value_by_its_frequency():
    reading = ClassReading(rows([1, 2, 3], [0, 1, 0, 2, 1, 2], [0, 0, 1, 1, 2, 2]))
    assert (reading.outputs, reading.y.tolist()) == (2, [0, 1])
    outputs = np.array([[9.0, 0], [0, 9], [9, 0], [0, 9], [0, 9], [9, 0]])
    for p in reading.answers(outputs, reading.rows.place):
        assert (p[[0, 1, 2, 4]] > 0.8).all()
        assert (p[[3, 5]] == 0).all()


def test_a_quantity_is_told_by_where_it_lies():
    reading = QuantityReading(rows([-1, 0, 1], [0, 1, 2] * 2, [0, 0, 1, 1, 2, 2]))
    near = np.array([[-1.0], [0], [1], [-0.9], [0.1], [0.9]])
    right = list(reading.answers(near, reading.rows.place))
    wrong = list(reading.answers(-near, reading.rows.place))
    assert all((a >= b - 1e-12)[[0, 2]].all() for a, b in zip(right, wrong, strict=True))
    assert max(a[0] for a in right) > 0.99
    every = [
        sum(p[0] for p in ps)
        for ps in zip(*(reading.answers(near[:1], np.array([k])) for k in range(3)), strict=True)
    ]
    assert every == pytest.approx([1.0] * len(every))  # a distribution over the values there are


def test_a_network_that_says_nothing_costs_what_the_frequencies_cost():
    place, part = np.array([0, 1, 2, 1] * 30), np.repeat([0, 1, 2], 40)
    made = rows([0, 1, 2], place, part, [0.25, 0.5, 0.25])
    entropy = -(0.5 * np.log(0.5) + 0.5 * np.log(0.25))
    noise = np.random.default_rng(0).normal(size=(120, 3))
    for reading, outputs in (
        (ClassReading(made), noise),
        (QuantityReading(made), noise[:, :1] * 9),
    ):
        mean, codes = code_lengths(reading, outputs)
        assert mean <= entropy + 1e-9
        assert codes.shape == (40,)
        assert codes.mean() == pytest.approx(entropy, abs=0.1)


def test_codes_are_chosen_by_the_choosing_rows_and_not_by_the_judging_ones():
    place, part = np.array([0, 1] * 30), np.repeat([0, 1, 2], 20)
    made = rows([0, 1], place, part, [0.5, 0.5])
    outputs = np.eye(2)[place] * 5.0
    outputs[part == 2] = outputs[part == 2][:, ::-1]  # sure of itself, and wrong where it is judged
    mean, codes = code_lengths(ClassReading(made), outputs)
    assert mean < 0.1
    assert codes.min() > 2


# ---- runs and the command line -------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    file = tmp_path_factory.mktemp("tables") / "data.csv"
    y = TARGETS["a quantity"][0]
    lines = [f"{a:.4f},{b:.4f},{c:.4f},{z:.4f}" for (a, b, c), z in zip(X, y, strict=True)]
    file.write_text("a,b,c,y\n" + "\n".join(lines) + "\n")
    return file


def test_a_search_finds_out_says_so_and_remembers(table, tmp_path, quick, monkeypatch):
    monkeypatch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)
    told: list[str] = []
    options: dict[str, Any] = {
        "target": "y",
        "budget": "2t",
        "workers": 0,
        "settings": {"estimator": {"epochs": 2.0}, "train": {"epochs": 2.0}},
        "out": tmp_path / "run",
    }
    run = ev.search(table, callbacks=[Say(told.append)], **options)
    assert told[0].startswith("'y' is read as a quantity (regression): where its values lie helps")
    assert "nats per row as a class" in told[1]
    assert run.card["metric"] == "r2"
    assert run.card["data"]["identified"]["kind"] == "regression"
    assert "read as regression" in (run.folder / "best" / "card.md").read_text()
    (run.folder / "best" / "card.json").unlink()  # as if it had been stopped
    monkeypatch.setattr(identify, "identify", None)  # asked once only
    again = ev.resume(run.folder, workers=0)
    assert again.card["metric"] == "r2"


def test_the_command_prints_the_decision_or_one_json_object(table, quick, monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr("sys.argv", ["evolvent", "identify", str(table), *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capsys.readouterr()

    code, out, _ = call("--target", "y")
    assert code == 0
    assert out.startswith("'y' is read as a quantity (regression)")
    code, out, _ = call("--target", "y", "--json")
    assert json.loads(out)["kind"] == "regression"
    code, out, err = call("--target", "z")
    assert (code, out) == (2, "")
    assert "no column 'z'" in err
    code, _, err = call()
    assert code == 2
    assert "--target" in err


def test_a_column_that_is_not_there_or_empty_is_refused():
    with pytest.raises(DataError, match="no column 'w'"):
        identify_column(frame(X[:, 0]), "w")
    with pytest.raises(DataError, match="is empty"):
        identify_column(frame(np.full(240, np.nan)), "y")
