"""The policy loss of Sampled MuZero: how probable are the actions that a search drew, and visited.

Shape letters: K slots of sampled actions, A actions, D numbers of a continuous action; leading axes
(...) are free.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lz_muzero.losses import target_entropy

_INSIDE = 1e-6  # how near to -1 and 1 actions are told apart, here and in the trees


def gaussian_log_prob(gaussian: Tensor, actions: Tensor) -> Tensor:
    """Return the log density of vectors under a Gaussian that tanh has squashed, (..., K).

    Args:
        gaussian: (..., 2 D) means, then standard deviations, before tanh.
        actions: (..., K, D) in (-1, 1).
    """
    mu, sigma = gaussian.unsqueeze(-2).chunk(2, dim=-1)  # (..., 1, D)
    u = actions.clamp(_INSIDE - 1.0, 1.0 - _INSIDE).atanh()
    normal = -0.5 * ((u - mu) / sigma).square() - sigma.log() - 0.5 * math.log(2.0 * math.pi)
    squashed = (1.0 - actions.square() + _INSIDE).log()
    return (normal - squashed).sum(dim=-1)


def categorical_log_prob(logits: Tensor, actions: Tensor) -> Tensor:
    """Return the log probability of numbered actions, (..., K); that of action 0 in empty slots.

    Args:
        logits: (..., A).
        actions: (..., K, 1) int64, -1 in empty slots.
    """
    return F.log_softmax(logits, dim=-1).gather(-1, actions.squeeze(-1).clamp_min(0))


def slot_loss(
    log_prob: Tensor,
    target: Tensor,
    filled: Tensor | None = None,
    *,
    kind: Literal["cross_entropy", "KL"],
    normalized: bool,
) -> Tensor:
    """Return how far the policy is from the visits of the slots, (...,): 0 for a row of zeros.

    Args:
        log_prob: (..., K) of the policy.
        target: (..., K) shares of visits, or zeros where nothing is to be learned.
        filled: (..., K) bool; None: every slot holds an action.
        kind: KL takes the entropy of the target off, and compares shares: it is always normalized.
        normalized: compare the policy's share among the slots rather than its probability.
    Source:
        arXiv:2104.06303, sec. 5.
    """
    if normalized or kind == "KL":
        known = log_prob if filled is None else log_prob.masked_fill(~filled, _floor(log_prob))
        log_prob = log_prob - known.logsumexp(dim=-1, keepdim=True)
    loss = -(target * log_prob).sum(dim=-1)
    return loss - target_entropy(target) if kind == "KL" else loss


def gaussian_entropy(gaussian: Tensor) -> Tensor:
    """Return the entropy of Gaussians (..., 2 D) before tanh, (...,) in nats."""
    _, sigma = gaussian.chunk(2, dim=-1)
    return (sigma.log() + 0.5 * math.log(2.0 * math.pi * math.e)).sum(dim=-1)


def _floor(x: Tensor) -> float:
    return torch.finfo(x.dtype).min
