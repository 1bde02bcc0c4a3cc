"""Which environments an id, a `module:Id` or a callable stands for, and why some cannot be made."""

import builtins
import os
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from lzcore.base.errors import EnvError
from lzcore.envs.config import GymSettings
from lzcore.envs.gym import GymEnv

MODULE = """
import gymnasium
from gymnasium import spaces

class Toy(gymnasium.Env):
    observation_space = spaces.Box(0, 1, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self, size=1):
        self.size = size

def make_toy(**kwargs):
    return Toy(**kwargs)

not_callable = 3
gymnasium.register("{id}", Toy, max_episode_steps=7)
"""


class Toy(gymnasium.Env):
    """Can be made and inspected; that is all these tests need."""

    def __init__(self, size=1, observation_space=None):
        self.observation_space = observation_space or spaces.Box(0, 1, (size,))
        self.action_space = spaces.Discrete(2)
        self.size = size


@pytest.fixture
def registry(monkeypatch):
    """The registry of Gymnasium, put back afterwards."""
    kept = dict(gymnasium.registry)
    yield gymnasium.registry
    gymnasium.registry.clear()
    gymnasium.registry.update(kept)


@pytest.fixture
def module(tmp_path, monkeypatch, registry):
    """The name of a module that registers Toy-v3 and defines more."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "lz_toy_module.py").write_text(MODULE.format(id="LzToy-v3"))
    yield "lz_toy_module"
    sys.modules.pop("lz_toy_module", None)


def made(make_id, num_envs=1, **settings):
    return GymEnv(make_id, num_envs, GymSettings(**settings))


def hidden(monkeypatch, *names):
    """Let imports of these packages fail as if they were not installed."""
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] in names:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    for loaded in list(sys.modules):
        if loaded.split(".")[0] in names:
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(builtins, "__import__", refuse)


class TestAnId:
    def test_passes_its_arguments_on(self):
        env = made("FrozenLake-v1", kwargs={"map_name": "8x8"})

        assert env.spaces.frame_shape == (64,)

    @pytest.mark.parametrize("wrong", ["CartPole", "cartpole-v1", "CartPole-v7"])
    def test_that_is_unknown_is_told_the_nearest(self, wrong):
        message = rf"There is no Gymnasium environment '{wrong}'\. Did you mean 'CartPole-v\d'\?"
        with pytest.raises(EnvError, match=message):
            made(wrong)

    def test_that_a_package_may_register_is_told_how_to_name_it(self):
        with pytest.raises(
            EnvError, match=r"environment 'Xyzzy-v0'\. One that .*\"package:Id\"\.$"
        ):
            made("Xyzzy-v0")

    @pytest.mark.parametrize("lost", ["__main__:<lambda>", "__main__:make", "tests:<locals>.make"])
    def test_that_was_a_callable_is_told_how_to_pass_it_again(self, lost):
        with pytest.raises(EnvError, match=r"was a callable .* lzcore\.Agent\.load\(DIR, env="):
            GymEnv(lost, 1, GymSettings())

    def test_of_an_older_atari_naming_is_told_the_newer(self, registry):
        registry.pop("PongNoFrameskip-v4", None)
        with pytest.raises(EnvError, match=r'Atari games are named like "ALE/Pong-v5"\.'):
            made("PongNoFrameskip-v4")

    def test_whose_arguments_do_not_fit_is_refused(self):
        with pytest.raises(EnvError, match=r"CartPole-v1 cannot be made \(TypeError.*'lenght'"):
            made("CartPole-v1", kwargs={"lenght": 1})

    def test_has_its_limit_set_in_one_place(self):
        message = r"sets 'max_episode_steps' of CartPole-v1; set env\.max_episode_steps instead"
        with pytest.raises(EnvError, match=message):
            made("CartPole-v1", kwargs={"max_episode_steps": 3})

    def test_of_no_atari_game_has_no_sticky_actions(self):
        with pytest.raises(
            EnvError, match=r"sticky_actions is 0\.25, but CartPole-v1 is not an Ata"
        ):
            made("CartPole-v1", sticky_actions=0.25)

    def test_in_an_older_version_is_made_without_a_warning(self):
        assert made("CartPole-v0").describe()["episode_limit"] == 200

    def test_whose_definition_is_sloppy_is_made_without_gymnasiums_warnings(self, registry):
        def sloppy():
            return Toy(observation_space=spaces.Box(np.zeros(2), np.full(2, 0.1), dtype=np.float32))

        gymnasium.register("LzSloppy-v0", sloppy)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert made("LzSloppy-v0").spaces.frame_shape == (2,)


class TestAModule:
    def test_is_imported_for_the_ids_it_registers(self, module):
        env = made(f"{module}:LzToy-v3")

        assert (env.name, env.describe()["episode_limit"]) == (f"{module}:LzToy-v3", 7)

    @pytest.mark.parametrize("name", ["Toy", "make_toy"])
    def test_may_define_a_class_or_function_instead(self, module, name):
        env = made(f"{module}:{name}", kwargs={"size": 5})

        assert env.envs[0].size == 5

    def test_is_found_where_the_user_stands(self, module, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
        monkeypatch.chdir(tmp_path)

        assert made(f"{module}:Toy").spaces.frame_shape == (2,)

    @pytest.mark.parametrize("name", ["LzTo-v3", "not_callable"])
    def test_that_lacks_the_id_is_refused(self, module, name):
        with pytest.raises(
            EnvError, match=f"module '{module}' neither registers nor defines '{name}"
        ):
            made(f"{module}:{name}")

    def test_that_holds_no_environment_by_that_name_does_not_suggest_it(self, module):
        with pytest.raises(EnvError) as told:
            made(f"{module}:not_callable")

        assert "Did you mean" not in str(told.value)

    def test_that_lacks_the_id_is_told_the_nearest(self, module):
        with pytest.raises(EnvError, match=r"Did you mean 'LzToy-v3'\?"):
            made(f"{module}:LzToy-v2")

    def test_that_is_not_installed_is_named_with_a_remedy(self):
        message = r"module 'lz_no_such', which .*No module named 'lz_no_such'.*PYTHONPATH"
        with pytest.raises(EnvError, match=message):
            made("lz_no_such:Toy-v0")

    def test_that_fails_is_named_with_the_cause_in_one_line(self, module, tmp_path):
        (tmp_path / "lz_bad_module.py").write_text("raise RuntimeError('one\\ntwo')")
        with pytest.raises(
            EnvError, match=r"cannot be imported \(RuntimeError: one two\)\. Install"
        ):
            made("lz_bad_module:Toy")


class TestACallable:
    def test_is_not_an_environment_itself(self):
        with pytest.raises(EnvError, match=r"^Toy was given .*makes one, not an instance\.$"):
            GymEnv(Toy(), 1)

    def test_makes_each_environment_with_the_arguments(self):
        env = made(Toy, num_envs=3, kwargs={"size": 4})

        assert env.name == "Toy"
        assert len({id(one) for one in env.envs}) == 3
        assert env.spaces.frame_shape == (4,)

    def test_that_returns_something_else_is_refused(self):
        with pytest.raises(EnvError, match=r"dict returned 'dict'; expected a gymnasium\.Env\."):
            made(dict)

    def test_that_returns_one_environment_twice_is_refused(self):
        env = Toy()
        with pytest.raises(EnvError, match="the same environment twice"):
            made(lambda: env, num_envs=2)

    def test_that_returns_unlike_environments_is_refused(self):
        sizes = iter((1, 2))
        with pytest.raises(EnvError, match="makes environments whose spaces differ"):
            made(lambda: Toy(next(sizes)), num_envs=2)

    def test_that_fails_is_named_with_the_cause(self):
        with pytest.raises(EnvError, match=r"Toy cannot be made \(TypeError: .*got an unexpected"):
            made(Toy, kwargs={"length": 3})


class TestAMissingPackage:
    def test_of_box2d_is_named_with_the_extra(self, monkeypatch):
        hidden(monkeypatch, "Box2D")
        for name in [n for n in sys.modules if n.startswith("gymnasium.envs.box2d")]:
            monkeypatch.delitem(sys.modules, name)
        message = (
            r'LunarLander-v3 needs a package that is not installed .*install "lzcore\[box2d\]"$'
        )
        with pytest.raises(EnvError, match=message):
            made("LunarLander-v3")

    def test_of_atari_is_named_with_the_extra(self, monkeypatch):
        hidden(monkeypatch, "ale_py")
        message = r'ALE/Pong-v5 needs a package that is not installed .*install "lzcore\[atari\]"$'
        with pytest.raises(EnvError, match=message):
            made("ALE/Pong-v5")

    def test_of_mujoco_is_named_with_gymnasiums_extra(self, monkeypatch):
        hidden(monkeypatch, "mujoco")
        with pytest.raises(EnvError, match=r'HalfCheetah-v5 needs .*"gymnasium\[mujoco\]"$'):
            made("HalfCheetah-v5")

    def test_of_drawing_is_named_with_gymnasiums_extra(self, monkeypatch):
        env = made("CartPole-v1")
        env.reset(np.array([0]), np.array([0], np.uint64))
        hidden(monkeypatch, "pygame")
        with pytest.raises(
            EnvError, match=r'Drawing CartPole-v1 .*"gymnasium\[classic-control\]"$'
        ):
            env.render(0)


def test_drawing_leaves_the_choice_of_a_screen_as_it_was(monkeypatch):
    pytest.importorskip("pygame", reason='drawing needs pip install "lzcore[box2d]"')
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    env = made("CartPole-v1")
    env.reset(np.array([0]), np.array([0], np.uint64))
    env.render(0)

    assert "SDL_VIDEODRIVER" not in os.environ


PLAY = """
import numpy as np
from lzcore.envs.gym import GymEnv
env = GymEnv({name!r}, 1)
env.reset(np.array([0]), np.array([7], np.uint64))
env.step(np.array([0]), np.array([0]))
env.render(0)
"""


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("CartPole-v1", "pygame", "box2d"),
        ("LunarLander-v3", "Box2D", "box2d"),
        ("ALE/Pong-v5", "ale_py", "atari"),
    ],
)
def test_nothing_is_printed_while_an_environment_is_made_played_and_drawn(name, package, extra):
    pytest.importorskip(package, reason=f'needs pip install "lzcore[{extra}]"')
    code = PLAY.format(name=name)

    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("", "")
