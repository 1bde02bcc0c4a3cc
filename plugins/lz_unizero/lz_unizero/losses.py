"""The parts of UniZero's loss that MuZero's has not, as functions of predictions and targets.

Shape letters: B samples, K steps of a window, E width of a latent state, V of its groups; leading
axes (...) are free.
"""

from torch import Tensor

_TINY = 1e-6  # added to probabilities before their logarithm


def group_kl(foretold: Tensor, target: Tensor, group_size: int) -> Tensor:
    """Return the mean over groups of KL(target || foretold), (...,), in nats.

    Args:
        foretold: (..., E), groups of V probabilities.
        target: (..., E) of what was observed, without gradient.
        group_size: V.
    Source:
        arXiv:2406.10667, sec. 3.3: latent states are distributions, by SimNorm.
    """
    distance = target * ((target + _TINY).log() - (foretold + _TINY).log())
    groups = distance.view(*distance.shape[:-1], -1, group_size)
    return groups.sum(-1).mean(-1)


def squared_error(foretold: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of latents (..., E), (...,)."""
    return (foretold - target).square().mean(-1)


def sum_over_steps(loss: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """Return the part of each sample in the mean over all steps of a batch, times B: (B,).

    The mean of what is returned over the batch is that of the loss over the steps that are learned,
    whichever samples they belong to; a sample's weight multiplies all of its steps.

    Args:
        loss: (K, B).
        mask: (K, B) float32, 1 = the step is learned.
        gamma: what a step counts for against the one before.
    """
    share = mask.shape[1] / mask.sum().clamp_min(1.0)
    weight = gamma ** mask.new_tensor(range(len(mask)))
    return (loss * mask * weight[:, None]).sum(0) * share
