"""Opponents that every game has: one that plays at random, and one that makes no mistake.

Shape letters: n positions of one call, A actions, C outcomes of chance.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from lzcore.base.env import Array
from lzcore.base.errors import ConfigError
from lzcore.base.opponent import Opponent
from lzcore.base.seeding import uniform
from lzcore.base.simulator import Positions, Simulator, State
from lzcore.registry import Registry

MOST_POSITIONS = 1_000_000  # that minimax visits unless it is told otherwise
SAME = 1e-9  # values of moves that differ by no more are equal


def make_opponent(name: str, simulator: Simulator, registry: Registry) -> Opponent:
    """Make a registered opponent.

    Args:
        name: of it, what it is told behind a colon ("mcts:1000"); before it, where two
            distributions claim the name, the one that is meant ("lz-mine:mcts:1000").
        simulator: of the game.
        registry: finds it.
    Raises:
        ConfigError: the argument means nothing to it, or it cannot play this game.
        UnknownNameError, PluginError: it is not installed, or broken.
    """
    first, _, argument = name.partition(":")
    if any(first == found.distribution for found in registry.components("opponents")):
        second, _, argument = argument.partition(":")
        first = f"{first}:{second}"
    made: Opponent = registry.resolve("opponents", first)(simulator, argument)
    return made


class RandomOpponent:
    """Plays uniformly over the legal actions."""

    def __init__(self, simulator: Simulator, argument: str) -> None:
        """Prepare to play; it takes no argument."""
        if argument:
            raise ConfigError(f'The opponent "random" takes no argument; got {argument!r}.')
        self._simulator = simulator

    def act(self, states: Sequence[State], seeds: Array) -> Array:
        """Return (n,) int64 legal actions."""
        return _drawn(self._simulator.look(states).legal_actions, seeds)


def _drawn(allowed: Array, seeds: Array) -> Array:
    """Return in each row of (n, A) bool one of the columns that are True, all alike: (n,) int64."""
    place = (uniform(seeds, 0) * allowed.sum(axis=1)).astype(np.int64)  # which of the allowed ones
    found: Array = (allowed.cumsum(axis=1) > place[:, None]).argmax(axis=1)
    return found


class _Layer(NamedTuple):
    """Positions that are the same number of moves away from where a solution began."""

    keys: list[Hashable]
    reward: Array  # (n,) float64 of arriving there, for player 1
    value: Array  # (n,) float64 for player 1, of finished games and of those known before
    open: Array  # (m,) int64 rows that are played on from
    first: Array  # (m,) int64 where the moves of such a row begin in `below` and `chance`
    below: list[Hashable]  # keys of the positions that the moves lead to
    chance: Array  # (moves,) float64 how likely each is; where a player moves, 1
    kind: Array  # (m,) int8: 0 chance, 1 player 1 (or the only one), 2 player 2


class Minimax:
    """Plays perfectly, having looked at every position; equally good moves are drawn from.

    Where chance moves, values are means over its outcomes. Positions that look alike in everything
    that the simulator tells of them are visited once.
    """

    def __init__(self, simulator: Simulator, argument: str) -> None:
        """Solve the game.

        Args:
            simulator: of a game for one or two players.
            argument: the most positions to visit; "" for a million.
        Raises:
            ConfigError: the argument is no number, or the game has more positions.
        """
        self._simulator = simulator
        self._most = _number(argument)
        self._worth: dict[Hashable, float] = {}  # of arriving at a position and going on, player 1
        start = simulator.begin(np.zeros(1, np.uint64))
        self._comparable = _compares(simulator, start[0])
        self._solve(start)

    def act(self, states: Sequence[State], seeds: Array) -> Array:
        """Return (n,) int64, of each position one of the best actions."""
        worth = self.worth_of_actions(states)
        best = worth.max(axis=1, keepdims=True)
        return _drawn(worth >= best - SAME, seeds)

    def worth_of_actions(self, states: Sequence[State]) -> Array:
        """Return (n, A) float64, what each action is worth to who moves; -inf: it is not legal.

        Args:
            states: n positions in which a player moves.
        """
        seen = self._simulator.look(states)
        rows, actions = np.nonzero(seen.legal_actions)
        after = self._simulator.play([states[row] for row in rows.tolist()], actions)
        self._solve(after)
        keys = self._keys(after, self._simulator.look(after))
        worth = np.full(seen.legal_actions.shape, -np.inf)
        sign = np.where(seen.to_play[rows] == 2, -1.0, 1.0)
        worth[rows, actions] = sign * np.array([self._worth[key] for key in keys])
        return worth

    def _keys(self, states: Sequence[State], seen: Positions) -> list[Hashable]:
        """Return what tells positions apart.

        Equal states are one position. States that are equal to themselves alone go by everything
        that the simulator tells of them.
        """
        if self._comparable:
            return list(states)
        told = zip(seen.observation, seen.legal_actions, seen.to_play, seen.ply, strict=True)
        return [
            (self._simulator.draw(state), shown.tobytes(), legal.tobytes(), int(mover), int(ply))
            for state, (shown, legal, mover, ply) in zip(states, told, strict=True)
        ]

    def _solve(self, states: Sequence[State]) -> None:
        """Learn what arriving at these positions is worth: layer after layer, then back up."""
        layers: list[_Layer] = []
        visited = len(self._worth)
        while states:
            layer, states = self._layer(states)
            layers.append(layer)
            visited += len(layer.keys)
            if visited > self._most:
                raise ConfigError(
                    f"Minimax has visited {visited:,} positions and the game goes on; it may visit "
                    f"{self._most:,}. Choose another opponent, or allow more by "
                    f'"minimax:{10 * self._most}".'
                )
        for layer in reversed(layers):
            self._worth.update(self._valued(layer))

    def _layer(self, states: Sequence[State]) -> tuple[_Layer, list[State]]:
        """Look at positions, and return those that follow, each once."""
        seen = self._simulator.look(states)
        keys = self._keys(states, seen)
        known = np.array([key in self._worth for key in keys])
        sign = np.where(seen.to_play == 2, -1.0, 1.0)
        value = np.where(seen.terminal, sign * seen.value, 0.0)
        value[known] = [self._worth[key] for key in keys if key in self._worth]
        open_rows = np.flatnonzero(~seen.terminal & ~known)
        legal, at_chance = _moves(seen, open_rows)
        rows, actions = np.nonzero(legal)
        parents = [states[row] for row in open_rows[rows].tolist()]
        after = self._simulator.play(parents, actions) if parents else []
        below = self._keys(after, self._simulator.look(after)) if after else []
        mover = np.where(seen.to_play[open_rows] == 2, 2, 1)
        layer = _Layer(
            keys=keys,
            reward=np.where(known, 0.0, seen.reward),
            value=value,
            open=open_rows,
            first=np.searchsorted(rows, np.arange(len(open_rows))),
            below=below,
            chance=legal[rows, actions].astype(np.float64),
            kind=np.where(at_chance, 0, mover).astype(np.int8),
        )
        return layer, list(dict(zip(below, after, strict=True)).values())

    def _valued(self, layer: _Layer) -> dict[Hashable, float]:
        """Return what arriving at each position of a layer is worth to player 1."""
        value = layer.value
        if len(layer.open):
            below = np.array([self._worth[key] for key in layer.below])
            by_kind = (
                np.add.reduceat(layer.chance * below, layer.first),
                np.maximum.reduceat(below, layer.first),
                np.minimum.reduceat(below, layer.first),
            )
            value[layer.open] = np.choose(layer.kind, by_kind)
        return dict(zip(layer.keys, (layer.reward + value).tolist(), strict=True))


def _moves(seen: Positions, rows: Array) -> tuple[Array, Array]:
    """Return (m, max(A, C)) float64 what may follow and how likely, and (m,) bool chance moves."""
    legal = seen.legal_actions[rows].astype(np.float64)
    if seen.chance is None:
        return legal, np.zeros(len(rows), bool)
    chance = seen.chance[rows]
    at_chance = np.any(chance > 0, axis=1)
    found = np.zeros((len(rows), max(legal.shape[1], chance.shape[1])))
    found[:, : legal.shape[1]] = legal
    found[at_chance] = 0.0
    found[at_chance, : chance.shape[1]] = chance[at_chance]
    return found, at_chance


def _compares(simulator: Simulator, state: State) -> bool:
    """Whether positions that were reached apart are equal if they are the same."""
    action = np.repeat(simulator.look([state]).legal_actions.argmax(axis=1), 2)
    one, other = simulator.play([state, state], action)
    try:
        return one is not other and hash(one) == hash(other) and bool(one == other)
    except (TypeError, ValueError):  # no hash; or arrays, which compare number by number
        return False


def _number(argument: str) -> int:
    if not argument:
        return MOST_POSITIONS
    if not argument.isdecimal() or not int(argument):
        raise ConfigError(
            f'The opponent "minimax:{argument}" names no number of positions; expected one like '
            f'"minimax:{MOST_POSITIONS}".'
        )
    return int(argument)
