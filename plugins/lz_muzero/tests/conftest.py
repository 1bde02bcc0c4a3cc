"""What the tests of the policy share: small policies, a readable model, windows over arrays."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lz_muzero.policy import MuZeroPolicy
from torch import nn

from lzcore.base import ActionSpace, NetworkOutput, Segment, Spaces
from lzcore.base.structure import merge
from lzcore.nn import ScalarSupport
from lzcore.replay.buffer import ReplayBuffer

sys.path.append(str(Path(__file__).parent))  # for noughts_env

SMALL = {
    "model": {
        "model_type": "mlp",
        "observation_shape": 4,
        "action_space_size": 3,
        "latent_state_dim": 16,
        "norm_type": "LN",
        "support_scale": 10,
        "proj_hid": 16,
        "proj_out": 16,
        "pred_hid": 16,
        "pred_out": 16,
    },
    "num_simulations": 8,
    "batch_size": 8,
    "num_unroll_steps": 3,
    "td_steps": 2,
    "optim_type": "Adam",
    "learning_rate": 0.003,
    "lr_piecewise_constant_decay": False,
    "cuda": False,
}
PICTURES = {
    "model": {
        "model_type": "conv",
        "observation_shape": (2, 8, 8),
        "image_channel": 1,
        "frame_stack_num": 2,
        "num_channels": 8,
        "downsample": False,
    }
}


class OpenModel(nn.Module):
    """Says of an observation what stands in it: value, then a logit for each action."""

    def __init__(self, num_actions=3):
        super().__init__()
        self.num_actions = num_actions
        self.value_support = self.reward_support = ScalarSupport()
        self.gain = nn.Parameter(torch.ones(()))

    def initial_inference(self, observation):
        seen = observation * self.gain
        value, logits = seen[:, :1], seen[:, 1 : 1 + self.num_actions]
        return NetworkOutput(seen, torch.zeros_like(value), value, logits)

    def recurrent_inference(self, latent_state, action):
        return self.initial_inference(latent_state)


class ArmsModel(nn.Module):
    """Says of an observation what stands in it: a value, three logits; arms pay, then all is 0."""

    def __init__(self, *rewards):
        super().__init__()
        self.value_support = self.reward_support = ScalarSupport()
        self.rewards = nn.Parameter(torch.tensor(rewards))

    def initial_inference(self, observation):
        value = observation[:, :1]
        return NetworkOutput(observation, torch.zeros_like(value), value, observation[:, 1:])

    def recurrent_inference(self, latent_state, action):
        worthless = torch.cat((torch.zeros(len(action), 1), latent_state[:, 1:]), dim=1)
        output = self.initial_inference(worthless)
        return output._replace(reward=self.rewards[action][:, None])


class ArrayWindows:
    """Sampled positions of episodes that are given as whole columns, row by row."""

    def __init__(self, rows, *, steps_left, terminated, frame_stack=1, first=0):
        """`rows` maps a column to (B, W, *shape), entry `first` being position t."""
        self.rows = {name: np.array(values) for name, values in rows.items()}
        self.steps_left = np.array(steps_left)
        self.terminated = np.array(terminated)
        self.ended = np.ones(len(self.steps_left), bool)
        self.index = np.arange(len(self.steps_left)) * 100
        self.weights = np.ones(len(self.steps_left), np.float32)
        self.stamp = np.arange(len(self.steps_left))
        self.asked = []
        self._frame_stack = frame_stack
        self._first = first

    def take(self, name, start, stop):
        self.asked.append(name)
        known = self.rows[name]
        at = np.clip(np.arange(start, stop) + self._first, 0, known.shape[1] - 1)
        return known[:, at].copy()

    def frames(self, start, stop):
        return self.take("observation", start - self._frame_stack + 1, stop)

    def write(self, start, columns, rows=None):
        rows = np.arange(len(self.index)) if rows is None else rows
        for name, values in columns.items():
            for row, new in zip(rows, values, strict=True):
                stop = min(start + len(new), int(self.steps_left[row]))
                at = slice(self._first + start, self._first + stop)
                self.rows[name][row, at] = new[: max(0, stop - start)]


@pytest.fixture
def open_model():
    return OpenModel


@pytest.fixture
def arms_model():
    return ArmsModel


@pytest.fixture
def array_windows():
    return ArrayWindows


@pytest.fixture
def make_policy():
    """A function from overrides of SMALL to a policy, MuZero's or a variant's."""

    def make(*layers, policy_class=MuZeroPolicy, model=None, enable_field=None, **given):
        cfg = merge(SMALL, *layers, given)
        return policy_class(cfg, model=model, enable_field=enable_field)

    return make


@pytest.fixture
def pictures():
    """Settings of a policy that looks at two stacked 8 x 8 frames."""
    return PICTURES


def spaces_of(policy):
    """The spaces of an environment that the policy's model fits."""
    model = policy.cfg.model
    picture = model.model_type.startswith("conv")
    shape = (model.image_channel, *model.observation_shape[1:]) if picture else (4,)
    return Spaces(
        frame_shape=shape,
        frame_dtype=np.dtype(np.uint8 if picture else np.float32),
        kind="image" if picture else "vector",
        action=ActionSpace(
            "continuous" if model.continuous_action_space else "discrete", model.action_space_size
        ),
    )


def plausible(column, rows, actions, rng):
    """Values (rows, *shape) of one column."""
    shape = (rows, *column.shape)
    if column.name in ("child_visit", "improved_policy"):
        return rng.dirichlet(np.ones(column.shape[0]), rows).astype(column.dtype)
    if column.dtype.kind == "f":
        inside = "action" in column.name  # continuous actions lie in (-1, 1)
        values = rng.uniform(-0.9, 0.9, shape) if inside else rng.normal(size=shape)
        return values.astype(column.dtype)
    if column.dtype == np.uint8:
        return rng.integers(0, 256, shape).astype(np.uint8)
    top = policy_range(column, actions)
    return rng.integers(0, top, shape).astype(column.dtype)


def policy_range(column, actions):
    """How many values an integer column has."""
    return {"action": actions, "root_sampled_actions": actions}.get(column.name, 2)


def episode(policy, number, length, *, terminated):
    """One whole episode with plausible rows, a function of its number."""
    rng = np.random.default_rng(number)
    rows, actions = length + 1, policy.cfg.model.action_space_size
    columns = policy.columns(policy.cfg, spaces_of(policy))
    found = {c.name: plausible(c, rows, actions, rng) for c in columns}
    found["root_value"][-1] = np.nan
    found["to_play"][:] = -1
    if "action_mask" in found:
        found["action_mask"][:] = True
    return Segment(
        episode=number,
        offset=0,
        columns=found,
        length=length,
        ended=True,
        terminated=terminated,
    )


@pytest.fixture
def make_episode():
    """A function (policy, number, length, terminated=) -> Segment."""
    return episode


@pytest.fixture
def fill():
    """A function from a policy to a replay that holds some episodes for it."""

    def make(policy, lengths=(12, 9, 15, 7), key=1):
        columns = policy.columns(policy.cfg, spaces_of(policy))
        buffer = ReplayBuffer(columns, policy.replay_settings(), key)
        buffer.push([episode(policy, i, n, terminated=i % 2 == 0) for i, n in enumerate(lengths)])
        return buffer

    return make


@pytest.fixture
def sampled(fill):
    """A function from a policy to a batch for it, always of the same episodes."""

    def batch(policy, size=8):
        return fill(policy).sample(size, policy)

    return batch


@pytest.fixture
def step(sampled):
    """A function (policy, count) that learns and returns what the last step told."""

    def learn(policy, count=1):
        data = sampled(policy)
        return [policy.learn_mode.forward(data) for _ in range(count)][-1]

    return learn


@pytest.fixture
def make_stochastic(make_policy):
    """A function from overrides to a small stochastic_muzero with four outcomes."""
    from lz_muzero.policy_stochastic import StochasticMuZeroPolicy

    def policy(*layers, **given):
        small = {"model": {"chance_space_size": 4}}
        return make_policy(small, *layers, policy_class=StochasticMuZeroPolicy, **given)

    return policy


@pytest.fixture
def awake():
    """A function that moves all weights of a policy away from where heads are silent."""

    def moved(policy):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            for parameter in policy._model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
        return policy

    return moved


@pytest.fixture
def spaces_for():
    """A function from a policy to spaces that fit it."""
    return spaces_of
