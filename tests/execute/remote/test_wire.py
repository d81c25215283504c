"""Values as bytes: what comes back is what was sent, and nothing else can be sent."""

import json
import random
import re
import struct
from dataclasses import dataclass, replace

import numpy as np
import pytest

from evolvent.config.recipes import RECIPES
from evolvent.config.request import Request
from evolvent.config.resolve import resolve
from evolvent.errors import DataError, UserError
from evolvent.estimator import Evaluation
from evolvent.execute.remote.data import Bundle, Cache, Fetched
from evolvent.execute.remote.wire import ANSWERS, Malformed, Unsendable, pack, unpack
from evolvent.execute.worker import Job, Spec
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.registry import find, kinds_of
from evolvent.space.plain import Plain
from evolvent.task.division import Division
from evolvent.task.portable.ragged import Ragged
from evolvent.task.rows import Mapped, Rows
from evolvent.types import Budget, Candidate, Result

STATE = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T, "n": np.array(7)}
CANDIDATE = Candidate(3, (("conv", 3), 0.5), weights_from=(1,), budget=Budget(2.0), note={"a": [1]})


def test_what_comes_back_is_what_was_sent():
    back, inherited = unpack(pack([CANDIDATE, {1: STATE}]))
    assert back == CANDIDATE
    assert list(inherited) == [1]
    for name, array in STATE.items():
        found = inherited[1][name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert np.array_equal(found, array)


def test_a_training_comes_back_with_the_space_of_a_control():
    job = Job("plain", (5,), Size(1, 4, 2), Hyperparameters(batch=16), 2.0, space=Plain(largest=9))
    back = unpack(pack(job))
    assert vars(back.space) == vars(job.space)
    assert vars(back) | {"space": None} == vars(job) | {"space": None}


@dataclass
class Foreign:
    """A class that messages do not know."""

    x: int = 0


class Job2(Job):
    """Nor one that only is like one that they know."""


@pytest.mark.parametrize(
    "value", [Foreign(), {1, 2}, b"bytes", object(), np.array(["a"]), np.array([None]), len]
)
def test_what_has_no_form_cannot_be_sent(value):
    with pytest.raises(Unsendable, match="cannot be sent"):
        pack([value])


def message(tree, rest=b""):
    head = json.dumps(tree).encode()
    return struct.pack("<I", len(head)) + head + rest


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1",
        struct.pack("<I", 2**32 - 1) + b"{}",
        message({"of": "Foreign", "has": {}}),
        message({"of": "Evaluation", "has": {"result": 1, "code": 2}}),
        message({"of": "Candidate", "has": {}}),
        message({"array": "0"}),
        message({"array": ["0"]}),
        message({"array": "0"}, b"\xff" * 30),
        message({"tuple": [], "map": []}),
        message({"map": [[{"map": []}, 1]]}),
        struct.pack("<I", 100_000) + b"[" * 100_000,
    ],
)
def test_anything_else_is_no_message(data):
    with pytest.raises(Malformed):
        unpack(data)


def test_an_answer_makes_no_object_of_a_request():
    assert isinstance(unpack(pack(Evaluation(Result(CANDIDATE, 0.5))), ANSWERS), Evaluation)
    with pytest.raises(Malformed, match="has no meaning here"):
        unpack(pack(Size()), ANSWERS)


def test_damaged_messages_are_refused_or_read_and_nothing_else_happens():
    good = pack([Evaluation(Result(CANDIDATE, 0.5, metrics={"loss": 1.0}), STATE)])
    rng, refused = random.Random(0), 0
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            unpack(
                bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data), ANSWERS
            )
        except Malformed:
            refused += 1
    assert refused > 1000


# ---- the spec and its data ----


def fetched(spec, folder):
    """A spec after its way through a cache."""
    bundle, cache = Bundle(spec), Cache(folder)
    for digest, size in cache.missing(bundle.head).items():
        cache.store(digest, size, (bytes(chunk) for chunk in bundle.blobs[digest].chunks()))
    assert not cache.missing(bundle.head)
    return bundle, Fetched(folder, bundle.head).spec()


@pytest.mark.parametrize(
    "recipe",
    [
        name
        for name, row in RECIPES.items()
        if "image" in kinds_of("space", find("space", row.space))
        and "image" in find("estimator", row.estimator).kinds
        and not find("estimator", row.estimator).stateful
    ],
)
def test_the_spec_of_every_recipe_can_be_sent(recipe, toy, tmp_path):
    spec = resolve(Request("toy", recipe, budget="6t"), toy).spec
    bundle, found = fetched(spec, tmp_path)
    assert Bundle(found).head == bundle.head
    assert found.task.fingerprint == toy.fingerprint


@pytest.mark.parametrize("kind", [Division, *Division.__subclasses__()])
def test_a_task_travels_with_what_must_be_apart_in_it(kind, toy, tmp_path):
    rows = len(toy.train) + len(toy.validation)
    task = replace(toy, division=kind("user", np.arange(rows) // 4))
    _, spec = fetched(Spec(task, "plain", "full"), tmp_path)
    found = spec.task.division
    assert type(found) is kind
    assert found.column == "user"
    assert np.array_equal(found.codes, task.division.codes)


def with_inputs(task, x):
    return replace(task, train=replace(task.train, x=x))


def test_rows_in_a_file_and_texts_of_any_length_can_be_sent(toy, tmp_path):
    x = np.ascontiguousarray(toy.train.x)
    np.save(tmp_path / "x.npy", x)
    told = np.lib.format.open_memmap(tmp_path / "x.npy", mode="r")
    mapped = Mapped.of(tmp_path / "x.npy", told.offset, x.shape, told.dtype.str, "C")
    kept = [1, 0, 2]
    for inputs in (Rows.of(mapped).taken(np.array(kept)), Ragged.of([[1, 2], [], [3]])):
        _, spec = fetched(Spec(with_inputs(toy, inputs), "plain", "full"), tmp_path / "cache")
        found = spec.task.train.x
        assert type(found) is type(inputs)
        assert np.array_equal(found[:], inputs[:])


def test_data_are_checked_by_their_hash(toy, tmp_path):
    bundle, cache = Bundle(Spec(toy, "plain", "full")), Cache(tmp_path)
    digest, size = next(iter(cache.missing(bundle.head).items()))
    with pytest.raises(DataError, match="damaged or cut"):
        cache.store(digest, size, [bytes(size)])
    with pytest.raises(DataError, match="damaged or cut"):
        cache.store(digest, size, [b"\1"] * (size + 5))
    assert not list(tmp_path.iterdir())
    cache.path(digest).write_bytes(bytes(size))  # as a failing disk would leave it
    assert digest in cache.missing(bundle.head)


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "", 5, None])
def test_no_name_of_data_becomes_another_path(name, tmp_path):
    head = json.dumps({"array": {"sha256": name, "size": 1}}).encode()
    with pytest.raises((Malformed, TypeError)):
        Cache(tmp_path).missing(head)


def test_a_setting_of_ones_own_that_cannot_be_sent_is_said_at_once(toy):
    spec = Spec(toy, "plain", "full", estimator_settings={"mine": Foreign()})
    with pytest.raises(UserError, match=re.escape("Foreign cannot be sent")):
        Bundle(spec)
