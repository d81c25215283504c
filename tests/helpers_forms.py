"""The same small table in every form that users have."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
TEXT = ("csv", "tsv", "txt", "jsonl", "json", "arff")
TYPED = ("parquet", "feather", "xlsx")
#: name of a form -> the suffix of its file
FORMS = {form: f".{form}" for form in (*TEXT, *TYPED)}
FORMS |= {f"csv.{packing}": f".csv.{packing}" for packing in (*PACKED, "zip")}
#: further names of the same forms, and forms that are packed otherwise -> the form, its packing
ALIKE = {
    **{"tab": ("tsv", ""), "psv": ("psv", ""), "dat": ("txt", ""), "data": ("csv", "")},
    **{"ndjson": ("jsonl", ""), "jsonl.gz": ("jsonl", "gz"), "json.zip": ("json", "zip")},
    **{
        "arff.xz": ("arff", "xz"),
        "parquet.bz2": ("parquet", "bz2"),
        "feather.gz": ("feather", "gz"),
    },
    "xlsx.zip": ("xlsx", "zip"),
}
NEEDS = {
    "parquet": ("pyarrow",),
    "feather": ("pyarrow",),
    "xlsx": ("python_calamine", "openpyxl"),
}
ROWS = 90


def frame() -> pd.DataFrame:
    """Numbers, words with other letters, whole numbers; the class follows from the first."""
    rng = np.random.default_rng(0)
    size = rng.normal(size=ROWS).round(3)
    return pd.DataFrame(
        {
            "size": size,
            "colour": rng.choice(["red", "grün", "blue sky"], ROWS),
            "count": rng.integers(0, 50, ROWS),
            "kind": np.where(size > 0, "yes", "no"),
        }
    )


def content(form: str, data: pd.DataFrame) -> bytes:
    """The file of a form, of a table without the column of row numbers."""
    csv = data.to_csv(index=False)
    if form.startswith("csv."):
        packing = form.removeprefix("csv.")
        return zipped({"data.csv": csv}) if packing == "zip" else PACKED[packing](csv.encode())
    made = io.BytesIO()
    if form == "parquet":
        data.to_parquet(made, index=False)
    elif form == "feather":
        data.to_feather(made)
    elif form == "xlsx":
        data.to_excel(made, index=False, engine="openpyxl")
    elif form == "arff":
        made.write(arff(data).encode())
    else:
        text = {
            "csv": csv,
            "tsv": data.to_csv(index=False, sep="\t"),
            "psv": data.to_csv(index=False, sep="|"),
            "txt": data.to_csv(index=False, sep=" "),
            "jsonl": data.to_json(orient="records", lines=True, force_ascii=False),
            "json": data.to_json(orient="records"),
        }[form]
        made.write(text.encode())
    return made.getvalue()


def arff(data: pd.DataFrame) -> str:
    """A table in Weka's form."""
    lines = ["% a comment", "@RELATION things", ""]
    for name in data:
        kind = "numeric" if data[name].dtype.kind in "if" else "string"
        lines.append(f"@attribute '{name}' {kind}")
    rows = data.itertuples(index=False)
    cells = [[f"'{each}'" if isinstance(each, str) else str(each) for each in row] for row in rows]
    return "\n".join([*lines, "@DATA", *map(",".join, cells)]) + "\n"


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """A zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def file_of(folder: Path, form: str, data: pd.DataFrame | None = None) -> Path:
    """A file of a form; skips the test where what it needs is not installed."""
    for module in NEEDS.get(form, ()):
        pytest.importorskip(module)
    file = folder / f"data{FORMS[form]}"
    file.write_bytes(content(form, frame() if data is None else data))
    return file


def alike(folder: Path, name: str) -> Path:
    """A file of the name of `ALIKE`; skips the test where what it needs is not installed."""
    form, packing = ALIKE[name]
    for module in NEEDS.get(form, ()):
        pytest.importorskip(module)
    data = content(form, frame())
    file = folder / f"data.{name}"
    inside = f"data.{name.removesuffix('.zip')}"
    packed = {"zip": lambda: zipped({inside: data}), "": lambda: data}
    file.write_bytes(packed[packing]() if packing in packed else PACKED[packing](data))
    return file


def in_memory(kind: str) -> Any:
    """The same table in memory."""
    data = frame()
    if kind == "polars":
        return pytest.importorskip("polars").DataFrame(data.to_dict("list"))
    if kind == "pyarrow":
        return pytest.importorskip("pyarrow").Table.from_pandas(data)
    return dict(data.items()) if kind == "mapping" else data
