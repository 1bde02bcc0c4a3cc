"""Environments that break in the middle of a run, where FAULT says how, and some that never fit."""

import os

import gymnasium
import numpy as np
from gymnasium import spaces

steps = 0  # of all environments of this process


def fault() -> str:
    """Return what is to go wrong now: after the first of this process's episodes."""
    return os.environ.get("FAULT", "") if steps > 8 else ""


class Countdown(gymnasium.Env):
    """Six steps, a reward of 1 each; nothing to learn."""

    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        """Begin at 6."""
        super().reset(seed=seed)
        self._left = 6
        return self._seen(), {}

    def step(self, action):
        """Count down, or fail."""
        global steps
        steps += 1
        self._left -= 1
        wrong = fault()
        if wrong == "raise":
            raise RuntimeError("the motor\nhas no power")
        reward = {"reward nan": float("nan"), "huge": 1e38}.get(wrong, 1.0)
        info = {"action_mask": np.zeros(2)} if wrong == "no action" else {}
        return self._seen(wrong), reward, self._left == 0, False, info

    def _seen(self, wrong=""):
        if wrong == "shape":
            return np.zeros(4, np.float32)
        return np.full(3, np.nan if wrong == "nan" else self._left / 6, np.float32)


class Keyed(Countdown):
    """Shows a dict."""

    observation_space = spaces.Dict({"left": Countdown.observation_space})


class Unmade(Countdown):
    """Cannot be made."""

    def __init__(self):
        raise FileNotFoundError("level_1.map")


NOT_AN_ENV = dict
