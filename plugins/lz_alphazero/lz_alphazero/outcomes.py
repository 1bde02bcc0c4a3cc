"""What a game came to, seen from each of its positions.

Shape letters: L moves of a game.
"""

import numpy as np
import numpy.typing as npt

from lzcore.base.tree import Array


def outcomes(reward: Array, to_play: Array, *, finished: bool) -> npt.NDArray[np.float32]:
    """Return the (L,) values that the positions of a game turned out to have.

    Args:
        reward: (L,) of each move, for the player who made it.
        to_play: (L,) who moved, 1 or 2; -1 everywhere with one player.
        finished: the game came to its end. One of two players that was broken off counts as drawn.
    Returns:
        With two players the result for who moved there: what all moves brought him, less what they
        brought the other. With one player the sum of the rewards from there on.
    """
    if (to_play < 0).all():
        return np.cumsum(reward[::-1], dtype=np.float64)[::-1].astype(np.float32)
    side = np.where(to_play == 1, 1.0, -1.0)
    total = float(side @ reward) if finished else 0.0
    return (side * total).astype(np.float32)
