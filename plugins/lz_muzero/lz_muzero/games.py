"""A small game of chance that tells by `info["chance"]` what chance did.

Importing this module registers it with Gymnasium: `--env lz_muzero.games:Small2048-v0`.

Shape letters: N cells in a row, L levels of a tile.
"""

from functools import cache
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

N, L = 3, 11  # no tile on a board of nine cells gets beyond 2^10
FOURS = 0.1  # how often a new tile is a 4

Row = tuple[int, ...]  # of levels: 0 for an empty cell, else the power of two


class Small2048(gymnasium.Env[npt.NDArray[np.float32], np.int64]):
    """2048 on three by three cells: slide, merge, and keep room for the tile that chance adds.

    Actions 0 to 3 slide all tiles to the left, up, right and down; only those that move a tile are
    legal. Two equal tiles that meet become one of their sum, which is the reward; then a 2 or, one
    time in ten, a 4 appears in a cell that is empty. The game is over when no action is legal.

    The observation is one-hot, (N * N * L,): the level of each cell, row by row. `info["chance"]`
    is twice the cell of the new tile, and one more if it is a 4; `action_mask` says what is legal.
    """

    observation_space = spaces.Box(0.0, 1.0, (N * N * L,))
    action_space = spaces.Discrete(4)

    def __init__(self) -> None:
        self.board = np.zeros((N, N), np.int64)  # levels

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Begin with two tiles."""
        super().reset(seed=seed)
        self.board = np.zeros((N, N), np.int64)
        self._add_tile()
        return self._seen(self._add_tile())

    def step(
        self, action: np.int64
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Slide, and let chance add a tile."""
        after, reward = slid(self.board, int(action))
        if (after == self.board).all():
            raise ValueError(f"Action {action} moves no tile. Legal: {legal(self.board)}.")
        self.board = after
        observation, info = self._seen(self._add_tile())
        return observation, float(reward), not legal(self.board), False, info

    def _add_tile(self) -> int:
        cell = int(self.np_random.choice(np.flatnonzero(self.board == 0)))
        four = int(self.np_random.random() < FOURS)
        self.board.flat[cell] = 1 + four
        return 2 * cell + four

    def _seen(self, chance: int) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        mask = np.zeros(4, np.int8)
        mask[legal(self.board) or slice(None)] = 1  # when all is over, nothing is asked of a mask
        seen = np.eye(L, dtype=np.float32)[self.board.ravel()].ravel()
        return seen, {"chance": chance, "action_mask": mask}


def legal(board: npt.NDArray[np.int64]) -> list[int]:
    """Return the actions that move a tile."""
    return [action for action in range(4) if (slid(board, action)[0] != board).any()]


def slid(board: npt.NDArray[np.int64], action: int) -> tuple[npt.NDArray[np.int64], int]:
    """Return (board, reward) after all tiles slid one way, before chance adds one."""
    rows, rewards = zip(*(slid_left(tuple(row)) for row in np.rot90(board, action)), strict=True)
    return np.rot90(np.array(rows), -action).copy(), sum(rewards)


@cache
def slid_left(row: Row) -> tuple[Row, int]:
    """Slide one row and merge each pair of equal tiles that meet, once, from the left."""
    kept: list[int] = []
    reward, waiting = 0, 0  # `waiting`: the tile that may still merge with the next
    for level in filter(None, row):
        if level == waiting:
            kept[-1] += 1
            reward += 2 ** kept[-1]
            waiting = 0
        else:
            kept.append(level)
            waiting = level
    return (*kept, *[0] * (len(row) - len(kept))), reward


gymnasium.register("Small2048-v0", entry_point="lz_muzero.games:Small2048")
