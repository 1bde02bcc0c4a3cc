"""Frames that the replay keeps as JPEG: bytes of their own length, one string for each row.

What is stored are the bytes, so a frame that is decoded twice looks the same twice; it differs a
little from the one that was pushed.

Shape letters: n frames, C channels (1 grey, 3 red, green and blue), H height, W width,
N bytes of all of them.
"""

import io
import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image

from lzcore.base.errors import ConfigError
from lzcore.base.replay import Array, Column

BYTES_BESIDE = sys.getsizeof(b"") + 8  # memory of a row besides its JPEG: head and pointer
_QUALITY = 95  # of 100; flat colours and edges of games come back within a few levels


def check_jpeg(column: Column) -> None:
    """Refuse a column that is to be kept as JPEG and cannot be.

    Raises:
        ConfigError: it is no uint8 picture of one or three channels, or it is rewritten.
    """
    what = f"Column {column.name!r} is {column.dtype} {column.shape}"
    if column.dtype != np.uint8 or len(column.shape) != 3 or column.shape[0] not in (1, 3):
        raise ConfigError(
            f"{what}, which JPEG cannot hold; expected uint8 (channels, height, width) with 1 or 3 "
            "channels. Keep it as it is."
        )
    if column.changing:
        raise ConfigError(f"{what} and changing; only fixed columns are kept as JPEG.")


def encode(frames: Array) -> Array:
    """(n, C, H, W) uint8 -> (n,) byte strings."""
    return _strings([_encoded(frame) for frame in frames.astype(np.uint8, copy=False)])


def decode(packed: Array, shape: tuple[int, ...]) -> Array:
    """(n,) byte strings of frames of one shape (C, H, W) -> (n, C, H, W) uint8."""
    frames = np.empty((len(packed), *shape), np.uint8)
    for frame, text in zip(frames, packed.tolist(), strict=True):
        picture = np.asarray(Image.open(io.BytesIO(text), formats=("JPEG",)))
        frame[:] = picture if shape[0] == 1 else picture.transpose(2, 0, 1)
    return frames


def sizes(packed: Array) -> Array:
    """Return the length (n,) int64 of each byte string (n,)."""
    return np.fromiter(map(len, packed.tolist()), np.int64, len(packed))


def join(packed: Array) -> tuple[Array, Array]:
    """(n,) byte strings -> all their bytes (N,) uint8, and where each ends (n,) int64."""
    return np.frombuffer(b"".join(packed.tolist()), np.uint8), np.cumsum(sizes(packed))


def split(content: Array, ends: Array) -> Array:
    """Undo `join`.

    Raises:
        ValueError: the ends do not cut up so many bytes.
    """
    cuts = np.concatenate(([0], ends)).tolist()
    if content.dtype != np.uint8 or cuts != sorted(cuts) or cuts[-1] != content.size:
        raise ValueError(f"{content.size} bytes of JPEG do not make {len(ends)} frames.")
    whole = content.tobytes()
    return _strings([whole[a:b] for a, b in pairwise(cuts)])


def _encoded(frame: Array) -> bytes:
    picture = frame[0] if len(frame) == 1 else np.ascontiguousarray(frame.transpose(1, 2, 0))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _strings(values: Sequence[bytes]) -> Array:
    found = np.empty(len(values), object)
    found[:] = values
    return found
