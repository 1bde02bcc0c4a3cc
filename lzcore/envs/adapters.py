"""Observations and actions between a Gymnasium environment and a policy.

Pictures stay uint8 and become (C, H, W); everything else becomes float32. Vectors keep their
numbers; Discrete, MultiBinary and MultiDiscrete observations are flattened as
`gymnasium.spaces.flatten` does, one-hot. Actions of a Box are scaled from (-1, 1).

Shape letters: n environments addressed by a call, F one frame's shape, D action width.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium import spaces
from PIL import Image

from lzcore.base.env import ActionSpace, Array
from lzcore.base.errors import EnvError
from lzcore.envs.config import GymSettings


class Observations(NamedTuple):
    """What becomes of an environment's observations."""

    shape: tuple[int, ...]  # F
    dtype: np.dtype[Any]
    kind: Literal["vector", "image", "board"]
    convert: Callable[[Sequence[Any]], Array]  # n raw observations -> (n, *F), a new array
    notes: tuple[str, ...]  # for people


class Actions(NamedTuple):
    """How decisions become an environment's actions."""

    space: ActionSpace
    convert: Callable[[Array], list[Any]]  # (n,) int64 or (n, D) float32 -> n raw actions
    notes: tuple[str, ...]


def observations(space: spaces.Space[Any], settings: GymSettings, name: str) -> Observations:
    """Choose how observations of `space` are shown to a policy.

    Raises:
        EnvError: the space holds something else than arrays, or the settings do not fit it.
    """
    if isinstance(space, spaces.Box) and _is_picture(space):
        return _pictures(space, settings, name)
    if settings.image_size is not None or settings.gray:
        key = "image_size" if settings.image_size is not None else "gray"
        raise EnvError(f"env.{key} is set, but {name} shows no pictures: {short(space)}.")
    if isinstance(space, spaces.Box) and len(space.shape) == 3:
        return _planes(space, settings, name)
    if isinstance(space, spaces.Box) and len(space.shape) < 3:
        return _vectors(space, name)
    if isinstance(space, (spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)):
        return _flattened(space, name)
    if isinstance(space, spaces.Box):
        raise EnvError(
            f"{name} shows arrays of {len(space.shape)} axes ({short(space)}); "
            "up to three can be read. Flatten or stack them in the environment."
        )
    raise EnvError(
        f"{name} shows {type(space).__name__} observations; Box, Discrete, MultiBinary and "
        "MultiDiscrete can be read. Flatten it in an environment of your own, given as module:Id "
        "or callable (gymnasium.wrappers.FlattenObservation does it for Dict and Tuple); a mask of "
        'legal actions is not part of it, but goes into info["action_mask"].'
    )


def actions(space: spaces.Space[Any], name: str) -> Actions:
    """Choose how decisions become actions of `space`.

    Raises:
        EnvError: the space is neither Discrete nor a bounded Box of floats.
    """
    if isinstance(space, spaces.Discrete):
        first = int(space.start)
        notes = (f"actions: counted from {first}",) if first else ()
        convert = partial(_offset, first) if first else _plain
        return Actions(ActionSpace("discrete", int(space.n)), convert, notes)
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise EnvError(
            f"{name} takes actions of {short(space)}; Discrete and Box of floats can be played."
        )
    if not space.is_bounded():
        raise EnvError(
            f"{name} takes actions without bounds ({short(space)}), which cannot be scaled from "
            "(-1, 1). Wrap it in gymnasium.wrappers.ClipAction, or bound its action space."
        )
    lo, hi = space.low.ravel(), space.high.ravel()
    notes = (f"actions: scaled from (-1, 1) to {_range(lo)} .. {_range(hi)}",)
    return Actions(ActionSpace("continuous", lo.size), _scaler(space), notes)


def short(space: spaces.Space[Any]) -> str:
    """Name a space on one line, without long lists of bounds."""
    text = " ".join(str(space).split())
    if isinstance(space, spaces.Box) and len(text) > 80:
        return f"Box({space.shape}, {space.dtype})"
    return text


# --- observations -------------------------------------------------------------------------------


def _is_picture(space: spaces.Box) -> bool:
    full = space.dtype == np.uint8 and space.low.min(initial=255) == 0
    return bool(full and space.high.max(initial=0) == 255 and len(space.shape) in (2, 3))


def _pictures(space: spaces.Box, settings: GymSettings, name: str) -> Observations:
    first = _channels_first(space, settings)
    height, width, count = _hwc(space.shape, first)
    gray = settings.gray and count == 3
    side = settings.image_size
    notes = ["pictures: colour to grey"] if gray else []
    if side:
        notes.append(f"pictures: scaled from {height}x{width} to {side}x{side}")
    shape = (1 if gray else count, side or height, side or width)

    def convert(raw: Sequence[Any]) -> Array:
        seen = _stacked(raw, space, name, None)
        if seen.dtype != np.uint8:
            raise EnvError(
                f"{name} declares pictures of uint8, but returned {seen.dtype}. "
                "Mend its observation or its observation_space."
            )
        seen = seen.reshape(len(raw), height, width, 1) if seen.ndim == 3 else seen
        if first:
            seen = np.moveaxis(seen, 1, -1)  # (n, H, W, C) from here on
        if gray or (side and (height, width) != (side, side)):
            seen = np.stack([_redrawn(picture, gray, side) for picture in seen])
        return np.ascontiguousarray(np.moveaxis(seen, -1, 1))

    return Observations(shape, np.dtype(np.uint8), "image", convert, tuple(notes))


def _redrawn(picture: Array, gray: bool, side: int | None) -> Array:
    """Grey and scale one (H, W, C) uint8 picture."""
    if picture.shape[2] not in (1, 3):  # each channel on its own
        parts = np.split(picture, picture.shape[2], axis=2)
        return np.concatenate([_redrawn(part, gray, side) for part in parts], axis=2)
    image = Image.fromarray(
        np.ascontiguousarray(picture.squeeze(2) if picture.shape[2] == 1 else picture)
    )
    if gray:
        image = image.convert("L")  # 0.299 R + 0.587 G + 0.114 B
    if side:
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.atleast_3d(np.asarray(image))


def _planes(space: spaces.Box, settings: GymSettings, name: str) -> Observations:
    first = _channels_first(space, settings)
    height, width, count = _hwc(space.shape, first)

    def convert(raw: Sequence[Any]) -> Array:
        seen = _stacked(raw, space, name, np.float32)
        return seen if first else np.ascontiguousarray(np.moveaxis(seen, -1, 1))

    return Observations((count, height, width), np.dtype(np.float32), "board", convert, ())


def _vectors(space: spaces.Box, name: str) -> Observations:
    size = int(np.prod(space.shape))

    def convert(raw: Sequence[Any]) -> Array:
        return _stacked(raw, space, name, np.float32).reshape(len(raw), size)

    flat = len(space.shape) == 1
    notes = () if flat else (f"observations: {space.shape} laid out as one vector",)
    return Observations((size,), np.dtype(np.float32), "vector", convert, notes)


def _flattened(space: spaces.Space[Any], name: str) -> Observations:
    size = spaces.flatdim(space)

    def convert(raw: Sequence[Any]) -> Array:
        try:
            return np.array([spaces.flatten(space, one) for one in raw], np.float32)
        except (TypeError, ValueError, LookupError) as err:
            raise EnvError(
                f"{name} declares observations of {space}, but returned {raw}. "
                "Mend its observation or its observation_space."
            ) from err

    note = f"observations: {space} as {size} numbers of 0 or 1"
    return Observations((size,), np.dtype(np.float32), "vector", convert, (note,))


def _stacked(raw: Sequence[Any], space: spaces.Box, name: str, dtype: Any) -> Array:
    """Return (n, *shape of the space) in one array of its own."""
    try:
        seen = np.array(raw, dtype)
    except (TypeError, ValueError):  # unlike shapes, or no numbers
        seen = np.empty(0)
    if seen.shape != (len(raw), *space.shape):
        found = next((s for one in raw if (s := _shape_of(one)) != space.shape), "other things")
        raise EnvError(
            f"{name} declares observations of shape {space.shape}, but returned {found}. "
            "Mend its observation or its observation_space."
        )
    return seen


def _shape_of(raw: Any) -> tuple[int, ...] | str:
    try:
        return tuple(np.shape(raw))
    except ValueError:  # a ragged list
        return type(raw).__name__


def _channels_first(space: spaces.Box, settings: GymSettings) -> bool:
    if len(space.shape) < 3 or settings.channels != "auto":
        return len(space.shape) == 3 and settings.channels == "first"
    a, b, c = space.shape
    if (a == b) != (b == c):  # two equal axes are height and width
        return b == c
    if a != c:
        return a < c
    return space.dtype != np.uint8


def _hwc(shape: tuple[int, ...], first: bool) -> tuple[int, int, int]:
    if len(shape) == 2:
        return shape[0], shape[1], 1
    a, b, c = shape
    return (b, c, a) if first else (a, b, c)


# --- actions ------------------------------------------------------------------------------------


def _plain(action: Array) -> list[Any]:
    return list(action.tolist())


def _offset(first: int, action: Array) -> list[Any]:
    return _plain(action + first)


def _scaler(space: spaces.Box) -> Callable[[Array], list[Any]]:
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)

    def scaled(action: Array) -> list[Any]:
        part = (np.clip(action, -1.0, 1.0).reshape(len(action), *space.shape) + 1.0) / 2.0
        raw = (low * (1.0 - part) + high * part).astype(space.dtype)
        return list(np.clip(raw, space.low, space.high))  # rounding may pass a bound

    return scaled


def _range(bounds: Array) -> str:
    return f"{bounds[0]:g}" if (bounds == bounds[0]).all() else str(bounds.tolist())
