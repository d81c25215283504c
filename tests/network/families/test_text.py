"""Networks for texts: padding and order mean nothing, naive Bayes, sparse steps, and the export."""

import dataclasses
import json
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from evolvent.deliver.export import export, load
from evolvent.network.build import Assembled, Size, build, plan
from evolvent.network.data import loader
from evolvent.network.fit import fit, scored, started, state_of
from evolvent.network.text_operations import HashedBag, MaskedConv1d, MaskedGRU, TokenWindow
from evolvent.network.train import Hyperparameters, Trainer
from evolvent.space.chain import Chain
from evolvent.space.plain import Plain
from evolvent.space.text import Text
from evolvent.space.text_members import MEMBERS, USUAL
from evolvent.task.frames import Frame
from evolvent.task.text import text_task

ADAM = Hyperparameters(optimizer="adamw", lr=1e-2, batch=16, warmup=0.0, label_smoothing=0.0)


def column(cells):
    found = np.empty(len(cells), object)
    found[:] = cells
    return found


def reviews(count=120, classes=("bad", "good"), seed=0):
    """Texts of very different lengths, some empty, whose class is told by a pair of words."""
    rng = random.Random(seed)
    texts = []
    for row in range(count):
        told = f"not {classes[row % len(classes)]}"
        others = [f"w{rng.randrange(40)}" for _ in range(rng.choice((0, 3, 9, 30)))]
        texts.append(" ".join([*others, told, *others[::-1]]) if row % 29 else "")
    labels = [classes[row % len(classes)] for row in range(count)]
    return Frame("data.csv", {"text": column(texts), "label": column(labels)})


def task(classes=("bad", "good"), **options):
    given: dict[str, Any] = {"tokens": "all", "length": 12} | options
    return text_task("data.csv", reviews(classes=classes), text="text", target="label", **given)


TASK = task()
SPACE = Text.of(TASK.facts)


def arch(**genes):
    return SPACE.normal(tuple((USUAL | {"orders": 2, "bits": 16} | genes).values()))


EVERY = {
    "bag": arch(),
    "fresh": arch(start="fresh", orders=1, counted="repeats"),
    "mean": arch(pool="mean"),
    "wide": arch(width=8, orders=3, pool="mean", rate=16.0),
    "kim": arch(orders=0, convolutions="3-4-5", filters=16),
    "top": arch(orders=0, convolutions="1-2-3", filters=16, top=4),
    "gru": arch(orders=0, gru=16),
    "all": arch(width=4, convolutions="2-3", filters=16, gru=16, thinning=0.5),
}
every = pytest.mark.parametrize("name", EVERY)


def net_of(name, seed=0):
    torch.manual_seed(seed)
    return Assembled(plan(SPACE, EVERY[name], TASK, Size()))


@every
def test_what_a_text_means_depends_on_itself_alone(name):
    net = build(SPACE, EVERY[name], TASK, Size(), seed=1)
    started(net, loader(TASK, TASK.train))
    net.eval()
    rows = TASK.train.x
    together = torch.from_numpy(rows[:])
    alone = [net(torch.from_numpy(rows[at : at + 1])) for at in range(len(rows))]
    order = torch.randperm(len(rows))
    with torch.no_grad():
        y = net(together)
        assert torch.allclose(y, torch.cat(alone), atol=1e-6)
        assert torch.allclose(y[order], net(together[order]), atol=1e-6)
        padded = torch.nn.functional.pad(together, (0, 9))
        assert torch.allclose(y, net(padded), atol=1e-6)
    assert y.shape == (len(rows), 2)


@every
def test_a_training_learns_and_is_the_same_again(name):
    hyper = dataclasses.replace(ADAM, batch=8)
    made = [fit(SPACE, EVERY[name], TASK, TASK.train, hyper=hyper, epochs=8) for _ in range(2)]
    for key, value in made[0].state.items():
        assert np.array_equal(value, made[1].state[key]), key
    assert scored(made[0].net, TASK, TASK.train)["accuracy"] > 0.75


def test_all_tokens_are_seen_and_pairs_by_their_order():
    bag = HashedBag(2, 2, 16)
    rows = bag.ngrams(torch.tensor([[5, 6, 7, 0], [7, 6, 5, 0], [5, 5, 5, 0]]))
    kept = [set(row.tolist()) - {bag.rows} for row in rows]
    assert len(kept[0] & kept[1]) == 3  # the words
    assert len(kept[0]) == len(kept[1]) == 5
    assert len(kept[2]) == 2
    every = HashedBag(2, 2, 16, repeats=True).ngrams(torch.tensor([[5, 5, 5, 0]]))
    assert (every != bag.rows).sum() == 5


def test_hashes_are_spread_over_the_table():
    bag = HashedBag(2, 3, 16)
    tokens = torch.randint(1, 2**31 - 1, (64, 512))
    rows = bag.ngrams(tokens).flatten()
    rows = rows[rows < bag.rows]
    expected = bag.rows * (1 - np.exp(-len(rows) / bag.rows))
    assert abs(len(rows.unique()) / expected - 1) < 0.02
    small = bag.ngrams(torch.arange(2, 20_002).reshape(40, 500)).flatten()  # as of a vocabulary
    assert len(small.unique()) > 0.9 * bag.rows * (1 - np.exp(-len(small) / bag.rows))


def test_the_ratios_are_those_of_naive_bayes():
    bag = HashedBag(2, 1, 16, bayes=True)
    texts = torch.tensor([[2, 3, 3], [2, 0, 0], [2, 4, 0], [4, 4, 5]])
    classes = torch.tensor([1, 1, 0, 0])
    bag.start([(texts[:2], classes[:2]), (texts[2:], classes[2:])])
    words = {token: int(bag.ngrams(torch.tensor([[token]]))) for token in (2, 3, 4, 5, 6)}
    within, beyond = {2: 2, 3: 1}, {2: 1, 4: 2, 5: 1}
    seen = 4  # different words
    for token, row in words.items():
        p = (within.get(token, 0) + 1) / (sum(within.values()) + seen)
        q = (beyond.get(token, 0) + 1) / (sum(beyond.values()) + seen)
        wanted = np.log(p / q) if token != 6 else 0.0
        assert float(bag.ratio[row]) == pytest.approx(wanted, abs=1e-5)
    assert bag.bias.item() == pytest.approx(0.0)
    assert (bag.eval()(texts).argmax(1) == classes).all()


def test_of_several_classes_each_has_its_column_of_ratios():
    made = task(classes=("bad", "good", "fine"))
    space = Text.of(made.facts)
    net = build(space, space.known(made.facts)["bayes-pairs"], made, Size())
    assert scored(net, made, made.validation)["accuracy"] < 0.5
    started(net, loader(made, made.train))
    assert scored(net, made, made.validation)["accuracy"] > 0.8
    (bag,) = [module for module in net.modules() if isinstance(module, HashedBag)]
    assert bag.ratio.shape[1] == 3


def test_logits_are_of_usual_size_however_long_texts_are():
    sizes = []
    for length in (4, 400):
        torch.manual_seed(0)
        classes = torch.arange(200) % 2
        texts = torch.randint(2, 50, (200, length)) + 20 * classes[:, None]
        bag = HashedBag(2, 1, 16, bayes=True)
        bag.start([(texts, classes)])
        y = bag.eval()(texts)
        sizes.append((y[:, 1] - y[:, 0]).square().mean().sqrt().item())
    assert all(1.5 < size < 2.5 for size in sizes), sizes


def test_inherited_weights_are_not_started_anew():
    before = fit(SPACE, EVERY["bag"], TASK, TASK.train, hyper=ADAM, epochs=1).state

    def begin(net, epochs):
        from evolvent.network.fit import Beginning
        from evolvent.network.fit import load as put

        put(net, before)
        return Beginning(1.0, 0.0)

    made = fit(SPACE, EVERY["bag"], TASK, TASK.train, hyper=ADAM, epochs=1, begin=begin)
    assert np.array_equal(made.state["bag_bayes.table.weight"], before["bag_bayes.table.weight"])


def test_a_training_that_is_interrupted_goes_on_the_same():
    data = loader(TASK, TASK.train)

    def begun():
        net = build(SPACE, EVERY["all"], TASK, Size(), seed=3)
        return net, Trainer(net, data, steps=8, hyper=ADAM, seed=4)

    whole, trainer = begun()
    torch.manual_seed(9)
    for _ in range(8):
        trainer.step()
    half, first = begun()
    torch.manual_seed(9)
    for _ in range(4):
        first.step()
    noise = torch.get_rng_state()
    stored = {name: value.copy() for name, value in first.state().items()}
    rest, second = begun()
    rest.load_state_dict(half.state_dict())
    second.restore(stored)
    torch.set_rng_state(noise)
    for _ in range(4):
        second.step()
    for (name, a), b in zip(whole.named_parameters(), rest.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_windows_keep_the_begin_and_the_end_of_every_text():
    window = TokenWindow(6, 50, fixed=True)
    long = torch.arange(2, 22)[None]
    short = torch.nn.functional.pad(torch.tensor([[2, 3, 99]]), (0, 17))
    assert window(long).tolist() == [[2, 3, 18, 19, 20, 21]]
    assert window(short).tolist() == [[2, 3, 1, 0, 0, 0]]
    both = window(torch.cat([long, short]))
    assert both.tolist() == window(long).tolist() + window(short).tolist()
    assert window(short[:, :3]).tolist() == window(short).tolist()
    assert TokenWindow(6, 50)(short[:, :3]).shape == (1, 3)


def test_masked_operations_read_nothing_of_padding():
    tokens = torch.tensor([[3, 4, 0, 0, 0]])
    vectors = torch.randn(1, 4, 5)
    for operation in (MaskedConv1d(4, 3, 3), MaskedConv1d(4, 3, 2, top=4), MaskedGRU(4, 3)):
        other = vectors.clone()
        other[:, :, 2:] += 10
        assert torch.equal(operation(vectors, tokens), operation(other, tokens))


@pytest.mark.parametrize("space", [Chain, Plain], ids=str)
def test_networks_of_a_fixed_number_of_words_read_a_window(space):
    made = space.of(TASK.facts) if hasattr(space, "of") else space()
    net = build(made, made.sample(random.Random(0)), TASK, Size()).eval()
    x = torch.from_numpy(TASK.train.x[:])
    assert x.shape[1] != TASK.input_shape[0]
    assert net(x).shape == (len(x), 2)
    fixed = task(tokens="words")
    calls = plan(made, made.sample(random.Random(0)), fixed, Size()).network.calls
    assert not any(each.op == "TokenWindow" for each in calls)


@pytest.mark.parametrize("name", ["bag", "all"])
def test_the_exported_network_predicts_the_same_from_a_raw_file(name, tmp_path):
    made = fit(SPACE, EVERY[name], TASK, TASK.train, hyper=ADAM, epochs=2)
    planned = plan(SPACE, EVERY[name], TASK, Size())
    export(tmp_path, plan=planned, state=state_of(made.net), task=TASK, title="t", provenance="p")
    source = (tmp_path / "model.py").read_text()
    assert "def start" not in source
    net, frame = load(tmp_path), reviews(60, seed=5)
    texts = [*frame.column("text"), "😀 wholly new words <b>", "好电影 not good"]
    file = tmp_path / "raw.csv"
    file.write_text("text\n" + "".join(f'"{text}"\n' for text in texts), encoding="utf-8")
    command = [sys.executable, str(tmp_path / "predict.py"), str(file), "--probabilities"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shares = np.array([line.split(",")[1:] for line in told.splitlines()[1:]], float)
    reading = json.loads((tmp_path / "reading.json").read_text())
    from evolvent.task.portable.tokens import read_texts

    with torch.no_grad():
        wanted = net(torch.from_numpy(read_texts(texts, reading)[:])).softmax(1).numpy()
    assert shares.shape == wanted.shape
    assert np.abs(shares - wanted).max() < 1e-5


def test_known_members_are_networks():
    for name, each in SPACE.known(TASK.facts).items():
        net = build(SPACE, each, TASK, Size()).eval()
        assert net(torch.from_numpy(TASK.train.x[:5])).shape == (5, 2), name
    assert set(SPACE.known(TASK.facts)) == set(MEMBERS)
