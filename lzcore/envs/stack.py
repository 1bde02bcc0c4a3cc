"""The last S frames of each environment, which some policies look at together.

Shape letters: N environments, n of them addressed by a call, S frames, F one frame's shape.
"""

import numpy as np

from lzcore.base.env import Array, Spaces


class FrameStack:
    """Remembers frames and hands them out stacked along their first axis, oldest first."""

    def __init__(self, num_envs: int, frames: int, spaces: Spaces) -> None:
        """Make room for `frames` frames of each of `num_envs` environments.

        Args:
            num_envs: N.
            frames: S, at least 1.
            spaces: what the frames look like.
        """
        self._size = frames
        first, *rest = spaces.frame_shape
        self._shape = (frames * first, *rest)
        self._next = np.zeros(num_envs, np.int64)  # where an environment's next frame goes
        shape = (num_envs, frames, *spaces.frame_shape) if frames > 1 else (0,)
        self._ring = np.empty(shape, spaces.frame_dtype)
        self._latest: dict[int, Array] = {}  # S = 1: views of what was pushed
        self._pushed: tuple[Array, Array] | None = None  # S = 1: ids and frames of the last push

    def reset(self, env_id: Array, frames: Array) -> None:
        """Begin episodes: all S frames are copies of the first.

        Args:
            env_id: (n,) int64.
            frames: (n, *F) first frames, kept by reference if S = 1.
        """
        if self._size == 1:
            self.push(env_id, frames)
        else:
            self._ring[env_id] = frames[:, None]

    def push(self, env_id: Array, frames: Array) -> None:
        """Add the frame (n, *F) that follows, and forget the oldest."""
        if self._size == 1:
            self._pushed = env_id, frames
            for i, frame in zip(env_id.tolist(), frames, strict=True):
                self._latest[i] = frame
            return
        slot = self._next[env_id]
        self._ring[env_id, slot] = frames
        self._next[env_id] = (slot + 1) % self._size

    def observation(self, env_id: Array) -> Array:
        """Return (n, S*F0, *F[1:]): the stacked frames of each environment, oldest first.

        If S = 1 and the environments are those of the last push, it is what was pushed.
        """
        if self._size == 1:
            return self._single(env_id)
        oldest_first = (self._next[env_id][:, None] + np.arange(self._size)) % self._size
        found: Array = self._ring[env_id[:, None], oldest_first]  # (n, S, *F)
        return found.reshape(len(env_id), *self._shape)

    def _single(self, env_id: Array) -> Array:
        if self._pushed is not None and np.array_equal(self._pushed[0], env_id):
            return self._pushed[1]
        return np.stack([self._latest[i] for i in env_id.tolist()])
