"""The parts of the MuZero loss, as functions of logits and targets.

Every loss here has one number for each sample and unroll step; weights, masks, sums over steps
and means over the batch belong to the policy.

Shape letters: B samples, K unroll steps, A actions, Z bins, D features, L latent state; leading
axes (...) are free.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lzcore.base.model import NetworkOutput, Support


class Unrolled(NamedTuple):
    """K model steps from an observation; step 0 is the observed state."""

    latent_state: tuple[Tensor, ...]  # K + 1 of (B, *L)
    reward: Tensor  # (K, B, Z) logits of steps 1..K
    value: Tensor  # (K + 1, B, Z) logits
    policy_logits: Tensor  # (K + 1, B, A)
    more: Any = None  # what the losses of a variant read besides

    @classmethod
    def of(cls, steps: Sequence[NetworkOutput]) -> "Unrolled":
        """Stack the heads of all steps, so that each loss is computed once."""
        return cls(
            tuple(step.latent_state for step in steps),
            torch.stack([step.reward for step in steps[1:]]),
            torch.stack([step.value for step in steps]),
            torch.stack([step.policy_logits for step in steps]),
        )

    def aligned(self, values: Tensor) -> Tensor:
        """Put what a batch holds of its positions, (B, K + 1, ...), beside policies, (T, B, ...).

        T is K + 1, or fewer where a variant has policies of fewer steps.
        """
        return values.transpose(0, 1)[: len(self.policy_logits)]


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return -sum target * log_softmax(logits), (...,): 0 where the target is all zeros.

    Args:
        logits: (..., A).
        target: (..., A) probabilities, or zeros where nothing is to be learned.
    """
    return -(target * F.log_softmax(logits, dim=-1)).sum(dim=-1)


def kl_divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Return sum target * (log target - log_softmax(logits)), (...,): 0 where target is all zeros.

    Args:
        logits: (..., A).
        target: (..., A) probabilities, or zeros where nothing is to be learned.
    """
    return cross_entropy(logits, target) - target_entropy(target)


def head_loss(output: Tensor, scalars: Tensor, support: Support) -> Tensor:
    """Return the loss of a value or reward head, (...,).

    Args:
        output: (..., Z) logits, or (..., 1) the number itself, which gets squared errors.
        scalars: (...,) targets in environment units.
        support: of the head.
    """
    target = support.encode(scalars)
    if support.size == 1:
        return (output - target).square().squeeze(-1)
    return cross_entropy(output, target)


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of softmax(logits), (...,), in nats."""
    log_p = F.log_softmax(logits, dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def target_entropy(target: Tensor) -> Tensor:
    """Return the entropy of a distribution, (...,), in nats; 0 for a row of zeros."""
    return torch.special.entr(target).sum(dim=-1)


def negative_cosine(x: Tensor, y: Tensor) -> Tensor:
    """Return minus the cosine between predictions and targets, (B,), in [-1, 1].

    Args:
        x: (B, D) predicted features.
        y: (B, D) features of what was observed, without gradient.
    Source:
        SimSiam, arXiv:2011.10566, as in EfficientZero, arXiv:2111.00210, sec. 4.1.
    """
    x = F.normalize(x, dim=-1, eps=1e-5)
    y = F.normalize(y, dim=-1, eps=1e-5)
    return -(x * y).sum(dim=-1)


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """Return x unchanged, whose gradient is multiplied by `factor` on the way back."""
    return x if factor == 1.0 else x * factor + x.detach() * (1.0 - factor)
