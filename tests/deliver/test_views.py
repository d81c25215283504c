"""Views of images in what is delivered: who has them, what they cost, what is said of them."""

import dataclasses
import time
from typing import Any

import pytest
from tests.conftest import make_toy
from tests.helpers_resolve import resolved, settled

from evolvent import search
from evolvent.deliver import timing
from evolvent.deliver.card import Card, page
from evolvent.deliver.controls import Controls
from evolvent.deliver.timing import Lengths, Timing
from evolvent.engine.limits import Limits
from evolvent.execute.worker import READING, Job, Spec, fit_for
from evolvent.network.build import Size, plan
from evolvent.network.cost import cost
from evolvent.network.fit import scored
from evolvent.network.train import Hyperparameters, train
from evolvent.space.cell201 import Cell201
from evolvent.space.plain import Plain
from evolvent.space.stages import LRS
from evolvent.types import Candidate, Result

ARCH = ("nor_conv_3x3",) * 6


class NoStore:
    """A store of a run that noted nothing."""

    def meta(self, key):
        return None


NO_STORE: Any = NoStore()
SMALL: dict[str, Any] = {"estimator": {"epochs": 1.0, "width": 4, "precision": "float32"}}


@pytest.fixture(scope="module")
def task(toy):
    return dataclasses.replace(toy, augment={"flip": True, "shift": 1, "cutout": 0})


@pytest.fixture(scope="module")
def larger():
    return make_toy(size=16)


# ---- who has them --------------------------------------------------------------------------------


def views(task, **request):
    return resolved(task, **request).train.network.size.views


def test_our_own_defaults_have_them_and_papers_and_small_images_have_not(larger, toy):
    assert views(larger) == 6
    assert views(larger, recipe="random") == 6
    assert views(larger, recipe="amoebanet") == 1
    assert views(toy) == 1
    assert views(toy, set={"train": {"views": 2}}) == 2
    assert resolved(larger).network.size.views == 1, "the search has none"


def test_a_limit_on_flops_or_latency_leaves_them_off_unless_they_are_asked_for(larger):
    assert views(larger, max_params=10**6) == 6
    assert views(larger, max_flops=10**9) == 1
    assert views(larger, max_latency_ms=50.0) == 1
    assert views(larger, max_flops=10**9, set={"train": {"views": 6}}) == 6


def test_limits_count_every_view_of_what_is_delivered(task):
    flops = cost(plan(Cell201(), ARCH, task, Size(1, 4, 2, reduction="conv")), task).flops

    def reason(count, limit):
        given = {"estimator": {"width": 4}, "train": {"views": count}}
        draft = resolved(task, max_flops=limit, set=given)
        return Limits(draft).reason(Candidate(0, ARCH))

    assert reason(1, flops) is None
    assert reason(6, 6 * flops) is None
    assert f"{6 * flops:,} FLOPs" in reason(6, 6 * flops - 1)


# ---- the controls --------------------------------------------------------------------------------


def controls(task, **more):
    given = {"estimator": {"epochs": 1.0}, "train": {"views": 6} | more}
    setup = settled(task, budget="5t", space="stages", strategy="random", set=given)
    arch = setup.space.known(task.facts)["thin"]
    winner = Result(Candidate(0, arch), 0.5)
    return Controls(NO_STORE, setup, (winner,), arch), winner


def test_the_plain_control_has_hyperparameters_head_and_views_of_the_winner(task):
    made, winner = controls(task)
    plain = made.what(winner)["plain"]
    assert (plain["size"].views, plain["size"].head) == (6, "max")
    hyper = plain["hyper"]
    assert (hyper.optimizer, hyper.lr, hyper.average) == ("muon", LRS["muon"], 0.25)
    assert (hyper.flip, hyper.label_smoothing) == ("alternate", 0.2)
    planned = plan(Plain(), plain["arch"], task, plain["size"])
    assert planned.views == 6
    assert "pool_max" in [line.op for line in planned.network.calls]
    other = dataclasses.replace(winner, candidate=Candidate(1, winner.candidate.arch[:2] + (
        "mean", *winner.candidate.arch[3:]
    )))  # fmt: skip
    assert made.plain(other)["size"].head == "mean"
    assert made.plain(other)["size"].views == 6


def test_the_pace_of_the_plain_control_is_that_of_its_own_training(task, monkeypatch):
    made, winner = controls(task)
    seen = []

    def pace(space, arch, data, *, size, hyper, **more):
        seen.append((space.family, size.head, hyper.optimizer))
        return 0.01

    monkeypatch.setattr(timing, "pace", pace)
    lengths = Lengths(NO_STORE, made.setup, 1, Timing(60.0, 100.0))
    assert made.epoch("plain", winner, lengths) == pytest.approx(0.01 * len(task.everything))
    assert seen == [("plain", "max", "muon")]


# ---- trainings and their time --------------------------------------------------------------------


def test_validation_is_scored_without_views_where_the_search_has_none(task):
    spec, size = Spec(task, "cell201", "full"), Size(1, 4, 2, views=6)
    job = Job(
        "x", ARCH, size, Hyperparameters(batch=16, lr=0.1), epochs=1.0, test=True, views=False
    )
    alone = dataclasses.replace(job, size=Size(1, 4, 2), views=True)
    seen, without, all_seen = (
        fit_for(spec, Cell201(), each).numbers
        for each in (job, alone, dataclasses.replace(job, views=True))
    )
    assert seen["val"] == without["val"]
    assert seen["test"] != without["test"]
    assert all_seen["val"] != without["val"]
    assert all_seen["test"] == seen["test"]


@pytest.mark.parametrize("each", [0.01, 1e9])
def test_a_training_ends_early_enough_for_reading_test_in_all_views(task, monkeypatch, each):
    """It keeps half of its time, however long reading takes."""
    monkeypatch.setattr("evolvent.execute.worker.look_seconds", lambda *args, **options: each)
    ends = []

    def trained(*args, deadline, **options):
        ends.append(deadline)
        return train(*args, deadline=deadline, **options)

    monkeypatch.setattr("evolvent.network.fit.train", trained)
    spec, size = Spec(task, "cell201", "full"), Size(1, 4, 2, views=6)
    end = time.monotonic() + 1000.0
    job = Job(
        "x", ARCH, size, Hyperparameters(batch=16), epochs=0.1, test=True, views=False, deadline=end
    )
    assert fit_for(spec, Cell201(), job).numbers["test"]
    assert task.test is not None
    rows = 6 * len(task.test) + len(task.validation)
    if each < 1:
        assert end - ends[0] == pytest.approx(READING * each * rows, abs=1e-3)
    else:
        assert 450 < end - ends[0] <= 500


def test_scoring_turns_views_on_again(task):
    from evolvent.network.build import build

    net = build(Cell201(), ARCH, task, Size(1, 4, 2, views=6), seed=0)
    first = scored(net, task, task.validation)
    assert scored(net, task, task.validation, views=False) != first
    assert scored(net, task, task.validation) == first


def test_the_time_to_read_test_in_all_views_is_kept_free(task):
    assert task.test is not None
    left = {}
    for count in (1, 6):
        made, _ = controls(task, views=count)
        lengths = Lengths(NO_STORE, made.setup, 1, Timing(60.0, 100.0, cold=False))
        left[count] = lengths.fitting({"winner": 40.0}, ())
    share = 5 * timing.LOOK["float32"] * len(task.test) / len(task.everything)
    assert left[1] - left[6] == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("share", "count"), [(0.9, 6), (1.1, 2), (4.9, 2), (5.1, 1)])
def test_a_short_delivery_has_fewer_views(task, monkeypatch, share, count):
    """As many as a quarter of its time is enough for."""
    made, winner = controls(task)
    times = Timing(60.0, 100.0, cold=False)
    lengths = Lengths(NO_STORE, made.setup, 2, times)
    allowed = timing.VIEWS_SHARE * times.left / 2  # three networks on two workers: one by one
    each = (
        share * allowed / (5 * timing.LOOK["float32"] * len(task.test))
    )  # per example, by training
    monkeypatch.setattr(timing, "pace", lambda *args, **options: each)
    assert lengths.views(winner, 3) == count


def test_a_run_delivers_its_network_with_views_and_says_so(task, tmp_path):
    given = SMALL | {"train": {"views": 6, "proof": False, "onnx": False, "epochs": 1.0}}
    run = search(
        task, recipe="plain-cells", budget="2t", workers=0, out=tmp_path / "run", settings=given
    )
    net = run.best.load()
    assert [each.count for each in net.modules() if hasattr(each, "count")] == [6]
    card = run.card
    assert (card["views"], card["size"]["views"]) == (6, 6)
    assert "averages its outputs over 6 views" in (run.folder / "best" / "card.md").read_text()
    alone = cost(plan(Cell201(), card["arch"], task, Size(1, 4, 2, reduction="conv")), task)
    assert card["flops"] == 6 * alone.flops
    assert card["test_score"] == scored(net, task, task.test)["accuracy"]


def test_own_weights_are_delivered_with_views_too(task, tmp_path, monkeypatch):
    monkeypatch.setattr("evolvent.deliver.finals.Delivery._planned", lambda *args: (0.0, {}))
    given = SMALL | {"train": {"views": 6, "proof": False, "onnx": False}}
    run = search(
        task, recipe="plain-cells", budget="2t", workers=0, out=tmp_path / "run", settings=given
    )
    assert run.card["kept"]
    assert run.card["views"] == 6
    assert run.card["test_score"] == scored(run.best.load(), task, task.test)["accuracy"]


# ---- the card ------------------------------------------------------------------------------------


def test_the_card_says_how_many_views_and_their_cost():
    card = Card(task="t", recipe="r", metric="accuracy", arch=1, views=3)
    text = page(card)
    assert "3 views of every image" in text
    assert "takes 3 times as long" in text
    assert "views=False" in text
    assert "views" not in page(dataclasses.replace(card, views=1))
    assert "views" not in page(dataclasses.replace(card, views=None))
