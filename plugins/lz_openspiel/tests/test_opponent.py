"""OpenSpiel's search as an opponent: strong enough, repeatable, and particular about its name."""

import numpy as np
import pytest
from lz_openspiel.opponent import MCTS
from lz_openspiel.simulator import OpenSpielGame

from lzcore.base import ConfigError
from lzcore.registry import get_registry
from lzcore.testing.noughts import Noughts

GAME = OpenSpielGame("tic_tac_toe")


def after(*moves):
    states = GAME.begin(np.zeros(1, np.uint64))
    for move in moves:
        states = GAME.play(states, np.array([move]))
    return states[0]


def seeds(*numbers):
    return np.array(numbers, np.uint64) << np.uint64(40)


@pytest.mark.parametrize(
    ("moves", "best"),
    [
        ((0, 3, 1, 4), 2),  # wins rather than blocks
        ((0, 3, 1), 2),  # blocks
        ((0, 3, 8, 4), 5),
        ((0, 3, 8, 4, 1), 5),
    ],
)
def test_it_wins_and_blocks(moves, best):
    assert MCTS(GAME, "400").act([after(*moves)], seeds(3)).tolist() == [best]


def test_an_action_depends_on_position_and_seed_alone():
    bot, states = MCTS(GAME, "3"), [after(), after(4), after()]
    together = bot.act(states, seeds(1, 2, 5))

    assert together.dtype == np.int64
    for row in range(3):
        alone = MCTS(GAME, "3").act(states[row : row + 1], seeds(1, 2, 5)[row : row + 1])
        assert alone.tolist() == together[row : row + 1].tolist()
    different = {int(bot.act([after()], seeds(seed))[0]) for seed in range(20)}
    assert len(different) > 3


def test_it_leaves_positions_alone():
    state = after(4)
    MCTS(GAME, "50").act([state], seeds(1))

    assert GAME.draw(state) == "...\n.x.\n..."


def test_the_registry_finds_it_and_a_number_is_not_needed():
    found = get_registry().resolve("opponents", "mcts")

    assert found is MCTS
    assert found(GAME, "").act([after(0, 3, 1, 4)], seeds(0)).tolist() == [2]


@pytest.mark.parametrize("argument", ["0", "-3", "many", "1e3", "3.5"])
def test_what_is_no_number_of_rollouts_is_refused(argument):
    with pytest.raises(ConfigError, match=rf"was told '{argument}'; expected how many rollouts"):
        MCTS(GAME, argument)


def test_games_that_it_cannot_play_are_refused():
    with pytest.raises(ConfigError, match="plays games of OpenSpiel; got Noughts"):
        MCTS(Noughts(), "10")
    with pytest.raises(ConfigError, match=r"plays games for two; 2048.* is for one"):
        MCTS(OpenSpielGame("2048"), "10")
