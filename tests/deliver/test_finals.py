"""After the search: who is trained again, for how long, and what decides."""

import dataclasses
import time
from concurrent.futures import Future, wait

import numpy as np
import pytest
from tests.helpers_resolve import settled

from evolvent.config.clock import CLOSING_SECONDS
from evolvent.config.settings import RunBudget
from evolvent.deliver import controls, timing
from evolvent.deliver.finals import Delivery
from evolvent.deliver.selection import Change, makespan, plain_width, planned_seconds
from evolvent.deliver.timing import Lengths
from evolvent.engine.store import Store
from evolvent.engine.weights import Weights
from evolvent.errors import CandidateFailed, EvolventError, RunError
from evolvent.execute.worker import Outcome
from evolvent.network.build import Size, plan
from evolvent.network.cost import cost
from evolvent.space.cell201 import Cell201
from evolvent.space.plain import Plain
from evolvent.types import Budget, Candidate, Result, failed, stream

SPACE = Cell201()
ARCHS = [SPACE.sample(stream("deliver", index)) for index in range(30)]


def told(id, score, arch=None, *, epochs=2.0, operator="sample", **more):
    candidate = Candidate(id, arch or ARCHS[id], operator=operator, budget=Budget(epochs=epochs))
    metrics = {"train_seconds": 0.1, "accuracy": score, "loss": 0.5}
    return Result(candidate, score, metrics=metrics, epochs=epochs, **more)


# ---- the controls --------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", [("none",) * 5 + ("skip_connect",), ("nor_conv_3x3",) * 6])
@pytest.mark.parametrize("size", [Size(1, 4, 2), Size(2, 16, 3)])
def test_the_plain_control_is_nearest_in_parameters(toy, arch, size):
    like = cost(plan(SPACE, arch, toy, size), toy)
    found = plain_width(toy, size, like)

    def distance(width):
        return abs(cost(plan(Plain(), (width,), toy, size), toy).params - like.params)

    assert distance(found) == min(distance(width) for width in range(max(2, found - 3), found + 4))


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
@pytest.mark.parametrize("finalists_", [1, 2, 4])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.45, 0.9])
def test_the_plan_fits_and_keeps_the_controls_within_a_fifth(workers, finalists_, share):
    budget, left = 600.0, share * 600.0
    rounds = -(-3 // workers) + -(-finalists_ // workers) / 2
    each = planned_seconds(left, rounds=rounds, budget=budget, workers=workers)
    assert each * rounds <= left + 1e-9
    assert 2 * each <= 0.2 * budget * workers + 1e-9


# ---- a whole delivery, with trainings that only say what they are told to ------------------------


class Trainings:
    """An executor that answers jobs at once and remembers them."""

    workers = 1

    def __init__(self, val=lambda id: 0.96, dies_at=None, failing=(), loss=0.1):
        self.jobs, self.val, self.dies_at, self.failing = [], val, dies_at, failing
        self.loss = loss
        self.open = 0

    def submit(self, call, job, timeout=None):
        if len(self.jobs) == self.dies_at:
            raise KeyboardInterrupt
        self.jobs.append(job)
        future: Future[Outcome] = Future()
        if job.name in self.failing:
            future.set_exception(CandidateFailed("the training loss became nan"))
        else:
            future.set_result(Outcome(self.numbers(job), {}))
        return future

    def numbers(self, job):
        val = None
        if not job.everything:
            val = {"accuracy": self.val(int(job.name.split("-")[1])), "loss": self.loss}
        return {
            "epochs": job.epochs,
            "total_epochs": job.before + job.epochs,
            "train_seconds": 1.0,
            "seconds": 1.0,
            "cut": False,
            "params": 10,
            "val": val,
            "test": {"accuracy": 0.4} if job.test else None,
        }

    @property
    def names(self):
        return [job.name for job in self.jobs]

    def job(self, name):
        return next(job for job in self.jobs if job.name == name)


RESULTS = [told(id, 0.5 + 0.01 * id) for id in range(25)] + [
    told(25, 0.95, operator="op"),
    told(26, 0.94, operator="op"),
    told(27, 0.93, operator="op"),
]


@pytest.fixture
def delivery(toy, tmp_path, monkeypatch):
    """Makes a delivery of a finished search; the same folder every time."""
    stores: list[Store] = []
    monkeypatch.setattr(controls, "plain_width", lambda *args: 8)  # counting takes a while

    def make(trainings, results=RESULTS, *, seconds=None, total=None, workers=1, **settings):
        given = {"estimator": {"epochs": 2.0}} | settings
        # these trainings leave no weights, to be averaged or read
        given["train"] = {"ensemble": False, "calibrate": False} | given.get("train", {})
        setup = settled(toy, budget="28t", set=given)
        setup = dataclasses.replace(setup, budget=RunBudget(total, 28))
        for store in stores:
            store.close()
        store = Store(tmp_path / "run.db", write=True)
        stores.append(store)
        if next(store.events(), None) is None:
            for result in results:
                store.asked(result.candidate)
                store.told(result)
        trainings.workers = workers  # as the executor of a run has
        return Delivery(
            store,
            Weights(tmp_path / "weights"),
            setup,
            trainings,
            workers,
            seconds,
            lambda line: None,
        )

    yield make
    for store in stores:
        store.close()


def test_validation_chooses_among_the_finalists(delivery):
    trainings = Trainings(val=lambda id: {25: 0.7, 26: 0.9}[id])
    outcome = delivery(trainings).run()
    assert (outcome.id, outcome.val_score, outcome.search_score) == (26, 0.9, 0.94)
    assert outcome.finalists == {"25": 0.7, "26": 0.9}
    assert trainings.job("winner").arch == ARCHS[26]


def test_where_longer_training_is_worse_the_winner_keeps_its_epochs(delivery):
    """By more than chance: networks that overfit are best as the search trained them."""
    trainings = Trainings(val=lambda id: 0.6)
    outcome = delivery(trainings).run()
    assert (outcome.id, outcome.val_score) == (25, 0.95)
    assert outcome.finalists == {"25": 0.6, "26": 0.6}
    assert outcome.epochs == 2.0
    assert {trainings.job(name).epochs for name in ("winner", "random", "plain")} == {2.0}


@pytest.mark.parametrize(("loss", "epochs"), [(0.55, 4.0), (0.4, 8.0)])
def test_a_little_worse_is_chance_but_no_reason_to_train_longer_still(delivery, loss, epochs):
    """Unless the loss still falls."""
    outcome = delivery(Trainings(val=lambda id: 0.9, loss=loss)).run()
    assert (outcome.val_score, outcome.epochs) == (0.9, epochs)


def test_a_higher_score_lets_the_final_training_be_longer(delivery):
    assert delivery(Trainings(val=lambda id: 0.96, loss=9.0)).run().epochs == 8.0


def test_scores_on_shared_weights_say_nothing_of_how_long_to_train(delivery):
    results = [dataclasses.replace(told(id, 0.99), epochs=0.0) for id in range(3)]
    assert delivery(Trainings(val=lambda id: 0.5, loss=9.0), results).run().epochs == 8.0


@pytest.mark.parametrize(
    ("before", "after", "count", "tried", "worse"),
    [
        ((1.0, 0.118), (0.972, 0.138), 143, 85, False),  # four errors of 143: the luck of 85 draws
        ((1.0, 0.118), (0.90, 0.5), 143, 85, True),
        ((0.878, 0.324), (0.860, 0.366), 2500, 50, True),  # sure of its errors
        ((0.878, 0.324), (0.860, 0.335), 2500, 50, False),
        ((0.874, 0.33), (0.878, 0.55), 2500, 44, False),  # a higher score is what was asked for
        ((0.874, 0.33), (0.830, 0.33), 2500, 44, True),
        ((-0.2, 1.2), (0.3, 0.7), 30, 10, False),  # of a quantity a share may be negative
    ],
)
def test_worse_is_what_chance_does_not_explain(before, after, count, tried, worse):
    first, then = ({"accuracy": score, "loss": loss} for score, loss in (before, after))
    assert Change.of([(first, then)], "accuracy").is_worse(count=count, tried=tried) is worse


def test_the_same_architectures_are_compared():
    pairs = [
        ({"accuracy": 0.9, "loss": 0.2}, {"accuracy": 0.8, "loss": 0.5}),
        ({"accuracy": 0.7, "loss": 0.3}, {"accuracy": 0.9, "loss": 0.5}),
    ]
    change = Change.of(pairs, "accuracy")
    assert (change.score, change.rise, change.loss) == pytest.approx((0.825, 0.05, 2.0))


def test_the_user_has_the_last_word_on_the_epochs(delivery):
    trainings = Trainings(val=lambda id: 0.6)
    outcome = delivery(trainings, train={"epochs": 12.0}).run()
    assert (outcome.epochs, outcome.val_score) == (12.0, 0.6)


def test_test_data_are_read_by_the_final_trainings_alone_once_each(delivery):
    trainings = Trainings()
    delivery(trainings).run()
    assert [job.name for job in trainings.jobs if job.test] == ["winner", "random", "plain"]
    assert [job.everything for job in trainings.jobs] == [job.test for job in trainings.jobs]


def test_the_controls_are_trained_like_the_winner(delivery):
    trainings = Trainings()
    delivery(trainings).run()
    final = [trainings.job(name) for name in ("winner", "random", "plain")]
    for name in ("epochs", "hyper", "size", "deadline"):
        assert len({str(getattr(job, name)) for job in final}) == 1
    assert len({job.seed for job in trainings.jobs}) == len(trainings.jobs)


def test_the_random_control_is_the_best_of_the_first_twenty_samples(delivery):
    trainings = Trainings()
    outcome = delivery(trainings).run()
    assert trainings.job("random").arch == ARCHS[19]
    assert (outcome.random_id, outcome.random_of, outcome.random_won) == (19, 20, False)


def test_a_winner_that_is_the_random_control_is_trained_once(delivery):
    trainings = Trainings()
    outcome = delivery(trainings, [told(0, 0.3), told(1, 0.8)]).run()
    assert "random" not in trainings.names
    assert outcome.random_won
    assert outcome.random_of == 2


def test_a_search_without_random_candidates_gets_one_from_its_space(delivery):
    found = [told(0, 0.3, operator="op"), told(1, 0.8, operator="op")]
    trainings = Trainings()
    outcome = delivery(trainings, found).run()
    assert (outcome.random_id, outcome.random_of, outcome.random_won) == (None, 1, False)
    arch = trainings.job("random").arch
    assert arch not in [result.candidate.arch for result in found]
    assert SPACE.decode(SPACE.encode(arch)) == arch


# ---- going on from the search's weights ----------------------------------------------------------


@pytest.fixture
def weights(tmp_path):
    """The weights that a search left of its best: the number of the candidate."""
    stored = Weights(tmp_path / "weights")
    for id in (25, 26):
        stored.write(str(id), {"w": np.array([float(id)])})
    return stored


def test_finalists_and_winner_go_on_from_their_weights_and_controls_do_not(delivery, weights):
    class Continued(Trainings):
        def submit(self, call, job, timeout=None):
            future = super().submit(call, job, timeout)
            trained = {"w": np.array([1000.0]) if job.state is None else 10 * job.state["w"]}
            future._result = Outcome(future.result().numbers, trained)
            return future

    trainings = Continued(val=lambda id: {25: 0.7, 26: 0.9}[id])
    outcome = delivery(trainings, train={"deliver": "continue"}).run()
    started = {job.name: job.state and float(job.state["w"][0]) for job in trainings.jobs}
    assert started == {
        "finalist-25": 25.0,
        "finalist-26": 26.0,
        "winner": 260.0,  # from where the choice left it
        "retrained": None,
        "random": None,
        "plain": None,
    }
    assert trainings.job("retrained").arch == trainings.job("winner").arch == ARCHS[26]
    assert outcome.winner["total_epochs"] == trainings.job("winner").before + 8.0
    assert trainings.job("winner").before == trainings.job("finalist-26").before + 4.0
    assert "retrained" in outcome.controls


def test_without_a_choice_the_winner_goes_on_from_the_search(delivery, weights):
    trainings = Trainings()
    delivery(trainings, train={"deliver": "continue", "epochs": 4.0}).run()
    assert float(trainings.job("winner").state["w"][0]) == 25.0


def test_a_run_that_retrains_has_no_control_of_that_name(delivery):
    trainings = Trainings()
    delivery(trainings).run()
    assert "retrained" not in trainings.names
    assert all(job.state is None for job in trainings.jobs)


def test_finalists_that_the_search_trained_as_long_need_no_second_training(delivery):
    trainings = Trainings()
    outcome = delivery(trainings, train={"epochs": 4.0}).run()
    assert trainings.names == ["winner", "random", "plain"]
    assert (outcome.id, outcome.val_score) == (25, 0.95)


def test_the_number_of_finalists_can_be_set(delivery):
    trainings = Trainings()
    delivery(trainings, train={"finalists": 3}).run()
    assert trainings.names[:3] == ["finalist-25", "finalist-26", "finalist-27"]


def test_without_a_clock_the_final_training_is_four_times_as_long(delivery):
    trainings = Trainings()
    delivery(trainings).run()
    assert trainings.job("winner").epochs == 8.0
    assert trainings.job("finalist-25").epochs == 4.0
    assert trainings.job("winner").deadline is None


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_never_more_trainings_run_than_there_are_workers(delivery, workers, monkeypatch):
    sizes = []

    def waiting(running, **options):
        sizes.append(len(running))
        return wait(running, **options)

    monkeypatch.setattr("evolvent.execute.waiting.wait", waiting)
    delivery(Trainings(), workers=workers).run()
    assert max(sizes) == min(workers, 4)  # at most four finalists, later three networks


# ---- what goes wrong -----------------------------------------------------------------------------


def outcome_of(run):
    return dataclasses.asdict(run)


def test_killed_at_any_training_it_goes_on_where_it_was(delivery):
    whole, first = Trainings(), None
    for dies_at in (0, 0, 1, 1, 1, 1, None):  # of what is left: each session does one more
        trainings = Trainings(dies_at=dies_at)
        try:
            first = delivery(trainings).run()
        except KeyboardInterrupt:
            whole.jobs += trainings.jobs
    whole.jobs += trainings.jobs
    assert whole.names == ["finalist-25", "finalist-26", "winner", "random", "plain"]
    assert first is not None
    assert outcome_of(delivery(Trainings(dies_at=0)).run()) == outcome_of(first)


def test_a_finalist_that_fails_does_not_win(delivery):
    outcome = delivery(Trainings(val=lambda id: 0.1, failing=("finalist-25",))).run()
    assert outcome.id == 26


def test_a_control_that_fails_is_left_out(delivery):
    outcome = delivery(Trainings(failing=("plain",))).run()
    assert list(outcome.controls) == ["random"]


@pytest.fixture
def without_weights(monkeypatch):
    """No candidate's weights are kept: its estimator gives none."""
    monkeypatch.setattr(Weights, "has", lambda self, name: False)


@pytest.mark.parametrize(
    "failing", [("winner",), ("finalist-25", "finalist-26")], ids=["winner", "finalists"]
)
def test_when_what_must_succeed_fails_the_run_says_so_and_can_be_resumed(
    delivery, failing, without_weights
):
    with pytest.raises(EvolventError, match=r"failed.*resume"):
        delivery(Trainings(failing=failing)).run()
    assert delivery(Trainings()).run().id == 25


def test_a_search_without_a_score_says_why(delivery):
    results = [
        failed(told(0, 1).candidate, "it has no path"),
        Result(told(1, 1).candidate, status="refused", reason="it has 9,999 parameters"),
    ]
    with pytest.raises(RunError, match=r"1 failed, 1 refused, the last because it has 9,999"):
        delivery(Trainings(), results).run()


def test_a_search_without_a_trial_says_so(delivery):
    with pytest.raises(RunError, match="none was tried"):
        delivery(Trainings(), []).run()


def test_a_budget_that_reading_used_up_is_said(delivery):
    made = delivery(Trainings(), results=[], seconds=0.0, total=60.0)
    made.store.spend("setup", 88.0)
    with pytest.raises(RunError, match=r"took 88 s of a budget of 60 s.*--budget 352s"):
        made.run()


# ---- time ----------------------------------------------------------------------------------------


@pytest.fixture
def paced(monkeypatch):
    """Every network takes a hundredth of a second per example."""
    monkeypatch.setattr(Lengths, "example", lambda self, result: 0.01)
    monkeypatch.setattr(timing, "pace", lambda *args, **options: 0.01)


def time_of(trainings, toy):
    parts = {True: toy.everything, False: toy.train}
    return sum(job.epochs * len(parts[job.everything]) * 0.01 for job in trainings.jobs)


def test_what_is_left_is_enough_for_all_trainings(delivery, paced, toy):
    trainings = Trainings()
    delivery(trainings, seconds=60.0, total=150.0).run()
    # no time passes here, so the final trainings have all of it; the choice planned for its share
    finals = [job for job in trainings.jobs if job.everything]
    choice = [job for job in trainings.jobs if not job.everything]
    trainings.jobs = finals
    assert 25.0 < time_of(trainings, toy) <= 60.0 - CLOSING_SECONDS
    trainings.jobs = choice
    assert 3.0 < time_of(trainings, toy) <= 20.0
    trainings.jobs = finals
    trainings.jobs = [trainings.job("random"), trainings.job("plain")]
    assert time_of(trainings, toy) <= 0.2 * 150.0


def test_a_control_that_is_many_times_as_slow_does_not_cut_the_final_training(
    delivery, paced, monkeypatch
):
    usual = controls.Controls.epoch

    def slow(self, name, *given):
        return (50 if name == "plain" else 1) * usual(self, name, *given)

    monkeypatch.setattr(controls.Controls, "epoch", slow)
    lines: list[str] = []
    trainings = Trainings(dies_at=3)
    made = delivery(trainings, seconds=60.0, total=150.0)
    made.say = lines.append
    with pytest.raises(KeyboardInterrupt):  # in the random control, behind finalists and winner
        made.run()
    assert "winner" in trainings.names
    again = Trainings()
    delivery(again, seconds=60.0, total=150.0).run()
    assert again.names == ["random"]
    assert sum("control plain is left out" in line for line in lines) == 1


def test_the_best_known_member_is_a_finalist_whatever_its_rank(delivery):
    known = told(28, 0.3, operator="known old-friend")
    trainings = Trainings()
    delivery(trainings, results=[*RESULTS, known], train={"epochs": 8.0}).run()
    assert "finalist-15" in trainings.names  # the best one of its architecture


def test_every_training_has_the_deadline_of_the_promise(delivery, paced):
    trainings = Trainings()
    made = delivery(trainings, seconds=60.0, total=150.0)
    made.run()
    (deadline,) = {job.deadline for job in trainings.jobs}
    assert (
        made.timing.began + 60.0 - CLOSING_SECONDS
        < deadline
        < made.timing.began + 60.0 + 0.1 * 150.0
    )


def test_resumed_late_the_rest_is_trained_for_as_long_as_there_is_time(delivery, paced):
    early, late = Trainings(val=lambda id: id, dies_at=2), Trainings()
    with pytest.raises(KeyboardInterrupt):
        delivery(early, seconds=60.0, total=150.0).run()
    outcome = delivery(late, seconds=30.0, total=150.0).run()
    assert late.names == ["winner", "random", "plain"]
    assert outcome.id == 26, "the choice stands"
    assert 0 < late.job("winner").epochs < 2 * early.jobs[0].epochs


def test_resumed_too_late_it_is_still_trained_if_nothing_else_is_there(
    delivery, paced, toy, without_weights
):
    with pytest.raises(KeyboardInterrupt):
        delivery(Trainings(dies_at=2), seconds=240.0, total=600.0).run()
    late = Trainings()
    delivery(late, seconds=0.0, total=600.0).run()
    assert 0.1 * 600.0 < time_of(late, toy) <= timing.LEAST_SHARE * 600.0


def test_one_that_must_be_is_not_cut_at_its_first_step():
    """On a slow machine the closing alone may take more than all that a late delivery gets."""
    late = timing.Timing(5.0, 50.0, start=12.0)
    now = time.monotonic()
    assert late.deadline is not None and late.deadline < now
    late.must_have()
    assert late.deadline > now + 1.0


def test_trainings_start_in_order_as_workers_become_free():
    assert makespan([3.0, 1.0, 1.0, 2.0], 2) == 4.0
    assert makespan([3.0, 1.0, 1.0], 1) == 5.0
    assert makespan([], 2) == 0.0


# ---- a choice on folds ---------------------------------------------------------------------------


def folded(id, scores, params):
    made = told(id, sum(scores) / len(scores), epochs=6.0, params=params)
    more = {"fold_scores": list(scores), "folds": 4}
    return dataclasses.replace(made, metrics={**made.metrics, **more})


def test_what_was_chosen_on_folds_is_not_chosen_again_on_one_validation_part(delivery):
    best, small = folded(28, (0.9, 0.7, 0.8, 0.9), 900), folded(29, (0.8, 0.8, 0.8, 0.8), 50)
    trainings = Trainings()
    found = delivery(trainings, [*RESULTS, best, small]).run()
    assert found.id == 29, "as good within a standard error, and smaller"
    assert trainings.names[0] == "winner"
    assert "plain" in trainings.names
    assert {job.epochs for job in trainings.jobs} == {6.0}, "as long as on the folds"
    assert (found.val_score, found.finalists) == (small.score, {})
