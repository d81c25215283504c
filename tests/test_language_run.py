"""A search on running text, from the file to predict.py."""

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import evolvent as ev
from evolvent.deliver.export import load


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    rng = np.random.default_rng(0)
    pairs = [("cat", "fish"), ("dog", "bone"), ("bird", "seed")]
    chosen = [pairs[at] for at in rng.integers(0, 3, 400)]
    lines = [f"the {subject} sees a {thing}" for subject, thing in chosen]
    text = folder / "story.txt"
    text.write_text("\n".join(lines) + "\n", "utf-8")
    ev.search(
        f"language:{text}",
        budget="2t",
        out=folder / "run",
        settings={
            "task": {"length": 10},
            "space": {"nodes": 2},
            "estimator": {"width": 16, "epochs": 2.0, "batch": 4, "lr": 0.02, "dropout": 0.0},
            "train": {"epochs": 8.0},
        },
    )
    return folder / "run", text, lines


def predict(run, *given):
    command = [sys.executable, "-I", str(run / "best" / "predict.py"), *map(str, given)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_card_has_perplexity_and_an_lstm_of_equal_size(searched):
    run, _, _ = searched
    card = json.loads((run / "best" / "card.json").read_text())
    assert card["metric"] == "neg-cross-entropy"
    told = card["test_metrics"]
    assert told["perplexity"] == pytest.approx(math.exp(-card["test_score"]))
    assert card["parity_max_abs_diff"] < 5e-5  # of logarithms down to -20, in float32
    assert abs(card["controls"]["plain"]["params"] / card["params"] - 1) < 0.1
    assert abs(card["controls"]["gru"]["params"] / card["params"] - 1) < 0.1
    ngrams = card["baselines"]["kneser-ney"]
    assert -0.5 < ngrams["test_score"] < -0.15  # of six tokens only the subject is open: ln 3 / 6
    page = (run / "best" / "card.md").read_text()
    assert "an LSTM of one layer" in page and f"{told['perplexity']:.2f}" in page
    assert "a GRU of one layer" in page and "Kneser-Ney smoothing" in page
    assert f"| {math.exp(-ngrams['test_score']):.1f} |" in page and "scikit-learn" not in page


def test_predict_scores_a_text_as_the_search_did_and_continues_one(searched, tmp_path):
    run, text, _ = searched
    card = json.loads((run / "best" / "card.json").read_text())
    words = [word for line in text.read_text().splitlines() for word in (*line.split(), "<eos>")]
    tail = words[len(words) - round(0.1 * len(words)) :]
    file = tmp_path / "test.txt"
    file.write_text(" ".join(tail).replace(" <eos> ", "\n").replace("<eos>", "\n"), "utf-8")
    told = predict(run, file)
    assert told.returncode == 0, told.stderr
    assert f"perplexity {card['test_metrics']['perplexity']:.2f}" in told.stdout
    more = predict(run, "--continue", "the cat", "--count", 2, "--temperature", 0)
    assert more.stdout.startswith("the cat sees a"), more.stdout + more.stderr


def test_predict_says_in_one_line_what_it_cannot_read(searched, tmp_path):
    run, _, _ = searched
    file = tmp_path / "bad.txt"
    file.write_bytes(b"\xff\xfe\x00")
    told = predict(run, file)
    assert told.returncode != 0 and told.stderr.count("\n") == 1 and "is no text" in told.stderr


def test_the_exported_network_goes_token_by_token(searched):
    run, _, _ = searched
    net: Any = load(run / "best")
    tokens = torch.randint(0, 5, (2, 6))
    with torch.no_grad():
        state, found = net.initial(2), []
        for each in tokens.unbind(1):
            logits, state = net.step(each, state)
            found.append(logits)
        torch.testing.assert_close(torch.stack(found, 1), net(tokens))
