"""Every policy learns, in seconds: tasks that random play fails at, and what comes of training.

The whole file takes a few minutes; each run ends once it has learned, or after its env steps.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

import lzcore
from lzcore.engine.agent import load_trained
from lzcore.engine.checkpoint import numbered

sys.path.append(str(Path(__file__).parent))

from learning_envs import CODE, Dial, Lock, Nim

SMALL = {
    "num_simulations": 8,
    "n_episode": 16,
    "fixed_temperature_value": 1.0,
    "td_steps": 6,
    "batch_size": 64,
    "update_per_collect": "none",
    "replay_ratio": 0.5,
    "target_update_freq": 50,
    "optim_type": "Adam",
    "learning_rate": 0.005,
    "eval_freq": 50,
    "run.tensorboard": False,
    "run.eval_episodes": 10,
    "model.support_scale": 10,
}
LATENT = {"model.latent_state_dim": 32}
WORLD = {
    "model.world_model_cfg.embed_dim": 32,
    "model.world_model_cfg.max_blocks": 3,
    "model.world_model_cfg.context_length": 4,
    "num_unroll_steps": 3,
}
DISCRETE = {
    "muzero": ("muzero", {}),
    "muzero with context": ("muzero", {"model.model_type": "mlp_context"}),
    "muzero with balanced losses": ("muzero", {"model.harmony_balance": True}),
    "muzero with novelty": ("muzero", {"use_rnd_model": True, "rnd.input_type": "latent_state"}),
    "efficientzero": ("efficientzero", {"model.lstm_hidden_size": 32}),
    "gumbel_muzero": ("gumbel_muzero", {"gumbel_action": "visit_sample"}),
    "sampled_muzero": ("sampled_muzero", {}),
    "sampled_efficientzero": ("sampled_efficientzero", {"model.lstm_hidden_size": 32}),
    "stochastic_muzero": ("stochastic_muzero", {}),
}


def train(policy, env, out, **given):
    """Train, where a warning is an error; return the outcome and an agent."""
    network = WORLD if "unizero" in policy else LATENT
    outcome = lzcore.train(policy, env=env, out=out, **{**SMALL, **network, **given})
    return outcome, lzcore.Agent.load(out, env=env)


def random_return(env, episodes=300):
    env.action_space.seed(0)
    total = 0.0
    for seed in range(episodes):
        env.reset(seed=seed)
        over = False
        while not over:
            _, reward, over, _, _ = env.step(env.action_space.sample())
            total += reward
    return total / episodes


def test_random_play_fails_at_these_tasks():
    assert random_return(Lock()) < 0.7
    assert random_return(Dial()) < 0.6


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", DISCRETE)
def test_a_policy_learns_to_open_the_lock(name, tmp_path):
    policy, given = DISCRETE[name]
    outcome, agent = train(
        policy, Lock, tmp_path / "run", max_env_steps=2000, stop_value=len(CODE), **given
    )

    assert outcome.ended_by == "stop_value"
    assert [agent.act(np.eye(len(CODE), dtype=np.float32)[i]) for i in range(3)] == [2, 0, 1]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("policy", ["sampled_muzero", "sampled_efficientzero", "sampled_unizero"])
def test_a_policy_of_vectors_learns_to_turn_the_dial(policy, tmp_path):
    outcome, agent = train(
        policy, Dial, tmp_path / "run", max_env_steps=3000, stop_value=0.9 * Dial.steps
    )

    assert outcome.ended_by == "stop_value"
    for wanted in (-0.5, 0.5):
        assert agent.act(np.array([wanted], np.float32)) == pytest.approx(wanted, abs=0.3)


RULES = {
    "batch_size": 64,
    "replay_ratio": 0.5,
    "learning_rate": 0.01,
    "model.latent_state_dim": 32,
    "mcts.num_simulations": 16,
    "env.opening_moves": 1,
    "eval_freq": 1_000_000,
    "run.eval_episodes": 1,
    "run.tensorboard": False,
}


def mistakes(directory, simulations):
    """Count the positions of Nim, of 15 that can be won, in which the last checkpoint errs."""
    last = numbered(directory / "checkpoints")[-1]
    agent = lzcore.Agent(load_trained(directory, last, num_simulations=simulations))
    found = 0
    for left in range(1, Nim.stones + 1):
        agent.reset()
        found += left % 4 != 0 and agent.act((left, 0)) + 1 != left % 4
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("policy", ["alphazero", "gumbel_alphazero", "sampled_alphazero"])
def test_a_policy_that_plans_with_the_rules_learns_nim(policy, tmp_path):
    """Its network alone (a search of one simulation) gets better, and so does a short search.

    With policy targets of other positions the network alone stays where it was; with values of the
    wrong sign both get worse.
    """

    def after(steps, games):
        return lzcore.train(
            policy,
            env="game/learning_envs:Nim",
            out=tmp_path / f"{steps}",
            max_env_steps=steps,
            n_episode=games,
            collector_env_num=games,
            **RULES,
        )

    untrained, trained = after(1, games=1), after(2500, games=16)

    assert untrained.learn_steps == 0
    for simulations in (1, 4):
        before, now = (mistakes(o.directory, simulations) for o in (untrained, trained))
        assert before >= 7
        assert now <= 3
