"""Networks as ONNX, run by onnxruntime."""

import json
import os
import random
import warnings

import numpy as np
import pytest
import torch

from evolvent.deliver import export as exporting
from evolvent.deliver import onnx as onnx_export
from evolvent.deliver.export import export
from evolvent.deliver.onnx import Conversion, convert
from evolvent.errors import EvolventError
from evolvent.network.build import Assembled, Size, plan, weights
from evolvent.network.fit import fit, state_of
from evolvent.registry import make_space
from evolvent.space.plain import Plain
from evolvent.space.text import Text
from evolvent.space.text_members import USUAL
from evolvent.space.topology import Topology
from evolvent.task import data_of
from evolvent.task.control import load as world
from evolvent.task.frames import Frame
from evolvent.task.opening import open_task
from evolvent.task.text import text_task
from evolvent.testing.tasks import small_task

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
SIZE = Size(cells=1, width=4, stages=2)


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(onnx_export, "available", lambda: True)


@pytest.fixture(scope="module", autouse=True)
def unproved():
    """The proof of the source takes a process of its own, and is tested with the export."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "parity", lambda *arguments: 0.0)
        yield


def written(folder, space, arch, task, **options):
    """An exported folder of a network with random weights."""
    made = plan(space, arch, task, SIZE)
    torch.manual_seed(0)
    state = weights(space, arch) if "weighted" in space.gives else state_of(Assembled(made))
    told = {"title": "t", "provenance": "p"} | options
    return export(folder, plan=made, state=state, task=task, **told)


def quietly(folder):
    """Convert, without what the converter warns of its own code; returns the difference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(folder)


IMAGES: dict[str, dict] = {  # space -> settings
    "blueprint": {},
    "cell": {"operations": "nasnet", "nodes": 2, "combine": ("add", "concat")},
    "cell201": {},
    "chain": {},
    "layers": {"depths": (4,)},
    "graph": {},
    "filters": {},
    "plain": {},
    "stages": {},
}


@pytest.mark.parametrize("family", IMAGES)
def test_every_family_of_networks_agrees(family, toy, tmp_path):
    space, rng = make_space(family, toy.facts, IMAGES[family]), random.Random(3)
    arch = space.sample(rng)
    for _ in range(8):
        arch, _ = space.mutate(arch, rng)
    written(tmp_path, space, arch, toy)
    assert quietly(tmp_path) <= 1e-5
    assert sorted(file.name for file in tmp_path.glob("*onnx*")) == ["model.onnx"]
    model = onnx.load(tmp_path / "model.onnx")
    batch, *shape = model.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param  # any number of images
    assert tuple(each.dim_value for each in shape) == toy.input_shape


@pytest.mark.parametrize(
    ("kind", "cells", "told"),
    [
        ("classification", ["01", '"é,"'], {"classes": ["01", "é,"], "target": "y"}),
        ("regression", ["1", "2"], {"target": "y", "target_mean": 1.5, "target_unit": 0.5}),
    ],
)
def test_the_metadata_name_the_outputs(tmp_path, kind, cells, told):
    file = tmp_path / "data.csv"
    rows = [f"{i % 5},{cells[i % 2]}" for i in range(40)]
    file.write_text("\n".join(["a,y", *rows]), "utf-8")
    task = open_task(str(file), {"target": "y", "kind": kind})
    space = make_space("chain", task.facts, {})
    written(tmp_path / "net", space, space.sample(random.Random(0)), task)
    quietly(tmp_path / "net")
    props = onnx.load(tmp_path / "net" / "model.onnx").metadata_props
    found = {each.key: json.loads(each.value) for each in props}
    assert found.keys() == told.keys()
    for name, value in told.items():
        assert found[name] == (pytest.approx(value, abs=0.1) if "target_" in name else value)


@pytest.mark.parametrize("name", ["xor", "double-pole-no-velocity"])
def test_evolved_networks_agree(name, tmp_path):
    task = world(name)
    space, rng = Topology.of(task.facts), random.Random(0)
    arch = space.sample(rng)
    for _ in range(20):
        arch, _ = space.mutate(arch, rng)
    written(tmp_path, space, arch, task)
    assert quietly(tmp_path) <= 1e-5


def test_known_members_for_series_agree(tmp_path):
    task = small_task("series")
    space = make_space("series", task.facts, {})
    for name, arch in [*space.known(task.facts).items()][:3]:
        written(tmp_path / name, space, arch, task)
        assert quietly(tmp_path / name) <= 1e-5


def test_polynomials_agree_and_keep_nothing_of_their_training(tmp_path):
    task = small_task("numbers")
    space = make_space("polynomial", task.facts, {})
    arch = space.sample(random.Random(3))
    made = fit(space, arch, task, task.train)
    export(
        tmp_path,
        plan=plan(space, arch, task, SIZE),
        state=state_of(made.net),
        task=task,
        title="t",
        provenance="p",
    )
    assert quietly(tmp_path) <= 1e-4
    source = (tmp_path / "model.py").read_text(encoding="utf-8")
    assert "lstsq" not in source and "closed_form" not in source


@pytest.mark.parametrize("name", ["recurrent", "rnn-tree"])
def test_a_language_model_has_a_note_in_its_place(tmp_path, name):
    task = small_task("language")
    space = make_space(name, task.facts, {})
    arch = next(iter(space.known(task.facts).values()))
    proof = written(tmp_path, space, arch, task, onnx=True)
    assert (proof["onnx_max_abs_diff"], proof["onnx_note"]) == (None, exporting.CARRIES)
    assert not (tmp_path / "model.onnx").exists()


def test_every_family_is_tested():
    from evolvent.network.build import FAMILIES

    elsewhere = {"topology", "text", "tabular", "polynomial", "series", "recurrent", "rnn_tree"}
    assert set(FAMILIES) <= {*IMAGES, *elsewhere}


@pytest.mark.parametrize("width", [1, 4])
def test_networks_for_texts_of_any_length_agree(width, tmp_path):
    texts = [f"{'very ' * (row % 9)}{'good' if row % 2 else 'bad'} w{row % 7}" for row in range(80)]
    table = {"text": np.array(texts, object), "label": np.array(["b", "g"] * 40, object)}
    task = text_task("d", Frame("d", table), text="text", target="label", tokens="all", length=12)
    space = Text.of(task.facts)
    genes = {
        "orders": 2,
        "bits": 16,
        "width": width,
        "convolutions": "2-3",
        "filters": 16,
        "gru": 16,
    }
    arch = space.normal(tuple((USUAL | genes).values()))
    written(tmp_path, space, arch, task)
    assert quietly(tmp_path) <= 1e-5


# ---- beside the export ---------------------------------------------------------------------------


def test_the_export_writes_it_and_the_card_says_how_far_it_is(installed, toy, tmp_path):
    proof = written(tmp_path, Plain(), (4,), toy, onnx=True)
    assert proof["onnx_note"] == ""
    assert 0 <= proof["onnx_max_abs_diff"] <= 1e-4
    names = {file.name for file in tmp_path.iterdir()}  # nothing else is left there
    assert names == {
        "model.py",
        "weights.safetensors",
        "reading.json",
        "predict.py",
        "model.onnx",
    }


def test_without_the_packages_there_is_a_note(toy, tmp_path):
    proof = written(tmp_path, Plain(), (4,), toy, onnx=True)
    assert proof["onnx_max_abs_diff"] is None
    assert proof["onnx_note"] == "not written: it needs pip install 'evolvent[onnx]'"


def test_without_time_it_is_not_begun(installed, toy, tmp_path):
    proof = written(tmp_path, Plain(), (4,), toy, onnx=True, patience=9.9)
    assert proof["onnx_note"] == "not written: the budget leaves no time for it"


def stand_in(folder, code, monkeypatch):
    """A converter that does something else."""
    file = folder / "converter.py"
    file.write_text(code)
    monkeypatch.setattr(onnx_export, "__file__", str(file))
    return folder


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ValueError('no such\\n operation')", "not written: ValueError: no such"),
        ("import os; os.kill(os.getpid(), 9)", "not written: it ended without a word"),
        ("import sys; sys.exit('strange')", "not written: strange"),
    ],
)
def test_whatever_goes_wrong_is_a_note(installed, tmp_path, monkeypatch, code, words):
    told = Conversion(stand_in(tmp_path, code, monkeypatch)).result()
    assert told == {"onnx_max_abs_diff": None, "onnx_note": words}


def test_what_takes_too_long_is_ended(installed, tmp_path, monkeypatch):
    code = (
        "import pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1], '.model.onnx.part').touch()\n"
        "time.sleep(600)"
    )
    monkeypatch.setattr(onnx_export, "LEAST_SECONDS", 0.0)
    conversion = Conversion(stand_in(tmp_path, code, monkeypatch), 2.0)
    assert conversion.process is not None
    assert "no more time" in conversion.result()["onnx_note"]
    with pytest.raises(ProcessLookupError):
        os.kill(conversion.process.pid, 0)
    assert not list(tmp_path.glob(".*.part"))


def test_a_proof_that_fails_ends_the_conversion(installed, toy, tmp_path, monkeypatch):
    started = []

    class Noted(Conversion):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            assert self.process is not None
            started.append(self.process)

    def refuse(*arguments):
        raise EvolventError("it differs")

    stand_in(tmp_path, "import time; time.sleep(600)", monkeypatch)
    monkeypatch.setattr(exporting, "Conversion", Noted)
    monkeypatch.setattr(exporting, "parity", refuse)
    with pytest.raises(EvolventError, match="it differs"):
        written(tmp_path / "net", Plain(), (4,), toy, onnx=True)
    assert started[0].returncode is not None


def test_a_network_that_disagrees_is_not_kept(toy, tmp_path, monkeypatch):
    written(tmp_path, Plain(), (4,), toy)
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="differs by"):
        quietly(tmp_path)
    assert not list(tmp_path.glob("*onnx*"))


def test_tokens_are_whole_numbers_below_the_vocabulary():
    described = {"shape": [9], "type": "int64", "below": 5}
    x = onnx_export._example(described, 7)
    assert x.shape == (7, 9)
    assert x.dtype == torch.int64
    assert set(x.flatten().tolist()) == set(range(5))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A table of numbers with a class, and one of texts."""
    folder = tmp_path_factory.mktemp("tables")
    rows = [f"{n % 7},{n % 5 - n},{'ab'[n % 2]},{n % 3}" for n in range(40)]
    (folder / "numbers.csv").write_text("\n".join(["a,b,c,y", *rows]) + "\n")
    films = [f"{'good' if n % 2 else 'bad'} film {n % 7},{n % 2}" for n in range(40)]
    (folder / "texts.csv").write_text("\n".join(["text,y", *films]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"target": "y", "kind": "classification"}, ("dense", "norm")),
        ({"target": "b", "kind": "regression"}, ("dense",)),
        ({"target": "y", "text": "text"}, ("embedding", "conv1d")),
    ],
)
def test_networks_of_tables_agree(tables, settings, wanted, tmp_path):
    file = tables / ("texts.csv" if "text" in settings else "numbers.csv")
    task = data_of(open_task(str(file), settings))
    space, rng = make_space("chain", task.facts, {"units": (8, 16)}), random.Random(1)
    arch = space.sample(rng)
    for _ in range(60):
        if all(word in json.dumps(arch) for word in wanted):
            break
        arch, _ = space.mutate(arch, rng)
    assert all(word in json.dumps(arch) for word in wanted)
    written(tmp_path, space, arch, task)
    assert quietly(tmp_path) <= 1e-5
