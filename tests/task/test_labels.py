"""From labels to classes."""

import numpy as np
import pytest
from tests.task.helpers import found_in_order, numbered, parts, refusal

from evolvent.errors import DataError
from evolvent.task.images import image_task


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([7, 3, -2], ("-2", "3", "7")),
        ([2.0, 0.0, 10.0], ("0", "2", "10")),
        (["b", "a", "ä"], ("a", "b", "ä")),
        ([b"b", b"a", "ä".encode()], ("a", "b", "ä")),
        (np.array(["b", "a", "c"], object), ("a", "b", "c")),
        (np.array([[1], [0], [2]], np.uint8), ("0", "1", "2")),
        (np.array([True, False, True]), ("0", "1")),
    ],
)
def test_classes_are_the_sorted_labels(labels, classes):
    x, _ = numbered()
    task = image_task("t", x, np.concatenate([np.asarray(labels)] * 20))
    assert task.classes == classes
    assert task.outputs == len(classes)
    assert task.metric == "accuracy"
    for part in parts(task):
        for number, label in zip(found_in_order(part), part.y, strict=True):
            given_label = np.asarray(labels).ravel()[number % 3]
            text = given_label.decode() if isinstance(given_label, bytes) else given_label
            wanted = text if isinstance(text, str) else str(int(text))
            assert task.classes[label] == wanted


def test_class_names_name_the_labels_from_0_up():
    x, y = numbered()
    task = image_task("t", x, y, class_names=["cat", "ape", "dog", "emu"])
    assert task.classes == ("cat", "ape", "dog")
    assert any("'emu'" in line for line in task.note)


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        (np.arange(60) % 3 + 1, ["a", "b", "c"], "do not name the labels 3"),
        (np.arange(60) % 3 - 1, ["a", "b", "c"], "do not name the labels -1"),
        (np.arange(60) % 3, ["a", "b", "a"], "'a' twice"),
        (np.array(["x", "y", "z"] * 20), ["x", "y"], "'z'"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(labels, names, words):
    with pytest.raises(DataError, match=words) as error:
        image_task("t", numbered()[0], labels, class_names=names)
    refusal(error)
