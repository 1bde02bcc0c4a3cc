"""Tasks that are learned in seconds and that random play fails at."""

import gymnasium
import numpy as np

CODE = (2, 0, 1, 1, 2, 0)  # what opens the lock, digit by digit


class Lock(gymnasium.Env):
    """A digit at a time; a wrong one ends the episode, a right one is worth 1. Random play: 0.5."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (len(CODE),), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = 0
        return self._seen(), {}

    def step(self, action):
        right = action == CODE[self._place]
        self._place += 1
        over = not right or self._place == len(CODE)
        return self._seen(), float(right), bool(over), False, {}

    def _seen(self):
        return np.eye(len(CODE), dtype=np.float32)[min(self._place, len(CODE) - 1)]


class Dial(gymnasium.Env):
    """Turn to the place that is shown, to 0.25; a miss ends the episode. Random play: about 0.3."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    steps = 6

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._done = 0
        return self._turn(), {}

    def step(self, action):
        hit = abs(float(action[0]) - self._wanted) <= 0.25
        self._done += 1
        return self._turn(), float(hit), not hit or self._done == self.steps, False, {}

    def _turn(self):
        self._wanted = self.np_random.uniform(-0.75, 0.75)
        return np.array([self._wanted], np.float32)
