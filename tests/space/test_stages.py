"""The space of stages: what is valid, what has no effect, moves, samples, known members, the recipe."""

import random
import statistics
from typing import Any

import pytest

from evolvent.errors import InvalidArchitecture, SettingError
from evolvent.space import sample_decisions
from evolvent.space.stages import (
    FLIPS,
    LRS,
    RECIPE,
    STAGE,
    Stages,
    default_bounds,
    halved,
    resizes_of,
    shifts_of,
    stems_of,
)
from evolvent.space.stages_members import MEMBERS
from evolvent.types import Facts

#: one alternative for each of these genes, so that the settings of the training hold
FIXED: dict[str, Any] = {
    "optimizers": ("sgd",),
    "resizes": (1.0,),
    "shifts": (0,),
    "flips": ("none",),
    "erases": (0.0,),
    "averages": (0.0,),
}
SPACE = Stages((3, 32, 32), mirrored=True, **FIXED)
ALL = Stages(
    (3, 32, 32),
    mirrored=True,
    optimizers=tuple(LRS),
    resizes=(1.0, 0.8, 0.6),
    shifts=(0, 1, 2, 3),
    flips=FLIPS,
    erases=(0.0, 0.25),
)
SGD = ("sgd", 1.0, 5e-4, 0.1, 1.0, 0, "none", 0.0, 0.0)
PLAIN = (32, 2, "plain", 2, 3, 0, "max-pool")


def arch(*stages, stem="conv3", head="max", activation="relu", recipe=SGD):
    return (stem, stages or (PLAIN, PLAIN), head, activation, recipe)


def samples(space, count, seed=0):
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


# ---- what is valid, and what has no effect -------------------------------------------------------


def test_genes_without_an_effect_have_their_first_value():
    wasted = arch((32, 2, "plain", 4, 5, 0, "none"), PLAIN)
    assert SPACE.canonical(wasted) == arch((32, 2, "plain", 2, 3, 0, "none"), PLAIN)
    used = arch((32, 2, "mbconv", 4, 5, 0, "none"), PLAIN)
    assert SPACE.canonical(used) == used


def test_a_map_that_is_too_small_is_not_halved():
    small = Stages((1, 8, 8))
    made = small.canonical(arch(PLAIN, PLAIN, PLAIN))
    assert [stage[-1] for stage in made[1]] == ["max-pool", "max-pool", "none"]
    assert [layer.made for layer in small.layers(made)][-1] == (2, 2)


def test_shapes_are_rounded_up():
    assert halved((7, 6)) == (4, 3)
    shapes = [layer.made for layer in Stages((3, 30, 21)).layers(arch(PLAIN, PLAIN, PLAIN))]
    assert shapes == [(15, 11)] * 2 + [(8, 6)] * 2 + [(4, 3)] * 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("conv3",), "is not \\(stem, stages, head"),
        (arch(stem="conv7"), "stem 'conv7' is not of this space: conv3, patch2"),
        (arch(PLAIN), "number of stages 1"),
        (arch((20, *PLAIN[1:]), PLAIN), "width 20"),
        (arch(PLAIN[:-1], PLAIN), "a stage being \\(width, depth"),
        (arch(head="median"), "head 'median'"),
        (arch(recipe=("sgd", 3.0, *SGD[2:])), "rate 3.0"),
        (arch(recipe=("muon", *SGD[1:])), "optimizer 'muon' is not of this space: sgd"),
        (arch(*[(128, 3, "residual", 2, 3, 0, "none")] * 4), "multiply-adds, at most 120,000,000"),
        (7, "is not \\(stem"),
    ],
)
def test_what_is_not_of_the_space_is_refused_by_its_gene(wrong, message):
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.checked(wrong)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": (3, 2)}, "stages=\\(3, 2\\): two counts"),
        ({"stages": (2, 7)}, "at most 6 stages"),
        ({"widths": (10, 64)}, "multiples of 8"),
        ({"depths": (0, 2)}, "depths=\\(0, 2\\)"),
        ({"blocks": ("plain", "dense")}, "blocks=.*some of plain, residual"),
        ({"blocks": ()}, "blocks=\\(\\)"),
        ({"multiply_adds": (10, 1000)}, "not even the smallest network keeps the limit"),
        ({"multiply_adds": (0, 1000)}, "smaller first"),
        ({"optimizers": ("adam",)}, "optimizers=.*some of sgd, muon"),
        ({"resizes": (0.1,)}, "resizes=.*from 0.25 to 1.0"),
        ({"known": (["conv3"],)}, "space.known: one architecture"),
    ],
)
def test_settings_outside_their_rules_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        Stages(**settings)
    with pytest.raises(SettingError, match="stages are for"):
        Stages((5,))


def test_the_data_decide_stems_bounds_and_mirroring():
    assert stems_of((1, 8, 8)) == ("conv3",)
    assert stems_of((3, 32, 32)) == ("conv3", "patch2")
    assert "conv3" not in stems_of((3, 200, 160))
    assert resizes_of((1, 8, 8), (1.0, 0.6)) == (1.0,)
    assert resizes_of((1, 28, 28), (1.0, 0.6)) == (1.0, 0.6)
    assert shifts_of((1, 8, 8), (0, 1, 2, 3)) == (0, 1)
    assert shifts_of((3, 32, 40), (0, 1, 2, 3)) == (0, 1, 2, 3)
    bounds = [default_bounds((3, edge, edge))[1] for edge in (8, 16, 32, 64, 128)]
    assert bounds == sorted(bounds)
    assert bounds[2] == bounds[3]  # from there on the stem halves
    digits = Stages.of(Facts("image", "accuracy", (1, 28, 28), 10), flips=FLIPS)
    photographs = Stages.of(Facts("image", "accuracy", (3, 96, 64), 5, mirrored=True), flips=FLIPS)
    assert digits.values["flip"] == ("none",)
    assert photographs.values["flip"] == FLIPS
    assert (digits.outputs, photographs.outputs) == (10, 5)


# ---- samples and moves ---------------------------------------------------------------------------


def test_samples_keep_the_limit_and_their_cost_is_about_log_uniform():
    low, high = SPACE.bounds
    costs = [SPACE.cost(each).multiply_adds for each in samples(SPACE, 400)]
    assert max(costs) <= high
    shares = [sum(low * (high / low) ** (k / 4) >= cost for cost in costs) / 400 for k in (1, 2, 3)]
    for share, wanted in zip(shares, (0.25, 0.5, 0.75), strict=True):
        assert abs(share - wanted) < 0.09


def test_most_samples_get_wider_and_few_are_of_depthwise_convolutions():
    found = samples(SPACE, 300)
    widths = [[stage[0] for stage in each[1]] for each in found]
    assert statistics.mean(each == sorted(each) for each in widths) > 0.75
    blocks = [stage[2] for each in found for stage in each[1]]
    shares = {name: blocks.count(name) / len(blocks) for name in set(blocks)}
    assert shares["plain"] > shares["residual"] > shares["bottleneck"] > shares["mbconv"] > 0


def test_recipes_of_samples_stay_near_the_good_one():
    recipes = [each[4] for each in samples(ALL, 300)]
    assert statistics.mean(recipe[0] == "muon" for recipe in recipes) > 0.6
    assert all({recipe[at] for recipe in recipes} > {recipes[0][at]} for at in range(len(RECIPE)))
    assert {recipe[1] for recipe in recipes} == {0.5, 1.0, 2.0}


def test_a_mutation_changes_one_thing_and_names_it():
    rng, seen = random.Random(1), set[str]()
    before = ALL.sample(rng)
    for _ in range(600):
        move = ALL.mutate(before, rng)
        after, seen = move.arch, seen | {move.operator}
        assert ALL.checked(after) == after != before
        changed = _changed(before, after)
        # an expansion or a halving may lose its effect by another gene
        along = {"block": {"expansion", "kernel"}, "stem": {"down"}, "down": {"down"}}
        assert changed - along.get(move.operator, set()) <= {move.operator}, (move, before)
        before = after
    assert seen == {*STAGE, *RECIPE, "stem", "head", "activation", "add-stage", "remove-stage"}


def _changed(before, after):
    """The names of the genes that differ."""
    found = {
        name
        for at, name in ((0, "stem"), (2, "head"), (3, "activation"))
        if before[at] != after[at]
    }
    found |= {n for n, a, b in zip(RECIPE, before[4], after[4], strict=True) if a != b}
    pairs = zip(before[1], after[1], strict=False)
    found |= {
        n for one, other in pairs for n, a, b in zip(STAGE, one, other, strict=True) if a != b
    }
    if len(before[1]) != len(after[1]):
        found.add("add-stage" if len(before[1]) < len(after[1]) else "remove-stage")
    return found


def test_a_child_takes_stages_and_genes_whole():
    rng = random.Random(2)
    for first, second in zip(samples(ALL, 60), samples(ALL, 60, 1), strict=True):
        child = ALL.crossover(first, second, rng).arch
        assert ALL.checked(child) == child
        assert len(child[1]) in (len(first[1]), len(second[1]))
        for number, stage in enumerate(child[1]):
            parents = [each[1][number] for each in (first, second) if number < len(each[1])]
            assert stage[:-1] in [parent[:-1] for parent in parents]
        for at, value in enumerate(child[4]):
            assert value in (first[4][at], second[4][at])


def test_decisions_offer_only_widths_that_keep_the_limit():
    rng, tight = random.Random(3), Stages(multiply_adds=(1_000_000, 4_000_000), depths=(1, 1))
    for _ in range(50):
        choices = sample_decisions(tight, rng)
        made = tight.decode(choices)
        least = all(stage[0] == tight.widths[0] for stage in made[1])
        assert least or tight.cost(made).multiply_adds <= 4_000_000


# ---- the recipe ----------------------------------------------------------------------------------


def test_a_training_is_told_the_genes_that_have_a_choice():
    found = ALL.training(arch(recipe=("muon", 0.5, 1e-4, 0.2, 0.6, 2, "alternate", 0.25, 0.25)))
    assert found == {
        "optimizer": "muon",
        "lr": LRS["muon"] / 2,
        "weight_decay": 1e-4,
        "label_smoothing": 0.2,
        "resize": 0.6,
        "shift": 2,
        "flip": "alternate",
        "erase": 0.25,
        "average": 0.25,
    }
    assert SPACE.training(arch()) == {"lr": 0.2, "weight_decay": 5e-4, "label_smoothing": 0.1}


# ---- known members -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8), (3, 64, 64), (3, 200, 224)])
def test_there_are_six_to_ten_known_members_for_images_of_any_size(shape):
    facts = Facts("image", "accuracy", shape, 10)
    space = Stages.of(facts)
    found = space.known(facts)
    assert 6 <= len(found) <= 10
    assert list(found) == [name for name in MEMBERS if name in found]
    assert all(space.checked(each) == each for each in found.values())


def test_a_known_member_that_is_too_costly_is_made_thinner():
    facts = Facts("image", "accuracy", (3, 32, 32), 10)
    whole = SPACE.known(facts)["airbench-64"]
    thin = Stages.of(facts, multiply_adds=(1_000_000, 50_000_000)).known(facts)["airbench-64"]
    assert [stage[0] for stage in whole[1]] == [64, 128, 128]
    assert [stage[0] for stage in thin[1]] == [48, 96, 96]
    assert [stage[1:] for stage in thin[1]] == [stage[1:] for stage in whole[1]]


def test_known_members_have_the_modern_recipe_where_the_space_has_it():
    facts = Facts("image", "accuracy", (3, 32, 32), 10, mirrored=True)
    assert ALL.known(facts)["airbench-32"][4] == (
        *("muon", 1.0, 5e-4, 0.2),
        *(0.8, 2, "alternate", 0.0, 0.25),
    )
    assert SPACE.known(facts)["airbench-32"][4][0] == "sgd"


def test_hand_made_members_see_smaller_images_where_enough_is_left_behind_the_stem():
    def resizes(edge):
        facts = Facts("image", "accuracy", (3, edge, edge), 10)
        found = Stages.of(facts).known(facts)
        return {name: found[name][4][RECIPE.index("resize")] for name in found}

    assert (resizes(32)["airbench-32"], resizes(32)["mbconv"]) == (0.8, 1.0)
    assert (resizes(64)["airbench-32"], resizes(64)["mbconv"]) == (0.8, 0.8)
    assert resizes(24)["airbench-32"] == 1.0
    assert resizes(64)["plain"] == 0.8


def test_members_fill_what_the_time_allows():
    facts = Facts("image", "accuracy", (3, 32, 32), 10)
    space = Stages.of(facts)
    bounded = Stages.of(facts, **space.sized(10_000_000))
    costs = [bounded.cost(arch).multiply_adds for arch in bounded.known(facts).values()]
    assert len(costs) >= 6
    assert all(5_000_000 <= cost <= 10_000_000 for cost in costs)


def test_wider_networks_have_the_same_genes_otherwise():
    facts = Facts("image", "accuracy", (3, 32, 32), 10)
    for member in SPACE.known(facts).values():
        wide = SPACE.widened(member, 2.0)
        assert [stage[0] for stage in wide[1]] == [2 * stage[0] for stage in member[1]]
        assert [stage[1:] for stage in wide[1]] == [stage[1:] for stage in member[1]]
        assert (wide[0], wide[2:]) == (member[0], member[2:])
        assert SPACE.widened(member, 1.0) == member
        assert SPACE.widened(member, 0.01)[1][0][0] == 8


def test_ones_own_network_comes_first():
    mine = arch((40, 1, "plain", 2, 3, 0, "none"), PLAIN)
    listed = [mine[0], [list(stage) for stage in mine[1]], *mine[2:4], list(mine[4])]
    facts = Facts("image", "accuracy", (3, 32, 32), 10)
    one = Stages.of(facts, known=listed).known(facts)
    assert next(iter(one.items())) == ("own", mine)
    two = Stages.of(facts, known=[listed, listed[:2] + ["mean"] + listed[3:]]).known(facts)
    assert list(two)[:2] == ["own-1", "own-2"]
    again = Stages.of(facts, known=Stages.of(facts).known(facts)["vgg"]).known(facts)
    assert "vgg" not in again  # it is there already, as one's own
    with pytest.raises(SettingError, match="width 41 is not of this space"):
        Stages.of(facts, known=[listed[0], [[41, *PLAIN[1:]], list(PLAIN)], *listed[2:]])


# ---- drawings ------------------------------------------------------------------------------------


def test_a_drawing_has_a_box_per_block_and_the_recipe_as_facts():
    drawing = ALL.drawing(arch((32, 2, "mbconv", 4, 5, 1, "stride"), PLAIN))
    labels = [node.label for node in drawing.nodes]
    assert labels[:4] == [
        "3x32x32",
        "conv3 16",
        "mbconv x4 k5 32 se stride",
        "mbconv x4 k5 32 se",
    ]
    assert labels[-2:] == ["max of every channel", "dense 10"]
    assert ("learning rate", "0.2") in drawing.facts
