"""The compiled tree as lzcore knows it: `select` and `backup` go straight to C++.

Shape letters: B roots searched together, E edges of a decision node, S simulations.
"""

from lz_ctree import _ctree
from lzcore.base.tree import Leaves, SearchResult
from lzcore.base.treespec import TreeSpec

_MOST = 2**31 - 16  # node and edge numbers are 32 bits wide, and rows are filled up to blocks


class CTree(_ctree.TreeBatch):
    """A batch of searches; see `lzcore.base.tree.Tree` for the calls and their order.

    Vectors of an evaluation may have any stride; in rows, the numbers of one root lie side by side.
    Besides the protocol it moves latents, `take` and `put`. A tree serves one thread at a time; the
    GIL is released while it works.
    """

    def __init__(self, spec: TreeSpec) -> None:
        """Prepare searches of this kind; ValueError if `supports(spec)` says why not."""
        missing = self.supports(spec)
        if missing:
            raise ValueError(missing)
        super().__init__(spec, Leaves)
        self.spec = spec

    @staticmethod
    def supports(spec: TreeSpec) -> str | None:
        """Return None if this tree can run `spec`, else one line that says what it lacks."""
        sizes = {
            "num_nodes": spec.num_nodes,
            "num_edges": spec.num_edges,
            "num_logits": spec.num_logits,
            "num_sampled_actions * action_dim": spec.num_sampled_actions * spec.action_dim,
        }
        for name, size in sizes.items():
            if size > _MOST:
                return f"{name} is {size}; the C++ tree counts up to {_MOST}"
        return None

    def result(self) -> SearchResult:
        """Return the root statistics so far."""
        return SearchResult(*super().result())
