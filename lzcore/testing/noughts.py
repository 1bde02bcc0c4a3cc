"""Noughts and crosses with its rules: a game for tests that search or learn with a simulator."""

from collections.abc import Sequence

import attrs
import numpy as np

from lzcore.base.env import ActionSpace, Array, Spaces
from lzcore.base.simulator import Positions

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
Board = tuple[int, ...]  # nine cells, row by row: 0, or the player whose stone lies there


class Noughts:
    """A `lzcore.base.Simulator`; a state is a `Board`, and player 1 begins.

    Observations are planes (3, 3, 3): own stones, the other player's, and ones if player 1 moves.
    """

    spaces = Spaces(
        frame_shape=(3, 3, 3),
        frame_dtype=np.dtype(np.float32),
        kind="board",
        action=ActionSpace("discrete", 9),
        players=2,
    )
    num_outcomes = 0

    def begin(self, seeds: Array) -> list[Board]:
        """Return empty boards."""
        return [(0,) * 9] * len(seeds)

    def play(self, states: Sequence[Board], action: Array) -> list[Board]:
        """Put a stone of whose turn it is into a free cell of each board."""
        after = []
        for row, (board, cell) in enumerate(zip(states, action.tolist(), strict=True)):
            if board[cell] or winner(board):
                raise ValueError(f"Action {cell} is not legal in row {row}.")
            after.append((*board[:cell], to_play(board), *board[cell + 1 :]))
        return after

    def look(self, states: Sequence[Board]) -> Positions:
        """Return what these boards look like."""
        boards = np.array(states, np.int8).reshape(-1, 9)
        mover = np.array([to_play(board) for board in states], np.int8)
        won = np.array([winner(board) for board in states], np.int8)
        over = (won > 0) | (boards > 0).all(axis=1)
        whose = mover[:, None]
        planes = (boards == whose, (boards > 0) & (boards != whose), whose + 0 * boards == 1)
        return Positions(
            observation=np.stack(planes, axis=1).reshape(-1, 3, 3, 3).astype(np.float32),
            legal_actions=(boards == 0) & ~over[:, None],
            to_play=mover,
            terminal=over,
            value=np.where(won > 0, np.where(won == mover, 1.0, -1.0), 0.0),
            reward=np.zeros(len(boards)),
            ply=(boards > 0).sum(axis=1),
        )

    def draw(self, state: Board) -> str:
        """Return three lines of x (player 1), o and dots."""
        cells = "".join(".xo"[stone] for stone in state)
        return "\n".join(cells[row : row + 3] for row in (0, 3, 6))

    def name_of(self, state: Board, action: int) -> str:
        """Return the cell's column and row, "a1" to "c3"."""
        return "abc"[action % 3] + str(1 + action // 3)


class FlatNoughts(Noughts):
    """The same game, shown as one vector (27,) for policies and models that want vectors."""

    spaces = attrs.evolve(Noughts.spaces, frame_shape=(27,), kind="vector")

    def look(self, states: Sequence[Board]) -> Positions:
        """Return what these boards look like, their planes one behind the other."""
        seen = super().look(states)
        return seen._replace(observation=seen.observation.reshape(-1, 27))


def to_play(board: Board) -> int:
    """Return whose turn it is."""
    return 1 + sum(stone > 0 for stone in board) % 2


def winner(board: Board) -> int:
    """Return who has three in a line; 0: nobody."""
    for a, b, c in LINES:
        if board[a] and board[a] == board[b] == board[c]:
            return board[a]
    return 0
