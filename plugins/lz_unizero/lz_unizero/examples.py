"""A small task that cannot be solved without memory: what was shown first decides at the end.

Importing this module registers it with Gymnasium: `--env lz_unizero.examples:MatchToCue-v0`.

Shape letters: K cues.
"""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces


class MatchToCue(gymnasium.Env[npt.NDArray[np.float32], np.int64]):
    """Remember the cue that the first observation shows, and name it when asked.

    The first observation shows one of K cues. `delay` observations follow that show a random
    symbol each and nothing of the cue; then a last one asks. The action taken there earns 1 if it
    is the cue's number and 0 if not, and ends the episode, after delay + 2 steps in all. Actions
    before are free: they earn nothing and change nothing.

    The observation is (2 K + 1,) float32: the cue, one-hot, then zeros; a symbol, one-hot, on all
    but the first; 1 where the question is asked. The cue is uniform over K and symbols do not
    depend on it, so a policy of the last observation alone earns 1 / K at best, whatever it does;
    one that remembers earns 1.

    Source:
        The memory task of bsuite (arXiv:1908.03568, sec. 2), with symbols that distract, as
        pictures do in the visual match of arXiv:1810.06721.
    """

    def __init__(self, delay: int = 10, cues: int = 3) -> None:
        """Make a task that asks `delay` + 1 steps after the cue, which is one of `cues` (K).

        Raises:
            ValueError: there is nothing to remember, or nothing between cue and question.
        """
        if delay < 1 or cues < 2:
            raise ValueError(
                f"delay is {delay} and cues {cues}; expected 1 step or more between cue and "
                "question, and 2 cues or more to tell apart."
            )
        self.delay, self.cues = delay, cues
        self.observation_space = spaces.Box(0.0, 1.0, (2 * cues + 1,))
        self.action_space = spaces.Discrete(cues)  # type: ignore[assignment]
        self.cue, self._step = 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Draw a cue and show it."""
        super().reset(seed=seed)
        self.cue, self._step = int(self.np_random.integers(self.cues)), 0
        return self._seen(self.cue), {}

    def step(
        self, action: np.int64
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one step towards the question, or answer it."""
        answered = self._step == self.delay + 1
        reward = float(answered and int(action) == self.cue)
        self._step += 1
        symbol = int(self.np_random.integers(self.cues))
        return self._seen(self.cues + symbol), reward, answered, False, {}

    def _seen(self, shown: int) -> npt.NDArray[np.float32]:
        """(2 K + 1,): a 1 at `shown`, and at the end if this is the question."""
        seen = np.zeros(2 * self.cues + 1, np.float32)
        seen[shown] = 1.0
        seen[-1] = self._step == self.delay + 1
        return seen


gymnasium.register("MatchToCue-v0", entry_point="lz_unizero.examples:MatchToCue")
