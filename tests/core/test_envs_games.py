"""Any simulator as an environment: who is rewarded, what chance and a bot do, where games end."""

from types import SimpleNamespace

import numpy as np
import pytest

from lzcore.base import ConfigError, EnvError, UnknownNameError
from lzcore.base.env import RESIGN, ActionSpace, Spaces
from lzcore.base.simulator import Positions
from lzcore.engine.clock import Clock
from lzcore.engine.live import LiveEpisodes
from lzcore.envs.check import examine
from lzcore.envs.games import GameEnv, drawn
from lzcore.testing.noughts import Noughts, winner

GAME = Noughts()
WON_BY_1 = [0, 3, 1, 4, 2]  # x takes the first row
WON_BY_2 = [0, 3, 1, 4, 8, 5]
DRAWN = [0, 1, 2, 4, 3, 5, 7, 6, 8]


class Race:
    """Two players roll a die of three in turns until one of them has five; a state is a tuple.

    Action 0 rolls; chance then adds 1, 2 or 3, the first half of the time. Action 1 gives up.
    """

    spaces = Spaces(
        frame_shape=(2,),
        frame_dtype=np.dtype(np.float32),
        kind="vector",
        action=ActionSpace("discrete", 2),
        players=2,
    )
    num_outcomes = 3
    odds = np.array([0.5, 0.25, 0.25])

    def begin(self, seeds):
        return [(0, 0, "decide", 0)] * len(seeds)  # of who moves, of the other, what, plies

    def play(self, states, action):
        after = []
        for (mine, others, what, ply), taken in zip(states, action.tolist(), strict=True):
            if what == "decide" and taken == 0:
                after.append((mine, others, "roll", ply + 1))
            elif what == "decide":
                after.append((others, mine, "given up", ply + 1))
            else:
                after.append((others, mine + 1 + taken, "decide", ply))
        return after

    def look(self, states):
        points = np.array([state[:2] for state in states], np.float32)
        ply = np.array([ply for *_, ply in states])
        rolling = np.array([what == "roll" for *_, what, _ in states])
        given_up = np.array([what == "given up" for *_, what, _ in states])
        lost = (points[:, 1] >= 5) & ~rolling
        over = lost | given_up
        return Positions(
            observation=points,
            legal_actions=np.repeat(~(rolling | over)[:, None], 2, axis=1),
            to_play=(1 + (ply - rolling) % 2).astype(np.int8),
            terminal=over,
            value=np.where(given_up, 1.0, np.where(lost, -1.0, 0.0)),
            reward=np.zeros(len(states)),
            ply=ply,
            chance=rolling[:, None] * self.odds,
        )

    def draw(self, state):
        return str(state)


class Purse:
    """One player takes 1 or 2 coins, and chance adds one or not; three times."""

    spaces = Spaces(
        frame_shape=(1,),
        frame_dtype=np.dtype(np.float32),
        kind="vector",
        action=ActionSpace("discrete", 2),
    )
    num_outcomes = 2

    def begin(self, seeds):
        return [(0, 0.0, False)] * len(seeds)  # plies, what led here, chance's turn

    def play(self, states, action):
        return [
            (ply, float(taken), False) if lucky else (ply + 1, 1.0 + taken, True)
            for (ply, _, lucky), taken in zip(states, action.tolist(), strict=True)
        ]

    def look(self, states):
        ply = np.array([ply for ply, *_ in states])
        lucky = np.array([lucky for *_, lucky in states])
        over = (ply == 3) & ~lucky
        return Positions(
            observation=ply[:, None].astype(np.float32),
            legal_actions=np.repeat(~(lucky | over)[:, None], 2, axis=1),
            to_play=np.full(len(states), -1, np.int8),
            terminal=over,
            value=np.zeros(len(states)),
            reward=np.array([reward for _, reward, _ in states]),
            ply=ply,
            chance=lucky[:, None] * np.array([0.5, 0.5]),
        )


class First:
    """An opponent that takes the first legal action and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def act(self, states, seeds):
        self.asked += zip(states, seeds.tolist(), strict=True)
        return GAME.look(states).legal_actions.argmax(axis=1)


def begun(num_envs=1, game=GAME, seed=0, opponent=None, **settings):
    env = GameEnv(game, num_envs, settings, opponent=opponent)
    return env, env.reset(np.arange(num_envs), np.arange(seed, seed + num_envs, dtype=np.uint64))


def act(env, *actions, only=None):
    ids = np.arange(len(actions)) if only is None else np.array(only)
    return env.step(ids, np.array(actions))


def stones(seen):
    return [sum(stone > 0 for stone in state) for state in seen.states]


# --- who is rewarded ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moves", "last", "total"), [(WON_BY_1, 1, 1), (WON_BY_2, 1, -1), (DRAWN, 0, 0)]
)
def test_rewards_are_the_movers_and_returns_player_1s(moves, last, total):
    env, seen = begun()
    for ply, move in enumerate(moves):
        assert seen.to_play.tolist() == [1 + ply % 2]
        assert seen.timestep.tolist() == [ply]
        stepped = act(env, move)
        seen, ending = stepped.observed, ply == len(moves) - 1
        assert stepped.reward.tolist() == [last if ending else 0]
        assert stepped.episode_return.tolist() == [total if ending else 0]
        assert (stepped.terminated[0], stepped.truncated[0]) == (ending, False)


def test_who_loses_by_his_own_move_is_told_so():
    env, _ = begun(game=Race())
    after = act(env, 1)
    assert (after.reward[0], after.episode_return[0]) == (-1, -1)

    env, _ = begun(game=Race())
    act(env, 0)
    after = act(env, 1)
    assert (after.reward[0], after.episode_return[0]) == (-1, 1)


def test_nothing_is_minus_nought():
    env, _ = begun()
    rewards = [act(env, move) for move in DRAWN]

    assert not any(np.signbit(r.reward[0]) or np.signbit(r.episode_return[0]) for r in rewards)


@pytest.mark.parametrize(("ply", "total"), [(0, -1), (1, 1), (4, -1)])
def test_who_resigns_has_lost_where_he_stands(ply, total):
    """In a batch in which the other game goes on."""
    env, seen = begun(2)
    for move in WON_BY_1[:ply]:
        seen = act(env, move, move).observed
    after = act(env, RESIGN, WON_BY_1[ply])

    assert (after.reward[0], after.episode_return[0]) == (-1, total)
    assert (after.terminated[0], after.truncated[0]) == (True, False)
    assert after.observed.states[0] == seen.states[0]
    assert after.observed.to_play[0] == seen.to_play[0] == 1 + ply % 2
    assert after.observed.timestep.tolist() == [ply + 1] * 2
    assert after.observed.action_mask[0].all()
    assert stones(after.observed)[1] == ply + 1
    assert after.terminated[1] == (ply == 4)
    with pytest.raises(EnvError, match="wait for a reset"):
        act(env, 8)


def test_resigning_is_no_turn_of_chance():
    env, _ = begun(8, game=Race())
    assert act(env, *[0] * 8).observed.chance.any()
    after = act(env, *[RESIGN] * 8)

    assert not after.observed.chance.any()
    assert (after.reward.tolist(), after.episode_return.tolist()) == ([-1] * 8, [1] * 8)


@pytest.mark.parametrize("given", [{"game": Purse()}, {"opponent": First()}])
def test_alone_or_against_a_bot_nobody_can_resign(given):
    env, _ = begun(**given)
    with pytest.raises(EnvError, match="game cannot be resigned; only two without a bot can do"):
        act(env, RESIGN)


def test_one_player_has_what_his_action_and_chance_gave():
    env, seen = begun(game=Purse())
    total = 0
    for _ in range(3):
        stepped = act(env, 1)
        assert stepped.reward[0] == 2 + stepped.observed.chance[0]
        total += stepped.reward[0]
    assert stepped.episode_return[0] == total
    assert seen.to_play.tolist() == stepped.observed.to_play.tolist() == [-1]
    assert stepped.terminated[0]


# --- what is shown --------------------------------------------------------------------------------


def test_positions_come_with_their_simulator_and_legal_actions():
    env, seen = begun(2)
    assert seen.simulator is GAME
    assert seen.states.tolist() == [(0,) * 9] * 2
    assert seen.chance is None

    seen = act(env, 4, 0).observed
    assert seen.action_mask.tolist() == [[i != 4 for i in range(9)], [i != 0 for i in range(9)]]
    assert np.array_equal(seen.observation, GAME.look(seen.states.tolist()).observation)


def test_of_a_finished_game_everything_is_allowed_and_nothing_can_be_done():
    env, _ = begun()
    for move in WON_BY_1:
        seen = act(env, move).observed
    assert seen.action_mask.all()
    assert winner(seen.states[0]) == 1
    with pytest.raises(EnvError, match=r"Environments \[0\] of game wait for a reset"):
        act(env, 8)


def test_any_subset_can_be_stepped_and_the_others_stay():
    env, _ = begun(3)
    act(env, 8, only=[1])
    seen = act(env, 0, 1, only=[2, 1]).observed

    assert seen.env_id.tolist() == [2, 1]
    assert seen.timestep.tolist() == [1, 2]
    assert stones(seen) == [1, 2]
    env.reset(np.array([1]), np.array([9], np.uint64))
    assert act(env, 0, 0, 1, only=[0, 1, 2]).observed.timestep.tolist() == [1, 1, 2]


def test_an_action_that_is_not_legal_is_refused():
    env, _ = begun()
    act(env, 4)
    with pytest.raises(EnvError, match=r"game, environments \[0\]: Action 4 is not legal in row 0"):
        act(env, 4)


def test_a_picture_shows_the_text_of_the_game():
    env, _ = begun(2)
    empty = env.render(0)
    act(env, 4, only=[0])

    assert (empty.dtype, empty.ndim, empty.shape[2]) == (np.uint8, 3, 3)
    assert (env.render(0) != empty).any()
    assert (env.render(1) == empty).all()


# --- chance ---------------------------------------------------------------------------------------


def test_players_never_see_the_turn_of_chance():
    env, seen = begun(50, game=Race())
    told = np.zeros(3)
    for _ in range(2):
        before = seen
        seen = env.step(np.arange(50), np.zeros(50, np.int64)).observed
        points = np.array([state[1] for state in seen.states])
        assert (points == np.array([state[0] for state in before.states]) + 1 + seen.chance).all()
        told += np.bincount(seen.chance, minlength=3)
    assert told.tolist() == pytest.approx([50, 25, 25], abs=15)


def test_a_step_without_chance_tells_outcome_nought():
    env, _ = begun(game=Race())
    for seed in range(20):  # until something else than 0 came up
        env.reset(np.array([0]), np.array([seed], np.uint64))
        if act(env, 0).observed.chance[0]:
            break
    assert act(env, 1).observed.chance.tolist() == [0]


@pytest.mark.parametrize("weights", [[0, 1, 0], [False, True, True]])
def test_nothing_is_drawn_that_weighs_nothing(weights):
    numbers = np.array([0.0, 0.5, 1 - 2.0**-53])
    found = drawn(np.array([weights] * 3), numbers)

    assert all(weights[column] for column in found)
    assert found[-1] == np.flatnonzero(weights)[-1]


# --- seeds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"opening_moves": 3}, {"max_moves": 4}])
@pytest.mark.parametrize("game", [GAME, Race()])
def test_the_contract_is_kept(game, settings):
    report = examine(lambda: GameEnv(game, 1, settings))

    assert [text for level, text in report.findings if level == "wrong"] == []


def test_an_episode_depends_on_no_other_in_the_batch():
    def played(ids, order):
        env = GameEnv(Race(), 4, {"opening_moves": 2})
        env.reset(np.array(ids), np.array(ids, np.uint64) + np.uint64(70))
        for _ in range(order):
            env.step(np.array([ids[0]]), np.array([0]))
        return env._states[ids[0]]

    assert played([2, 0, 1], 1) == played([2], 1)
    assert played([3, 1], 0) == played([3], 0)


def test_openings_differ_from_seed_to_seed_and_are_legal():
    _, seen = begun(100, opening_moves=2)

    assert stones(seen) == [2] * 100
    assert seen.to_play.tolist() == [1] * 100
    assert seen.timestep.tolist() == [0] * 100
    assert len(set(seen.states)) > 40  # of 72


def test_openings_that_end_the_game_are_drawn_again():
    env, seen = begun(300, opening_moves=6)
    assert not any(winner(state) for state in seen.states)
    assert stones(seen) == [6] * 300

    env = GameEnv(GAME, 1, {"opening_moves": 9}, name="noughts")
    with pytest.raises(EnvError, match=r"noughts was over after the opening 100 times in a row"):
        env.reset(np.array([0]), np.array([0], np.uint64))


# --- where games end ------------------------------------------------------------------------------


def test_a_game_of_max_moves_is_truncated_without_a_reward():
    env, _ = begun(max_moves=3)
    ends = [act(env, move) for move in (0, 3, 1)]

    assert [bool(e.truncated[0]) for e in ends] == [False, False, True]
    assert not any(e.terminated[0] or e.reward[0] for e in ends)
    with pytest.raises(EnvError, match="wait for a reset"):
        act(env, 2)


def test_a_game_won_with_its_last_move_is_won():
    env, _ = begun(max_moves=5)
    for move in WON_BY_1:
        stepped = act(env, move)
    assert (stepped.terminated[0], stepped.truncated[0], stepped.reward[0]) == (True, False, 1)


def test_an_opening_must_leave_moves():
    with pytest.raises(ConfigError, match="opening_moves is 4 and max_moves 4, which leaves no"):
        GameEnv(GAME, 1, {"opening_moves": 4, "max_moves": 4})


# --- a bot on the other side ----------------------------------------------------------------------


def test_a_step_holds_the_answer_of_the_bot_and_either_side_begins():
    bot = First()
    env, seen = begun(40, opponent=bot)
    sides = np.array(stones(seen))  # 1: the bot began

    assert env.spaces.players == 1
    assert seen.to_play.tolist() == [-1] * 40
    assert 10 < sides.sum() < 30
    seen = env.step(np.arange(40), np.full(40, 4)).observed
    assert stones(seen) == (sides + 2).tolist()
    assert seen.timestep.tolist() == [1] * 40
    assert len({seed for _, seed in bot.asked}) == len(bot.asked)  # none is used twice
    again = env.reset(np.arange(40), np.arange(40, dtype=np.uint64))
    assert stones(again) == sides.tolist()


@pytest.mark.parametrize(
    ("agent", "wins", "loses"), [(1, [2, 4, 6], [4, 8, 7]), (2, [2, 4, 6], [3, 4])]
)
def test_rewards_and_returns_are_the_agents_whatever_side_it_plays(agent, wins, loses):
    """The bot takes the first free cell, and has the first row unless the agent is in its way."""
    env = GameEnv(GAME, 1, opponent=First())
    for moves, outcome in ((wins, 1), (loses, -1)):
        *before, last = played_as(env, agent, moves)
        assert last == (outcome, outcome, True)
        assert all(told == (0, 0, False) for told in before)


def played_as(env, agent, moves):
    """Find an episode in which the agent is that player; return what each move of it gave."""
    for seed in range(20):
        seen = env.reset(np.array([0]), np.array([seed], np.uint64))
        if stones(seen) == [agent - 1]:
            break
    gave = [act(env, move) for move in moves]
    return [(g.reward[0], g.episode_return[0], bool(g.terminated[0])) for g in gave]


def test_a_bot_is_named_by_settings_and_looked_up():
    with pytest.raises(UnknownNameError, match="provides the opponent 'nobody'"):
        GameEnv(GAME, 1, {"bot": "nobody:3"})
    with pytest.raises(ConfigError, match=r'env\.bot is "random", but game has one player'):
        GameEnv(Purse(), 1, {"bot": "random"})


def test_what_is_in_force_is_told():
    env, _ = begun(opponent=First(), opening_moves=1, max_moves=8)

    assert env.describe() == {
        "environment": "game",
        "players": 2,
        "outcomes_of_chance": None,
        "adapters": (
            "opening: 1 random plies",
            "bot: an opponent plays the other side within a step",
        ),
        "reward": "1, 0 or -1 at the end of the game, for the agent",
        "episode_limit": 8,
    }
    assert GameEnv(Purse(), 1).describe()["reward"] == "as the game gives"


# --- episodes that outlive an iteration -----------------------------------------------------------


class Lowest:
    """A policy that takes the first legal action."""

    frame_stack = 1
    resign_played_on = None
    collect_mode = SimpleNamespace(reset=lambda env_id: None)

    def decide(self, mode, seen):
        return SimpleNamespace(columns={"action": seen.action_mask.argmax(axis=1)})


def test_running_games_are_rebuilt_from_plain_data():
    live = LiveEpisodes(GameEnv(Race(), 2), Lowest(), 5)
    live.begin()
    for _ in range(2):
        live.follow(live.act({}, Clock()), Clock())
    saved = live.state_dict()
    assert {rows.dtype.kind for rows in saved["shown"].values()} <= set("fiub")

    other = LiveEpisodes(GameEnv(Race(), 2), Lowest(), 5)
    other.load_state_dict(saved)
    one, two = (run.act({}, Clock()).stepped.observed for run in (live, other))
    assert one.states.tolist() == two.states.tolist()
