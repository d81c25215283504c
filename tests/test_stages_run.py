"""A search in equal seconds, from known members to the card."""

import pytest

import evolvent as ev


def searched(folder, budget, space=None, **train):
    settings = {
        "space": space or {},
        "estimator": {"epochs": 0.5, "batch": 256},
        "train": {"epochs": 4.0, "proof": False} | train,
    }
    return ev.search(
        "digits", recipe="stages", budget=budget, workers=0, out=folder / "run", settings=settings
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("stages"), "14t")


def test_it_begins_with_every_known_member(run):
    first = [result.candidate for result in run.results() if result.candidate.operator != "promote"]
    known = run.setup.space.known(run.setup.facts)
    assert [each.arch for each in first[: len(known)]] == list(known.values())
    assert all(each.operator.startswith("known ") for each in first[: len(known)])


def test_the_best_known_member_competes_with_the_finalists(run):
    card = run.card
    results = {result.candidate.id: result for result in run.results()}
    known = set(run.setup.space.known(run.setup.facts).values())
    finalists = [results[int(id)].candidate.arch for id in card["finalists"]]
    assert len(finalists) in (2, 3)
    assert known & set(finalists)
    assert card["known"] in run.setup.space.known(run.setup.facts)


def test_the_card_compares_what_was_trained_equally_long(run):
    card = run.card
    assert {"plain", "usual", "briefly"} <= card["controls"].keys()
    assert ("known" in card["controls"]) is not card["known_is_the_winner"]
    plain, usual = card["controls"]["plain"], card["controls"]["usual"]
    assert plain["params"] == usual["params"]
    text = (run.folder / "best" / "card.md").read_text()
    assert "hand-made network that" in text
    assert "by the usual training instead of the winner's" in text


@pytest.fixture(scope="module")
def widened(tmp_path_factory):
    small = {"multiply_adds": [100_000, 400_000]}
    return searched(tmp_path_factory.mktemp("widened"), "12t", small, widen=2.0)


def test_the_winner_is_delivered_wider_and_compared_while_thin(widened):
    card = widened.card
    result = next(r for r in widened.results() if r.candidate.id == card["candidate"])
    assert card["size"]["widen"] == 2.0
    assert card["params"] > 2 * result.params
    assert {"plain", "usual", "briefly"} <= card["controls"].keys()
    assert card["controls"]["briefly"]["params"] == result.params
    plain = card["controls"]["plain"]["params"]
    assert abs(plain - result.params) < 0.3 * result.params, "as thin as the candidates"
    assert card["parity_max_abs_diff"] is None
    text = (widened.folder / "best" / "card.md").read_text()
    assert "2 times as wide as the candidates of the search" in text
    assert "the winner while it was thin, trained as long as the controls" in text
    assert card["train_epochs"] == pytest.approx(4.0, abs=0.2)
