"""The rule `gumbel`: completed Q, Sequential Halving at the root, the rule below it, the outcome.

The rules and their sources are in docs/search.md, in the same order as here.

Shape letters: J nodes at which a choice is due, one in each of J trees; B roots (J is B at the
root); E edges of a node; S simulations.
"""

import math
from typing import NamedTuple

import numpy as np

from lz_ptree.functions import (
    Flags,
    Floats,
    Ints,
    exp_of_negative,
    share_of,
    sum_in_lanes,
    sum_in_order,
    weights_of,
)
from lz_ptree.nodes import Nodes
from lzcore.base.treespec import TreeSpec

_TINY = np.finfo(np.float64).tiny  # the least weight of a visited edge in the mean of q
_LEAST_SCORE = -1e9  # below it, edges of the root tie


# --- completed q-values --------------------------------------------------------------------------


class Scaled(NamedTuple):
    """Completed q-values on the scale of logits."""

    visited: Floats  # (J, E) read only where visited
    open: Floats  # (J,) shared by the edges that lead nowhere yet
    completed: Floats  # (J, E) the one or the other


def mixed_value(spec: TreeSpec, nodes: Nodes) -> Floats:
    """(J,) v_mix, what an unvisited edge counts for: the raw value, and the q of the visited ones.

    The mean of q is weighted with the prior, both sums over the visited edges in order.
    """
    if not spec.use_mixed_value:
        return nodes.raw_value
    share = np.where(nodes.visited, np.maximum(nodes.prior, _TINY), 0.0)
    total = sum_in_order(share)
    weighted = sum_in_order(np.where(nodes.visited, share * nodes.q_value, 0.0))
    mean = np.where(total > 0.0, weighted / np.where(total > 0.0, total, 1.0), 0.0)
    visits = nodes.visit_count - 1  # through the node's edges
    return (nodes.raw_value + visits * mean) / (visits + 1)


def completed_q(nodes: Nodes, mixed: Floats) -> Floats:
    """(J, E) q where visited, v_mix elsewhere."""
    return np.where(nodes.visited, nodes.q_value, mixed[:, None])


def scaled_q(spec: TreeSpec, nodes: Nodes, mixed: Floats) -> Scaled:
    """Bring completed q-values to the scale of logits: the more visits, the more they weigh."""
    low, width = np.zeros(len(mixed)), np.ones(len(mixed))
    if spec.rescale_values:
        low, high = _range(spec, nodes, mixed)
        width = np.maximum(high - low, spec.range_floor)
    factor = (spec.maxvisit_init + nodes.edge_visits.max(axis=1)) * spec.value_scale
    visited = factor[:, None] * ((nodes.q_value - low[:, None]) / width[:, None])
    unvisited = factor * ((mixed - low) / width)
    return Scaled(visited, unvisited, np.where(nodes.visited, visited, unvisited[:, None]))


def _range(spec: TreeSpec, nodes: Nodes, mixed: Floats) -> tuple[Floats, Floats]:
    """(J,) least and greatest completed q; edges not allowed may count as unvisited ones."""
    unvisited = nodes.open
    if spec.rescale_illegal and not spec.is_sampled:
        unvisited = ~nodes.visited
    some = unvisited.any(axis=1)
    low = np.where(nodes.visited, nodes.q_value, np.inf).min(axis=1)
    high = np.where(nodes.visited, nodes.q_value, -np.inf).max(axis=1)
    return (
        np.where(some, np.minimum(low, mixed), low),
        np.where(some, np.maximum(high, mixed), high),
    )


# --- the root ------------------------------------------------------------------------------------


class Halving(NamedTuple):
    """Sequential Halving over the edges of B roots."""

    table: Ints  # (B, S) how often the edge to take in simulation i has been taken
    order: Ints  # (B, E) the order in which edges are taken for the first time
    root_score: Floats  # (B, E) noise + (logit - largest logit); -inf where not allowed


def plan_halving(spec: TreeSpec, logits: Floats, allowed: Flags, noise: Floats) -> Halving:
    """Plan the choices at B roots.

    Args:
        spec: says how many edges are considered at most.
        logits: (B, E) of the root edges.
        allowed: (B, E) at least one in each row.
        noise: (B, E) Gumbel numbers g.
    """
    masked = np.where(allowed, logits, -np.inf)
    root_score = np.where(allowed, noise + (masked - masked.max(axis=1, keepdims=True)), -np.inf)
    considered = np.minimum(spec.max_num_considered_actions, allowed.sum(axis=1))
    tables = {int(m): halving_visits(int(m), spec.num_simulations) for m in set(considered)}
    return Halving(
        table=np.array([tables[int(m)] for m in considered]),
        order=np.argsort(-root_score, axis=1, kind="stable"),
        root_score=root_score,
    )


def halving_visits(num_considered: int, num_simulations: int) -> list[int]:
    """Return for each simulation how often the edge to take has been taken before.

    All considered edges in turn, then the better half of them, and so on down to the best two,
    with about the same number of simulations in each round.
    """
    if num_considered <= 1:
        return list(range(num_simulations))
    rounds = math.ceil(math.log2(num_considered))
    counts = [0] * num_considered
    left = num_considered
    visits: list[int] = []
    while len(visits) < num_simulations:
        for _ in range(max(1, num_simulations // (rounds * left))):
            visits += counts[:left]
            counts[:left] = [count + 1 for count in counts[:left]]
        left = max(2, left // 2)
    return visits[:num_simulations]


def choose_at_root(spec: TreeSpec, nodes: Nodes, halving: Halving, simulation: int) -> Ints:
    """(B,) the edge that simulation number `simulation` takes at the root."""
    return _best_with(spec, nodes, halving, halving.table[:, simulation])


def best_at_root(spec: TreeSpec, nodes: Nodes, halving: Halving) -> Ints:
    """(B,) the winner: the best of the edges that were taken most often."""
    return _best_with(spec, nodes, halving, nodes.edge_visits.max(axis=1))


def _best_with(spec: TreeSpec, nodes: Nodes, halving: Halving, visits: Ints) -> Ints:
    """(B,) the best of the edges taken `visits` times; the first in order of those never taken."""
    untaken = np.take_along_axis(nodes.edge_visits, halving.order, axis=1) == 0
    next_one = np.take_along_axis(halving.order, untaken.argmax(axis=1)[:, None], axis=1)[:, 0]
    scaled = scaled_q(spec, nodes, mixed_value(spec, nodes))
    score = np.maximum(_LEAST_SCORE, halving.root_score + scaled.visited)
    compete = nodes.allowed & (nodes.edge_visits == visits[:, None])
    best = np.where(compete, score, -np.inf).argmax(axis=1)
    return np.where(visits == 0, next_one, best)


# --- below the root ------------------------------------------------------------------------------


def choose_below_root(spec: TreeSpec, nodes: Nodes) -> Ints:
    """(J,) the edge whose visits lag most behind softmax(logits + sq), the lowest of equals.

    Open edges share one sq, so the largest prior is the best of them, and a level costs no more
    than its visited edges: their common factor multiplies one sum of weights.
    """
    scaled = scaled_q(spec, nodes, mixed_value(spec, nodes))
    top = np.where(nodes.visited, scaled.visited, -np.inf).max(axis=1)
    top = np.where(nodes.open.any(axis=1), np.maximum(top, scaled.open), top)
    below_top = np.where(nodes.visited, scaled.visited - top[:, None], 0.0)
    z = np.where(nodes.visited, nodes.weight * exp_of_negative(below_top), 0.0)
    factor = exp_of_negative(np.minimum(scaled.open - top, 0.0))  # of open edges, if there are any
    total = sum_in_order(z) + sum_in_lanes(np.where(nodes.open, nodes.weight, 0.0)) * factor
    z = np.where(nodes.visited, z, nodes.weight * factor[:, None])
    share = np.where(total > 0.0, 1.0, 0.0)[:, None] * z
    share = share / np.where(total > 0.0, total, 1.0)[:, None]
    score = share - nodes.edge_visits / nodes.visit_count[:, None]
    best_open = np.where(nodes.open, nodes.weight, -np.inf).argmax(axis=1)
    is_best = np.arange(score.shape[1]) == best_open[:, None]
    compete = nodes.visited | (nodes.open & is_best)
    return np.where(compete, score, -np.inf).argmax(axis=1)


# --- the outcome ---------------------------------------------------------------------------------


def improved_policy(spec: TreeSpec, nodes: Nodes, logits: Floats) -> Floats:
    """(B, E) softmax(logits + sq) over the allowed edges of B roots, the policy target."""
    scaled = scaled_q(spec, nodes, mixed_value(spec, nodes))
    return share_of(weights_of(logits + scaled.completed, nodes.allowed))
