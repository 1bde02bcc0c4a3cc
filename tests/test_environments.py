"""MuZero starts, learns a little and is measured on each kind of environment, by name alone."""

import numpy as np
import pytest

import lzcore

BUDGET = {
    "max_env_steps": 60,
    "num_simulations": 2,
    "batch_size": 8,
    "n_episode": 2,
    "collector_env_num": 2,
    "evaluator_env_num": 2,
    "update_per_collect": 2,
    "run.eval_episodes": 2,
    "run.tensorboard": False,
    "env.max_episode_steps": 30,
}
NAMED_BY_NO_PRESET = ("Acrobot-v1", "MountainCar-v0", "FrozenLake-v1")


def train(env, directory, **overrides):
    return lzcore.train("muzero", env=env, out=directory, quiet=True, **{**BUDGET, **overrides})


@pytest.mark.parametrize("env", NAMED_BY_NO_PRESET)
def test_a_classic_environment_works_by_its_name(env, tmp_path):
    outcome = train(env, tmp_path / "run")

    assert outcome.env_steps >= 60 or outcome.learn_steps > 0
    assert outcome.learn_steps > 0
    assert np.isfinite(outcome.last_return)


def test_lunar_lander_works_where_its_extra_is_installed(tmp_path):
    pytest.importorskip("Box2D", reason='LunarLander needs pip install "lzcore[box2d]"')

    assert train("LunarLander-v3", tmp_path / "run").learn_steps > 0


def test_pong_works_from_pictures_where_its_extra_is_installed(tmp_path):
    pytest.importorskip("ale_py", reason='Atari needs pip install "lzcore[atari]"')
    small = {"model.num_channels": 8, "model.proj_hid": 16, "model.proj_out": 16}
    small |= {"model.pred_hid": 16, "model.pred_out": 16, "use_augmentation": True}

    outcome = train("ALE/Pong-v5", tmp_path / "run", **small)

    assert outcome.learn_steps > 0
    assert "observation_shape = [4, 64, 64]" in (tmp_path / "run" / "config.toml").read_text()


def test_pictures_stay_bytes_in_the_replay(tmp_path):
    pytest.importorskip("ale_py", reason='Atari needs pip install "lzcore[atari]"')
    train(
        "ALE/Pong-v5", tmp_path / "run", max_env_steps=20, batch_size=256
    )  # too few rows to learn

    [first, *_] = sorted((tmp_path / "run" / "replay").iterdir())
    with np.load(first) as rows:
        [frames] = [rows[name] for name in rows.files if "observation" in name]
    assert frames.dtype == np.uint8
    assert frames.shape[1:] == (1, 64, 64)
