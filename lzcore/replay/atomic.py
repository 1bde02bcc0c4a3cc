"""Files that are complete once they have their name: a crash leaves the old one or the new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp"  # what the name of a file ends in until it is complete


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file beside its place; when the block ends, sync it and move it there in one step.

    Raises:
        OSError: it cannot be written; what stood at `path` still does, and nothing is beside it.
    """
    aside = path.with_name(path.name + TEMPORARY)
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    """Make renames in a directory last through a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
