"""Sampled positions and the rows around them, gathered by whole columns.

Shape letters: B sampled positions, M offsets around each.
"""

from collections.abc import Mapping

import numpy as np

from lzcore.base.errors import ReplayError, ShapeError
from lzcore.base.replay import Array
from lzcore.replay.store import NONE, Store


class StoredWindows:
    """B positions of a store; see `lzcore.base.replay.Windows`."""

    def __init__(self, store: Store, index: Array, weights: Array, frame_stack: int) -> None:
        """Look up where the rows `index` (B,) belong; they are alive and eligible."""
        segments, episodes = store.segments, store.episodes
        self.index = index
        self.weights = weights
        self.stamp = store.segment_of(index)
        start = segments.get("start", self.stamp)
        self._episode = segments.get("episode", self.stamp)
        self._time = segments.get("offset", self.stamp) + (index - start)
        self.steps_left = episodes.get("length", self._episode) - self._time
        self.ended = episodes.get("ended", self._episode).astype(bool)
        self.terminated = episodes.get("terminated", self._episode).astype(bool)

        self._store = store
        self._frame_stack = frame_stack
        self._rows: dict[tuple[int, int], Array] = {}
        self._tail = store.rows.tail
        self._low = start
        self._high = start + segments.get("rows", self.stamp) - 1
        self._follows = segments.get("previous", self.stamp) != NONE
        self._goes_on = segments.get("next", self.stamp) != NONE

    def take(self, name: str, start: int, stop: int) -> Array:
        """Rows t+start .. t+stop-1 of a column: (B, stop-start, *shape), as the protocol says."""
        self._check_columns([name])
        if self._tail != self._store.rows.tail:
            self._forget()
        return self._store.gather(name, self._ids(start, stop))

    def frames(self, start: int, stop: int) -> Array:
        """Frames of positions t+start .. t+stop-1, each with the S-1 frames before the first.

        Returns:
            (B, stop-start + S-1, *F): position p's stacked observation is entries p..p+S-1.
        """
        return self.take("observation", start - (self._frame_stack - 1), stop)

    def write(self, start: int, columns: Mapping[str, Array], rows: Array | None = None) -> None:
        """Overwrite changing columns of rows t+start on, (R, M, *shape), as the protocol says.

        Where windows overlap, the last one counts. Closing rows are passed over.
        """
        rows = np.arange(len(self.index)) if rows is None else rows
        width = self._check_written(columns, len(rows))
        ids, kept = self._transitions(rows, start, start + width)
        for name, values in columns.items():
            self._store.rows.columns[name][self._store.rows.at(ids)] = values[kept]

    def _ids(self, start: int, stop: int) -> Array:
        """Return (B, M) row ids, clipped to what is stored of each episode."""
        if (start, stop) not in self._rows:
            offset = np.arange(start, stop)
            ids = self.index[:, None] + offset
            over = (self.index + stop - 1 > self._high) & self._goes_on
            over |= (self.index + start < self._low) & self._follows
            np.maximum(ids, self._low[:, None], out=ids)
            np.minimum(ids, self._high[:, None], out=ids)
            if over.any():  # only where a window leaves a segment that is not the whole episode
                ids[over] = self._chained(over, offset)
            self._rows[start, stop] = ids
        return self._rows[start, stop]

    def _forget(self) -> None:
        """Notice that the store has forgotten rows since the last look."""
        self._tail = self._store.rows.tail
        self._rows.clear()
        if (self.index < self._tail).any():
            raise ReplayError(
                "Sampled rows have been forgotten since they were drawn. "
                "Take what is needed before the next push."
            )

    def _chained(self, where: Array, offset: Array) -> Array:
        position = (self.index - self._low)[where, None] + offset
        segment = np.broadcast_to(self.stamp[where, None], position.shape)
        segment, position = self._store.walk(segment, position)
        table = self._store.segments
        inside = np.clip(position, 0, table.get("rows", segment) - 1)
        ids: Array = table.get("start", segment) + inside
        return ids

    def _transitions(self, rows: Array, start: int, stop: int) -> tuple[Array, Array]:
        """Return the ids (n,) of those rows t+start..t+stop-1 that are stored transitions now.

        The second array (R, M) bool says which ones of the samples `rows` (R,) they are.
        """
        table = self._store.segments
        segment = self._store.current(self._episode[rows], self.stamp[rows])
        alive = np.flatnonzero(segment != NONE)
        time = self._time[rows][alive, None] + np.arange(start, stop)
        segment = np.broadcast_to(segment[alive, None], time.shape)
        segment, position = self._store.walk(segment, time - table.get("offset", segment))
        inside = (position >= 0) & (position < table.get("length", segment))
        kept = np.zeros((len(rows), stop - start), bool)
        kept[alive] = inside
        return (table.get("start", segment) + position)[inside], kept

    def _check_columns(self, names: list[str]) -> None:
        known = self._store.rows.columns
        for name in names:
            if name not in known:
                raise ReplayError(f"There is no column {name!r}; stored are {sorted(known)}.")

    def _check_written(self, columns: Mapping[str, Array], samples: int) -> int:
        """Refuse what cannot be written; return M."""
        self._check_columns(list(columns))
        width = max((values.shape[1] for values in columns.values() if values.ndim > 1), default=0)
        for column in self._store.columns:
            if column.name not in columns:
                continue
            if not column.changing:
                raise ReplayError(
                    f"Column {column.name!r} is fixed: its rows are saved once. "
                    "Declare it with changing=True to rewrite it."
                )
            shape = (samples, width, *column.shape)
            if columns[column.name].shape != shape:
                raise ShapeError(
                    f"Column {column.name!r} is written with shape {columns[column.name].shape}; "
                    f"expected {shape}: (samples, rows, *shape), as many rows for every column."
                )
        return width
