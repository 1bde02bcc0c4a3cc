"""Sampled MuZero's networks: MuZero's with GELU, wider heads and a Gaussian for vectors of actions.

Shape letters: B states, F features that a head reads, A actions, D numbers of a continuous action.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from lz_muzero.config import MuZeroModelSettings
from lz_muzero.config_variants import SampledMuZeroModelSettings
from lz_muzero.model import ConvParts, MuZeroNetwork
from lz_muzero.model_mlp import MLPParts

_LOG_SIGMA_MAX = 2.0


class SampledMuZeroNetwork(MuZeroNetwork):
    """MuZero's network, whose policy is a Gaussian where actions are vectors.

    Source:
        arXiv:2104.06303, sec. 5 and App. A.
    """

    settings_class: ClassVar[type[MuZeroModelSettings]] = SampledMuZeroModelSettings
    activation: ClassVar[str] = "gelu"
    head_hidden: ClassVar[tuple[int, ...]] = (256,)

    def _make_policy(self, num_actions: int) -> nn.Module:
        if not self._cfg.continuous_action_space:
            return super()._make_policy(num_actions)
        trunk = self._parts.head_trunk()
        return ReparameterizationHead(trunk, self._parts.features, num_actions, self._cfg)


class ReparameterizationHead(nn.Module):
    """A Gaussian with independent components over D numbers, which tanh squashes afterwards."""

    sigma: Tensor  # () of sigma_type fixed

    def __init__(
        self,
        trunk: list[nn.Module],
        features: int,
        action_dim: int,
        cfg: SampledMuZeroModelSettings,
    ) -> None:
        """Make a head.

        Args:
            trunk: layers from what the heads share to the features.
            features: F.
            action_dim: D.
            cfg: with sigma_type, fixed_sigma_value, bound_type and log_sigma_min.
        """
        super().__init__()
        hidden = [part for _ in range(2) for part in (nn.Linear(features, features), nn.ReLU())]
        self.trunk = nn.Sequential(*trunk, *hidden)
        self.mu = nn.Linear(features, action_dim)
        self._bounded = cfg.bound_type == "tanh"
        self._sigma_type = cfg.sigma_type
        self._log_sigma_min = cfg.log_sigma_min
        if cfg.sigma_type == "conditioned":
            self.log_sigma_layer = nn.Linear(features, action_dim)
        elif cfg.sigma_type == "independent":
            self.log_sigma = nn.Parameter(torch.zeros(action_dim))
        else:
            self.register_buffer("sigma", torch.tensor(cfg.fixed_sigma_value), persistent=False)
        self.set_init_range(3e-3)

    def set_init_range(self, init_w: float) -> None:
        """Draw the layers of means and of conditioned spreads anew, within +-init_w."""
        conditioned = self._sigma_type == "conditioned"
        for layer in (self.mu, self.log_sigma_layer) if conditioned else (self.mu,):
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -init_w, init_w)

    def forward(self, x: Tensor) -> Tensor:
        """What the heads share -> (B, 2 D): means, then standard deviations > 0."""
        x = self.trunk(x)
        mu = self.mu(x)
        if self._bounded:
            mu = mu.tanh()
        return torch.cat((mu, self._sigma(x).expand_as(mu)), dim=1)

    def _sigma(self, x: Tensor) -> Tensor:
        """Features (B, F) -> standard deviations that expand to (B, D)."""
        if self._sigma_type == "fixed":
            return self.sigma
        conditioned = self._sigma_type == "conditioned"
        log_sigma = self.log_sigma_layer(x) if conditioned else self.log_sigma
        return log_sigma.clamp(self._log_sigma_min, _LOG_SIGMA_MAX).exp()


class SampledMuZeroModel(SampledMuZeroNetwork):
    """Sampled MuZero for images and boards."""

    parts_class = ConvParts


class SampledMuZeroModelMLP(SampledMuZeroNetwork):
    """Sampled MuZero for vectors."""

    parts_class = MLPParts
