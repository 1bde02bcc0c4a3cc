"""Stochastic MuZero's network: an action leads to an afterstate, chance from there to a state.

To h, g and f it adds the afterstate dynamics and the afterstate prediction, and an encoder that
tells from two observations which outcome of chance lies between them. Here g takes the outcome,
not the action, and the reward is the one of the whole step.

Shape letters: B states, O observation, L latent state, A actions, M outcomes of chance, Z bins;
in maps C channels, H, W sizes.
"""

from itertools import pairwise
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lz_muzero.config_variants import StochasticMuZeroModelSettings
from lz_muzero.model import ActionEncoding, ConvParts, MuZeroNetwork, Parts
from lz_muzero.model_mlp import MLPParts
from lzcore.base.model import NetworkOutput

_SMALL = 16  # sides up to which the encoder looks at every place of a map


class ChanceParts(Parts, Protocol):
    """A family of layers that can also tell what chance did."""

    def chance_encoder(self, num_outcomes: int) -> nn.Module:
        """Two observations (B, 2 O0, *O[1:]), joined along the first axis -> scores (B, M)."""


class StochasticMuZeroNetwork(MuZeroNetwork):
    """The six networks behind the interface of `lzcore.base.model.ChanceModel`.

    Source:
        Stochastic MuZero (Antonoglou et al., ICLR 2022), sec. 4.
    """

    settings_class: ClassVar[type[StochasticMuZeroModelSettings]] = StochasticMuZeroModelSettings
    parts_class: ClassVar[type[ChanceParts]]
    _parts: ChanceParts

    def __init__(self, **settings: Any) -> None:
        """Draw the weights; arguments and errors are those of `MuZeroNetwork`."""
        super().__init__(**settings)
        num_outcomes = self.settings_class.of(settings).chance_space_size
        self.chance_encoding = ActionEncoding(torch.eye(num_outcomes))
        self.afterstate_dynamics = self.dynamics  # MuZero's, which takes an action
        self.dynamics = self._parts.dynamics(num_outcomes)
        self.afterstate_prediction = self._make_prediction(num_outcomes)
        self.chance_encoder = self._parts.chance_encoder(num_outcomes)

    def recurrent_inference(
        self, latent_state: Tensor, option: Tensor, afterstate: bool = False
    ) -> NetworkOutput:
        """Imagine half a step; see `lzcore.base.model.ChanceModel`.

        Args:
            latent_state: (B, *L) float32: states, or afterstates.
            option: actions of states, as in `MuZeroNetwork`, or outcomes of afterstates, (B,) or
                (B, 1) int64 in [0, M), or (B, M) float32 codes, through which gradients flow.
            afterstate: whether `latent_state` are afterstates.
        """
        if not afterstate:
            return self._act(latent_state, self.action_encoding(option))
        latent = self.dynamics(latent_state, self.chance_encoding(option))
        reward = self.reward(latent)
        latent = self.next_norm(latent)
        policy_logits, value = self.prediction(latent)
        return NetworkOutput(latent, reward, value, policy_logits)

    def _act(self, latent_state: Tensor, code: Tensor) -> NetworkOutput:
        """Lead states to their afterstates: logits of the outcomes, and the value before them."""
        latent = self.next_norm(self.afterstate_dynamics(latent_state, code))
        outcome_logits, value = self.afterstate_prediction(latent)
        return NetworkOutput(latent, torch.zeros_like(value), value, outcome_logits)

    def encode_chance(self, before: Tensor, after: Tensor) -> Tensor:
        """Say of consecutive observations, (B, *O) float32 each, which outcome lies between them.

        Returns:
            (B, M) scores; the largest names the outcome.
        """
        return self.chance_encoder(torch.cat((before, after), dim=1))


def code_of(scores: Tensor) -> Tensor:
    """Return the one-hot code (..., M) of the largest score; gradients pass as if it were them."""
    code = F.one_hot(scores.argmax(dim=-1), scores.shape[-1]).to(scores.dtype)
    return code + (scores - scores.detach())


# --- the two families -----------------------------------------------------------------------------


class ConvChanceParts(ConvParts):
    """Maps; the encoder halves those with more than 16 rows or columns twice."""

    def chance_encoder(self, num_outcomes: int) -> nn.Module:
        """(B, 2 C, H, W) -> (B, M)."""
        stride = 1 if max(self._image) <= _SMALL else 2
        height, width = (-(-side // stride**2) for side in self._image)
        return nn.Sequential(
            nn.Conv2d(2 * self._in_channels, 32, 3, stride, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            *_scores(64 * height * width, num_outcomes),
        )


class MLPChanceParts(MLPParts):
    """Vectors."""

    def chance_encoder(self, num_outcomes: int) -> nn.Module:
        """(B, 2 O S) -> (B, M)."""
        return nn.Sequential(nn.Flatten(), *_scores(2 * self._in_features, num_outcomes))


def _scores(in_features: int, num_outcomes: int) -> list[nn.Module]:
    """Dense layers without a norm, so that what one transition gets depends on no other."""
    layers: list[nn.Module] = []
    for before, after in pairwise((in_features, 128, 64)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return [*layers, nn.Linear(64, num_outcomes)]


class StochasticMuZeroModel(StochasticMuZeroNetwork):
    """Stochastic MuZero for images and boards."""

    parts_class = ConvChanceParts


class StochasticMuZeroModelMLP(StochasticMuZeroNetwork):
    """Stochastic MuZero for vectors."""

    parts_class = MLPChanceParts
