"""`lz check-env`: facts, findings and presets, printed line by line."""

import sys
import types

import gymnasium
import numpy as np
import pytest
from click.testing import CliRunner
from gymnasium import spaces

from lzcore.base.errors import EnvError
from lzcore.cli.check_env import check_env
from lzcore.registry import PolicySpec, Registry, hookimpl


class Board(gymnasium.Env):
    """Shows planes, for five steps."""

    def __init__(self):
        self.observation_space = spaces.Box(0, 1, (2, 3, 3))
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.np_random.random((2, 3, 3), np.float32), {}

    def step(self, action):
        self.count += 1
        return self.np_random.random((2, 3, 3), np.float32), 1.0, self.count == 5, False, {}


PLUGIN = """
import attrs
from lzcore.base.config import PolicySettings, setting

@attrs.frozen(kw_only=True)
class ToySettings(PolicySettings):
    width: int = setting(0, "Of the observation.")
    num_simulations: int = setting(50, "Per move.")

class ToyPolicy:
    @classmethod
    def check_spaces(cls, spaces):
        return "its actions are continuous." if spaces.action.kind == "continuous" else None

    @classmethod
    def settings_for(cls, spaces, given):
        return {"width": spaces.frame_shape[0]}
"""


@pytest.fixture
def toy_policy(tmp_path, monkeypatch):
    """An installed plugin whose policy `toy` has presets for CartPole-v1 and for vectors."""
    folder = tmp_path / "lz_toy_policy"
    (folder / "presets").mkdir(parents=True)
    (folder / "__init__.py").write_text(PLUGIN)
    (folder / "presets" / "__init__.py").touch()
    (folder / "presets" / "CartPole-v1.toml").write_text("num_simulations = 25")
    (folder / "presets" / "vector.toml").write_text("[env]\nframe_skip = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = PolicySpec(
        name="toy",
        policy="lz_toy_policy:ToyPolicy",
        config="lz_toy_policy:ToySettings",
        summary="",
        presets="lz_toy_policy.presets",
    )
    module = types.ModuleType("lz_toy")
    module.LZ_API = 1
    module.lz_register_policies = hookimpl(lambda: [spec])
    dist = types.SimpleNamespace(name="lz-toy", version="1.0")
    point = types.SimpleNamespace(name="toy", value="lz_toy", dist=dist, load=lambda: module)
    monkeypatch.setattr("lzcore.cli.check_env.get_registry", lambda: Registry([point]))
    yield "toy"
    for name in [n for n in sys.modules if n.startswith("lz_toy_policy")]:
        del sys.modules[name]


def lz_check_env(*args):
    return CliRunner().invoke(check_env, args)


def test_the_command_tells_facts_and_findings_and_succeeds():
    done = lz_check_env("CartPole-v1")

    assert done.exit_code == 0
    assert "environment         CartPole-v1 (Gymnasium" in done.output
    assert "policy sees         vector (4,) float32\n" in done.output
    assert "ok      The same seed and actions give the same episode.\n" in done.output
    assert done.output.endswith("Nothing is wrong.\n")
    assert max(map(len, done.output.splitlines())) <= 100


def test_of_a_game_the_last_line_says_which_command_holds_its_rules_to_their_contract():
    done = lz_check_env("game/lzcore.testing.noughts:Noughts")

    assert done.exit_code == 0
    assert done.output.splitlines()[-2:] == [
        "Nothing is wrong.",
        "`lz plugin check game/lzcore.testing.noughts:Noughts` holds the rules to their contract.",
    ]


def test_the_command_takes_settings_of_the_environment():
    done = lz_check_env("CartPole-v1", "-o", "env.frame_skip=4", "-o", "env.max_episode_steps=3")

    assert "each action is applied 4 times" in done.output
    assert "random episodes     3 steps, 3 steps, 3 steps (the first" in done.output


def test_the_command_repeats_itself_with_one_seed():
    first, same, other = (lz_check_env("CartPole-v1", "--seed", seed).output for seed in "112")

    assert first == same != other


def test_the_command_fails_if_something_is_wrong():
    class Fails(Board):
        def step(self, action):
            raise RuntimeError("broken")

    gymnasium.register("LzFails-v0", Fails)
    try:
        done = lz_check_env("LzFails-v0")
    finally:
        del gymnasium.registry["LzFails-v0"]

    assert done.exit_code == 1
    assert "wrong   LzFails-v0 (environment 0, after step 0) failed in step: Runt" in done.output
    assert done.output.endswith("1 wrong.\n")


def test_an_environment_that_cannot_be_made_is_one_error():
    assert isinstance(lz_check_env("CartPol-v1").exception, EnvError)


def test_the_command_names_the_preset_for_the_id(toy_policy):
    done = lz_check_env("CartPole-v1", "--policy", toy_policy)

    assert done.exit_code == 0
    assert "preset              CartPole-v1, for this id (toy)\n" in done.output
    assert "  from spaces       width=4\n" in done.output
    assert "  from preset       num_simulations=25\n" in done.output


def test_the_command_names_the_preset_for_the_kind_and_plays_with_it(toy_policy):
    done = lz_check_env("MountainCar-v0", "--policy", toy_policy, "-o", "num_simulations=7")

    assert "preset              vector, for its kind (toy)\n" in done.output
    assert "  from preset       env.frame_skip=2\n" in done.output
    assert "  from -o           num_simulations=7\n" in done.output
    assert "random episodes     100 steps, 100 steps, 100 steps (the first" in done.output


def test_the_command_says_that_a_policy_cannot_act_there(toy_policy):
    done = lz_check_env("Pendulum-v1", "--policy", toy_policy)

    assert done.exit_code == 1
    assert "policy gives        (1,) float32\n" in done.output
    assert "wrong   The policy 'toy' cannot act in Pendulum-v1: its actions are con" in done.output


def test_the_command_says_that_no_preset_fits(toy_policy):
    gymnasium.register("LzBoard-v0", Board)
    try:
        done = lz_check_env("LzBoard-v0", "--policy", toy_policy)
    finally:
        del gymnasium.registry["LzBoard-v0"]

    assert done.exit_code == 0
    assert "preset              none fits (toy)\n" in done.output
