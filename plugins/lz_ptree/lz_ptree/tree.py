"""The reference tree: B searches in NumPy arrays, one Python step for each level of the descent.

Written to be read beside docs/search.md; `lz_ctree` computes the same and is the fast one.

Shape letters: B roots searched together, R leaves evaluated together (row r belongs to root
r % B), E edges of a decision node, A actions, X the longer of E and the chance outcomes,
S simulations, J trees that are still on their way down, N leaves that were evaluated.
"""

from collections.abc import Mapping

import numpy as np

from lz_ptree import gumbel
from lz_ptree.arrays import NONE, Forest, as_vectors
from lz_ptree.chance import choose_outcome, outcome_draw
from lz_ptree.functions import Flags, Floats, Ints
from lz_ptree.nodes import Nodes
from lz_ptree.scores import choose_edge, exploration_table
from lzcore.base.seeding import uniform
from lzcore.base.tree import Array, Evaluation, Leaves, Reuse, SearchResult
from lzcore.base.treechecks import check_backup, check_start
from lzcore.base.treespec import TreeSpec


class NumpyTree:
    """A batch of searches; see `lzcore.base.tree.Tree` for the calls and their order."""

    def __init__(self, spec: TreeSpec) -> None:
        """Prepare searches of this kind; ValueError if `supports(spec)` says why not."""
        missing = self.supports(spec)
        if missing:
            raise ValueError(missing)
        self.spec = spec
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
        reuse: Reuse | None = None,
    ) -> None:
        """Begin B new searches at evaluated roots; arguments as in `lzcore.base.tree.Tree`."""
        allowed = check_start(self.spec, evaluation, legal_actions, to_play, seeds, noise, reuse)
        b = len(allowed)
        own_seeds = np.zeros(b, dtype=np.uint64) if seeds is None else seeds.copy()
        self._forest = f = Forest(self.spec, b, own_seeds)
        f.visit_count[:, 0] = 1
        f.value[:, 0] = f.raw_value[:, 0] = evaluation.value
        f.to_play[:, 0] = NONE if to_play is None else to_play
        self._logits = evaluation.logits.astype(np.float64)
        self._write_root_edges(allowed, evaluation.actions, noise)
        self._reuse_action = np.full(b, NONE) if reuse is None else reuse.action.copy()
        self._reuse_value = np.zeros(b) if reuse is None else reuse.value.astype(np.float64)
        self._num_evaluations = np.zeros(b, dtype=np.int32)
        self._num_roots, self._simulation, self._selected = b, 0, False
        self._expand_root = self.spec.root_expand_all  # the next select names all root edges

    def _write_root_edges(self, allowed: Flags, actions: Array | None, noise: Array | None) -> None:
        """Write the priors of the roots, and put the noise where the rule wants it."""
        b, e, f = len(self._logits), self.spec.num_edges, self._forest
        rows, node = np.arange(b), np.zeros(b, dtype=np.int64)
        logits = f.write_edges(rows, node, self._logits, allowed, actions)
        self._root_edge_logits = logits[:, :e]  # (B, E)
        if self.spec.rule == "gumbel":
            gumbels = np.zeros((b, e)) if noise is None else noise.astype(np.float64)
            self._halving = gumbel.plan_halving(
                self.spec, self._root_edge_logits, f.allowed[:, 0, :e], gumbels
            )
        elif noise is not None and self.spec.root_noise_weight > 0.0:
            f.mix_into_root(noise.astype(np.float64))

    # --- 2. down to a leaf ------------------------------------------------------------------------

    def select(self) -> Leaves:
        """Descend once in every tree and say which edge to evaluate."""
        self._check_select_is_due()
        self._edge, self._leaf = self._all_root_edges() if self._expand_root else self._descend()
        self._selected = True
        # copies: whatever the caller writes to them does not reach the search
        return Leaves._make(None if field is None else field.copy() for field in self._leaf)

    def _all_root_edges(self) -> tuple[Ints, Leaves]:
        """Name edge k of root b in row k * B + b; no evaluation where it is not allowed."""
        b, e = self._num_roots, self.spec.num_edges
        edge = np.repeat(np.arange(e), b)
        root, zeros = np.tile(np.arange(b), e), np.zeros(e * b, dtype=np.int64)
        allowed = self._forest.allowed[root, 0, edge]
        return edge, self._leaves(root, zeros, edge, edge + 1, zeros + 1, allowed)

    def _descend(self) -> tuple[Ints, Leaves]:
        """Take the best edges from every root, level by level."""
        b, f = self._num_roots, self._forest
        parent, edge, leaf, depths = np.zeros((4, b), dtype=np.int64)
        needed = np.ones(b, dtype=np.bool_)
        rows, node, parent_q = np.arange(b), np.zeros(b, dtype=np.int64), np.zeros(b)
        depth = 0
        while len(rows):
            taken, mean_q = self._choose(rows, node, parent_q, is_root=depth == 0)
            depth += 1
            child = f.child[rows, node, taken]
            exists = child != NONE
            closed = exists & f.closed[rows, child]
            parent[rows], edge[rows], depths[rows] = node, taken, depth
            leaf[rows] = np.where(exists, child, self.spec.num_root_nodes + self._simulation)
            needed[rows] = ~closed
            on = exists & ~closed & (depth < self.spec.depth_limit)
            sign = np.where(f.discount[rows, node, taken] < 0.0, -1.0, 1.0)
            rows, node, parent_q = rows[on], child[on].astype(np.int64), (sign * mean_q)[on]
        return edge, self._leaves(np.arange(b), parent, edge, leaf, depths, needed)

    def _leaves(
        self, root: Ints, parent: Ints, edge: Ints, node: Ints, depth: Ints, needed: Flags
    ) -> Leaves:
        """Say in the words of the contract where R edges lead."""
        f = self._forest
        is_outcome = f.is_chance[root, parent]
        action, vector = edge.copy(), None
        if f.actions is not None and self.spec.is_continuous:
            vector = f.actions[root, parent, edge]
        elif f.actions is not None:
            slot = np.where(is_outcome, 0, edge)
            action = np.where(is_outcome, edge, f.actions[root, parent, slot])
        return Leaves(parent, action, node, depth.astype(np.int32), is_outcome, needed, vector)

    def _choose(
        self, rows: Ints, node: Ints, parent_q: Floats, is_root: bool
    ) -> tuple[Ints, Floats]:
        """(J,) edges of one node of each tree in `rows`, and (J,) means for the nodes below.

        A chance node has no such mean; it hands down that of the decision node above.
        """
        chance = self._forest.is_chance[rows, node]
        if not chance.any():
            return self._choose_action(rows, node, parent_q, is_root)
        edge, mean_q = np.zeros(len(rows), dtype=np.int64), parent_q.copy()
        edge[chance] = self._choose_outcome(rows[chance], node[chance])
        if not chance.all():
            rest = ~chance
            edge[rest], mean_q[rest] = self._choose_action(
                rows[rest], node[rest], parent_q[rest], is_root
            )
        return edge, mean_q

    def _choose_action(
        self, rows: Ints, node: Ints, parent_q: Floats, is_root: bool
    ) -> tuple[Ints, Floats]:
        nodes = self._nodes(rows, node, parent_q, is_root)
        if self.spec.rule == "puct":
            return choose_edge(self.spec, nodes, self._exploration)
        if is_root:
            edge = gumbel.choose_at_root(self.spec, nodes, self._halving, self._simulation)
        else:
            edge = gumbel.choose_below_root(self.spec, nodes)
        return edge, parent_q

    def _choose_outcome(self, rows: Ints, node: Ints) -> Ints:
        c, f = self.spec.num_chance_outcomes, self._forest
        return choose_outcome(
            self.spec,
            allowed=f.allowed[rows, node, :c],
            prior=f.prior[rows, node, :c],
            edge_visits=f.edge_visits[rows, node, :c],
            draw=outcome_draw(f.seeds[rows], node, f.visit_count[rows, node]),
        )

    def _nodes(self, rows: Ints, node: Ints, parent_q: Floats, is_root: bool) -> Nodes:
        """Show one decision node of each tree in `rows`, all at the same depth, to a rule."""
        e, f = self.spec.num_edges, self._forest
        visit_count = f.visit_count[rows, node]
        visited = f.child[rows, node, :e] != NONE
        is_known = np.zeros(visited.shape, dtype=np.bool_)
        if is_root:
            is_known = visited & (np.arange(e) == self._reuse_action[rows][:, None])
        return Nodes(
            is_root=is_root,
            visit_count=visit_count,
            value=f.value[rows, node],
            raw_value=f.raw_value[rows, node],
            to_play=f.to_play[rows, node],
            allowed=f.allowed[rows, node, :e],
            weight=f.weight[rows, node, :e],
            prior=f.prior[rows, node, :e],
            visited=visited,
            edge_visits=f.edge_visits[rows, node, :e],
            q_value=f.q_value[rows, node, :e],
            tree_q_low=f.q_low[rows],
            tree_q_high=f.q_high[rows],
            parent_q=parent_q,
            draw=uniform(f.seeds[rows], node, visit_count),
            is_known=is_known,
        )

    # --- 3. the leaf's evaluation, and back up ----------------------------------------------------

    def backup(self, evaluation: Evaluation) -> None:
        """Store the evaluations of the selected leaves and carry them up to the roots."""
        if not self._selected:
            raise RuntimeError("backup was called without a select before it. Call select first.")
        b, f, leaf = self._num_roots, self._forest, self._leaf
        root = np.arange(len(leaf.node)) % b
        check_backup(self.spec, evaluation, leaf, b)
        read = np.flatnonzero(leaf.needs_evaluation)
        self._store(_rows(evaluation, read), root[read], leaf.parent[read], read)
        self._num_evaluations += leaf.needs_evaluation.reshape(-1, b).sum(axis=0, dtype=np.int32)
        if self._expand_root:
            f.update_q(root[read], leaf.parent[read], self._edge[read])
            self._expand_root = False
        else:
            known = np.flatnonzero(~leaf.needs_evaluation)
            f.visit_count[known, leaf.node[known]] += 1
            f.carry_up(leaf.node)
            self._simulation += 1
        self._selected = False

    def _store(self, told: Evaluation, root: Ints, parent: Ints, read: Ints) -> None:
        """Write N leaves, which are new, or older ones that max_depth sent us to again.

        Args:
            told: of these N.
            root: (N,) whose they are.
            parent: (N,) nodes above them.
            read: (N,) their rows among all that were selected.
        """
        f, edge, node = self._forest, self._edge[read], self._leaf.node[read]
        f.child[root, parent, edge] = node
        f.parent[root, node] = parent
        f.edge_from_parent[root, node] = edge
        f.visit_count[root, node] += 1
        f.value[root, node] = f.raw_value[root, node] = told.value
        over = np.zeros(len(root), dtype=np.bool_) if told.terminal is None else told.terminal
        f.terminal[root, node] = f.closed[root, node] = over
        by_default = ~f.is_chance[root, parent] & (self.spec.num_chance_outcomes > 0)
        f.is_chance[root, node] = by_default if told.is_chance is None else told.is_chance
        self._store_step(told, root, parent, read)
        self._store_edges(told, root, node, over)

        given = (parent == 0) & (edge == self._reuse_action[root])
        f.value[root[given], node[given]] = self._reuse_value[root[given]]
        f.closed[root[given], node[given]] = True

    def _store_step(self, told: Evaluation, root: Ints, parent: Ints, read: Ints) -> None:
        """Write who moves at N leaves, and reward and discount of the edges to them."""
        f, edge, node = self._forest, self._edge[read], self._leaf.node[read]
        is_chance, mover = f.is_chance[root, node], f.to_play[root, parent]
        player = told.to_play
        if player is None:
            player = np.where(is_chance, mover, _other(mover))
        f.to_play[root, node] = player
        discount = told.discount
        if discount is None:
            sign = np.where(player == mover, 1.0, -1.0)
            discount = np.where(is_chance, 1.0, self.spec.discount) * sign
        f.discount[root, parent, edge] = discount
        reward = np.zeros(len(root)) if told.reward is None else told.reward.astype(np.float64)
        if self.spec.value_prefix:
            f.value_prefix[root, node] = reward
            f.is_reset[root, node] = self._leaf.depth[read] % self.spec.lstm_horizon_len == 0
            so_far = np.where(f.is_reset[root, parent], 0.0, f.value_prefix[root, parent])
            reward = reward - so_far
        f.reward[root, parent, edge] = reward

    def _store_edges(self, told: Evaluation, root: Ints, node: Ints, over: Flags) -> None:
        """Write the priors of N leaves; where the game is over there are no edges."""
        f, on = self._forest, ~over
        f.clear_edges(root, node)
        legal = np.ones((len(root), self.spec.num_choices), dtype=np.bool_)
        if told.legal_actions is not None:
            legal = told.legal_actions
        f.write_edges(
            root[on],
            node[on],
            told.logits[on].astype(np.float64),
            legal[on],
            None if told.actions is None else told.actions[on],
        )

    # --- 4. what was found ------------------------------------------------------------------------

    def result(self) -> SearchResult:
        """Return the root statistics so far."""
        self._check_started("result")
        e, f = self.spec.num_edges, self._forest
        found = SearchResult(
            visit_count=f.edge_visits[:, 0, :e].copy(),
            value=f.value[:, 0].copy(),
            q_value=f.q_value[:, 0, :e].copy(),
            raw_value=f.raw_value[:, 0].copy(),
            prior_logits=self._logits[:, : self.spec.num_actions or None].copy(),
            num_evaluations=self._num_evaluations.copy(),
            sampled_actions=None if f.actions is None else as_vectors(f.actions[:, 0]).copy(),
        )
        return found if self.spec.rule == "puct" else self._with_outcome(found)

    def _with_outcome(self, found: SearchResult) -> SearchResult:
        """Add what only the rule `gumbel` finds out."""
        b = self._num_roots
        nodes = self._nodes(np.arange(b), np.zeros(b, dtype=np.int64), np.zeros(b), is_root=True)
        mixed = gumbel.mixed_value(self.spec, nodes)
        return found._replace(
            improved_policy=gumbel.improved_policy(self.spec, nodes, self._root_edge_logits),
            completed_q=gumbel.completed_q(nodes, mixed),
            best_edge=gumbel.best_at_root(self.spec, nodes, self._halving),
        )

    def snapshot(self) -> Mapping[str, Array]:
        """Return the whole trees as arrays of their own."""
        self._check_started("snapshot")
        return self._forest.snapshot()

    # --- the order of calls -----------------------------------------------------------------------

    def _check_select_is_due(self) -> None:
        self._check_started("select")
        if self._selected:
            raise RuntimeError("select was called twice. Call backup between two selects.")
        if self._simulation == self.spec.num_simulations:
            raise RuntimeError(
                f"select was called after all {self._simulation} simulations. "
                "Call result, or start the next search."
            )

    def _check_started(self, call: str) -> None:
        if not self._num_roots:
            raise RuntimeError(f"{call} was called before start. Call start with the roots first.")


def _rows(evaluation: Evaluation, read: Ints) -> Evaluation:
    """The rows of an evaluation that are read."""
    return Evaluation._make(None if array is None else array[read] for array in evaluation)


def _other(player: Ints) -> Ints:
    """The player who moves next: players 1 and 2 alternate, one player goes on."""
    return np.where(player == NONE, player, 3 - player)
