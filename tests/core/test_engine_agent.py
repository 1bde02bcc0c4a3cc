"""`lzcore.Agent`: the same actions as `lz eval`, from the environment's own observations."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from engine_fakes import TinyPolicy, Walk

import lzcore
from lzcore.base import CheckpointError, EnvError, ShapeError, derive_seed, stream_key
from lzcore.engine.agent import load_trained
from lzcore.engine.assemble import make_evaluator
from lzcore.engine.starting import train

pytestmark = pytest.mark.usefixtures("tiny_installed")


@pytest.fixture
def run_dir(tmp_path):
    small = {"run.eval_episodes": 2, "run.tensorboard": False, "max_env_steps": 40}
    return train("tiny", "engine_fakes:Walk", out=tmp_path / "run", quiet=True, **small).directory


def test_an_agent_takes_the_actions_that_eval_takes(run_dir):
    trained = load_trained(run_dir)
    expected = make_evaluator(trained.plan, trained.policy, 3, "lz eval").evaluate(0, 1)
    env, agent, total, over = Walk(), lzcore.Agent.load(run_dir), 0.0, False
    seed = int(derive_seed(stream_key(3, "lz eval"), 0, 0, 0)) >> 33  # as GymEnv seeds

    observation, _ = env.reset(seed=seed)
    while not over:
        action = agent.act(observation)
        assert type(action) is int
        observation, reward, over, _, _ = env.step(action)
        total += reward

    assert total == expected.returns[0]


def test_an_agent_that_plans_with_rules_is_shown_positions(noughts_installed, tmp_path):
    small = {"run.eval_episodes": 2, "run.tensorboard": False, "max_env_steps": 20}
    out = tmp_path / "noughts"
    train("scripted", "toys/noughts", out=out, quiet=True, **small)
    agent = lzcore.Agent.load(out)
    agent._policy.plans_with_rules = True
    [position] = agent.simulator.begin(np.zeros(1, np.uint64))

    for cell in (0, 4, 1):  # o has to block cell 2
        [position] = agent.simulator.play([position], np.array([cell]))

    assert agent.act(position) == 2
    assert agent._policy.seen[-1].to_play.tolist() == [2]
    with pytest.raises(EnvError, match=r"'dict' is no position of it\. Give one that agent\.sim"):
        agent.act({})


def test_where_no_rules_are_told_there_is_no_simulator(run_dir):
    assert lzcore.Agent.load(run_dir).simulator is None


def test_an_agent_plays_with_the_best_weights_or_those_asked_for(run_dir):
    kept = run_dir / "checkpoints"

    assert load_trained(run_dir).checkpoint == kept / "best.pt"
    assert load_trained(run_dir, min(kept.glob("0*"))).checkpoint == min(kept.glob("0*"))
    assert load_trained(run_dir, min(kept.glob("0*")).name).checkpoint == min(kept.glob("0*"))
    (kept / "best.pt").unlink()
    assert load_trained(run_dir).checkpoint == max(kept.glob("0*"))


def test_without_any_checkpoint_there_is_nothing_to_load(run_dir):
    for path in (run_dir / "checkpoints").iterdir():
        path.unlink()

    with pytest.raises(CheckpointError, match=r"There is no checkpoint in .*lz run --resume"):
        lzcore.Agent.load(run_dir)


def test_an_observation_of_something_else_is_refused(run_dir):
    with pytest.raises(
        ShapeError, match=r"ndarray of shape \(3,\); expected one of Box\(.* \(2,\)"
    ):
        lzcore.Agent.load(run_dir).act(np.zeros(3))


def test_a_mask_of_the_wrong_length_is_refused_and_a_right_one_is_passed_on(run_dir, monkeypatch):
    agent, seen = lzcore.Agent.load(run_dir), []
    decide = TinyPolicy.decide
    monkeypatch.setattr(
        TinyPolicy, "decide", lambda self, mode, s: seen.append(s) or decide(self, mode, s)
    )

    agent.act(np.zeros(2), action_mask=[0, 1], to_play=2)
    agent.act(np.zeros(2))

    assert [s.action_mask.tolist() for s in seen] == [[[False, True]], [[True, True]]]
    assert [s.to_play.tolist() for s in seen] == [[2], [-1]]
    assert [s.timestep.tolist() for s in seen] == [[0], [1]]
    with pytest.raises(ShapeError, match=r"action_mask has shape \(3,\); expected \(2,\)"):
        agent.act(np.zeros(2), action_mask=[1, 1, 1])


def test_reset_begins_another_episode(run_dir, monkeypatch):
    agent, forgotten = lzcore.Agent.load(run_dir), []
    monkeypatch.setattr(TinyPolicy, "_reset_eval", lambda _, ids=None: forgotten.append(ids))
    agent.act(np.zeros(2))

    agent.reset()

    assert forgotten == [None]
    assert agent._timestep == 0


class Shifted(gymnasium.Env):
    """Actions 5 and 6; observations as whole numbers."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2, start=5)

    def reset(self, *, seed=None, options=None):
        return 0, {}

    def step(self, action):
        assert action in (5, 6)
        return 1, 1.0, True, False, {}


def test_observations_and_actions_are_those_of_the_environment_itself(tmp_path):
    small = {"run.eval_episodes": 1, "run.tensorboard": False, "max_env_steps": 5}
    outcome = train("tiny", Shifted, out=tmp_path / "run", quiet=True, **small)

    agent = lzcore.Agent.load(outcome.directory, env=Shifted)

    assert agent.act(1) in (5, 6)


def test_importing_lzcore_loads_neither_torch_nor_numpy():
    code = "import lzcore, sys; print(sorted({'torch', 'numpy', 'gymnasium'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.strip() == "[]"


def test_names_that_lzcore_has_not_are_missing_as_usual():
    assert "train" in dir(lzcore)
    with pytest.raises(AttributeError, match="module 'lzcore' has no attribute 'trian'"):
        lzcore.trian  # noqa: B018
