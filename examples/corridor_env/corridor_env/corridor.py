"""A corridor with a key at one end and a door at the other, as Gymnasium knows it."""

from typing import Any

import gymnasium
import numpy as np

LEFT, RIGHT, USE = range(3)


class Corridor(gymnasium.Env):
    """Fetch the key at the left end and open the door at the right one, which pays 1.

    Three actions: left, right, and use what lies there. Those without effect are not legal, which
    `info["action_mask"]` says. An observation is where you are (one of `places`) and whether you
    have the key.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(self, places: int, render_mode: str | None = "rgb_array") -> None:
        self.places = places
        self.limit = 8 * places  # steps after which nobody watches any more
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (places + 1,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin anywhere, without the key."""
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(self.places)), 0
        self.has_key = self.is_open = False
        return self._seen(), {"action_mask": self._legal()}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move, or use what lies here."""
        if self._legal()[action]:
            self.place += {LEFT: -1, RIGHT: 1, USE: 0}[int(action)]
            self.is_open = action == USE and self.has_key
            self.has_key = self.has_key or action == USE
        self.steps += 1
        over = self.is_open, self.steps >= self.limit
        return self._seen(), float(self.is_open), *over, {"action_mask": self._legal()}

    def render(self) -> np.ndarray:
        """Draw the corridor, (16, 16 * places, 3): the key yellow, the door brown, you blue."""
        colours = np.full((self.places, 3), 230, np.uint8)
        colours[-1] = (130, 80, 40)
        if not self.has_key:
            colours[0] = (240, 200, 40)
        colours[self.place] = (40, 90, 200)
        return colours.repeat(16, axis=0)[None].repeat(16, axis=0)

    def _legal(self) -> np.ndarray:
        """Return (3,) int8, 1 where an action has an effect."""
        at_door = self.place == self.places - 1
        usable = at_door if self.has_key else self.place == 0
        return np.array([self.place > 0, not at_door, usable], np.int8)

    def _seen(self) -> np.ndarray:
        seen = np.zeros(self.places + 1, np.float32)
        seen[self.place], seen[-1] = 1.0, self.has_key
        return seen
