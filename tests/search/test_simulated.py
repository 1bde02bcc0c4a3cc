"""A search that knows the rules plays them on, and asks a network about unfinished games alone."""

from functools import cache

import numpy as np
import pytest

from lzcore.base import ConfigError, Positions, TreeSpec
from lzcore.search import SimulatedDynamics, make_tree, search
from lzcore.testing.noughts import Noughts

GAME = Noughts()


class Network:
    """Says that all moves are equally good and nothing is known, and remembers what it saw."""

    def __init__(self):
        self.calls = []

    def __call__(self, observation, legal):
        self.calls.append((observation, legal))
        return np.zeros(legal.shape), np.zeros(len(legal))


def board(text):
    return tuple(".xo".index(cell) for cell in text.replace("/", ""))


def searched(boards, simulations=200, network=None, tree="lz_ptree", **given):
    spec = TreeSpec(num_simulations=simulations, num_actions=9)
    network = network or Network()
    dynamics = SimulatedDynamics(GAME, network, spec, **given)
    found = search(make_tree(tree, spec), dynamics, boards, num_simulations=simulations)
    return found, dynamics, network


@cache
def minimax(state):
    """The value of a board for the player to move."""
    seen = GAME.look([state])
    if seen.terminal[0]:
        return seen.value[0]
    moves = np.flatnonzero(seen.legal_actions[0])
    return max(-minimax(GAME.play([state], np.array([move]))[0]) for move in moves)


@pytest.mark.parametrize("tree", ["lz_ptree", "lz_ctree"])
@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("xx./oo./...", 2),  # win rather than block
        ("xx./o../..o", 2),
        ("x../.o./..x", None),  # a draw for both
        ("xo./.x./o..", 8),
        ("x.o/.../x.o", 3),  # each could win: who moves does
    ],
)
def test_a_search_without_a_network_finds_what_minimax_finds(text, best, tree):
    state = board(text)
    found, *_ = searched([state], 1200, tree=tree)
    choice = int(found.visit_count[0].argmax())

    after = GAME.play([state], np.array([choice]))[0]
    assert -minimax(after) == minimax(state)
    assert best is None or choice == best
    assert found.value[0] == pytest.approx(minimax(state), abs=0.25)


def test_a_won_game_is_worth_its_outcome_and_is_never_asked_about():
    found, _, network = searched([board("xx./oo./...")], 60)

    assert found.q_value[0, 2] == 1.0
    for observation, legal in network.calls:
        assert legal.any(axis=1).all()
        assert observation.shape[1:] == (3, 3, 3)


def test_all_roots_are_asked_about_in_one_call():
    _, _, network = searched([board("........."), board("x........"), board("xo.......")], 5)

    assert [len(observation) for observation, _ in network.calls] == [3] * 6


def test_a_root_of_the_second_player_is_seen_by_him():
    found, *_ = searched([board("xx./.oo/x..")], 400)

    assert found.visit_count[0].argmax() == 3
    assert found.value[0] > 0.5


def test_a_game_that_reaches_max_moves_is_drawn_unless_it_is_won_there():
    state = board("xx./oo./...")  # four stones; the fifth wins, or it is the last one
    found, _, network = searched([state], 30, max_moves=5)

    assert found.q_value.tolist() == [[0.0, 0.0, 1.0, *[0.0] * 6]]
    assert len(network.calls) == 1


def test_a_root_beyond_max_moves_is_searched_and_still_sees_a_win():
    """A game that its environment lets go on has to be played on."""
    found, *_ = searched([board("xx./oo./...")], 30, max_moves=2)

    assert found.q_value.tolist() == [[0.0, 0.0, 1.0, *[0.0] * 6]]
    assert found.visit_count[0].argmax() == 2


def test_rows_that_a_tree_knows_are_left_out():
    """Of two roots one is soon searched to its ends; the other goes on."""
    _, _, network = searched([board("xox/oxo/ox."), board(".........")], 12)

    assert {len(observation) for observation, _ in network.calls} == {1, 2}


class Dice:
    """One player rolls, and chance decides: a state is (sum, whose turn, rolls)."""

    spaces = None
    num_outcomes = 2

    def play(self, states, action):
        return [
            (total, "chance", rolls) if turn == "player" else (total + rolled, "player", rolls + 1)
            for (total, turn, rolls), rolled in zip(states, action.tolist(), strict=True)
        ]

    def look(self, states):
        at_chance = np.array([turn == "chance" for _, turn, _ in states])
        over = np.array([rolls == 2 for *_, rolls in states])
        return Positions(
            observation=np.array([[total] for total, *_ in states], np.float32),
            legal_actions=(~at_chance & ~over)[:, None] & np.array([True]),
            to_play=np.full(len(states), -1, np.int8),
            terminal=over,
            value=np.zeros(len(states)),
            reward=np.array([float(total) if rolls == 2 else 0.0 for total, _, rolls in states]),
            ply=np.zeros(len(states), np.int64),
            chance=at_chance[:, None] * np.array([0.75, 0.25]),
        )


@pytest.mark.parametrize("tree", ["lz_ptree", "lz_ctree"])
def test_chance_moves_where_the_game_says_so(tree):
    spec = TreeSpec(num_simulations=400, num_actions=1, num_chance_outcomes=2)
    dynamics = SimulatedDynamics(Dice(), Network(), spec)
    found = search(make_tree(tree, spec), dynamics, [(0, "player", 0)], num_simulations=400)

    assert found.q_value[0, 0] == pytest.approx(2 * 0.25, abs=0.05)  # two rolls, 1 in a quarter


def test_outcomes_that_the_tree_has_no_room_for_are_refused():
    spec = TreeSpec(num_simulations=4, num_actions=9)
    with pytest.raises(ConfigError, match="num_chance_outcomes is 0, but the game has 2 outcomes"):
        SimulatedDynamics(Dice(), Network(), spec)
