"""The program that classifies images beside an exported network."""

import builtins
import gzip
import importlib.util
import io
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers_predict import predict
from tests.task.helpers import idx

from evolvent.deliver import export as exporting
from evolvent.deliver.export import export, load
from evolvent.network.build import Size, build, plan
from evolvent.network.data import Resident
from evolvent.network.fit import state_of
from evolvent.space.plain import Plain
from evolvent.task.folders import read_folder
from evolvent.task.images import image_task
from evolvent.task.named import load as open_data

SIZE = Size(stages=2)


@pytest.fixture(scope="module", autouse=True)
def unproved():
    """The proof of an export takes a process of its own, and is tested with the export."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "parity", lambda *arguments: 0.0)
        yield


def delivered(task, folder):
    """A network for `task`, exported to `folder`, and the program beside it."""
    torch.manual_seed(0)
    net = build(Plain(), (4,), task, SIZE)
    for x, _ in Resident(task, task.train).in_order(64):  # norms that have seen the data
        net.train()(x)
    with torch.no_grad():
        dict(net.named_parameters())["logits.weight"].mul_(100)  # answers that differ
    export(
        folder,
        plan=plan(Plain(), (4,), task, SIZE),
        state=state_of(net),
        task=task,
        title="t",
        provenance="p",
    )
    return program(folder)


def program(folder):
    spec = importlib.util.spec_from_file_location("predict", folder / "predict.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(found, file):
    """What the program says of a file [N, classes]."""
    reading = json.loads((found.FOLDER / "reading.json").read_text())
    return np.array(list(found.probabilities(found.images_of(file, reading))))


def expected(found, task, raw):
    """What the network within evolvent says of raw images of the data [N, H, W, C]."""
    part = type(task.train)(raw, np.zeros(len(raw), np.int64))
    x, _ = Resident(task, part).batch(slice(None))
    with torch.no_grad():
        return torch.softmax(load(found.FOLDER)(x), 1).numpy()


def photo(rng, height, width, mode="RGB"):
    """A smooth picture of some mode."""
    small = rng.integers(0, 256, (5, 7, 4), np.uint8)
    image = Image.fromarray(small, "RGBA").resize((width, height), Image.Resampling.BICUBIC)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257 + 11)
    if mode == "P;4":
        return image.convert("RGB").quantize(11)
    if mode == "P;alpha":
        return image.quantize(40)
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


MODES = ("RGB", "L", "1", "P", "P;4", "P;alpha", "LA", "RGBA", "CMYK", "I;16")
FORMS = {"CMYK": (".jpg", ".tif"), "RGB": (".jpg", ".png", ".bmp", ".webp", ".gif")}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of pictures of every mode, form and size in two classes, and its task."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number, mode in enumerate(MODES * 2):
        folder = root / ("cat" if number < len(MODES) else "dog")
        folder.mkdir(exist_ok=True)
        for form in FORMS.get(mode, (".png",)):
            height, width = (int(edge) for edge in rng.integers(20, 90, 2))
            exif = Image.Exif()
            exif[0x0112] = 6 if form == ".jpg" else 1
            photo(rng, height, width, mode).save(root / folder / f"{number}{form}", exif=exif)
    photo(rng, 700, 900).save(root / "cat" / "large.jpg", quality=70)
    found = read_folder(root, 24)
    return root, found, image_task("photos", found.x, found.y, reading=found.reading)


def test_pictures_of_every_form_are_prepared_as_for_the_training(pictures, tmp_path):
    root, images, task = pictures
    found = delivered(task, tmp_path)
    files = sorted(root.glob("cat/*")) + sorted(root.glob("dog/*"))
    assert len(files) == len(images.x) == 2 * (len(MODES) + 5) + 1
    said = np.concatenate([answers(found, file) for file in files])
    assert np.abs(said - expected(found, task, images.x)).max() <= 1e-4
    assert len(np.unique(said.round(4), axis=0)) > len(files) // 2  # not one answer for all


def test_grey_pictures_stay_grey(tmp_path):
    rng = np.random.default_rng(1)
    for number in range(8):
        folder = tmp_path / "in" / ("a", "b")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        mode = ("L", "1", "I;16", "RGB")[number % 4]
        grey = photo(rng, 20, 30, "L") if mode == "RGB" else photo(rng, 20, 30, mode)
        (grey.convert("RGB") if mode == "RGB" else grey).save(folder / f"{number}.png")
    images = read_folder(tmp_path / "in", 16)
    task = image_task("grey", images.x, images.y)
    assert task.input_shape == (1, 16, 16)
    found = delivered(task, tmp_path / "out")
    files = [*sorted(tmp_path.glob("in/a/*")), *sorted(tmp_path.glob("in/b/*"))]
    said = np.concatenate([answers(found, file) for file in files])
    assert np.abs(said - expected(found, task, images.x)).max() <= 1e-4


@pytest.fixture(scope="module")
def without_pillow(pictures, tmp_path_factory):
    return delivered(pictures[2], tmp_path_factory.mktemp("out"))


def with_pillow(found, file, channels=3):
    """A picture of 24 x 24 pixels as Pillow prepares it."""
    with Image.open(file) as image:
        return found.prepared(image, channels, 24, 24)


@pytest.fixture
def no_pillow(monkeypatch):
    """An interpreter that has no Pillow, as far as the program can tell."""
    real = builtins.__import__

    def refuse(name, *rest):
        if name.partition(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "CMYK"])
def test_a_png_of_the_right_size_needs_no_pillow(without_pillow, mode, tmp_path):
    file = tmp_path / "a.png"
    for seed in range(3):
        photo(np.random.default_rng(seed), 24, 24, mode).save(file)
        for channels in (1, 3):
            by_hand = without_pillow.picture_by_hand(file, channels, 24, 24)
            assert np.array_equal(by_hand, with_pillow(without_pillow, file, channels))


def test_a_png_of_another_size_is_stretched_without_pillow(without_pillow, tmp_path):
    file = tmp_path / "a.png"
    for size in ((50, 31), (11, 90), (24, 25)):
        photo(np.random.default_rng(0), *size).save(file)
        by_hand = without_pillow.picture_by_hand(file, 3, 24, 24).astype(int)
        assert np.abs(by_hand - with_pillow(without_pillow, file)).max() <= 1


def test_what_needs_pillow_is_said(without_pillow, no_pillow, pictures):
    jpeg = next(pictures[0].glob("cat/*.jpg"))
    with pytest.raises(without_pillow.Unreadable, match=r"need Pillow .pip install pillow"):
        answers(without_pillow, jpeg)


def test_transparent_colours_of_a_png(without_pillow, tmp_path):
    for mode, colour, key in (("L", 77, 77), ("RGB", (5, 6, 7), (5, 6, 7))):
        image = photo(np.random.default_rng(2), 24, 24, mode)
        image.paste(colour, (3, 3, 9, 9))
        image.save(tmp_path / "a.png", transparency=key)
        wanted = with_pillow(without_pillow, tmp_path / "a.png")
        assert (wanted[5, 5] == 255).all()
        assert np.array_equal(without_pillow.picture_by_hand(tmp_path / "a.png", 3, 24, 24), wanted)


# ---- arrays --------------------------------------------------------------------------------------


def test_arrays_of_every_form_and_type(tmp_path, toy):
    found, x = delivered(toy, tmp_path / "out"), toy.validation.x
    wanted = expected(found, toy, x)
    file = tmp_path / "a.npy"
    for array in (x, x[..., 0], x.transpose(0, 3, 1, 2), x.astype(np.float64), x.astype(">i4")):
        np.save(file, array)
        assert np.abs(answers(found, file) - wanted).max() <= 1e-4
    for array in (x[0], x[0, ..., 0]):
        np.save(file, array)
        assert np.abs(answers(found, file) - wanted[:1]).max() <= 1e-4
    for names in (("x_test", "x_train"), ("x", "y"), ("anything",)):
        np.savez(tmp_path / "a.npz", **{name: x[at:] for at, name in enumerate(names)})
        assert np.abs(answers(found, tmp_path / "a.npz") - wanted).max() <= 1e-4
    for name, data in (("t-images-idx3-ubyte", idx(x[..., 0])), ("a.idx4-ubyte.gz", idx(x))):
        data = gzip.compress(data) if name.endswith(".gz") else data
        (tmp_path / name).write_bytes(data)
        assert np.abs(answers(found, tmp_path / name) - wanted).max() <= 1e-4


def test_floats_keep_their_range(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 6, 6, 2)).astype(np.float32) * 1000
    task = image_task("floats", x, np.arange(40) % 2)
    found = delivered(task, tmp_path / "out")
    np.save(tmp_path / "a.npy", x)
    assert np.abs(answers(found, tmp_path / "a.npy") - expected(found, task, x)).max() <= 1e-4
    Image.new("RGB", (6, 6)).save(tmp_path / "a.png")
    with pytest.raises(found.Unreadable, match="other values than the bytes of pictures"):
        answers(found, tmp_path / "a.png")


def test_the_built_in_digits(tmp_path):
    task = open_data("digits")
    found = delivered(task, tmp_path / "out")
    np.save(tmp_path / "a.npy", task.validation.x)
    wanted = expected(found, task, task.validation.x)
    assert np.abs(answers(found, tmp_path / "a.npy") - wanted).max() <= 1e-4


def test_files_of_emnist_are_turned_and_those_of_cifar_cut(tmp_path, toy):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 2
    task = image_task("emnist", x.swapaxes(1, 2), y, reading={"transposed": True})
    found = delivered(task, tmp_path / "one")
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(x))
    wanted = expected(found, task, task_x(x.swapaxes(1, 2)))
    assert np.abs(answers(found, tmp_path / "images-idx3-ubyte") - wanted).max() <= 1e-4
    x = rng.integers(0, 256, (20, 32, 32, 3), np.uint8)
    task = image_task("cifar100", x, y[:20], reading={"record": 2})
    found = delivered(task, tmp_path / "two")
    rows = np.concatenate([np.full((20, 2), 9, "u1"), x.transpose(0, 3, 1, 2).reshape(20, -1)], 1)
    (tmp_path / "test.bin").write_bytes(rows.tobytes())
    assert np.abs(answers(found, tmp_path / "test.bin") - expected(found, task, x)).max() <= 1e-4


def task_x(x):
    return np.ascontiguousarray(x[..., None])


# ---- the command ---------------------------------------------------------------------------------


def run(folder, *words):
    """The program as a user runs it."""
    return predict(folder, *words)


def test_one_line_per_image(tmp_path, toy):
    found, x = delivered(toy, tmp_path / "out"), toy.validation.x
    np.save(tmp_path / "many.npy", x[:3])
    Image.fromarray(x[0, ..., 0]).save(tmp_path / "one.png")
    before = sorted((tmp_path / "out").rglob("*"))
    done = run(tmp_path / "out", tmp_path / "many.npy", tmp_path / "one.png")
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    names = [f"{tmp_path}/many.npy[{index}]" for index in range(3)] + [f"{tmp_path}/one.png"]
    assert [line[0] for line in lines] == names
    wanted = expected(found, toy, x[[0, 1, 2, 0]])
    assert [line[1] for line in lines] == [toy.classes[best] for best in wanted.argmax(1)]
    assert [float(line[2]) for line in lines] == pytest.approx(wanted.max(1), abs=2e-4)
    assert sorted((tmp_path / "out").rglob("*")) == before  # nothing is left beside the network


def test_json_has_every_class(tmp_path, toy, capsys, monkeypatch):
    found = delivered(toy, tmp_path / "out")
    np.save(tmp_path / "a.npy", toy.validation.x[:2])
    monkeypatch.setattr(sys, "argv", ["predict.py", "--json", str(tmp_path / "a.npy")])
    found.main()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wanted = expected(found, toy, toy.validation.x[:2])
    for line, chances in zip(said, wanted, strict=True):
        assert list(line["probabilities"]) == list(toy.classes)
        assert list(line["probabilities"].values()) == pytest.approx(chances.tolist(), abs=1e-4)


# ---- what cannot be read -------------------------------------------------------------------------


def encoded(image, form="PNG"):
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


GREY = encoded(photo(np.random.default_rng(0), 24, 24, "L"))
BAD = {
    "empty.png": (b"", "cannot be read"),
    "cut.png": (GREY[:150], "cannot be read"),
    "text.npy": (b"no array", "cannot be read"),
    "text.png": (b"no image", "cannot be read"),
    "cut-idx3-ubyte": (idx(np.zeros((3, 8, 8), "u1"))[:-1], "declares 192 bytes"),
    "absurd-idx3-ubyte": (b"\0\0\x08\3" + b"\x7f\xff\xff\xff" * 3, "declares"),
    "odd-idx1-ubyte": (idx(np.zeros(3, "u1")), "no idx file of images"),
    "cut.npz": (b"PK\3\4" + bytes(90), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_file_is_one_line(without_pillow, name, tmp_path):
    data, words = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(without_pillow.Unreadable, match=words) as error:
        answers(without_pillow, tmp_path / name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize("data", [b"", GREY[:50], GREY[:-40], GREY.replace(b"IDAT", b"xDAT")])
def test_a_damaged_png_is_one_line_without_pillow(without_pillow, no_pillow, data, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data[8:])
    with pytest.raises(without_pillow.Unreadable, match="cannot be read"):
        answers(without_pillow, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 9, 9), "u1"), "images of 24 x 24 pixels and 3 channels"),
        (np.zeros((24, 24), "u1"), "has the shape"),
        (np.array(["text"]), "numbers are needed"),
        (np.array([{}], dtype=object), "cannot be read"),
        (np.full((24, 24, 3), np.nan), "NaN or infinity"),
        (np.full((24, 24, 3), 0.5), "from 0 to 1, the network learnt from 0 to 255"),
    ],
)
def test_an_array_that_does_not_fit_is_one_line(without_pillow, array, words, tmp_path):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(without_pillow.Unreadable, match=words):
        answers(without_pillow, tmp_path / "a.npy")


def test_the_command_says_it_in_one_line(tmp_path, toy):
    delivered(toy, tmp_path / "out")
    done = run(tmp_path / "out", tmp_path / "nothing.png")
    assert done.returncode == 1
    assert done.stderr.startswith("predict.py: ")
    assert "No such file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("pillow", [True, False])
def test_a_coloured_picture_for_a_network_of_grey_ones_is_told(
    toy, tmp_path, capsys, monkeypatch, pillow
):
    predict = delivered(toy, tmp_path / "net")
    grey, pictures = np.tile(np.arange(0, 64, 8, dtype=np.uint8), (8, 1)), {}
    for name, pixels in (("grey", grey), ("like", np.stack([grey] * 3, 2)), ("red", None)):
        if pixels is None:
            pixels = np.stack([grey + 150, grey, grey], 2).astype(np.uint8)
        pictures[name] = pixels
    for name, pixels in pictures.items():
        file = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(file)
    if not pillow:
        monkeypatch.setitem(sys.modules, "PIL", None)
    for name in pictures:
        file = tmp_path / f"{name}.png"
        for words in ([], ["--strict"]):
            monkeypatch.setattr(sys, "argv", ["predict.py", *words, str(file)])
            stopped = 0
            try:
                predict.main()
            except SystemExit as stop:
                stopped = int(stop.code or 0)
            told = capsys.readouterr()
            assert ("in colour" in told.err) == (name == "red")
            assert stopped == (2 if name == "red" and words else 0)
            assert bool(told.out) == (stopped == 0)
