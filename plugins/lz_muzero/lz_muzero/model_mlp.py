"""MuZero's network for vector observations: everything is a stack of Dense layers.

Shape letters: B states, O numbers of one frame, S frames, E width of the latent state
(`latent_state_dim`), d width of an encoded action.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from lz_muzero.config import MuZeroModelSettings
from lz_muzero.model import MuZeroNetwork
from lzcore.nn import Style, mlp


class MLPParts:
    """Dense layers of width E; latents are groups of probabilities unless SimNorm is set off."""

    sim_norm: ClassVar[bool] = True

    def __init__(self, cfg: MuZeroModelSettings, style: Style) -> None:
        shape = cfg.observation_shape
        frame = shape if isinstance(shape, int) else math.prod(shape)
        self._in_features = frame * cfg.frame_stack_num
        self._residual = cfg.res_connection_in_dynamics
        self._style = style
        self.features: int = cfg.latent_state_dim  # E
        self.latent_shape: tuple[int, ...] = (self.features,)

    def representation(self) -> nn.Module:
        """(B, O S) -> (B, E). It starts at 0, which SimNorm makes uniform."""
        e = self.features
        return nn.Sequential(
            nn.Flatten(), *mlp(self._in_features, [e], e, self._style, zero_last=True)
        )

    def dynamics(self, code_width: int) -> nn.Module:
        """(B, E), (B, d) -> (B, E)."""
        layers = mlp(self.features + code_width, [self.features] * 2, None, self._style)
        return MLPDynamics(layers, self._residual)

    def reward_trunk(self) -> list[nn.Module]:
        """(B, E) -> (B, E); with a residual the latent itself has no activation, so add layers."""
        return [self.prediction_trunk()] if self._residual else []

    def prediction_trunk(self) -> nn.Module:
        """(B, E) -> (B, E)."""
        return mlp(self.features, [self.features] * 2, None, self._style)

    def head_trunk(self) -> list[nn.Module]:
        """No layers of its own: (B, E) stays."""
        return []


class MLPDynamics(nn.Module):
    """Appends the encoded action to the latent; `residual` adds the latent to the result."""

    def __init__(self, layers: nn.Module, residual: bool) -> None:
        super().__init__()
        self.layers = layers
        self.residual = residual

    def forward(self, latent_state: Tensor, code: Tensor) -> Tensor:
        """(B, E), (B, d) -> (B, E)."""
        x = self.layers(torch.cat((latent_state, code), dim=1))
        return x + latent_state if self.residual else x


class MuZeroModelMLP(MuZeroNetwork):
    """MuZero for vectors."""

    parts_class = MLPParts


class MuZeroContextModelMLP(MuZeroModelMLP):
    """The same network, of which the policy observes only some roots: model_type mlp_context."""
