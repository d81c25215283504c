"""The row AutoKeras 3 of the table of worth, in an environment of its own, which needs not evolvent.

    pip install autokeras==3.0.0 'keras<3.11' six torch       # in that environment
    PYTHON benchmarks/worth_autokeras.py ARRAYS.npz --seconds 300 --out FOLDER [--seed 0]

Later versions of Keras refuse the networks of AutoKeras 3.0.0, and a dependency needs `six`. Keras
runs on torch. `benchmarks.worth` writes the arrays (``x_train``, ``y_train``, ``x_val``, ``y_val``,
``x_test``, ``y_test``; images [N, H, W, C], labels 0 and up). AutoKeras has no clock, so it gets
one: its image classifier searches with its own defaults until about nine tenths of the seconds are
over, a training that runs then ends after its batch, is validated and takes part, and the best of
its trials by its own validation reads test. ``FOLDER/result.json`` gets what came out.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

BEGAN = time.monotonic()
os.environ.setdefault("KERAS_BACKEND", "torch")
LAST = 0.1  # of the seconds, for what follows the search
STARTS = 2.0  # times the start of Keras, for the same: it slows down with the machine
MOST = 1000  # trials


class TimeIsUp(BaseException):
    """No further trial may begin. Nothing that catches errors of a trial catches it."""


def searched(arrays, *, end, seed, folder):
    """Return a classifier of AutoKeras that has searched until about `end`."""
    import autokeras
    import keras

    end -= STARTS * (time.monotonic() - BEGAN)
    keras.utils.set_random_seed(seed)

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            if time.monotonic() > end:
                raise TimeIsUp

        def on_train_batch_end(self, batch, logs=None):
            if time.monotonic() > end:
                self.model.stop_training = True

    made = autokeras.ImageClassifier(
        max_trials=MOST, seed=seed, directory=str(folder), overwrite=True
    )
    try:
        made.fit(
            arrays["x_train"],
            arrays["y_train"],
            validation_data=(arrays["x_val"], arrays["y_val"]),
            callbacks=[Clock(), keras.callbacks.EarlyStopping(patience=10, min_delta=1e-4)],
            verbose=0,
        )
    except TimeIsUp:
        from autokeras import pipeline

        best = made.tuner.oracle.get_best_trials(1)[0].trial_id
        pipeline.load_pipeline(made.tuner._pipeline_path(best)).save(made.tuner.best_pipeline_path)
    return made


def main():
    parser = argparse.ArgumentParser(description="Search with AutoKeras for so many seconds.")
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with np.load(given.arrays) as file:
        arrays = {name: file[name] for name in file.files}
    given.out.mkdir(parents=True, exist_ok=True)
    end = BEGAN + (1 - LAST) * given.seconds
    made = searched(arrays, end=end, seed=given.seed, folder=given.out / "trials")
    told = made.predict(arrays["x_test"], verbose=0).astype(np.int64).ravel()
    wrong = np.flatnonzero(told != arrays["y_test"])
    trials = [each for each in made.tuner.oracle.trials.values() if each.status == "COMPLETED"]
    best = made.tuner.oracle.get_best_trials(1)[0]
    result = {
        "test": 1 - len(wrong) / len(told),
        "test_images": len(told),
        "wrong": wrong.tolist(),
        "agrees": True,
        "validation": best.metrics.get_best_value("val_accuracy"),
        "epochs": best.best_step + 1,
        "params": made.tuner.get_best_model().count_params(),
        "arch": best.hyperparameters.values,
        "known": {},
        "line": f"{len(trials)} trials",
    }
    (given.out / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
