"""A batch of searches behind the calls of `lzcore.base.Tree`.

Shape letters: B roots searched together, A actions, M nodes of a search at most.
"""

from collections.abc import Mapping

import attrs
import numpy as np

from lzcore.base import Evaluation, Leaves, Reuse, SearchResult, TreeSpec
from lzcore.search import masked_softmax
from uct_tree.rule import choose
from uct_tree.search import Node, Search

_PLAIN = {  # what this tree supports, by the names of TreeSpec
    "rule": "puct",
    "value_prefix": False,
    "num_chance_outcomes": 0,
    "num_sampled_actions": 0,
    "root_expand_all": False,
}


class UctTree:
    """Searches one after another; see `lzcore.base.Tree` for the calls and their order."""

    def __init__(self, spec: TreeSpec) -> None:
        """Prepare searches of this kind; ValueError if `supports(spec)` says why not."""
        missing = self.supports(spec)
        if missing:
            raise ValueError(missing)
        self.spec = spec
        self._searches: list[Search] = []
        self._leaves: list[tuple[Node, int, Node | None, int]] = []  # that wait for a backup
        self._simulation = 0

    @staticmethod
    def supports(spec: TreeSpec) -> str | None:
        """Return None if this tree can run `spec`, else one line that says what it lacks."""
        asked = {name: value for name, value in attrs.asdict(spec).items() if name in _PLAIN}
        lacking = [f"{name} {value!r}" for name, value in asked.items() if value != _PLAIN[name]]
        return f"it has no {', '.join(lacking)}" if lacking else None

    def start(
        self,
        evaluation: Evaluation,
        legal_actions: np.ndarray | None = None,
        to_play: np.ndarray | None = None,
        seeds: np.ndarray | None = None,
        noise: np.ndarray | None = None,
        reuse: Reuse | None = None,
    ) -> None:
        """Begin B new searches; the seeds are not read, as nothing is drawn.

        Raises:
            ValueError: the message names the argument.
        """
        if reuse is not None:
            raise ValueError("reuse is given, and this tree has none. Leave it out.")
        count, actions = len(evaluation.value), self.spec.num_actions
        legal = np.ones((count, actions), bool) if legal_actions is None else legal_actions
        _check("legal_actions", legal, (count, actions))
        players = np.full(count, -1) if to_play is None else to_play
        prior = _prior(evaluation, legal)
        if noise is not None:
            _check("noise", noise, (count, actions))
            share = self.spec.root_noise_weight
            prior = np.where(legal, (1.0 - share) * prior + share * noise, 0.0)
        self._logits = evaluation.logits[:, :actions].astype(np.float64)
        self._searches, self._leaves, self._simulation = [], [], 0
        for row in range(count):
            root = Node(0)
            root.evaluate(float(evaluation.value[row]), int(players[row]), prior[row], False)
            self._searches.append(Search(root, self.spec.range_floor))
        self._evaluations = np.zeros(count, np.int32)

    def select(self) -> Leaves:
        """Descend once in every tree and say which edge to evaluate."""
        self._require(self._searches, "select", "start it with the roots first")
        self._require(not self._leaves, "select", "call backup between two selects")
        self._require(self._simulation < self.spec.num_simulations, "select", "all are done")
        limit = self.spec.depth_limit
        for search in self._searches:
            leaf = search.descend(lambda node, s=search: choose(node, s.bounds, self.spec), limit)
            self._leaves.append(leaf)
        own = self._simulation + 1  # the number of this simulation's node
        return Leaves(
            parent=np.array([parent.number for parent, *_ in self._leaves]),
            action=np.array([edge for _, edge, *_ in self._leaves]),
            node=np.array([own if at is None else at.number for *_, at, _ in self._leaves]),
            depth=np.array([depth for *_, depth in self._leaves], np.int32),
            is_outcome=np.zeros(len(self._leaves), bool),
            needs_evaluation=np.array([at is None or not at.over for *_, at, _ in self._leaves]),
            vector=None,
        )

    def backup(self, evaluation: Evaluation) -> None:
        """Store the evaluations of the selected leaves and carry them up to the roots."""
        self._require(self._leaves, "backup", "call select before it")
        legal = evaluation.legal_actions
        rows = (len(self._leaves), self.spec.num_actions)
        legal = np.ones(rows, bool) if legal is None else legal[:, : rows[1]]
        known = np.array([at is not None and at.over for *_, at, _ in self._leaves])
        over = known if evaluation.terminal is None else known | evaluation.terminal
        prior = _prior(evaluation, legal, over)
        self._simulation += 1
        for row, (search, leaf) in enumerate(zip(self._searches, self._leaves, strict=True)):
            parent, edge, node, _ = leaf
            if known[row]:
                node.visits += 1
            else:
                node = node or Node(self._simulation, parent, edge)
                self._write(node, evaluation, row, prior[row], bool(over[row]))
                if edge not in parent.children:
                    search.add(node)
            search.carry_up(node)
        self._evaluations += ~known
        self._leaves = []

    def _write(self, node: Node, told: Evaluation, row: int, prior: np.ndarray, over: bool) -> None:
        """Write one evaluation into its node."""
        mover = node.parent.to_play
        after = mover if mover == -1 else 3 - mover  # two players take turns
        player = after if told.to_play is None else int(told.to_play[row])
        sign = 1.0 if player == mover else -1.0
        given = told.discount
        node.discount = sign * self.spec.discount if given is None else float(given[row])
        node.reward = 0.0 if told.reward is None else float(told.reward[row])
        node.evaluate(float(told.value[row]), player, prior, over)

    def result(self) -> SearchResult:
        """Return the root statistics so far."""
        self._require(self._searches, "result", "start it with the roots first")
        visits = np.zeros(self._logits.shape, np.int32)
        q_value = np.zeros(self._logits.shape)
        for row, search in enumerate(self._searches):
            for edge, child in search.root.children.items():
                visits[row, edge], q_value[row, edge] = child.visits, child.q
        roots = [search.root for search in self._searches]
        return SearchResult(
            visit_count=visits,
            value=np.array([root.value for root in roots]),
            q_value=q_value,
            raw_value=np.array([root.raw_value for root in roots]),
            prior_logits=self._logits.copy(),
            num_evaluations=self._evaluations.copy(),
        )

    def snapshot(self) -> Mapping[str, np.ndarray]:
        """Return the whole trees as arrays: of nodes (B, M), of edges (B, M, A)."""
        self._require(self._searches, "snapshot", "start it with the roots first")
        nodes = (len(self._searches), self.spec.num_nodes)
        edges = (*nodes, self.spec.num_actions)
        found = {
            "node_visits": np.zeros(nodes, np.int32),
            "node_values": np.zeros(nodes),
            "raw_values": np.zeros(nodes),
            "to_play": np.full(nodes, -1, np.int8),
            "is_chance": np.zeros(nodes, bool),
            "terminal": np.zeros(nodes, bool),
            "parents": np.full(nodes, -1, np.int32),
            "action_from_parent": np.full(nodes, -1, np.int32),
            "edge_visits": np.zeros(edges, np.int32),
            "edge_rewards": np.zeros(edges),
            "edge_discounts": np.zeros(edges),
            "prior": np.zeros(edges),
        }
        for row, search in enumerate(self._searches):
            for node in search.nodes:
                _show(node, row, found)
        return found

    def _require(self, fine: object, call: str, remedy: str) -> None:
        if not fine:
            raise RuntimeError(f"{call} was called out of turn; {remedy}.")


def _show(node: Node, row: int, found: dict[str, np.ndarray]) -> None:
    """Write one node into the arrays of a snapshot."""
    at = row, node.number
    found["node_visits"][at], found["node_values"][at] = node.visits, node.value
    found["raw_values"][at], found["to_play"][at] = node.raw_value, node.to_play
    found["terminal"][at], found["prior"][at] = node.over, node.prior
    if node.parent is not None:
        above = row, node.parent.number, node.edge
        found["parents"][at], found["action_from_parent"][at] = above[1:]
        found["edge_visits"][above] = node.visits
        found["edge_rewards"][above] = node.reward
        found["edge_discounts"][above] = node.discount


# --- arrays ---------------------------------------------------------------------------------------


def _prior(told: Evaluation, legal: np.ndarray, over: np.ndarray | None = None) -> np.ndarray:
    """Return priors (B, A), 0 where an action is not legal and in the rows that are `over`.

    Raises:
        ValueError: a number is not finite, or nothing is legal.
    """
    live = np.ones(len(legal), bool) if over is None else ~over
    _check("evaluation.value", told.value, (len(legal),))
    for name in ("value", "logits", "reward"):
        given = getattr(told, name)
        if given is not None and not np.isfinite(given[live]).all():
            row = int(np.flatnonzero(live & ~np.isfinite(given).reshape(len(live), -1).all(1))[0])
            raise ValueError(f"evaluation.{name} is not finite at root {row}; expected numbers.")
    if not legal[live].any(axis=1).all():
        row = int(np.flatnonzero(live & ~legal.any(axis=1))[0])
        raise ValueError(f"No action is legal at root {row}; expected one at least.")
    prior = np.zeros(legal.shape)
    prior[live] = masked_softmax(told.logits[live, : legal.shape[1]], legal[live])
    return prior


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; expected {shape}, a row for each root.")
