"""`lz play` and `lz eval --opponent`: a person, a pipe or an opponent against an agent."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from engine_fakes import TinyConfig
from match_fakes import Race, ScriptedPolicy, scripted

import lzcore
from lzcore.base import ConfigError, ContractError, Decisions, SearchResult
from lzcore.cli.main import main
from lzcore.cli.play import Game, Thought, decider, dialogue, thought_of, thoughts
from lzcore.engine.agent import load_trained
from lzcore.engine.assemble import make_env
from lzcore.testing.noughts import Noughts

GAME = Noughts()
SMALL = {"run.eval_episodes": 4, "run.tensorboard": False, "max_env_steps": 30}


def lowest(line):
    """An agent that takes the lowest free cell, and thinks so too."""
    action = int(GAME.look(line[-1:]).legal_actions[0].argmax())
    return Thought(action, 0.5, {"visits": {action: 9.0}})


def game(person_begins=True, decide=lowest, **given):
    return Game(GAME, decide, person_begins, 1, **given)


def talk(*lines, of=None):
    """All that is shown when these lines are said."""
    return list(dialogue(of or game(), iter([line + "\n" for line in lines])))


# --- the game -------------------------------------------------------------------------------------


def test_the_board_and_the_legal_moves_are_shown_before_each_move():
    first, answer, second, *_ = talk("b2")

    assert first.startswith("\n...\n...\n...\nYour move: a1 b1 c1 a2 b2 c2 a3 b3 c3  (?")
    assert answer == "The agent plays a1."
    assert second.startswith("\no..\n.x.\n...\nYour move: b1 c1 a2 c2 a3 b3 c3  (?")


def test_the_end_of_input_ends_the_game_politely():
    assert talk()[-1] == "Good bye; the game is not finished."


def test_q_quits():
    assert talk("b2", "q", "c3")[-1] == talk("b2")[-1] == "Good bye; the game is not finished."


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        ("c1 b2 a3", "\noox\n.x.\nx..\nYou win."),
        ("c3 b3 b2", "\nooo\n.x.\n.xx\nThe agent wins."),
        ("b2 c1 a2 b3 c3", "\noox\nxxo\noxx\nA draw."),
    ],
)
def test_the_end_shows_the_board_and_who_has_won(lines, end):
    assert talk(*lines.split())[-1] == end


def test_the_agent_moves_first_if_the_person_does_not():
    told = talk("b2", of=game(person_begins=False))

    assert told[0] == "The agent plays a1."
    assert told[1].startswith("\nx..\n")
    assert told[2] == "The agent plays b1."


@pytest.mark.parametrize("said", ["z9", "a1", "B3"])
def test_after_a_wrong_move_the_list_of_moves_is_not_repeated(said):
    told = talk("b2", said, said, "c3")

    refusal = f"{said!r} is no legal move here; ? shows the moves."
    assert told[3:5] == [refusal, refusal]
    assert told[5].startswith("The agent plays")


def test_blank_lines_are_passed_over():
    assert talk("", "b2", " ", "", "c3") == talk("b2", "c3")


@pytest.mark.parametrize(("word", "key"), [("help", "?"), ("undo", "u"), ("quit", "q")])
def test_a_key_may_be_said_as_a_word(word, key):
    assert talk("b2", word, "c3") == talk("b2", key, "c3")


def test_what_is_a_move_is_no_key():
    class Named(Noughts):
        def name_of(self, state, action):
            return ["q", "help", "u", "?", "undo", "quit", "g", "h", "i"][action]

    told = talk("help", "u", of=Game(Named(), lowest, True, 1))

    assert [text[1:4] for text in told if text.startswith("\n")] == ["...", "ox.", "oxx"]


def test_u_takes_the_last_move_and_its_answer_back():
    told = talk("b2", "c3", "u", "u", "u")

    boards = [text for text in told if text.startswith("\n")]
    assert [text[1:12] for text in boards] == [
        "...\n...\n...",
        "o..\n.x.\n...",
        "oo.\n.x.\n..x",
        "o..\n.x.\n...",
        "...\n...\n...",
        "...\n...\n...",
    ]
    assert told[-3] == "There is no move of yours to take back."


def test_u_leaves_the_agents_first_move_where_it_is():
    told = talk("b2", "u", "u", of=game(person_begins=False))

    assert [text[1:4] for text in told if text.startswith("\n")] == ["x..", "xx.", "x..", "x.."]
    assert "There is no move of yours to take back." in told


def test_a_question_shows_what_the_agent_thinks_and_moves_nothing():
    board, thought, same, _ = talk("?")

    assert thought.splitlines()[:3] == [
        "value for who moves: +0.500",
        "move         visits",
        "a1                9",
    ]
    assert same == board


def test_a_game_that_reaches_max_moves_is_drawn():
    assert talk("b2", "c3", of=game(max_moves=4))[-1].endswith("A draw.")


def test_chance_moves_by_itself_and_a_move_taken_back_meets_the_same_luck():
    race = Race()

    def throws(key):
        told = []
        table = Game(race, lambda line: Thought(0, None, {}), True, key)
        for _ in range(2):
            table.move("throw")
            told.append(table.board())
            table.let_agent_move()
            table.take_back()
        return told

    assert all(first == second for first, second in map(throws, range(8)))
    assert {throws(key)[0] for key in range(12)} == {"0 : 0", "3 : 0"}


# --- what the agent thinks ------------------------------------------------------------------------


def decided(told, **search):
    found = SearchResult(**search) if search else None
    return Decisions(np.array([4]), {}, lambda row: told, found)


SEARCH = {
    "visit_count": np.array([[3, 0, 7, 0]]),
    "value": np.array([0.25]),
    "q_value": np.array([[-0.5, 0.0, 0.75, 0.0]]),
    "raw_value": np.zeros(1),
    "prior_logits": np.log([[1.0, 2.0, 1.0, 96.0]]),
}


def test_a_search_is_shown_with_the_most_visited_move_first():
    found = thought_of(decided({"action": 2}, **SEARCH), [0, 1, 2])

    assert list(thoughts(found, {"a": 0, "b": 1, "c": 2})) == [
        "value for who moves: +0.250",
        "move         visits        Q    prior",
        "c                 7   +0.750    0.250",  # the prior is over legal moves
        "a                 3   -0.500    0.250",
        "b                 0        -    0.500",
    ]


def test_of_sampled_actions_those_that_were_not_drawn_have_no_visits():
    sampled = np.array([[[2], [0], [-1], [-1]]])
    found = thought_of(decided({"action": 2}, **SEARCH, sampled_actions=sampled), [0, 1, 2])

    assert found.columns["visits"] == {2: 3, 0: 0, -1: 0}
    assert list(thoughts(found, {"a": 0, "b": 1, "c": 2}))[2:] == [
        "c                 3   -0.500    0.250",
        "a                 0        -    0.250",
        "b                 -        -    0.500",
    ]


def test_without_a_search_the_documented_dict_is_shown():
    told = {"action": 2, "visit_count_distributions": [1, 5], "searched_value": -0.5}
    told["predicted_policy_logits"] = [9.0, 0.0, 0.0, 9.0]
    found = thought_of(decided(told), [1, 2])

    assert found == Thought(2, -0.5, {"visits": {1: 1.0, 2: 5.0}, "prior": {1: 0.5, 2: 0.5}})
    shares = thought_of(decided({"action": 1, "probs": [0.0, 0.75, 0.25, 0.0]}), [1, 2])
    assert list(thoughts(shares, {"x": 1, "y": 2})) == [
        "move          share",
        "x             0.750",
        "y             0.250",
    ]


# --- in the shell ---------------------------------------------------------------------------------


@pytest.fixture
def run_dir(noughts_installed, tmp_path):
    out = tmp_path / "run"
    lzcore.train("scripted", "toys/noughts", out=out, quiet=True, **SMALL)
    return out


def lz(*given, say=None):
    words = [str(part) for part in given]
    return CliRunner().invoke(main, words, input=say, catch_exceptions=False)


def test_play_goes_through_a_pipe(run_dir, fake_site):
    here = os.path.dirname(__file__)
    paths = os.pathsep.join([str(fake_site), here, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", "from lzcore.cli.main import main; main()", "play", str(run_dir)],
        input="?\nb2\nnonsense\nu\n",
        env={**os.environ, "PYTHONPATH": paths, "LZ_PLUGINS": "match"},
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "best.pt: you move first." in done.stdout
    assert "move         visits        Q    prior" in done.stdout
    assert "'nonsense' is no legal move here; ? shows the moves." in done.stdout
    assert done.stdout.endswith("Good bye; the game is not finished.\n")
    assert "\x1b" not in done.stdout


def test_who_begins_and_how_long_the_agent_searches_can_be_chosen(run_dir):
    agent = lz("play", run_dir, "--first", "agent", "--simulations", 40, say="?\n")

    assert "you move second." in agent.stdout
    assert agent.stdout.index("The agent plays") < agent.stdout.index("Your move")
    assert " 40   +4.000" in agent.stdout
    begun = {
        lz("play", run_dir, "--first", "random", "--seed", seed, say="").stdout.splitlines()[0][-7:]
        for seed in range(8)
    }
    assert begun == {" first.", "second."}


def test_the_number_of_simulations_is_refused_where_the_policy_has_none(run_dir, monkeypatch):
    from lzcore.engine.agent import _searching

    assert _searching(scripted().cfg, 12).num_simulations == 12
    with pytest.raises(ConfigError, match=r"has no setting num_simulations.*--simulations"):
        _searching(TinyConfig(), 12)
    assert load_trained(run_dir, num_simulations=3).policy.cfg.num_simulations == 3


def test_a_policy_that_decides_what_is_not_legal_is_named(run_dir, monkeypatch):
    trained = load_trained(run_dir)
    env = make_env(trained.plan, 1, evaluation=True)
    (begun,) = GAME.begin([1])
    (later,) = GAME.play([begun], np.array([4]))
    answer = Decisions(np.zeros(1, np.int64), {"action": np.array([4])}, lambda row: {})
    monkeypatch.setattr(trained.policy, "decide", lambda *_: answer)
    decide = decider(trained, env)

    with pytest.raises(
        ContractError, match=r"action 4, which is not legal; expected one of \[0, 1, 2, 3, 5"
    ):
        decide([begun, later])


def test_eval_prints_a_table_of_the_match(run_dir):
    done = lz("eval", run_dir, "--games", 40, "--opponent", "random", "--openings", 1)

    where, what, head, first, second, both, elo = done.stdout.splitlines()
    assert where.endswith("best.pt, seed 0")
    assert what == "40 games against random, each from 1 random ply"
    assert head.split() == ["wins", "draws", "losses", "score"]
    counts = [[int(x) for x in line.split()[-4:-1]] for line in (first, second, both)]
    assert [line.split("  ")[0] for line in (first, second, both)] == [
        "moving first", "moving second", "both",
    ]  # fmt: skip
    assert [sum(row) for row in counts] == [20, 20, 40]
    assert [a + b for a, b in zip(*counts[:2], strict=True)] == counts[2]
    assert counts[2][2] == 0
    assert elo.startswith("Elo +")
    assert elo.endswith(" at 95 %")


def test_eval_plays_every_opening_when_asked(run_dir):
    done = lz("eval", run_dir, "--games", 3, "--opponent", "random", "--openings", 1, "--all")

    assert "18 games against random, from every opening of 1 ply\n" in done.stdout


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ((), "18 games against random, from every opening of 1 ply"),  # as in the run
        (("--games", 3), "3 games against random, each from 1 random ply"),
        (("--games", 3, "--all"), "18 games against random, from every opening of 1 ply"),
        (("--random", "--openings", 2), "4 games against random, each from 2 random plies"),
        (("--games", 1, "--openings", 0), "1 game against random, each from the first position"),
    ],
)
def test_as_many_games_as_are_asked_for_are_played_unless_every_opening_is(run_dir, given, what):
    config = run_dir / "config.toml"
    text = config.read_text().replace('openings = "random"', 'openings = "all"')
    config.write_text(text.replace("opening_plies = 2", "opening_plies = 1"))

    assert lz("eval", run_dir, *given).stdout.splitlines()[1] == what


def test_eval_searches_as_long_as_it_is_told(run_dir, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "lzcore.engine.agent._searching", lambda policy, number: asked.append(number) or policy
    )

    lz("eval", run_dir, "--games", 2, "--simulations", 40)

    assert asked == [40]


def test_eval_as_json_takes_the_runs_own_opponent_unless_told(run_dir):
    own = json.loads(lz("eval", run_dir, "--json").stdout)
    options = "--json", "--opponent", "minimax", "--openings", 0
    other = json.loads(lz("eval", run_dir, *options).stdout)

    assert (own["opponent"], own["games"]) == ("random", 4)
    assert (other["opponent"], other["losses"]) == ("minimax", 0)
    assert own["seed"] == 0


def test_a_game_for_one_has_no_opponent_and_is_not_played(tiny_installed, tmp_path):
    out = tmp_path / "run"
    lzcore.train("tiny", "engine_fakes:Walk", out=out, quiet=True, **SMALL)

    refused = lz("eval", out, "--opponent", "random")
    assert refused.exit_code == 1
    assert "is no game for two whose rules are known" in refused.stderr
    assert "Leave --opponent, --openings, --all and --random out." in refused.stderr
    unplayed = lz("play", out, say="")
    assert unplayed.exit_code == 1
    assert f"lz watch {out} --gif FILE" in unplayed.stderr


def test_who_plans_with_rules_is_measured_and_played_without_the_bot_it_has_learned_against(
    noughts_installed, tmp_path, monkeypatch
):
    monkeypatch.setattr(ScriptedPolicy, "plans_with_rules", True)
    out = tmp_path / "run"
    lzcore.train("scripted", "toys/noughts", out=out, quiet=True, **SMALL, **{"env.bot": "random"})

    against_bot = lz("eval", out, "--episodes", 3)
    assert "over 3 episodes" in against_bot.stdout
    match = lz("eval", out, "--games", 6, "--opponent", "minimax")
    assert "6 games against minimax, each from 2 random plies" in match.stdout
    played = lz("play", out, say="b2\n")
    assert "you move first." in played.stdout
    assert "The agent plays" in played.stdout


def test_who_has_learned_a_model_of_the_bots_game_is_not_matched(noughts_installed, tmp_path):
    out = tmp_path / "run"
    lzcore.train("scripted", "toys/noughts", out=out, quiet=True, **SMALL, **{"env.bot": "random"})

    for words in (("eval", out, "--opponent", "minimax"), ("play", out)):
        refused = lz(*words, say="")
        assert refused.exit_code == 1
        assert 'was learned against env.bot = "random", as a game for one' in refused.stderr
