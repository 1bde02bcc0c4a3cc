"""Opponents: legal, seeded, and in the case of minimax without a mistake."""

import numpy as np
import pytest
from match_fakes import Race

from lzcore.base import ConfigError, derive_seed
from lzcore.envs.opponents import Minimax, RandomOpponent
from lzcore.testing.noughts import Noughts

GAME = Noughts()
SEEDS = derive_seed(3, np.arange(3000))


def board(text):
    return tuple(".xo".index(cell) for cell in text.replace("/", ""))


def play_out(first, second, seeds):
    """The values of whole games for player 1."""
    states, seeds = GAME.begin(seeds), seeds
    for ply in range(9):
        seen = GAME.look(states)
        on = np.flatnonzero(~seen.terminal)
        if not len(on):
            break
        player = (first, second)[ply % 2]
        action = player.act([states[i] for i in on], derive_seed(seeds[on], ply))
        for i, state in zip(on, GAME.play([states[i] for i in on], action), strict=True):
            states[i] = state
    seen = GAME.look(states)
    return np.where(seen.to_play == 1, seen.value, -seen.value)


# --- random ---------------------------------------------------------------------------------------


def test_random_draws_every_legal_action_alike_and_no_other():
    state = board("x.o/.x./o..")
    action = RandomOpponent(GAME, "").act([state] * 3000, SEEDS)

    counts = np.bincount(action, minlength=9)
    assert np.flatnonzero(counts).tolist() == [1, 3, 5, 7, 8]
    assert counts[counts > 0] == pytest.approx(600, abs=100)


@pytest.mark.parametrize("make", [RandomOpponent, Minimax])
def test_a_choice_follows_from_position_and_seed_alone(make):
    states = [board("........."), board("x...o...."), board("xox......")] * 5
    player, order = make(GAME, ""), np.array([3, 0, 2, 1])

    alone = np.concatenate([player.act([s], SEEDS[i : i + 1]) for i, s in enumerate(states)])

    assert player.act(states, SEEDS[:15]).tolist() == alone.tolist()
    assert player.act([states[i] for i in order], SEEDS[order]).tolist() == alone[order].tolist()


def test_random_takes_no_argument():
    with pytest.raises(ConfigError, match="\"random\" takes no argument; got '5'"):
        RandomOpponent(GAME, "5")


# --- minimax --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("........./", [0] * 9),
        ("x......../", [None, -1, -1, -1, 0, -1, -1, -1, -1]),  # only the middle holds
        ("xx./oo./...", [None, None, 1, None, None, 0, -1, -1, -1]),
    ],
)
def test_actions_are_worth_what_perfect_play_makes_of_them(text, worth):
    found = Minimax(GAME, "").worth_of_actions([board(text)])[0].tolist()

    assert found == [-np.inf if number is None else number for number in worth]


def test_equally_good_moves_are_drawn_alike():
    action = Minimax(GAME, "").act([board("x...o...x")] * 3000, SEEDS)

    counts = np.bincount(action, minlength=9)
    assert np.flatnonzero(counts).tolist() == [1, 3, 5, 7]
    assert counts[counts > 0] == pytest.approx(750, abs=110)


def test_it_never_loses_and_draws_against_itself():
    perfect, other = Minimax(GAME, ""), RandomOpponent(GAME, "")

    assert play_out(perfect, perfect, SEEDS[:50]).tolist() == [0.0] * 50
    assert play_out(perfect, other, SEEDS[:300]).min() == 0.0
    assert play_out(other, perfect, SEEDS[:300]).max() == 0.0


def test_positions_are_visited_once():
    assert len(Minimax(GAME, "")._worth) == 5478  # of noughts, empty board and ends included


class Wrapped(Noughts):
    """The same game, its states objects that are equal to themselves alone."""

    class State:
        def __init__(self, cells):
            self.cells = cells

    def begin(self, seeds):
        return [self.State(cells) for cells in super().begin(seeds)]

    def play(self, states, action):
        return [self.State(cells) for cells in super().play([s.cells for s in states], action)]

    def look(self, states):
        return super().look([state.cells for state in states])

    def draw(self, state):
        return super().draw(state.cells)


def test_states_that_do_not_compare_go_by_how_they_look():
    wrapped = Minimax(Wrapped(), "")
    state = Wrapped.State(board("x........"))

    assert len(wrapped._worth) == 5478
    assert wrapped.act([state] * 5, SEEDS[:5]).tolist() == [4] * 5


def test_with_chance_the_mean_over_outcomes_counts():
    game = Race()
    minimax = Minimax(game, "")

    # the last ply, player 2 to move
    states = [(2, 1, 3, False), (2, 2, 3, False), (4, 1, 3, False)]
    assert minimax.worth_of_actions(states).tolist() == [
        [0.0, 0.0],  # 2 : 2, or 2 : 1 and 2 : 4 in equal parts
        [1.0, 0.5],  # 2 : 3 wins; 2 : 2 or 2 : 5
        [-1.0, -0.5],  # 4 : 2 loses; 4 : 1 or 4 : 4
    ]
    # one ply earlier, player 1 has 1 : 1. Walking leaves 2 : 1, worth 0 to player 2; a throw leaves
    # 1 : 1 (he walks and wins) or 4 : 1 (he throws, -0.5)
    assert minimax.worth_of_actions([(1, 1, 2, False)]).tolist() == [[0.0, -0.25]]


def test_a_game_with_more_positions_is_refused_in_one_line():
    with pytest.raises(
        ConfigError, match=r"may visit 5,000 positions, and the game has more\. .*\"minimax:50000\""
    ) as told:
        Minimax(GAME, "5000")
    assert "\n" not in str(told.value)
    Minimax(GAME, "5478")


@pytest.mark.parametrize("argument", ["many", "0", "-3", "1.5"])
def test_an_argument_that_is_no_number_of_positions_is_refused(argument):
    with pytest.raises(ConfigError, match=f'"minimax:{argument}" names no number of positions'):
        Minimax(GAME, argument)


class Alone(Race):
    """The race of player 1 alone: walks and throws are rewards."""

    def look(self, states):
        seen = super().look(states)
        sums = np.array([state[0] + state[1] for state in states], float)
        mine = np.full(len(states), -1, np.int8)
        reward = np.where(seen.terminal, sums, 0.0)
        return seen._replace(to_play=mine, value=np.zeros(len(states)), reward=reward)


def test_a_game_for_one_is_played_for_its_rewards():
    minimax = Minimax(Alone(), "")

    assert minimax.worth_of_actions([(0, 0, 2, False)]).tolist() == [[2.5, 3.0]]  # 1.5 a throw
