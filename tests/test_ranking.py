"""The one rule by which results are put in order."""

from evolvent.ranking import best, distinct, ranked, simplest
from evolvent.space.cell201 import Cell201
from evolvent.types import Budget, Candidate, Result, failed, stream

SPACE = Cell201()
ARCHS = [SPACE.sample(stream("ranking", index)) for index in range(10)]


def told(id, score, arch=None, *, epochs=2.0, rung=None, loss=0.5, kind="trial"):
    budget = Budget(epochs=epochs, rung=rung)
    candidate = Candidate(id, arch or ARCHS[id], budget=budget, kind=kind)
    return Result(candidate, score, metrics={"loss": loss}, epochs=epochs)


def ids(results):
    return [result.candidate.id for result in results]


def test_a_longer_training_comes_first_then_the_score_then_the_loss_then_the_age():
    results = [
        told(0, 0.99, epochs=1),
        told(1, 0.6, epochs=4),
        told(2, 0.7, epochs=4),
        told(3, 0.7, epochs=4, loss=0.4),
        told(4, 0.7, epochs=4),
    ]
    assert ids(ranked(results)) == [3, 2, 4, 1, 0]
    assert best(results) is results[3]


def test_where_a_rung_is_planned_epochs_do_not_rank():
    """Equal seconds are other epochs for every network."""
    results = [told(0, 0.6, epochs=9, rung=1), told(1, 0.7, epochs=3, rung=1), told(2, 0.1, rung=2)]
    assert ids(ranked(results)) == [2, 1, 0]


def test_only_trials_with_a_score_are_ranked():
    results = [told(0, 0.9, kind="step"), failed(told(1, 0.8).candidate, "toy"), told(2, 0.1)]
    assert ids(ranked(results)) == [2]
    assert best(results[:2]) is None


def test_equal_networks_are_one():
    same = ("none", "none", "none", "nor_conv_3x3", "nor_conv_1x1", "none")
    also = ("none", "none", "none", "nor_conv_3x3", "none", "none")  # node 1 is always zero
    assert SPACE.canonical(same) == SPACE.canonical(also)
    results = [told(0, 0.9, same), told(1, 0.8, also), told(2, 0.7), told(3, 0.95, same)]
    assert ids(distinct(results, SPACE, 3)) == [3, 2]


def test_what_uses_a_trial():
    asked = told(0, 0.5).candidate
    counted = {
        status: Result(asked, status=status).counts for status in ("failed", "refused", "cut")
    }
    assert counted == {"failed": True, "refused": False, "cut": False}
    assert told(0, 0.5).counts
    assert not told(0, 0.5, kind="step").counts


# ---- ties on folds -------------------------------------------------------------------------------


def folded(id, scores, params, epochs=3.0):
    made = Candidate(id, id, budget=Budget(epochs=epochs))
    metrics = {"fold_scores": list(scores), "folds": 4}
    return Result(made, sum(scores) / len(scores), metrics=metrics, params=params)


def chosen(*results):
    found = simplest(results)
    return None if found is None else found.candidate.id


def test_of_results_that_are_as_good_on_the_same_folds_the_smallest_network_is_chosen():
    top = folded(0, (0.9, 0.7, 0.8, 0.9), 900)
    near = folded(1, (0.8, 0.9, 0.7, 0.8), 100)  # -.025 with a standard error of .07
    worse = folded(2, (0.8, 0.6, 0.7, 0.8), 10)  # worse by .1 on every fold
    larger = folded(3, (0.9, 0.7, 0.7, 0.9), 2000)
    assert chosen(worse, near, larger, top) == 1
    assert chosen(worse, top) == 0
    assert chosen(larger, top) == 0


def test_folds_of_another_rung_or_number_are_no_tie():
    top = folded(0, (0.9, 0.7, 0.8, 0.9), 900)
    shorter = folded(1, (0.9, 0.7, 0.8, 0.9), 100, epochs=1.0)
    fewer = folded(2, (0.9, 0.7, 0.8), 100)
    assert chosen(shorter, fewer, top) == 0


def test_without_folds_the_best_is_chosen_and_of_nothing_none():
    one, two = (Result(Candidate(id, id), 0.5 + id / 10, params=5 + id) for id in range(2))
    assert chosen(one, two) == 1
    assert chosen() is None
