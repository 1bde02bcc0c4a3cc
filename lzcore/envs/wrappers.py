"""What stands between a Gymnasium environment and GymEnv, where its settings ask for it.

All of them keep an episode a function of its seed and its actions.
"""

from typing import Any, TypeAlias

import gymnasium
import numpy as np

from lzcore.base.seeding import generator, stream_key

AnyEnv: TypeAlias = gymnasium.Env[Any, Any]
StepReturn: TypeAlias = tuple[Any, float, bool, bool, dict[str, Any]]


class NoopStart(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Lets 1 to `most` frames pass without an action, so that episodes start differently."""

    def __init__(self, env: AnyEnv, most: int) -> None:
        super().__init__(env)
        self._most = most

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the episode of `seed`, which also says how many frames pass."""
        observation, info = self.env.reset(seed=seed, options=options)
        count = generator(stream_key(seed or 0, "no-ops")).integers(1, self._most + 1)
        for _ in range(int(count)):
            observation, _, terminated, truncated, info = self.env.step(0)
            if terminated or truncated:
                return self.env.reset(seed=seed, options=options)
        return observation, info


class FrameSkip(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Applies an action several times and adds the rewards up."""

    def __init__(self, env: AnyEnv, times: int, *, pool: bool) -> None:
        """Wrap `env`.

        Args:
            env: without a frame skip of its own.
            times: how often an action is applied; an episode may end before.
            pool: return the brighter of the last two frames, pixel by pixel, because some Atari
                games draw a sprite in every second frame only.
        """
        super().__init__(env)
        self._times = times
        self._pool = pool

    def step(self, action: Any) -> StepReturn:
        """Apply the action up to `times` times; the return is that of the last frame."""
        total = 0.0
        seen: Any = None
        before: Any = None
        for _ in range(self._times):
            before = seen
            seen, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        if self._pool and before is not None:
            seen = np.maximum(before, seen)
        return seen, total, terminated, truncated, info


class LifeEnds(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Reports a lost life as the end of the episode; `reset` starts a new game."""

    _lives = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the episode of `seed` and count its lives."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._lives = info.get("lives", 0)
        return observation, info

    def step(self, action: Any) -> StepReturn:
        """Step, and end the episode if fewer lives are left than before."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        lost = info.get("lives", 0) < self._lives
        return observation, float(reward), bool(terminated or lost), truncated, info
