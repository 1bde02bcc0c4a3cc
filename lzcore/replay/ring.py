"""Arrays whose rows have ids that only grow; the row of an id lies at id mod size.

Shape letters: n rows addressed at once.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lzcore.base.replay import Array


class Ring:
    """Columns over the ids tail..head-1: adding moves head, forgetting moves tail."""

    def __init__(self, columns: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
        self.columns = {
            name: np.zeros((0, *shape), dtype) for name, (shape, dtype) in columns.items()
        }
        self.size = 0
        self.tail = 0
        self.head = 0

    def __len__(self) -> int:
        return self.head - self.tail

    def at(self, ids: Any) -> Any:
        """Return where the rows of living ids lie: an int, or (n,) int64 for an array."""
        return ids if self.head <= self.size else ids % self.size

    def get(self, name: str, ids: Array) -> Array:
        """Gather (*ids.shape, *shape) values of a column."""
        found: Array = self.columns[name].take(self.at(ids), axis=0)
        return found

    def row(self, number: int) -> dict[str, int]:
        """Return one row of a ring of integers."""
        place = self.at(number)
        return {name: int(column[place]) for name, column in self.columns.items()}

    def put(self, number: int, **values: int) -> None:
        """Set some columns of one row."""
        place = self.at(number)
        for name, value in values.items():
            self.columns[name][place] = value

    def add(self, count: int) -> int:
        """Append rows of arbitrary content, doubling the arrays if need be.

        Returns:
            The id of the first of them.
        """
        needed = len(self) + count
        if needed > self.size:
            self.resize(max(needed, 2 * self.size))
        self.head += count
        return self.head - count

    def resize(self, size: int) -> None:
        """Move the living rows into arrays of `size` rows, one column after another."""
        for name, old in self.columns.items():
            new = np.zeros((size, *old.shape[1:]), old.dtype)
            for first, stop in spans(self.tail, self.head, self.size, size):
                here, there = first % size, first % self.size
                new[here : here + stop - first] = old[there : there + stop - first]
            self.columns[name] = new
        self.size = size

    def write(self, name: str, first: int, values: Array) -> None:
        """Set the rows from id `first` on to values (n, *shape)."""
        column = self.columns[name]
        for start, stop in spans(first, first + len(values), self.size):
            place = start % self.size
            column[place : place + stop - start] = values[start - first : stop - first]

    def read(self, name: str, first: int | None = None, stop: int | None = None) -> Array:
        """Return rows first..stop-1 in order of their ids (all living ones by default).

        The result is a view where the rows lie side by side, else a copy.
        """
        first = self.tail if first is None else first
        stop = self.head if stop is None else stop
        column = self.columns[name]
        parts = [column[a % self.size :][: b - a] for a, b in spans(first, stop, self.size)]
        if not parts:
            return column[:0]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def extent(self) -> dict[str, int]:
        """Return which ids live, and the size that decides where they lie."""
        return {"tail": self.tail, "head": self.head, "size": self.size}

    def contents(self) -> dict[str, Array]:
        """Return the living rows of every column, in order of their ids."""
        return {name: self.read(name) for name in self.columns}

    def restore(self, extent: Mapping[str, int], contents: Mapping[str, Array]) -> None:
        """Become the ring that had this extent and these living rows; other columns are zero."""
        self.tail = self.head = 0
        self.resize(extent["size"])
        self.tail, self.head = extent["tail"], extent["head"]
        for name, values in contents.items():
            self.write(name, self.tail, values)


def spans(first: int, stop: int, *sizes: int) -> Iterator[tuple[int, int]]:
    """Cut first..stop-1 where an array of one of these sizes begins anew."""
    while first < stop:
        border = min(stop, *(first - first % size + size for size in sizes))
        yield first, border
        first = border
