"""Frames of the positions of a window."""

import numpy as np
from lz_muzero import positions


def test_stacks_are_consecutive_frames_along_the_first_axis_of_a_frame():
    frames = np.arange(2 * 4 * 2).reshape(2, 4, 2)  # two samples, four frames of two numbers

    found = positions.stacked_at(frames, np.array([1, 0]), np.array([0, 2]), 2)

    assert found.tolist() == [[8, 9, 10, 11], [4, 5, 6, 7]]


def test_frames_join_oldest_first():
    frames = np.arange(6).reshape(1, 3, 2, 1, 1)

    assert positions.join_frames(frames).tolist() == [[[[v]] for v in range(6)]]
