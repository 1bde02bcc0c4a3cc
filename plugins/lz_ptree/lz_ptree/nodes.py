"""What a rule is shown of the nodes at which an edge is due.

Shape letters: J nodes, one in each of J trees and all at the same depth; E edges of a node.
"""

from typing import NamedTuple

from lz_ptree.functions import Flags, Floats, Ints


class Nodes(NamedTuple):
    """J decision nodes at which a choice is due."""

    is_root: bool
    visit_count: Ints  # (J,) N, the visit that evaluated the node included
    value: Floats  # (J,) V, for the player to move
    raw_value: Floats  # (J,) what the network said
    to_play: Ints  # (J,) -1, 1 or 2
    allowed: Flags  # (J, E) edges that may be taken
    weight: Floats  # (J, E) of the prior, 0 where not allowed
    prior: Floats  # (J, E) weight over the sum of the weights
    visited: Flags  # (J, E) the edge leads somewhere
    edge_visits: Ints  # (J, E) n
    q_value: Floats  # (J, E) signed; read only where visited
    tree_q_low: Floats  # (J,) least q that the whole tree has seen, inf before the first
    tree_q_high: Floats  # (J,) greatest
    parent_q: Floats  # (J,) `mean_q` of the decision node above, for the player to move here
    draw: Floats  # (J,) uniform in [0, 1), for tie_break "random"
    is_known: Flags  # (J, E) the edge's value is given (reuse) and nothing is left to explore

    @property
    def open(self) -> Flags:
        """(J, E) edges that may be taken and lead nowhere yet."""
        return self.allowed & ~self.visited
