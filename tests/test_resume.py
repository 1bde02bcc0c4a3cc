"""Runs with the C++ tree, killed with SIGKILL and resumed: the same bit for bit."""

import os
import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent / "core")]

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
    "num_segments": "none",  # whole episodes, unless a case says otherwise
    "run.max_env_steps": 400,
    "run.eval_episodes": 3,
    "run.tensorboard": False,
}
SEGMENTS = {"num_segments": 5, "game_segment_length": 8}  # and so episodes outlive iterations
CONTEXT = {"model.model_type": "mlp_context"}
REZERO = {  # in place of searching a share of every batch
    "reanalyze_ratio": 0.0,
    "reuse_search": True,
    "buffer_reanalyze_freq": 2.0,
    "reanalyze_batch_size": 16,
    "reanalyze_start_after_transitions": 100,
}
KILLS = {
    "while it searches": ("lz_muzero.policy.MuZeroPolicy._search", 60),
    "while it learns": ("lz_muzero.policy.MuZeroPolicy._forward_learn", 15),
    "between a checkpoint and its name": ("os.replace", 6),
}

REANALYZING = {"while it reanalyzes": ("lz_muzero.policy.MuZeroPolicy._search_again", 20)}

GAMES = {  # with known rules
    "tree": "lz_ctree",
    "mcts.num_simulations": 4,
    "mcts.eval_num_simulations": 4,
    "model.num_channels": 8,
    "collector_env_num": 3,
    "n_episode": 8,
    "batch_size": 16,
    "replay_ratio": 0.1,
    "eval_freq": 8,
    "run.opponent": "mcts:2",
    "run.openings": "random",
    "run.stop_value": "none",
    "run.eval_episodes": 4,
    "run.max_env_steps": 250,
    "run.tensorboard": False,
}
PLANNING = {
    "while it searches": ("lz_alphazero.policy.AlphaZeroPolicy._search", 50),
    "while it learns": ("lz_alphazero.policy.AlphaZeroPolicy._forward_learn", 12),
}
WINDOWS = RUN | {  # roots look back on moves of earlier iterations, and dropout draws
    "model.world_model_cfg.embed_dim": 16,
    "model.world_model_cfg.num_heads": 2,
    "model.world_model_cfg.embed_pdrop": 0.2,
    "run.max_env_steps": 200,
    **SEGMENTS,
}
WINDOWS = {name: value for name, value in WINDOWS.items() if name != "model.latent_state_dim"}
CART, BOARD = "CartPole-v1", "open_spiel/tic_tac_toe"
CASES = {  # a policy, its environment, settings, and where it is killed
    "muzero": ("muzero", CART, RUN, KILLS),
    "the buffer reanalyzed": ("muzero", CART, RUN | REZERO, REANALYZING),
    "a context, by segments": ("muzero", CART, RUN | SEGMENTS | CONTEXT, KILLS),
    "gumbel_muzero": ("gumbel_muzero", CART, RUN, dict([*KILLS.items()][:1])),
    "unizero": ("unizero", CART, WINDOWS, KILLS),
    "alphazero": ("alphazero", BOARD, GAMES, PLANNING),
    "alphazero that resigns": (
        "alphazero",
        BOARD,
        GAMES | {"resign_below": -0.1, "resign_played_on": 0.3},
        dict([*PLANNING.items()][:1]),
    ),
    "sampled_alphazero": ("sampled_alphazero", BOARD, GAMES, dict([*PLANNING.items()][:1])),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_run_killed_anywhere_and_resumed_equals_one_that_was_not(name, tmp_path):
    policy, env, given, kills = CASES[name]
    run_and_kill(policy, env, given, kills.values(), tmp_path)
    expected = whole(tmp_path / "never")

    for number, where in enumerate(kills):
        resumed = train(resume=tmp_path / str(number), quiet=True)

        assert resumed.ended_by == "max_env_steps", where
        assert_same(whole(resumed.directory), expected, where)


VECTORS = {
    "collector_env_num": 2,
    "n_episode": 8,
    "random_collect_episode_num": 8,
    "num_unroll_steps": 3,
    "model.num_of_sampled_actions": 4,
    "model.support_scale": 10,
    "num_segments": 8,
    "game_segment_length": 3,
    "run.max_env_steps": 120,
}
OF_VECTORS = {
    "sampled_efficientzero": RUN | VECTORS | {"model.lstm_hidden_size": 16},
    "sampled_unizero": WINDOWS | VECTORS | {"model.world_model_cfg.max_blocks": 3},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_VECTORS)
def test_a_policy_of_vectors_killed_anywhere_and_resumed_equals_one_that_was_not(name, tmp_path):
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    policy = "lz_muzero.policy.MuZeroPolicy"
    kills = ((f"{policy}._search", 30), (f"{policy}._forward_learn", 3), ("os.replace", 6))
    run_and_kill(
        name,
        "learning_envs:Dial",
        OF_VECTORS[name],
        kills,
        tmp_path,
        {**os.environ, "PYTHONPATH": here},
    )
    expected = whole(tmp_path / "never")

    for number, kill in enumerate(kills):
        resumed = train(resume=tmp_path / str(number), quiet=True)

        assert_same(whole(resumed.directory), expected, kill[0])
