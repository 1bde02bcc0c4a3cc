"""One search from one root: nodes, the way down, and the way back up."""

import math
from collections.abc import Callable, Iterator, Sequence


class Node:
    """A state that was evaluated. Values are for the player who moves there."""

    def __init__(self, number: int, parent: "Node | None" = None, edge: int = -1) -> None:
        self.number = number
        self.parent = parent
        self.edge = edge  # the parent's, that leads here
        self.reward = 0.0  # of that step, for who made it
        self.discount = 1.0  # of the value here; negative where the other player moves
        self.children: dict[int, Node] = {}  # by edge
        self.visits = 0  # those through its edges, and one for each evaluation

    def evaluate(self, value: float, to_play: int, prior: Sequence[float], over: bool) -> None:
        """Take in what was said of the state; `prior` is 0 where an action is not legal."""
        self.value = self.raw_value = value  # value: later the mean of all returns seen here
        self.to_play = to_play
        self.prior = list(prior)
        self.over = self.closed = over  # closed: what it is worth will not change
        self.edges = [] if over else [edge for edge, p in enumerate(prior) if p > 0.0]
        self.visits += 1

    @property
    def q(self) -> float:
        """The return after the edge that leads here, for the player who took it."""
        return self.reward + self.discount * self.value

    def path(self) -> Iterator["Node"]:
        """Yield this node and those above it, the root last."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent


class Bounds:
    """The range of the returns that a search has seen."""

    def __init__(self, floor: float) -> None:
        self.low, self.high, self.floor = math.inf, -math.inf, floor

    def widen(self, q: float) -> None:
        """Take note of a return."""
        self.low, self.high = min(self.low, q), max(self.high, q)

    def scaled(self, q: float) -> float:
        """Return its place in the range, 0 to 1; itself, cut to that, while there is none."""
        if self.low < self.high:
            q = (q - self.low) / max(self.high - self.low, self.floor)
        return min(max(q, 0.0), 1.0)


class Search:
    """A root and what was found below it."""

    def __init__(self, root: Node, floor: float) -> None:
        self.root = root
        self.nodes = [root]
        self.bounds = Bounds(floor)

    def descend(
        self, choose: Callable[[Node], int], limit: int
    ) -> tuple[Node, int, Node | None, int]:
        """Take edges until one leads nowhere yet, to a closed node, or to the deepest level.

        Args:
            choose: names the edge to take.
            limit: most edges from the root.
        Returns:
            The last node, the edge taken there, the node it leads to if any, the depth.
        """
        node, depth = self.root, 0
        while True:
            edge, depth = choose(node), depth + 1
            child = node.children.get(edge)
            if child is None or child.closed or depth == limit:
                return node, edge, child, depth
            node = child

    def add(self, node: Node) -> None:
        """Hang a node below its parent, if it is new there."""
        if node.edge not in node.parent.children:
            node.parent.children[node.edge] = node
            self.nodes.append(node)

    def carry_up(self, leaf: Node) -> None:
        """Move the means of all nodes above a leaf."""
        gain = leaf.value
        for node in leaf.path():
            if node is not leaf:
                node.value = (node.value * node.visits + gain) / (node.visits + 1)
                node.visits += 1
            if node.parent is not None:
                self.bounds.widen(node.q)
                gain = node.reward + node.discount * gain
