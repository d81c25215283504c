"""The precision that is faster: what is measured, and what decides."""

import itertools

import pytest

from evolvent.errors import SettingError
from evolvent.network import precision
from evolvent.network.build import Size
from evolvent.network.data import Resident
from evolvent.network.precision import STEPS, WORDS, faster_precision
from evolvent.network.train import Hyperparameters, Trainer
from evolvent.space.plain import Plain

HYPER = Hyperparameters(batch=16, lr=0.05, precision="auto")


def found(toy, monkeypatch, paces):
    """The word that is found where a step in each precision takes so long."""
    passed, steps = [0.0], []

    def step(self):
        steps.append(self.hyper.precision)
        first = steps.count(self.hyper.precision) == 1
        passed[0] += 100.0 if first else paces[self.hyper.precision]

    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(precision, "_clock", lambda device: lambda: passed[0])
    word = faster_precision(Plain(), (4,), toy, size=Size(stages=2), hyper=HYPER)
    assert steps == list(itertools.chain(*[WORDS] * STEPS)), "in turn"
    return word


@pytest.mark.parametrize(
    ("low", "word"), [(0.5, "bfloat16"), (0.85, "bfloat16"), (0.95, "float32"), (2.0, "float32")]
)
def test_bfloat16_has_to_be_a_tenth_faster(toy, monkeypatch, low, word):
    assert found(toy, monkeypatch, {"float32": 1.0, "bfloat16": low}) == word


def test_both_are_really_trained_in(toy):
    hyper = Hyperparameters(batch=16, lr=0.05, resize=0.5)
    word = faster_precision(Plain(), (4,), toy, size=Size(stages=2), hyper=hyper)
    assert word in WORDS


def test_a_training_does_not_guess(toy):
    net = None
    with pytest.raises(SettingError, match="precision='auto' stands for the faster one"):
        Trainer(net, Resident(toy, toy.train), steps=1, hyper=HYPER, seed=0)  # type: ignore[arg-type]
