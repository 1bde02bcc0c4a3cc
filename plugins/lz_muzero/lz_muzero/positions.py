"""Positions of sampled windows: which of them exist, and what is seen there.

T is the number of transitions of an episode, so `steps_left` is T - t, and position T has an
observation but no action.

Shape letters: B sampled positions, W rows of a window, M single positions, S stacked frames,
F one frame.
"""

import numpy as np
import numpy.typing as npt

from lz_muzero.decisions import Array


def has_action(steps_left: Array, width: int) -> npt.NDArray[np.bool_]:
    """Return (B, width): whether position t + column lies before the end of its episode."""
    return np.arange(width) < steps_left[:, None]


def join_frames(frames: Array) -> Array:
    """(B, W, *F) frames -> (B, W * F0, *F[1:]), oldest first along the first axis of a frame."""
    return frames.reshape(len(frames), -1, *frames.shape[3:])


def stacked_at(frames: Array, row: Array, position: Array, frame_stack: int) -> Array:
    """Stack the frames of single positions.

    Args:
        frames: (B, W, *F).
        row: (M,) sample numbers.
        position: (M,) entry of the oldest frame of each stack.
        frame_stack: S.
    Returns:
        (M, S * F0, *F[1:]).
    """
    return join_frames(frames[row[:, None], position[:, None] + np.arange(frame_stack)])
