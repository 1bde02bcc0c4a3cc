"""What plays against an agent, or in its place: anything that chooses actions in a game."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from lzcore.base.env import Array
from lzcore.base.errors import ContractError
from lzcore.base.simulator import Simulator, State


def legal_moves(player: Any, found: Any, allowed: Array) -> Array:
    """Return the actions that a player chose, if they are some that it may choose.

    Args:
        player: who chose.
        found: what it chose, (n,) whole numbers in [0, A).
        allowed: (n, A) bool, what is legal.
    Returns:
        (n,) int64.
    Raises:
        ContractError: it is something else; the message names the first that is illegal.
    """
    moves = np.asarray(found)
    if moves.shape != allowed.shape[:1] or moves.dtype.kind not in "iu":
        raise ContractError(
            player,
            f"chose actions of {moves.dtype}, shape {moves.shape}, in {len(allowed)} positions; "
            "expected a whole number for each.",
        )
    size = allowed.shape[1]
    right = (moves >= 0) & (moves < size) & allowed[np.arange(len(moves)), moves % size]
    if np.count_nonzero(right) < len(right):
        row = int(right.argmin())
        raise ContractError(
            player,
            f"chose the illegal action {moves[row]}; legal in that position are "
            f"{np.flatnonzero(allowed[row]).tolist()}.",
        )
    return moves.astype(np.int64, copy=False)


class Opponent(Protocol):
    """Chooses actions in the positions of one game."""

    def __init__(self, simulator: Simulator, argument: str) -> None:
        """Prepare to play.

        Args:
            simulator: of the game.
            argument: what stands behind the colon in a name such as "mcts:1000"; "" if none does.
        Raises:
            ConfigError: the argument means nothing to it, or it cannot play this game.
        """

    def act(self, states: Sequence[State], seeds: Array) -> Array:
        """Return (n,) int64, a legal action for each position, for whoever moves there.

        Args:
            states: n positions in which a player moves.
            seeds: (n,) uint64: equal positions with equal seeds get equal actions, whatever other
                positions there are in the call.
        """
