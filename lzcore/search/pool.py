"""Where the dynamics of a search keep what belongs to a node: one row for each node and root.

Shape letters: M nodes of a tree, B roots, R rows of a call, L what is kept of a node.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lzcore.base.tree import Array


class Pool:
    """Rows (M, B, *L) in one piece of memory.

    Nodes are numbered alike in all trees, so in the pool as (M * B, *L) the rows of any nodes are
    gathered by one index, and those of one node in all trees are one slice.
    """

    def __init__(
        self, num_nodes: int, like: Tensor, take: Callable[[Array, Array], None] | None
    ) -> None:
        """Make room for `num_nodes` (M) rows like each of those of `like`, (B, *L).

        Args:
            num_nodes: M.
            like: whose shape, dtype and device are used.
            take: the tree's own gather, of use on a CPU; None: it has none.
        """
        self._wanted = _kind(like)
        self.num_roots = len(like)
        with torch.inference_mode(False):  # whoever calls: memory that can be written in any mode
            shape = (num_nodes, *like.shape)
            pool = torch.empty(shape, dtype=like.dtype, device=like.device)
        self._rows = pool.flatten(0, 1)  # (M * B, *L)
        on_cpu = like.device.type == "cpu"
        # lets the tree gather the rows of the parents that it has just selected, one for each root
        self.take = _Take(take, pool) if take and on_cpu else None

    def fits(self, like: Tensor) -> bool:
        """Whether this pool was made for rows like these."""
        return _kind(like) == self._wanted

    def rows(self, index: Tensor) -> Tensor:
        """Return rows (R, *L) by their numbers in the pool."""
        return self._rows.index_select(0, index)

    def write_slice(self, first_node: int, values: Tensor) -> None:
        """Write the rows of one node in all trees, or of several that follow each other."""
        first = first_node * self.num_roots
        self._rows[first : first + len(values)].copy_(values)

    def write(self, index: Tensor, values: Tensor) -> None:
        """Write rows (R, *L) by their numbers in the pool."""
        self._rows.index_copy_(0, index, values.to(self._rows.dtype))


def _kind(like: Tensor) -> tuple[torch.Size, torch.dtype, torch.device]:
    return like.shape, like.dtype, like.device


class _Take:
    """Lets a tree gather the parents' rows; as bytes, since NumPy does not know every dtype."""

    def __init__(self, take: Callable[[Array, Array], None], pool: Tensor) -> None:
        num_nodes, num_roots = pool.shape[:2]
        self._take = take
        self._rows = torch.empty_like(pool[0])
        self._from = pool.reshape(num_nodes, num_roots, -1).view(torch.uint8).numpy()
        self._to = self._rows.reshape(num_roots, -1).view(torch.uint8).numpy()

    def __call__(self) -> Tensor:
        """Return rows (B, *L) in memory that the next call overwrites."""
        self._take(self._from, self._to)
        return self._rows
