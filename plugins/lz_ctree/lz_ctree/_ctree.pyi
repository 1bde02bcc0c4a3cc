"""Types of the compiled module.

Shape letters: B roots searched together, M nodes of a tree, L a latent state.
"""

from typing import Any

from lzcore.base.tree import Array, Evaluation, Leaves, Reuse
from lzcore.base.treespec import TreeSpec

class TreeBatch:
    def __init__(self, spec: TreeSpec, leaves_type: type[Leaves]) -> None: ...
    def start(
        self,
        evaluation: Evaluation,
        legal_actions: Array | None = None,
        to_play: Array | None = None,
        seeds: Array | None = None,
        noise: Array | None = None,
        reuse: Reuse | None = None,
    ) -> None: ...
    def select(self) -> Leaves: ...
    def backup(self, evaluation: Evaluation) -> None: ...
    def take(self, pool: Array, out: Array) -> None:
        """Copy pool[parent[b], b] of the selected leaves to out[b].

        Args:
            pool: (nodes, B, *L), C-contiguous, at least M nodes, any plain dtype.
            out: (B, *L) of that dtype, C-contiguous and writable.
        """

    def put(self, pool: Array, rows: Array) -> None:
        """Copy rows[b] to pool[node[b], b] of the selected leaves; shapes as in `take`."""

    def result(self) -> Any: ...
    def snapshot(self) -> dict[str, Array]: ...
