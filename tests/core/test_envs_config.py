"""The settings of a Gymnasium environment."""

import subprocess
import sys

import attrs
import pytest

from lzcore.base.errors import ConfigError
from lzcore.envs.config import GymSettings


def test_evaluation_sees_whole_games_and_true_rewards_and_keeps_the_rest():
    learning = GymSettings(reward_clip=True, episodic_life=True, frame_skip=4, image_size=96)

    assert learning.for_evaluation() == GymSettings(frame_skip=4, image_size=96)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"frame_skip": 0}, "frame_skip = 0: expected"),
        ({"max_episode_steps": 0}, "max_episode_steps = 0: expected"),
        ({"image_size": -1}, "image_size = -1: expected"),
        ({"noop_max": -1}, "noop_max = -1: expected"),
        ({"sticky_actions": 1.0}, "sticky_actions = 1.0: expected"),
        ({"channels": "middle"}, "channels = .*middle.*: expected"),
        ({"reward_clip": 1}, "reward_clip = 1: expected"),
        ({"frameskip": 4}, "there is no such setting.*frame_skip"),
    ],
)
def test_what_cannot_be_is_refused(wrong, expected):
    with pytest.raises(ConfigError, match=expected):
        GymSettings.of(wrong)


def test_text_none_and_tables_of_arguments_are_taken():
    found = GymSettings.of({"image_size": "none", "kwargs": {"map_name": "8x8"}})

    assert found == GymSettings(kwargs={"map_name": "8x8"})


def test_every_setting_says_what_it_is_for():
    assert all(field.metadata["help"] for field in attrs.fields(GymSettings))


def test_the_settings_load_neither_torch_nor_gymnasium():
    code = (
        "import sys, lzcore.envs.config; "
        "print({'torch', 'gymnasium', 'numpy', 'PIL'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
