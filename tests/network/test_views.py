"""Views: outputs are averaged over changed copies of every image, wherever nothing is trained."""

import dataclasses
import warnings
from typing import Any

import pytest
import torch

from evolvent.deliver.export import export, load
from evolvent.deliver.onnx import PACKAGES, convert
from evolvent.errors import SettingError
from evolvent.network.build import Size, build, plan, views_of
from evolvent.network.cost import cost, mixed_cost
from evolvent.network.data import Resident
from evolvent.network.fit import state_of
from evolvent.network.operations import Views
from evolvent.network.train import Hyperparameters, evaluate, train
from evolvent.space.cell201 import Cell201
from evolvent.space.chain import Chain
from evolvent.space.plain import Plain
from evolvent.space.stages import Stages
from evolvent.types import Facts

SIZE = Size(cells=1, width=4, stages=2)


@pytest.fixture(scope="module")
def task(toy):
    return dataclasses.replace(toy, augment={"flip": True, "shift": 1, "cutout": 0})


def with_views(views, task, space=Plain(), arch=(4,), seed=0):
    return build(space, arch, task, dataclasses.replace(SIZE, views=views), seed=seed)


def switch(net, on):
    views = net.views
    assert isinstance(views.on, bool)
    views.on = on


def images(task, count=3):
    torch.manual_seed(0)
    x = torch.randn(count, *task.input_shape)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("views", "count", "mirrored"), [(2, 2, True), (2, 2, False), (6, 6, True)]
)
def test_the_logits_are_the_mean_over_the_views(task, toy, views, count, mirrored):
    data = task if mirrored else toy
    net, alone = with_views(views, data).eval(), with_views(1, data).eval()
    x = images(data)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    up_left, down_right = padded[:, :, 2:, 2:], padded[:, :, :-2, :-2]
    seen = [x, up_left, down_right] if views == 6 else [x] if mirrored else [x, up_left]
    seen += [each.flip(3) for each in seen] if mirrored else []
    assert len(seen) == count
    with torch.no_grad():
        wanted = torch.stack([alone(each) for each in seen]).mean(0)
        torch.testing.assert_close(net(x), wanted)
        assert not torch.allclose(net(x), alone(x))


def test_without_mirroring_six_views_are_three(task, toy):
    size = Size(views=6)
    assert (views_of(size, task), views_of(size, toy), views_of(Size(), task)) == (6, 3, 1)
    assert (views_of(size, toy.facts), views_of(size, task.facts)) == (3, 6)
    numbers = Facts("numbers", "accuracy", (5,), 2)
    assert views_of(size, numbers) == 1
    space = Chain.of(numbers)
    arch = next(iter(space.known(numbers).values()))
    assert plan(space, arch, numbers, size) == plan(space, arch, numbers, Size())
    with pytest.raises(SettingError, match="views=3: one of 1, 2, 6"):
        Size(views=3)


def test_views_add_no_weights_and_change_no_training(task):
    data = Resident(task, task.train)
    nets = [with_views(views, task) for views in (1, 6)]
    for net in nets:
        train(net, data, epochs=2, hyper=Hyperparameters(batch=16, lr=0.05), seed=1)
    one, six = (net.state_dict() for net in nets)
    assert list(one) == list(six)
    assert all(torch.equal(one[name], six[name]) for name in one)
    losses = [evaluate(net, data)["loss"] for net in nets]
    assert losses[0] != losses[1]


def test_one_switch_turns_them_off(task):
    net, alone, x = with_views(6, task).eval(), with_views(1, task).eval(), images(task)
    switch(net, False)
    with torch.no_grad():
        assert torch.equal(net(x), alone(x))
    switch(net, True)
    assert net.train()(x).shape == (3, task.outputs)


def test_copies_keep_channels_last():
    x = torch.randn(2, 3, 5, 7).contiguous(memory_format=torch.channels_last)
    for shifts, mirrored in ((2, True), (1, False), (0, True)):
        y = Views(shifts, mirrored).eval()(x)
        assert y.shape == (2 * (1 + shifts) * (1 + mirrored), 3, 5, 7)
        assert y.is_contiguous(memory_format=torch.channels_last)


def test_the_flops_of_all_views_count_and_no_parameter_is_added(task, toy):
    arch = ("nor_conv_3x3",) * 6
    for data, times in ((task, 6), (toy, 3)):
        alone, seen = (
            cost(plan(Cell201(), arch, data, dataclasses.replace(SIZE, views=views)), data)
            for views in (1, 6)
        )
        assert (seen.params, seen.flops) == (alone.params, times * alone.flops)
        mixed = [
            mixed_cost(Cell201(), data, dataclasses.replace(SIZE, views=views)) for views in (1, 6)
        ]
        assert mixed[1].base.flops == times * mixed[0].base.flops
        assert all((mixed[1].flops[k] == times * v).all() for k, v in mixed[0].flops.items())


def test_a_network_with_views_still_takes_images_of_any_size(task):
    assert with_views(6, task).any_size
    space = Stages.of(task.facts)
    net = with_views(6, task, space, space.known(task.facts)["thin"]).eval()
    assert net.any_size
    assert net(torch.randn(2, task.input_shape[0], 12, 9)).shape == (2, task.outputs)


# ---- exported ------------------------------------------------------------------------------------


def exported(folder, task, views, proof=False):
    space = Stages.of(task.facts)
    arch = space.known(task.facts)["thin"]
    net = with_views(views, task, space, arch, seed=1)
    with torch.no_grad():
        net.train()(images(task, 20))  # so that the norms have seen something
    made = plan(space, arch, task, dataclasses.replace(SIZE, views=views))
    told = export(
        folder,
        plan=made,
        state=state_of(net),
        task=task,
        title="t",
        provenance="p",
        proof=proof,
    )
    return net.eval(), told


def test_the_exported_network_is_equal_and_has_the_switch(task, tmp_path):
    net, told = exported(tmp_path, task, 6, proof=True)
    assert told["parity_max_abs_diff"] == 0
    x, there = images(task), load(tmp_path)
    with torch.no_grad():
        assert torch.equal(there(x), net(x))
        switch(net, False)
        switch(there, False)
        assert torch.equal(there(x), net(x))
    code = (tmp_path / "model.py").read_text()
    found: dict[str, Any] = {"__file__": str(tmp_path / "model.py")}
    exec(compile(code, "model.py", "exec"), found)
    with torch.no_grad():
        assert torch.equal(found["load"](tmp_path, views=False)(x), net(x))


def test_a_network_without_views_has_no_switch(task, tmp_path):
    exported(tmp_path, task, 1)
    code = (tmp_path / "model.py").read_text()
    assert "Views" not in code
    assert "views" not in code


def test_onnx_has_the_views_at_every_size_of_a_batch(task, tmp_path):
    for package in PACKAGES:
        pytest.importorskip(package)
    exported(tmp_path, task, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        assert convert(tmp_path) < 1e-4
    assert (tmp_path / "model.onnx").is_file()
