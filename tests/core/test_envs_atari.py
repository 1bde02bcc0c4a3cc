"""Atari games: one frame skip, no sticky actions unless asked, starts drawn from the seed."""

import gymnasium
import numpy as np
import pytest

from lzcore.base.errors import EnvError
from lzcore.envs.config import GymSettings
from lzcore.envs.gym import GymEnv
from lzcore.envs.wrappers import FrameSkip, NoopStart

ale_py = pytest.importorskip("ale_py", reason='needs pip install "lzcore[atari]"')

ONE = np.zeros(1, np.int64)


def seeds(*values):
    return np.array(values, np.uint64) << np.uint64(40)


def pong(**settings):
    env = GymEnv("ALE/Pong-v5", 1, GymSettings(**settings))
    return env, env.reset(ONE, seeds(3))


def frames_played(env):
    return env.envs[0].unwrapped.ale.getEpisodeFrameNumber()


@pytest.mark.parametrize(("settings", "frames"), [({}, 4), ({"frame_skip": 3}, 3)])
def test_the_frame_skip_is_applied_once(settings, frames):
    env, _ = pong(noop_max=0, **settings)
    env.step(ONE, ONE)
    env.step(ONE, ONE)

    assert frames_played(env) == 2 * frames


def test_ids_with_a_frame_skip_of_their_own_have_none_left():
    env = GymEnv("ale_py:Pong-v4", 1, GymSettings(noop_max=0))
    env.reset(ONE, seeds(3))
    env.step(ONE, ONE)

    assert frames_played(env) == 4


@pytest.mark.parametrize("chance", [0.0, 0.25])
def test_actions_stick_only_if_asked(chance):
    env, _ = pong(sticky_actions=chance) if chance else pong()

    assert env.envs[0].unwrapped.ale.getFloat("repeat_action_probability") == pytest.approx(chance)
    assert f"sticky actions: probability {chance}" in env.describe()["adapters"]


def test_the_game_starts_after_some_frames_that_the_seed_draws():
    env, _ = pong(noop_max=30)
    counts = []
    for seed in (1, 2, 3, 4, 5, 1):
        env.reset(ONE, seeds(seed))
        counts.append(frames_played(env))

    assert all(1 <= count <= 30 for count in counts)
    assert len(set(counts)) > 2
    assert counts[-1] == counts[0]


def test_without_that_it_starts_at_once():
    assert frames_played(pong(noop_max=0)[0]) == 0


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, (3, 210, 160)),
        ({"image_size": 96}, (3, 96, 96)),
        ({"image_size": 64, "gray": True}, (1, 64, 64)),
        ({"image_size": 96, "gray": True}, (1, 96, 96)),
    ],
)
def test_pictures_are_bytes_of_the_wanted_size(settings, shape):
    env, seen = pong(**settings)
    stepped = env.step(ONE, ONE)

    assert (env.spaces.kind, env.spaces.frame_shape) == ("image", shape)
    for observed in (seen, stepped.observed):
        assert observed.observation.shape == (1, *shape)
        assert observed.observation.dtype == np.uint8
        assert observed.observation.max() > 100


def test_the_memory_can_be_shown_instead():
    env, seen = pong(kwargs={"obs_type": "ram"})

    assert (env.spaces.kind, seen.observation.shape) == ("vector", (1, 128))


def test_an_episode_repeats_with_its_seed():
    env, _ = pong(image_size=64, gray=True)
    drawn = np.random.default_rng(0).integers(6, size=30)

    def episode(seed):
        shown = [env.reset(ONE, seeds(seed)).observation]
        shown += [env.step(ONE, np.array([a])).observed.observation for a in drawn]
        return np.concatenate(shown)

    first, other, again = episode(8), episode(9), episode(8)

    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("key", "setting"),
    [("frameskip", "frame_skip"), ("repeat_action_probability", "sticky_actions")],
)
def test_what_has_a_setting_is_set_there(key, setting):
    with pytest.raises(EnvError, match=f"sets '{key}' of ALE/Pong-v5; set env.{setting} instead"):
        pong(kwargs={key: 4})


def test_an_unknown_game_is_told_the_nearest():
    with pytest.raises(EnvError, match=r"environment 'ALE/Pnog-v5'\. Did you mean 'ALE/Pong-v5'\?"):
        GymEnv("ALE/Pnog-v5", 1)


def test_the_limit_of_the_game_is_told():
    env, _ = pong()

    assert "time limit: 108000 frames, kept by the environment" in env.describe()["adapters"]
    assert env.describe()["episode_limit"] is None


class Flickering(gymnasium.Env):
    """Draws step k in pixel k; ends with step `length`."""

    def __init__(self, length=100):
        self.observation_space = gymnasium.spaces.Box(0, 255, (2, 5), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(1)
        self.length = length

    def _frame(self):
        frame = np.zeros((2, 5), np.uint8)
        frame.ravel()[self.count % 10] = 200
        return frame

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return self._frame(), {}

    def step(self, action):
        self.count += 1
        return self._frame(), 1.0, self.count == self.length, False, {}


@pytest.mark.parametrize(
    ("times", "length", "lit"), [(4, 100, [3, 4]), (2, 100, [1, 2]), (1, 100, [1]), (4, 3, [2, 3])]
)
def test_of_the_last_two_frames_the_brighter_pixels_stay(times, length, lit):
    env = FrameSkip(Flickering(length), times, pool=True)
    env.reset()
    frame, *_ = env.step(0)

    assert np.flatnonzero(frame).tolist() == lit


def test_a_game_that_ends_before_it_starts_is_begun_anew():
    env = NoopStart(Flickering(length=1), most=5)

    assert np.flatnonzero(env.reset(seed=1)[0]).tolist() == [0]
