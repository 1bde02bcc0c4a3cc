"""2048 on nine cells keeps its rules, and tells what chance did."""

import gymnasium
import numpy as np
import pytest
from lz_muzero.games import Small2048, legal, slid, slid_left

from lzcore.envs.check import examine
from lzcore.envs.gym import GymEnv

MODULE_ID = "lz_muzero.games:Small2048-v0"
LEFT, UP, RIGHT, DOWN = range(4)


def at(*rows):
    """A game with this board, written in tiles."""
    game = Small2048()
    game.reset(seed=0)
    game.board = np.log2(np.maximum(np.array(rows), 1)).astype(np.int64)
    return game


def tiles(board):
    return np.where(board == 0, 0, 2**board).tolist()


@pytest.mark.parametrize(
    ("row", "after", "reward"),
    [
        ((0, 0, 0), (0, 0, 0), 0),
        ((0, 0, 1), (1, 0, 0), 0),
        ((1, 2, 1), (1, 2, 1), 0),
        ((1, 0, 1), (2, 0, 0), 4),
        ((2, 2, 2), (3, 2, 0), 8),  # of three equal tiles the first two merge
        ((1, 1, 2), (2, 2, 0), 4),  # a merged tile does not merge again
        ((2, 1, 1), (2, 2, 0), 4),
        ((9, 9, 0), (10, 0, 0), 1024),
    ],
)
def test_a_row_slides_and_merges(row, after, reward):
    assert slid_left(row) == (after, reward)


@pytest.mark.parametrize(
    ("action", "after", "reward"),
    [
        (LEFT, [[4, 0, 0], [8, 0, 0], [2, 16, 0]], 20),
        (UP, [[2, 2, 8], [8, 8, 0], [2, 0, 0]], 0),
        (RIGHT, [[0, 0, 4], [0, 0, 8], [0, 2, 16]], 20),
        (DOWN, [[2, 0, 0], [8, 2, 0], [2, 8, 8]], 0),
    ],
)
def test_tiles_slide_to_the_side_that_the_action_names(action, after, reward):
    board, earned = slid(at([2, 2, 0], [8, 0, 0], [2, 8, 8]).board, action)

    assert tiles(board) == after
    assert earned == reward


def test_only_what_moves_a_tile_is_legal():
    assert legal(at([2, 4, 8], [4, 8, 2], [0, 0, 0]).board) == [DOWN]
    assert legal(at([2, 4, 8], [4, 8, 2], [2, 4, 4]).board) == [LEFT, RIGHT]
    assert legal(at([2, 4, 8], [4, 8, 2], [2, 4, 8]).board) == []


def test_an_action_that_moves_nothing_is_refused():
    with pytest.raises(ValueError, match=r"Action 0 moves no tile\. Legal: \[3\]\."):
        at([2, 4, 8], [4, 8, 2], [0, 0, 0]).step(LEFT)


def test_the_new_tile_is_where_and_what_the_outcome_says():
    seen = {}
    game = Small2048()
    game.reset(seed=1)
    for _ in range(3000):
        game.board = at([2, 4, 0], [4, 2, 0], [2, 4, 4]).board
        after = slid(game.board, LEFT)[0]
        observation, reward, *ends, info = game.step(LEFT)
        cell, four = divmod(info["chance"], 2)
        expected = after.copy()
        expected.flat[cell] = 1 + four
        assert (game.board == expected).all()
        assert after.flat[cell] == 0
        assert (observation.reshape(9, 11).argmax(1) == game.board.ravel()).all()
        assert (reward, ends) == (8.0, [False, False])
        seen[info["chance"]] = seen.get(info["chance"], 0) + 1 / 3000

    empty = (2, 5, 8)
    shares = {2 * c: 0.3 for c in empty} | {2 * c + 1: 0.1 / 3 for c in empty}
    assert seen == pytest.approx(shares, abs=0.03)


def test_the_game_ends_when_nothing_moves():
    game = at([8, 16, 8], [16, 8, 16], [0, 4, 32])  # whatever tile comes, it fits nowhere

    _, reward, over, truncated, info = game.step(LEFT)

    assert (reward, over, truncated) == (0.0, True, False)
    assert info["action_mask"].tolist() == [1, 1, 1, 1]


def test_equal_seeds_play_equal_games():
    def play(seed):
        game = gymnasium.make(MODULE_ID)
        observation, info = game.reset(seed=seed)
        told = [observation]
        for _ in range(12):
            observation, *_, info = game.step(int(np.flatnonzero(info["action_mask"])[-1]))
            told.append(observation)
        return np.array(told)

    assert (play(5) == play(5)).all()
    assert (play(5) != play(6)).any()


def test_a_run_finds_the_game_its_mask_and_its_outcomes_by_its_id():
    env = GymEnv(MODULE_ID, 1)
    seen = env.reset(np.zeros(1, np.int64), np.ones(1, np.uint64))
    action = np.flatnonzero(seen.action_mask[0])[:1]
    after = env.step(np.zeros(1, np.int64), action).observed

    cell, four = divmod(int(after.chance[0]), 2)
    assert after.observation[0].reshape(9, 11)[cell, 1 + four] == 1.0


def test_check_env_finds_nothing_wrong_with_it():
    assert examine(lambda: GymEnv(MODULE_ID, 1)).wrong == 0
