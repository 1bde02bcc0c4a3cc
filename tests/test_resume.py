"""MuZero with the C++ tree, killed with SIGKILL and resumed: the same numbers, bit for bit."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "core"))

from engine_killing import assert_same, run_and_kill, whole

from lzcore.engine.starting import train

RUN = {
    "tree": "lz_ctree",
    "num_simulations": 4,
    "batch_size": 16,
    "replay_ratio": 0.1,
    "eval_freq": 10,
    "use_priority": True,
    "reanalyze_ratio": 0.5,
    "model.latent_state_dim": 16,
    "run.max_env_steps": 400,
    "run.eval_episodes": 3,
    "run.tensorboard": False,
}
SEGMENTS = {"num_segments": 5, "game_segment_length": 8}  # and so episodes outlive iterations
KILLS = {
    "while it searches": ("lz_muzero.policy.MuZeroPolicy._search", 60),
    "while it learns": ("lz_muzero.policy.MuZeroPolicy._forward_learn", 15),
    "between a checkpoint and its name": ("os.replace", 6),
}


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, SEGMENTS], ids=["by episodes", "by segments"])
def test_muzero_killed_anywhere_and_resumed_equals_a_run_that_was_not(more, tmp_path):
    run_and_kill("muzero", "CartPole-v1", {**RUN, **more}, KILLS.values(), tmp_path)
    expected = whole(tmp_path / "never")

    for number, where in enumerate(KILLS):
        resumed = train(resume=tmp_path / str(number), quiet=True)

        assert resumed.ended_by == "max_env_steps", where
        assert_same(whole(resumed.directory), expected, where)
