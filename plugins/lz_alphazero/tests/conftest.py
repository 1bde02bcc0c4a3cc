"""What the tests share: small policies of each kind, a readable network, games that were played."""

import numpy as np
import pytest
import torch
from lz_alphazero.policy import AlphaZeroPolicy
from lz_alphazero.policy_gumbel import GumbelAlphaZeroPolicy
from lz_alphazero.policy_sampled import SampledAlphaZeroPolicy
from torch import nn

from lzcore.base.structure import merge, nest
from lzcore.engine.collector import Collector
from lzcore.envs.games import GameEnv
from lzcore.replay.buffer import ReplayBuffer
from lzcore.testing.noughts import Noughts

KINDS = {
    "alphazero": AlphaZeroPolicy,
    "gumbel_alphazero": GumbelAlphaZeroPolicy,
    "sampled_alphazero": SampledAlphaZeroPolicy,
}
SMALL = {
    "model": {"observation_shape": (3, 3, 3), "num_channels": 8, "action_space_size": 9},
    "mcts": {"num_simulations": 16},
    "batch_size": 16,
    "optim_type": "Adam",
    "learning_rate": 0.01,
    "lr_piecewise_constant_decay": False,
}
FEW = {"gumbel_alphazero": {"mcts.gumbel_scale": 1.0}, "sampled_alphazero": {}, "alphazero": {}}


class CountingModel(nn.Module):
    """Weighs own and other stones in eighths, so that no order of additions changes a bit."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        weights = rng.integers(-8, 9, (27, 10)).astype(np.float32) / 8.0
        self.weights = nn.Parameter(torch.from_numpy(weights))

    def forward(self, observation):
        told = observation.flatten(1) @ self.weights
        return told[:, :9], told[:, 9:] / 32.0


def made(kind="alphazero", given=None, *, model=None, enable_field=None):
    """A policy from SMALL and dotted settings laid over it."""
    cfg = merge(SMALL, nest(FEW[kind]), nest(given or {}))
    return KINDS[kind](cfg, model=model, enable_field=enable_field)


def played(policy, games=6, *, env=None, seed=0, iteration=0):
    """Whole games of a policy against itself, as segments."""
    env = env or GameEnv(Noughts(), 3)
    columns = policy.columns(policy.cfg, env.spaces)
    collector = Collector(env, policy, columns, seed)
    return collector.collect(iteration, games, schedule={"temperature": 1.0})[1]


def stored(policy, games=6, **given):
    """A replay that holds some games of a policy against itself."""
    columns = policy.columns(policy.cfg, Noughts.spaces)
    buffer = ReplayBuffer(columns, policy.replay_settings(), 1)
    buffer.push(played(policy, games, **given))
    return buffer


def board(text):
    """A position of noughts and crosses from rows of x, o and dots."""
    return tuple(".xo".index(cell) for cell in text.replace("/", ""))


@pytest.fixture
def make_policy():
    return made


@pytest.fixture
def play():
    return played


@pytest.fixture
def fill():
    return stored


@pytest.fixture
def position():
    return board


@pytest.fixture
def counting_model():
    return CountingModel


@pytest.fixture(params=KINDS)
def kind(request):
    """The name of each policy in turn."""
    return request.param


@pytest.fixture
def ask():
    """A function (policy, positions) with which the policy plays noughts and crosses."""

    def to_decide(policy, *positions, mode="eval", first=0, **given):
        policy._simulator = GAME
        obs = {first + i: {"state": state} for i, state in enumerate(positions)}
        return getattr(policy, f"{mode}_mode").forward(obs, **given)

    return to_decide


GAME = Noughts()
