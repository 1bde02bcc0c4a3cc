"""UniZero's dynamics of a search: every node looks back on the path to it and what came before.

Shape letters: B roots, R leaves (B, or B * E where all edges of the roots are evaluated), C as in
`pages`.
"""

import numpy as np
import torch
from torch import Tensor

from lz_unizero.inference import History, WorldModelInference
from lz_unizero.pages import Edges, Layout, Pages
from lzcore.base.errors import ConfigError, ShapeError
from lzcore.base.tree import Array, Evaluation, Leaves, Tree
from lzcore.search.rows import spread

_CANNOT_SERVE = ("value_prefix", "num_chance_outcomes")  # settings of a TreeSpec


class WorldModelDynamics:
    """Steps a world model along the paths of a tree, by the pages of their nodes.

    A path begins with the root's history and grows to a window. Beyond, learned places have to be
    given out anew: the newest tokens are read again in a pass. Rotary places go on, and nothing
    but the oldest page falls out of sight.

    `num_edges` and `num_read_anew` count, since `count_anew`, the leaves that were evaluated and
    those of them that took such a pass.
    """

    def __init__(self, inference: WorldModelInference, tree: Tree) -> None:
        """Serve the searches of `tree`, and of no other, with the given model.

        Raises:
            ConfigError: the tree has chance nodes or value prefixes, of which the model says
                nothing.
        """
        for name in _CANNOT_SERVE:
            if getattr(tree.spec, name):
                raise ConfigError(
                    f"{name} is set, but a world model knows no such thing. Make a tree without it."
                )
        cfg = inference.model.cfg.world_model_cfg
        self._cfg = cfg
        self._inference = inference
        self._num_nodes = tree.spec.num_nodes
        self._window = cfg.window_steps
        self._expires = cfg.positions == "learned" or cfg.kv_slide == "rebuild"
        self._pages: Pages | None = None
        self._device = torch.device("cpu")
        self.count_anew()

    def layout(self, num_roots: int) -> Layout:
        """Return the pages that searches from so many roots need, before there are any."""
        cfg = self._cfg
        sizes = (cfg.context_steps, self._window, cfg.num_layers, cfg.embed_dim)
        return Layout(self._num_nodes, num_roots, *sizes, self._expires)

    def root(self, history: History) -> Evaluation:
        """Evaluate B histories, as long as each is.

        Raises:
            ShapeError: there is none, a longer one than context_length allows, or an empty one.
        """
        self._check(history)
        roots = self._inference.roots(history)
        self._open_pages(len(history.length), roots.kv.device)
        self._opened.begin(history.length, roots.tokens, roots.kv)
        return roots.evaluation

    def count_anew(self) -> None:
        """Begin to count leaves again."""
        self.num_edges = 0
        self.num_read_anew = 0

    @property
    def share_read_anew(self) -> float:
        """The share of the counted leaves that a whole pass evaluated; 0 of none."""
        return self.num_read_anew / max(1, self.num_edges)

    def expand(self, leaves: Leaves) -> Evaluation:
        """Evaluate the leaves that need it; what is said of the others is 0."""
        rows = np.flatnonzero(leaves.needs_evaluation)
        pages = self._opened
        roots = rows % pages.layout.num_roots
        edges = pages.edges(leaves.parent[rows], leaves.node[rows], roots)
        action = leaves.action if leaves.vector is None else leaves.vector
        evaluation = self._evaluated(edges, self._on_device(action[rows]))
        whole = len(rows) == len(leaves.parent)
        return evaluation if whole else spread(evaluation, rows, len(leaves.parent))

    def _evaluated(self, edges: Edges, action: Tensor) -> Evaluation:
        """Evaluate R edges: by their pages, or anew where the window has moved on."""
        self.num_edges += len(edges.page)
        moved = self._expires & (edges.length > self._window)
        if not moved.any():
            return self._step(edges, action)
        anew = np.flatnonzero(moved)
        self.num_read_anew += len(anew)
        if len(anew) == len(moved):
            return self._read_anew(edges, action)
        near = np.flatnonzero(~moved)
        stepped = self._step(edges.some(near), action[self._on_device(near)])
        read = self._read_anew(edges.some(anew), action[self._on_device(anew)])
        return _joined((near, stepped), (anew, read))

    def _step(self, edges: Edges, action: Tensor) -> Evaluation:
        evaluation, leaf = self._inference.step(self._opened.context(edges), action)
        self._opened.write(edges, leaf.tokens, leaf.kv)
        return evaluation

    def _read_anew(self, edges: Edges, action: Tensor) -> Evaluation:
        before = self._opened.newest_tokens(edges)
        evaluation, tokens = self._inference.read_anew(before, action)
        self._opened.write_tokens(edges, tokens)
        return evaluation

    # --- the pages ------------------------------------------------------------------------------

    @property
    def _opened(self) -> Pages:
        assert self._pages is not None, "root() comes first"
        return self._pages

    def _open_pages(self, num_roots: int, device: torch.device) -> None:
        layout = self.layout(num_roots)
        if self._pages is None or self._pages.layout != layout or self._device != device:
            self._pages, self._device = Pages(layout, device), device

    def _on_device(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(self._device, non_blocking=True)

    def _check(self, history: History) -> None:
        longest = min(self._cfg.context_steps, history.observation.shape[1])
        length = history.length
        if not len(length) or length.min() < 1 or length.max() > longest:
            raise ShapeError(
                f"Histories have {length.tolist()} steps; expected at least one history, of 1 to "
                f"{longest} steps each: context_length is {self._cfg.context_length} tokens."
            )


def _joined(*parts: tuple[Array, Evaluation]) -> Evaluation:
    """Put evaluations of some rows each back into the order of the rows."""
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    value, logits, reward = (
        np.concatenate([getattr(one, name) for _, one in parts])[order]
        for name in ("value", "logits", "reward")
    )
    return Evaluation(value, logits, reward)
