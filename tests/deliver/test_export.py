"""The exported network: plain PyTorch that gives the same outputs without evolvent."""

import ast
import dataclasses
import inspect
import json
import random
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from evolvent.deliver import export as exporting
from evolvent.deliver.export import CHECK, export, load, source
from evolvent.errors import EvolventError
from evolvent.execute import warm
from evolvent.network.build import Assembled, Size, plan
from evolvent.network.data import Resident
from evolvent.network.fit import state_of
from evolvent.network.operations import MODULES
from evolvent.network.plan import Block, Call, Plan, Value, call
from evolvent.network.tables import TABLES
from evolvent.space import Space
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201, parse
from evolvent.space.plain import Plain

SPACES: dict[str, Space] = {
    "nasnet": Cell(operations="nasnet", nodes=5, combine=("add", "concat"), output="loose"),
    "amoebanet": Cell(operations="amoebanet", nodes=5, output="loose"),
    "darts": Cell(operations="darts", nodes=4, distinct=True),
    "enas": Cell(operations="enas", nodes=5, output="loose", zero=False),
    "plain-cells": Cell(operations="plain", nodes=3, output="loose"),
    "gdas-frc": Cell(operations="darts", nodes=4, distinct=True, reduction="fixed"),
    "cell201": Cell201(),
    "plain": Plain(largest=6),
}
SIZE = Size(cells=1, width=4, stages=2)


def networks(task, per_space=3):
    """(name, plan, state) of random networks of every space, as they are after some steps."""
    for name, space in SPACES.items():
        rng = random.Random(name)
        for number in range(per_space):
            made = plan(space, space.sample(rng), task, SIZE)
            yield f"{name}{number}", made, state_of(used(Assembled(made), task))


def used(net, task):
    """The network after its norms have seen some data, as after a training."""
    with torch.no_grad():
        for x, _ in Resident(task, task.train).in_order(32):
            net.train()(x)
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return net.eval()


def text(task, made, title="a title", provenance="made by a test"):
    return source(made, task, title=title, provenance=provenance)


def module(code):
    """What a source defines."""
    found = {"__file__": "model.py"}
    exec(compile(code, "model.py", "exec"), found)
    return found


@pytest.fixture(scope="module")
def made(toy):
    torch.manual_seed(0)
    return list(networks(toy))


@pytest.fixture(scope="module")
def one(toy, made):
    """The plan and the weights of one network."""
    return made[0][1:]


# ---- the same outputs ----------------------------------------------------------------------------


def test_every_network_agrees_in_an_interpreter_that_cannot_import_evolvent(toy, made, tmp_path):
    x, pairs = Resident(toy, toy.validation).batch(slice(0, 9))[0].contiguous(), []
    for name, planned, state in made:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.py").write_text(text(toy, planned), encoding="utf-8")
        save_file(state, folder / "weights.safetensors")
        net = Assembled(planned)
        net.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
        with torch.no_grad():
            save_file({"x": x.numpy(), "y": net.eval()(x).numpy()}, folder / "inputs")
        pairs += [str(folder), str(folder / "inputs")]
    run = "for pair in zip(sys.argv[1::2], sys.argv[2::2]): print(main(*pair))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{CHECK}\n{run}", *pairs],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    differences = [float(line) for line in done.stdout.split()]
    assert len(differences) == len(made)
    assert max(differences) <= 1e-5


def test_the_check_refuses_evolvent_and_safetensors():
    head = CHECK.partition("import torch")[0]
    for name in ("evolvent", "evolvent.network", "safetensors.torch"):
        done = subprocess.run(
            [sys.executable, "-c", f"{head}\nimport {name}"], capture_output=True, text=True
        )
        assert f"{name.partition('.')[0]} must not be needed" in done.stderr
        with pytest.raises(warm.Failed, match="must not be needed"):
            warm.alone(f"{head}\ndef main():\n    import {name}", ())


def test_export_proves_what_it_writes(toy, one, tmp_path):
    planned, state = one
    folder = tmp_path / "deep" / "folder"
    proof = export(folder, plan=planned, state=state, task=toy, title="t", provenance="p")
    assert list(proof) == ["parity_max_abs_diff"]
    assert 0 <= proof["parity_max_abs_diff"] <= 1e-5
    files = ["model.py", "predict.py", "reading.json", "weights.safetensors"]
    assert sorted(each.name for each in folder.iterdir()) == files
    net = load(folder)
    assert not net.training
    x = Resident(toy, toy.validation).batch(slice(0, 9))[0]
    expected = Assembled(planned)
    expected.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    with torch.no_grad():
        assert torch.allclose(net(x), expected.eval()(x), atol=1e-5)


def test_without_a_proof_nothing_is_run(toy, one, tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.run", None)
    options = {"plan": one[0], "state": one[1], "task": toy, "title": "t", "provenance": "p"}
    assert export(tmp_path, **options, proof=False) == {"parity_max_abs_diff": None}


def test_what_travels_says_how_images_are_read(toy, one, tmp_path):
    options = {"plan": one[0], "state": one[1], "task": toy, "title": "t", "provenance": "p"}
    export(tmp_path, **options, proof=False)
    reading = json.loads((tmp_path / "reading.json").read_text())
    assert reading["kind"] == "image"
    assert reading["input"] == {"shape": list(toy.input_shape), "type": "float32"}
    assert reading["classes"] == list(toy.classes)
    assert (reading["mean"], reading["std"]) == ([*toy.mean], [*toy.std])


def test_raw_images_are_prepared_as_they_were_for_the_training(toy, one):
    preprocess = module(text(toy, one[0]))["preprocess"]
    expected, _ = Resident(toy, toy.validation).batch(slice(None))
    assert torch.allclose(preprocess(toy.validation.x), expected, atol=1e-5)
    assert torch.equal(preprocess(toy.validation.x[..., 0]), preprocess(toy.validation.x))


def test_colour_images_are_prepared_by_channel(toy, one):
    task = dataclasses.replace(toy, mean=(0.5, 0.25, 0.0), std=(1.0, 0.5, 0.1), scale=200.0)
    preprocess = module(text(task, one[0]))["preprocess"]
    image = np.full((1, 2, 2, 3), 100, np.uint8)
    assert preprocess(image)[0, :, 0, 0].tolist() == pytest.approx([0.0, 0.5, 5.0])
    assert preprocess(image).shape == (1, 3, 2, 2)


def test_names_and_numbers_of_the_data_are_in_the_source(toy, one):
    found = module(text(toy, one[0]))
    assert found["CLASSES"] == list(toy.classes)
    assert (found["SCALE"], found["MEAN"], found["STD"]) == (255.0, [*toy.mean], [*toy.std])


# ---- the source ----------------------------------------------------------------------------------


def test_the_source_is_clean_and_its_lines_are_short(toy, made, tmp_path):
    for name, planned, _ in made:
        (tmp_path / f"{name}.py").write_text(text(toy, planned), encoding="utf-8")
    many = dataclasses.replace(toy, classes=tuple(f"class number {n}" for n in range(300)))
    (tmp_path / "many.py").write_text(text(many, made[0][1]), encoding="utf-8")
    rules = ["--isolated", "--select", "F,E9,E501,W,I", "--line-length", "100", "--no-cache"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_branch_is_made_that_is_not_used(toy, made):
    for _, planned, _ in made:
        tree = ast.parse(text(toy, planned))
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for each in classes[-len(planned.blocks) :]:
            made_here, used_here = parts(each)
            assert made_here == used_here


def parts(node):
    """The attributes that a class sets and those that its forward reads."""
    code = ast.unparse(node)
    setting = set(re.findall(r"self\.(\w+) = ", code))
    return setting, set(re.findall(r"self\.(\w+)\(", code.partition("def forward")[2]))


def test_no_variable_is_set_that_is_not_read(toy, made):
    for _, planned, _ in made:
        for block in planned.blocks:
            read = {name for each in block.calls for name in each.inputs} | {block.output}
            assert {each.out for each in block.calls} <= read


def test_only_the_operations_that_are_needed_are_written(toy):
    made = plan(Cell201(), parse("100100"), toy, Size(cells=1, width=4, stages=1))
    tree = ast.parse(text(toy, made))
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    assert names == ["ConvBN", "Cell", "Network"]


def test_every_operation_of_ours_can_be_written(toy):
    sizes: dict[str, Value] = {"c_in": 2, "c_out": 2, "kernel": 3, "num_features": 2}
    sizes |= {"in_features": 2, "out_features": 2, "height": 3, "width": 3, "channels": 2}
    sizes |= {"in_channels": 2, "out_channels": 2, "kernel_size": 1, "dim": 1}
    sizes |= {
        "vocabulary": 5,
        "dimension": 2,
        "rate": 0.1,
        "outputs": 2,
        "weight": 0.4,
        "scale": 1.0,
        "downscale_factor": 1,
        "value": 2.0,
    }
    sizes |= {"edges": "x_2x4x4>a x_2x4x4>b", "how": "max", "features": 2, "hidden": 3}
    sizes |= {"inputs": 2, "nodes": 2, "connections": 3, "depth": 1, "recurrent": False}
    sizes |= {"scale": 1.0, "downscale_factor": 1}
    sizes |= {"name": "gelu", "inner": 3, "expansion": 2, "shifts": 0, "mirrored": False}
    sizes |= {"length": 2, "orders": 2, "bits": 4, "filters": 2, "kernel": 3}
    sizes |= {"start": 2, "thinning": 0.5, "first": 0.4, "terms": "1 a ab"}
    shapes = {
        "TokenWindow": (1, 4),
        "MaskedConv1d": (1, 4),
        "MaskedGRU": (1, 4),
        "HashedBag": (1, 4),
        "TextBag": (1, 4),
        "Linear": (1, 2),
        "Genome": (1, 2),
        "Conv1d": (1, 2, 4),
        "MaxPool1d": (1, 2, 4),
        "TokenEmbedding": (1, 4),
        "GlobalPool1d": (1, 2, 4),
        "BatchNorm1d": (1, 2, 4),
        "ResidualDense": (1, 2),
        "PolynomialNode": (1, 2),
    }
    tables = {made.__name__ for made in TABLES}  # in families/test_tabular
    for name, made in MODULES.items():
        if name in ("DropPath", "Auxiliary") or name in tables:  # the first are never delivered
            continue
        if made.__module__.rsplit(".", 1)[1] in ("language", "interpolated", "series_operations"):
            continue  # whole networks of them are written in test_language_run and test_onnx
        wanted = inspect.signature(made).parameters
        args = {key: value for key, value in sizes.items() if key in wanted}
        inputs = ("x", "x") if name in ("Reshape", "PolynomialNode") else ("x",)
        calls: list[Call] = []
        if name.startswith("Masked"):  # it reads vectors of tokens, and the tokens
            calls = [call("v", "TokenEmbedding", "x", vocabulary=5, dimension=2)]
            inputs = ("v", "x")
            args |= {"hidden": 2} if name == "MaskedGRU" else {}
        if name == "TextBag":  # it adds to logits
            calls, inputs = [call("v", "Columns", "x", columns="0-1")], ("x", "v")
        calls.append(call("y", name, *inputs, **args))
        planned = Plan((Block("Network", ("x",), "y", tuple(calls)),))
        shape = shapes.get(name, (1, 2, 4, 4))
        found = module(text(toy, planned))
        net, x = found["Network"](), torch.ones(shape)
        net.load_state_dict(Assembled(planned).state_dict(), strict=True)
        assert net.eval()(x).shape[:2] == (1, 2)


def test_long_calls_are_folded(toy):
    blocks = Plan(
        (
            Block(
                "Network",
                ("x",),
                "y",
                (
                    *(call(f"a_rather_long_name_{n}", "ReLU", "x") for n in range(12)),
                    call("joined", "concat", *(f"a_rather_long_name_{n}" for n in range(12))),
                    call("added", "add", *(f"a_rather_long_name_{n}" for n in range(12))),
                    call("y", "concat", "joined", "added"),
                ),
            ),
        )
    )
    code = text(toy, blocks)
    assert max(map(len, code.splitlines())) <= 100
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    expected = torch.cat([x] * 12 + [12 * x], 1)
    assert torch.equal(module(code)["Network"]()(x), expected)


# ---- names that are no names ---------------------------------------------------------------------

STRANGE = (
    "it's",
    'say "hi"',
    '"""',
    "back\\slash\\",
    "ünïcödé 猫",
    "</script>",
    "{brace} %s",
    "new\nline\r\ttab",
    "\x00\x7f\u2028\ud800\U000e0001",
    "",
)


def test_class_names_of_any_kind_come_back(toy, one):
    task = dataclasses.replace(toy, classes=STRANGE)
    code = text(task, one[0])
    assert module(code.encode().decode())["CLASSES"] == list(STRANGE)
    assert all(each.isprintable() for each in code.split("\n"))


@pytest.mark.parametrize("field", ["title", "provenance"])
def test_titles_of_any_kind_come_back_in_the_docstring(toy, one, field):
    for strange in STRANGE:
        code = text(toy, one[0], **{field: f"a {strange} b"})
        doc = ast.get_docstring(ast.parse(code.encode().decode()), clean=False)
        assert f"a {strange} b" in str(doc)


def test_a_long_provenance_is_folded(toy, one):
    code = text(toy, one[0], provenance="word " * 99)
    assert max(map(len, code.splitlines())) <= 100


# ---- what does not fit ---------------------------------------------------------------------------


def altered(state, name, value):
    changed = {**state, name: value}
    return {key: each for key, each in changed.items() if each is not None}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("logits.bias", None, "'logits.bias' has the shape missing"),
        ("logits.bias", np.zeros(7, np.float32), r"has the shape \(7,\), the network needs \(3,\)"),
        ("stranger", np.zeros(1, np.float32), "'stranger' .* the network needs none"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    toy, one, tmp_path, name, value, words
):
    planned, state = one
    with pytest.raises(EvolventError, match=words):
        export(
            tmp_path / "to",
            plan=planned,
            state=altered(state, name, value),
            task=toy,
            title="t",
            provenance="p",
        )
    assert not (tmp_path / "to").exists()


def test_a_network_that_disagrees_is_refused(toy, one, tmp_path, monkeypatch):
    planned, state = one
    monkeypatch.setattr(exporting, "FOOTER", exporting.FOOTER.replace("net.eval()", "net.train()"))
    with pytest.raises(EvolventError, match="differs by"):
        export(tmp_path, plan=planned, state=state, task=toy, title="t", provenance="p")


def test_a_network_that_needs_evolvent_is_refused(toy, one, tmp_path, monkeypatch):
    planned, state = one
    monkeypatch.setattr(exporting, "FOOTER", exporting.FOOTER + "\nimport evolvent\n")
    with pytest.raises(EvolventError, match=r"(?s)does not run by itself.*must not be needed"):
        export(tmp_path, plan=planned, state=state, task=toy, title="t", provenance="p")


def test_a_folder_without_a_network_is_refused(tmp_path):
    with pytest.raises(EvolventError, match=r"holds no model\.py"):
        load(tmp_path)


# ---- the reader of weights -----------------------------------------------------------------------


def test_every_kind_of_number_is_read(toy, one, tmp_path):
    arrays: dict[str, np.ndarray] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(7, np.int64),
        "c": np.arange(3, dtype=np.float16),
        "d": np.array([1e300]),
    }
    save_file(arrays, tmp_path / "w", metadata={"note": "ignored"})
    read = module(text(toy, one[0]))["read_safetensors"](tmp_path / "w")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(read[name].numpy(), array)
        assert read[name].numpy().dtype == array.dtype
