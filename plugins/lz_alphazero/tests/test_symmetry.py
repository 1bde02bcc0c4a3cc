"""Mirrored and turned positions, by hand, and that what is learned of them is as true."""

import numpy as np
import pytest
from lz_alphazero.symmetry import Symmetry

from lzcore.base import ConfigError
from lzcore.testing.noughts import Noughts

BOARD = np.arange(6.0).reshape(1, 1, 2, 3)  # 0 1 2 over 3 4 5


def test_a_mirrored_board_of_cells_has_its_columns_swapped():
    mirror, one = Symmetry("mirror", (1, 2, 3), 7), np.array([1])
    chances = np.array([[10, 11, 12, 13, 14, 15, 99]])  # of the cells, and of passing

    assert mirror.boards(BOARD, one)[0, 0].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert mirror.spread(chances, one).tolist() == [[12, 11, 10, 15, 14, 13, 99]]
    assert mirror.actions(np.array([[0, 4, 6, -1]]), one).tolist() == [[2, 4, 6, -1]]


def test_actions_that_are_columns_swap_with_them():
    mirror, one = Symmetry("mirror", (1, 2, 3), 3), np.array([1])

    assert mirror.spread(np.array([[7, 8, 9]]), one).tolist() == [[9, 8, 7]]
    assert mirror.actions(np.array([[0, 1, -1]]), one).tolist() == [[2, 1, -1]]


def test_a_square_board_is_seen_in_eight_ways_and_actions_go_with_their_cells():
    square, which = Symmetry("square", (1, 3, 3), 9), np.arange(8)
    boards = np.arange(9.0).reshape(1, 1, 3, 3).repeat(8, axis=0)
    seen = square.boards(boards, which)

    assert len({tuple(board.ravel()) for board in seen}) == 8
    # a number for each action that is the number on its cell stays so
    assert np.array_equal(square.spread(boards.reshape(8, 9), which), seen.reshape(8, 9))
    # and an action under its new number is where its cell went
    renamed = square.actions(np.full((8, 1), 5), which)
    assert np.take_along_axis(seen.reshape(8, 9), renamed, axis=1).ravel().tolist() == [5] * 8


def test_each_sample_has_its_own_and_none_changes_nothing():
    mirror = Symmetry("mirror", (1, 2, 3), 3)
    seen = mirror.boards(BOARD.repeat(2, axis=0), np.array([0, 1]))

    assert np.array_equal(seen[0], BOARD[0])
    assert np.array_equal(seen[1], BOARD[0, ..., ::-1])
    none = Symmetry("none", (5,), 4)
    assert none.count == 1
    assert none.spread(np.array([[1, 2, 3, 4]]), np.array([0])).tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("kind", "shape", "actions"),
    [
        ("mirror", (5,), 5),  # no board
        ("mirror", (1, 2, 3), 4),  # neither columns nor cells
        ("square", (1, 2, 3), 6),  # no square
        ("square", (1, 3, 3), 3),  # columns do not turn
    ],
)
def test_a_board_without_the_symmetry_is_refused(kind, shape, actions):
    with pytest.raises(ConfigError, match=f'symmetry is {kind!r}.*Set symmetry to "none"'):
        Symmetry(kind, shape, actions)


@pytest.mark.parametrize("kind", ["alphazero", "gumbel_alphazero", "sampled_alphazero"])
def test_what_a_batch_says_of_moves_goes_with_the_board(make_policy, fill, kind):
    policy = make_policy(kind, {"symmetry": "square", "mask_illegal_actions": True})
    batch = fill(policy).sample(64, policy)
    boards = batch["obs"]["observation"]
    free = Noughts().spaces.action.size - boards[:, :2].sum(axis=(1, 2, 3))

    assert len(np.unique(boards, axis=0)) > 8
    assert np.array_equal(batch["action_mask"], (boards[:, :2].sum(axis=1) == 0).reshape(64, 9))
    assert np.array_equal(batch["action_mask"].sum(axis=1), free)
    if kind == "sampled_alphazero":
        for mask, actions in zip(batch["action_mask"], batch["root_sampled_actions"], strict=True):
            assert mask[actions[actions >= 0]].all()
    else:
        [name] = policy.target_names
        assert not batch[name][~batch["action_mask"]].any()
