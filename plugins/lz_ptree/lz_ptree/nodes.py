"""What a rule is shown of the nodes at which an edge is due.

Shape letters: K nodes, one in each of K trees and all at the same depth; E edges of a node.
"""

from typing import NamedTuple

from lz_ptree.functions import Flags, Floats, Ints


class Nodes(NamedTuple):
    """K decision nodes at which a choice is due."""

    is_root: bool
    visit_count: Ints  # (K,) N, the visit that evaluated the node included
    value: Floats  # (K,) V, for the player to move
    raw_value: Floats  # (K,) what the network said
    to_play: Ints  # (K,) -1, 1 or 2
    allowed: Flags  # (K, E) edges that may be taken
    weight: Floats  # (K, E) of the prior, 0 where not allowed
    prior: Floats  # (K, E) weight over the sum of the weights
    visited: Flags  # (K, E) the edge leads somewhere
    edge_visits: Ints  # (K, E) n
    q_value: Floats  # (K, E) signed; read only where visited
    tree_q_low: Floats  # (K,) least q that the whole tree has seen, inf before the first
    tree_q_high: Floats  # (K,) greatest
    parent_q: Floats  # (K,) `mean_q` of the decision node above, for the player to move here
    draw: Floats  # (K,) uniform in [0, 1), for tie_break "random"
    is_known: Flags  # (K, E) the edge's value is given (reuse) and nothing is left to explore

    @property
    def open(self) -> Flags:
        """(K, E) edges that may be taken and lead nowhere yet."""
        return self.allowed & ~self.visited
