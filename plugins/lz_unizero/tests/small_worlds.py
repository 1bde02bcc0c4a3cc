"""Small models, and how they are woken."""

import torch
from lz_unizero.model import UniZeroModel

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
