"""Where a search keeps what its transformer remembers: one page for each node.

A page holds two tokens, the action that led to a node and the observation foretold there: their
keys and values of every block, and the tokens themselves. The history of a root is pages too, in
front of the nodes:

    node     -(H-1) ...  -1    0     1     2   ...  M-1
    page of   history        root   the nodes of the search

Every page knows its chain, the last C pages of the path that ends in it, so that a context is one
gather. Nothing is copied from a node to its children, and nothing is looked for.

Shape letters: B roots, M nodes of a tree, H most steps of a history, C most pages of a chain, R
edges, W pages of the longest chain among them, L blocks, E width of a token.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lzcore.base.tree import Array


class Layout(NamedTuple):
    """How many pages of which size there are."""

    num_nodes: int  # M
    num_roots: int  # B
    history: int  # H
    window: int  # C
    num_layers: int  # L
    width: int  # E
    keeps_tokens: bool  # whether a page holds its tokens too, to be read anew

    @property
    def num_pages(self) -> int:
        """Pages of all nodes and histories."""
        return (self.num_nodes + self.history - 1) * self.num_roots

    @property
    def page_bytes(self) -> int:
        """Bytes of a page: float32 keys and values, tokens, and int64 chain and length."""
        numbers = 2 * self.width * (2 * self.num_layers + self.keeps_tokens)
        return 4 * numbers + 8 * (self.window + 1)

    @property
    def num_bytes(self) -> int:
        """Bytes of all pages, which is what a search remembers from its first node to its last."""
        return self.num_pages * self.page_bytes


class Edges(NamedTuple):
    """R edges, each to a leaf whose page is to be written."""

    page: Array  # (R,) int64 of the leaf
    chain: Array  # (R, C) int64 pages of the path, the leaf's last; the oldest fills up the front
    length: Array  # (R,) int64 pages of the whole path

    def some(self, rows: Array) -> "Edges":
        """Return those of some rows."""
        return Edges(*(field[rows] for field in self))


class Context(NamedTuple):
    """What the leaves of R edges look back on, in memory that the next context overwrites."""

    kv: Tensor  # (R, 2 W, L, 2, E) keys and values, the last two of them still to be written
    visible: Tensor  # (R, 1, 1, 2 W) float32, 0 or -inf
    position: Tensor  # (R,) int64 of the action; that of the observation is the next


class Pages:
    """The pages of one search, used again by the next."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        """Make room for every node that a search can have."""
        self.layout = layout
        self._device = device
        _, num_roots, history, window, num_layers, width, keeps_tokens = layout
        pages = layout.num_pages
        # zeros, since a page that is not seen is still multiplied by 0
        self._kv = torch.zeros(pages, 2, num_layers, 2, width, device=device)
        self._tokens = torch.zeros(pages if keeps_tokens else 0, 2, width, device=device)
        self._chain = np.zeros((pages, window), np.int64)
        self._length = np.zeros(pages, np.int64)
        self._desk = self._kv[:0]  # where contexts are laid out
        self._visible = _visible(window)
        self._first_root = (history - 1) * num_roots

    def begin(self, length: Array, tokens: Tensor, kv: Tensor) -> None:
        """Write the histories of all roots.

        Args:
            length: (B,) int64 real steps of each, from 1 to H.
            tokens: (B, H', 2, E), the action before each step and its observation; real steps
                first. H' is the longest.
            kv: (B, H', 2, L, 2, E) of these.
        """
        _, num_roots, history, window, *_ = self.layout
        root, step = np.nonzero(np.arange(tokens.shape[1]) < length[:, None])
        page = self._index((step + history - length[root]) * num_roots + root)
        real = self._index(root), self._index(step)
        self._kv.index_copy_(0, page, kv[real])
        if self.layout.keeps_tokens:
            self._tokens.index_copy_(0, page, tokens[real])
        back = np.minimum(np.arange(window)[::-1], length[:, None] - 1)  # (B, C) steps
        roots = np.arange(num_roots)[:, None]
        self._chain[self._root_pages()] = (history - 1 - back) * num_roots + roots
        self._length[self._root_pages()] = length

    def edges(self, parent: Array, node: Array, root: Array) -> Edges:
        """Tell the chains that end in leaves, and remember them for what will follow there.

        Args:
            parent: (R,) int64.
            node: (R,) int64 of the leaves.
            root: (R,) int64.
        """
        at = root + self._first_root
        page, parent_page = node * self.layout.num_roots + at, parent * self.layout.num_roots + at
        chain = np.concatenate((self._chain[parent_page, 1:], page[:, None]), axis=1)
        length = self._length[parent_page] + 1
        self._chain[page], self._length[page] = chain, length
        return Edges(page, chain, length)

    def context(self, edges: Edges) -> Context:
        """Lay out the keys and values of chains side by side, their ends flush."""
        window = self.layout.window
        shown = np.minimum(edges.length, window)
        width = int(shown.max())
        chain = self._index(edges.chain[:, window - width :].ravel())
        kv = torch.index_select(self._kv, 0, chain, out=self._room(len(chain)))
        visible = torch.from_numpy(self._visible[shown, 2 * (window - width) :])
        return Context(
            kv.view(len(shown), 2 * width, *kv.shape[2:]),
            visible[:, None, None].to(self._device),
            self._index(2 * edges.length - 3),
        )

    def write(self, edges: Edges, tokens: Tensor, kv: Tensor) -> None:
        """Write the pages of leaves: tokens (R, 2, E), their keys and values (R, 2, L, 2, E)."""
        if (np.diff(edges.page) == 1).all():  # one node in all trees
            here = slice(int(edges.page[0]), int(edges.page[-1]) + 1)
            self._kv[here].copy_(kv)
        else:
            self._kv.index_copy_(0, self._index(edges.page), kv)
        self.write_tokens(edges, tokens)

    def write_tokens(self, edges: Edges, tokens: Tensor) -> None:
        """Write the tokens (R, 2, E) of leaves alone, if tokens are kept."""
        if self.layout.keeps_tokens:
            self._tokens.index_copy_(0, self._index(edges.page), tokens)

    def newest_tokens(self, edges: Edges) -> Tensor:
        """Return the tokens of full chains without their leaves, (R, 2 C - 3, E).

        They begin with an observation, so that with the leaf's two they fill a window.
        """
        chain = self._index(edges.chain[:, :-1].ravel())
        pages = self._tokens.index_select(0, chain)  # (R (C - 1), 2, E)
        return pages.view(len(edges.page), -1, self.layout.width)[:, 1:]

    def _root_pages(self) -> slice:
        return slice(self._first_root, self._first_root + self.layout.num_roots)

    def _room(self, pages: int) -> Tensor:
        if len(self._desk) < pages:
            self._desk = torch.empty(pages, *self._kv.shape[1:], device=self._device)
        return self._desk[:pages]

    def _index(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(self._device, non_blocking=True)


def _visible(window: int) -> Array:
    """Return what is seen of chains of 0 to C pages, (C + 1, 2 C) float32: 0, or -inf.

    Not the action of the oldest page: what it was taken in is out of sight, or never was.
    """
    first = 2 * (window - np.arange(window + 1)) + 1
    seen = np.arange(2 * window) >= first[:, None]
    return np.where(seen, np.float32(0), np.float32(-np.inf))
