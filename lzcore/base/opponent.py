"""What plays against an agent, or in its place: anything that chooses actions in a game."""

from collections.abc import Sequence
from typing import Protocol

from lzcore.base.env import Array
from lzcore.base.simulator import Simulator, State


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
