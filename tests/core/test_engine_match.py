"""Matches: fair, seeded, and counted from the policy's point of view."""

import json
from collections import Counter

import numpy as np
import pytest
from match_fakes import Race, ScriptedPolicy, ToyEnv, scripted, solved

import lzcore
from lzcore.base import ConfigError, EnvError, UnknownNameError, derive_seed
from lzcore.engine.agent import load_trained
from lzcore.engine.assemble import make_evaluator
from lzcore.engine.elsewhere import looking_elsewhere
from lzcore.engine.evaluator import Evaluator
from lzcore.engine.match import Match, MatchEvaluator
from lzcore.engine.openings import all_openings
from lzcore.envs.opponents import RandomOpponent, make_opponent
from lzcore.registry import get_registry
from lzcore.testing.noughts import Noughts

GAME = Noughts()
KEY = 77
SMALL = {"run.eval_episodes": 6, "run.tensorboard": False, "max_env_steps": 30}


class First:
    """Takes the lowest legal action, and remembers what it was asked."""

    def __init__(self, simulator, argument=""):
        self.simulator = simulator
        self.asked = []

    def act(self, states, seeds):
        self.asked.append((list(states), seeds.tolist()))
        return self.simulator.look(states).legal_actions.argmax(axis=1)


class Always:
    """A policy's stand-in that plays given cells in turn."""

    frame_stack = 1

    def __init__(self, *cells):
        self.cells = cells
        self.eval_mode = type("Mode", (), {"reset": staticmethod(lambda ids: None)})
        self.shown = []

    def decide(self, mode, seen):
        self.shown.append(seen)
        legal = seen.action_mask
        action = [next(c for c in self.cells if row[c]) for row in legal]
        return type("Decided", (), {"columns": {"action": np.array(action)}})


def evaluator(policy, opponent, plies=0, name="who", **given):
    return MatchEvaluator(GAME, policy, KEY, (name, opponent), plies, **given)


# --- results --------------------------------------------------------------------------------------


def test_wins_and_losses_are_the_policys_with_either_colour():
    """The lowest free cell loses to the diagonal 2, 4, 6, whoever begins."""
    policy = Always(2, 4, 6, 8, 5, 7, 3)

    found = evaluator(policy, First(GAME)).evaluate(0, 2)

    # player 1: 2 0 4 1 6 wins.  player 2: 0 2 1 4 3 6 wins
    assert (found.players, found.returns, found.lengths) == ((1, 2), (1.0, 1.0), (5, 6))

    found = evaluator(Always(1, 3, 5, 7, 8), First(GAME)).evaluate(0, 2)
    # player 1: 1 0 3 2 5 4 7 6, player 2 has 2 4 6.  player 2: 0 1 2 3 4 5 6, player 1 has 0 4 ..
    assert (found.returns, found.lengths) == ((-1.0, -1.0), (8, 7))
    assert found.standing_as(1).losses == found.standing_as(2).losses == 1


def test_perfect_play_against_itself_is_drawn_from_every_opening_that_is_a_draw():
    lines = all_openings(GAME, 2)
    drawn = [line for line in lines if solved().worth_of_actions([line[-1]]).max() == 0]

    found = evaluator(scripted(), solved()).play(drawn, np.ones(len(drawn), int), 0)

    assert set(found.returns) == {0.0}


def test_a_draw_is_a_plain_zero_in_every_game():
    found = evaluator(scripted(), solved()).evaluate(0, 2)

    assert [f"{number:g}" for number in found.returns] == ["0", "0"]


def test_perfect_play_from_all_openings_with_both_colours_gains_what_they_are_worth():
    lines = all_openings(GAME, 2)
    players = np.repeat([1, 2], len(lines))

    found = evaluator(scripted(), solved()).play(lines * 2, players, 0)

    worth = solved().worth_of_actions([line[-1] for line in lines]).max(axis=1)
    assert found.returns == (*worth.tolist(), *(-worth).tolist())
    assert found.mean == 0.0


def test_perfect_play_beats_a_random_opponent_and_is_shown_in_full():
    found = evaluator(scripted(), RandomOpponent(GAME, ""), 1, "random").evaluate(0, 40)

    told = found.to_dict()
    assert told["losses"] == 0
    assert told["wins"] > 20
    assert told["wins"] + told["draws"] == told["episodes"] == told["games"] == 40
    assert told["return_mean"] == found.mean == told["wins"] / 40
    assert told["as_first"]["games"] == told["as_second"]["games"] == 20
    assert told["opponent"] == "random"
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert found.summary().startswith(f"{told['wins']} won, {told['draws']} drawn, 0 lost against")


def test_all_lines_are_played_equally_often_with_both_colours():
    opponent, policy = First(GAME), scripted()

    found = evaluator(policy, opponent, 2, all_lines=True).evaluate(0, 145)

    assert len(found.returns) == 288  # 72 lines with two colours are 144 games
    begins = Counter(map(tuple, policy.seen[0].states.tolist()))
    assert set(begins.values()) == {2}
    assert begins == Counter(opponent.asked[0][0])


def test_all_lines_of_a_game_of_chance_are_refused():
    with pytest.raises(ConfigError, match="Chance has a part in this game"):
        MatchEvaluator(Race(), scripted(), KEY, ("who", First(GAME)), 1, all_lines=True)


def test_a_game_that_reaches_max_moves_is_drawn_unless_it_is_won_there():
    policy = Always(2, 4, 6)

    assert evaluator(policy, First(GAME), max_moves=4).evaluate(0, 2).returns == (0.0, 0.0)
    assert evaluator(policy, First(GAME), max_moves=5).evaluate(0, 2).returns == (1.0, 0.0)


# --- how it is played -----------------------------------------------------------------------------


def test_each_opening_is_played_with_both_colours():
    opponent, policy = First(GAME), scripted()

    found = evaluator(policy, opponent, 2).evaluate(3, 8)

    assert found.players == (1, 2) * 4
    begins = {seen: None for seen in map(tuple, policy.seen[0].states.tolist())}
    assert begins.keys() == set(opponent.asked[0][0])  # the policy has player 1 there, it player 2
    assert len(begins) > 1


def test_an_odd_number_of_games_leaves_one_opening_with_one_colour():
    assert evaluator(scripted(), First(GAME), 1).evaluate(0, 5).players == (1, 2, 1, 2, 1)


def test_all_games_are_decided_in_one_call_of_the_policy_and_one_of_the_opponent():
    opponent, policy = First(GAME), scripted(plays="random")

    found = evaluator(policy, opponent, 2).evaluate(0, 10)

    assert len(policy.seen) <= max(found.lengths) - 2
    assert [len(states) for states, _ in opponent.asked][:2] == [5, 5]


def test_what_the_policy_is_shown_is_the_position():
    policy = scripted()
    evaluator(policy, First(GAME), 2).evaluate(0, 4)

    for seen in policy.seen:
        told = GAME.look(list(seen.states))
        assert seen.simulator is GAME
        assert (seen.observation == told.observation).all()
        assert (seen.action_mask == told.legal_actions).all()
        assert (seen.to_play == told.to_play).all()
        assert (seen.timestep == told.ply).all()
        assert (seen.to_play == 1 + seen.env_id % 2).all()


def test_frames_are_stacked_as_they_were_seen_and_in_the_dtype_of_learning():
    policy = scripted(frames=3)
    evaluator(policy, First(GAME), 2, frame_dtype=np.dtype(np.uint8)).evaluate(0, 2)

    [seen] = [s for s in policy.seen if s.timestep[0] == 2]
    assert (seen.observation.shape, seen.observation.dtype) == ((1, 9, 3, 3), np.uint8)
    stones = seen.observation.reshape(3, 3, 9)[:, :2].sum(axis=(1, 2))
    assert stones.tolist() == [0, 1, 2]  # oldest first, opening included


def test_the_policy_forgets_games_that_have_ended():
    policy = scripted()
    evaluator(policy, First(GAME), 2).evaluate(0, 4)

    assert policy.forgotten[0] is None
    assert sorted(game for games in policy.forgotten[1:] for game in games) == [0, 1, 2, 3]


def test_the_seeds_of_a_match_are_those_of_its_number_and_key():
    def played(number, key=KEY):
        opponent = RandomOpponent(GAME, "")
        match = MatchEvaluator(GAME, scripted(plays="random"), key, ("random", opponent), 2)
        return match.evaluate(number, 12).to_dict()

    assert played(1) == played(1)
    assert played(1) != played(2)
    assert played(1) != played(1, KEY + 1)


def test_opponents_get_another_seed_in_every_game_and_ply():
    opponent = First(GAME)
    evaluator(scripted(), opponent).evaluate(0, 8)

    seeds = [seed for _, asked in opponent.asked for seed in asked]
    assert len(set(seeds)) == len(seeds) > 10


def test_chance_moves_between_the_players_by_the_seed_of_the_game():
    game, policy = Race(), Always(1, 0)  # throws
    match = Match(game, policy, First(game))  # walks
    lines, players = [tuple(game.begin(np.zeros(1)))] * 400, 1 + np.arange(400) % 2
    seeds = derive_seed(9, np.arange(400))

    outcome, plies = match.play(lines, players, seeds)

    assert set(plies.tolist()) == {4}
    # two throws against 2: 0 loses, 3 and 6 win
    assert (outcome == 1).mean() == pytest.approx(0.75, abs=0.08)
    assert set(outcome.tolist()) == {-1.0, 1.0}
    again, _ = match.play(lines[:4], players[:4], seeds[:4])
    assert again.tolist() == outcome[:4].tolist()


# --- opponents by name ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "lzcore:random"])
def test_opponents_are_found_by_name_or_by_distribution_and_name(name):
    assert isinstance(make_opponent(name, GAME, get_registry()), RandomOpponent)


def test_what_stands_behind_the_colon_is_the_opponents():
    with pytest.raises(ConfigError, match='"minimax:few" names no number'):
        make_opponent("minimax:few", GAME, get_registry())
    with pytest.raises(ConfigError, match="may visit 40 positions"):
        make_opponent("lzcore:minimax:40", GAME, get_registry())


def test_an_opponent_that_is_not_installed_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'randm'.*'random'"):
        make_opponent("randm", GAME, get_registry())


# --- in a run -------------------------------------------------------------------------------------


@pytest.fixture
def run_dir(noughts_installed, tmp_path):
    out = tmp_path / "run"
    lzcore.train("scripted", "toys/noughts", out=out, quiet=True, **SMALL)
    return out


def evaluations(run_dir):
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == "evaluated"]


def test_a_run_measures_a_game_for_two_by_matches(run_dir):
    [*_, told] = evaluations(run_dir)

    assert told["opponent"] == "random"
    assert told["wins"] + told["draws"] + told["losses"] == told["episodes"] == 6
    assert told["return_mean"] == (told["wins"] - told["losses"]) / 6
    assert min(told["lengths"]) >= 5


def test_the_log_of_a_game_against_itself_says_whose_return_it_shows(
    noughts_installed, tmp_path, capsys
):
    lzcore.train("scripted", "toys/noughts", out=tmp_path / "run", **SMALL)

    assert "  first player " in capsys.readouterr().out


def test_a_run_measures_against_whom_it_is_told_to_and_stops_by_the_mean(
    noughts_installed, tmp_path
):
    given = {**SMALL, "run.opponent": "minimax", "run.opening_plies": 0, "run.stop_value": 0.0}
    given["max_env_steps"] = 10_000

    outcome = lzcore.train("scripted", "toys/noughts", out=tmp_path / "run", quiet=True, **given)

    assert outcome.ended_by == "stop_value"
    assert outcome.last_return == 0.0
    [*_, told] = evaluations(tmp_path / "run")
    assert (told["opponent"], told["draws"], told["lengths"]) == ("minimax", 6, [9] * 6)


def test_a_game_without_the_prefix_of_its_kind_is_told_with_it(noughts_installed, tmp_path):
    with pytest.raises(EnvError, match=r"'noughts'\. Did you mean 'toys/noughts'\?$"):
        lzcore.train("scripted", "noughts", out=tmp_path / "run", quiet=True)


def test_other_kinds_are_asked_only_about_ids_that_do_not_exist():
    with looking_elsewhere("CartPole-v1", None):  # no registry is touched
        pass
    with pytest.raises(EnvError, match="broken"), looking_elsewhere("CartPole-v1", None):
        raise EnvError("broken")


def test_a_run_whose_opponent_does_not_exist_does_not_begin(noughts_installed, tmp_path):
    given = {**SMALL, "run.opponent": "nobody"}
    with pytest.raises(UnknownNameError, match="'nobody'"):
        lzcore.train("scripted", "toys/noughts", out=tmp_path / "run", quiet=True, **given)


def test_other_environments_are_measured_by_their_returns(run_dir, monkeypatch):
    trained = load_trained(run_dir)
    assert isinstance(make_evaluator(trained.plan, trained.policy, 0), MatchEvaluator)

    monkeypatch.setattr(ToyEnv, "__init__", unruled(ToyEnv.__init__))
    assert isinstance(make_evaluator(trained.plan, trained.policy, 0), Evaluator)


def unruled(make):
    def made(self, *given):
        make(self, *given)
        self.simulator = None

    return made


def test_the_environments_own_end_of_games_holds_in_matches_too(noughts_installed, tmp_path):
    given = {**SMALL, "env.max_moves": 4}
    lzcore.train("scripted", "toys/noughts", out=tmp_path / "run", quiet=True, **given)

    assert evaluations(tmp_path / "run")[-1]["lengths"] == [4] * 6


# --- an earlier agent as an opponent --------------------------------------------------------------


def test_an_earlier_agent_plays_what_its_policy_chooses(run_dir):
    states = [(1, 0, 0, 0, 0, 0, 0, 0, 0), (1, 1, 0, 0, 2, 0, 0, 0, 0)]
    for path in (run_dir, run_dir / "checkpoints" / "best.pt"):
        opponent = make_opponent(f"checkpoint:{path}", GAME, get_registry())

        assert opponent.act(states, np.array([5, 6], np.uint64)).tolist() == [4, 2]


def test_an_earlier_agents_choice_follows_from_position_and_seed_alone(run_dir):
    opponent = make_opponent(f"checkpoint:{run_dir}", GAME, get_registry())
    states, seeds = [(0,) * 9] * 20, derive_seed(1, np.arange(20))

    together = opponent.act(states, seeds).tolist()

    assert opponent.act(states, seeds).tolist() == together
    assert opponent.act(states[:3], seeds[[7, 3, 7]]).tolist() == [
        together[7],
        together[3],
        together[7],
    ]
    assert len(set(together)) > 3


def test_an_earlier_agent_needs_a_path_to_an_agent_of_the_same_game(run_dir):
    registry = get_registry()
    with pytest.raises(ConfigError, match='"checkpoint:runs/mine"'):
        make_opponent("checkpoint", GAME, registry)
    with pytest.raises(ConfigError, match=r"has learned a game with 9 actions .* this one has 2"):
        make_opponent(f"checkpoint:{run_dir}", Race(), registry)


def test_an_earlier_agent_that_learned_against_a_bot_sees_a_game_for_one(
    noughts_installed, tmp_path
):
    given = {**SMALL, "env.bot": "random"}
    lzcore.train("scripted", "toys/noughts", out=tmp_path / "run", quiet=True, **given)
    opponent = make_opponent(f"checkpoint:{tmp_path / 'run'}", GAME, get_registry())

    opponent.act([(0,) * 9, (1,) + (0,) * 8], np.array([2, 4], np.uint64))

    assert opponent._policy.seen[0].to_play.tolist() == [-1, -1]


def test_an_earlier_agent_that_looks_at_several_frames_is_refused(run_dir, monkeypatch):
    monkeypatch.setattr(ScriptedPolicy, "_init_shared", more_frames(ScriptedPolicy._init_shared))
    with pytest.raises(ConfigError, match="looks at 4 frames, but opponents are shown a single"):
        make_opponent(f"checkpoint:{run_dir}", GAME, get_registry())


def more_frames(prepare):
    def prepared(self):
        prepare(self)
        self.frame_stack = 4

    return prepared
