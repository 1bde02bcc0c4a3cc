"""What a game offers a search that knows its rules: positions to look at, and to play on from.

Shape letters: n positions of one call, F an observation's shape, A actions, C outcomes of chance.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from lzcore.base.env import Array, Spaces

State: TypeAlias = Any  # a position as its game keeps it; nothing changes one once it is made


class Positions(NamedTuple):
    """What n positions look like; of a finished one, only what ends a game is meant."""

    observation: Array  # (n, *F) float32, as `Spaces` describes it; at chance's turn the mover's
    legal_actions: Array  # (n, A) bool; at chance's turn and when the game is over none
    to_play: Array  # (n,) int8: 1 or 2, whose turn it is or would be; -1 with one player
    terminal: Array  # (n,) bool: the game is over
    value: Array  # (n,) float64: two players: of a finished game 1, 0 or -1 for `to_play`; else 0
    reward: Array  # (n,) float64: one player: of the action that led here; with two always 0
    ply: Array  # (n,) int64 actions taken since the game began, outcomes of chance not counted
    chance: Array | None = None  # (n, C) how likely each outcome is, rows of 0 where a player moves


class Simulator(Protocol):
    """The rules of a game for one player, or for two of whom one loses what the other wins.

    It keeps no position itself, so one simulator serves any number of games.
    """

    spaces: Spaces
    num_outcomes: int  # C; 0: nothing is left to chance

    def begin(self, seeds: Array) -> list[State]:
        """Return n first positions in which a player moves.

        Args:
            seeds: (n,) uint64; where a game begins with chance, its outcome follows from them.
        """

    def play(self, states: Sequence[State], action: Array) -> list[State]:
        """Return the n positions that one action each, or one outcome of chance, leads to.

        Args:
            states: none of them finished; they stay as they are.
            action: (n,) int64, legal; where chance moves, the number of its outcome.
        Raises:
            ValueError: an action is not legal; says which row.
        """

    def look(self, states: Sequence[State]) -> Positions:
        """Return what n positions look like, each in arrays of its own."""

    def draw(self, state: State) -> str:
        """Return a position as people see it, in lines of text."""

    def name_of(self, state: State, action: int) -> str:
        """Return what people call an action there, such as "e2e4"; one word."""
