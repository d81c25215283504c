"""Public data sets from a server: this machine's own."""

import functools
import gc
import gzip
import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from tests.task.helpers import idx, refusal

from evolvent.errors import DataError
from evolvent.task import fetching, named
from evolvent.task.fetching import Public, Source, cache, fetch
from evolvent.task.named import NAMES, load


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and counts what it was asked for."""

    asked: list[str] = []

    def log_message(self, format, *arguments):
        self.asked.append(self.path)


@pytest.fixture
def site(tmp_path):
    """A folder that a server on 127.0.0.1 shows, and its address."""
    folder = tmp_path / "site"
    folder.mkdir()
    Quiet.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    """An empty cache, and no data of one's own."""
    monkeypatch.setenv("EVOLVENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVOLVENT_DATA", raising=False)


def put(site, name, data):
    """Show `data` under a name; return its hash."""
    (site[0] / name).write_bytes(data)
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def listed(monkeypatch, name, public):
    monkeypatch.setattr(fetching, "SETS", fetching.SETS | {name: public})


def idx_set(site, front="", test="t10k"):
    """The four files of a small set, shown by the server; the set."""
    names, sources = [], []
    for part, count in (("train", 60), (test, 12)):
        y = (np.arange(count) % 3).astype(np.uint8)
        x = np.zeros((count, 6, 6), np.uint8)
        x[:, 0, -1] = y
        for what, array in (("images", x), ("labels", y)):
            names.append(f"{front}{part}-{what}-idx{array.ndim}-ubyte.gz")
            hash = put(site, names[-1], gzip.compress(idx(array)))
            sources.append(Source(names[-1], hash, (site[1],)))
    return Public("mnist", tuple(names), tuple(sources))


def packed(form, members):
    """An archive of members (name, data), in the form ``zip`` or ``tar``."""
    stream = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in members:
                archive.writestr(name, data)
        return stream.getvalue()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in members:
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            else:
                archive.addfile(info)
    return stream.getvalue()


# ---- what is fetched -----------------------------------------------------------------------------


def test_a_set_is_fetched_once(site, monkeypatch):
    listed(monkeypatch, "mnist", idx_set(site))
    first = load("mnist")
    assert len(first.train) + len(first.validation) == 60
    assert first.test is not None
    assert len(Quiet.asked) == 4
    assert load("mnist").fingerprint == first.fingerprint
    assert len(Quiet.asked) == 4
    assert sorted(file.name for file in (cache() / "mnist").iterdir()) == sorted(
        fetching.SETS["mnist"].files
    )


def test_ones_own_copy_goes_before(site, monkeypatch, tmp_path):
    listed(monkeypatch, "mnist", idx_set(site))
    own = tmp_path / "own" / "mnist"
    own.mkdir(parents=True)
    for file in site[0].iterdir():
        (own / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("EVOLVENT_DATA", str(tmp_path / "own"))
    load("mnist")
    for file in own.glob("t10k*"):
        file.unlink()
    with pytest.raises(DataError, match="has no test files"):
        load("mnist")  # a part of a set is not the set, and is not mended from elsewhere
    assert not Quiet.asked


def test_a_second_place_helps_out(site, monkeypatch):
    public = idx_set(site)
    moved = [
        Source(s.file, s.hash, (site[1] + "gone/", "http://127.0.0.1:9/", *s.places))
        for s in public.sources
    ]
    listed(monkeypatch, "mnist", Public("mnist", public.files, tuple(moved)))
    assert load("mnist").outputs == 3


def test_what_is_missing_is_fetched_again(site, monkeypatch):
    listed(monkeypatch, "mnist", idx_set(site))
    load("mnist")
    (cache() / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    load("mnist")
    assert len(Quiet.asked) == 5  # pooch keeps what has the right hash


# ---- archives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_only_named_members_are_taken_and_no_path_is_followed(site, monkeypatch, form, tmp_path):
    evil: list[tuple[str, bytes | tarfile.TarInfo]] = [
        ("in/a.bin", b"wanted"),
        ("../../outside", b"1"),
        ("/tmp/evolvent-outside", b"2"),
        ("in/../b.bin", b"3"),
        ("other.bin", b"4"),
    ]
    if form == "tar":
        link = tarfile.TarInfo("in/b.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        evil.append(("in/b.bin", link))
    hash = put(site, f"x.{form}", packed(form, evil))
    members = (("in/a.bin", "a.bin"),) + ((("in/b.bin", "b.bin"),) if form == "tar" else ())
    source = Source(f"x.{form}", hash, (site[1],), members)
    listed(monkeypatch, "mnist", Public("x", ("a.bin",), (source,)))
    before = set(tmp_path.rglob("*"))
    folder = fetch("mnist", "files")
    assert (folder / "a.bin").read_bytes() == b"wanted"
    made = set(tmp_path.rglob("*")) - before
    assert made == {folder.parent, folder, folder / "a.bin"}


def test_cifar_is_taken_out_of_its_archive(site, monkeypatch):
    monkeypatch.setattr(named, "_CIFAR_IMAGES", (100, 20))
    record = np.zeros((20, 3073), np.uint8)
    record[:, 0] = np.arange(20) % 10
    files = fetching.SETS["cifar10"].files
    members = [(f"cifar-10-batches-bin/{file}", record.tobytes()) for file in files]
    hash = put(site, "cifar-10-binary.tar.gz", packed("tar", members))
    public = fetching.SETS["cifar10"]
    source = Source("cifar-10-binary.tar.gz", hash, (site[1],), public.sources[0].members)
    listed(monkeypatch, "cifar10", Public("cifar10", files, (source,)))
    task = load("cifar10")
    assert task.classes[0] == "airplane"
    assert task.reading["record"] == 1
    assert not list(cache().rglob("*.tar.gz"))  # the archive is not needed any more


def review(part, label, number, text, rating=7):
    return f"aclImdb/{part}/{label}/{number}_{rating}.txt", text.encode()


def test_reviews_become_two_tables(site, monkeypatch):
    texts = [
        review("train", "pos", 1, "good,\n film<br />"),
        review("train", "neg", 0, 'b"ad'),
        review("test", "pos", 0, "ünïcode"),
        review("test", "neg", 12_499, "meh", 4),
        review("train", "unsup", 0, "who knows"),
        ("aclImdb/train/pos/../../../evil_7.txt", b"x"),
        ("aclImdb/README", b"x"),
    ]
    hash = put(site, "aclImdb_v1.tar.gz", packed("tar", texts))
    public = fetching.SETS["imdb"]
    source = Source("aclImdb_v1.tar.gz", hash, (site[1],), unpack=public.sources[0].unpack)
    listed(monkeypatch, "imdb", Public("imdb", public.files, (source,)))
    folder = fetch("imdb", "files")
    train = pd.read_csv(folder / "imdb_train.csv.gz")
    assert train.to_dict("list") == {
        "label": [0, 1],
        "rating": [7, 7],
        "id": [0, 1],
        "text": ['b"ad', "good,\n film<br />"],
    }
    assert pd.read_csv(folder / "imdb_test.csv.gz")["text"].tolist() == ["ünïcode", "meh"]


@pytest.mark.parametrize(
    "data",
    [b"no archive", packed("tar", [("a", b"x" * 9)])[:40], b""],
    ids=["text", "cut", "empty"],
)
@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_a_damaged_archive_is_one_line(site, monkeypatch, data, form):
    hash = put(site, f"x.{form}", data)
    source = Source(f"x.{form}", hash, (site[1],), (("a", "a"),))
    listed(monkeypatch, "mnist", Public("x", ("a",), (source,)))
    with pytest.raises(DataError, match="not a readable archive") as error:
        fetch("mnist", "files")
    refusal(error)
    assert not list(cache().rglob("*.part"))


def test_an_archive_without_what_is_needed_is_one_line(site, monkeypatch):
    hash = put(site, "x.tar.gz", packed("tar", [("other", b"1")]))
    source = Source("x.tar.gz", hash, (site[1],), (("a", "a"),))
    listed(monkeypatch, "mnist", Public("x", ("a",), (source,)))
    with pytest.raises(DataError, match="holds no a"):
        fetch("mnist", "files")


# ---- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"digits"}))
def test_without_network_the_line_says_which_files_to_put_where(name):
    with pytest.raises(DataError, match=r"could not be fetched .*no answer") as error:
        load(name)
    message = refusal(error)
    assert f"DATA/{name} and set the environment variable EVOLVENT_DATA=DATA" in message
    assert "put the files" in message


def test_a_file_that_was_changed_is_refused_and_not_kept(site, monkeypatch):
    public = idx_set(site)
    listed(monkeypatch, "mnist", public)
    put(site, "t10k-images-idx3-ubyte.gz", b"something else")
    with pytest.raises(DataError, match="not the file that is known by its hash") as error:
        load("mnist")
    refusal(error)
    assert not (cache() / "mnist" / "t10k-images-idx3-ubyte.gz").exists()


def test_a_file_that_is_gone_is_one_line(site, monkeypatch):
    listed(monkeypatch, "mnist", idx_set(site))
    (site[0] / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: status 404") as error:
        load("mnist")
    refusal(error)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of requests
def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        source = Source("a", "md5:0" * 32, (place,))
        listed(monkeypatch, "mnist", Public("x", ("a",), (source,)))
        with pytest.raises(DataError, match="no answer"):
            fetch("mnist", "files")
    gc.collect()  # pooch leaves a socket behind


def test_a_cache_that_cannot_be_made_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EVOLVENT_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="could not be fetched") as error:
        load("mnist")
    refusal(error)


def test_every_public_set_is_listed_with_a_hash_and_a_place():
    assert set(NAMES) - {"digits"} <= set(fetching.SETS)
    for public in fetching.SETS.values():
        for source in public.sources:
            kind, _, digest = source.hash.partition(":")
            assert len(digest) == {"sha256": 64, "md5": 32}[kind]
            assert set(digest) <= set("0123456789abcdef")
            assert "python" not in source.file  # those are pickles
            assert source.places
