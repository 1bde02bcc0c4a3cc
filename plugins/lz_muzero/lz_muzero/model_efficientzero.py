"""EfficientZero's networks: MuZero's, whose reward head sums what it has seen with an LSTM.

Shape letters: B states, L latent state, F features that a head reads, H width of the LSTM, Z bins
of a value prefix.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from lz_muzero.config import MuZeroModelSettings
from lz_muzero.config_variants import EfficientZeroModelSettings
from lz_muzero.model import ConvParts, MuZeroNetwork
from lz_muzero.model_mlp import MLPParts
from lzcore.base import NetworkOutput
from lzcore.nn import Style


class ValuePrefixNetwork(MuZeroNetwork):
    """MuZero's network, which tells the sum of rewards since its memory was last zero.

    Source:
        arXiv:2111.00210 (EfficientZero), sec. 4.2.
    """

    def initial_inference(self, observation: Tensor) -> NetworkOutput:
        """Evaluate observations (B, *O) float32 as roots: prefix and memory are 0."""
        root = super().initial_inference(observation)
        return root._replace(memory=self._nothing(root.latent_state))

    def recurrent_inference(
        self, latent_state: Tensor, action: Tensor, memory: Tensor | None = None
    ) -> NetworkOutput:
        """Imagine one step from each of B states and evaluate where it leads.

        Args:
            latent_state: (B, *L) float32, from an earlier output.
            action: (B,) or (B, 1) int64, or (B, D) float32.
            memory: (B, 2, H) float32, from the same output; zeros, or None, begin a new sum.
        Returns:
            An output whose `reward` is the sum so far, this step included.
        """
        latent = self.dynamics(latent_state, self.action_encoding(action))
        before = self._nothing(latent) if memory is None else memory
        prefix, after = self.reward(latent, before)
        return self._evaluated(latent, prefix, after)

    def _nothing(self, latent_state: Tensor) -> Tensor:
        """Make the memory (B, 2, H) from which a sum begins."""
        return latent_state.new_zeros(latent_state.shape[0], 2, self._cfg.lstm_hidden_size)

    def _make_reward(self) -> nn.Module:
        hidden = self._cfg.lstm_hidden_size
        return ValuePrefix(
            nn.Sequential(*self._parts.reward_trunk()),
            nn.LSTMCell(self._parts.features, hidden),
            self._head([self._after_lstm(hidden)], self.reward_support.size, hidden),
        )

    def _after_lstm(self, hidden: int) -> nn.Module:
        """Make what stands between the LSTM and the head: (B, H) -> (B, H)."""
        return nn.LayerNorm(hidden)


class ValuePrefix(nn.Module):
    """The reward head: features of the next latent, an LSTM over steps, an MLP on its output."""

    def __init__(self, trunk: nn.Module, lstm: nn.LSTMCell, head: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.lstm = lstm
        self.head = head

    def forward(self, latent_state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, *L), memory (B, 2, H) of h and c -> logits (B, Z), memory."""
        h, c = self.lstm(self.trunk(latent_state), memory.unbind(1))
        return self.head(h), torch.stack((h, c), dim=1)


class Normed(nn.Module):
    """act(norm(x)) of vectors (B, H)."""

    def __init__(self, width: int, style: Style) -> None:
        super().__init__()
        self.norm = style.norm(width)
        self.act = style.act()

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) -> (B, H)."""
        return self.act(self.norm(x))


class EfficientZeroModel(ValuePrefixNetwork):
    """EfficientZero for images and boards."""

    settings_class: ClassVar[type[MuZeroModelSettings]] = EfficientZeroModelSettings
    parts_class = ConvParts

    def _after_lstm(self, hidden: int) -> nn.Module:
        return Normed(hidden, self._style)


class EfficientZeroModelMLP(ValuePrefixNetwork):
    """EfficientZero for vectors."""

    settings_class: ClassVar[type[MuZeroModelSettings]] = EfficientZeroModelSettings
    parts_class = MLPParts
