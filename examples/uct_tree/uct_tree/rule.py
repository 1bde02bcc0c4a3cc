"""Which edge a search takes: UCB1, as in UCT (Kocsis and Szepesvari 2006)."""

import math

from lzcore.base import TreeSpec
from uct_tree.search import Bounds, Node


def choose(node: Node, bounds: Bounds, spec: TreeSpec) -> int:
    """Return an edge that was never taken, the likeliest first, else the one of the best score."""
    untaken = [edge for edge in node.edges if edge not in node.children]
    if untaken:
        return max(untaken, key=lambda edge: node.prior[edge])
    return max(node.edges, key=lambda edge: score(node, edge, bounds, spec))


def score(node: Node, edge: int, bounds: Bounds, spec: TreeSpec) -> float:
    """Return what an edge is worth plus how far that may be off."""
    child = node.children[edge]
    return bounds.scaled(child.q) + spec.pb_c_init * math.sqrt(math.log(node.visits) / child.visits)
