"""Small games of chance that tell by `info["chance"]` what chance did.

Importing this module registers them with Gymnasium: `--env lz_muzero.games:TakeOrLeave-v0`.
"""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

STEPS = 20
BANKED = 0.6  # reward
WORTH = (0.0, 3.0, -6.0)  # of no card, a good one, a bad one
GOOD = 2 / 3  # chance of a good card


class TakeOrLeave(gymnasium.Env[npt.NDArray[np.float32], np.int64]):
    """Bank a sure reward, or draw a card, look at it, and take or leave it.

    With no card on the table, action 0 banks 0.6 and action 1 draws a card: two in three are worth
    3, the others -6. With a card there, action 1 takes it for what it is worth, action 0 leaves it
    for nothing; either way it is gone. After 20 steps the game is over.

    A card is worth nothing on average, so who decides before the draw what to do with it does
    better to bank, and gets 12. Who looks first takes the good ones alone: 2 for two steps instead
    of 1.2, and 20 in all.

    The observation is one-hot in no card, a good one and a bad one, with the share of steps left
    behind it. `info["chance"]` is the number of the card that was drawn, 0 if none was.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (len(WORTH) + 1,))
        self.action_space = spaces.Discrete(2)
        self._card = self._left = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Begin with no card on the table."""
        super().reset(seed=seed)
        self._card, self._left = 0, STEPS
        return self._seen()

    def step(
        self, action: np.int64
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Bank or draw; leave or take."""
        reward = 0.0
        if self._card:
            reward = WORTH[self._card] if action else 0.0
            self._card = 0
        elif action:
            self._card = 1 if self.np_random.random() < GOOD else 2
        else:
            reward = BANKED
        self._left -= 1
        observation, info = self._seen()
        return observation, reward, self._left == 0, False, info

    def _seen(self) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        seen = np.zeros(len(WORTH) + 1, np.float32)
        seen[self._card] = 1.0
        seen[-1] = self._left / STEPS
        return seen, {"chance": self._card}


gymnasium.register("TakeOrLeave-v0", entry_point="lz_muzero.games:TakeOrLeave")
