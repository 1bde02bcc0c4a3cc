"""Positions mirrored and turned: a game that does not care gives several samples for one.

Shape letters: B samples, A actions, K slots of actions, H and W of the board, T symmetries.
"""

from collections.abc import Sequence

import numpy as np

from lzcore.base import ConfigError
from lzcore.base.tree import Array

KINDS = {"none": 1, "mirror": 2, "square": 8}  # how many there are: symmetry 0 changes nothing


class Symmetry:
    """What becomes of boards and of actions on them under each of T symmetries.

    Symmetry t mirrors left and right where t is odd, and then turns by t // 2 quarters. Actions
    are the columns of the board, or its cells row by row, to which one for passing may be added.

    Raises:
        ConfigError: the board or its actions have no such symmetries.
    """

    def __init__(self, kind: str, observation_shape: Sequence[int], num_actions: int) -> None:
        self.count = KINDS[kind]
        self._source = np.arange(num_actions)[None]  # (T, A) the action that each stands for now
        if self.count > 1:
            grid = _grid(kind, tuple(observation_shape), num_actions)
            extra = np.arange(grid.max() + 1, num_actions)  # passing stays as it is
            self._source = np.stack(
                [_seen(_changed(grid, t), extra, num_actions) for t in range(self.count)]
            )
        self._target = self._source.argsort(axis=1)  # (T, A) what each action becomes

    def boards(self, observation: Array, which: Array) -> Array:
        """Return (B, C, H, W) with symmetry `which` (B,) done to each sample."""
        if self.count == 1:
            return observation
        changed = observation.copy()
        for kind in np.unique(which):
            changed[which == kind] = _changed(observation[which == kind], int(kind))
        return changed

    def spread(self, values: Array, which: Array) -> Array:
        """Return (B, A), one number for each action, in their new order."""
        if self.count == 1:
            return values
        return np.take_along_axis(values, self._source[which], axis=1)

    def actions(self, actions: Array, which: Array) -> Array:
        """Return (B, K) actions under their new numbers; -1 stays -1."""
        if self.count == 1:
            return actions
        renamed = np.take_along_axis(self._target[which], np.maximum(actions, 0), axis=1)
        return np.where(actions < 0, actions, renamed)


def _grid(kind: str, shape: tuple[int, ...], num_actions: int) -> Array:
    """Return the (H, W) numbers of the actions where they stand on the board."""
    height, width = shape[-2:] if len(shape) == 3 else (0, 0)
    if height and num_actions in (height * width, height * width + 1):
        if kind == "mirror" or height == width:
            return np.arange(height * width).reshape(height, width)
    elif height and num_actions == width and kind == "mirror":
        return np.tile(np.arange(width), (height, 1))
    raise ConfigError(
        f"symmetry is {kind!r}, but observations have the shape {shape} and there are "
        f"{num_actions} actions; expected planes (channels, height, width) and as many actions as "
        "cells, one more for passing, or as columns (mirror alone), and for square a square "
        'board. Set symmetry to "none".'
    )


def _changed(board: Array, which: int) -> Array:
    """Return a board (..., H, W) under one symmetry."""
    mirrored = board[..., ::-1] if which % 2 else board
    return np.rot90(mirrored, which // 2, axes=(-2, -1))


def _seen(grid: Array, extra: Array, num_actions: int) -> Array:
    """Return (A,): which action now stands where each stood."""
    flat = grid.ravel()[: num_actions - len(extra)]  # a grid of columns repeats them in each row
    return np.concatenate([flat, extra])
