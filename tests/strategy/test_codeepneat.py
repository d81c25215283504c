"""CoDeepNEAT: how networks are assembled, whom their scores are credited to, and what is bred."""

from collections import Counter

import pytest

from evolvent.errors import SettingError
from evolvent.space import Move
from evolvent.space.blueprint import Blueprint
from evolvent.strategy.codeepneat import CoDeepNEAT
from evolvent.strategy.common.population import Breeding, Population
from evolvent.types import Candidate, Result, failed, stream

SPACE = Blueprint((1, 8, 8), filters=(8, 64))


def generation(strategy):
    asked = []
    while (candidate := strategy.ask()) is not None:
        asked.append(candidate)
    return asked


def tell(strategy, asked, score):
    for candidate in asked:
        strategy.tell(Result(candidate, score(candidate)))


def play(strategy, generations, score):
    """Play generations; return the asks of each."""
    found = []
    for _ in range(generations):
        found.append(generation(strategy))
        tell(strategy, found[-1], score)
    return found


def noise(candidate):
    return stream("noise", candidate.id).random()


def wide_and_calm(candidate):
    """A score that modules and blueprint share: many filters, little momentum."""
    filters = [node[1] for _, module in candidate.arch[3] for node in module[0]]
    return sum(filters) / len(filters) / 64 - candidate.arch[2][1]


# ---- assembling ----------------------------------------------------------------------------------


def test_a_generation_is_asked_whole_and_the_next_waits_for_its_last_result():
    strategy = CoDeepNEAT(SPACE, networks=7)
    asked = generation(strategy)
    assert len(asked) == 7
    tell(strategy, asked[:-1], noise)
    assert strategy.ask() is None
    tell(strategy, asked[-1:], noise)
    assert [candidate.note["generation"] for candidate in generation(strategy)] == [1] * 7


def test_tells_in_another_order_give_the_same_networks():
    one, other = CoDeepNEAT(SPACE, networks=8, seed=3), CoDeepNEAT(SPACE, networks=8, seed=3)
    for _ in range(4):
        asked = generation(one)
        assert generation(other) == asked
        tell(one, asked, noise)
        tell(other, asked[::-1], noise)


def test_the_note_says_of_what_a_network_is_assembled():
    strategy = CoDeepNEAT(SPACE, networks=12, blueprints=4, modules=9, start="random")
    for _ in range(4):
        blueprints = {member.id: member for member in strategy.blueprints.members}
        species = {each.name: each.members for each in strategy.modules.species}
        asked = generation(strategy)
        for candidate in asked:
            blueprint = blueprints[candidate.note["blueprint"]]
            chosen = {int(kind): id for kind, id in candidate.note["modules"].items()}
            assert sorted(chosen) == list(SPACE.pointed_to(blueprint.arch))
            modules = {
                kind: next(m.arch for m in species[kind] if m.id == id)
                for kind, id in chosen.items()
            }
            assert candidate.arch == SPACE.assemble(blueprint.arch, modules)
        tell(strategy, asked, noise)


def test_blueprints_take_turns_and_modules_of_a_species_are_held_evenly():
    strategy = CoDeepNEAT(SPACE, networks=20, blueprints=5, modules=10, start="random")
    for _ in range(3):
        home = {m.id: s.name for s in strategy.modules.species for m in s.members}
        asked = generation(strategy)
        held = Counter(candidate.note["blueprint"] for candidate in asked)
        assert set(held.values()) == {4}
        held = Counter(id for candidate in asked for id in candidate.note["modules"].values())
        for kind in strategy.modules.kinds:
            counts = [held[id] for id in home if home[id] == kind]
            assert max(counts) - min(counts) <= 1
        tell(strategy, asked, noise)


def test_the_first_generation_is_minimal_or_random():
    assert all(len(c.arch[0]) == 1 for c in generation(CoDeepNEAT(SPACE, networks=9)))
    asked = generation(CoDeepNEAT(SPACE, networks=9, start="random"))
    assert {candidate.operator for candidate in asked} == {"sample"}
    assert len({len(candidate.arch[0]) for candidate in asked}) > 1


# ---- credit --------------------------------------------------------------------------------------


def test_fitness_is_the_mean_over_the_networks_that_held_a_part():
    strategy = CoDeepNEAT(SPACE, networks=12, blueprints=3, modules=6, start="random")
    asked = generation(strategy)
    credited: dict[str, dict[int, float]] = {}
    breed = strategy._breed

    def look():
        for name in ("blueprints", "modules"):
            members = getattr(strategy, name).members
            credited[name] = {member.id: member.value for member in members}
        breed()

    strategy._breed = look  # type: ignore[method-assign]
    tell(strategy, asked, noise)
    for id, value in credited["blueprints"].items():
        scores = [noise(c) for c in asked if c.note["blueprint"] == id]
        assert value == pytest.approx(sum(scores) / len(scores))
    mean = 0.0
    held = {id: [noise(c) for c in asked if id in c.note["modules"].values()] for id in range(6)}
    known = {id: sum(scores) / len(scores) for id, scores in held.items() if scores}
    mean = sum(known.values()) / len(known)
    for id, value in credited["modules"].items():
        assert value == pytest.approx(known.get(id, mean))


def population(*values):
    """Modules with these values; None was never in a network."""
    rng = stream("population")
    made = Population([Move(SPACE.modules.start(rng), "start") for _ in values], 1, SPACE.modules)
    held = {id: [result(id, value)] for id, value in enumerate(values) if value is not None}
    made.credit(held, 1)
    return made


def result(id, value):
    candidate = Candidate(100 + id)
    return failed(candidate, "toy") if value == "failed" else Result(candidate, value)


def values(made):
    return {member.id: member.value for member in made.members}


def test_what_no_network_held_keeps_its_fitness_and_what_never_had_one_gets_the_mean():
    made = population(1.0, None, 3.0)
    assert values(made) == {0: 1.0, 1: 2.0, 2: 3.0}
    made.credit({1: [result(1, 9.0)]}, 2)
    assert values(made) == {0: 1.0, 1: 9.0, 2: 3.0}
    assert made.members[1].note.networks == (101,)


def test_a_network_that_fails_counts_as_the_worst():
    made = population(-5.0, "failed", -1.0)
    assert values(made) == {0: -5.0, 1: -5.0, 2: -1.0}
    assert made.members[1].note.networks == ()


def test_a_child_carries_the_fitness_of_its_fitter_parent_until_it_has_its_own():
    made = population(*(float(value) for value in range(10)))
    made.breed(SPACE.modules, Breeding(0.2, 1, 1.0, 1, 15), 1, stream("breed"))
    assert len(made.members) == 10
    assert {member.id for member in made.members} == set(range(10, 20))
    assert {member.value for member in made.members} <= {7.0, 8.0, 9.0}
    elites = [member for member in made.members if member.note.operator == "elite"]
    assert [(member.value, member.note.networks) for member in elites] == [(9.0, (109,))]
    crossed = [m for m in made.members if m.note.operator.startswith("crossover+")]
    assert len(crossed) == 9
    assert all(len(member.note.networks) == 2 for member in crossed)


def test_elites_stay_as_they_are():
    made = population(*(float(value) for value in range(10)))
    best = sorted(made.members, key=lambda member: -member.value)
    made.breed(SPACE.modules, Breeding(0.3, 3, 0.0, 2, 15), 1, stream("breed"))
    kept = [member.arch for member in made.members if member.note.operator == "elite"]
    assert kept == [member.arch for member in best[:3]]


# ---- generation after generation -----------------------------------------------------------------


@pytest.mark.parametrize("networks", [6, 10, 30])
def test_species_neither_starve_nor_explode(networks):
    strategy = CoDeepNEAT(SPACE, networks=networks, module_species=3, modules=12, stagnation=4)
    sizes = (len(strategy.blueprints.members), len(strategy.modules.members))
    for _ in range(25):
        asked = generation(strategy)
        tell(strategy, asked, noise)
        assert (len(strategy.blueprints.members), len(strategy.modules.members)) == sizes
        assert 1 <= len(strategy.modules.species) <= 3
        assert all(species.members for species in strategy.modules.species)
    assert len(strategy.modules.species) == 3


def test_blueprints_only_point_to_living_species():
    strategy = CoDeepNEAT(SPACE, networks=8, modules=12, start="random", stagnation=1)
    seen = set()
    for _ in range(15):
        tell(strategy, generation(strategy), noise)
        kinds = set(strategy.modules.kinds)
        seen |= kinds
        for member in strategy.blueprints.members:
            assert set(SPACE.pointed_to(member.arch)) <= kinds
    assert len(seen) > 4, "no species ever died"


@pytest.mark.parametrize("score", [lambda c: -1.0 - noise(c), lambda c: 0.0, lambda c: -3.0])
def test_scores_below_zero_and_equal_scores_keep_it_going(score):
    assert len(play(CoDeepNEAT(SPACE, networks=8), 12, score)[-1]) == 8


def test_nine_of_ten_failures_end_nothing():
    strategy = CoDeepNEAT(SPACE, networks=8)
    for _ in range(20):
        for candidate in generation(strategy):
            bad = stream("bad", candidate.id).random() < 0.9
            strategy.tell(failed(candidate, "toy") if bad else Result(candidate, noise(candidate)))
    assert strategy.generation > 5
    assert len(generation(strategy)) == 8


def test_a_generation_of_failures_is_assembled_anew_of_the_same_parts():
    strategy = CoDeepNEAT(SPACE, networks=8, modules=12, start="random")
    before = [member.arch for member in strategy.modules.members]
    first = generation(strategy)
    for candidate in first:
        strategy.tell(failed(candidate, "toy"))
    again = generation(strategy)
    assert [member.arch for member in strategy.modules.members] == before
    assert [c.note["blueprint"] for c in again] == [c.note["blueprint"] for c in first]
    assert [c.note["modules"] for c in again] != [c.note["modules"] for c in first]


def test_it_evolves_what_is_rewarded():
    strategy = CoDeepNEAT(SPACE, networks=10, start="random")
    means = [
        sum(map(wide_and_calm, asked)) / len(asked) for asked in play(strategy, 20, wide_and_calm)
    ]
    assert means[-1] > means[0] + 0.3


def test_lineage_names_networks_of_the_parents():
    strategy = CoDeepNEAT(SPACE, networks=8)
    first, second = play(strategy, 2, noise)
    assert {id for child in second for id in child.parents} <= {each.id for each in first}
    assert all(child.parents for child in second)
    assert "elite" in {child.operator for child in second}


# ---- settings ------------------------------------------------------------------------------------


def test_a_short_horizon_shrinks_the_populations_and_says_so():
    paper = CoDeepNEAT(SPACE, horizon=7200)
    assert (paper.networks, paper.blueprints.size, paper.modules.size) == (100, 25, 45)
    assert paper.note == ""
    short = CoDeepNEAT(SPACE, horizon=60)
    assert (short.networks, short.blueprints.size, short.modules.size) == (6, 6, 6)
    assert "6 networks per generation instead of the paper's 100" in short.note


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"networks": 0}, "networks=0"),
        ({"blueprints": 1}, "blueprints=1"),
        ({"modules": 1}, "modules=1"),
        ({"survival": 1.5}, "survival=1.5"),
        ({"crossover": -0.1}, "crossover=-0.1"),
        ({"mutations": 0}, "mutations=0"),
        ({"start": "x"}, "'x'"),
    ],
)
def test_settings_outside_their_range_are_refused(wrong, named):
    with pytest.raises(SettingError, match=named):
        CoDeepNEAT(SPACE, **wrong)
