"""Which positions are drawn, and what weight each gets: three ways over the same eligible rows.

Shape letters: B positions drawn together, N eligible rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np

from lzcore.base.ranks import ALONE, Ranks
from lzcore.base.replay import Array
from lzcore.replay.ring import spans
from lzcore.replay.store import Range, Store
from lzcore.replay.sum_tree import SumTree

PRIORITY = "priority"  # the column that holds the priorities of rows; 0 where none lives
_LEAST = 1e-100  # mass of a row whose power is too small for a float64: every row can be drawn


class Draw(Protocol):
    """Draws eligible rows of a store; told of every change of what is eligible."""

    def admit(self, ranges: Iterable[Range]) -> None:
        """Take note of rows that have become eligible."""

    def drop(self, rows: Range) -> None:
        """Take note of rows that have just been forgotten."""

    def draw(self, batch_size: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw from at least one eligible row, without repetition if there are B of them.

        Returns:
            Row ids (B,) int64 and importance weights (B,) float32, the largest of them 1.
        """


class Ranking(NamedTuple):
    """The eligible rows numbered 0..N-1, those of an episode side by side."""

    start: Array  # (segments,) id of the first row
    before: Array  # (segments,) eligible rows in the segments before it
    first_of: Array  # (episodes,) rank of the first eligible row of an episode
    rows_of: Array  # (episodes,) its eligible rows

    @classmethod
    def of(cls, store: Store) -> "Ranking":
        """Number the rows that are eligible now."""
        table = store.segments
        eligible, episode = table.read("eligible"), table.read("episode")
        order = np.argsort(episode, kind="stable")
        order = order[eligible[order] > 0]
        eligible, episode = eligible[order], episode[order]
        before = np.cumsum(eligible) - eligible
        first = before[np.flatnonzero(np.diff(episode, prepend=-1))]
        rows = np.diff(first, append=eligible.sum())
        return cls(table.read("start")[order], before, first, rows)

    def ids(self, rank: Array) -> Array:
        """Return the row ids (B,) of ranks (B,)."""
        segment = np.searchsorted(self.before, rank, side="right") - 1
        ids: Array = self.start[segment] + (rank - self.before[segment])
        return ids


class _RankedDraw(ABC):
    """What the draws without priorities share: ranks, made anew when the store has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ranking = Ranking.of(store)
        self._version = store.version

    def admit(self, ranges: Iterable[Range]) -> None:
        """Nothing to do: the store's version tells."""

    def drop(self, rows: Range) -> None:
        """Nothing to do: the store's version tells."""

    def draw(self, batch_size: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw as the subclass ranks them; every weight is 1."""
        if self._version != self._store.version:
            self._ranking = Ranking.of(self._store)
            self._version = self._store.version
        rank = self._rank(batch_size, rng)
        return self._ranking.ids(rank), np.ones(batch_size, np.float32)

    @abstractmethod
    def _rank(self, batch_size: int, rng: np.random.Generator) -> Array: ...


class UniformDraw(_RankedDraw):
    """Every eligible row is as likely as any other."""

    def _rank(self, batch_size: int, rng: np.random.Generator) -> Array:
        eligible = self._store.num_eligible
        return rng.choice(eligible, batch_size, replace=eligible < batch_size)


class EpisodeDraw(_RankedDraw):
    """Every episode with an eligible row is as likely as any other, then every row of it."""

    def _rank(self, batch_size: int, rng: np.random.Generator) -> Array:
        rank = self._ranks_of_any_episode(batch_size, rng)
        if self._store.num_eligible < batch_size:
            return rank
        return extended(
            distinct(rank), batch_size, lambda: self._ranks_of_any_episode(batch_size, rng)
        )

    def _ranks_of_any_episode(self, batch_size: int, rng: np.random.Generator) -> Array:
        first, rows = self._ranking.first_of, self._ranking.rows_of
        episode = rng.integers(len(first), size=batch_size)
        ranks: Array = first[episode] + rng.integers(rows[episode])
        return ranks


class PriorityDraw:
    """A row's chance is its priority to the power alpha (arXiv:1511.05952, sec. 3.3).

    Weights are (N P)^-beta, divided by the largest of the batch. Of several ranks each draws an
    equal share of a joint batch from its own rows; N, P and the largest are then those of all.
    """

    def __init__(self, store: Store, alpha: float, beta: float, ranks: Ranks = ALONE) -> None:
        self._store = store
        self._alpha = alpha
        self._beta = beta
        self._ranks = ranks
        self._tree = SumTree(0)

    # --- following the store --------------------------------------------------------------------

    def admit(self, ranges: Iterable[Range]) -> None:
        """Give newly eligible rows their mass."""
        rows = self._store.rows
        if self._tree.size != rows.size:  # all rows have moved
            self._rebuild()
            return
        for first, stop in ranges:
            for a, b in spans(first, stop, rows.size):
                self._tree.set_range(a % rows.size, self._mass(rows.read(PRIORITY, a, b)))

    def drop(self, rows: Range) -> None:
        """Take mass and priority of forgotten rows away."""
        size = self._store.rows.size
        for a, b in spans(*rows, size):
            self._tree.set_range(a % size, np.zeros(b - a))
            self._store.rows.write(PRIORITY, a, np.zeros(b - a))

    def _rebuild(self) -> None:
        rows, ranking = self._store.rows, Ranking.of(self._store)
        self._tree = SumTree(rows.size)
        place = rows.at(ranking.ids(np.arange(self._store.num_eligible)))
        masses = np.zeros(rows.size)
        masses[place] = self._mass(rows.columns[PRIORITY][place])
        self._tree.set_range(0, masses)

    def _mass(self, priority: Array) -> Array:
        return np.maximum(priority**self._alpha, _LEAST)

    def largest(self) -> float:
        """Return the largest priority of the stored rows, 1 if there are none."""
        return float(self._store.rows.columns[PRIORITY].max(initial=0.0)) or 1.0

    # --- drawing --------------------------------------------------------------------------------

    def draw(self, batch_size: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw in proportion to mass."""
        store, tree, ranks = self._store, self._tree, self._ranks
        leaves = self._leaves(batch_size, rng)
        chance = tree.get(leaves) / (tree.total * ranks.count)
        weights = (ranks.sum(store.num_eligible) * chance) ** -self._beta
        weights /= ranks.largest(weights.max())
        ids = store.rows.tail + (leaves - store.rows.tail) % store.rows.size
        return ids, weights.astype(np.float32)

    def _leaves(self, batch_size: int, rng: np.random.Generator) -> Array:
        if self._store.num_eligible < batch_size:
            return self._any_leaves(batch_size, rng)
        found = distinct(self._any_leaves(batch_size + batch_size // 8, rng))[:batch_size]
        return found if len(found) == batch_size else self._completed(found, batch_size, rng)

    def _any_leaves(self, count: int, rng: np.random.Generator) -> Array:
        return self._tree.find(rng.random(count) * self._tree.total)

    def _completed(self, found: Array, batch_size: int, rng: np.random.Generator) -> Array:
        """Draw on among the other leaves, as if repeated draws were thrown away one by one."""
        masses = self._tree.get(found)
        self._tree.set(found, 0.0)
        while len(found) < batch_size:
            new = distinct(self._any_leaves(batch_size - len(found), rng))
            masses = np.concatenate((masses, self._tree.get(new)))
            found = np.concatenate((found, new))
            self._tree.set(new, 0.0)
        self._tree.set(found, masses)
        return found

    # --- learning -------------------------------------------------------------------------------

    def update(self, ids: Array, stamp: Array, priorities: Array) -> None:
        """Set the priorities (B,) of those rows that still are what they were when drawn."""
        rows, table = self._store.rows, self._store.segments
        alive = (ids >= rows.tail) & (ids < rows.head)
        ids, stamp, priorities = ids[alive], stamp[alive], priorities[alive]
        segment = self._store.segment_of(ids)
        kept = (segment == stamp) & (
            ids < table.get("start", segment) + table.get("eligible", segment)
        )
        place = rows.at(ids[kept])
        rows.columns[PRIORITY][place] = priorities[kept]
        self._tree.set(place, self._mass(rows.columns[PRIORITY][place]))


def distinct(values: Array) -> Array:
    """Return values (n,) without repetitions, in order of first appearance."""
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]


def extended(found: Array, count: int, more: Callable[[], Array]) -> Array:
    """Append what `more` yields, without repetitions, until there are `count`."""
    while len(found) < count:
        found = distinct(np.concatenate((found, more())))
    return found[:count]
