"""Species: who joins which, and shares of children that add up."""

import math
import random

import numpy as np
import pytest

from evolvent.strategy.common.species import (
    Member,
    Species,
    apportion,
    fertile,
    offspring,
    speciate,
    speciate_into,
)


def members(*archs, scores=None):
    scores = scores or [1.0] * len(archs)
    return [Member(id, arch, s) for id, (arch, s) in enumerate(zip(archs, scores, strict=True))]


def apart(members):
    archs = np.array([member.arch for member in members])
    return lambda arch, which: abs(arch - archs[which])


def groups(species):
    return [[member.arch for member in each.members] for each in species]


def ranked(told, before, threshold, generation):
    found = speciate(told, before, apart(told), threshold)
    for each in found:
        each.rank(generation)
    return found


def test_a_member_joins_the_first_species_that_is_near_enough_or_founds_one():
    before = [Species(10.0), Species(12.0)]
    told = members(11.0, 12.5, 30.0, 31.0, 9.5)
    found = speciate(told, before, apart(told), 2.0)
    assert groups(found) == [[11.0, 9.5], [12.5], [30.0, 31.0]]


def test_representatives_are_those_of_the_generation_before_and_empty_species_are_gone():
    told, before = members(0.0), [Species(100.0), Species(1.0, best=7.0)]
    found = speciate(told, before, apart(told), 2.0)
    assert [each.representative for each in found] == [1.0]
    assert found[0].best == 7.0


def test_the_order_of_telling_changes_nothing():
    told = members(*(float(place % 7) for place in range(30)), scores=[p % 4 for p in range(30)])
    expected = groups(ranked(told, [], 1.5, 1))
    for seed in range(5):
        mixed = random.Random(seed).sample(told, len(told))
        assert groups(ranked(mixed, [], 1.5, 1)) == expected


def test_a_species_remembers_when_its_best_score_was_reached():
    first = ranked(members(0.0, 1.0, scores=[1.0, 5.0]), [], 3.0, 1)
    second = ranked(members(0.0, scores=[4.0]), first, 3.0, 2)
    third = ranked(members(0.0, scores=[6.0]), second, 3.0, 3)
    assert [(each[0].best, each[0].improved) for each in (first, second, third)] == [
        (5.0, 1),
        (5.0, 1),
        (6.0, 3),
    ]


def test_members_are_sorted_by_score_and_of_equal_ones_the_oldest_comes_first():
    (found,) = ranked(members(0.0, 0.1, 0.2, scores=[1.0, 2.0, 2.0]), [], 9.0, 1)
    assert [member.id for member in found.members] == [1, 2, 0]


def test_a_species_keeps_the_name_of_its_founder():
    told = members(0.0, 50.0, 1.0)
    first = speciate(told, [], apart(told), 3.0)
    assert [each.name for each in first] == [0, 1]
    later = [Member(7, 51.0, 1.0), Member(8, 90.0, 1.0)]
    assert [each.name for each in speciate(later, first, apart(later), 3.0)] == [1, 8]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10])
def test_there_are_as_many_species_as_wanted_whatever_the_scale_of_distances(count):
    for scale in (1e-3, 1.0, 1e3):
        draw = random.Random(count)
        told = members(*(scale * draw.random() for _ in range(20)))
        species: list[Species] = []
        for _ in range(5):
            species = speciate_into(count, told, species, apart(told))
            assert len(species) <= count
            assert sum(len(each.members) for each in species) == len(told)
            assert all(each.members for each in species)
            told = [Member(m.id + 20, m.arch + 0.1 * scale * draw.random(), 1.0) for m in told]
        assert len(species) >= min(count, 3)


def test_alikes_are_one_species():
    told = members(*[1.0] * 9)
    assert len(speciate_into(4, told, [], apart(told))) == 1


def test_who_makes_no_progress_has_no_children_but_the_one_in_the_lead():
    lead, stuck, young = species([9.0], [5.0], [1.0])
    lead.improved = stuck.improved = 1
    young.improved = 9
    assert fertile([lead, stuck, young], 10, 5) == [lead, young]
    assert fertile([stuck, young], 20, 5) == [stuck]


def species(*scores):
    return [Species(0.0, members=members(*[0.0] * len(each), scores=each)) for each in scores]


def test_fitness_is_shared_so_that_size_alone_brings_no_children():
    assert offspring(species([4.0] * 30, [4.0]), 10) == [5, 5]
    assert offspring(species([3.0, 5.0], [12.0]), 16) == [4, 12]


def test_relative_fitness_tells_close_scores_apart():
    close = species([0.90, 0.92], [0.96, 0.94], [0.90])
    assert offspring(close, 12) == [4, 4, 4]
    assert offspring(close, 12, relative=True) == [2, 10, 0]
    assert offspring(species([0.5, 0.5], [0.5]), 8, relative=True) == [4, 4]


@pytest.mark.parametrize("scores", [([-5.0, -3.0], [-1.0]), ([0.0], [0.0]), ([-2.0], [-2.0, -2.0])])
def test_scores_below_zero_and_equal_scores_give_shares_too(scores):
    shares = offspring(species(*scores), 9)
    assert sum(shares) == 9
    assert min(shares) >= 0
    if len({score for each in scores for score in each}) == 1:
        assert max(shares) - min(shares) <= 1


def test_shares_always_add_up():
    draw = random.Random(0)
    for _ in range(300):
        weights = [
            draw.choice((0.0, draw.random(), 1e300, 1e-300)) for _ in range(draw.randint(1, 40))
        ]
        total = draw.randint(1, 150)
        shares = apportion(weights, total)
        assert sum(shares) == total
        assert all(share >= 0 for share in shares)
        if max(weights) > 0:
            scale = math.fsum(weight / max(weights) for weight in weights)
            for weight, share in zip(weights, shares, strict=True):
                assert abs(share - weight / max(weights) / scale * total) < 1
