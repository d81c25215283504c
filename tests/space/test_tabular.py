"""The space of dense networks for tables: what is valid, what has no effect, moves, known members."""

import random

import pytest

from evolvent.errors import InvalidArchitecture, SettingError
from evolvent.space import sample_decisions
from evolvent.space.tabular import GENES, LRS, UNORDERED, Tabular, batches_of
from evolvent.space.tabular_members import GOOD, MEMBERS
from evolvent.types import Facts

COLUMNS = (("number", 3), ("flag", 1), ("category", 12), ("number", 1), ("category", 4))
MIXED = Tabular((21,), 3, COLUMNS)


def arch(space=MIXED, **genes):
    return space.normal(tuple((GOOD | genes).values()))


def samples(space, count, seed=0):
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


# ---- what is valid, and what has no effect -------------------------------------------------------


def test_a_good_network_has_a_value_for_every_gene():
    assert tuple(GOOD) == tuple(GENES)
    assert all(value in GENES[name] for name, value in GOOD.items())
    assert all(set(genes) <= set(GENES) for genes in MEMBERS.values())


@pytest.mark.parametrize(
    ("genes", "without_effect"),
    [
        ({"embedding": "none"}, {"embedding_width", "embedding_size", "sigma"}),
        ({"embedding": "piecewise"}, {"sigma"}),
        ({"embedding": "periodic"}, set()),
        ({"embedding": "periodic", "depth": 1}, {"residual"}),
        (
            {"embedding": "periodic", "depth": 0},
            {"residual", "width", "activation", "norm", "dropout", "members"},
        ),
    ],
)
def test_genes_without_an_effect_have_their_first_value(genes, without_effect):
    last = {name: values[-1] for name, values in GENES.items()} | genes
    made = MIXED.genes(MIXED.normal(tuple(last.values())))
    changed = {name for name in GENES if made[name] != last[name]}
    assert changed == without_effect
    assert all(made[name] == MIXED.values[name][0] for name in changed)


def test_what_the_columns_have_not_has_no_effect():
    last = tuple(values[-1] for values in GENES.values())
    flags = Tabular((4,), 1, (("flag", 4),))
    made = flags.genes(flags.normal(last))
    assert (made["scaling"], made["embedding"], made["category_width"]) == ("standard", "none", 0)
    assert made["label_smoothing"] == 0.0, "a quantity has no classes to spread over"
    narrow = Tabular((4,), 3, (("category", 4),))
    assert narrow.genes(narrow.normal(last))["category_width"] == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((1, 2), "is not \\(scaling, embedding"),
        (7, "is not \\(scaling"),
        (arch()[:7] + (9,) + arch()[8:], "depth 9 is not of this space: 0, 1, 2, 3, 4"),
        (("log", *arch()[1:]), "scaling 'log' is not of this space: standard, robust, quantile"),
    ],
)
def test_what_is_not_of_the_space_is_refused_by_its_gene(wrong, message):
    with pytest.raises(InvalidArchitecture, match=message):
        MIXED.checked(wrong)


def test_what_is_too_costly_is_refused():
    with pytest.raises(InvalidArchitecture, match="multiply-adds, at most 9,000: lower a width"):
        Tabular((21,), 3, COLUMNS, multiply_adds=9_000).checked(arch(width=512))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_shape": (3, 4)}, "tabular is for \\(F,\\)"),
        ({"columns": (("number", 3),)}, "must add up to the 8 inputs"),
        ({"scalings": ("log",)}, "scalings=.*some of standard"),
        ({"embeddings": ()}, "embeddings=\\(\\)"),
        ({"members": (2,)}, "members=.*some of 1, 4, 8, 16"),
        ({"widths": (17, 20)}, "widths=.*some of 16, 32"),
        ({"depths": (5, 7)}, "depths="),
        ({"optimizers": ("sgd",)}, "optimizers=.*some of adamw, muon"),
        ({"multiply_adds": 10}, "not even the smallest network keeps the limit, it has 24"),
        ({"known": (["robust"],)}, "space.known: one architecture"),
    ],
)
def test_settings_outside_their_rules_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        Tabular(**settings)


def test_batches_leave_some_steps_of_an_epoch():
    assert batches_of(0) == GENES["batch"]
    assert batches_of(40) == (32,)
    assert batches_of(1_100) == (32, 64, 128)
    assert Tabular.of(Facts("numbers", "r2", (5,), 1, counts={"train": 600})).values["batch"] == (
        32,
        64,
    )


# ---- samples, moves, decisions -------------------------------------------------------------------


def test_samples_and_moves_keep_the_limit_and_the_normal_form():
    tight = Tabular((21,), 3, COLUMNS, multiply_adds=6_000)
    rng = random.Random(1)
    for each in samples(tight, 60):
        assert tight.checked(each) == each
        moved = tight.mutate(each, rng)
        assert tight.checked(moved.arch) == moved.arch
        assert moved.operator in GENES


def test_a_move_goes_to_a_value_beside_it():
    rng = random.Random(2)
    for before in samples(MIXED, 200):
        after = MIXED.mutate(before, rng)
        name = after.operator
        one, other = (
            MIXED.values[name].index(MIXED.genes(each)[name]) for each in (before, after.arch)
        )
        assert one != other
        assert name in UNORDERED or abs(one - other) == 1


def test_a_child_takes_every_gene_from_either_parent():
    rng = random.Random(3)
    for first, second in zip(samples(MIXED, 50), samples(MIXED, 50, 1), strict=True):
        child = MIXED.genes(MIXED.crossover(first, second, rng).arch)
        for name, value in child.items():
            pair = (MIXED.genes(first)[name], MIXED.genes(second)[name])
            assert value in (*pair, MIXED.values[name][0])


def test_decisions_offer_only_what_keeps_the_limit():
    rng = random.Random(4)
    wide = (("number", 3), ("category", 600))
    for limit in (6_100, 30_000, 100_000):  # one input for each value is too much for the first
        tight = Tabular((603,), 10, wide, multiply_adds=limit)
        for _ in range(60):
            made = tight.decode(sample_decisions(tight, rng))
            assert tight.checked(made) == made


def test_the_cheapest_of_many_inputs_and_outputs_has_a_narrow_layer():
    many = Tabular((400,), 100, multiply_adds=20_000)  # a linear model would have 40,000
    rng = random.Random(5)
    assert all(many.genes(each)["depth"] > 0 for each in samples(many, 20))
    assert many.checked(many.decode(sample_decisions(many, rng)))


# ---- the training and the known members ----------------------------------------------------------


def test_a_training_is_told_the_genes_of_the_recipe():
    recipe = {"weight_decay": 1e-3, "batch": 256, "average": 0.5, "most_epochs": 40}
    made = arch(optimizer="muon", rate=0.5, **recipe)
    assert MIXED.training(made) == {
        "optimizer": "muon",
        "lr": LRS["muon"] / 2,
        "label_smoothing": GOOD["label_smoothing"],
        **recipe,
    }


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(
    "columns", [(), COLUMNS, (("flag", 21),)], ids=["numbers", "mixed", "flags"]
)
def test_known_members_suit_any_table(columns, outputs):
    facts = Facts("numbers", "r2", (21,), outputs, columns=columns, counts={"train": 300})
    space = Tabular.of(facts)
    found = space.known(facts)
    assert list(found) == [name for name in MEMBERS if name in found]
    assert {"tabm", "linear"} <= set(found)
    assert all(space.checked(each) == each for each in found.values())


def test_a_known_member_that_is_too_costly_is_made_narrower():
    facts = Facts("numbers", "r2", (21,), 3)
    thin = Tabular.of(facts, multiply_adds=20_000)
    found = thin.genes(thin.known(facts)["realmlp"])
    assert (found["depth"], found["width"]) == (3, 64)
    assert thin.cost(thin.known(facts)["realmlp"]) <= 20_000


def test_ones_own_network_comes_first():
    facts = Facts("numbers", "r2", (21,), 3, columns=COLUMNS)
    found = Tabular.of(facts, known=list(arch(width=96))).known(facts)
    assert next(iter(found.items())) == ("own", arch(width=96))


def test_a_drawing_says_the_genes():
    drawing = MIXED.drawing(arch(embedding="periodic", scaled=1, residual=1, norm="batch"))
    labels = [node.label for node in drawing.nodes]
    assert labels == [
        "21 inputs",
        "robust scaling",
        "periodic 16 to 4 sigma 0.1",
        "categories to 8",
        "learnt factors",
        "dense 128 selu batch norm",
        "dense 128 selu batch norm + input",
        "dense 3",
    ]
    assert ("learning rate", "0.02") in drawing.facts
