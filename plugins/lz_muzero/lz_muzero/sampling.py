"""Actions drawn without a search: from the network's policy, or from none at all.

What is returned stands for a search's result: K slots of actions and the share of visits that each
has. On average over draws the shares are the policy itself, and a slot drawn by its share is an
action drawn from the policy.

Shape letters: N environments, K slots, A actions, D numbers of a continuous action.
"""

from typing import NamedTuple

import numpy as np
import torch

from lz_muzero.decisions import Array
from lzcore.base import open_uniform, uniform
from lzcore.search import draw

NO_ACTION = -1  # an empty slot
_MOST = np.float32(1.0 - 2.0**-24)  # the largest action below 1


class Slots(NamedTuple):
    """Sampled actions of N environments, in the form in which a tree tells them."""

    actions: Array  # (N, K, D) float32 in (-1, 1), or (N, K, 1) int64 rising, -1 behind the last
    share: Array  # (N, K) float64, rows sum to 1


def discrete_slots(policy: Array, legal: Array, num_slots: int, seeds: Array) -> Slots:
    """Fill slots with numbered actions.

    Args:
        policy: (N, A) probabilities, 0 where not legal.
        legal: (N, A) bool.
        num_slots: K. A row that allows no more gets every legal action, with its probability;
            another one gets what comes up in K draws, with how often it does.
        seeds: (N,) uint64.
    """
    count = np.zeros(policy.shape)
    rows = np.arange(len(policy))
    for slot in range(num_slots):
        count[rows, draw(policy, uniform(seeds, slot))] += 1.0
    fits = legal.sum(axis=1, keepdims=True) <= num_slots
    share = np.where(fits, policy, count / num_slots)
    return _in_order(np.where(fits, legal, count > 0.0), share, num_slots)


def _in_order(chosen: Array, share: Array, num_slots: int) -> Slots:
    """Put the actions chosen in (N, A) into slots, rising, each with its share of (N, A)."""
    actions = np.full((len(chosen), num_slots), NO_ACTION, np.int64)
    of_slot = np.zeros(actions.shape)
    row, action = np.nonzero(chosen)
    slot = chosen.cumsum(axis=1)[row, action] - 1
    actions[row, slot] = action
    of_slot[row, slot] = share[row, action]
    return Slots(actions[..., None], of_slot)


def gaussian_slots(gaussian: Array, num_slots: int, seeds: Array) -> Slots:
    """Fill slots with vectors from the Gaussian policy, squashed by tanh.

    Args:
        gaussian: (N, 2 D) means, then standard deviations.
        num_slots: K.
        seeds: (N,) uint64.
    """
    mean, deviation = np.split(gaussian.astype(np.float64)[:, None], 2, axis=2)  # (N, 1, D)
    u = _numbers(seeds, num_slots, mean.shape[2])
    z = torch.special.ndtri(torch.from_numpy(u)).numpy()  # normal variates
    return _alike(np.tanh(mean + deviation * z))


def uniform_slots(num_slots: int, action_dim: int, seeds: Array) -> Slots:
    """Fill K slots with vectors that are uniform in (-1, 1)^D."""
    return _alike(2.0 * _numbers(seeds, num_slots, action_dim) - 1.0)


def uniform_vectors(action_dim: int, seeds: Array) -> Array:
    """Return (N, D) float32, uniform in (-1, 1)."""
    return uniform_slots(1, action_dim, seeds).actions[:, 0]


def _numbers(seeds: Array, num_slots: int, action_dim: int) -> Array:
    """Return (N, K, D) uniforms in (0, 1)."""
    number = np.arange(num_slots * action_dim).reshape(num_slots, action_dim)
    return open_uniform(seeds[:, None, None], number)


def _alike(actions: Array) -> Slots:
    kept = np.clip(actions.astype(np.float32), -_MOST, _MOST)
    return Slots(kept, np.full(kept.shape[:2], 1.0 / kept.shape[1]))
