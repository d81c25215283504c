"""The user's own split from file to card, and with the estimators of scikit-learn."""

from typing import Any

import numpy as np
import pytest

import evolvent as ev
from evolvent import sklearn as estimators
from evolvent.deliver.baselines.beside import rows_of
from evolvent.task import data_of
from evolvent.task.opening import open_task

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
Y = np.where(X[:, 0] > 0, "a", "b")
GROUP = RNG.integers(0, 12, 120)
FAST: dict[str, Any] = {
    "budget": "2t",
    "settings": {"estimator": {"epochs": 1.0}, "train": {"epochs": 1.0, "finalists": 1}},
}


def part_of(task, part):
    return task.source.part(part)


def test_a_run_by_groups_says_so_on_its_card(tmp_path):
    rows = [
        f"{x:.4f},{row % 5},g{g},{y}"
        for row, (x, g, y) in enumerate(zip(X[:, 0], GROUP, Y, strict=True))
    ]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,who,y", *rows, *rows[:30]]) + "\n")
    settings = {**FAST["settings"], "train": {"epochs": 1.0, "onnx": False}}
    run = ev.search(
        str(tmp_path / "data.csv"),
        target="y",
        kind="classification",
        groups="who",
        budget="2t",
        workers=0,
        out=tmp_path / "run",
        settings=settings,
    )
    page = (tmp_path / "run" / "best" / "card.md").read_text()
    assert "Split: no group of 'who' is in two parts" in page and "'who' is no input" in page
    task = data_of(open_task(str(tmp_path / "data.csv"), run.setup.task_settings))
    assert run.setup.data["fingerprint"] == task.fingerprint
    who = [set(part_of(task, part).column("a")) for part in ("training", "validation", "test")]
    assert not (who[0] | who[1]) & who[2]  # copies are of one group, so together
    found, why = rows_of(task, 0)
    assert why == "" and found is not None and not found.independent
    assert run.card["train_examples"] == len(task.train) + len(task.validation)


@pytest.fixture
def tasks(monkeypatch):
    """The tasks that estimators search on."""
    found, inner = [], estimators._Evolvent._run

    def run(self, task, *rest):
        found.append(task)
        return inner(self, task, *rest)

    monkeypatch.setattr(estimators._Evolvent, "_run", run)
    return found


def test_estimators_keep_groups_whole_and_take_rows_to_validate_on(tasks, tmp_path):
    make = estimators.EvolventClassifier
    make(**FAST, random_state=0).fit(X, Y, groups=GROUP)
    (task,) = tasks
    groups = [
        {int(GROUP[(X[:, 0] == a).argmax()]) for a in task.source.part(part).column("x0")}
        for part in ("training", "validation")
    ]
    assert not groups[0] & groups[1] and task.division.by == "groups"
    fitted = make(**FAST, validation=(X[:20], Y[:20])).fit(X[20:], Y[20:])
    assert tasks[1].source.part("validation").column("x0").tolist() == X[:20, 0].tolist()
    fitted.save(tmp_path / "kept")
    assert make.load(tmp_path / "kept").predict(X[:5]).tolist() == fitted.predict(X[:5]).tolist()


def test_rows_to_validate_on_weigh_one_beside_sample_weights(tasks):
    weight = np.arange(1.0, 101.0)
    make = estimators.EvolventClassifier(**FAST, validation=(X[100:], Y[100:]))
    make.fit(X[:100], Y[:100], weight)
    (task,) = tasks
    order = [int((X[:, 0] == a).argmax()) for a in task.source.part("training").column("x0")]
    assert np.allclose(task.train.weights, weight[order] / weight.mean())
    assert np.allclose(task.validation.weights, 1 / weight.mean())
    estimators.EvolventClassifier(**FAST).fit(X, Y, np.where(GROUP < 4, 2.0, 1.0), groups=GROUP)
    for name, part in (("training", tasks[1].train), ("validation", tasks[1].validation)):
        rows = [int((X[:, 0] == a).argmax()) for a in tasks[1].source.part(name).column("x0")]
        ratio = part.weights / np.where(GROUP[rows] < 4, 2.0, 1.0)
        assert np.allclose(ratio, ratio[0])


@pytest.mark.parametrize(
    "given, said, reason",
    [
        ({}, {"groups": GROUP, "time": GROUP}, "one column says how"),
        ({}, {"groups": GROUP[:3]}, "groups has 3 entries and X has 120 rows"),
        ({"validation": (X[:2], ["a", "z"])}, {}, "labels that the y of fit has not: 'z'"),
        ({"validation": (X, Y)}, {"groups": GROUP}, "each says which rows validate"),
    ],
)
def test_estimators_refuse_what_contradicts_itself(given, said, reason):
    with pytest.raises(ValueError, match=reason):
        estimators.EvolventClassifier(**FAST, **given).fit(X, Y, **said)
