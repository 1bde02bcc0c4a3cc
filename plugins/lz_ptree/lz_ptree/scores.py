"""The rule `puct`: scores of the edges of J nodes, and the choice among them.

The rules and the reasons for them are in docs/search.md, in the same order as here.

Shape letters: J nodes at which a choice is due, one in each of J trees and all at the same depth;
E edges of a node.
"""

import math

import numpy as np

from lz_ptree.functions import Flags, Floats, Ints, sum_in_order
from lz_ptree.nodes import Nodes
from lzcore.base.treespec import TreeSpec

NEAR = 1e-6  # tie_break "random" draws among the scores this close to the best


def choose_edge(spec: TreeSpec, nodes: Nodes, exploration: Floats) -> tuple[Ints, Floats]:
    """Choose an edge at each of J nodes.

    Args:
        spec: says how.
        nodes: where.
        exploration: (S + 2,) what `exploration_table` returned.
    Returns:
        (J,) edges, and (J,) the mean_q of each node, for the nodes below it.
    """
    weight = exploration[nodes.visit_count - _uncounted_visits(spec, nodes.is_root)]
    mean_q = _mean_q(nodes)
    value = np.where(
        nodes.visited,
        transform(spec, nodes, nodes.q_value),
        unvisited_value(spec, nodes, mean_q)[:, None],
    )
    prior = np.where(nodes.is_known, 0.0, nodes.prior)
    bonus = weight[:, None] * (prior / (1 + nodes.edge_visits))
    score = np.where(nodes.allowed, value + bonus, -np.inf)
    return _best_edge(spec, nodes, score, prior, weight), mean_q


# --- how much the prior weighs -------------------------------------------------------------------


def exploration_table(spec: TreeSpec) -> Floats:
    """Return (S + 2,) c(N) * sqrt(N) for every visit count N."""
    n = np.arange(spec.num_simulations + 2, dtype=np.float64)
    ratio = (n + spec.pb_c_base + 1.0) / spec.pb_c_base
    c = spec.pb_c_init + np.array([math.log(x) for x in ratio])  # bits of the C library, as in C++
    return c * np.sqrt(n)


def _uncounted_visits(spec: TreeSpec, is_root: bool) -> int:
    """1 where the rule leaves out the visit that evaluated the node, else 0."""
    if spec.fpu in ("ez_mean_q", "minizero"):
        return 1
    return int(is_root and spec.fpu in ("muzero_paper", "zero"))


# --- what an edge is worth -----------------------------------------------------------------------


def transform(spec: TreeSpec, nodes: Nodes, q: Floats) -> Floats:
    """Bring (J, E) or (J, 1) q-values to the scale of the score rule."""
    if spec.q_transform == "none":
        return q
    if spec.q_transform == "min_max":
        return (q - spec.q_bounds[0]) / (spec.q_bounds[1] - spec.q_bounds[0])
    low, high = _seen_range(spec, nodes)
    known = (high > low) | (spec.q_transform == "parent_and_siblings")
    low = np.where(known, low, 0.0)
    scale = np.where(known, np.maximum(high - low, spec.range_floor), 1.0)
    return np.clip((q - low[:, None]) / scale[:, None], 0.0, 1.0)


def _seen_range(spec: TreeSpec, nodes: Nodes) -> tuple[Floats, Floats]:
    """(J,) least and greatest q: of the whole tree, or of the node and its visited edges."""
    if spec.q_transform == "tree_min_max":
        return nodes.tree_q_low, nodes.tree_q_high
    low = np.where(nodes.visited, nodes.q_value, np.inf).min(axis=1)
    high = np.where(nodes.visited, nodes.q_value, -np.inf).max(axis=1)
    return np.minimum(nodes.value, low), np.maximum(nodes.value, high)


def unvisited_value(spec: TreeSpec, nodes: Nodes, mean_q: Floats) -> Floats:
    """Return (J,) what an edge never taken counts for, on the scale of the score rule."""
    if spec.fpu == "mctx":
        return _least_value(spec, nodes)
    if spec.fpu == "parent_value":
        return transform(spec, nodes, nodes.value[:, None])[:, 0]
    if spec.fpu == "muzero_paper":
        return np.zeros(len(nodes.value))
    if spec.fpu == "ez_mean_q":
        return transform(spec, nodes, mean_q[:, None])[:, 0]
    if spec.fpu == "zero":
        return transform(spec, nodes, np.zeros((len(nodes.value), 1)))[:, 0]
    return _one_more_loss(spec, nodes)


def _least_value(spec: TreeSpec, nodes: Nodes) -> Floats:
    """The least of the node and its visited edges: 0 on every normalised scale."""
    if spec.q_transform != "none":
        return np.zeros(len(nodes.value))
    return _seen_range(spec, nodes)[0]


def _mean_q(nodes: Nodes) -> Floats:
    """EfficientZero's mean over visited edges; below the root, the parent's counts once more."""
    count = nodes.visited.sum(axis=1)
    total = _sum_of_visited(nodes, nodes.q_value)
    if nodes.is_root:
        return total / np.maximum(count, 1)
    return (nodes.parent_q + total) / (count + 1)


def _one_more_loss(spec: TreeSpec, nodes: Nodes) -> Floats:
    """MiniZero: the mean over visited edges and one lost game; with one player, without it."""
    loss = -1.0 if spec.q_transform == "none" else 0.0
    win = 1.0
    count = nodes.visited.sum(axis=1)
    total = _sum_of_visited(nodes, transform(spec, nodes, nodes.q_value))
    alone = np.where(count > 0, total / np.maximum(count, 1), win)
    return np.where(nodes.to_play == -1, alone, (total + loss) / (count + 1))


def _sum_of_visited(nodes: Nodes, value: Floats) -> Floats:
    return sum_in_order(np.where(nodes.visited, value, 0.0))


# --- which of the best ---------------------------------------------------------------------------


def _best_edge(spec: TreeSpec, nodes: Nodes, score: Floats, prior: Floats, weight: Floats) -> Ints:
    """Return (J,) the edge of the highest score, ties broken as `spec` says."""
    if spec.tie_break == "random":
        return _drawn(score >= score.max(axis=1, keepdims=True) - NEAR, nodes.draw)
    score = np.where(_competing(spec, nodes, weight), score, -np.inf)
    if spec.tie_break == "prior":
        tied = score == score.max(axis=1, keepdims=True)
        return np.where(tied, prior, -np.inf).argmax(axis=1)
    return score.argmax(axis=1)


def _competing(spec: TreeSpec, nodes: Nodes, weight: Floats) -> Flags:
    """(J, E) visited edges, and of the others, which share one value, the best by its prior.

    That one has the highest score among them also where float64 no longer shows it. Where the
    prior has no weight, before a root's first visit under some fpu, all allowed edges compete,
    unless ties go to the best prior anyway.
    """
    best = np.where(nodes.open, nodes.weight, -np.inf).argmax(axis=1)
    is_best = np.arange(nodes.open.shape[1]) == best[:, None]
    all_tie = (weight == 0.0) & (spec.tie_break != "prior")
    return nodes.visited | (nodes.open & (is_best | all_tie[:, None]))


def _drawn(candidates: Flags, draw: Floats) -> Ints:
    """Pick one candidate in each row, all alike: that of rank floor(draw * count)."""
    rank = np.floor(draw * candidates.sum(axis=1)).astype(np.int64)
    reached = candidates.cumsum(axis=1) == rank[:, None] + 1
    return (reached & candidates).argmax(axis=1)
