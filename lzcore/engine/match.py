"""Matches: a policy against an opponent, all games side by side, each opening with both colours.

Shape letters: G games, n of them addressed by a call, F an observation's shape.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from lzcore.base.env import Array, Observed
from lzcore.base.opponent import Opponent, legal_moves
from lzcore.base.policy import Policy
from lzcore.base.seeding import derive_seed
from lzcore.base.simulator import Positions, Simulator, State
from lzcore.engine.answers import decided
from lzcore.engine.clock import Clock
from lzcore.engine.evaluator import EvaluationResult
from lzcore.engine.openings import Line, all_openings, random_openings, settled
from lzcore.engine.standing import Standing
from lzcore.envs.stack import FrameStack

_OPENING, _OPPONENT, _CHANCE = range(3)  # what is drawn in a match, from seeds of its own
COLOURS = {1: "first", 2: "second"}  # who moves first in most games, and who second


# --- what comes of it -----------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class MatchResult(EvaluationResult):
    """The games of a match, in order; `returns` are 1, 0 or -1 for the policy."""

    opponent: str
    players: tuple[int, ...]  # 1 or 2: who the policy was in each game

    @property
    def standing(self) -> Standing:
        """Wins, draws and losses of the policy."""
        return Standing.of(self.returns)

    def standing_as(self, player: int) -> Standing:
        """Wins, draws and losses of the games in which the policy was this player."""
        pairs = zip(self.returns, self.players, strict=True)
        return Standing.of([outcome for outcome, mine in pairs if mine == player])

    def summary(self) -> str:
        """Return what happened, in one line."""
        told = self.standing
        return (
            f"{told.wins} won, {told.draws} drawn, {told.losses} lost against {self.opponent} "
            f"(mean {self.mean:.2f}, Elo {told.elo_text()})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for logs."""
        colours = {f"as_{name}": self.standing_as(p).to_dict() for p, name in COLOURS.items()}
        about = {"opponent": self.opponent, **self.standing.to_dict(), **colours}
        return {**super().to_dict(), **about, "players": list(self.players)}


# --- playing --------------------------------------------------------------------------------------


def observed(
    simulator: Simulator, states: Sequence[State], seen: Positions, env_id: Array, frames: Array
) -> Observed:
    """Return what a policy is shown of n positions in which a player moves.

    Args:
        simulator: of the game.
        states: the positions.
        seen: what they look like.
        env_id: (n,) int64, all different.
        frames: (n, S*F0, *F[1:]) stacked, in the dtype that the policy knows.
    """
    return Observed(
        env_id=env_id,
        observation=frames,
        action_mask=seen.legal_actions,
        to_play=seen.to_play,
        timestep=seen.ply,
        states=np.fromiter(states, object, len(states)),  # some states are tuples
        simulator=simulator,
    )


def stacked(
    simulator: Simulator, frames: int, lines: Sequence[Line], dtype: "np.dtype[Any]"
) -> FrameStack:
    """Return the last `frames` frames of each of G games, as if a policy had seen them played."""
    spaces = attrs.evolve(simulator.spaces, frame_dtype=dtype)
    stack = FrameStack(len(lines), frames, spaces)
    for step in range(max(map(len, lines))):
        games = np.array([game for game, line in enumerate(lines) if step < len(line)])
        seen = simulator.look([lines[game][step] for game in games.tolist()])
        (stack.push if step else stack.reset)(games, seen.observation.astype(dtype, copy=False))
    return stack


class Match:
    """G games between a policy and an opponent."""

    def __init__(
        self,
        simulator: Simulator,
        policy: Policy,
        opponent: Opponent,
        *,
        frame_dtype: "np.dtype[Any] | None" = None,
        max_moves: int | None = None,
    ) -> None:
        """Prepare to play.

        Args:
            simulator: of a game for two.
            policy: decides in its turn, as in an evaluation.
            opponent: acts in the others.
            frame_dtype: of the frames that the policy has learned from; None: the simulator's.
            max_moves: plies after which a game is drawn; None: the game's own end.
        """
        self._simulator = simulator
        self._policy = policy
        self._opponent = opponent
        self._dtype = frame_dtype or simulator.spaces.frame_dtype
        self._max_moves = max_moves

    def play(self, lines: Sequence[Line], players: Array, seeds: Array) -> tuple[Array, Array]:
        """Play G games to their ends.

        Args:
            lines: how each begins.
            players: (G,) who the policy is there, 1 or 2.
            seeds: (G,) uint64, from which chance and the opponent's choices follow.
        Returns:
            (G,) float64 outcomes for the policy, 1, 0 or -1, and (G,) int64 plies of the games.
        """
        self._begin(lines)
        outcome, plies = np.zeros(len(lines)), np.zeros(len(lines), np.int64)
        on = np.arange(len(lines))
        while len(on):
            seen = self._simulator.look([self._states[game] for game in on.tolist()])
            over = seen.terminal | self._too_long(seen)
            mine = seen.to_play == players[on]
            value = np.where(seen.terminal, seen.value, 0.0)
            outcome[on[over]] = np.where(mine, value, -value)[over] + 0.0  # no -0
            plies[on[over]] = seen.ply[over]
            if over.any():
                self._policy.eval_mode.reset(on[over].tolist())
            on, seen, mine = on[~over], _rows(seen, ~over), mine[~over]
            if len(on):
                self._follow(on, self._actions(on, seen, mine, seeds[on]), seeds[on])
        return outcome, plies

    def _begin(self, lines: Sequence[Line]) -> None:
        self._policy.eval_mode.reset(None)
        self._states = [line[-1] for line in lines]
        self._moves = 0
        self._stack = stacked(self._simulator, self._policy.frame_stack, lines, self._dtype)

    def _too_long(self, seen: Positions) -> Array:
        limit = np.iinfo(np.int64).max if self._max_moves is None else self._max_moves
        found: Array = seen.ply >= limit
        return found

    def _actions(self, games: Array, seen: Positions, mine: Array, seeds: Array) -> Array:
        """Return (n,) int64: one call of the policy, and one of the opponent."""
        states = [self._states[game] for game in games.tolist()]
        action = np.zeros(len(games), np.int64)
        if mine.any():
            shown = observed(
                self._simulator,
                _taken(states, mine),
                _rows(seen, mine),
                games[mine],
                self._stack.observation(games[mine]),
            )
            space = self._simulator.spaces.action
            found = decided(self._policy, self._policy.decide("eval", shown), shown.env_id, space)
            action[mine] = legal_moves(self._policy, found, seen.legal_actions[mine])
        if not mine.all():
            draws = derive_seed(seeds[~mine], _OPPONENT, self._moves)
            chosen = self._opponent.act(_taken(states, ~mine), draws)
            action[~mine] = legal_moves(self._opponent, chosen, seen.legal_actions[~mine])
        return action

    def _follow(self, games: Array, action: Array, seeds: Array) -> None:
        """Go on to the next positions in which a player moves, or in which the game is over."""
        before = [self._states[game] for game in games.tolist()]
        after = self._simulator.play(before, action)
        after, _ = settled(self._simulator, after, derive_seed(seeds, _CHANCE, self._moves))
        for game, state in zip(games.tolist(), after, strict=True):
            self._states[game] = state
        frames = self._simulator.look(after).observation
        self._stack.push(games, frames.astype(self._dtype, copy=False))
        self._moves += 1


def _taken(states: Sequence[State], rows: Array) -> list[State]:
    return [states[row] for row in np.flatnonzero(rows).tolist()]


def _rows(seen: Positions, rows: Array) -> Positions:
    return Positions(*(None if part is None else part[rows] for part in seen))  # type: ignore[arg-type]


# --- a match as an evaluation ---------------------------------------------------------------------


class MatchEvaluator:
    """Measures a policy by matches against an opponent."""

    def __init__(
        self,
        simulator: Simulator,
        policy: Policy,
        key: int,
        opponent: tuple[str, Opponent],
        opening_plies: int,
        *,
        all_lines: bool = False,
        **given: Any,
    ) -> None:
        """Prepare evaluations.

        Args:
            simulator: of a game for two.
            policy: that is measured.
            key: of the stream of seeds.
            opponent: its name, and the opponent.
            opening_plies: moves that each game begins with.
            all_lines: play from every line of so many moves; else from random ones.
            given: further arguments of `Match`.
        Raises:
            ConfigError: there is no end of lines, since chance has a part in the game, or no line
                leaves it open.
        """
        self._simulator = simulator
        self._key = key
        self._name, player = opponent
        self._plies = opening_plies
        self._all = all_openings(simulator, opening_plies) if all_lines else None
        self._match = Match(simulator, policy, player, **given)

    def evaluate(self, number: int, episodes: int, clock: Clock | None = None) -> MatchResult:
        """Play `episodes` games: each opening twice, the policy with both colours.

        Args:
            number: of this evaluation in the run; other numbers get other openings.
            episodes: how many games; of an odd number, the last opening is played once. Where all
                lines are played, as many more as all of them equally often take.
            clock: what is spent here is counted as "eval".
        """
        openings = self._openings(number, (episodes + 1) // 2)
        games = np.arange(2 * len(openings) if self._all else episodes)
        lines = [openings[game // 2] for game in games.tolist()]
        result = self.play(lines, 1 + games % 2, number)
        if clock is not None:
            clock.lap("eval")
        return result

    def _openings(self, number: int, least: int) -> list[Line]:
        if self._all:
            return self._all * -(-least // len(self._all))
        seeds = derive_seed(self._key, number, _OPENING, np.arange(least))
        return random_openings(self._simulator, self._plies, seeds)

    def play(self, lines: Sequence[Line], players: Array, number: int) -> MatchResult:
        """Play games from given openings; arguments as of `Match.play` and `evaluate`."""
        seeds = derive_seed(self._key, number, _OPPONENT, np.arange(len(lines)))
        outcome, plies = self._match.play(lines, players, seeds)
        return MatchResult(
            returns=tuple(outcome.tolist()),
            lengths=tuple(plies.tolist()),
            opponent=self._name,
            players=tuple(players.tolist()),
        )

    def close(self) -> None:
        """Nothing is held."""
