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
WORTH = (0.0, 3.0, -6.0, 10.0, -1.5)  # of no card; a good and a bad one of each deck
GOOD = (2 / 3, 0.1)  # chance of the good card, by deck


class TakeOrLeave(gymnasium.Env[npt.NDArray[np.float32], np.int64]):
    """Bank a sure reward, or draw a card from one of two decks, look at it, and take or leave it.

    With no card on the table, action 0 banks 0.6, action 1 draws from the first deck and action 2
    from the second. With a card there, action 0 leaves it for nothing, the others take it for what
    it is worth; either way it is gone. After 20 steps the game is over.

    | deck | good card | bad card | on average | the good ones alone |
    |---|---|---|---|---|
    | first | 3, two in three | -6 | 0 | 2 |
    | second | 10, one in ten | -1.5 | -0.35 | 1 |

    A draw and a take are two steps, in which banking earns 1.2. So looking first at cards of the
    first deck is best, and gets 20 in all. Who imagines one state after a draw errs in one of two
    ways: to take what comes is worth nothing on average, so bank, and get 12; or taken cards have
    always been good ones, so draw from the second deck, and get 10.

    The observation is one-hot in no card and the four, with the share of steps left behind it.
    `info["chance"]` is the number of the card that was drawn, 0 if none was.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (len(WORTH) + 1,))
        self.action_space = spaces.Discrete(len(GOOD) + 1)
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
            good = self.np_random.random() < GOOD[action - 1]
            self._card = int(2 * action - good)
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
