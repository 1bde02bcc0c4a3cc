"""Resigning: where a search gives a position up, how such games are stored, what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from lzcore.base import ConfigError
from lzcore.engine.collector import Collector
from lzcore.engine.play import play as steps_of
from lzcore.envs.games import GameEnv
from lzcore.replay.buffer import ReplayBuffer
from lzcore.testing.noughts import Noughts, to_play

MIDDLE = 4


class Middle(Noughts):
    """Whose stone lies in the middle when the board is full has won."""

    def play(self, states, action):
        return [
            (*board[:cell], to_play(board), *board[cell + 1 :])
            for board, cell in zip(states, action.tolist(), strict=True)
        ]

    def look(self, states):
        seen = super().look(states)
        boards = np.array(states, np.int8).reshape(-1, 9)
        over, mine = (boards > 0).all(axis=1), boards[:, MIDDLE] == seen.to_play
        return seen._replace(
            legal_actions=boards == 0,
            terminal=over,
            value=np.where(over, np.where(mine, 1.0, -1.0), 0.0),
        )


class Reader(nn.Module):
    """Sees who has the middle, and is as sure as `sign`; below 0 it is mistaken."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.sureness = nn.Parameter(torch.tensor(0.99 * sign))

    def forward(self, observation):
        own, other = observation[:, 0, 1, 1], observation[:, 1, 1, 1]
        return torch.zeros(len(observation), 9), ((own - other) * self.sureness)[:, None]


@pytest.fixture
def resigning(make_policy, kind):
    """A function that makes a policy of each kind which resigns and considers every action."""

    def make(model=None, **given):
        slots = {"mcts.num_of_sampled_actions": 9} if kind == "sampled_alphazero" else {}
        cfg = {"resign_below": -0.95, "resign_played_on": 0.0, **slots, **given}
        return make_policy(kind, cfg, model=model or Reader())

    return make


def collected(policy, games=12, game=Middle, **settings):
    env = GameEnv(game(), 4, settings)
    made = Collector(env, policy, policy.columns(policy.cfg, env.spaces), 0)
    return made.collect(0, games, schedule={"temperature": 1.0})


def assert_alike(games, others):
    for one, other in zip(games, others, strict=True):
        assert one.columns.keys() == other.columns.keys()
        assert all(np.array_equal(one.columns[name], other.columns[name]) for name in one.columns)


# --- games ----------------------------------------------------------------------------------------


def test_who_has_lost_the_middle_resigns_and_every_ply_knows_who_won(resigning):
    stats, games = collected(resigning(), 24)

    assert stats.to_dict()["resigned"] == 1.0
    losers = set()
    for number, game in enumerate(games):
        rows, last = slice(game.length), game.length - 1
        mover, outcome = game.columns["to_play"][rows], game.columns["outcome"][rows]
        losers.add(int(mover[-1]))
        assert game.terminated
        assert game.columns["action"][last - 1] == MIDDLE  # what the other has just taken
        assert MIDDLE not in game.columns["action"][: last - 1]
        assert game.columns["reward"][rows].tolist() == [0.0] * last + [-1.0]
        assert outcome.tolist() == [-1.0 if who == mover[-1] else 1.0 for who in mover]
        assert game.columns["probs"][last].sum() == pytest.approx(1.0)
        assert stats.returns[number] == (-1.0 if mover[-1] == 1 else 1.0)
    assert losers == {1, 2}


@pytest.mark.parametrize(("sign", "wrong"), [(1.0, 0.0), (-1.0, 1.0)])
def test_games_that_are_played_on_tell_whether_resigning_was_wrong(resigning, sign, wrong):
    policy = resigning(Reader(sign), resign_played_on=1.0)
    stats, games = collected(policy, 24, opening_moves=2)
    told = stats.to_dict()

    assert [game.length for game in games] == [7] * 24
    assert (told["resigned"], told["resign_wrong"]) == (0.0, wrong)


def test_a_share_is_played_on_and_an_iteration_repeats_itself(resigning):
    (stats, games), (again, others) = (
        collected(resigning(resign_played_on=0.5), 24) for _ in range(2)
    )

    assert 0.0 < stats.to_dict()["resigned"] < 1.0
    assert stats.to_dict()["resigned"] == np.mean([game.length < 9 for game in games])
    assert stats == again
    assert_alike(games, others)


def test_positions_of_a_resigned_game_are_learned_with_the_last_one(resigning):
    policy = resigning()
    games = collected(policy, 3)[1]
    buffer = ReplayBuffer(policy.columns(policy.cfg, Middle.spaces), policy.replay_settings(), 1)
    buffer.push(games)
    batch = buffer.sample(256, policy)
    own, other = (batch["obs"]["observation"][:, plane, 1, 1] for plane in (0, 1))

    assert buffer.num_transitions == sum(game.length for game in games)
    assert not own.any()
    assert other.any()  # positions in which was resigned
    assert (batch["reward"][other == 1] == -1.0).all()


def test_who_may_resign_but_never_does_plays_as_who_may_not(make_policy, counting_model, kind):
    (default, games), (never, others) = (
        collected(make_policy(kind, given, model=counting_model()), game=Noughts)
        for given in ({}, {"resign_below": -1.0})
    )

    assert never.to_dict() == {**default.to_dict(), "resigned": 0.0, "resign_wrong": None}
    assert_alike(games, others)


def test_evaluation_never_resigns(resigning):
    *_, last = steps_of(GameEnv(Middle(), 1), resigning(), "eval", np.ones(1, np.int64), 0)

    assert "resigns" not in last.decisions.columns
    assert last.seen.timestep.tolist() == [8]


# --- where a search gives up ----------------------------------------------------------------------


def test_neither_the_root_nor_its_best_action_is_worth_more(
    resigning, counting_model, ask, position, kind
):
    policy = resigning(counting_model(), resign_below=-0.2)
    rng = np.random.default_rng(0)
    states = [position("".join(rng.permutation(list("xxoo.....")))) for _ in range(60)]
    found = ask(policy, *states, mode="collect")
    search, resigns = found.search, found.columns["resigns"]
    best = search.visit_count.argmax(axis=1)
    if kind == "gumbel_alphazero":
        best = search.best_edge
    of_best = search.q_value[np.arange(60), best]

    assert resigns.tolist() == ((search.value < -0.2) & (of_best < -0.2)).tolist()
    assert 0 < resigns.sum() < (search.value < -0.2).sum()
    assert "resigns" not in found[0]


def test_who_wins_with_his_move_does_not_resign(resigning, ask, position, kind):
    """Though the network gives him up, as does the mean over all actions: Gumbel's root."""
    given = {"resign_below": -0.05}
    if kind == "gumbel_alphazero":
        given |= {"mcts.max_num_considered_actions": 9, "mcts.gumbel_scale": 0.0}
    found = ask(resigning(**given), position("x.x/.o./o.."), mode="collect")

    assert found.search.raw_value[0] < -0.9
    assert (found.search.value[0] < -0.05) == (kind == "gumbel_alphazero")
    assert not found.columns["resigns"][0]


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"resign_below": 0.0}, "resign_below = 0.0: expected"),
        ({"resign_below": -1.5}, "resign_below = -1.5: expected"),
        ({"resign_played_on": 2.0}, "resign_played_on = 2.0: expected"),
    ],
)
def test_a_threshold_is_the_value_of_a_bad_position(make_policy, given, line):
    with pytest.raises(ConfigError, match=line):
        make_policy(given=given)
