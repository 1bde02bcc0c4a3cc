"""From what a search has visited, or a network has said, to an action: arrays only.

Shape letters: N searches, A actions or other edges of a root.
"""

import numpy as np
import numpy.typing as npt

from lzcore.base.errors import DecisionError
from lzcore.base.tree import Array


def tempered(visits: Array, temperature: float) -> npt.NDArray[np.float64]:
    """Return (N, A) probabilities proportional to visits ** (1 / temperature).

    Args:
        visits: (N, A) counts or weights >= 0, with at least one positive in each row.
        temperature: 0 puts everything on the lowest-numbered most visited action.
    Raises:
        DecisionError: temperature is negative, infinite or not a number.
    Source:
        arXiv:1911.08265, appendix D; in log space, so that small temperatures do not overflow.
    """
    if not 0.0 <= temperature < np.inf:
        raise DecisionError(f"temperature is {temperature}; expected a number of at least 0.")
    if temperature == 0.0:
        best: Array = np.eye(visits.shape[1])[visits.argmax(axis=1)]
        return best
    with np.errstate(divide="ignore", over="ignore"):  # of no visits; of a tiny temperature
        log_visits = np.log(visits.astype(np.float64))
        weight: Array = np.exp((log_visits - log_visits.max(axis=1, keepdims=True)) / temperature)
    probability: Array = weight / weight.sum(axis=1, keepdims=True)
    return probability


def masked_softmax(logits: Array, legal: Array) -> npt.NDArray[np.float64]:
    """Return (N, A) probabilities over the legal actions, 0 elsewhere.

    Args:
        logits: (N, A).
        legal: (N, A) bool, at least one True in each row.
    """
    masked = np.where(legal, logits.astype(np.float64), -np.inf)
    weight: Array = np.exp(masked - masked.max(axis=1, keepdims=True))
    probability: Array = weight / weight.sum(axis=1, keepdims=True)
    return probability


def draw(probability: Array, u: Array) -> npt.NDArray[np.int64]:
    """Draw one action for each row: (N, A) probabilities and (N,) uniforms in [0, 1)."""
    total = np.cumsum(probability, axis=1)
    drawn: Array = (total <= u[:, None] * total[:, -1:]).sum(axis=1)
    return drawn


def entropy_bits(probability: Array) -> npt.NDArray[np.float64]:
    """Return the (N,) entropies of (N, A) distributions, in bits."""
    safe = np.where(probability > 0.0, probability, 1.0)
    bits: Array = -(probability * np.log2(safe)).sum(axis=1)
    return bits
