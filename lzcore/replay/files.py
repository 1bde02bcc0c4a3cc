"""The fixed rows of the replay on disk: one file for each push, written once.

A file `000017.npz` holds, for each fixed column, the rows of one push (of a column kept as JPEG,
all their bytes and where each row ends); what changes later
(priorities, reanalysed columns) and the tables are in the checkpoint, whose *manifest* names the
files that hold its living rows. Files are written aside, synced and renamed, so a file that has
its name is whole. One that a killed run wrote after its last checkpoint is overwritten.

Shape letters: L rows of one push.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from lzcore.base.errors import ReplayError
from lzcore.base.replay import Array, Column
from lzcore.replay.atomic import TEMPORARY, replacing
from lzcore.replay.jpeg import join, split

FORMAT = 1  # of files and states; a newer one is refused
_OURS = re.compile(rf"\d{{6,}}\.npz({re.escape(TEMPORARY)})?")
_MEND = (
    "Bring the run directory's replay files back from a copy, or move the newest checkpoint away "
    "to go on from the one before, if that does without the file."
)


@attrs.frozen
class FileEntry:
    """One line of a manifest."""

    name: str
    first: int  # id of the first row
    rows: int
    fingerprint: int  # of the checksums of its columns

    @property
    def stop(self) -> int:
        """The id behind the last row."""
        return self.first + self.rows


class RowFiles:
    """The files that hold the fixed columns of the rows that live."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.entries: list[FileEntry] = []
        self._number = 0  # of the next file

    def write(self, first: int, columns: Mapping[str, Array]) -> None:
        """Save the rows from id `first` on, L for each column.

        Raises:
            ReplayError: the file cannot be written; nothing is left of it.
        """
        path = self.directory / f"{self._number:06}.npz"
        arrays: dict[str, Any] = {"format": np.int64(FORMAT), "first": np.int64(first)}
        arrays |= {f"column.{name}": values for name, values in to_plain(columns).items()}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.savez(file, **arrays)
            mark = _fingerprint(path)
        except OSError as err:
            raise ReplayError(
                f"Cannot write the replay file {path}: {err}. "
                "Free some space or mend the permissions, then resume the run."
            ) from err
        rows = len(next(iter(columns.values())))
        self.entries.append(FileEntry(path.name, first, rows, mark))
        self._number += 1

    def forget(self, tail: int) -> None:
        """Strike files from the manifest that hold no row from id `tail` on; they stay on disk."""
        self.entries = [entry for entry in self.entries if entry.stop > tail]

    def read(self, entry: FileEntry, columns: Sequence[Column]) -> dict[str, Array]:
        """Return L rows for each column, checked; frames that are kept as JPEG stay encoded.

        Raises:
            ReplayError: the file is missing, damaged, or not the one that the manifest means.
        """
        path = self.directory / entry.name
        try:
            if _fingerprint(path) != entry.fingerprint:
                raise ReplayError(
                    f"The replay file {path} is not the one that the checkpoint was saved with. "
                    + _MEND
                )
            return _read_columns(path, entry, columns)
        except FileNotFoundError:
            raise ReplayError(f"The replay file {path} is missing. {_MEND}") from None
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as err:
            raise ReplayError(f"The replay file {path} is damaged ({err}). {_MEND}") from err

    def state_dict(self) -> dict[str, Any]:
        """Return the manifest and the number of the next file, as plain data."""
        return {"manifest": [attrs.asdict(e) for e in self.entries], "number": self._number}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the files that a state names."""
        self.entries = [FileEntry(**entry) for entry in state["manifest"]]
        self._number = state["number"]


def prune(directory: Path, manifests: Iterable[Iterable[Mapping[str, Any]]]) -> list[str]:
    """Delete the replay files of a directory that no kept checkpoint names.

    Args:
        directory: where the files are; other files in it are left alone.
        manifests: `ReplayBuffer.manifest()` of every kept checkpoint, the newest included.
    Returns:
        The names of the deleted files, sorted.
    """
    kept = {entry["name"] for manifest in manifests for entry in manifest}
    gone = sorted(
        path.name
        for path in Path(directory).glob("*.npz*")
        if _OURS.fullmatch(path.name) and path.name not in kept
    )
    for name in gone:
        (Path(directory) / name).unlink(missing_ok=True)
    return gone


def to_plain(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Return columns as arrays of numbers: byte strings become their bytes and where each ends."""
    found = {}
    for name, values in columns.items():
        if values.dtype.hasobject:
            found[f"{name}.jpeg"], found[f"{name}.ends"] = join(values)
        else:
            found[name] = values
    return found


def from_plain(arrays: Mapping[str, Array], columns: Sequence[Column]) -> dict[str, Array]:
    """Return the columns that `to_plain` wrote."""
    return {
        c.name: split(arrays[f"{c.name}.jpeg"], arrays[f"{c.name}.ends"])
        if c.jpeg
        else arrays[c.name]
        for c in columns
    }


def to_tensors(arrays: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """Copy arrays into tensors, which `torch.load(weights_only=True)` reads."""
    return {name: torch.from_numpy(values.copy()) for name, values in arrays.items()}


def to_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    """Return the arrays behind tensors."""
    return {name: values.numpy() for name, values in tensors.items()}


def check_format(found: int, what: str) -> None:
    """Refuse what a later version wrote."""
    if found > FORMAT:
        raise ReplayError(
            f"{what} has replay format {found}, and this lzcore reads up to {FORMAT}. "
            "Upgrade lzcore to the version that wrote it."
        )


def _fingerprint(path: Path) -> int:
    """Return a number made of the checksums that the archive keeps of its members."""
    with zipfile.ZipFile(path) as archive:
        marks = [f"{member.filename}:{member.CRC}" for member in archive.infolist()]
    return zlib.crc32("\n".join(marks).encode())


def _read_columns(path: Path, entry: FileEntry, columns: Sequence[Column]) -> dict[str, Array]:
    """Read and check; reading a member to its end also checks its sum."""
    with np.load(path, allow_pickle=False) as archive:
        check_format(int(archive["format"]), f"The replay file {path}")
        members = (name for name in archive.files if name.startswith("column."))
        arrays = {name.removeprefix("column."): archive[name] for name in members}
        first = int(archive["first"])
    found = from_plain(arrays, columns)
    for column in columns:
        got, wanted = found[column.name], _wanted(entry, column)
        if (got.shape, got.dtype) != wanted or first != entry.first:
            raise ReplayError(
                f"The replay file {path} holds {got.dtype} {got.shape} from row {first} on as "
                f"{column.name!r}; expected {wanted[1]} {wanted[0]} from row {entry.first} on. "
                + _MEND
            )
    return found


def _wanted(entry: FileEntry, column: Column) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if column.jpeg:
        return (entry.rows,), np.dtype(object)
    return (entry.rows, *column.shape), column.dtype
