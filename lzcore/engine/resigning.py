"""Resigning in games for two: who gives up, which games are played on, and what came of those.

Shape letters: N environments, n of them playing.
"""

from typing import NamedTuple

import numpy as np

from lzcore.base.env import Array, Observed
from lzcore.base.seeding import uniform

_STREAM = 0x72657369  # sets the draws here apart from those of the game


class Resigned(NamedTuple):
    """Who gives up in n games that wait for a move."""

    now: Array  # (n,) bool: who moves does
    first: Array  # (n,) int8: of a game that is played on, who wished to first; 0: nobody yet


class Resigning:
    """Knows of N running games whether they are played on, and who would have given up there."""

    def __init__(self, num_envs: int, played_on: float) -> None:
        """Prepare; no game has begun.

        Args:
            num_envs: N.
            played_on: share of the games that are played to their ends all the same.
        """
        self._share = played_on
        self._played_on = np.zeros(num_envs, bool)
        self.first = np.zeros(num_envs, np.int8)  # who would have given up first; 0: nobody yet

    def begin(self, env_id: Array, seeds: Array) -> None:
        """Settle which of the games that begin, with (n,) uint64 seeds, are played on."""
        self._played_on[env_id] = uniform(seeds, _STREAM) < self._share
        self.first[env_id] = 0

    def settle(self, seen: Observed, wishes: Array) -> Resigned:
        """Return who gives up, of those who wish to, (n,) bool: not where the game is played on."""
        played_on, first = self._played_on[seen.env_id], self.first[seen.env_id]
        first = np.where(wishes & played_on & (first == 0), seen.to_play, first)
        self.first[seen.env_id] = first
        return Resigned(wishes & ~played_on, first)
