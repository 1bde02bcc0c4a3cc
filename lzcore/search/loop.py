"""One search: evaluate the roots, then S times select, evaluate, back up."""

from typing import Any

from lzcore.base.tree import Array, SearchResult, Tree
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
) -> SearchResult:
    """Search from B observed states at once.

    Args:
        tree: reused from search to search; its spec allows at least `num_simulations`.
        dynamics: evaluates roots and leaves.
        observation: whatever `dynamics.root` takes, such as (B, *O) float32.
        num_simulations: leaves to add to each tree.
        legal_actions: (B, E) bool, True = allowed at the root; None: all.
        to_play: (B,) int8 in {-1, 1, 2}; None: one player.
        seeds: (B,) uint64, one counter stream for each root; None: 0.
        noise: (B, E) float64 root noise; None: none.
    Raises:
        ValueError: what the tree refuses, naming the argument and the root.
    """
    tree.start(dynamics.root(observation), legal_actions, to_play, seeds, noise)
    for _ in range(num_simulations):
        tree.backup(dynamics.expand(tree.select()))
    return tree.result()
