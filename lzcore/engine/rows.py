"""Where the steps of running episodes are written until the episode is handed over.

Shape letters: N environments, n of them in a call, P pages of R rows each, L steps of an episode.
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

        The rows of an episode are placed one after another, from 0.
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

    def cut(self, env_id: int, length: int, closing: Mapping[str, Any]) -> dict[str, Array]:
        """Copy an ended episode out, add its closing row, and let go of its pages.

        Args:
            env_id: whose episode.
            length: L.
            closing: column -> value of the closing row; the other columns get their pad.
        Returns:
            Column -> (L + 1, *shape).
        """
        row = np.arange(length)
        place = self._page[env_id, row // self._rows], row % self._rows
        found = {}
        for name, block in self._blocks.items():
            found[name] = np.empty((length + 1, *block.shape[2:]), block.dtype)
            found[name][:length] = block[place]
            found[name][length] = closing.get(name, self._pad[name])
        self._free += self._page[env_id][self._page[env_id] >= 0].tolist()
        self._page[env_id] = -1
        return found

    def names(self, but: Collection[str] = ()) -> tuple[str, ...]:
        """Return the columns' names, without some."""
        return tuple(name for name in self._blocks if name not in but)
