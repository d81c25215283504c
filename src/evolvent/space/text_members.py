"""The known members of the space `text`: networks for texts made by hand."""

from __future__ import annotations

from typing import Any

#: genes of every member that it does not say itself
USUAL: dict[str, Any] = {
    "orders": 0,
    "bits": 20,
    "counted": "set",
    "width": 1,
    "pool": "sum",
    "start": "bayes",
    "thinning": 0.0,
    "convolutions": "none",
    "filters": 64,
    "top": 1,
    "gru": 0,
    "dimension": 32,
    "window": 256,
    "dropout": 0.5,
    "rate": 1.0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "schedule": "cosine",
    "longest": 3.0,
}
#: name -> the genes in which it differs: the bag of words and pairs of Wang & Manning 2012, here learnt
#: on; the bag of words of logistic regression; the mean of vectors of Joulin et al. 2016 (1607.01759);
#: the convolutions of Kim 2014 (1408.5882)
MEMBERS: dict[str, dict[str, Any]] = {
    "bayes-pairs": {"orders": 2, "rate": 4.0},
    "bayes-triples": {"orders": 3, "rate": 4.0},
    "fasttext": {
        "orders": 2,
        "counted": "repeats",
        "width": 16,
        "pool": "mean",
        "start": "fresh",
        "rate": 4.0,
        "dropout": 0.0,
        "longest": 5.0,
    },
    "bag-of-words": {"orders": 1, "bits": 18, "start": "fresh", "rate": 4.0, "longest": 5.0},
    "bayes-pairs-convolutions": {
        "orders": 2,
        "rate": 2.0,
        "convolutions": "3-4-5",
        "thinning": 0.5,
    },
    "kim": {"convolutions": "3-4-5", "longest": 8.0},
}
