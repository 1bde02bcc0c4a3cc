"""The reference tree: B searches in NumPy arrays, one Python step for each level of the descent.

Written to be read beside docs/search.md; `lz_ctree` computes the same and is the fast one.

Shape letters: B roots searched together, E edges of a node (the actions), S simulations,
K trees that are still on their way down or up.
"""

from collections.abc import Mapping

import numpy as np

from lz_ptree import checks
from lz_ptree.scores import Floats, Ints, Nodes, choose_edge, exploration_table
from lz_ptree.softmax import softmax
from lzcore.base.seeding import uniform
from lzcore.base.tree import Array, Evaluation, Leaves, SearchResult, TreeSpec

_NONE = -1


class NumpyTree:
    """A batch of PUCT searches; see `lzcore.base.tree.Tree` for the calls and their order."""

    def __init__(self, spec: TreeSpec) -> None:
        """Prepare searches of this kind; ValueError if `supports(spec)` says why not."""
        missing = self.supports(spec)
        if missing:
            raise ValueError(missing)
        self._spec = spec
        self._max_depth = spec.max_depth or spec.num_simulations
        self._exploration = exploration_table(spec)
        self._num_roots = 0  # no search is under way
        self._simulation = 0
        self._selected = False  # a select waits for its backup

    @staticmethod
    def supports(spec: TreeSpec) -> str | None:
        """Return None: every TreeSpec is supported."""
        return None

    # --- 1. the roots -----------------------------------------------------------------------------

    def start(
        self,
        evaluation: Evaluation,
        legal_actions: Array | None = None,
        to_play: Array | None = None,
        seeds: Array | None = None,
        noise: Array | None = None,
    ) -> None:
        """Begin B new searches at evaluated roots; arguments as in `lzcore.base.tree.Tree`."""
        b, e = checks.root_count(evaluation), self._spec.num_actions
        known = Evaluation(evaluation.value, evaluation.logits)
        checks.check_evaluation(known, b, e)
        allowed = np.ones((b, e), dtype=np.bool_) if legal_actions is None else legal_actions
        checks.legal(allowed, "legal_actions", (b, e))
        if to_play is not None:
            checks.players(to_play, "to_play", b)
        if seeds is not None:
            checks.counter_seeds(seeds, b)
        if noise is not None:
            checks.root_noise(noise, allowed)

        self._make_arrays(b)
        self._seeds = np.zeros(b, dtype=np.uint64) if seeds is None else seeds.copy()
        self._root_logits = evaluation.logits.astype(np.float64)
        self._node_visits[:, 0] = 1
        self._value[:, 0] = self._raw_value[:, 0] = evaluation.value
        self._to_play[:, 0] = _NONE if to_play is None else to_play
        self._logits[:, 0] = np.where(allowed, self._root_logits, -np.inf)
        self._prior[:, 0] = softmax(self._logits[:, 0])
        if noise is not None and self._spec.root_noise_weight > 0.0:
            self._mix_into_root_prior(noise)
        self._simulation, self._selected = 0, False

    def _make_arrays(self, num_roots: int) -> None:
        nodes = (num_roots, self._spec.num_simulations + 1)
        edges = (*nodes, self._spec.num_actions)
        self._num_roots = num_roots
        self._node_visits = np.zeros(nodes, dtype=np.int32)  # N
        self._value = np.zeros(nodes)  # V
        self._raw_value = np.zeros(nodes)
        self._to_play = np.full(nodes, _NONE, dtype=np.int8)
        self._parent = np.full(nodes, _NONE, dtype=np.int32)
        self._action = np.full(nodes, _NONE, dtype=np.int32)  # taken at the parent
        self._child = np.full(edges, _NONE, dtype=np.int32)
        self._edge_visits = np.zeros(edges, dtype=np.int32)  # n
        self._reward = np.zeros(edges)
        self._discount = np.zeros(edges)  # signed
        self._q_value = np.zeros(edges)
        self._logits = np.zeros(edges)  # what the prior is the softmax of; -inf: not allowed
        self._prior = np.zeros(edges)
        self._q_low = np.full(num_roots, np.inf)
        self._q_high = np.full(num_roots, -np.inf)

    def _mix_into_root_prior(self, noise: Array) -> None:
        weight = self._spec.root_noise_weight
        mixed = (1.0 - weight) * self._prior[:, 0] + weight * noise
        tiny = np.finfo(np.float64).tiny
        allowed = self._logits[:, 0] > -np.inf
        self._logits[:, 0] = np.where(allowed, np.log(np.maximum(mixed, tiny)), -np.inf)
        self._prior[:, 0] = softmax(self._logits[:, 0])

    # --- 2. down to a leaf ------------------------------------------------------------------------

    def select(self) -> Leaves:
        """Descend once in every tree and say which edge to evaluate."""
        self._check_select_is_due()
        b = self._num_roots
        self._leaf = Leaves(*np.zeros((3, b), dtype=np.int64), np.zeros(b, dtype=np.int32))
        rows, node, parent_q = np.arange(b), np.zeros(b, dtype=np.int64), np.zeros(b)
        depth = 0
        while len(rows):
            edge, mean_q = self._choose(rows, node, parent_q, is_root=depth == 0)
            depth += 1
            child = self._child[rows, node, edge]
            self._leaf.parent[rows] = node
            self._leaf.action[rows] = edge
            self._leaf.node[rows] = np.where(child == _NONE, self._simulation + 1, child)
            self._leaf.depth[rows] = depth
            on = (child != _NONE) & (depth < self._max_depth)
            sign = np.where(self._discount[rows, node, edge] < 0.0, -1.0, 1.0)
            rows, node, parent_q = rows[on], child[on], (sign * mean_q)[on]
        self._selected = True
        return self._leaf

    def _choose(
        self, rows: Ints, node: Ints, parent_q: Floats, is_root: bool
    ) -> tuple[Ints, Floats]:
        """Choose an edge at one node of each tree in `rows`, all at the same depth."""
        visit_count = self._node_visits[rows, node]
        nodes = Nodes(
            is_root=is_root,
            visit_count=visit_count,
            value=self._value[rows, node],
            to_play=self._to_play[rows, node],
            logits=self._logits[rows, node],
            prior=self._prior[rows, node],
            edge_visits=self._edge_visits[rows, node],
            q_value=self._q_value[rows, node],
            tree_q_low=self._q_low[rows],
            tree_q_high=self._q_high[rows],
            parent_q=parent_q,
            draw=uniform(self._seeds[rows], node, visit_count),
        )
        return choose_edge(self._spec, nodes, self._exploration)

    # --- 3. the leaf's evaluation, and back up ----------------------------------------------------

    def backup(self, evaluation: Evaluation) -> None:
        """Store the evaluations of the selected leaves and carry them up to the roots."""
        if not self._selected:
            raise RuntimeError("backup was called without a select before it. Call select first.")
        checks.check_evaluation(evaluation, self._num_roots, self._spec.num_actions)
        self._store(evaluation)
        self._carry_up(self._leaf.node, evaluation.value.astype(np.float64))
        self._simulation += 1
        self._selected = False

    def _store(self, evaluation: Evaluation) -> None:
        """Write the leaves, which are new, or older ones that max_depth sent us to again."""
        rows, (parent, action, node, _) = np.arange(self._num_roots), self._leaf
        self._child[rows, parent, action] = node
        self._parent[rows, node] = parent
        self._action[rows, node] = action
        self._node_visits[rows, node] += 1
        self._value[rows, node] = self._raw_value[rows, node] = evaluation.value
        allowed = True if evaluation.legal_actions is None else evaluation.legal_actions
        logits = np.where(allowed, evaluation.logits.astype(np.float64), -np.inf)
        self._logits[rows, node] = logits
        self._prior[rows, node] = softmax(logits)

        mover = self._to_play[rows, parent]
        player = _other(mover) if evaluation.to_play is None else evaluation.to_play
        self._to_play[rows, node] = player
        signed = np.where(player == mover, self._spec.discount, -self._spec.discount)
        discount = signed if evaluation.discount is None else evaluation.discount
        self._discount[rows, parent, action] = discount
        self._reward[rows, parent, action] = 0.0 if evaluation.reward is None else evaluation.reward

    def _carry_up(self, node: Ints, gain: Floats) -> None:
        """Move the mean of every node above the leaves; `gain` is what each leaf brings."""
        rows = np.arange(self._num_roots)
        while len(rows):
            parent, action = self._parent[rows, node], self._action[rows, node]
            reward = self._reward[rows, parent, action]
            discount = self._discount[rows, parent, action]
            gain = reward + discount * gain
            visits = self._node_visits[rows, parent]
            self._value[rows, parent] = (self._value[rows, parent] * visits + gain) / (visits + 1)
            self._node_visits[rows, parent] += 1
            self._edge_visits[rows, parent, action] += 1
            q = reward + discount * self._value[rows, node]
            self._q_value[rows, parent, action] = q
            self._q_low[rows] = np.minimum(self._q_low[rows], q)
            self._q_high[rows] = np.maximum(self._q_high[rows], q)
            on = parent != 0
            rows, node, gain = rows[on], parent[on], gain[on]

    # --- 4. what was found ------------------------------------------------------------------------

    def result(self) -> SearchResult:
        """Return the root statistics so far."""
        self._check_started("result")
        return SearchResult(
            visit_count=self._edge_visits[:, 0].copy(),
            value=self._value[:, 0].copy(),
            q_value=self._q_value[:, 0].copy(),
            raw_value=self._raw_value[:, 0].copy(),
            prior_logits=self._root_logits.copy(),
        )

    def snapshot(self) -> Mapping[str, Array]:
        """Return the whole trees; logits are -inf where an edge is not allowed, without noise."""
        self._check_started("snapshot")
        logits = self._logits.copy()
        logits[:, 0] = np.where(logits[:, 0] > -np.inf, self._root_logits, -np.inf)
        return {
            "node_visits": self._node_visits.copy(),
            "node_values": self._value.copy(),
            "raw_values": self._raw_value.copy(),
            "parents": self._parent.copy(),
            "action_from_parent": self._action.copy(),
            "edge_visits": self._edge_visits.copy(),
            "edge_rewards": self._reward.copy(),
            "edge_discounts": self._discount.copy(),
            "logits": logits,
        }

    # --- the order of calls -----------------------------------------------------------------------

    def _check_select_is_due(self) -> None:
        self._check_started("select")
        if self._selected:
            raise RuntimeError("select was called twice. Call backup between two selects.")
        if self._simulation == self._spec.num_simulations:
            raise RuntimeError(
                f"select was called after all {self._simulation} simulations. "
                "Call result, or start the next search."
            )

    def _check_started(self, call: str) -> None:
        if not self._num_roots:
            raise RuntimeError(f"{call} was called before start. Call start with the roots first.")


def _other(player: Ints) -> Ints:
    """The player who moves next: players 1 and 2 alternate, one player goes on."""
    return np.where(player == _NONE, player, 3 - player)
