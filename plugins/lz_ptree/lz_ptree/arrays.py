"""The trees as arrays: what is stored of nodes and edges, and how it changes.

Shape letters: B roots searched together, M nodes of a tree, X edges of a node (of a decision node
the first E, of a chance node the first C), W numbers in a row of logits, K slots of sampled
actions, D numbers of a continuous action, N nodes written together, J trees still on their way up.
"""

from collections.abc import Mapping

import numpy as np

from lz_ptree.functions import Flags, Floats, Ints, sum_in_lanes, sum_in_order, weights_of
from lz_ptree.sampling import NO_ACTION, Slots, continuous_slots, discrete_slots
from lzcore.base.seeding import Seeds
from lzcore.base.tree import Array
from lzcore.base.treespec import TreeSpec

NONE = -1


class Forest:
    """B trees of the same size, which share nothing but the arrays they are stored in."""

    def __init__(self, spec: TreeSpec, num_roots: int, seeds: Seeds) -> None:
        """Make room for B trees that have no node yet."""
        nodes = (num_roots, spec.num_nodes)
        edges = (*nodes, max(spec.num_edges, spec.num_chance_outcomes))
        self.spec = spec
        self.seeds = seeds  # (B,)
        self.visit_count = np.zeros(nodes, dtype=np.int32)  # N
        self.value = np.zeros(nodes)  # V
        self.raw_value = np.zeros(nodes)
        self.to_play = np.full(nodes, NONE, dtype=np.int8)
        self.is_chance = np.zeros(nodes, dtype=np.bool_)
        self.terminal = np.zeros(nodes, dtype=np.bool_)
        self.closed = np.zeros(nodes, dtype=np.bool_)  # a descent ends here without an evaluation
        self.parent = np.full(nodes, NONE, dtype=np.int32)
        self.edge_from_parent = np.full(nodes, NONE, dtype=np.int32)
        self.value_prefix = np.zeros(nodes)  # sum of rewards since the last reset
        self.is_reset = np.zeros(nodes, dtype=np.bool_)  # the sum starts anew below
        self.child = np.full(edges, NONE, dtype=np.int32)
        self.edge_visits = np.zeros(edges, dtype=np.int32)  # n
        self.reward = np.zeros(edges)
        self.discount = np.zeros(edges)  # signed
        self.q_value = np.zeros(edges)
        self.allowed = np.zeros(edges, dtype=np.bool_)
        self.weight = np.zeros(edges)  # exp(logit - largest), 0 where not allowed
        self.prior = np.zeros(edges)  # weight / the lane sum of the weights
        self.q_low = np.full(num_roots, np.inf)
        self.q_high = np.full(num_roots, -np.inf)
        self.actions: Array | None = None  # of the slots, where actions are sampled
        if spec.is_continuous:
            self.actions = np.zeros((*nodes, spec.num_edges, spec.action_dim), dtype=np.float32)
        elif spec.is_sampled:
            self.actions = np.full((*nodes, spec.num_edges), NO_ACTION, dtype=np.int64)

    # --- the edges of nodes -----------------------------------------------------------------------

    def clear_edges(self, root: Ints, node: Ints) -> None:
        """Make N nodes such that lead nowhere; what was known of their edges is forgotten."""
        self.allowed[root, node] = False
        self.weight[root, node] = self.prior[root, node] = 0.0
        if self.actions is not None:
            self.actions[root, node] = 0 if self.spec.is_continuous else NO_ACTION

    def write_edges(
        self,
        root: Ints,
        node: Ints,
        logits: Floats,
        legal: Flags,
        given: Array | None,
    ) -> Floats:
        """Write the priors of N evaluated nodes, sampling their actions where asked to.

        Args:
            root: (N,) which tree.
            node: (N,) which node of it; its kind is known already.
            logits: (N, W) as evaluated.
            legal: (N, max(A, C)) what the rules allow there; (N, A) will do for decision nodes.
            given: (N, K, D) or (N, K) actions that the caller sampled, or None.
        Returns:
            (N, X) the logits of the edges, 0 where not allowed.
        """
        row = np.zeros((len(root), self.child.shape[2]))
        allowed = np.zeros(row.shape, dtype=np.bool_)
        of_chance = self.is_chance[root, node]
        c, e = self.spec.num_chance_outcomes, self.spec.num_edges
        if of_chance.any():
            row[of_chance, :c] = logits[of_chance, :c]
            allowed[of_chance, :c] = legal[of_chance, :c]
        rest = ~of_chance
        drawn = None if given is None else given[rest]
        slots = self._slots(root[rest], node[rest], logits[rest], legal[rest], drawn)
        row[rest, :e], allowed[rest, :e] = slots.logits, slots.allowed
        if self.actions is not None:
            self.actions[root[rest], node[rest]] = slots.actions
        self.allowed[root, node] = allowed
        self.set_weights(root, node, weights_of(row, allowed))
        return np.where(allowed, row, 0.0)

    def _slots(
        self, root: Ints, node: Ints, logits: Floats, legal: Flags, given: Array | None
    ) -> Slots:
        """The E edges of decision nodes: the actions, or those that are sampled."""
        a = self.spec.num_actions
        if not self.spec.is_sampled:
            return Slots(logits[:, :a], legal[:, :a], np.arange(a))
        if self.spec.is_continuous:
            return continuous_slots(self.spec, self.seeds[root], node, logits, given)
        return discrete_slots(self.spec, self.seeds[root], node, logits[:, :a], legal[:, :a], given)

    def set_weights(self, root: Ints, node: Ints, weight: Floats) -> None:
        """Store the (N, X) weights of a row and the prior they make."""
        self.weight[root, node] = weight
        self.prior[root, node] = weight / sum_in_lanes(weight)[:, None]

    def mix_into_root(self, noise: Floats) -> None:
        """Mix (B, E) noise into the prior of the roots, on its edges that hold an action.

        Over sampled actions, what noise there is on empty slots is dropped, and the rest divided
        by its sum in order. Where nothing is left, the prior stays as it is.
        """
        root, node = np.arange(len(noise)), np.zeros(len(noise), dtype=np.int64)
        allowed = self.allowed[:, 0, : noise.shape[1]]
        noise = np.where(allowed, noise, 0.0)
        if self.spec.is_sampled:
            total = sum_in_order(noise)
            root, node = root[total > 0.0], node[total > 0.0]
            noise = noise[root] / total[root][:, None]
        share, e = self.spec.root_noise_weight, noise.shape[1]
        weight = np.zeros((len(root), self.weight.shape[2]))
        weight[:, :e] = (1.0 - share) * self.prior[root, 0, :e] + share * noise
        self.set_weights(root, node, weight)

    # --- values -----------------------------------------------------------------------------------

    def update_q(self, root: Ints, parent: Ints, edge: Ints) -> None:
        """Compute the q-values of edges anew, and widen the range that their trees have seen."""
        child = self.child[root, parent, edge]
        reward, discount = self.reward[root, parent, edge], self.discount[root, parent, edge]
        q = reward + discount * self.value[root, child]
        self.q_value[root, parent, edge] = q
        np.minimum.at(self.q_low, root, q)
        np.maximum.at(self.q_high, root, q)

    def carry_up(self, node: Ints) -> None:
        """Move the means of all nodes above (B,) leaves, which bring their own value."""
        root, gain = np.arange(len(node)), self.value[np.arange(len(node)), node]
        while len(root):
            parent, edge = self.parent[root, node], self.edge_from_parent[root, node]
            gain = self.reward[root, parent, edge] + self.discount[root, parent, edge] * gain
            visits = self.visit_count[root, parent]
            self.value[root, parent] = (self.value[root, parent] * visits + gain) / (visits + 1)
            self.visit_count[root, parent] += 1
            self.edge_visits[root, parent, edge] += 1
            self.update_q(root, parent, edge)
            on = parent != 0
            root, node, gain = root[on], parent[on], gain[on]

    # --- for inspection ---------------------------------------------------------------------------

    def snapshot(self) -> Mapping[str, Array]:
        """Return copies of what `lzcore.base.tree.Tree.snapshot` names."""
        named: dict[str, Array] = {
            "node_visits": self.visit_count,
            "node_values": self.value,
            "raw_values": self.raw_value,
            "to_play": self.to_play,
            "is_chance": self.is_chance,
            "terminal": self.terminal,
            "parents": self.parent,
            "action_from_parent": self.edge_from_parent,
            "edge_visits": self.edge_visits,
            "edge_rewards": self.reward,
            "edge_discounts": self.discount,
            "prior": self.prior,
        }
        if self.spec.value_prefix:
            named |= {"value_prefix": self.value_prefix, "is_reset": self.is_reset}
        if self.actions is not None:
            named["sampled_actions"] = as_vectors(self.actions)
        return {name: array.copy() for name, array in named.items()}


def as_vectors(actions: Array) -> Array:
    """Give (.., K) actions a last axis of 1; vectors have theirs."""
    return actions[..., None] if actions.dtype == np.int64 else actions
