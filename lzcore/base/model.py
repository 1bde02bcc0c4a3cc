"""What learning and search ask of a network.

Shape letters: B states evaluated together, A actions, D numbers of a continuous action, C chance
outcomes, O observation, L latent state, H width of a recurrent memory, Z bins of a categorical
value (1 for a plain scalar).
"""

from typing import NamedTuple, Protocol

from torch import Tensor


class NetworkOutput(NamedTuple):
    """What the model says of B states; float32, on the model's device, with gradients if on."""

    latent_state: Tensor  # (B, *L)  handed back to recurrent_inference unchanged
    # (B, Z)  logits of the step into the state; of the sum of rewards since the last reset where
    # there is a memory; zeros at a root
    reward: Tensor
    value: Tensor  # (B, Z)  logits, for the player to move
    # (B, A)  unnormalised, illegal actions not masked yet; (B, 2 D) means and standard deviations
    # of continuous actions before tanh; (B, C) of the outcomes that follow an afterstate
    policy_logits: Tensor
    # (B, 2, H)  what a value prefix remembers of the steps before (h and c of an LSTM); None where
    # rewards are told step by step. Zeros start a new sum
    memory: Tensor | None = None


class Support(Protocol):
    """Turns the outputs of a value or reward head into numbers and back."""

    size: int  # Z

    def decode(self, logits: Tensor) -> Tensor:
        """(..., Z) logits -> (...,) scalars in environment units."""

    def encode(self, scalars: Tensor) -> Tensor:
        """(...,) scalars in environment units -> (..., Z) targets of the head."""


class Model(Protocol):
    """An nn.Module that imagines: the part of it that search and losses call.

    In eval mode what it answers follows from its tensors, weights and arguments alone, so that a
    search may record a call and replay it. Weights change in place; no other Parameter takes the
    place of one.
    """

    value_support: Support
    reward_support: Support

    def initial_inference(self, observation: Tensor) -> NetworkOutput:
        """Observation (B, *O) float32 -> evaluated root.

        Source:
            h then f of MuZero, arXiv:1911.08265, sec. 3.
        """

    def recurrent_inference(self, latent_state: Tensor, action: Tensor) -> NetworkOutput:
        """Imagine one step from each of B states and evaluate where it leads.

        A model of value prefixes takes a third argument, `memory`; a `ChanceModel` one that says
        what the step is.

        Args:
            latent_state: (B, *L) float32, from an earlier NetworkOutput.
            action: (B,) int64, each in [0, A), or (B, D) float32.
        Source:
            g then f of MuZero, arXiv:1911.08265, sec. 3.
        """


class ChanceModel(Protocol):
    """A model in which each action leads to an afterstate, and chance from there to a state."""

    value_support: Support
    reward_support: Support

    def initial_inference(self, observation: Tensor) -> NetworkOutput:
        """Observation (B, *O) float32 -> evaluated root."""

    def recurrent_inference(
        self, latent_state: Tensor, option: Tensor, afterstate: bool = False
    ) -> NetworkOutput:
        """Imagine half a step: an action, or the outcome that chance gives it.

        Args:
            latent_state: (B, *L) float32: states, or afterstates.
            option: (B,) int64, actions in [0, A), or outcomes in [0, C).
            afterstate: False: `latent_state` are states and `option` actions, which lead to
                afterstates: their value, zero reward, logits of C outcomes. True: afterstates and
                outcomes, which lead to states: value, reward of the whole step, policy logits.
        Source:
            Stochastic MuZero (Antonoglou et al., ICLR 2022), sec. 4.
        """
