"""What an environment offers: a batch of N independent ones, any subset of which can be stepped.

Shape letters: n environments addressed by a call, F one frame's shape, A actions, D action width.
Frames keep the environment's own dtype: uint8 images are 0..255, channels first (C, H, W).
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

RESIGN = -1  # in place of an action: who moves gives the game up
ENV_PARTS = ("num_envs", "spaces", "reset", "step", "close")  # of an Env, that every run needs


@attrs.frozen
class ActionSpace:
    """Actions 0..size-1, or vectors of `size` numbers that the environment takes in (-1, 1)."""

    kind: Literal["discrete", "continuous"]
    size: int  # A, or D


@attrs.frozen(kw_only=True)
class Spaces:
    """What goes in and out of an environment, after its adapters."""

    frame_shape: tuple[int, ...]  # F: (O,) for a vector, (C, H, W) for an image or a board
    frame_dtype: np.dtype[Any]
    kind: Literal["vector", "image", "board"]
    action: ActionSpace
    players: Literal[1, 2] = 1


class Observed(NamedTuple):
    """What n environments show before a decision; row i belongs to env_id[i]."""

    env_id: Array  # (n,) int64
    observation: Array  # (n, *F) one frame, or (n, S*F0, *F[1:]) once frames are stacked
    action_mask: Array | None  # (n, A) bool, True = allowed; None: continuous actions
    to_play: Array  # (n,) int8, -1 with one player, else 1 or 2
    timestep: Array  # (n,) int64 steps taken in the episode
    # (n,) int64 >= 0, which outcome of chance led here; anything at a reset. None: not told
    chance: Array | None = None
    # where the rules are known: (n,) object, the positions, and the `Simulator` they belong to
    states: Array | None = None
    simulator: Any = None


class Stepped(NamedTuple):
    """What one step did to n environments."""

    observed: Observed  # after the step; of a finished episode: its final observation
    reward: Array  # (n,) float32, as learning sees it (clipped if so set), for who moved
    terminated: Array  # (n,) bool: the task ended, nothing follows
    truncated: Array  # (n,) bool: we stopped watching, the value goes on
    episode_return: Array  # (n,) float64 sum of unclipped rewards so far, for player 1


class Env(Protocol):
    """A batch of environments. Finished ones wait, unstepped, until they are reset."""

    num_envs: int
    spaces: Spaces

    def reset(self, env_id: Array, seeds: Array) -> Observed:
        """Begin new episodes.

        Args:
            env_id: (n,) int64, which environments.
            seeds: (n,) uint64, one for each; the episode is a function of its seed and actions.
        """

    def step(self, env_id: Array, action: Array) -> Stepped:
        """Apply one action in each of the named environments.

        Args:
            env_id: (n,) int64, all running.
            action: (n,) int64, or (n, D) float32 in (-1, 1). Games for two whose environment is a
                `GameEnv` without a bot also take RESIGN.
        """

    def render(self, env_id: int) -> npt.NDArray[np.uint8]:
        """Return a picture (H, W, 3) of one environment."""

    def close(self) -> None:
        """Let go of every environment."""

    def describe(self) -> Mapping[str, object]:
        """Return plain facts for people: wrappers in force, reward range, episode limit."""
