"""Log files of one JSON object a line, which can be cut back to where a checkpoint was taken.

`metrics.jsonl` holds nothing that depends on the clock: equal seeds give equal bytes. Times are in
`times.jsonl`.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lzcore.base.errors import CheckpointError
from lzcore.engine.files import writing


def to_json(record: Mapping[str, Any]) -> str:
    """Return one line; numbers that are not finite become null."""
    return json.dumps(_plain(record), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class JsonLines:
    """Appends records to a file; they are on disk once `sync` has returned."""

    def __init__(self, path: Path, size: int) -> None:
        """Continue a file after its first `size` bytes; what follows them is cut off.

        Raises:
            CheckpointError: the file is shorter than that, or cannot be written.
        """
        self.path = path
        with writing(path):
            self._file = open(path, "ab")  # noqa: SIM115 (closed by `close`)
            found = self._file.seek(0, os.SEEK_END)
            if found >= size:
                self._file.truncate(size)
                self._file.seek(size)  # cutting alone leaves the place, and so `sync`, behind it
        if found < size:
            self._file.close()
            raise CheckpointError(
                f"{path} has {found} bytes, but had {size} when the checkpoint was taken: it was "
                "cut since. Restore it, or resume from an older checkpoint by moving this one away."
            )

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one record."""
        with writing(self.path):
            self._file.write(to_json(record).encode() + b"\n")

    def flush(self) -> None:
        """Let readers see what was added."""
        with writing(self.path):
            self._file.flush()

    def sync(self) -> int:
        """Put everything on disk and return the size of the file in bytes."""
        with writing(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            return self._file.tell()

    def close(self) -> None:
        """Let go of the file."""
        with writing(self.path):
            self._file.close()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read the records of a file in order."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
