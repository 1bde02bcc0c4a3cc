"""Writing the files of a run; what the system refuses becomes one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lzcore.base.errors import CheckpointError
from lzcore.replay.atomic import replacing


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into one line that names the file.

    Raises:
        CheckpointError: for any OSError inside.
    """
    try:
        yield
    except OSError as err:
        raise CheckpointError(
            f"Cannot write {path}: {err.strerror or err}. "
            "Make room or give permission there, or choose another directory."
        ) from err


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that `path` holds what it held before or all of `data`.

    Raises:
        CheckpointError: the disk is full, the directory is not writable, and the like; what
            stood at `path` before still does.
    """
    with writing(path), replacing(path) as file:
        file.write(data)
