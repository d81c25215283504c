"""The reader of folders of pictures."""

import io
import os
import pickle
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.task.helpers import encoded, picture, refusal, tree

from evolvent.errors import DataError, SettingError
from evolvent.task.folders import read_folder
from evolvent.task.images import image_task

# ---- folders -------------------------------------------------------------------------------------


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    found = read_folder(tree(tmp_path))
    assert found.x.shape == (8, 5, 6, 1)
    assert found.x.dtype == np.uint8
    assert found.x[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert found.y.tolist() == ["cat"] * 4 + ["dog"] * 4
    assert found.note == ()
    task = image_task("t", found.x, found.y)
    assert task.classes == ("cat", "dog")
    assert task.input_shape == (1, 5, 6)


def test_train_val_and_test_folders_stay_what_they_are(tmp_path):
    for name, n in (("train", 5), ("val", 2), ("test", 3)):
        tree(tmp_path / name, n=n, mode="RGB")
    found = read_folder(tmp_path)
    assert found.x_test is not None
    assert found.x_validation is not None
    assert found.y_validation is not None
    assert (len(found.x), len(found.x_validation), len(found.x_test)) == (10, 4, 6)
    assert found.x_validation.shape == (4, 5, 6, 3)
    assert found.y_validation.tolist() == ["cat", "cat", "dog", "dog"]


def test_classes_may_be_called_test_or_train(tmp_path):
    assert set(read_folder(tree(tmp_path, ("bus", "test", "train"))).y) == {"bus", "test", "train"}


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".tif", ".pgm"]
)
def test_every_type_of_file_is_read(tmp_path, suffix):
    found = read_folder(tree(tmp_path, suffix=suffix))
    assert found.x.shape == (8, 5, 6, 1)
    assert np.abs(found.x[:, 2, 2, 0] - [0, 1, 2, 3, 10, 11, 12, 13]).max() <= 2


def test_hidden_files_and_other_files_are_not_read(tmp_path):
    tree(tmp_path)
    for name in (".hidden.png", "cat/._0.png", "cat/.cache/a.png", ".git/a.png", "__MACOSX/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    assert read_folder(tmp_path).note == ()
    (tmp_path / "cat" / "readme.txt").write_text("about cats")
    picture(tmp_path / "loose.png")
    found = read_folder(tmp_path)
    assert len(found.x) == 8
    assert any("1 files" in line for line in found.note)
    assert any("1 images beside the class folders" in line for line in found.note)


def test_pictures_deeper_in_a_class_folder_count(tmp_path):
    picture(tree(tmp_path) / "dog" / "small" / "brown" / "x.png")
    assert len(read_folder(tmp_path).x) == 9


def test_links_that_leave_the_folder_are_not_followed(tmp_path):
    outside = tree(tmp_path / "outside", ("wolf",))
    root = tree(tmp_path / "root")
    (root / "fox").symlink_to(outside / "wolf", target_is_directory=True)
    (root / "inner").symlink_to(root / "cat", target_is_directory=True)
    (root / "cat" / "deep").symlink_to(outside / "wolf", target_is_directory=True)
    found = read_folder(root)
    assert set(found.y) == {"cat", "dog", "inner"}
    assert len(found.x) == 12
    assert any("'fox'" in line and "not followed" in line for line in found.note)


def test_links_in_a_circle_end(tmp_path):
    root = tree(tmp_path / "root")
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    (root / "self").symlink_to(root / "self")
    assert len(read_folder(root).x) == 8


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(64, 30)] * 4, (30, 64)),
        ([(65, 65)] * 4, (64, 64)),
        ([(10, 12), (20, 22), (20, 22), (30, 8)], (17, 20)),
        ([(640, 480)] * 4, (48, 64)),
        ([(300, 1)] * 4, (1, 64)),
    ],
)
def test_the_size_is_the_median_up_to_64(tmp_path, sizes, expected):
    for number, size in enumerate(sizes):
        picture(tmp_path / "ab"[number % 2] / f"{number}.png", size=size)
    found = read_folder(tmp_path)
    assert found.x.shape[1:3] == expected
    changed = sum((height, width) != expected for width, height in sizes)
    assert bool(found.note) == bool(changed)
    assert not changed or f"{changed} of 4 images were stretched" in found.note[0]


@pytest.mark.parametrize(
    ("size", "expected"), [(9, (9, 9)), ((3, 7), (3, 7)), ([200, 1], (200, 1))]
)
def test_a_given_size_is_used(tmp_path, size, expected):
    assert read_folder(tree(tmp_path), size).x.shape == (8, *expected, 1)


@pytest.mark.parametrize("size", [0, -3, 4097, 8.0, "8", (8,), (8, 8, 3), (8, None), True])
def test_a_wrong_size_is_refused(tmp_path, size):
    with pytest.raises(SettingError, match=r"task\.size=") as error:
        read_folder(tree(tmp_path), size)
    refusal(error)


def test_resizing_averages(tmp_path):
    for label in "ab":
        board = (np.indices((40, 40)).sum(0) % 2 * 255).astype(np.uint8)
        (tmp_path / label).mkdir()
        Image.fromarray(board).save(tmp_path / label / "board.png")
    assert np.abs(read_folder(tmp_path, 4).x.astype(int) - 127).max() < 20


ROT = {1: 0, 2: 0, 3: 2, 6: 3, 8: 1}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_applied(tmp_path, form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8, :8] = 255
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(pixels).save(tmp_path / label / "x.png", form, exif=exif)
    found = read_folder(tmp_path)
    expected = np.rot90(pixels, ROT[orientation])
    assert found.x.shape[1:3] == expected.shape
    assert np.abs(found.x[0, ..., 0].astype(int) - expected).max() < 60
    assert found.note == ()


def colours(tmp_path, image):
    """The pixel that a picture becomes, beside a coloured one."""
    for label in "ab":
        (tmp_path / label).mkdir()
        picture(tmp_path / label / "colour.png", "RGB", image.size, (1, 2, 3))
        image.save(
            tmp_path / label / "given.tif" if image.mode == "F" else tmp_path / label / "g.png"
        )
    found = read_folder(tmp_path)
    return found.x[1, 0, 0].tolist(), found.note


def test_rule_for_grey(tmp_path):
    assert colours(tmp_path, Image.new("L", (4, 4), 9))[0] == [9, 9, 9]


def test_rule_for_two_levels(tmp_path):
    assert colours(tmp_path, Image.new("1", (4, 4), 1))[0] == [255, 255, 255]


def test_rule_for_palettes(tmp_path):
    image = Image.new("RGB", (4, 4), (200, 10, 30)).quantize(4)
    assert colours(tmp_path, image)[0] == [200, 10, 30]


def test_rule_for_16_bits(tmp_path):
    pixel, note = colours(tmp_path, Image.fromarray(np.full((4, 4), 0x1234, np.uint16)))
    assert pixel == [0x12] * 3
    assert any("of 2 images with 16 bits the upper 8 are kept" in line for line in note)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (0, 0, 0, 0), [255] * 3),
        ("RGBA", (40, 50, 60, 255), [40, 50, 60]),
        ("LA", (0, 0), [255] * 3),
        ("LA", (0, 51), [204] * 3),
    ],
)
def test_rule_for_transparency(tmp_path, mode, colour, expected):
    pixel, note = colours(tmp_path, Image.new(mode, (4, 4), colour))
    assert pixel == expected
    assert any("2 images with transparency were laid over white" in line for line in note)


def test_rule_for_the_transparent_colour_of_a_palette(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.info["transparency"] = 0
    assert colours(tmp_path, image)[0] == [255] * 3


def test_rule_for_print_colours(tmp_path):
    for label in "ab":
        picture(tmp_path / label / "x.tif", "CMYK", (4, 4), (0, 255, 255, 0))
    assert read_folder(tmp_path).x[0, 0, 0].tolist() == [255, 0, 0]


def test_rule_for_animations(tmp_path):
    first, second = Image.new("L", (4, 4), 10), Image.new("L", (4, 4), 90)
    for label in "ab":
        (tmp_path / label).mkdir()
        first.save(tmp_path / label / "x.gif", save_all=True, append_images=[second])
    assert (read_folder(tmp_path).x == 10).all()


def test_floats_have_no_rule_and_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"given\.tif.*float") as error:
        colours(tmp_path, Image.new("F", (4, 4), 0.5))
    refusal(error)


def test_integers_beyond_16_bits_have_no_rule_and_are_refused(tmp_path):
    for label in "ab":
        picture(tmp_path / label / "x.tif", "I", value=70_000)
    with pytest.raises(DataError, match=r"x\.tif.*outside 0\.\.65535"):
        read_folder(tmp_path)


def test_a_bomb_is_refused_even_where_pillow_was_told_to_allow_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tree(tmp_path) / "cat" / "bomb.png").write_bytes(png_of(10_000, 9_000))
    with pytest.raises(DataError, match=r"bomb\.png.*more than 89,478,485 pixels"):
        read_folder(tmp_path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pictures_that_are_all_grey_have_one_channel(tmp_path, mode):
    for label in "ab":
        picture(tmp_path / label / "x.png", "L", value=0)
        file = picture(tmp_path / label / "y.png", "L", value=255)
        image = Image.open(file)
        image.load()
        made = (
            Image.fromarray(np.full((5, 6), 65535, np.uint16))
            if mode == "I;16"
            else image.convert(mode)
        )
        made.save(file)
    found = read_folder(tmp_path)
    assert found.x.shape == (4, 5, 6, 1)
    assert found.x[:, 0, 0, 0].tolist() == [0, 255, 0, 255]


def test_one_coloured_picture_makes_all_of_them_rgb(tmp_path):
    picture(tree(tmp_path) / "cat" / "z.png", "RGB", value=(1, 2, 3))
    assert read_folder(tmp_path).x.shape == (9, 5, 6, 3)


# ---- folders that cannot be used -----------------------------------------------------------------


def empty(root):
    root.mkdir(exist_ok=True)


def flat(root):
    picture(root / "a.png")


def empty_class(root):
    tree(root)
    (root / "eel").mkdir()


def one_class(root):
    tree(root, ("cat",))


def no_train(root):
    tree(root / "test")
    tree(root / "val")


def flat_train(root):
    picture(root / "train" / "a.png")
    picture(root / "test" / "a.png")


def mixed(root):
    tree(root / "train")
    tree(root / "bus")


def two_validations(root):
    for name in ("train", "val", "valid"):
        tree(root / name)


def empty_test(root):
    tree(root / "train")
    (root / "test" / "cat").mkdir(parents=True)


def flat_test(root):
    tree(root / "train")
    picture(root / "test" / "a.png")


def only_links(root):
    tree(root.parent / "away")
    root.mkdir(exist_ok=True)
    for name in ("cat", "dog"):
        (root / name).symlink_to(root.parent / "away" / name)


def not_utf8(root):
    tree(root)
    os.rename(root / "dog", os.fsencode(root) + b"/d\xffg")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (empty, "no sub-folder .it is empty of images.*folder of its own"),
        (flat, "it holds 1 images"),
        (empty_class, r"eel.*holds no image \(\.bmp"),
        (no_train, "no train/"),
        (flat_train, "no train/ with one folder per class"),
        (mixed, "'bus' beside it"),
        (two_validations, "two validation folders"),
        (empty_test, "test.*holds no images"),
        (flat_test, "test.*no sub-folder"),
        (only_links, "links that leave the folder are not followed"),
    ]
    + ([(not_utf8, "UTF-8")] if sys.platform == "linux" else []),
)
def test_a_folder_that_cannot_be_used_is_refused(make, words, tmp_path):
    root = tmp_path / "root"
    make(root)
    with pytest.raises(DataError, match=words) as error:
        read_folder(root)
    assert "root" in refusal(error)


def test_one_class_folder_is_refused_by_the_task(tmp_path):
    one_class(tmp_path)
    found = read_folder(tmp_path)
    with pytest.raises(DataError, match="one class only, 'cat'"):
        image_task("t", found.x, found.y)


def png_of(width, height):
    """A PNG whose header declares any size."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


JPEG, PNG = encoded("JPEG"), encoded("PNG")
BAD_PICTURES = {
    "empty": (b"", "bad one"),
    "text": (b"no image", "bad one"),
    "cut png": (PNG[: len(PNG) // 2], "bad one"),
    "cut jpeg": (JPEG[: len(JPEG) // 2], "truncated"),
    "header only": (PNG[:33], "bad one"),
    "broken png": (PNG[:60] + bytes(90) + PNG[150:], "bad one"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "bad one"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "bad one"),
    "pickle": (pickle.dumps([1]), "bad one"),
    "bomb": (png_of(20_000, 20_000), "pixels"),
    "small bomb": (png_of(10_000, 9_000), "pixels"),
    "no size": (png_of(0, 0), "bad one"),
}


@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a_picture_that_cannot_be_read_is_named(case, size, tmp_path):
    data, words = BAD_PICTURES[case]
    (tree(tmp_path) / "dog" / "bad one.png").write_bytes(data)
    with pytest.raises(DataError, match=words) as error:
        read_folder(tmp_path, size)
    assert "bad one.png' is not a readable image" in refusal(error)


def spoilt(root):
    """A tree in which three pictures cannot be read: by their headers, by their pixels, at all."""
    tree(root)
    broken = {
        "cat/bad.png": b"no image",
        "dog/cut.jpg": JPEG[: len(JPEG) // 2],
        "dog/none.png": b"",
    }
    for name, data in broken.items():
        (root / name).write_bytes(data)
    return [root / name for name in broken]


@pytest.mark.parametrize("memory", [None, 1])
def test_all_pictures_that_cannot_be_read_are_named_at_once(memory, tmp_path):
    broken = spoilt(tmp_path)
    with pytest.raises(DataError, match=r"3 of 11 images cannot be read.*--skip-broken") as error:
        read_folder(tmp_path, memory=memory)
    line = str(error.value)
    assert "\n" not in line
    assert all(f"{str(file.relative_to(tmp_path))!r} (" in line for file in broken)


@pytest.mark.parametrize("memory", [None, 1])
def test_pictures_that_cannot_be_read_are_left_out_as_if_they_were_not_there(memory, tmp_path):
    broken = spoilt(tmp_path)
    found = read_folder(tmp_path, memory=memory, skip_broken=True)
    for file in broken:
        file.unlink()
    clean = read_folder(tmp_path, memory=memory)
    assert np.array_equal(found.x[:], clean.x[:])
    assert list(found.y) == list(clean.y)
    [line] = set(found.note) - set(clean.note)
    assert line.startswith("3 of 11 images cannot be read and are left out: ")
    assert all(file.name in line for file in broken)


def test_a_class_of_which_no_picture_can_be_read_is_refused(tmp_path):
    tree(tmp_path)
    for file in (tmp_path / "cat").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(DataError, match="no image of 'cat' can be read"):
        read_folder(tmp_path, skip_broken=True)


def test_a_folder_of_which_no_picture_can_be_read_is_refused(tmp_path):
    tree(tmp_path)
    for file in tmp_path.glob("*/*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(DataError, match="8 of 8 images cannot be read"):
        read_folder(tmp_path, skip_broken=True)


def test_a_broken_link_is_named(tmp_path):
    (tree(tmp_path) / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"gone\.png"):
        read_folder(tmp_path)


def test_a_folder_over_the_limit_is_refused(tmp_path):
    tree(tmp_path)
    assert len(read_folder(tmp_path, limit=8 * 30).x) == 8
    with pytest.raises(DataError, match="at most"):
        read_folder(tmp_path, limit=8 * 30 - 1)
