"""One search: evaluate the roots, then S times select, evaluate, back up."""

from typing import Any

import numpy as np

from lzcore.base.tree import Array, Evaluation, Reuse, SearchResult, Tree
from lzcore.search.dynamics import Dynamics


def search(
    tree: Tree,
    dynamics: Dynamics,
    observation: Any,
    *,
    num_simulations: int,
    legal_actions: Array | None = None,
    to_play: Array | None = None,
    seeds: Array | None = None,
    noise: Array | None = None,
    reuse: Reuse | None = None,
) -> SearchResult:
    """Search from B observed states at once.

    Args:
        tree: reused from search to search; its spec allows at least `num_simulations`.
        dynamics: evaluates roots and leaves.
        observation: whatever `dynamics.root` takes, such as (B, *O) float32.
        num_simulations: S; the tree's spec may ask for one more round, which expands the roots.
        legal_actions: (B, A) bool, True = allowed at the root; None: all.
        to_play: (B,) int8 in {-1, 1, 2}; None: one player.
        seeds: (B,) uint64, one counter stream for each root; None: 0.
        noise: (B, E) float64, what the rule of the tree mixes in at the root; None: none.
        reuse: what an earlier search found one step ahead; None: nothing.
    Raises:
        ValueError: what the tree refuses, naming the argument and the root.
    """
    evaluation = dynamics.root(observation)
    tree.start(evaluation, legal_actions, to_play, seeds, noise, reuse)
    for _ in range(num_simulations + tree.spec.root_expand_all):
        leaves = tree.select()
        if np.count_nonzero(leaves.needs_evaluation):
            evaluation = dynamics.expand(leaves)
        else:
            evaluation = _nothing(evaluation, len(leaves.needs_evaluation))
        tree.backup(evaluation)
    return tree.result()


def _nothing(last: Evaluation, num_rows: int) -> Evaluation:
    """Make zeros in the form of the last evaluation: the tree reads no row of them."""

    def zeros(field: Array) -> Array:
        return np.zeros((num_rows, *field.shape[1:]), field.dtype)

    reward = None if last.reward is None else zeros(last.reward)
    return Evaluation(zeros(last.value), zeros(last.logits), reward)
