"""What a search plans in: the latent states of a learned model, with or without chance.

`lzcore.search.simulated` plans with the rules of a game instead.

Shape letters: B roots, R leaves evaluated together (B, or B * E where all edges of the roots are),
E edges of a decision node, W numbers in a row of logits.
"""

from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from lzcore.base.errors import ConfigError
from lzcore.base.tree import Array, Evaluation, Leaves, Tree
from lzcore.search.inference import Inference, State
from lzcore.search.pool import Pool
from lzcore.search.rows import spread


class Dynamics(Protocol):
    """Evaluates the roots and the leaves of one search after another.

    Row r of the leaves belongs to root r % B. State is kept by node and root: what a leaf's
    `parent` leads to by `action` (or `vector`) is remembered under its `node`.
    """

    def root(self, observation: Any) -> Evaluation:
        """Evaluate B observed states and remember them as node 0.

        What is said of legal_actions and to_play counts where `search` is not told otherwise.
        """

    def expand(self, leaves: Leaves) -> Evaluation:
        """Evaluate where R edges lead, and remember it as `leaves.node`.

        At least one row needs an evaluation; what is returned for rows that do not is not read.
        """


class LearnedDynamics:
    """Steps a model through its latent states, which stay on the model's device.

    With value prefixes the model's memory is kept beside each latent, and is zero wherever the
    tree begins a new sum: at every `lstm_horizon_len`-th edge from the root.
    """

    cannot_serve: ClassVar[tuple[str, ...]] = ("num_chance_outcomes",)  # settings of a TreeSpec

    def __init__(self, inference: Inference, tree: Tree) -> None:
        """Serve the searches of `tree`, and of no other, with the given model.

        On a CPU, a tree that has a method `take` gathers the parents' latents itself.

        Raises:
            ConfigError: the tree has chance nodes, of which a `Model` says nothing.
        """
        for name in self.cannot_serve:
            if getattr(tree.spec, name):
                raise ConfigError(
                    f"{name} is set, but {type(self).__name__} steps a model that knows no such "
                    "thing. Use the dynamics of a policy that does."
                )
        self._inference = inference
        self._spec = tree.spec
        self._nodes_are_new = tree.spec.max_depth is None  # else a descent may end on an older one
        self._tree_take = getattr(tree, "take", None)
        self._num_roots = 0
        self._device = torch.device("cpu")
        self._pools: tuple[Pool, ...] = ()  # of latents, and of memories if there are any

    def root(self, observation: Any) -> Evaluation:
        """Evaluate (B, *O) float32 observations on the model's device."""
        evaluation, state = self._root(observation)
        self._make_room(state)
        for pool, values in zip(self._pools, state, strict=True):
            pool.write_slice(0, values)
        return evaluation

    def expand(self, leaves: Leaves) -> Evaluation:
        """Step from the parents of the leaves that need it: one gather, one call, one write."""
        needed = leaves.needs_evaluation
        if np.count_nonzero(needed) < len(needed):
            return self._expand_some(leaves, np.flatnonzero(needed))
        evaluation, state = self._step(self._parents(leaves), leaves)
        if self._nodes_are_new:
            for pool, values in zip(self._pools, self._summing(state, leaves), strict=True):
                pool.write_slice(int(leaves.node[0]), values)
        else:
            self._write(self._row_index(leaves.node), state, leaves)
        return evaluation

    def _expand_some(self, leaves: Leaves, rows: Array) -> Evaluation:
        """Evaluate these rows only; what is said of the others is 0."""
        some = Leaves._make(None if field is None else field[rows] for field in leaves)
        roots = rows % self._num_roots
        index = self._row_index(some.parent, roots)
        evaluation, state = self._step(tuple(pool.rows(index) for pool in self._pools), some)
        self._write(self._row_index(some.node, roots), state, some)
        return spread(evaluation, rows, len(leaves.parent))

    # --- what the model is asked ----------------------------------------------------------------

    def _root(self, observation: Any) -> tuple[Evaluation, State]:
        return self._inference.initial(observation)

    def _step(self, parents: State, leaves: Leaves) -> tuple[Evaluation, State]:
        action = leaves.action if leaves.vector is None else leaves.vector
        return self._inference.recurrent(parents, self._on_device(action))

    def _summing(self, state: State, leaves: Leaves) -> State:
        """Forget the memory (R, 2, H) of leaves from which a new sum of rewards begins."""
        if not self._spec.value_prefix:
            return state
        goes_on = leaves.depth % self._spec.lstm_horizon_len != 0
        if goes_on.all():
            return state
        latent, memory = state
        return latent, memory * self._on_device(goes_on)[:, None, None]

    # --- the pools ------------------------------------------------------------------------------

    def _make_room(self, state: State) -> None:
        if len(state) != 1 + self._spec.value_prefix:
            raise ConfigError(
                f"value_prefix is {self._spec.value_prefix} in the tree, but the model's outputs "
                f"have {'no' if len(state) == 1 else 'a'} memory; expected the two to agree."
            )
        if len(self._pools) == len(state) and all(
            pool.fits(values) for pool, values in zip(self._pools, state, strict=True)
        ):
            return
        self._num_roots, self._device = len(state[0]), state[0].device
        nodes, take = self._spec.num_nodes, self._tree_take
        self._pools = tuple(Pool(nodes, values, take) for values in state)

    def _parents(self, leaves: Leaves) -> State:
        of_simulation = leaves.node[0] >= self._spec.num_root_nodes  # else it may be a root edge
        one_each = len(leaves.parent) == self._num_roots
        if of_simulation and one_each and all(pool.take for pool in self._pools):
            return tuple(pool.take() for pool in self._pools if pool.take)
        index = self._row_index(leaves.parent)
        return tuple(pool.rows(index) for pool in self._pools)

    def _write(self, index: Tensor, state: State, leaves: Leaves) -> None:
        for pool, values in zip(self._pools, self._summing(state, leaves), strict=True):
            pool.write(index, values)

    def _row_index(self, node: Array, roots: Array | None = None) -> Tensor:
        """Tell the rows of nodes (R,) in a pool as (M * B, *L); `roots` None: row r % B."""
        if roots is None:
            roots = np.arange(len(node)) % self._num_roots
        return self._on_device(node * self._num_roots + roots)

    def _on_device(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(self._device, non_blocking=True)


class ChanceDynamics(LearnedDynamics):
    """Steps a `ChanceModel`: actions lead to afterstates, outcomes from there to states."""

    cannot_serve: ClassVar[tuple[str, ...]] = ("value_prefix",)

    def _root(self, observation: Any) -> tuple[Evaluation, State]:
        evaluation, state = self._inference.initial(observation)
        missing = self._spec.num_logits - evaluation.logits.shape[1]
        logits = np.pad(evaluation.logits, ((0, 0), (0, missing)))
        return evaluation._replace(logits=logits), state

    def _step(self, parents: State, leaves: Leaves) -> tuple[Evaluation, State]:
        option = self._on_device(leaves.action)
        return self._inference.chance(parents, option, leaves.is_outcome, self._spec.num_logits)
