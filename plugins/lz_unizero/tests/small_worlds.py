"""Small models and policies, and how they are woken."""

import numpy as np
import pytest
import torch
from lz_unizero.model import UniZeroModel
from lz_unizero.policy import UniZeroPolicy
from lz_unizero.policy_sampled import SampledUniZeroPolicy

from lzcore.base import ActionSpace, Segment, Spaces
from lzcore.base.structure import merge
from lzcore.replay.buffer import ReplayBuffer

WORLD = {
    "embed_dim": 32,
    "num_heads": 4,
    "num_layers": 2,
    "action_space_size": 3,
    "support_size": 21,
    "max_blocks": 6,
    "max_tokens": 12,
    "context_length": 6,
}
KINDS = {
    "vector": ({"model_type": "mlp", "observation_shape": 5}, {"obs_type": "vector"}),
    "image": ({"observation_shape": (2, 6, 6), "num_channels": 8}, {}),
}
SHAPES = {"vector": (5,), "image": (2, 6, 6)}


def make_model(kind="vector", outer=None, **world):
    """Make a small model as it is before learning; `world`: settings of the transformer."""
    model, inner = KINDS[kind]
    settings = {"support_scale": 10, "norm_type": "LN", **model, **(outer or {})}
    return UniZeroModel(**settings, world_model_cfg={**WORLD, **inner, **world})


def awake(model, scale=0.2):
    """Move every weight away from its starting point, where heads are silent."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return model.eval()


# --- policies, and replay for them ----------------------------------------------------------------

SMALL = {
    "model": {
        "model_type": "mlp",
        "observation_shape": 4,
        "norm_type": "LN",
        "support_scale": 10,
        "world_model_cfg": {
            **WORLD,
            "max_blocks": 4,
            "max_tokens": 8,
            "obs_type": "vector",
            "embed_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "attn_pdrop": 0.0,
        },
    },
    "num_simulations": 8,
    "batch_size": 8,
    "num_unroll_steps": 4,
    "td_steps": 2,
    "learning_rate": 0.003,
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
        "world_model_cfg": {"obs_type": "image"},
    }
}
POLICIES = {  # what is tested under which name: the class, and settings of it
    "unizero": (UniZeroPolicy, {}),
    "numbers": (
        SampledUniZeroPolicy,
        {"model": {"num_of_sampled_actions": 2}, "policy_loss_type": "KL"},
    ),
    "vectors": (
        SampledUniZeroPolicy,
        {
            "model": {
                "num_of_sampled_actions": 5,
                "continuous_action_space": True,
                "world_model_cfg": {"continuous_action_space": True},
            }
        },
    ),
}
every_policy = pytest.mark.parametrize("kind", POLICIES)
sampled_policies = pytest.mark.parametrize("kind", [*POLICIES][1:])


def make_policy(*layers, kind="unizero", model=None, enable_field=None, awoken=True, **given):
    """Make a small policy from overrides of SMALL, whose heads are not silent if `awoken`."""
    policy_class, own = POLICIES[kind]
    policy = policy_class(merge(SMALL, own, *layers, given), model, enable_field)
    if awoken:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            awake(policy._model, 0.1)
        if "learn" in policy._enabled:
            policy._target_model.load_state_dict(policy._model.state_dict())
    return policy


def spaces_for(policy):
    """Spaces of an environment that the policy's model fits."""
    model = policy.cfg.model
    picture = model.model_type == "conv"
    return Spaces(
        frame_shape=(1, *model.observation_shape[1:]) if picture else (4,),
        frame_dtype=np.dtype(np.uint8 if picture else np.float32),
        kind="image" if picture else "vector",
        action=ActionSpace("continuous" if model.continuous_action_space else "discrete", 3),
    )


def plausible(column, rows, rng):
    """Values (rows, *shape) of one column; vectors as actions lie in (-1, 1)."""
    shape = (rows, *column.shape)
    if column.name == "child_visit":
        values = rng.dirichlet(np.ones(column.shape[0]), rows)
    elif column.dtype.kind in "iu":
        values = rng.integers(0, 3, shape)
    else:
        inside = "action" in column.name
        values = rng.uniform(-0.9, 0.9, shape) if inside else rng.normal(size=shape)
    return values.astype(column.dtype)


def episode(policy, number, length, *, terminated):
    """Make one whole episode, a function of its number."""
    rng = np.random.default_rng(number)
    rows = length + 1
    columns = policy.columns(policy.cfg, spaces_for(policy))
    found = {column.name: plausible(column, rows, rng) for column in columns}
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


def fill(policy, lengths=(12, 9, 15, 3), key=1):
    """Make a replay of some episodes, every other one terminated, the others cut short."""
    columns = policy.columns(policy.cfg, spaces_for(policy))
    buffer = ReplayBuffer(columns, policy.replay_settings(), key)
    buffer.push([episode(policy, i, n, terminated=i % 2 == 0) for i, n in enumerate(lengths)])
    return buffer


def batch_of(policy, size=8, **given):
    """Draw a batch, always of the same episodes."""
    return fill(policy, **given).sample(size, policy)


def windows_of(policy, size=16, **given):
    """Draw the windows that a batch would be made of."""
    found = []

    class Looking:
        def make_batch(self, windows):
            found.append(windows)

    fill(policy, **given).sample(size, Looking())
    return found[0]
