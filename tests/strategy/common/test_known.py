"""Any strategy from known members: order, lineage, ids, horizon, and what the other one is told."""

import random

import pytest
from tests.helpers_strategy import answered, driven

from evolvent.errors import SettingError
from evolvent.space.cell201 import Cell201, digits
from evolvent.strategy.asha import Asha
from evolvent.strategy.common.known import Known
from evolvent.strategy.evolution import RegularizedEvolution
from evolvent.strategy.genetic import Genetic
from evolvent.strategy.random import Random
from evolvent.strategy.reinforce import Reinforce
from evolvent.types import Candidate, Facts

SPACE = Cell201()
MEMBERS = SPACE.known(Facts("image", "accuracy"))
NAMES = [f"known {name}" for name in MEMBERS]


def known(make=Random, horizon=40, epochs=2.0, members=MEMBERS, **settings):
    def over(space, trials):
        return make(space, epochs=epochs, horizon=trials, seed=0, **settings)

    return Known(over, SPACE, members, epochs=epochs, horizon=horizon)


def truth(candidate):
    return answered(candidate, sum(map(int, digits(candidate.arch))) / 24)


def asks(events):
    return [event for event in events if isinstance(event, Candidate)]


@pytest.mark.parametrize("make", [Random, RegularizedEvolution, Genetic, Reinforce])
@pytest.mark.parametrize("slots", [1, 3, 12])
def test_known_members_come_first_and_in_their_order(make, slots):
    found = asks(driven(known(make), 20, truth, slots, random.Random(1), waits=True))
    first = found[: len(MEMBERS)]
    assert [each.operator for each in first] == NAMES
    assert [each.arch for each in first] == list(MEMBERS.values())
    assert not any(each.operator.startswith("known") for each in found[len(MEMBERS) :])
    assert [each.id for each in found] == list(range(len(found)))


def test_evolution_breeds_from_them():
    strategy = known(RegularizedEvolution, horizon=30, population=5, sample=5, identity=0.0)
    found = asks(driven(strategy, 12, truth))
    best = max(range(5), key=lambda id: sum(map(int, digits(found[id].arch))))
    assert found[5].parents == (best,)
    assert strategy.alive() <= set(range(12))


def test_those_beyond_a_population_are_asked_before_anything_is_bred():
    strategy = known(RegularizedEvolution, population=2, sample=2, identity=0.0)
    found = asks(driven(strategy, 12, truth))
    assert [each.operator for each in found[: len(MEMBERS)]] == NAMES
    assert all(each.budget.epochs == 2.0 for each in found)
    assert set(found[len(MEMBERS)].parents) <= {0, 1}  # the others are not the population's
    told = {id for each in found for id in each.parents}
    assert not told & set(range(2, len(MEMBERS)))


def test_rungs_train_them_as_briefly_as_any_other():
    strategy = known(Asha, epochs=9.0, minimum=1.0, horizon=40)
    found = asks(driven(strategy, 40, truth, waits=True))
    first = [each for each in found if each.operator.startswith("known")]
    assert [each.operator for each in first] == NAMES
    assert {each.budget.epochs for each in first} == {1.0}
    promoted = [each.arch for each in found if each.budget.epochs > 1]
    assert set(promoted) & set(MEMBERS.values())


def test_a_controller_learns_nothing_of_them_and_has_a_shorter_horizon():
    strategy = known(Reinforce, horizon=40)
    told = []
    strategy.inner.tell = lambda result: told.append(result.candidate.id)
    seen = []

    def noted(space, trials):
        seen.append(trials)
        return Random(space)

    driven(strategy, len(MEMBERS) + 3, truth)
    assert told == [0, 1, 2]  # its own ids
    assert strategy._outside == len(MEMBERS)
    Known(noted, SPACE, MEMBERS, horizon=40)
    assert seen == [40, 40]  # one that samples asks for all of them itself


def test_a_longer_horizon_reaches_the_other_strategy():
    strategy = known(RegularizedEvolution, horizon=30)
    before = strategy.inner.size
    strategy.lengthen(300)
    assert strategy.inner.size > before


def test_a_note_names_them_and_no_members_are_an_error():
    assert known().note == f"begins with 5 known members: {', '.join(MEMBERS)}"
    with pytest.raises(SettingError, match="no known member"):
        known(members={})


def test_failed_members_are_passed_over():
    def answer(candidate):
        return answered(candidate, None) if candidate.id < len(MEMBERS) else truth(candidate)

    found = asks(driven(known(RegularizedEvolution), 30, answer))
    assert all(min(each.parents, default=5) >= 5 for each in found)


def test_evolution_in_rungs_has_all_of_them_in_its_population():
    def over(space, trials):
        sampler = RegularizedEvolution(space, epochs=9.0, horizon=6, seed=0)
        return Asha(space, epochs=9.0, levels=3, sampler=sampler, horizon=trials, seed=0)

    found = asks(driven(Known(over, SPACE, MEMBERS, epochs=9.0, horizon=6), 24, truth))
    lowest = [each for each in found if each.operator != "promote"]
    assert [each.operator for each in lowest[: len(MEMBERS)]] == NAMES
    assert len(lowest) > len(MEMBERS)
    assert not any(each.operator == "sample" for each in lowest)
