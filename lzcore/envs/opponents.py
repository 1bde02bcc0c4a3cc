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
from lzcore.registry import Registry, made

MOST_POSITIONS = 200_000  # that minimax visits unless it is told otherwise
AT_ONCE = 4096  # positions that are played on from in one call
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
    found: Opponent = made(registry.resolve("opponents", first), ("act",), simulator, argument)
    return found


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
    """Positions that are the same number of moves away from where a solution began: m of them."""

    keys: list[Hashable]
    reward: Array  # (m,) float64 of arriving there, for player 1
    value: Array  # (m,) float64 for player 1, of finished games
    open: Array  # (o,) int64 rows that are played on from
    first: Array  # (o,) int64 where the moves of such a row begin in `below` and `chance`
    below: list[Hashable]  # keys of the positions that the moves lead to
    chance: Array  # (moves,) float64 how likely each is; where a player moves, 1
    kind: Array  # (o,) int8: 0 chance, 1 player 1 (or the only one), 2 player 2


class Minimax:
    """Plays perfectly, having looked at every position; equally good moves are drawn from.

    Where chance moves, values are means over its outcomes. Positions that look alike in everything
    that the simulator tells of them are visited once.
    """

    def __init__(self, simulator: Simulator, argument: str) -> None:
        """Solve the game.

        Args:
            simulator: of a game for one or two players.
            argument: the most positions to visit; "" for 200,000.
        Raises:
            ConfigError: the argument is no number, or the game has more positions.
        """
        self._simulator = simulator
        self._most = _number(argument)
        self._worth: dict[Hashable, float] = {}  # of arriving at a position and going on, player 1
        start = simulator.begin(np.zeros(1, np.uint64))
        self._comparable = _compares(simulator, start[0])
        self._solve(dict(zip(self._keys(start), start, strict=True)))

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
        keys = self._keys(after)
        self._solve(self._unknown(keys, after))
        worth = np.full(seen.legal_actions.shape, -np.inf)
        sign = np.where(seen.to_play[rows] == 2, -1.0, 1.0)
        worth[rows, actions] = sign * np.array([self._worth[key] for key in keys])
        return worth

    def _keys(self, states: Sequence[State]) -> list[Hashable]:
        """Return what tells positions apart.

        Equal states are one position. States that are equal to themselves alone go by everything
        that the simulator tells of them.
        """
        if self._comparable or not states:
            return list(states)
        seen = self._simulator.look(states)
        told = zip(seen.observation, seen.legal_actions, seen.to_play, seen.ply, strict=True)
        return [
            (self._simulator.draw(state), shown.tobytes(), legal.tobytes(), int(mover), int(ply))
            for state, (shown, legal, mover, ply) in zip(states, told, strict=True)
        ]

    def _unknown(self, keys: Sequence[Hashable], states: Sequence[State]) -> dict[Hashable, State]:
        found = zip(keys, states, strict=True)
        return {key: state for key, state in found if key not in self._worth}

    def _solve(self, begin: dict[Hashable, State]) -> None:
        """Learn what arriving at these positions is worth: layer after layer, then back up."""
        layers: list[_Layer] = []
        layer, visited = begin, len(self._worth) + len(begin)
        while layer:
            below: dict[Hashable, State] = {}
            keys, states = list(layer), list(layer.values())
            for start in range(0, len(keys), AT_ONCE):
                part = slice(start, start + AT_ONCE)
                below |= self._layer(keys[part], states[part], layers)
                if visited + len(below) > self._most:
                    raise ConfigError(
                        f"Minimax may visit {self._most:,} positions, and the game has more. "
                        f'Choose another opponent, or allow more by "minimax:{10 * self._most}".'
                    )
            layer, visited = below, visited + len(below)
        for done in reversed(layers):
            self._worth.update(self._valued(done))

    def _layer(
        self, keys: list[Hashable], states: Sequence[State], layers: list[_Layer]
    ) -> dict[Hashable, State]:
        """Add positions to the layers; return those that follow and are not known, each once."""
        seen = self._simulator.look(states)
        open_rows = np.flatnonzero(~seen.terminal)
        likely, at_chance = _moves(seen, open_rows)
        rows, actions = np.nonzero(likely)
        parents = [states[row] for row in open_rows[rows].tolist()]
        after = self._simulator.play(parents, actions) if parents else []
        below = self._keys(after)
        sign = np.where(seen.to_play == 2, -1.0, 1.0)
        layers.append(
            _Layer(
                keys=keys,
                reward=seen.reward,
                value=np.where(seen.terminal, sign * seen.value, 0.0),
                open=open_rows,
                first=np.searchsorted(rows, np.arange(len(open_rows))),
                below=below,
                chance=likely[rows, actions],
                kind=np.where(at_chance, 0, np.where(sign < 0, 2, 1)[open_rows]).astype(np.int8),
            )
        )
        return self._unknown(below, after)

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
