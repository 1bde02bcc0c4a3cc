"""Which outcome a search takes at a chance node.

Shape letters: J chance nodes, C outcomes.
"""

import numpy as np

from lz_ptree.functions import Flags, Floats, Ints
from lzcore.base.seeding import Seeds, derive_seed, uniform
from lzcore.base.treespec import TreeSpec

_CHANCE = 0x6368616E6365  # keeps these draws apart from others of the same seed


def choose_outcome(
    spec: TreeSpec,
    allowed: Flags,
    prior: Floats,
    edge_visits: Ints,
    draw: Floats,
) -> Ints:
    """Choose an outcome at each of J chance nodes.

    Args:
        spec: says whether to keep visits in proportion to the prior, or to draw.
        allowed: (J, C) outcomes that can happen.
        prior: (J, C) their probabilities.
        edge_visits: (J, C) how often each was taken.
        draw: (J,) uniform in [0, 1); read if outcomes are drawn.
    Returns:
        (J,) outcomes: of the largest P / (1 + n), the lowest of equals; or drawn from P.
    """
    if spec.chance_select == "quasi_random":
        return np.where(allowed, prior / (1 + edge_visits), -np.inf).argmax(axis=1)
    return first_beyond(prior, draw, allowed)


def first_beyond(weights: Floats, bound: Floats, allowed: Flags) -> Ints:
    """(J,) the first allowed one at which the sum of (J, C) weights in order exceeds the bound.

    The last allowed one, if rounding leaves the whole sum at or below the bound.
    """
    reached = (weights.cumsum(axis=1) > bound[:, None]) & allowed
    last = allowed.shape[1] - 1 - allowed[:, ::-1].argmax(axis=1)
    return np.where(reached.any(axis=1), reached.argmax(axis=1), last)


def outcome_draw(seeds: Seeds, node: Ints, visit_count: Ints) -> Floats:
    """(J,) uniform numbers, a function of the root's seed, the node and its visits N."""
    return uniform(derive_seed(seeds, _CHANCE), node, visit_count)
