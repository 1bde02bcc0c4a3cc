"""Small tasks that benchmarks train on, registered with Gymnasium: `--env tasks:TicTacToe-v0`.

They are found where this folder is on the Python path, as it is for the scripts beside this file.
"""

from typing import Any

import gymnasium
import numpy as np

LINES = np.array(
    [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
)


class TicTacToe(gymnasium.Env[np.ndarray, int]):
    """Noughts and crosses as one player sees it: a step is a move and the opponent's reply.

    The opponent completes a line if it can, else blocks one if it must, else moves at random, and
    begins every other game. The reward is 1 for a win, -1 for a loss, 0 for a draw and before the
    end. The observation is three planes: own stones, the opponent's, and ones.
    """

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (3, 3, 3), np.float32)
    action_space = gymnasium.spaces.Discrete(9)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begin a game."""
        super().reset(seed=seed)
        self._board = np.zeros(9, np.int8)  # 1: own, -1: the opponent's
        if self.np_random.random() < 0.5:
            self._reply()
        return self._seen(), self._info()

    def step(self, action: int) -> Any:
        """Move, and let the opponent reply."""
        if self._board[action]:
            raise ValueError(f"Square {action} is taken.")
        self._board[action] = 1
        if not self._over():
            self._reply()
        won = self._lines() == 3
        lost = self._lines() == -3
        reward = float(won.any()) - float(lost.any())
        return self._seen(), reward, self._over(), False, self._info()

    def _reply(self) -> None:
        lines = self._lines()
        for owned in (-2, 2):  # win, else block
            for line in LINES[lines == owned]:
                self._board[line[self._board[line] == 0][0]] = -1
                return
        self._board[self.np_random.choice(np.flatnonzero(self._board == 0))] = -1

    def _lines(self) -> np.ndarray:
        return self._board[LINES].sum(axis=1)

    def _over(self) -> bool:
        return bool((np.abs(self._lines()) == 3).any() or self._board.all())

    def _seen(self) -> np.ndarray:
        own, theirs = self._board == 1, self._board == -1
        return np.stack([own, theirs, np.ones(9)]).reshape(3, 3, 3).astype(np.float32)

    def _info(self) -> dict[str, Any]:
        free = np.ones(9, bool) if self._over() else self._board == 0
        return {"action_mask": free.astype(np.int8)}


class Corner(gymnasium.Env[np.ndarray, int]):
    """Walk into a corner of five by five cells: actions 0 to 3 are left, up, right and down.

    The start is any other cell, drawn anew in each episode, which ends in the corner (reward 1)
    or, truncated, after 20 steps; each step costs 0.02, and walls stop a step. It takes four and a
    sixth steps on average, so perfect play earns 0.917. The observation says in one-hot where one
    is: cell 5 r + c for row r and column c, and the corner is cell 24.
    """

    SIDE, LIMIT, COST = 5, 20, 0.02
    WAYS = np.array([(0, -1), (-1, 0), (0, 1), (1, 0)])
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (SIDE**2,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Draw a start."""
        super().reset(seed=seed)
        self._at = np.array(divmod(self.np_random.integers(self.SIDE**2 - 1), self.SIDE))
        self._left = self.LIMIT
        return self._seen(), {}

    def step(self, action: int) -> Any:
        """Take a step."""
        self._at = np.clip(self._at + self.WAYS[action], 0, self.SIDE - 1)
        self._left -= 1
        there = bool((self._at == self.SIDE - 1).all())
        return self._seen(), float(there) - self.COST, there, self._left == 0, {}

    def _seen(self) -> np.ndarray:
        return np.eye(self.SIDE**2, dtype=np.float32)[self._at @ (self.SIDE, 1)]


class Pictures(gymnasium.Env[np.ndarray, int]):
    """Random pictures that mean nothing, for timing: 64 x 64 in grey, six actions, 200 steps."""

    observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 1), np.uint8)
    action_space = gymnasium.spaces.Discrete(6)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begin an episode."""
        super().reset(seed=seed)
        self._left = 200
        return self._drawn(), {}

    def step(self, action: int) -> Any:
        """Draw the next picture."""
        self._left -= 1
        return self._drawn(), 0.0, self._left == 0, False, {}

    def _drawn(self) -> np.ndarray:
        return self.np_random.integers(0, 256, (64, 64, 1), np.uint8)


gymnasium.register("TicTacToe-v0", entry_point=TicTacToe)
gymnasium.register("Corner-v0", entry_point=Corner)
gymnasium.register("Pictures-v0", entry_point=Pictures)
