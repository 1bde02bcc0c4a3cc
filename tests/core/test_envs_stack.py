"""Frames of each environment, stacked oldest first."""

import numpy as np
import pytest

from lzcore.base.env import ActionSpace, Spaces
from lzcore.envs.stack import FrameStack


def spaces(*shape, dtype=np.float32):
    return Spaces(
        frame_shape=shape,
        frame_dtype=np.dtype(dtype),
        kind="vector",
        action=ActionSpace("discrete", 2),
    )


def frames(*values, shape=(1,)):
    return np.stack([np.full(shape, value, np.float32) for value in values])


def ids(*values):
    return np.array(values, np.int64)


def test_an_episode_begins_with_copies_of_its_first_frame():
    stack = FrameStack(2, 3, spaces(1))
    stack.reset(ids(0, 1), frames(5, 7))

    assert stack.observation(ids(0, 1)).tolist() == [[5, 5, 5], [7, 7, 7]]


def test_the_newest_frame_comes_last_and_the_oldest_is_forgotten():
    stack = FrameStack(1, 3, spaces(1))
    stack.reset(ids(0), frames(1))
    seen = []
    for value in (2, 3, 4, 5):
        stack.push(ids(0), frames(value))
        seen.append(stack.observation(ids(0)).tolist()[0])

    assert seen == [[1, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]


def test_environments_move_on_independently():
    stack = FrameStack(3, 2, spaces(1))
    stack.reset(ids(0, 1, 2), frames(10, 20, 30))
    stack.push(ids(2, 0), frames(31, 11))
    stack.push(ids(2), frames(32))
    stack.reset(ids(0), frames(19))

    assert stack.observation(ids(2, 1, 0)).tolist() == [[31, 32], [20, 20], [19, 19]]


def test_pictures_are_stacked_along_their_channels():
    stack = FrameStack(1, 2, spaces(3, 2, 4, dtype=np.uint8))
    first, second = (
        np.arange(24, dtype=np.uint8).reshape(1, 3, 2, 4),
        np.zeros((1, 3, 2, 4), np.uint8),
    )
    stack.reset(ids(0), first)
    stack.push(ids(0), second)

    seen = stack.observation(ids(0))

    assert seen.shape == (1, 6, 2, 4)
    assert seen.dtype == np.uint8
    assert (seen[0, :3] == first[0]).all()
    assert (seen[0, 3:] == second[0]).all()


def test_what_was_handed_out_does_not_change_later():
    stack = FrameStack(1, 2, spaces(1))
    stack.reset(ids(0), frames(1))
    before = stack.observation(ids(0))
    stack.push(ids(0), frames(2))

    assert before.tolist() == [[1, 1]]


@pytest.mark.parametrize("size", [1, 3])
def test_asking_for_no_environment_gives_an_empty_batch(size):
    stack = FrameStack(2, size, spaces(1))
    stack.reset(ids(0, 1), frames(1, 2))
    stack.push(ids(), np.empty((0, 1), np.float32))

    assert stack.observation(ids()).shape == (0, size)


class TestASingleFrame:
    def test_is_handed_on_without_a_copy(self):
        stack = FrameStack(2, 1, spaces(1))
        pushed = frames(1, 2)
        stack.push(ids(0, 1), pushed)

        assert stack.observation(ids(0, 1)) is pushed

    def test_is_found_for_any_choice_of_environments(self):
        stack = FrameStack(3, 1, spaces(1))
        stack.reset(ids(0, 1, 2), frames(1, 2, 3))
        stack.push(ids(0, 2), frames(10, 30))
        stack.reset(ids(1), frames(20))

        assert stack.observation(ids(2, 0)).tolist() == [[30], [10]]
        assert stack.observation(ids(0, 1, 2)).tolist() == [[10], [20], [30]]
