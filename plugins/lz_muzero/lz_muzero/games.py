"""Small games of chance that tell by `info["chance"]` what chance did.

Importing this module registers them with Gymnasium: `--env lz_muzero.games:MatchTheDie-v0`.
"""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

FACES = 4
STEPS = 20
_BANKED, _MATCHED = 0.6, 2.0  # rewards


class MatchTheDie(gymnasium.Env[npt.NDArray[np.float32], int]):
    """Bank a sure reward, or throw a four-sided die and name what it shows.

    With no die on the table, action 0 banks 0.6 and any other action throws. With a die that shows
    face f, action f earns 2 and takes it off the table, any other action earns nothing and takes it
    off as well. After 20 steps it is over.

    A throw and a match take two steps and earn 2, more than banking twice, because one sees the die
    before one names a face. Who has to name it before the throw earns 0.5 on average, and banks. So
    always throwing and matching returns 20, always banking 12.

    The observation is one-hot in "no die" and the four faces, and the share of steps left behind
    it. `info["chance"]` is 0 where no die was thrown, else its face, 1 to 4.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (FACES + 2,))
        self.action_space = spaces.Discrete(FACES + 1)
        self._face = self._left = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Begin with no die on the table."""
        super().reset(seed=seed)
        self._face, self._left = 0, STEPS
        return self._seen()

    def step(
        self, action: int
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Bank, throw, or name a face."""
        reward = 0.0
        if self._face:
            reward = _MATCHED if action == self._face else 0.0
            self._face = 0
        elif action == 0:
            reward = _BANKED
        else:
            self._face = int(self.np_random.integers(1, FACES + 1))
        self._left -= 1
        observation, info = self._seen()
        return observation, reward, self._left == 0, False, info

    def _seen(self) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        seen = np.zeros(FACES + 2, np.float32)
        seen[self._face] = 1.0
        seen[-1] = self._left / STEPS
        return seen, {"chance": self._face}


gymnasium.register("MatchTheDie-v0", entry_point="lz_muzero.games:MatchTheDie")
