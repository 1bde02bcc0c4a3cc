"""The last moves of connect four: a search without a network finds what solving them finds."""

from itertools import chain, product

import numpy as np
import pytest
import torch
from lz_openspiel.simulator import OpenSpielGame
from torch import nn

from lzcore.envs.games import drawn

GAME = OpenSpielGame("connect_four")
EMPTY = (8, 9, 10, 11, 12)  # cells; player 1 moves where their number is even
EACH = 4  # positions of each worth for each colour
SIMULATIONS = 1000
SMALL = {"model.observation_shape": (4, 6, 7), "model.action_space_size": 7}
ALL = {  # settings with which each policy considers every action
    "alphazero": {},
    "gumbel_alphazero": {
        "mcts.action_space_size": 7,
        "mcts.gumbel_scale": 0.0,
        "mcts.max_num_considered_actions": 7,
        "mcts.gumbel_rescale_values": False,  # or what looks a little worse is not looked into
    },
    "sampled_alphazero": {"mcts.action_space_size": 7, "mcts.num_of_sampled_actions": 7},
}


class Ignorant(nn.Module):
    """Finds all moves alike and nobody ahead, and counts the positions it is asked about."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.asked = 0

    def forward(self, observation):
        self.asked += len(observation)
        return torch.zeros(len(observation), 7), torch.zeros(len(observation), 1)


def unfinished(empty):
    """Positions with so many empty cells that random games passed through."""
    draws = np.random.default_rng(empty)
    states = GAME.begin(np.zeros(1000, np.uint64))
    for _ in range(42 - empty):
        legal = GAME.look(states).legal_actions
        states = GAME.play(states, drawn(legal, draws.random(len(states))))
        states = [state for state in states if not state.game.is_terminal()]
    return states


def worth(state, known):
    """What a position of OpenSpiel's comes to for who moves, if both play perfectly: 1, 0, -1."""
    text = str(state)
    if text not in known:
        over = state.is_terminal()  # whoever made the last move has won, if anybody has
        known[text] = -abs(state.player_return(0)) if over else max(moves(state, known).values())
    return known[text]


def moves(state, known):
    """What each legal move is worth to who makes it."""
    return {move: -worth(state.child(move), known) for move in state.legal_actions()}


@pytest.fixture(scope="module")
def endings():
    """Pairs of a position and what its moves are worth: wins, draws and losses of both colours.

    In those that are not lost some move is worse than another.
    """
    known, found = {}, {kind: [] for kind in product((1, 0, -1), (0, 1))}
    for state in chain(*zip(*map(unfinished, EMPTY), strict=False)):
        worths = moves(state.game, known)
        best, like_it = max(worths.values()), found[max(worths.values()), state.player]
        if len(like_it) < EACH and (best == -1 or min(worths.values()) < best):
            like_it.append((state, worths))
    assert {len(like_it) for like_it in found.values()} == {EACH}
    return [*chain(*found.values())]


@pytest.mark.slow
def test_a_search_plays_as_well_as_is_possible_and_knows_who_wins(make_policy, kind, endings):
    model, given = Ignorant(), SMALL | ALL[kind] | {"mcts.num_simulations": SIMULATIONS}
    policy = make_policy(kind, given, model=model)
    policy._simulator = GAME
    found = policy.eval_mode.forward({row: {"state": s} for row, (s, _) in enumerate(endings)})
    search = found.search
    value = search.value
    if kind == "gumbel_alphazero":  # whose root has the mean of all the actions considered
        value = np.where(search.visit_count > 0, search.q_value, -1.0).max(axis=1)

    for row, (state, worths) in enumerate(endings):
        best = max(worths.values())
        assert worths[found[row]["action"]] == best, state
        assert (value[row] > 0.3, value[row] < -0.3) == (best > 0, best < 0), state
    assert model.asked < SIMULATIONS * len(endings) / 4  # most simulations met finished games
