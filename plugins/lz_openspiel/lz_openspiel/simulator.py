"""The rules of a game of OpenSpiel, for many positions at a time.

Shape letters: n positions of one call, F an observation's shape, K numbers in OpenSpiel's tensor,
A actions, C outcomes of chance.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import pyspiel

from lz_openspiel.loading import load_game
from lzcore.base.env import ActionSpace, Array, Spaces
from lzcore.base.seeding import uniform
from lzcore.base.simulator import Positions
from lzcore.envs.games import drawn

_CHANCE, _OVER = int(pyspiel.PlayerId.CHANCE), int(pyspiel.PlayerId.TERMINAL)


class Position(NamedTuple):
    """A state of OpenSpiel, never changed once it is here, and what it does not remember itself."""

    game: Any  # pyspiel.State
    player: int  # whose turn it is, by OpenSpiel's numbers: 0, 1, _CHANCE or _OVER
    mover: int  # who took the last action: 1 or 2; nobody yet: 1
    ply: int  # actions taken, outcomes of chance not counted
    reward: float  # of the action that led here, in games for one player


class OpenSpielGame:
    """A `lzcore.base.Simulator`; actions and outcomes of chance have OpenSpiel's numbers.

    An observation is OpenSpiel's tensor for who moves (at chance's turn, who moved last). With two
    players one more plane, or number, is 1 where player 1 moves. Of 2048's tiles log2 / 16 is
    shown. Values are scaled by the most that can be won.
    """

    def __init__(self, name: str) -> None:
        """Load a game.

        Args:
            name: OpenSpiel's, with parameters in brackets.
        Raises:
            EnvError: as for `load_game`.
        """
        self.game = load_game(name)
        self.num_outcomes: int = self.game.max_chance_outcomes()
        players: Literal[1, 2] = self.game.num_players()
        board = _board(self.game.observation_tensor_shape())
        size = int(np.prod(board))
        first = (board[0] if len(board) == 3 else size) + (players - 1)
        self.spaces = Spaces(
            frame_shape=(first, *board[1:]) if len(board) == 3 else (first,),
            frame_dtype=np.dtype(np.float32),
            kind="board" if len(board) == 3 else "vector",
            action=ActionSpace("discrete", self.game.num_distinct_actions()),
            players=players,
        )
        self._two = players == 2
        self._most = max(abs(self.game.min_utility()), abs(self.game.max_utility()))
        self._logarithmic = self.game.get_type().short_name == "2048"
        self._start = self._position(self.game.new_initial_state(), 1, 0)
        self._observer = pyspiel._Observation(self.game, self.game.make_observer({}))
        self._tensor = memoryview(np.frombuffer(self._observer, np.float32)).cast("B")  # K numbers

    # --- positions ------------------------------------------------------------------------------

    def begin(self, seeds: Array) -> list[Position]:
        """Return n first positions in which a player moves."""
        if self._start.player != _CHANCE:
            return [self._start] * len(seeds)
        return [self._begun(seed) for seed in seeds]

    def _begun(self, seed: np.uint64) -> Position:
        state, draws = self.game.new_initial_state(), 0
        while state.is_chance_node():
            outcomes, chances = zip(*state.chance_outcomes(), strict=True)
            number = np.atleast_1d(uniform(np.asarray(seed), draws))
            state.apply_action(outcomes[int(drawn(np.array([chances]), number)[0])])
            draws += 1
        return self._position(state, 1, 0)

    def _position(self, state: Any, mover: int, ply: int, reward: float = 0.0) -> Position:
        return Position(state, state.current_player(), mover, ply, reward)

    def play(self, states: Sequence[Position], action: Array) -> list[Position]:
        """Return the n positions that one action each, or one outcome of chance, leads to."""
        after: list[Position] = []
        for (game, player, mover, ply, _), taken in zip(states, action.tolist(), strict=True):
            state = game.clone()
            try:
                state.apply_action_with_legality_check(taken)
            except pyspiel.SpielError as err:
                raise ValueError(f"Action {taken} is not legal in row {len(after)}.") from err
            if player >= 0:
                mover, ply = player + 1, ply + 1
            reward = 0.0 if self._two else state.player_return(0) - game.player_return(0)
            after.append(Position(state, state.current_player(), mover, ply, reward))
        return after

    # --- what they look like --------------------------------------------------------------------

    def look(self, states: Sequence[Position]) -> Positions:
        """Return what n positions look like, each in arrays of its own."""
        games, *numbers = zip(*states, strict=True) if states else [()] * len(Position._fields)
        player, mover, ply = (np.array(column, np.int64) for column in numbers[:3])
        over = player == _OVER
        whose = np.where(player >= 0, player + 1, np.where(over, 3 - mover, mover))
        if not self._two:
            whose[:] = 1
        return Positions(
            observation=self._observation(games, whose),
            legal_actions=self._legal(games, player),
            to_play=(whose if self._two else -whose).astype(np.int8),
            terminal=over,
            value=self._value(games, over, whose),
            reward=np.array(numbers[3], np.float64),
            ply=ply,
            chance=self._chances(games, player) if self.num_outcomes else None,
        )

    def _observation(self, games: Sequence[Any], whose: Array) -> Array:
        """Return (n, *F) float32, each position as the player of (n,) `whose` sees it."""
        found = np.empty((len(games), *self.spaces.frame_shape), np.float32)
        if not games:
            return found
        into, step = memoryview(found.reshape(-1)).cast("B"), found[0].nbytes
        tensor, size, observe = self._tensor, self._tensor.nbytes, self._observer.set_from
        place = 0
        for game, player in zip(games, (whose - 1).tolist(), strict=True):
            observe(game, player)
            into[place : place + size] = tensor
            place += step
        if self._two:
            found.reshape(len(games), -1)[:, size // 4 :] = (whose == 1)[:, None]
        if self._logarithmic:
            np.log2(np.maximum(found, 1.0), out=found)
            found /= 16.0
        return found

    def _legal(self, games: Sequence[Any], player: Array) -> Array:
        """Return (n, A) bool."""
        found = np.zeros((len(games), self.spaces.action.size), bool)
        lists = [
            game.legal_actions() if moves else ()
            for game, moves in zip(games, (player >= 0).tolist(), strict=True)
        ]
        rows = np.repeat(np.arange(len(lists)), [len(actions) for actions in lists])
        found[rows, np.fromiter(chain.from_iterable(lists), np.int64, len(rows))] = True
        return found

    def _value(self, games: Sequence[Any], over: Array, whose: Array) -> Array:
        """Return (n,) float64: what the finished ones among games for two are worth to `whose`."""
        found = np.zeros(len(games))
        for row in np.flatnonzero(over).tolist() if self._two else ():
            found[row] = games[row].player_return(int(whose[row]) - 1) / self._most
        return found

    def _chances(self, games: Sequence[Any], player: Array) -> Array:
        """Return (n, C) float64."""
        found = np.zeros((len(games), self.num_outcomes))
        for row in np.flatnonzero(player == _CHANCE).tolist():
            outcomes, chances = zip(*games[row].chance_outcomes(), strict=True)
            found[row, outcomes] = chances
        return found

    # --- for people -----------------------------------------------------------------------------

    def draw(self, state: Position) -> str:
        """Return OpenSpiel's text of a position."""
        return str(state.game)

    def name_of(self, state: Position, action: int) -> str:
        """Return OpenSpiel's name of an action there, without blanks."""
        return "".join(state.game.action_to_string(state.player, action).split())


def _board(shape: Sequence[int]) -> tuple[int, ...]:
    """Return (C, H, W) of a tensor that is a board, else (K,).

    Two axes are a board of one plane where their sides are alike, else a table of numbers.
    """
    if len(shape) == 3:
        return tuple(shape)
    if len(shape) == 2 and max(shape) <= 3 * min(shape):
        return (1, *shape)
    return (int(np.prod(shape)),)
