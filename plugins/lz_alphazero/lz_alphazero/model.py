"""AlphaZero's network: a trunk, then a policy head and a value head.

The keyword arguments of a model are the `model` table of the policy's settings, all of it. What no
network reads: model_type and name (for the policy). What maps do not read: latent_state_dim. What
vectors do not read: num_channels, downsample and the channels of the heads.

Shape letters: B positions, A actions, C planes, H, W board, O vector, F features that a head reads;
in maps c channels, h, w sizes.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lz_alphazero.config import AlphaZeroModelSettings
from lzcore.base import ConfigError
from lzcore.nn import (
    ConvLayer,
    Dense,
    DownSample,
    Size,
    Style,
    downsampled,
    mlp,
    res_blocks,
)


class AlphaZeroNetwork(nn.Module):
    """Positions to policy logits and values; a family of layers makes trunk and heads.

    Source:
        arXiv:1712.01815.
    """

    trunk: nn.Module
    policy_head: nn.Module
    value_head: nn.Module

    def __init__(self, **settings: Any) -> None:
        """Draw the weights of a network with torch's generator.

        Args:
            settings: of the `model` table, by keyword; the others keep their defaults.
        Raises:
            ConfigError: a setting is unknown, out of range or not for this family.
            ShapeError: the planes are too small to be shrunk.
        """
        super().__init__()
        cfg = AlphaZeroModelSettings.of(settings)
        if cfg.action_space_size is None:
            raise ConfigError(
                "model.action_space_size is not set; give the number of actions. "
                "`lz run` takes it from the game."
            )
        self._bounded = cfg.value_activation == "tanh"
        self._make(cfg, Style(cfg.norm_type), cfg.action_space_size)

    def _make(self, cfg: AlphaZeroModelSettings, style: Style, num_actions: int) -> None:
        raise NotImplementedError(f"{type(self).__name__} makes no layers; it is not a family.")

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate positions.

        Args:
            observation: (B, C, H, W) or (B, O) float32.
        Returns:
            Policy logits (B, A), illegal actions not masked, and values (B, 1) for the player to
            move: from -1 to 1, or sums of rewards with value_activation none.
        """
        features = self.trunk(observation)
        value = self.value_head(features)
        return self.policy_head(features), torch.tanh(value) if self._bounded else value

    def compute_policy_value(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (B, A) over all actions, and values (B, 1)."""
        logits, value = self(observation)
        return logits.softmax(dim=-1), value

    def compute_logp_value(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return log probabilities (B, A) over all actions, and values (B, 1)."""
        logits, value = self(observation)
        return logits.log_softmax(dim=-1), value


class AlphaZeroModel(AlphaZeroNetwork):
    """Convolutions over the planes of a board."""

    def _make(self, cfg: AlphaZeroModelSettings, style: Style, num_actions: int) -> None:
        shape = cfg.observation_shape
        if isinstance(shape, int) or len(shape) != 3:
            raise ConfigError(
                f"model.observation_shape is {shape}; expected planes (C, H, W). "
                'Vectors are read with model.model_type = "mlp".'
            )
        planes, *board = shape
        size: Size = (board[0], board[1])
        width = cfg.num_channels
        first: nn.Module = ConvLayer(planes, width, size, style)
        if cfg.downsample:
            first, size = DownSample(planes, width, size, style), downsampled(size)
        # the blocks of the trunk, and as many of the prediction that both heads share
        self.trunk = nn.Sequential(first, *res_blocks(2 * cfg.num_res_blocks, width, size, style))
        self.policy_head = _map_head(
            width, cfg.policy_head_channels, size, cfg.fc_policy_layers, num_actions, style
        )
        self.value_head = _map_head(
            width, cfg.value_head_channels, size, cfg.fc_value_layers, 1, style
        )


class AlphaZeroModelMLP(AlphaZeroNetwork):
    """Fully connected layers over a vector."""

    def _make(self, cfg: AlphaZeroModelSettings, style: Style, num_actions: int) -> None:
        shape = cfg.observation_shape
        if not isinstance(shape, int):
            raise ConfigError(
                f"model.observation_shape is {shape}; expected the width of a vector. "
                'Planes are read with model.model_type = "conv".'
            )
        width = cfg.latent_state_dim
        blocks = [Dense(width, width, style) for _ in range(2 * cfg.num_res_blocks)]
        self.trunk = nn.Sequential(Dense(shape, width, style), *blocks)
        self.policy_head = mlp(width, cfg.fc_policy_layers, num_actions, style, zero_last=True)
        self.value_head = mlp(width, cfg.fc_value_layers, 1, style, zero_last=True)


def _map_head(
    channels: int, narrow: int, size: Size, hidden: tuple[int, ...], out: int, style: Style
) -> nn.Module:
    """Maps (B, channels, *size) -> (B, out), all 0 at first."""
    return nn.Sequential(
        ConvLayer(channels, narrow, size, style, kernel=1),
        nn.Flatten(),
        *mlp(narrow * size[0] * size[1], hidden, out, style, zero_last=True),
    )
