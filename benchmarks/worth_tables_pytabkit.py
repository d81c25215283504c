"""RealMLP and TabM of pytabkit with the defaults of their papers, on one fold of a table.

    PYTHON benchmarks/worth_tables_pytabkit.py realmlp|tabm classification|regression TRAIN TEST

Runs in an environment that has pytabkit, and needs nothing of evolvent. Prints one line of JSON.
"""

import json
import sys

import pandas as pd
from pytabkit import (
    RealMLP_TD_Classifier,
    RealMLP_TD_Regressor,
    TabM_D_Classifier,
    TabM_D_Regressor,
)
from sklearn.metrics import accuracy_score, r2_score

MODELS = {
    ("realmlp", "classification"): RealMLP_TD_Classifier,
    ("realmlp", "regression"): RealMLP_TD_Regressor,
    ("tabm", "classification"): TabM_D_Classifier,
    ("tabm", "regression"): TabM_D_Regressor,
}
TARGET = "target"


def filled(train: pd.DataFrame, test: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the inputs, numbers that are missing replaced by the median of the training rows."""
    numbers = train.drop(columns=TARGET).select_dtypes("number").median()
    return [part.drop(columns=TARGET).fillna(numbers) for part in (train, test)]


def main() -> None:
    name, kind, *files = sys.argv[1:]
    train, test = (pd.read_csv(file) for file in files)
    x, x_test = filled(train, test)
    for column in x.columns:
        if not pd.api.types.is_numeric_dtype(x[column]):
            values = pd.concat([x[column], x_test[column]]).astype(str).unique()
            x[column] = pd.Categorical(x[column].astype(str), categories=values)
            x_test[column] = pd.Categorical(x_test[column].astype(str), categories=values)
    model = MODELS[name, kind](device="cpu", random_state=0, n_threads=1, verbosity=0)
    model.fit(x, train[TARGET])
    measure = accuracy_score if kind == "classification" else r2_score
    print(json.dumps({"score": float(measure(test[TARGET], model.predict(x_test)))}))


if __name__ == "__main__":
    main()
