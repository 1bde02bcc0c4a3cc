"""The parts of the AlphaZero loss, as functions of logits and targets: a number for each sample.

Shape letters: B samples, A actions, K slots of sampled actions; leading axes (...) are free.
"""

from typing import Literal

import torch
from torch import Tensor


def masked(logits: Tensor, legal: Tensor | None) -> Tensor:
    """Return logits (..., A) with the least there is where an action is not legal.

    Args:
        logits: (..., A).
        legal: (..., A) bool; None: all are.
    """
    return logits if legal is None else logits.masked_fill(~legal, torch.finfo(logits.dtype).min)


def cross_entropy(log_prob: Tensor, target: Tensor) -> Tensor:
    """Return -sum target * log_prob, (...,): 0 for a row of zeros.

    Args:
        log_prob: (..., A).
        target: (..., A) probabilities.
    """
    return -torch.where(target > 0, target * log_prob, 0.0).sum(dim=-1)


def kl_divergence(log_prob: Tensor, target: Tensor) -> Tensor:
    """Return sum target * (log target - log_prob), (...,): 0 for a row of zeros.

    Args:
        log_prob: (..., A).
        target: (..., A) probabilities.
    """
    return cross_entropy(log_prob, target) - torch.special.entr(target).sum(dim=-1)


def entropy(log_prob: Tensor) -> Tensor:
    """Return the entropy of (..., A) log probabilities, (...,), in nats."""
    return cross_entropy(log_prob, log_prob.exp())


def slot_loss(
    log_prob: Tensor,
    target: Tensor,
    actions: Tensor,
    filled: Tensor,
    *,
    kind: Literal["cross_entropy", "KL"],
    normalized: bool,
) -> Tensor:
    """Return how far a policy is from the visits of sampled actions, (...,).

    Args:
        log_prob: (..., A) of the policy.
        target: (..., K) shares of visits; 0 in empty slots.
        actions: (..., K) int64, anything in empty slots.
        filled: (..., K) bool, which slots hold an action.
        kind: KL takes the entropy of the target off, and compares shares: it is always normalized.
        normalized: compare the policy's share among the slots rather than its probability.
    Source:
        arXiv:2104.06303, sec. 5.
    """
    of_slots = log_prob.gather(-1, torch.where(filled, actions, 0))
    if normalized or kind == "KL":
        of_slots = masked(of_slots, filled).log_softmax(dim=-1)
    target = torch.where(filled, target, 0.0)
    compare = kl_divergence if kind == "KL" else cross_entropy
    return compare(of_slots, target)
