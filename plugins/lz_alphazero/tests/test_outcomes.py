"""What a game came to, at every ply, for whoever moved there."""

import numpy as np
import pytest
from lz_alphazero.outcomes import outcomes

from lzcore.envs.games import GameEnv
from lzcore.testing.noughts import Noughts


def alternating(length):
    return np.arange(length) % 2 + 1


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([0, 0, 0, 0, 1], [1, -1, 1, -1, 1]),  # the first player made the last move and won
        ([0, 0, 0, 1], [-1, 1, -1, 1]),  # the second one did
        ([0, 0, 0], [0, 0, 0]),  # a draw is no win for anybody
        ([0, 0, -1], [-1, 1, -1]),  # whoever moved last lost by it
        ([0, 0.5, 0.5], [0, 0, 0]),  # gains of both cancel out
    ],
)
def test_a_result_is_seen_from_both_sides_at_every_ply(rewards, expected):
    found = outcomes(np.array(rewards, float), alternating(len(rewards)), finished=True)

    assert found.tolist() == expected
    assert found.dtype == np.float32


def test_a_player_who_moves_twice_keeps_his_sign():
    found = outcomes(np.array([0, 0, 0, 1.0]), np.array([1, 2, 2, 1]), finished=True)

    assert found.tolist() == [1, -1, -1, 1]


def test_a_game_that_was_broken_off_counts_as_drawn():
    assert outcomes(np.array([1.0, 0.0]), alternating(2), finished=False).tolist() == [0, 0]


@pytest.mark.parametrize("finished", [True, False])
def test_with_one_player_it_is_the_sum_of_rewards_to_come(finished):
    found = outcomes(np.array([1.0, 0.0, 5.0]), np.full(3, -1), finished=finished)

    assert found.tolist() == [6, 5, 5]


def test_games_are_stored_with_their_outcomes(make_policy, play):
    games = play(make_policy(), 12)

    assert {float(game.columns["outcome"][game.length - 1]) for game in games} >= {0.0, 1.0}
    for game in games:
        rows = slice(game.length)
        outcome, mover = game.columns["outcome"][rows], game.columns["to_play"][rows]
        last = game.columns["reward"][game.length - 1]  # 1: whoever made the last move won
        assert outcome.tolist() == [last if who == mover[-1] else -last for who in mover]


def test_games_that_reach_max_moves_are_drawn_for_both_players(make_policy, play, kind):
    """Six moves are enough for some games; the others are broken off."""
    games = play(make_policy(kind), 12, env=GameEnv(Noughts(), 3, {"max_moves": 6}))
    lengths = {True: set(), False: set()}

    for game in games:
        assert game.ended
        lengths[game.terminated].add(game.length)
        assert set(game.columns["to_play"][: game.length]) == {1, 2}
        outcome = game.columns["outcome"][: game.length]
        assert (outcome != 0).tolist() == [game.terminated] * game.length
    assert lengths[True] <= {5, 6}
    assert lengths[True]
    assert lengths[False] == {6}
