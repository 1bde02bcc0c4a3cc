"""Which actions become the edges of a node, where they are sampled from the policy.

Draws are functions of (the root's seed, node, slot or action), so they do not depend on when nor
in which tree a node is made.

Shape letters: N nodes, A actions, K slots, D numbers of a continuous action.
"""

from typing import NamedTuple

import numpy as np

from lz_ptree.chance import first_beyond
from lz_ptree.functions import (
    Flags,
    Floats,
    Ints,
    exp_of_negative,
    log_of,
    normal_quantile,
    tanh_of,
)
from lzcore.base.seeding import Seeds, derive_seed, open_uniform, uniform
from lzcore.base.tree import Array
from lzcore.base.treespec import TreeSpec

NO_ACTION = -1

_SAMPLE = 0x73616D706C65  # keeps these draws apart from others of the same seed
_HALF_LOG_2_PI = 0.91893853320467274178
_MOST_ACTION = np.float32(1.0 - 2.0**-24)  # float32 rounds a tanh beyond this to 1


class Slots(NamedTuple):
    """The sampled edges of N nodes."""

    logits: Floats  # (N, K) of the prior over the slots
    allowed: Flags  # (N, K) the slot holds an action
    actions: Array  # (N, K, D) float32 in (-1, 1), or (N, K) int64 rising, -1 behind the last


def slot_keys(seeds: Seeds) -> Seeds:
    """(N,) keys of the streams that slots are drawn from."""
    return derive_seed(seeds, _SAMPLE)


# --- discrete actions ----------------------------------------------------------------------------


def discrete_slots(
    spec: TreeSpec,
    seeds: Seeds,
    node: Ints,
    logits: Floats,
    allowed: Flags,
    given: Array | None,
) -> Slots:
    """Fill K slots with actions, in the order of the actions.

    Args:
        spec: says how to sample.
        seeds: (N,) of the roots.
        node: (N,) numbers of the nodes.
        logits: (N, A) of the policy.
        allowed: (N, A) at least one in each row.
        given: (N, K) what the caller sampled, or None. Its slots keep the logits of the actions.
    """
    k = spec.num_sampled_actions
    if given is not None:
        return _slots_of(given.astype(np.int64), logits)
    if spec.sample_mode == "without_replacement":
        chosen = _largest_with_noise(k, slot_keys(seeds), node, logits, allowed)
        return _slots_of(_in_order(chosen, k), logits)
    count = _draws_of_each(spec, slot_keys(seeds), node, logits, allowed)
    relative = logits - np.where(allowed, logits, -np.inf).max(axis=1, keepdims=True)
    # log(count / beta * policy) but for what all slots share
    merged = log_of(np.maximum(count, 1)) + relative * (1.0 - 1.0 / spec.sample_temperature)
    return _slots_of(_in_order(count > 0, k), merged)


def _slots_of(actions: Ints, logits: Floats) -> Slots:
    """Slots of (N, K) actions, with their own of the (N, A) logits."""
    filled = actions != NO_ACTION
    at = np.take_along_axis(logits, np.where(filled, actions, 0), axis=1)
    return Slots(np.where(filled, at, 0.0), filled, actions)


def _in_order(chosen: Flags, num_slots: int) -> Ints:
    """(N, K) the actions that are chosen in (N, A), rising, then -1."""
    actions = np.full((len(chosen), num_slots), NO_ACTION, dtype=np.int64)
    row, action = np.nonzero(chosen)
    actions[row, chosen.cumsum(axis=1)[row, action] - 1] = action
    return actions


def _largest_with_noise(
    num_slots: int, keys: Seeds, node: Ints, logits: Floats, allowed: Flags
) -> Flags:
    """(N, A) the allowed actions with the K largest `logit + Gumbel noise`, the lowest of equals.

    The noise is -log(-log(u)); this draws K times from the policy without replacement.
    """
    u = open_uniform(keys[:, None], node[:, None], np.arange(logits.shape[1]))
    disturbed = np.where(allowed, logits - log_of(-log_of(u)), -np.inf)
    best = np.argsort(-disturbed, axis=1, kind="stable")[:, :num_slots]
    chosen = np.zeros(logits.shape, dtype=np.bool_)
    np.put_along_axis(chosen, best, True, axis=1)
    return chosen & allowed


def _draws_of_each(spec: TreeSpec, keys: Seeds, node: Ints, logits: Floats, allowed: Flags) -> Ints:
    """(N, A) how often each action comes up in K draws from the policy at the temperature."""
    relative = logits - np.where(allowed, logits, -np.inf).max(axis=1, keepdims=True)
    tempered = np.where(allowed, relative / spec.sample_temperature, -np.inf)
    beta = exp_of_negative(tempered)
    total = beta.cumsum(axis=1)[:, -1]
    count = np.zeros(logits.shape, dtype=np.int64)
    for draw in range(spec.num_sampled_actions):
        action = first_beyond(beta, uniform(keys, node, draw) * total, allowed)
        count[np.arange(len(count)), action] += 1
    return count


# --- continuous actions --------------------------------------------------------------------------


def continuous_slots(
    spec: TreeSpec, seeds: Seeds, node: Ints, logits: Floats, given: Array | None
) -> Slots:
    """Fill K slots with vectors.

    Args:
        spec: says how many, and what their prior is.
        seeds: (N,) of the roots.
        node: (N,) numbers of the nodes.
        logits: (N, 2 * D) means, then standard deviations > 0, before tanh.
        given: (N, K, D) float32 in (-1, 1), what the caller sampled, or None.
    """
    k, d = spec.num_sampled_actions, spec.action_dim
    mean, deviation = logits[:, None, :d], logits[:, None, d:]  # (N, 1, D)
    if given is None:
        number = np.arange(k * d).reshape(k, d)
        at = slot_keys(seeds)[:, None, None], node[:, None, None], number
        z = normal_quantile(open_uniform(*at))
        a = tanh_of(mean + deviation * z)  # (N, K, D)
        actions = np.clip(a.astype(np.float32), -_MOST_ACTION, _MOST_ACTION)
    else:
        a = given.astype(np.float64)
        z = (0.5 * (log_of(1.0 + a) - log_of(1.0 - a)) - mean) / deviation
        actions = given
    if spec.prior_mode == "empirical":
        density = np.zeros(actions.shape[:2])
    else:
        density = _log_density(z, deviation, a)
    return Slots(density, np.ones(density.shape, dtype=np.bool_), actions)


def _log_density(z: Floats, deviation: Floats, a: Floats) -> Floats:
    """(N, K) log density of actions a that lie z deviations from the mean before tanh.

    Both sums run over the numbers of a vector in order; where drawn, a is not rounded to float32.
    """
    normal = -(z * z) / 2.0 - log_of(deviation) - _HALF_LOG_2_PI
    squashed = log_of(1.0 - a * a + 1e-6)
    return normal.cumsum(axis=2)[..., -1] - squashed.cumsum(axis=2)[..., -1]
