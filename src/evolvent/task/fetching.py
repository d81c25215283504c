"""Public data sets, fetched once from their official site or a mirror into a cache, hashes checked.

Only the archive members that are named here are extracted, each to the file name given here, so that
no path in an archive decides where a file is written. Only binary and text versions are listed, never
pickled ones.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import DataError
from .files import reading, why

CACHE = "EVOLVENT_CACHE"  # the environment variable that names another cache
OWN = "EVOLVENT_DATA"  # the one that names the user's own folder of data sets
TIMEOUT = 30.0  # without an answer from a server [s]
_REVIEW = re.compile(r"aclImdb/(train|test)/(neg|pos)/(\d{1,6})_(\d{1,2})\.txt")
_LONGEST = 2**20  # of a review [bytes]


@dataclass(frozen=True)
class Source:
    """A file to fetch.

    Args:
        file: its name, the end of every address.
        hash: ``algorithm:digest`` as the publisher or several users of the file give it.
        places: beginnings of addresses, tried in their order.
        members: of an archive: the names within it -> the files they become.
        unpack: makes the files of an archive in another way: (archive, folder) -> None.
    """

    file: str
    hash: str
    places: tuple[str, ...]
    members: tuple[tuple[str, str], ...] = ()
    unpack: Callable[[Path, Path], None] | None = None


@dataclass(frozen=True)
class Public:
    """A data set: its folder in the cache, its files there, and their sources."""

    folder: str
    files: tuple[str, ...]
    sources: tuple[Source, ...]


def _idx_set(folder: str, places: tuple[str, ...], hashes: dict[str, str]) -> Public:
    sources = tuple(Source(file, f"sha256:{each}", places) for file, each in hashes.items())
    return Public(folder, tuple(hashes), sources)


def _reviews(archive: Path, folder: Path) -> None:
    """Write the labelled reviews of IMDB's archive as two tables, one per part."""
    rows: dict[str, list[tuple[int, int, int, str]]] = {"train": [], "test": []}
    with tarfile.open(archive) as opened:
        for member in opened:
            match = _REVIEW.fullmatch(member.name)
            if match is None or not member.isfile() or member.size > _LONGEST:
                continue
            stream = opened.extractfile(member)
            assert stream is not None
            part, label, number, rating = match.groups()
            text = stream.read().decode("utf-8")
            rows[part].append((int(number), int(label == "pos"), int(rating), text))
    for part, found in rows.items():
        if len({label for _, label, _, _ in found}) < 2:
            raise ValueError(f"it holds no good and bad reviews of the part {part}")
        with _written(folder / f"imdb_{part}.csv.gz") as stream:
            zipped = gzip.GzipFile(fileobj=stream, mode="wb", filename="", mtime=0)
            with zipped, io.TextIOWrapper(zipped, "utf-8", newline="") as text_stream:
                table = csv.writer(text_stream)
                table.writerow(["label", "rating", "id", "text"])
                for number, label, rating, text in sorted(found):
                    table.writerow([label, rating, number, text])


_EMNIST = tuple(
    (f"gzip/{file}", file)
    for kind in ("balanced", "digits")
    for part in ("train", "test")
    for file in (
        f"emnist-{kind}-{part}-images-idx3-ubyte.gz",
        f"emnist-{kind}-{part}-labels-idx1-ubyte.gz",
    )
)
_EMNIST_SET = Public(
    "emnist",
    tuple(file for _, file in _EMNIST),
    (
        Source(
            "gzip.zip",
            "sha256:fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
            (
                "https://biometrics.nist.gov/cs_links/EMNIST/",
                "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
            ),
            _EMNIST,
        ),
    ),
)
_TORONTO = ("https://www.cs.toronto.edu/~kriz/",)


def _binary(folder: str, inner: str, files: tuple[str, ...], archive: str, digest: str) -> Public:
    members = tuple((f"{inner}/{file}", file) for file in files)
    return Public(folder, files, (Source(archive, f"sha256:{digest}", _TORONTO, members),))


SETS: dict[str, Public] = {
    "mnist": _idx_set(
        "mnist",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
            ),
            "train-labels-idx1-ubyte.gz": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
            ),
        },
    ),
    "fashion-mnist": _idx_set(
        "fashion-mnist",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte.gz": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
            ),
            "train-labels-idx1-ubyte.gz": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        },
    ),
    "emnist-balanced": _EMNIST_SET,
    "emnist-digits": _EMNIST_SET,
    "cifar10": _binary(
        "cifar10",
        "cifar-10-batches-bin",
        (*(f"data_batch_{index}.bin" for index in range(1, 6)), "test_batch.bin"),
        "cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    "cifar100": _binary(
        "cifar100",
        "cifar-100-binary",
        ("train.bin", "test.bin", "fine_label_names.txt"),
        "cifar-100-binary.tar.gz",
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    "imdb": Public(
        "imdb",
        ("imdb_train.csv.gz", "imdb_test.csv.gz"),
        (
            Source(
                "aclImdb_v1.tar.gz",
                "md5:7c2ac02c03563afcf9b574c7e56c153a",
                ("https://ai.stanford.edu/~amaas/data/sentiment/",),
                unpack=_reviews,
            ),
        ),
    ),
}


def cache() -> Path:
    """Return the folder that data sets are fetched into: ``$EVOLVENT_CACHE``, else the user's."""
    if root := os.environ.get(CACHE):
        return Path(root).expanduser()
    import pooch

    return Path(pooch.os_cache("evolvent")) / "data"


def fetch(name: str, wanted: str) -> Path:
    """Return the folder with the files of the public set `name`, fetching them the first time.

    Args:
        name: a name of `SETS`.
        wanted: the needed files in words, for the error message.

    Raises:
        DataError: if no place provides the files, or their hashes differ.
    """
    public = SETS[name]
    folder = cache() / public.folder
    if all((folder / file).is_file() for file in public.files):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in public.sources:
            _get(source, folder)
    except (OSError, ValueError) as error:
        raise DataError(
            f"the data of {name!r} are not here and could not be fetched ({why(error)}): put {wanted} "
            f"into {_own_place(name)}"
        ) from error
    missing = [file for file in public.files if not (folder / file).is_file()]
    if missing:
        raise DataError(f"the download of {name!r} holds no {missing[0]}: report this")
    return folder


def _own_place(name: str) -> str:
    """Return the place of a user's own copy of a set, in words."""
    if root := os.environ.get(OWN):
        return f"{str(Path(root) / name)!r} ({OWN}={root!r})"
    return f"a folder DATA{os.sep}{name} and set the environment variable {OWN}=DATA"


def _get(source: Source, folder: Path) -> None:
    """Fetch one source from the first place that has it, and extract the needed files.

    Raises:
        OSError: if no place answers.
        ValueError: if the file of every place that answers has another hash.
    """
    import pooch

    ask = pooch.HTTPDownloader(timeout=TIMEOUT)
    for place in source.places:
        try:
            file = Path(
                pooch.retrieve(
                    place + source.file,
                    known_hash=source.hash,
                    fname=source.file,
                    path=folder,
                    downloader=ask,
                )
            )
            break
        except (OSError, ValueError) as error:
            if place == source.places[-1]:
                kind = type(error)(f"{place}{source.file}: {_short(error)}")
                raise kind from error
    if source.members or source.unpack:
        with reading(file, "archive", "remove it and try again", tarfile.TarError):
            _take(file, source, folder)
        file.unlink()


def _short(error: Exception) -> str:
    """Return the reason of a failed download in a few words; the message of requests is long."""
    if isinstance(error, ValueError) and "hash" in str(error):
        return "it is not the file that is known by its hash"
    response = getattr(error, "response", None)
    return f"status {response.status_code}" if response is not None else "no answer"


def _take(archive: Path, source: Source, folder: Path) -> None:
    """Write the named members of an archive, and nothing else, into the folder."""
    if source.unpack is not None:
        source.unpack(archive, folder)
        return
    names = dict(source.members)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            for member, file in names.items():
                with opened.open(member) as stream:
                    _copy(stream, folder / file)
        return
    with tarfile.open(archive) as packed:
        for info in packed:
            if info.name in names and info.isfile():
                taken = packed.extractfile(info)
                assert taken is not None
                _copy(taken, folder / names[info.name])


def _copy(stream: IO[bytes], file: Path) -> None:
    with _written(file) as target:
        shutil.copyfileobj(stream, target)


class _written:
    """A context that writes a file, which gets its name only when it is complete."""

    def __init__(self, file: Path) -> None:
        self.file, self.part = file, file.with_name(f".{file.name}.part")

    def __enter__(self) -> IO[bytes]:
        self.stream = self.part.open("wb")
        return self.stream

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self.stream.close()
        if kind is None:
            self.part.replace(self.file)
        else:
            self.part.unlink()
