"""Resigning while games are collected: who gives up, which games are played on, what is counted."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from engine_fakes import TinyPolicy, drawing_from, tiny
from engine_killing import assert_same
from match_fakes import ToyEnv

from lzcore.base import ConfigError, ContractError, Decisions, derive_seed
from lzcore.engine.assemble import assemble
from lzcore.engine.checkpoint import load_file, save_file
from lzcore.engine.collector import Collector, Tally
from lzcore.engine.play import Step, play
from lzcore.engine.ranks import together
from lzcore.engine.resigning import Resigned, Resigning
from lzcore.engine.segments import SegmentCollector
from lzcore.engine.starting import plan_run
from lzcore.envs.games import GameEnv
from lzcore.testing.noughts import Noughts

GAME = Noughts()
FIRST_CELLS = [0, 1, 2, 3, 4, 5, 6]  # player 1 has the diagonal then
PLIES = len(FIRST_CELLS)


class Quitter(TinyPolicy):
    """Takes the first free cell, and gives up as `doomed` after `stones` stones."""

    doomed, stones = 2, 3

    def decide(self, mode, seen, **schedule):
        columns = {"action": seen.action_mask.argmax(axis=1), "odds": np.zeros(len(seen.env_id))}
        if mode == "collect":
            lost = (seen.to_play == self.doomed) & (seen.timestep >= self.stones)
            columns["resigns"] = lost
        return Decisions(seen.env_id, columns)


def quitter(played_on=0.0, kind=Quitter, **attributes):
    with drawing_from(5):
        policy = kind({"width": 27})
    policy.resign_played_on = played_on
    for name, value in attributes.items():
        setattr(policy, name, value)
    return policy


def collector(policy, num_envs=3, kind=Collector, **given):
    env = GameEnv(GAME, num_envs)
    return kind(env, policy, policy.columns(policy.cfg, env.spaces), 7, **given)


def collected(policy, games=6, **given):
    return collector(policy, **given).collect(0, games, schedule={})


# --- who gives up ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("doomed", "stones", "length"), [(1, 3, 5), (2, 3, 4), (1, 0, 1)])
def test_a_game_ends_where_who_moves_gives_it_up_and_is_lost_for_him(doomed, stones, length):
    stats, games = collected(quitter(doomed=doomed, stones=stones))

    assert stats.returns == (-1.0 if doomed == 1 else 1.0,) * 6
    assert stats.lengths == (length,) * 6
    assert stats.env_steps == 6 * length
    for game in games:
        assert (game.length, game.ended, game.terminated) == (length, True, True)
        assert game.columns["reward"][:length].tolist() == [0.0] * (length - 1) + [-1.0]
        assert game.columns["to_play"].tolist() == [*[1 + p % 2 for p in range(length)], doomed]
        shown = game.columns["observation"]
        assert np.array_equal(shown[length], shown[length - 1])  # no stone was put


def test_the_other_games_of_the_batch_go_on():
    class Odd(Quitter):
        def decide(self, mode, seen, **schedule):
            found = super().decide(mode, seen)
            found.columns["resigns"] &= seen.env_id == 1
            return found

    stats, games = collected(quitter(kind=Odd), games=3)

    assert stats.lengths == (PLIES, 4, PLIES)
    assert stats.returns == (1.0, 1.0, 1.0)
    assert games[0].columns["action"][:PLIES].tolist() == FIRST_CELLS


def test_nobody_gives_up_at_random_or_in_evaluation():
    class Random(Quitter):
        def decide(self, mode, seen, **schedule):
            return super().decide("collect", seen)  # even if it says that it would

    for mode in ("random", "eval"):
        *_, last = play(GameEnv(GAME, 1), quitter(kind=Random), mode, np.ones(1, np.int64), 7)
        assert last.seen.timestep.tolist() == [PLIES - 1]
        assert last.resigned is None


def test_a_policy_that_never_resigns_is_not_asked():
    stats, _ = collected(quitter(played_on=None))

    assert stats.lengths == (PLIES,) * 6
    assert not {"resigned", "resign_wrong"} & stats.to_dict().keys()


@pytest.mark.parametrize(
    ("told", "form"),
    [
        (None, "nothing"),
        (np.zeros(3), "float64 of shape (3,)"),
        (np.zeros((3, 1), bool), "bool of shape (3, 1)"),
    ],
)
def test_a_policy_that_may_resign_has_to_say_where(told, form):
    class Vague(Quitter):
        def decide(self, mode, seen, **schedule):
            columns = {**super().decide(mode, seen).columns, "resigns": told}
            return Decisions(seen.env_id, {k: v for k, v in columns.items() if v is not None})

    message = f"decided {form} as resigns; expected bool of shape (3,), or None as"
    with pytest.raises(ContractError, match=re.escape(message)):
        collected(quitter(kind=Vague))


# --- games that are played on ---------------------------------------------------------------------


def test_which_games_are_played_on_follows_from_their_seeds_alone():
    seeds = derive_seed(5, np.arange(2000))
    seen = SimpleNamespace(env_id=np.arange(2000), to_play=np.ones(2000, np.int8))
    all_of_them = Resigning(2000, 0.1)
    all_of_them.begin(np.arange(2000), seeds)
    on = ~all_of_them.settle(seen, np.ones(2000, bool)).now

    assert on.mean() == pytest.approx(0.1, abs=0.03)
    for game in (int(on.argmax()), int((~on).argmax())):
        alone = Resigning(1, 0.1)
        alone.begin(np.zeros(1, int), seeds[game : game + 1])
        one = SimpleNamespace(env_id=np.zeros(1, int), to_play=np.ones(1, np.int8))
        assert alone.settle(one, np.ones(1, bool)).now.tolist() == [not on[game]]


def test_a_game_that_is_played_on_ends_by_its_rules():
    stats, games = collected(quitter(played_on=1.0))

    assert stats.lengths == (PLIES,) * 6
    assert stats.resigned == (False,) * 6
    assert [game.columns["reward"][PLIES - 1] for game in games] == [1.0] * 6


@pytest.mark.parametrize(("doomed", "wrong"), [(1, 1.0), (2, 0.0)])
def test_it_tells_whether_who_would_have_given_up_has_lost(doomed, wrong):
    """Player 1 wins by the first free cells."""
    told = collected(quitter(played_on=1.0, doomed=doomed))[0].to_dict()

    assert (told["resigned"], told["resign_wrong"]) == (0.0, wrong)


def test_of_two_who_would_have_the_first_counts():
    class Both(Quitter):
        def decide(self, mode, seen, **schedule):
            found = super().decide(mode, seen)
            found.columns["resigns"] = seen.timestep >= 3
            return found

    assert collected(quitter(played_on=1.0, kind=Both))[0].wrong == (False,) * 6


@pytest.mark.parametrize(
    ("total", "first", "wrong"),
    [(0.0, 1, True), (0.0, 2, True), (-1.0, 1, False), (-1.0, 2, True)],
)
def test_a_draw_is_not_lost(total, first, wrong):
    step = SimpleNamespace(
        stepped=SimpleNamespace(episode_return=np.array([total])),
        seen=SimpleNamespace(timestep=np.array([8])),
        resigned=Resigned(np.zeros(1, bool), np.array([first], np.int8)),
    )
    tally = Tally({})
    tally.end(0, step, 0)

    assert tally.stats(0, "collect", begun=1).wrong == (wrong,)


def test_shares_are_of_all_games_and_of_those_played_on():
    stats, games = collected(quitter(played_on=0.5), games=40)
    told = stats.to_dict()

    short = [game.length == 4 for game in games]
    assert told["resigned"] == np.mean(short)
    assert 0.2 < told["resigned"] < 0.8
    assert len(stats.wrong) == short.count(False)


def test_where_nobody_would_have_resigned_there_is_no_share_of_wrong_ones():
    told = collected(quitter(played_on=0.5, stones=9))[0].to_dict()

    assert (told["resigned"], told["resign_wrong"]) == (0.0, None)


def test_the_games_of_all_ranks_count():
    stats = [collected(quitter(played_on=share))[0] for share in (0.0, 1.0)]

    assert together(stats).to_dict()["resigned"] == 0.5
    assert len(together(stats).wrong) == 6


# --- going on after a resume ----------------------------------------------------------------------


def test_episodes_that_outlive_an_iteration_remember_who_would_have_given_up(tmp_path):
    def going():
        return collector(quitter(played_on=0.5), kind=SegmentCollector, segment_length=2)

    first, games = going(), 0
    for iteration in range(3):
        games += first.collect(iteration, 3, schedule={}, first_episode=games)[0].begun
    save_file(tmp_path / "state.pt", {"state": first.state_dict()})
    later = going()
    later.load_state_dict(load_file(tmp_path / "state.pt")["state"])

    for iteration in range(3, 12):
        (one, left), (other, right) = (
            made.collect(iteration, 3, schedule={}, first_episode=games) for made in (first, later)
        )
        games += one.begun
        assert one == other
        assert_same([s.columns for s in left], [s.columns for s in right])
    assert first._live._stage.resigning.first.any()


# --- where it makes no sense ----------------------------------------------------------------------


def test_a_game_against_a_bot_and_what_is_no_game_for_two_are_refused(
    noughts_installed, tmp_path, monkeypatch
):
    from match_fakes import ScriptedPolicy

    monkeypatch.setattr(ScriptedPolicy, "resign_played_on", 0.1)

    def parts(env, *overrides):
        return assemble(plan_run("scripted", env, out=tmp_path / "run", overrides=overrides))

    bot = "resigns games, but nobody can in toys/x: it has a bot (env.bot) on the other side. Exp"
    with pytest.raises(ConfigError, match=re.escape(bot)):
        parts("toys/x", "env.bot=random")
    alone = "can in engine_fakes:Walk: it is no game for two with known rules. Expected a game for"
    with pytest.raises(ConfigError, match=re.escape(alone)):
        parts("engine_fakes:Walk")
    assert isinstance(parts("toys/x").env, ToyEnv)


def test_a_step_says_nothing_of_resigning_by_default():
    assert Step._field_defaults == {"resigned": None}
    assert tiny().resign_played_on is None
