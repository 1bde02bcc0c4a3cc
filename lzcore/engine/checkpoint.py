"""Checkpoint files: a whole run in one file of tensors and plain data.

A file is what torch.save writes, a zip archive whose members carry checksums; they are verified
before anything is read. `checkpoints/000012.pt` was taken before iteration 12; the last few are
kept, and `best.pt` holds what plays as in the best evaluation so far.
"""

import io
import pickle
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import lzcore
from lzcore.base.errors import CheckpointError, LzError
from lzcore.engine.files import write_atomically, writing
from lzcore.engine.plain import from_plain, to_plain
from lzcore.replay.atomic import TEMPORARY

FORMAT = 1  # of the files; rises when an older lzcore could not read a newer file
BEST = "best.pt"


def save_file(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: where to.
        content: nested plain data, tensors and arrays.
    Raises:
        CheckpointError: it cannot be written, or holds something that is not data.
    """
    stamped = {"format": FORMAT, "lzcore": lzcore.__version__, **content}
    buffer = io.BytesIO()
    torch.save(to_plain(stamped, "checkpoint"), buffer)
    write_atomically(path, buffer.getbuffer())


def load_file(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing that it contains is run.

    Raises:
        CheckpointError: it is missing, damaged, of a newer format or no checkpoint at all; the
            message says which older one is kept beside it.
    """
    try:
        _verify(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as err:
        raise CheckpointError(f"There is no checkpoint file {path}.{_beside(path)}") from err
    except pickle.UnpicklingError as err:
        raise CheckpointError(
            f"{path} holds more than data and was not read: a checkpoint of lz runs no code."
        ) from err
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as err:
        why = " ".join(str(err).split()).partition(". ")[0] or type(err).__name__
        raise CheckpointError(f"The checkpoint {path} is damaged ({why}).{_others(path)}") from err
    _check_format(path, content)
    found: dict[str, Any] = from_plain(content)
    return found


@contextmanager
def fitting(path: Path, config: Path) -> Iterator[None]:
    """Load states of a policy inside; say in one line that a checkpoint does not fit it.

    Args:
        path: of the checkpoint.
        config: the file whose settings made the policy.
    Raises:
        CheckpointError: a state is missing, or of other weights.
    """
    try:
        yield
    except LzError:
        raise
    except (KeyError, RuntimeError, ValueError) as err:
        raise CheckpointError(
            f"{path} does not fit the policy that {config} describes "
            f"({' '.join(str(err).split())[:300]}). Use a checkpoint with the settings of its own "
            "run."
        ) from err


def _verify(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        bad = archive.testzip()
    if bad is not None:
        raise ValueError(f"the checksum of {bad} is wrong")


def _check_format(path: Path, content: Any) -> None:
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise CheckpointError(f"{path} is no checkpoint of lz: it states no format.")
    if content["format"] > FORMAT:
        raise CheckpointError(
            f"{path} has format {content['format']} and was written by lzcore "
            f"{content.get('lzcore')}; lzcore {lzcore.__version__} reads up to format {FORMAT}. "
            f'Install a newer one: pip install "lzcore>={content.get("lzcore")}".'
        )


def _others(path: Path) -> str:
    """Say what else could be used instead of `path`."""
    others = [other.name for other in numbered(path.parent) if other != path]
    if not others:
        return " No other checkpoint is kept beside it."
    if path.name == BEST:
        return f" {others[-1]} is kept beside it: use it with --checkpoint."
    return f" Move it away to go on from {others[-1]}, which is kept beside it."


def _beside(path: Path) -> str:
    """Say which checkpoints there are where `path` is not."""
    names = sorted(found.name for found in path.parent.glob("*.pt") if found != path)
    if names:
        return f" There are {', '.join(names)}."
    return " They are in the folder checkpoints of a run directory."


def numbered(directory: Path) -> list[Path]:
    """Return the checkpoints that a run can be resumed from, oldest first."""
    found = (path for path in directory.glob("*.pt") if path.stem.isdigit())
    return sorted(found, key=lambda path: int(path.stem))


class CheckpointStore:
    """The `checkpoints` folder of a run: the last few, and the best."""

    def __init__(self, directory: Path, keep: int) -> None:
        """Use a folder, which is made with the first checkpoint.

        Args:
            directory: of the checkpoints.
            keep: how many of the latest stay.
        """
        self._directory = directory
        self._keep = keep

    def save(self, iteration: int, content: Mapping[str, Any]) -> Path:
        """Write the checkpoint before `iteration`; then forget those that are too old."""
        path = self._ready() / f"{iteration:06d}.pt"
        save_file(path, content)
        with writing(path):
            for old in numbered(self._directory)[: -self._keep]:
                old.unlink()
        return path

    def save_as(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write a checkpoint that stays until it is written anew."""
        self._ready()
        path = self.path(name)
        save_file(path, content)
        return path

    def path(self, name: str) -> Path:
        """Return where `save_as` writes."""
        return self._directory / name

    def forget(self, names: Iterable[str]) -> None:
        """Delete what `save_as` wrote."""
        for name in names:
            with writing(self.path(name)):
                self.path(name).unlink(missing_ok=True)

    def kept(self) -> list[Path]:
        """Return the checkpoints that a run can be resumed from, oldest first."""
        return numbered(self._directory)

    def _ready(self) -> Path:
        with writing(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            for left_over in self._directory.glob(f"*{TEMPORARY}"):
                left_over.unlink()
        return self._directory
