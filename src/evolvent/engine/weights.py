"""The weights of candidates, one file each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..files import write_atomically
from ..types import State


class Weights:
    """The weights of candidates, one file each, whole or absent.

    Args:
        folder: where they are; created on the first write.

    ``kept`` is whether any were ever written, as far as this object knows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.kept = folder, folder.is_dir()

    def write(self, name: str, state: State) -> str:
        """Write `state` so that a crash leaves the old file or the new one; return the file's name."""
        from safetensors.numpy import save

        self.folder.mkdir(parents=True, exist_ok=True)
        self.kept = True
        file = self.folder / f"{name}.safetensors"
        write_atomically(file, save(state))
        return file.name

    def read(self, name: str) -> State:
        """Return the state stored under `name`."""
        from safetensors.numpy import load_file

        state: State = load_file(self.folder / f"{name}.safetensors")
        return state

    def has(self, name: str) -> bool:
        """Whether there is a state under `name`."""
        return (self.folder / f"{name}.safetensors").is_file()

    def of(self, ids: Iterable[int]) -> dict[int, State]:
        """Return the states of `ids`, as far as they were kept: a table has none."""
        kept = [id for id in ids if self.has(str(id))]
        return {id: self.read(str(id)) for id in kept}

    def keep_only(self, names: set[str]) -> None:
        """Delete every file whose name is not in `names`."""
        for file in self.folder.glob("*.safetensors"):
            if file.stem not in names:
                file.unlink()

    def tidy(self) -> None:
        """Delete files that a kill left half written; only the one writer may ask for it."""
        for part in self.folder.glob(".*.safetensors.part"):
            part.unlink()
