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

    memory_norm: ClassVar[str | None] = None  # after the LSTM; None: the norm of the other layers

    def initial_inference(self, observation: Tensor) -> NetworkOutput:
        """Evaluate observations (B, *O) float32 as roots: prefix and memory are 0."""
        root = super().initial_inference(observation)
        memory = root.latent_state.new_zeros(len(observation), 2, self._cfg.lstm_hidden_size)
        return root._replace(memory=memory)

    def recurrent_inference(  # a model of value prefixes takes a memory too
        self, latent_state: Tensor, action: Tensor, memory: Tensor
    ) -> NetworkOutput:
        """Imagine one step from each of B states and evaluate where it leads.

        Args:
            latent_state: (B, *L) float32, from an earlier output.
            action: (B,) or (B, 1) int64, or (B, D) float32.
            memory: (B, 2, H) float32, from the same output, or zeros to begin a new sum.
        Returns:
            An output whose `reward` is the sum so far, this step included.
        """
        latent = self.dynamics(latent_state, self.action_encoding(action))
        prefix, memory = self.reward(latent, memory)
        return self._evaluated(latent, prefix, memory)

    def _make_reward(self) -> nn.Module:
        hidden = self._cfg.lstm_hidden_size
        style = Style(self.memory_norm or self._style.norm_type, self.activation)
        return ValuePrefix(
            nn.Sequential(*self._parts.reward_trunk()),
            nn.LSTMCell(self._parts.features, hidden),
            style,
            self._head([], self.reward_support.size, hidden),
        )


class ValuePrefix(nn.Module):
    """The reward head: features of the next latent, an LSTM over steps, an MLP on its output."""

    def __init__(self, trunk: nn.Module, lstm: nn.LSTMCell, style: Style, head: nn.Module) -> None:
        """Make a head; `style` says what comes between the LSTM and the MLP."""
        super().__init__()
        self.trunk = trunk
        self.lstm = lstm
        self.norm = style.norm(lstm.hidden_size)
        self.act = style.act()
        self.head = head

    def forward(self, latent_state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, *L), memory (B, 2, H) of h and c -> logits (B, Z), memory."""
        h, c = self.lstm(self.trunk(latent_state), memory.unbind(1))
        return self.head(self.act(self.norm(h))), torch.stack((h, c), dim=1)


class EfficientZeroModel(ValuePrefixNetwork):
    """EfficientZero for images and boards."""

    settings_class: ClassVar[type[MuZeroModelSettings]] = EfficientZeroModelSettings
    parts_class = ConvParts


class EfficientZeroModelMLP(ValuePrefixNetwork):
    """EfficientZero for vectors."""

    settings_class: ClassVar[type[MuZeroModelSettings]] = EfficientZeroModelSettings
    parts_class = MLPParts
    memory_norm: ClassVar[str | None] = "LN"
