"""A batch of searches behind the calls of `lzcore.base.Tree`.

Shape letters: B roots searched together, A actions, M nodes of a search at most.
"""

from collections.abc import Mapping

import attrs
import numpy as np

from lzcore.base import (
    Evaluation,
    Leaves,
    Reuse,
    SearchResult,
    TreeSpec,
    check_backup,
    check_start,
)
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
        """Begin B new searches; the seeds are not read, as nothing is drawn."""
        legal = check_start(self.spec, evaluation, legal_actions, to_play, seeds, noise, reuse)
        count = len(legal)
        players = np.full(count, -1) if to_play is None else to_play
        prior = _prior(evaluation, legal, np.ones(count, bool))
        if noise is not None:
            share = self.spec.root_noise_weight
            prior = np.where(legal, (1.0 - share) * prior + share * noise, 0.0)
        self._logits = evaluation.logits.astype(np.float64)
        self._reuse = reuse or Reuse(np.full(count, -1), np.zeros(count))
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
        self._told = Leaves(
            parent=np.array([parent.number for parent, *_ in self._leaves]),
            action=np.array([edge for _, edge, *_ in self._leaves]),
            node=np.array([own if at is None else at.number for *_, at, _ in self._leaves]),
            depth=np.array([depth for *_, depth in self._leaves], np.int32),
            is_outcome=np.zeros(len(self._leaves), bool),
            needs_evaluation=np.array([at is None or not at.closed for *_, at, _ in self._leaves]),
            vector=None,
        )
        return self._told

    def backup(self, evaluation: Evaluation) -> None:
        """Store the evaluations of the selected leaves and carry them up to the roots."""
        self._require(self._leaves, "backup", "call select before it")
        check_backup(self.spec, evaluation, self._told, len(self._leaves))
        needed = self._told.needs_evaluation
        legal, over = evaluation.legal_actions, evaluation.terminal
        legal = np.ones(self._logits.shape, bool) if legal is None else legal
        over = ~needed if over is None else over
        prior = _prior(evaluation, legal, needed & ~over)
        self._simulation += 1
        for row, (search, leaf) in enumerate(zip(self._searches, self._leaves, strict=True)):
            parent, edge, node, _ = leaf
            if node is not None and node.closed:
                node.visits += 1
            else:
                node = node or Node(self._simulation, parent, edge)
                self._write(node, evaluation, row, prior[row], bool(over[row]))
                search.add(node)
            search.carry_up(node)
        self._evaluations += needed
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
        if node.parent.number == 0 and node.edge == self._reuse.action[row]:
            node.value, node.closed = float(self._reuse.value[row]), True

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


def _prior(told: Evaluation, legal: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Return priors (B, A): 0 where an action is not legal, and in rows that are not `live`."""
    prior = np.zeros(legal.shape)
    prior[live] = masked_softmax(told.logits[live], legal[live])
    return prior
