"""What a search plans in. Today: the latent states of a learned model.

Shape letters: B roots, R leaves evaluated together (B, or B * E where all edges of the roots are),
E edges of a decision node, M nodes of a tree, L latent state.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lzcore.base.errors import ConfigError
from lzcore.base.tree import Array, Evaluation, Leaves, Tree
from lzcore.search.inference import Inference


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

    The pool holds one latent for each node, as (M, B, *L). Row r of the leaves belongs to root
    r % B, and nodes are numbered alike in all trees, so in the pool as (M * B, *L) the parents are
    gathered by one index of rows, and the latents of a simulation are written as one slice.
    """

    cannot_serve = ("num_chance_outcomes", "value_prefix")  # settings of a TreeSpec

    def __init__(self, inference: Inference, tree: Tree) -> None:
        """Serve the searches of `tree`, and of no other, with the given model.

        On a CPU, a tree that has a method `take` gathers the parents' latents itself.

        Raises:
            ConfigError: the tree has chance nodes or value prefixes, of which a `Model` says
                nothing. `_step` is the method to override for a model that does.
        """
        for name in self.cannot_serve:
            if getattr(tree.spec, name):
                raise ConfigError(
                    f"{name} is set, but {type(self).__name__} steps a model that knows no such "
                    "thing. Use the dynamics of a policy that does."
                )
        self._inference = inference
        self._num_nodes = tree.spec.num_nodes
        self._nodes_are_new = tree.spec.max_depth is None  # else a descent may end on an older one
        self._first_of_simulations = tree.spec.num_root_nodes
        self._tree_take = getattr(tree, "take", None)
        self._num_roots = 0
        self._pool = torch.empty(0)
        self._rows = torch.empty(0)  # the pool as (M * B, *L)
        self._take: _Take | None = None

    def root(self, observation: Tensor) -> Evaluation:
        """Evaluate (B, *O) float32 observations on the model's device."""
        evaluation, latent = self._inference.initial(observation)
        self._make_room(latent)
        self._pool[0].copy_(latent)
        return evaluation

    def expand(self, leaves: Leaves) -> Evaluation:
        """Step from the parents of the leaves that need it: one gather, one call, one write."""
        needed = leaves.needs_evaluation
        if np.count_nonzero(needed) < len(needed):
            return self._expand_some(leaves, np.flatnonzero(needed))
        evaluation, latent = self._step(self._parents(leaves), leaves)
        if self._nodes_are_new:
            first = int(leaves.node[0]) * self._num_roots
            self._rows[first : first + len(latent)].copy_(latent)
        else:
            self._write(self._row_index(leaves.node), latent)
        return evaluation

    def _expand_some(self, leaves: Leaves, rows: Array) -> Evaluation:
        """Evaluate these rows only; what is said of the others is 0."""
        some = Leaves._make(None if field is None else field[rows] for field in leaves)
        roots = rows % self._num_roots
        parents = self._rows.index_select(0, self._row_index(some.parent, roots))
        evaluation, latent = self._step(parents, some)
        self._write(self._row_index(some.node, roots), latent)
        return Evaluation._make(_spread(field, rows, len(leaves.parent)) for field in evaluation)

    def _step(self, parents: Tensor, leaves: Leaves) -> tuple[Evaluation, Tensor]:
        action = leaves.action if leaves.vector is None else leaves.vector
        return self._inference.recurrent(parents, self._on_device(action))

    # --- the pool ------------------------------------------------------------------------------

    def _make_room(self, latent: Tensor) -> None:
        wanted = (self._num_nodes, *latent.shape)
        now = (self._pool.shape, self._pool.dtype, self._pool.device)
        if now == (wanted, latent.dtype, latent.device):
            return
        self._num_roots = len(latent)
        with torch.inference_mode(False):  # whoever calls: memory that can be written in any mode
            self._pool = torch.empty(wanted, dtype=latent.dtype, device=latent.device)
            self._rows = self._pool.flatten(0, 1)
            on_cpu = latent.device.type == "cpu"
            self._take = _Take(self._tree_take, self._pool) if self._tree_take and on_cpu else None

    def _parents(self, leaves: Leaves) -> Tensor:
        of_simulation = leaves.node[0] >= self._first_of_simulations  # else it may be a root edge
        if self._take is not None and of_simulation and len(leaves.parent) == self._num_roots:
            return self._take()
        return self._rows.index_select(0, self._row_index(leaves.parent))

    def _write(self, rows: Tensor, latent: Tensor) -> None:
        self._rows.index_copy_(0, rows, latent.to(self._rows.dtype))

    def _row_index(self, node: Array, roots: Array | None = None) -> Tensor:
        """Tell the rows of nodes (R,) in the pool as (M * B, *L); `roots` None: row r % B."""
        if roots is None:
            roots = np.arange(len(node)) % self._num_roots
        return self._on_device(node * self._num_roots + roots)

    def _on_device(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(self._pool.device, non_blocking=True)


class _Take:
    """Lets a tree gather the parents' latents; as bytes, since NumPy does not know every dtype."""

    def __init__(self, take: Callable[[Array, Array], None], pool: Tensor) -> None:
        num_nodes, num_roots = pool.shape[:2]
        self._take = take
        self._latents = torch.empty_like(pool[0])
        self._from = pool.reshape(num_nodes, num_roots, -1).view(torch.uint8).numpy()
        self._to = self._latents.reshape(num_roots, -1).view(torch.uint8).numpy()

    def __call__(self) -> Tensor:
        """Return latents (B, *L) in memory that the next call overwrites."""
        self._take(self._from, self._to)
        return self._latents


def _spread(some: Array | None, rows: Array, num_rows: int) -> Array | None:
    """Give values of these rows their full length; the other rows are 0."""
    if some is None:
        return None
    full = np.zeros((num_rows, *some.shape[1:]), some.dtype)
    full[rows] = some
    return full
