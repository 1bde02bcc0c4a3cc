"""Where the steps of running episodes are written until they are handed over.

Shape letters: N environments, n of them in a call, P pages of R rows each, L steps handed over.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lzcore.base.replay import Column

Array: TypeAlias = npt.NDArray[Any]
Place: TypeAlias = tuple[Array, Array]  # (n,) pages and (n,) rows in them


class RowBlocks:
    """One block (P, R, *shape) for each column; an environment has as many pages as it needs.

    Memory goes with the rows of all running episodes together, not with the longest of them
    times N, and a step of all environments is still written at once.
    """

    def __init__(self, columns: Sequence[Column], num_envs: int, rows: int = 256) -> None:
        self._pad = {column.name: column.pad for column in columns}
        self._rows = rows  # R
        self._page = np.full((num_envs, 1), -1)  # of each environment, in order; -1: none yet
        self._free = list(range(num_envs))
        self._blocks = {
            column.name: np.empty((num_envs, rows, *column.shape), column.dtype)
            for column in columns
        }

    def place(self, env_id: Array, row: Array) -> Place:
        """Return where row number row[i] of environment env_id[i] is written, (n,) each.

        Rows are placed one after another, from 0, until they are cut out.
        """
        number = row // self._rows
        if number.max() >= self._page.shape[1]:
            self._page = np.pad(self._page, ((0, 0), (0, 1)), constant_values=-1)
        page = self._page[env_id, number]
        if page.min() < 0:
            for i in np.flatnonzero(page < 0).tolist():
                page[i] = self._page[env_id[i], number[i]] = self._take()
        return page, row % self._rows

    def _take(self) -> int:
        """Return a page that no environment has; there are twice as many when none is left."""
        if not self._free:
            for name, block in self._blocks.items():
                grown = np.empty((2 * len(block), *block.shape[1:]), block.dtype)
                grown[: len(block)] = block
                self._blocks[name] = grown
            self._free = list(range(len(block), len(grown)))
        return self._free.pop()

    def write(self, name: str, place: Place, values: Any) -> None:
        """Write (n, *shape) values of one column."""
        self._blocks[name][place] = values

    def cut(
        self, env_id: int, length: int, closing: Mapping[str, Any] | None = None
    ) -> dict[str, Array]:
        """Copy rows out, and let go of their pages: the environment's next row is number 0 again.

        Args:
            env_id: whose rows.
            length: L, all that were written.
            closing: of an ended episode: column -> value of the closing row; the other columns
                get their pad. None: it goes on, and there is no such row.
        Returns:
            Column -> (L, *shape), or (L + 1, *shape) with a closing row.
        """
        found = self.read(env_id, length, extra=closing is not None)
        for name, values in found.items():
            if closing is not None:
                values[length] = closing.get(name, self._pad[name])
        self._free += self._page[env_id][self._page[env_id] >= 0].tolist()
        self._page[env_id] = -1
        return found

    def read(self, env_id: int, length: int, *, extra: bool = False) -> dict[str, Array]:
        """Return a copy of the first L rows of each column, (L, *shape).

        Args:
            env_id: whose rows.
            length: L.
            extra: return one row more, in which nothing is written yet.
        """
        row = np.arange(length)
        place = self._page[env_id, row // self._rows], row % self._rows
        found = {}
        for name, block in self._blocks.items():
            found[name] = np.empty((length + extra, *block.shape[2:]), block.dtype)
            found[name][:length] = block[place]
        return found

    def put(self, env_id: int, length: int, columns: Mapping[str, Array]) -> None:
        """Write the first L rows of an environment, as `read` returned them."""
        for row in range(length):
            place = self.place(np.array([env_id]), np.array([row]))
            for name, values in columns.items():
                self.write(name, place, values[row])

    def names(self, but: Collection[str] = ()) -> tuple[str, ...]:
        """Return the columns' names, without some."""
        return tuple(name for name in self._blocks if name not in but)
