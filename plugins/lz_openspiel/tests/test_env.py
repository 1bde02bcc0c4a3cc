"""Games of OpenSpiel as environments, and what is registered."""

import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from lz_openspiel import plugin
from lz_openspiel.env import OpenSpielEnv

from lzcore.base import TreeSpec
from lzcore.cli.main import main
from lzcore.envs.check import examine
from lzcore.registry import get_registry, load
from lzcore.search import SimulatedDynamics


@pytest.mark.parametrize(
    ("env_id", "settings"),
    [
        ("open_spiel/tic_tac_toe", {}),
        ("open_spiel/connect_four(rows=5,columns=6)", {"opening_moves": 3}),
        ("open_spiel/go(board_size=5)", {"max_moves": 20}),
        ("open_spiel/backgammon", {"max_moves": 30}),
        ("open_spiel/2048", {"max_moves": 40}),
        ("open_spiel/tic_tac_toe", {"bot": "mcts:10"}),
        ("open_spiel/pig(winscore=20)", {"bot": "mcts:10"}),
    ],
)
def test_the_contract_is_kept(env_id, settings):
    report = examine(lambda: OpenSpielEnv(env_id, 1, settings))

    assert [text for level, text in report.findings if level == "wrong"] == []
    assert report.facts["environment"] == env_id


def test_max_moves_and_returns_hold_as_in_any_game():
    env = OpenSpielEnv("open_spiel/tic_tac_toe", 2, {"max_moves": 6})
    env.reset(np.arange(2), np.arange(2, dtype=np.uint64))
    for one, other in ((0, 0), (3, 1), (1, 2), (4, 3), (8, 4), (5, 6)):  # o wins, nobody does
        stepped = env.step(np.arange(2), np.array([one, other]))

    assert stepped.terminated.tolist() == [True, False]
    assert stepped.truncated.tolist() == [False, True]
    assert stepped.reward.tolist() == [1, 0]
    assert stepped.episode_return.tolist() == [-1, 0]


def test_lz_check_env_finds_nothing_wrong():
    done = CliRunner().invoke(main, ["check-env", "open_spiel/tic_tac_toe"])

    assert done.exit_code == 0, done.output
    assert "Nothing is wrong." in done.output
    assert "board (4, 3, 3) float32" in done.output


def test_lz_list_shows_the_kind_and_the_opponent():
    lines = CliRunner().invoke(main, ["list"]).output.splitlines()

    for start in ("environment kind  open_spiel", "opponent          mcts"):
        [line] = [line for line in lines if line.startswith(start)]
        assert "lz-openspiel" in line


def test_a_game_without_its_prefix_is_told_with_it():
    done = CliRunner().invoke(main, ["check-env", "connect_four"])

    assert done.exit_code == 1
    assert "Did you mean 'open_spiel/connect_four'?" in done.output
    assert "Did you mean" not in CliRunner().invoke(main, ["check-env", "xyzzy"]).output


def test_the_prefix_leads_here():
    assert get_registry().env_for("open_spiel/hex(board_size=5)").name == "open_spiel"


def test_what_is_registered_can_be_loaded_and_listing_it_imports_no_openspiel():
    specs = [*plugin.lz_register_envs(), *plugin.lz_register_opponents()]
    for spec in specs:
        for field in spec.class_fields():
            assert callable(load(getattr(spec, field)))
    code = "import sys, lz_openspiel.plugin; sys.exit('pyspiel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_search_can_play_it_from_what_is_observed():
    """The root asks about what the environment shows, and about nothing else."""
    env = OpenSpielEnv("open_spiel/tic_tac_toe", 2, {"opening_moves": 2})
    seen = env.reset(np.arange(2), np.arange(2, dtype=np.uint64))
    asked = []

    def evaluate(observation, legal):
        asked.append((observation, legal))
        return np.zeros(legal.shape), np.zeros(len(legal))

    spec = TreeSpec(num_simulations=1, num_actions=9)
    SimulatedDynamics(seen.simulator, evaluate, spec).root(seen.states.tolist())
    [(observation, legal)] = asked
    assert (observation == seen.observation).all()
    assert (legal == seen.action_mask).all()
