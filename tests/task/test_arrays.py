"""The readers of ``.npz`` and idx files."""

import gzip
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.task.helpers import GOOD_IDX, GOOD_X, GOOD_Y, IMAGES, idx, numbered, refusal, write_idx

from evolvent.errors import DataError
from evolvent.task import files
from evolvent.task.arrays import read_idx, read_npz
from evolvent.task.images import image_task

# ---- .npz ----------------------------------------------------------------------------------------


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def npy(array, **changes):
    """The bytes of an array's .npy file, with a header that says something else."""
    stream = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(stream, header | changes)
    return stream.getvalue() + array.tobytes()


def pack(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz_gives_the_arrays_back(tmp_path, write):
    x, y = numbered(channels=3)
    path = tmp_path / "a.npz"
    write(
        path,
        x_train=np.asfortranarray(x),
        y_train=y,
        x_test=x[:9],
        y_test=y[:9],
        x_val=x[:6],
        y_val=y[:6],
        class_names=np.array([b"a", b"b", b"c"]),
        index=np.arange(3),
    )
    found = read_npz(path)
    assert found.x_test is not None
    assert found.x_validation is not None
    assert np.array_equal(found.x, x)
    assert np.array_equal(found.y, y)
    assert (len(found.x_test), len(found.x_validation)) == (9, 6)
    assert found.class_names == ("a", "b", "c")
    assert found.note == ("arrays that are not used: 'index'",)


def test_npz_compressed_in_other_ways_is_read(tmp_path):
    x, y = numbered()
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = pack(tmp_path / "a.npz", {"x_train.npy": npy(x), "y_train.npy": npy(y)}, method)
        assert np.array_equal(read_npz(path).x, x)


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


X, Y = npy(GOOD_X), npy(GOOD_Y)
BAD_NPZ = {
    "no images": ({"y_train.npy": Y}, "no array 'x_train'; it holds 'y_train'"),
    "no labels": ({"x_train.npy": X}, "no array 'y_train'"),
    "nothing": ({}, "no array 'x_train', 'y_train'"),
    "half a test part": ({"x_train.npy": X, "y_train.npy": Y, "x_test.npy": X}, "'y_test'"),
    "half a validation part": ({"x_train.npy": X, "y_train.npy": Y, "y_val.npy": Y}, "'x_val'"),
    "path tricks": ({"../x_train.npy": X, "/y_train.npy": Y}, "no array 'x_train'"),
    "no npy": ({"x_train.npy": b"pixels", "y_train.npy": Y}, "not a readable"),
    "empty member": ({"x_train.npy": b"", "y_train.npy": Y}, "not a readable"),
    "cut off": ({"x_train.npy": X[:-1], "y_train.npy": Y}, "does not fill"),
    "too long": ({"x_train.npy": X + b"!", "y_train.npy": Y}, "does not fill"),
    "huge": ({"x_train.npy": npy(GOOD_X, shape=(2**40, 99)), "y_train.npy": Y}, "does not fill"),
    "beyond 64 bits": (
        {"x_train.npy": npy(GOOD_X, shape=(2**62, 2**62)), "y_train.npy": Y},
        "does not fill",
    ),
    "negative": ({"x_train.npy": npy(GOOD_X, shape=(-1, 2)), "y_train.npy": Y}, "is empty"),
    "without size": ({"x_train.npy": X, "y_train.npy": npy(np.zeros(0), descr="<U0")}, "of type"),
    "no examples": ({"x_train.npy": npy(GOOD_X[:0]), "y_train.npy": Y}, "is empty"),
    "header of code": (
        {
            "x_train.npy": X.replace(b"'fortran_order': False", b"'fortran_order': exit "),
            "y_train.npy": Y,
        },
        "not a readable",
    ),
    "nested header": (
        {
            "x_train.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000,
            "y_train.npy": Y,
        },
        "not a readable",
    ),
    "version 3": ({"x_train.npy": X.replace(b"Y\x01", b"Y\x03", 1), "y_train.npy": Y}, "version"),
    "dates": ({"x_train.npy": X, "y_train.npy": npy(GOOD_Y.astype("M8[s]"))}, "of type"),
    "records": (
        {"x_train.npy": X, "y_train.npy": npy(np.zeros(60, "u1,u1"))},
        "not a readable|of type",
    ),
    "names as numbers": (
        {"x_train.npy": X, "y_train.npy": Y, "class_names.npy": Y},
        "class_names must be a list of text",
    ),
    "names in two dimensions": (
        {"x_train.npy": X, "y_train.npy": Y, "class_names.npy": npy(np.array([["a"]]))},
        "class_names must be a list of text",
    ),
}


@pytest.mark.parametrize("memory", [None, 0])
@pytest.mark.parametrize("case", BAD_NPZ)
def test_a_wrong_npz_is_refused(case, memory, tmp_path):
    members, words = BAD_NPZ[case]
    method = zipfile.ZIP_DEFLATED if memory is None else zipfile.ZIP_STORED
    path = pack(tmp_path / "bad.npz", members, method)
    before = sorted(Path().iterdir())
    with pytest.raises(DataError, match=words) as error:
        read_npz(path, memory=memory)
    assert "bad.npz" in refusal(error)
    assert sorted(tmp_path.iterdir()) == [path]
    assert sorted(Path().iterdir()) == before


def test_pickles_in_an_npz_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = np.array([Evil()] * 60, object)
    np.savez(tmp_path / "a.npz", x_train=GOOD_X, y_train=evil)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Evil()))
    for name, words in (("a.npz", "never loaded"), ("b.npz", "not a readable")):
        with pytest.raises(DataError, match=words) as error:
            read_npz(name)
        refusal(error)
    assert not Path("unpickled").exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"no zip at all" * 99, b"\x93NUMPY", npy(GOOD_X), gzip.compress(b"x")],
    ids=["empty", "two bytes", "text", "magic of npy", "npy", "gzip"],
)
def test_what_is_no_npz_is_refused(data, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.npz.*numpy\.savez") as error:
        read_npz(path)
    refusal(error)


def test_a_bomb_is_refused_before_it_is_read(tmp_path):
    zeros = np.zeros((400, 100, 100), np.uint8)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=zeros, y_train=np.arange(400))
    assert path.stat().st_size < 20_000
    with pytest.raises(DataError, match=r"at most 0\.0 GiB") as error:
        read_npz(path, limit=3_999_999)
    refusal(error)
    assert len(read_npz(path, limit=4_003_200).x) == 400


def test_the_limit_is_eight_gibibytes_of_all_arrays_together():
    assert files.LIMIT == 8 * 2**30


def test_two_arrays_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        for name, data in (("x_train", X), ("x_train", X), ("y_train", Y)):
            archive.writestr(f"{name}.npy", data)
    with pytest.raises(DataError, match="two arrays of one name"):
        read_npz(path)


def test_a_locked_npz_is_refused(tmp_path):
    path = save(tmp_path / "a.npz", x_train=GOOD_X, y_train=GOOD_Y)
    data = bytearray(path.read_bytes())
    for at in range(len(data) - 4):  # the flag "encrypted" of every entry, in both its places
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            if data[at : at + 4] == mark:
                data[at + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"encrypted|password"):
        read_npz(path)


def test_a_changed_pixel_is_noticed(tmp_path):
    path = save(tmp_path / "a.npz", x_train=GOOD_X, y_train=GOOD_Y)
    data = bytearray(path.read_bytes())
    data[data.index(b"x_train.npy") + 300] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="CRC"):
        read_npz(path)


# ---- idx -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("front", ["", "emnist-digits-"])
@pytest.mark.parametrize(("test", "link"), [("t10k", "-"), ("test", "-"), ("t10k", ".")])
def test_idx_gives_the_arrays_back(tmp_path, zipped, front, test, link):
    x, y = write_idx(tmp_path, front, zipped, test, link)
    files = sorted(tmp_path.iterdir())
    for given_path in (tmp_path, str(tmp_path), *files):
        found = read_idx(given_path)
        assert found.x_test is not None
        assert np.array_equal(found.x, x)
        assert np.array_equal(found.y, y)
        assert np.array_equal(found.x_test, x[:9])


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")],
)
def test_every_type_of_idx_is_read(tmp_path, kind, dtype):
    x, _ = write_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(x.astype(dtype), kind))
    found = read_idx(tmp_path)
    assert found.x.dtype.isnative
    assert np.array_equal(found.x, x)
    assert image_task("t", found.x, found.y).input_shape == (1, 6, 5)


def test_idx_without_test_files_has_no_test_part(tmp_path):
    write_idx(tmp_path)
    for file in tmp_path.glob("t10k*"):
        file.unlink()
    assert read_idx(tmp_path).x_test is None


def test_two_idx_sets_in_a_folder_are_told_apart_by_a_file(tmp_path):
    write_idx(tmp_path, "one-")
    write_idx(tmp_path, "two-")
    with pytest.raises(DataError, match="2 data sets"):
        read_idx(tmp_path)
    assert len(read_idx(tmp_path / "one-train-images-idx3-ubyte").x) == 60


BAD_IDX = {
    "empty": (b"", "not a readable idx"),
    "header cut off": (GOOD_IDX[:9], "not a readable idx"),
    "pixels cut off": (GOOD_IDX[:-20], "ends after 1180 of the 1200 bytes|cannot hold the 1200"),
    "one byte cut off": (GOOD_IDX[:-1], "ends after 1199 of the 1200 bytes"),
    "too long": (GOOD_IDX + b"!", "longer than the 1200 bytes"),
    "wrong magic": (idx(IMAGES, magic=b"\x01\x00\x08\x03"), "first four bytes"),
    "unknown type": (idx(IMAGES, kind=7), "first four bytes"),
    "no axes": (b"\x00\x00\x08\x00", "first four bytes"),
    "many axes": (idx(IMAGES, shape=(1,) * 99), "first four bytes"),
    "an image instead": (b"\x89PNG\r\n\x1a\n" * 99, "first four bytes"),
    "labels instead": (idx(GOOD_Y.astype(np.uint8)), "1 dimensions"),
    "absurd shape": (idx(IMAGES, shape=(2**31, 2**31, 2**31)), "at most 8.0 GiB are allowed"),
    "almost absurd shape": (
        idx(IMAGES, shape=(2**12, 2**10, 2**10)),
        "cannot hold the 4294967296 bytes",
    ),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("case", BAD_IDX)
def test_a_wrong_idx_file_is_refused(case, zipped, tmp_path):
    data, words = BAD_IDX[case]
    write_idx(tmp_path, zipped=zipped)
    name = "train-images-idx3-ubyte" + (".gz" if zipped else "")
    (tmp_path / name).write_bytes(gzip.compress(data) if zipped else data)
    with pytest.raises(DataError, match=words) as error:
        read_idx(tmp_path)
    assert name in refusal(error)


@pytest.mark.parametrize("damage", ["cut", "no gzip", "flipped", "empty"])
def test_a_damaged_gzip_is_refused(damage, tmp_path):
    write_idx(tmp_path, zipped=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    data = bytearray(file.read_bytes())
    data[-6] ^= 255  # of the checksum
    changed = {"cut": data[:-20], "no gzip": GOOD_IDX, "flipped": data, "empty": b""}[damage]
    file.write_bytes(changed)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz.*fetch it again") as error:
        read_idx(tmp_path)
    refusal(error)


def test_a_missing_idx_file_is_named(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"no train-labels-idx1-ubyte\[\.gz\]") as error:
        read_idx(tmp_path)
    refusal(error)


def test_an_idx_limit_counts_all_files_together(tmp_path):
    write_idx(tmp_path)
    total = 60 * 30 + 60 + 9 * 30 + 9
    assert len(read_idx(tmp_path, limit=total).x) == 60
    with pytest.raises(DataError, match="at most"):
        read_idx(tmp_path, limit=total - 1)
