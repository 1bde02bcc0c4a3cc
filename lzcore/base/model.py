"""What learning and search ask of a network.

Shape letters: B states evaluated together, A actions, O observation, L latent state,
Z bins of a categorical value (1 for a plain scalar).
"""

from typing import NamedTuple, Protocol

from torch import Tensor


class NetworkOutput(NamedTuple):
    """What the model says of B states; float32, on the model's device, with gradients if on."""

    latent_state: Tensor  # (B, *L)  handed back to recurrent_inference unchanged
    reward: Tensor  # (B, Z)  logits of the step into the state; zeros at a root
    value: Tensor  # (B, Z)  logits, for the player to move
    policy_logits: Tensor  # (B, A)  unnormalised; illegal actions are not masked yet


class Support(Protocol):
    """Turns the outputs of a value or reward head into numbers and back."""

    size: int  # Z

    def decode(self, logits: Tensor) -> Tensor:
        """(..., Z) logits -> (...,) scalars in environment units."""

    def encode(self, scalars: Tensor) -> Tensor:
        """(...,) scalars in environment units -> (..., Z) targets of the head."""


class Model(Protocol):
    """An nn.Module that imagines: the part of it that search and losses call."""

    value_support: Support
    reward_support: Support

    def initial_inference(self, observation: Tensor) -> NetworkOutput:
        """Observation (B, *O) float32 -> evaluated root.

        Source:
            h then f of MuZero, arXiv:1911.08265, sec. 3.
        """

    def recurrent_inference(self, latent_state: Tensor, action: Tensor) -> NetworkOutput:
        """Imagine one step from each of B states and evaluate where it leads.

        Args:
            latent_state: (B, *L) float32, from an earlier NetworkOutput.
            action: (B,) int64, each in [0, A), or (B, D) float32.
        Source:
            g then f of MuZero, arXiv:1911.08265, sec. 3.
        """
